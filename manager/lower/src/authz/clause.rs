//! Policies as clauses: products of three questions (who, from where, to which port).
//!
//! The identity question may hold any number of alternatives, since it is answered ahead for every
//! identity, and so may the port question. So a rule costs one clause for each distinct range list
//! among its sources, not one per source and operation.

use std::{net::IpAddr, sync::Arc};

use weft_decision::Attributes;
use weft_model::{
    Origin,
    policy::{Action, AuthorizationPolicy, Condition, OneOf, PolicyName, Rule, Source},
};

/// Which verdict a clause asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Bank {
    /// Refused.
    Deny,
    /// Let through.
    Allow,
    /// Let through and written down.
    Audit,
    /// Would be refused.
    DryDeny,
    /// Would be let through.
    DryAllow,
}

impl Bank {
    /// The bank of a policy's rules; none of one that layer 4 does not hold (CUSTOM, and AUDIT of
    /// a dry run).
    pub(super) fn of(policy: &AuthorizationPolicy) -> Option<Self> {
        Some(match (&policy.action, policy.is_dry_run) {
            (Action::Deny, false) => Self::Deny,
            (Action::Deny, true) => Self::DryDeny,
            (Action::Allow, false) => Self::Allow,
            (Action::Allow, true) => Self::DryAllow,
            (Action::Audit, false) => Self::Audit,
            (Action::Audit, true) | (Action::Custom(_), _) => return None,
        })
    }
}

/// The rule that a clause comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provenance {
    /// Its policy.
    pub policy: PolicyName,
    /// Where that was written.
    pub origin: Origin,
    /// What it asks for.
    pub bank: Bank,
    /// Position of the rule in the policy, from 0.
    pub rule: usize,
}

/// A product of three questions.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) bank: Bank,
    /// Position of its policy.
    pub(super) policy: usize,
    /// Position of its rule in the policy.
    pub(super) rule: usize,
    pub(super) identity: Question,
    pub(super) source: Question,
    pub(super) port: Question,
}

/// What is asked of one thing: one of `any` as a whole (if there are any), and all of `all`.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Question {
    pub(super) any: Vec<Vec<Condition>>,
    pub(super) all: Vec<Condition>,
}

impl Question {
    /// Whether it fits, when `fits` says whether one condition does.
    pub(super) fn fits(&self, fits: impl Fn(&Condition) -> bool) -> bool {
        let any = |alternative: &Vec<Condition>| alternative.iter().all(&fits);
        (self.any.is_empty() || self.any.iter().any(any)) && self.all.iter().all(&fits)
    }

    /// Whether it fits all, whoever asks.
    pub(super) fn is_open(&self) -> bool {
        self.all.is_empty() && (self.any.is_empty() || self.any.iter().any(Vec::is_empty))
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.any.iter().flatten().chain(&self.all)
    }
}

/// The clauses of `policies`, in their order, for connections to `destination`.
pub(super) fn clauses(policies: &[Arc<AuthorizationPolicy>], destination: IpAddr) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for (position, policy) in policies.iter().enumerate() {
        let Some(bank) = Bank::of(policy) else {
            continue;
        };
        for (index, rule) in policy.rules.iter().enumerate() {
            // What only a request can answer makes an ALLOW rule void, and is passed over elsewhere.
            if policy.action == Action::Allow && !rule.http_attributes().is_empty() {
                continue;
            }
            of_rule(rule, destination, |[identity, source, port]| {
                clauses.push(Clause {
                    bank,
                    policy: position,
                    rule: index,
                    identity,
                    source,
                    port,
                });
            });
        }
    }
    clauses
}

/// Whether some rule of `policies` asks for the address of the workload.
pub(super) fn asks_destination(policies: &[Arc<AuthorizationPolicy>]) -> bool {
    let rules = policies.iter().flat_map(|policy| &policy.rules);
    rules
        .flat_map(|rule| &rule.when)
        .any(|when| matches!(when, Condition::DestinationAddress(_)))
}

fn of_rule(rule: &Rule, destination: IpAddr, mut emit: impl FnMut([Question; 3])) {
    let [mut identity, mut source, mut port] = [const { Vec::new() }; 3];
    for when in rule.when.iter().filter(|when| !when.needs_request()) {
        match when {
            Condition::SourceNamespace(_)
            | Condition::SourcePrincipal(_)
            | Condition::SourceServiceAccount(_)
            | Condition::SourceTrustDomain(_) => identity.push(when.clone()),
            Condition::SourceAddress(_) => source.push(when.clone()),
            Condition::DestinationPort(_) => port.push(when.clone()),
            _ if !fits_workload(when, destination) => return,
            _ => {}
        }
    }
    let ports = rule.to.iter().map(|operation| {
        let ports = &operation.ports;
        asked(ports, Condition::DestinationPort)
            .into_iter()
            .collect()
    });
    let port = Question {
        any: ports.collect(),
        all: port,
    };
    for (addresses, alternatives) in by_addresses(&rule.from) {
        let mut source = source.clone();
        source.extend(asked(&addresses, Condition::SourceAddress));
        let source = Question {
            any: Vec::new(),
            all: source,
        };
        let identity = Question {
            any: alternatives,
            all: identity.clone(),
        };
        emit([identity, source, port.clone()]);
    }
}

/// What is the same for every client: the workload's own address, and what nothing answers.
fn fits_workload(condition: &Condition, destination: IpAddr) -> bool {
    let attributes = Attributes {
        principal: None,
        source: destination,
        remote: None,
        destination,
        port: 0,
        server_name: None,
        http: None,
    };
    weft_decision::authorize::fits_connection(condition, &attributes)
}

type Ranges = OneOf<weft_model::policy::AddressRange>;

/// What the sources ask of the identity, by what they ask of the address.
fn by_addresses(from: &[Source]) -> Vec<(Ranges, Vec<Vec<Condition>>)> {
    if from.is_empty() {
        return vec![(OneOf::default(), Vec::new())];
    }
    let mut groups: Vec<(Ranges, Vec<Vec<Condition>>)> = Vec::new();
    for source in from {
        let who: Vec<Condition> = [
            asked(&source.principals, Condition::SourcePrincipal),
            asked(&source.trust_domains, Condition::SourceTrustDomain),
            asked(&source.namespaces, Condition::SourceNamespace),
            asked(&source.service_accounts, Condition::SourceServiceAccount),
        ]
        .into_iter()
        .flatten()
        .collect();
        let known = groups
            .iter_mut()
            .find(|(addresses, _)| *addresses == source.addresses);
        match known {
            Some((_, alternatives)) => alternatives.push(who),
            None => groups.push((source.addresses.clone(), vec![who])),
        }
    }
    groups
}

fn asked<T: Clone>(
    values: &OneOf<T>,
    condition: impl Fn(OneOf<T>) -> Condition,
) -> Option<Condition> {
    (!values.is_empty()).then(|| condition(values.clone()))
}
