//! How often rules of policy decided, by the same rules as [`crate::ledger`]: sums grow by
//! differences, their number is bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_abi::HitKey;

/// Who decided.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hop {
    /// The kernel, before a connection is accepted.
    Kernel,
    /// The proxy, of connections that come through HBONE.
    Proxy,
}

impl Hop {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Proxy => "proxy",
        }
    }
}

/// A policy by namespace and name.
pub type PolicyName = (Arc<str>, Arc<str>);

/// What a clause of a rule set stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleName {
    /// Its policy and the rule's number there; none where a connection was refused because no rule
    /// allowed it.
    pub rule: Option<(PolicyName, usize)>,
    /// `allow`, `deny`, `audit`, `dry_run_allow` or `dry_run_deny`.
    pub action: &'static str,
}

/// A counter as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleHits {
    /// Which counter.
    pub key: HitKey,
    /// Whose.
    pub hop: Hop,
    /// What the clause stands for.
    pub name: RuleName,
    /// How often it decided since the rule set was made.
    pub hits: u64,
}

/// Counters of the rule sets in force.
#[derive(Clone, Debug, Default)]
pub struct RuleSnapshot {
    /// Counters that are not 0.
    pub hits: Vec<RuleHits>,
    /// Rule sets in force or resting.
    pub sets: BTreeSet<u32>,
    /// The policies in them.
    pub policies: BTreeSet<PolicyName>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Series {
    Known(RuleName, Hop),
    /// All beyond the limit, by action.
    Other(&'static str, Hop),
}

/// All rules that decided something.
pub struct RuleTotals {
    limit: usize,
    seen: BTreeMap<(HitKey, Hop), u64>,
    series: BTreeMap<Series, u64>,
}

impl RuleTotals {
    /// Empty, for at most `limit` series, and one `other` for each action and hop.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            seen: BTreeMap::new(),
            series: BTreeMap::new(),
        }
    }

    /// Adds what each counter gained since it was last observed. Policies that are gone are
    /// forgotten. Snapshots must come in the order they were taken in.
    pub fn observe(&mut self, snapshot: &RuleSnapshot) {
        for RuleHits {
            key,
            hop,
            name,
            hits,
        } in &snapshot.hits
        {
            let before = self.seen.insert((*key, *hop), *hits).unwrap_or_default();
            // The kernel's map drops what was used least; it begins at 0 again.
            let gained = hits.checked_sub(before).unwrap_or(*hits);
            if gained > 0 {
                *self.entry(name, *hop) += gained;
            }
        }
        // A counter that was not read this time is still there the next.
        self.seen
            .retain(|(key, _), _| snapshot.sets.contains(&key.set));
        self.series.retain(|series, _| match series {
            Series::Known(name, _) => name
                .rule
                .as_ref()
                .is_none_or(|(policy, _)| snapshot.policies.contains(policy)),
            Series::Other(..) => true,
        });
    }

    fn entry(&mut self, name: &RuleName, hop: Hop) -> &mut u64 {
        let known = Series::Known(name.clone(), hop);
        let fits = self.series.len() < self.limit || self.series.contains_key(&known);
        let series = if fits {
            known
        } else {
            Series::Other(name.action, hop)
        };
        self.series.entry(series).or_default()
    }

    /// What each rule decided; without a name those beyond the limit.
    pub fn totals(&self) -> impl Iterator<Item = (Option<&RuleName>, Hop, u64)> {
        self.series.iter().map(|(series, total)| match series {
            Series::Known(name, hop) => (Some(name), *hop, *total),
            Series::Other(_, hop) => (None, *hop, *total),
        })
    }

    /// Values of the labels of [`crate::family::POLICY_HITS`] with the total, ordered.
    pub(crate) fn samples(&self) -> impl Iterator<Item = ([String; 5], u64)> {
        self.series.iter().map(|(series, total)| {
            let (namespace, name, rule, action, hop) = match series {
                Series::Known(known, hop) => match &known.rule {
                    Some(((namespace, name), rule)) => {
                        (&**namespace, &**name, rule.to_string(), known.action, hop)
                    }
                    None => ("none", "none", "none".to_owned(), known.action, hop),
                },
                Series::Other(action, hop) => ("other", "other", "other".to_owned(), *action, hop),
            };
            let labels = [
                namespace.to_owned(),
                name.to_owned(),
                rule,
                action.to_owned(),
                hop.as_str().to_owned(),
            ];
            (labels, *total)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> PolicyName {
        ("shop".into(), name.into())
    }

    fn hits(set: u32, name: &str, hits: u64) -> RuleHits {
        RuleHits {
            key: HitKey { set, clause: 0 },
            hop: Hop::Kernel,
            name: RuleName {
                rule: Some((policy(name), 0)),
                action: "deny",
            },
            hits,
        }
    }

    fn snapshot(sets: &[u32], policies: &[&str], hits: &[RuleHits]) -> RuleSnapshot {
        RuleSnapshot {
            hits: hits.to_vec(),
            sets: sets.iter().copied().collect(),
            policies: policies.iter().copied().map(policy).collect(),
        }
    }

    fn totals(totals: &RuleTotals) -> Vec<(String, u64)> {
        let samples = totals.samples();
        samples
            .map(|([_, name, ..], total)| (name, total))
            .collect()
    }

    #[test]
    fn a_policy_written_anew_goes_on_counting() {
        let mut rules = RuleTotals::new(10);
        rules.observe(&snapshot(&[1], &["a"], &[hits(1, "a", 3)]));
        let both = [hits(1, "a", 4), hits(2, "a", 2)];
        rules.observe(&snapshot(&[1, 2], &["a"], &both));
        assert_eq!(totals(&rules), [("a".into(), 6)]);
        rules.observe(&snapshot(&[2], &["a"], &[hits(2, "a", 2)]));
        assert_eq!(totals(&rules), [("a".into(), 6)]);
    }

    #[test]
    fn a_counter_that_was_missed_once_is_not_counted_twice() {
        let mut rules = RuleTotals::new(10);
        rules.observe(&snapshot(&[1], &["a"], &[hits(1, "a", 3)]));
        rules.observe(&snapshot(&[1], &["a"], &[]));
        rules.observe(&snapshot(&[1], &["a"], &[hits(1, "a", 5)]));
        assert_eq!(totals(&rules), [("a".into(), 5)]);
    }

    #[test]
    fn rules_beyond_the_limit_are_other_and_policies_that_are_gone_are_forgotten() {
        let mut rules = RuleTotals::new(1);
        let three = [hits(1, "a", 1), hits(2, "b", 2), hits(3, "c", 3)];
        rules.observe(&snapshot(&[1, 2, 3], &["a", "b", "c"], &three));
        assert_eq!(totals(&rules), [("a".into(), 1), ("other".into(), 5)]);
        rules.observe(&snapshot(&[2], &["b"], &[hits(2, "b", 2)]));
        assert_eq!(totals(&rules), [("other".into(), 5)]);
        assert_eq!(rules.seen.len(), 1);
    }
}
