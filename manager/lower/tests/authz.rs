//! Whatever the policies and the connection: the tables say what the policies say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "authz/strategies.rs"]
mod strategies;

use proptest::{collection::vec, prelude::*, sample::select};
use weft_abi::HitKey;
use weft_decision::{Attributes, Layer, Subject, authorize, authorize::Reason};
use weft_lower::authz::{Decision, RuleTables, Verdict, held};
use weft_model::policy::{Action, AuthorizationPolicy, OneOf, Operation, Rule, Scope};

use strategies::{ADDRESSES, PORTS, PRINCIPALS, address, all, author, policy};

const SHOP: Subject<'_> = Subject {
    namespace: "shop",
    labels: &[("app", "web")],
    services: &[],
    gateway: None,
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn tables_decide_as_the_policies_do(
        policies in vec(policy(), 0..6),
        destination in select(&ADDRESSES[..]),
    ) {
        let policies = all(policies);
        let destination = address(destination);
        let tables = RuleTables::new(held(&policies, &SHOP), destination);
        for principal in PRINCIPALS {
            for source in ADDRESSES.map(address) {
                for port in PORTS.into_iter().chain([1, 65535]) {
                    let attributes = Attributes {
                        principal, source, remote: None, destination, port,
                        server_name: None, http: None,
                    };
                    let expected = authorize(&policies, &SHOP, &attributes, Layer::L4);
                    let Some(tables) = &tables else {
                        prop_assert_eq!(expected.reason, Reason::NoPolicy);
                        continue;
                    };
                    let found = tables.decide(principal, source, port);
                    let is_allowed = found.verdict == Verdict::Allow;
                    prop_assert_eq!(is_allowed, expected.is_allowed, "{:?}", attributes);
                    let by = tables.provenance(found.clause);
                    let by = by.map(|by| (by.policy, Some(by.rule)));
                    let decided = expected.decided_by.as_ref();
                    let decided = decided.map(|(policy, rule)| (policy.author.name.clone(), *rule));
                    match expected.reason {
                        Reason::Denied | Reason::Allowed => prop_assert_eq!(by, decided),
                        Reason::NotAllowed | Reason::SeveralProviders => {
                            prop_assert_eq!(found.clause, HitKey::NOTHING);
                        }
                        _ => prop_assert_eq!(found.clause, Decision::NONE),
                    }
                    if found.clause == HitKey::NOTHING && expected.reason == Reason::SeveralProviders {
                        continue;
                    }
                    let audited = expected.audited().next().is_some();
                    prop_assert_eq!(found.audit != Decision::NONE, audited);
                    let dry = expected.dry_run();
                    let refused = dry.denied || dry.allowed == Some(false);
                    prop_assert_eq!(found.dry_run != Decision::NONE, refused);
                }
            }
        }
    }
}

#[test]
fn more_clauses_than_a_set_holds_refuse_all() {
    let rule = |index: u16| Rule {
        to: vec![Operation {
            ports: OneOf {
                any: vec![index + 1],
                none: vec![],
            },
            ..Operation::default()
        }],
        ..Rule::default()
    };
    let policy = |rules| {
        vec![AuthorizationPolicy {
            author: author("shop", "many"),
            scope: Scope::Mesh,
            action: Action::Allow,
            is_dry_run: false,
            rules,
        }]
    };
    let tables = |count| {
        let policies = all(policy((0..count).map(rule).collect()));
        RuleTables::new(held(&policies, &SHOP), address("10.0.0.1")).unwrap()
    };
    let full = tables(512);
    assert_eq!(full.excess(), None);
    let decide = |tables: &RuleTables, port| tables.decide(None, address("10.0.0.9"), port).verdict;
    assert_eq!(decide(&full, 512), Verdict::Allow);
    let over = tables(513);
    assert_eq!(over.excess(), Some(513));
    assert_eq!(decide(&over, 1), Verdict::Deny);
}
