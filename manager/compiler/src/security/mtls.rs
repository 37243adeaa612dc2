//! `PeerAuthentication`.

use std::collections::BTreeMap;

use weft_api::{Object, Resource};
use weft_model::{
    Problem, Severity,
    policy::{MtlsMode, PeerAuthentication, Policies, Scope},
};

use super::{Compiling, author, scope};

pub(super) fn policy(cx: &mut Compiling<'_>, object: &Object) -> Option<PeerAuthentication> {
    let Resource::PeerAuthentication(written) = &object.resource else {
        return None;
    };
    let scope = scope::scope(cx, object, &written.scope);
    if matches!(
        scope,
        Scope::Workloads {
            namespace: None,
            ..
        }
    ) {
        let message = "a PeerAuthentication of the root namespace with a selector has no effect; \
            write it in the namespace of the workloads";
        cx.problem(
            object,
            Severity::Warning,
            "not-used",
            "spec.selector",
            message.into(),
        );
        return None;
    }
    let ports = written.ports.iter();
    Some(PeerAuthentication {
        author: author(object),
        scope,
        mode: written.mode.map(mode),
        ports: ports
            .map(|(port, written)| (*port, written.map(mode)))
            .collect(),
    })
}

fn mode(written: weft_api::MtlsMode) -> MtlsMode {
    match written {
        weft_api::MtlsMode::Disable => MtlsMode::Disable,
        weft_api::MtlsMode::Permissive => MtlsMode::Permissive,
        weft_api::MtlsMode::Strict => MtlsMode::Strict,
    }
}

/// Policies of one scope, of which only the oldest counts.
pub(super) fn conflicts(policies: &Policies) -> Vec<Problem> {
    let mut oldest: BTreeMap<String, &PeerAuthentication> = BTreeMap::new();
    let mut all: Vec<_> = policies.peer.values().collect();
    all.sort_by(|a, b| a.author.age().cmp(&b.author.age()));
    let mut problems = Vec::new();
    for policy in all {
        // The order of labels is fixed, so one scope has one text.
        let winner = *oldest
            .entry(format!("{:?}", policy.scope))
            .or_insert(policy);
        if winner.author.name != policy.author.name {
            problems.push(Problem {
                severity: Severity::Warning,
                code: "conflict",
                origin: policy.author.origin.clone(),
                path: "spec.selector".to_owned(),
                line: 0,
                message: format!(
                    "not used: PeerAuthentication {} holds for the same workloads and is older",
                    winner.author.name
                ),
            });
        }
    }
    problems
}
