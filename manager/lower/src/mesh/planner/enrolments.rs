//! What the maps hold of the workloads enrolled on this node.

use std::collections::BTreeMap;

use weft_abi::{Enrolment, ExcludedKey};
use weft_model::Exclusions;

use super::{MeshPlanner, Steps};
use crate::{MapOp, Planner, authz::range::Prefix};

impl MeshPlanner {
    pub(super) fn plan_enrolments(&mut self, planner: &mut Planner, steps: &mut Steps) {
        let facts = self.facts.clone();
        let mut wanted: BTreeMap<u64, Enrolment> = BTreeMap::new();
        let mut excluded: BTreeMap<ExcludedKey, u32> = BTreeMap::new();
        for enrolment in &facts.enrolments {
            let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
            let mut entry = Enrolment {
                proxy_port: enrolment.hold_port,
                flags: flag(enrolment.bypasses_outbound, Enrolment::BYPASS_OUTBOUND)
                    | flag(facts.encrypts_local, Enrolment::ENCRYPT_LOCAL)
                    | flag(facts.logs, Enrolment::LOGGED),
                ..Enrolment::default()
            };
            let mut addresses = self.addresses(enrolment);
            let standing = addresses.find_map(|address| self.standings.get(&address));
            if let Some(standing) = standing {
                let principal = standing.instance.identity.principal();
                entry.identity = self.names.number(&principal).unwrap_or(0);
                entry.workload = planner.name_workload(&standing.instance.workload);
                entry.proxy_port = enrolment.proxy_port;
                entry.flags |= Enrolment::READY;
                let entries = excluded_entries(enrolment.netns, &standing.instance.exclusions);
                entry.flags |= flag(!entries.is_empty(), Enrolment::EXCLUDES);
                excluded.extend(entries);
            } else {
                entry.flags |= flag(enrolment.hold_port != 0, Enrolment::HOLD);
            }
            wanted.insert(enrolment.netns, entry);
        }
        let held = std::mem::replace(&mut self.image.excluded, excluded);
        let now = &self.image.excluded;
        // Exceptions first: a range must not for a moment take in what it does not.
        for value in [0, 1] {
            let new = now
                .iter()
                .filter(|(key, entry)| **entry == value && held.get(key) != Some(entry));
            let new = new.map(|(key, value)| MapOp::PutExcluded(*key, *value));
            steps.excluded.extend(new);
        }
        // In ascending length: a range goes before what is excepted from it.
        let gone = held.keys().filter(|key| !now.contains_key(key)).copied();
        steps.deletes.extend(gone.map(MapOp::DeleteExcluded));
        let held = self.image.enrolled.keys();
        let gone = held.filter(|netns| !wanted.contains_key(netns));
        let gone: Vec<u64> = gone.copied().collect();
        for netns in gone {
            self.image.enrolled.remove(&netns);
            steps.deletes.push(MapOp::DeleteEnrolment(netns));
        }
        for (netns, entry) in wanted {
            if self.image.enrolled.insert(netns, entry) != Some(entry) {
                steps.enrolments.push(MapOp::PutEnrolment(netns, entry));
            }
        }
    }
}

/// What a workload excludes of what it opens, as entries of `EXCLUDED`.
fn excluded_entries(netns: u64, exclusions: &Exclusions) -> BTreeMap<ExcludedKey, u32> {
    let key = |port, prefix: Prefix| ExcludedKey {
        prefix_length: ExcludedKey::PLACE_BITS + u32::from(prefix.length),
        port,
        reserved: 0,
        netns,
        address: prefix.address(),
    };
    let ranges: Vec<Prefix> = exclusions.outbound_ranges.iter().map(Prefix::of).collect();
    let mut entries = BTreeMap::new();
    // The bits of a range of IPv6 may lie around IPv4, which is not in it.
    if ranges.iter().any(|range| range.surrounds(Prefix::ALL_V4)) {
        entries.insert(key(0, Prefix::ALL_V4), 0);
    }
    entries.extend(ranges.into_iter().map(|range| (key(0, range), 1)));
    let ports = exclusions.outbound_ports.iter();
    entries.extend(ports.map(|port| (key(*port, Prefix::ALL), 1)));
    entries
}
