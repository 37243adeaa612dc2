//! How often rules of policy decided, in the kernel and in the proxy.

use std::collections::{BTreeMap, BTreeSet};

use weft_abi::HitKey;
use weft_admin::{AuthorizationReport, Decided, PolicyInForce};
use weft_lower::authz::{Bank, RuleTables};
use weft_model::policy::AuthorizationPolicy;
use weft_telemetry::{Hop, PolicyName, RuleHits, RuleName, RuleSnapshot};

use super::MeshSide;

impl MeshSide {
    /// The kernel's counters and the proxy's, with the rules they belong to. Those of rule sets that
    /// are gone are left out.
    pub(crate) fn rules(&self, kernel: Vec<(HitKey, u64)>) -> RuleSnapshot {
        let sets: BTreeSet<u32> = self.planner.rule_sets().map(|(id, _)| id).collect();
        let policies = self.planner.rule_sets().flat_map(|(_, set)| set.policies());
        let policies = policies.map(|policy| name(&policy.author.name)).collect();
        let kernel = kernel.into_iter().map(|hit| (Hop::Kernel, hit));
        let proxy = self.view.hits(&sets).into_iter();
        let hits = kernel
            .chain(proxy.map(|hit| (Hop::Proxy, hit)))
            .filter_map(|(hop, (key, hits))| {
                let name = rule(self.planner.tables(key.set)?, key.clause);
                Some(RuleHits {
                    key,
                    hop,
                    name,
                    hits,
                })
            })
            .collect();
        RuleSnapshot {
            hits,
            sets,
            policies,
        }
    }
}

impl MeshSide {
    /// What `weft policies` shows.
    pub(crate) fn authorization(
        &self,
        totals: &[(Option<RuleName>, Hop, u64)],
    ) -> AuthorizationReport {
        let mut policies: BTreeMap<PolicyName, PolicyInForce> = BTreeMap::new();
        for one in self.enrolments.open() {
            let peers = self.planner.peers_in(one.cookie);
            let sets: BTreeSet<u32> = peers.map(|peer| peer.set).collect();
            let tables = sets.iter().filter_map(|set| self.planner.tables(*set));
            for policy in tables.flat_map(|tables| tables.policies()) {
                let held = policies
                    .entry(name(&policy.author.name))
                    .or_insert_with(|| in_force(policy));
                let workload = one.claim.name.to_string();
                if held.workloads.last() != Some(&workload) {
                    held.workloads.push(workload);
                }
            }
        }
        let mut report = AuthorizationReport::default();
        for (name, hop, total) in totals {
            let decided = match name {
                Some(RuleName {
                    rule: Some((policy, rule)),
                    action,
                }) => policies
                    .get_mut(policy)
                    // What it decided before it was edited is not what it says now.
                    .filter(|held| action_of(held) == *action)
                    .and_then(|held| held.rules.get_mut(*rule)),
                Some(name) if name.action == DRY_RUN_DENY => Some(&mut report.dry_run_unmatched),
                Some(_) => Some(&mut report.unmatched),
                None => Some(&mut report.uncounted),
            };
            match (decided, hop) {
                (Some(decided), Hop::Kernel) => decided.kernel += total,
                (Some(decided), Hop::Proxy) => decided.proxy += total,
                (None, _) => {}
            }
        }
        report.policies = policies.into_values().collect();
        for policy in &mut report.policies {
            policy.workloads.sort();
        }
        report
    }
}

/// By which action its rules are counted.
fn action_of(policy: &PolicyInForce) -> &'static str {
    match (policy.action.as_str(), policy.dry_run) {
        ("DENY", false) => "deny",
        ("DENY", true) => DRY_RUN_DENY,
        ("ALLOW", false) => "allow",
        ("ALLOW", true) => DRY_RUN_ALLOW,
        _ => "audit",
    }
}

fn in_force(policy: &AuthorizationPolicy) -> PolicyInForce {
    PolicyInForce {
        origin: (&policy.author.origin).into(),
        action: policy.action.name().to_owned(),
        dry_run: policy.is_dry_run,
        workloads: Vec::new(),
        rules: vec![Decided::default(); policy.rules.len()],
    }
}

const DRY_RUN_DENY: &str = "dry_run_deny";
const DRY_RUN_ALLOW: &str = "dry_run_allow";

fn rule(tables: &RuleTables, clause: u32) -> RuleName {
    match tables.provenance(clause) {
        Some(by) => RuleName {
            rule: Some((name(&by.policy), by.rule)),
            action: match by.bank {
                Bank::Deny => "deny",
                Bank::Allow => "allow",
                Bank::Audit => "audit",
                Bank::DryDeny => DRY_RUN_DENY,
                Bank::DryAllow => DRY_RUN_ALLOW,
            },
        },
        None => RuleName {
            rule: None,
            action: match clause {
                HitKey::DRY_NOTHING => DRY_RUN_DENY,
                _ => "deny",
            },
        },
    }
}

fn name(policy: &weft_model::policy::PolicyName) -> PolicyName {
    (policy.namespace.clone(), policy.name.clone())
}
