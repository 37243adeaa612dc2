//! How often rules of policy decided, in the kernel and in the proxy.

use std::collections::BTreeSet;

use weft_abi::HitKey;
use weft_lower::authz::{Bank, RuleTables};
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

fn rule(tables: &RuleTables, clause: u32) -> RuleName {
    match tables.provenance(clause) {
        Some(by) => RuleName {
            rule: Some((name(&by.policy), by.rule)),
            action: match by.bank {
                Bank::Deny => "deny",
                Bank::Allow => "allow",
                Bank::Audit => "audit",
                Bank::DryDeny => "dry_run_deny",
                Bank::DryAllow => "dry_run_allow",
            },
        },
        None => RuleName {
            rule: None,
            action: match clause {
                HitKey::DRY_NOTHING => "dry_run_deny",
                _ => "deny",
            },
        },
    }
}

fn name(policy: &weft_model::policy::PolicyName) -> PolicyName {
    (policy.namespace.clone(), policy.name.clone())
}
