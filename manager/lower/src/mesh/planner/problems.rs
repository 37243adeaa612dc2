//! What is wrong with the mesh on this node.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use weft_abi::RuleBits;
use weft_model::{
    Origin, Problem, Severity,
    policy::{Action, PolicyName},
};

use super::{MeshPlanner, NodeEnrolment};

impl MeshPlanner {
    /// All of it, in the order of enrolments.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut custom: BTreeMap<PolicyName, Problem> = BTreeMap::new();
        for enrolment in &self.facts.enrolments {
            let addresses: Vec<IpAddr> = self.addresses(enrolment).collect();
            let Some(standing) = addresses.iter().find_map(|at| self.standings.get(at)) else {
                found.push(nobody(enrolment));
                continue;
            };
            let instance = &standing.instance;
            let problem = |severity, code, message| Problem {
                severity,
                code,
                origin: instance.origin.clone(),
                path: String::new(),
                line: 0,
                message,
            };
            if let (Some(node), Some(own)) = (&instance.node, &self.facts.node)
                && node != own
            {
                let message = format!("is enrolled on node {own}, but says it runs on {node}");
                found.push(problem(Severity::Warning, "other-node", message));
            }
            for address in &addresses {
                let set = self.peer(*address).map_or(0, |peer| peer.set);
                let Some(tables) = self.tables(set) else {
                    continue;
                };
                if let Some(clauses) = tables.excess() {
                    let most = RuleBits::RULES;
                    let message = format!(
                        "its policies come to {clauses} clauses and the kernel holds {most}: all \
                         connections to {address} are refused; merge rules or spread workloads"
                    );
                    found.push(problem(Severity::Error, "too-many-rules", message));
                }
                for policy in tables.policies() {
                    let is_custom = matches!(policy.action, Action::Custom(_));
                    if is_custom && !policy.is_dry_run {
                        let name = policy.author.name.clone();
                        let origin = policy.author.origin.clone();
                        custom.entry(name).or_insert_with(|| unasked(origin));
                    }
                }
            }
        }
        found.extend(custom.into_values());
        found
    }
}

fn nobody(enrolment: &NodeEnrolment) -> Problem {
    let fate = match enrolment.hold_port {
        0 => "are refused",
        _ => "wait",
    };
    let NodeEnrolment {
        namespace, name, ..
    } = enrolment;
    Problem {
        severity: Severity::Error,
        code: "no-workload",
        origin: Origin {
            kind: "Workload".into(),
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
            file: "".into(),
            line: 0,
        },
        path: String::new(),
        line: 0,
        message: format!(
            "is enrolled, but no Pod or WorkloadEntry of that name has an address: all its \
             connections {fate}; add one, or withdraw it"
        ),
    }
}

fn unasked(origin: Origin) -> Problem {
    Problem {
        severity: Severity::Warning,
        code: "not-enforced",
        origin,
        path: "spec.action".into(),
        line: 0,
        message: "CUSTOM is not asked of connections at layer 4: they pass as if it were not there"
            .into(),
    }
}
