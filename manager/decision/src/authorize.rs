//! Whether a connection or request may pass: CUSTOM, DENY, ALLOW, AUDIT, in Istio's order.

mod explain;
mod matching;

use std::net::IpAddr;

use serde_json::Value;
use weft_model::policy::{
    Action, AuthorizationPolicy, Condition, Normalization, Policies, Scope, Target,
};

pub use matching::Miss;

use crate::{explain::Check, path, subject::Subject};

/// What is known of a connection, and of a request in it.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Verified identity of the client without `spiffe://`; none on a plain connection.
    pub principal: Option<&'a str>,
    /// Where packets come from.
    pub source: IpAddr,
    /// Where the request comes from, as the first trusted proxy saw it; the same by default.
    pub remote: Option<IpAddr>,
    /// Where the workload was reached.
    pub destination: IpAddr,
    /// Port the workload listens on.
    pub port: u16,
    /// Server name of a TLS client hello.
    pub server_name: Option<&'a str>,
    /// The request; none on a connection that is not looked into.
    pub http: Option<HttpAttributes<'a>>,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct HttpAttributes<'a> {
    /// Method.
    pub method: &'a str,
    /// Host header or `:authority`, as sent.
    pub authority: &'a str,
    /// Path with query, as sent.
    pub path: &'a str,
    /// Headers: names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// Claims of a token that was verified; none without one.
    pub claims: Option<&'a Value>,
}

/// Who enforces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The kernel: connections only. What only a request can answer makes an ALLOW rule void and is
    /// passed over in others, so that never more passes than was meant.
    L4,
    /// The proxy.
    L7,
}

/// Whether something may pass, and why.
#[derive(Clone, Debug)]
pub struct Verdict<'p> {
    /// Whether it may.
    pub is_allowed: bool,
    /// Who said so.
    pub layer: Layer,
    /// Why.
    pub reason: Reason,
    /// The policy that decided, and its rule when one did.
    pub decided_by: Option<(&'p AuthorizationPolicy, Option<usize>)>,
    /// Every policy that holds here, in the order asked; dry-run ones too.
    pub considered: Vec<Considered<'p>>,
}

/// Why something may pass or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No ALLOW policy holds here, and no DENY rule fits.
    NoPolicy,
    /// A DENY rule fits.
    Denied,
    /// An ALLOW rule fits: of those for the service, and of those for the workload.
    Allowed,
    /// ALLOW policies hold for the service or for the workload, and no rule of theirs fits.
    NotAllowed,
    /// CUSTOM policies of several providers hold here: only one can be asked.
    SeveralProviders,
    /// The path cannot be made regular: status 400.
    BadPath,
}

/// A policy that was asked.
#[derive(Clone, Debug)]
pub struct Considered<'p> {
    /// The policy.
    pub policy: &'p AuthorizationPolicy,
    /// The first rule that fits.
    pub rule: Option<usize>,
    /// Of each rule before it, what does not fit.
    pub misses: Vec<Miss>,
}

impl<'p> Verdict<'p> {
    /// External authorizers that must be asked before it passes, with the policies that say so.
    pub fn external(&self) -> impl Iterator<Item = (&'p str, &Considered<'p>)> {
        self.considered
            .iter()
            .filter_map(|considered| match &considered.policy.action {
                Action::Custom(provider) if considered.is_in_force() => {
                    Some((&**provider, considered))
                }
                _ => None,
            })
    }

    /// AUDIT policies that want it written down.
    pub fn audited(&self) -> impl Iterator<Item = &Considered<'p>> {
        let audits = |considered: &&Considered<'p>| considered.policy.action == Action::Audit;
        self.considered
            .iter()
            .filter(audits)
            .filter(|considered| considered.is_in_force())
    }

    /// What dry-run policies would say if they were in force alone.
    pub fn dry_run(&self) -> DryRun {
        let of = |action: Action| {
            let all = self.considered.iter();
            all.filter(move |c| c.policy.is_dry_run && c.policy.action == action)
        };
        let mut allows = of(Action::Allow).peekable();
        DryRun {
            denied: of(Action::Deny).any(|c| c.rule.is_some()),
            allowed: allows
                .peek()
                .is_some()
                .then(|| allows.any(|c| c.rule.is_some())),
        }
    }
}

impl Considered<'_> {
    fn is_in_force(&self) -> bool {
        self.rule.is_some() && !self.policy.is_dry_run
    }
}

/// What dry-run policies would say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DryRun {
    /// Whether a DENY rule of theirs fits.
    pub denied: bool,
    /// Whether an ALLOW rule of theirs fits, if they have ALLOW policies.
    pub allowed: Option<bool>,
}

/// Whether something may pass to `subject`.
pub fn authorize<'p>(
    policies: &'p Policies,
    subject: &Subject<'_>,
    attributes: &Attributes<'_>,
    layer: Layer,
) -> Verdict<'p> {
    let held = holding(policies, subject);
    judge(&held, attributes, layer, policies.mesh.normalization)
}

/// The policies that hold for `subject`, in the order in which they are asked. Whoever judges much
/// keeps them until policies change.
pub fn holding<'p>(policies: &'p Policies, subject: &Subject<'_>) -> Vec<&'p AuthorizationPolicy> {
    let mut held: Vec<&AuthorizationPolicy> = policies
        .authorization
        .values()
        .map(|policy| &**policy)
        .filter(|policy| subject.is_in(&policy.scope))
        .collect();
    // The sort keeps the order of names within an action.
    held.sort_by_key(|policy| (order(&policy.action), !is_for_service(policy)));
    held
}

/// Whether a policy guards a service, by `targetRefs`, and not the workloads behind it. Those are
/// places of their own: what one of them allows the other may still refuse.
pub fn is_for_service(policy: &AuthorizationPolicy) -> bool {
    let Scope::Targets(targets) = &policy.scope else {
        return false;
    };
    let mut targets = targets.iter();
    targets.any(|target| matches!(target, Target::Service(_)))
}

fn order(action: &Action) -> u8 {
    match action {
        Action::Custom(_) => 0,
        Action::Deny => 1,
        Action::Allow => 2,
        Action::Audit => 3,
    }
}

/// Whether one condition fits a connection that is not looked into: what [`Layer::L4`] asks, for
/// those who make tables of the answers.
pub fn fits_connection(condition: &Condition, attributes: &Attributes<'_>) -> bool {
    let seen = matching::Seen {
        attributes,
        http: None,
        path: None,
    };
    seen.condition(condition)
}

/// Whether something may pass under the policies of [`holding`].
pub fn judge<'p>(
    held: &[&'p AuthorizationPolicy],
    attributes: &Attributes<'_>,
    layer: Layer,
    normalization: Normalization,
) -> Verdict<'p> {
    let mut verdict = Verdict {
        is_allowed: true,
        layer,
        reason: Reason::NoPolicy,
        decided_by: None,
        considered: Vec::new(),
    };
    let http = attributes.http.filter(|_| layer == Layer::L7);
    let path = match http {
        Some(http) => match path::normalize(path_only(http.path), normalization) {
            Ok(path) => Some(path),
            Err(path::BadPath) => {
                verdict.is_allowed = false;
                verdict.reason = Reason::BadPath;
                return verdict;
            }
        },
        None => None,
    };
    let seen = matching::Seen {
        attributes,
        http,
        path: path.as_deref(),
    };
    for policy in held {
        verdict.considered.push(consider(policy, &seen));
    }
    decide(&mut verdict);
    verdict
}

/// Everything that each rule of a policy asks, and what was there: for those who explain. Empty where
/// the path cannot be made regular, since no rule is asked then.
pub fn checks(
    policy: &AuthorizationPolicy,
    attributes: &Attributes<'_>,
    layer: Layer,
    normalization: Normalization,
) -> Vec<Vec<Check>> {
    let http = attributes.http.filter(|_| layer == Layer::L7);
    let path = http.map(|http| path::normalize(path_only(http.path), normalization));
    let Ok(path) = path.transpose() else {
        return Vec::new();
    };
    let seen = matching::Seen {
        attributes,
        http,
        path: path.as_deref(),
    };
    let rules = policy.rules.iter();
    rules
        .map(|rule| seen.checks(rule, &policy.action))
        .collect()
}

fn consider<'p>(policy: &'p AuthorizationPolicy, seen: &matching::Seen<'_>) -> Considered<'p> {
    let mut misses = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        match seen.fits(rule, &policy.action) {
            Ok(()) => {
                return Considered {
                    policy,
                    rule: Some(index),
                    misses,
                };
            }
            Err(miss) => misses.push(miss),
        }
    }
    Considered {
        policy,
        rule: None,
        misses,
    }
}

fn decide(verdict: &mut Verdict<'_>) {
    let in_force = || {
        let all = verdict.considered.iter();
        all.filter(|considered| !considered.policy.is_dry_run)
    };
    let mut providers = in_force().filter_map(|considered| match &considered.policy.action {
        Action::Custom(provider) => Some((provider, considered.policy)),
        _ => None,
    });
    let several = providers.next().and_then(|(first, _)| {
        let (_, other) = providers.find(|(provider, _)| *provider != first)?;
        Some(other)
    });
    let of = |action: Action| in_force().filter(move |c| c.policy.action == action);
    let denied = of(Action::Deny).find(|c| c.rule.is_some());
    let mut allowed = None;
    let mut missing = None;
    for at_service in [true, false] {
        let mut allows = of(Action::Allow)
            .filter(|c| is_for_service(c.policy) == at_service)
            .peekable();
        let first = allows.peek().map(|c| c.policy);
        match allows.find(|c| c.rule.is_some()) {
            Some(fitting) => allowed = Some(fitting),
            None => missing = missing.or(first),
        }
    }
    let (is_allowed, reason, decided_by) = if let Some(policy) = several {
        (false, Reason::SeveralProviders, Some((policy, None)))
    } else if let Some(denied) = denied {
        (false, Reason::Denied, Some((denied.policy, denied.rule)))
    } else if let Some(missing) = missing {
        (false, Reason::NotAllowed, Some((missing, None)))
    } else if let Some(allowed) = allowed {
        (true, Reason::Allowed, Some((allowed.policy, allowed.rule)))
    } else {
        (true, Reason::NoPolicy, None)
    };
    verdict.is_allowed = is_allowed;
    verdict.reason = reason;
    verdict.decided_by = decided_by;
}

fn path_only(path: &str) -> &str {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    &path[..end]
}
