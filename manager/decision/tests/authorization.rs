//! Laws of authorization, over random policies and requests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::json;
use weft_decision::{Attributes, HttpAttributes, Layer, Subject, authorize};
use weft_model::{
    Origin,
    policy::{
        Action, AddressRange, Author, AuthorizationPolicy, Condition, OneOf, Operation, PathMatch,
        Policies, PolicyName, Rule, Scope, Source, TextMatch,
    },
};

fn one_of<T: Clone + std::fmt::Debug + 'static>(
    item: impl Strategy<Value = T> + Clone + 'static,
) -> impl Strategy<Value = OneOf<T>> {
    (vec(item.clone(), 0..2), vec(item, 0..2)).prop_map(|(any, none)| OneOf { any, none })
}

fn text() -> impl Strategy<Value = TextMatch> + Clone {
    select(vec![
        "a",
        "b",
        "*",
        "a*",
        "*b",
        "/a",
        "GET",
        "cluster.local/ns/a/sa/a",
    ])
    .prop_map(TextMatch::parse)
}

fn source() -> impl Strategy<Value = Source> {
    let ranges = select(vec![("10.0.0.0", 8), ("10.0.0.1", 32), ("::", 0)]);
    let ranges = ranges.prop_map(|(address, prefix_length)| AddressRange {
        address: address.parse().unwrap(),
        prefix_length,
    });
    let parts = (one_of(text()), one_of(text()), one_of(ranges));
    parts.prop_map(|(principals, namespaces, addresses)| Source {
        principals,
        namespaces,
        addresses,
        ..Source::default()
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let path = select(vec!["/a", "/a*", "/{*}", "/{**}", "*b"]).prop_map(PathMatch::parse);
    let parts = (
        one_of(select(vec![80_u16, 81])),
        one_of(text()),
        one_of(path),
    );
    parts.prop_map(|(ports, methods, paths)| Operation {
        ports,
        methods,
        paths,
        ..Operation::default()
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        one_of(text()).prop_map(Condition::SourceNamespace),
        one_of(text()).prop_map(|values| Condition::Header("x".into(), values)),
        one_of(text()).prop_map(|values| Condition::Claim(vec!["c".into()], values)),
        one_of(text()).prop_map(Condition::ServerName),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let parts = (
        vec(source(), 0..2),
        vec(operation(), 0..2),
        vec(condition(), 0..2),
    );
    parts.prop_map(|(from, to, when)| Rule { from, to, when })
}

fn policy(
    action: impl Strategy<Value = Action>,
    is_dry_run: impl Strategy<Value = bool>,
) -> impl Strategy<Value = AuthorizationPolicy> {
    (action, is_dry_run, vec(rule(), 0..3)).prop_map(|(action, is_dry_run, rules)| {
        let namespace: Arc<str> = "n".into();
        let name = PolicyName {
            namespace: Arc::clone(&namespace),
            name: "p".into(),
        };
        let origin = Origin {
            kind: "AuthorizationPolicy".into(),
            namespace,
            name: "p".into(),
            file: "f".into(),
            line: 1,
        };
        AuthorizationPolicy {
            author: Author {
                name,
                origin,
                created: None,
            },
            scope: Scope::Mesh,
            action,
            is_dry_run,
            rules,
        }
    })
}

fn together(policies: &[AuthorizationPolicy]) -> Policies {
    let mut all = Policies::default();
    for (index, policy) in policies.iter().enumerate() {
        let mut policy = policy.clone();
        policy.author.name.name = format!("p{index}").into();
        all.authorization
            .insert(policy.author.name.clone(), Arc::new(policy));
    }
    all
}

#[derive(Clone, Debug)]
struct Asked {
    principal: Option<&'static str>,
    source: &'static str,
    port: u16,
    http: Option<(&'static str, &'static str, Option<&'static str>)>,
    layer: Layer,
}

fn asked() -> impl Strategy<Value = Asked> {
    let principal = option::of(select(vec!["cluster.local/ns/a/sa/a", "td/ns/b/sa/a"]));
    let http = option::of((
        select(vec!["GET", "POST"]),
        select(vec!["/a", "/a/b", "/"]),
        option::of(select(vec!["a", "b"])),
    ));
    let layer = select(vec![Layer::L4, Layer::L7]);
    (
        principal,
        select(vec!["10.0.0.1", "192.0.2.1", "::1"]),
        select(vec![80, 81]),
        http,
        layer,
    )
        .prop_map(|(principal, source, port, http, layer)| Asked {
            principal,
            source,
            port,
            http,
            layer,
        })
}

fn passes(policies: &Policies, asked: &Asked) -> bool {
    let value = asked.http.and_then(|(.., value)| value);
    let claims = value.map(|value| json!({ "c": value }));
    let headers: Vec<_> = value.iter().map(|value| ("x", *value)).collect();
    let http = asked.http.map(|(method, path, _)| HttpAttributes {
        method,
        authority: "h",
        path,
        headers: &headers,
        claims: claims.as_ref(),
    });
    let attributes = Attributes {
        principal: asked.principal,
        source: asked.source.parse().unwrap(),
        remote: None,
        destination: "10.0.0.9".parse().unwrap(),
        port: asked.port,
        server_name: None,
        http,
    };
    authorize(policies, &Subject::default(), &attributes, asked.layer).is_allowed
}

fn some_policies() -> impl Strategy<Value = Vec<AuthorizationPolicy>> {
    let actions = select(vec![
        Action::Allow,
        Action::Deny,
        Action::Audit,
        Action::Custom("x".into()),
    ]);
    vec(policy(actions, any::<bool>()), 0..4)
}

proptest! {
    #[test]
    fn a_deny_policy_can_only_shrink_what_is_allowed(
        policies in some_policies(),
        deny in policy(Just(Action::Deny), any::<bool>()),
        asked in asked(),
    ) {
        let before = passes(&together(&policies), &asked);
        let after = passes(&together(&[policies, vec![deny]].concat()), &asked);
        prop_assert!(before || !after);
    }

    #[test]
    fn another_allow_policy_can_only_widen_it_where_there_is_one(
        policies in some_policies(),
        first in policy(Just(Action::Allow), Just(false)),
        second in policy(Just(Action::Allow), any::<bool>()),
        asked in asked(),
    ) {
        let policies = [policies, vec![first]].concat();
        let before = passes(&together(&policies), &asked);
        let after = passes(&together(&[policies, vec![second]].concat()), &asked);
        prop_assert!(after || !before);
    }

    #[test]
    fn judging_connections_only_never_lets_more_pass(policies in some_policies(), asked in asked()) {
        let at = |layer| passes(&together(&policies), &Asked { layer, ..asked.clone() });
        prop_assert!(at(Layer::L7) || !at(Layer::L4));
    }

    #[test]
    fn policies_in_dry_run_and_audits_change_nothing(
        policies in some_policies(),
        dry in policy(select(vec![Action::Allow, Action::Deny]), Just(true)),
        audit in policy(Just(Action::Audit), any::<bool>()),
        asked in asked(),
    ) {
        let before = passes(&together(&policies), &asked);
        let after = passes(&together(&[policies, vec![dry, audit]].concat()), &asked);
        prop_assert_eq!(before, after);
    }
}
