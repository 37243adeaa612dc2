//! One connection's verdict, taken by what the kernel takes it by.

use weft_abi::{RuleBits, RuleSet, SetIdentityKey, SetPortKey, SetSourceKey};
use weft_logic::authz::AuthzTables;

use super::RuleTables;

/// The tables of one set as the kernel's decision looks into them, with the answer for one client's
/// identity worked out instead of looked up: it may have no number here.
pub(super) struct MemoryTables<'a> {
    pub(super) tables: &'a RuleTables,
    pub(super) identity: RuleBits,
}

impl AuthzTables for MemoryTables<'_> {
    fn rules(&self, _: u32) -> Option<&RuleSet> {
        Some(self.tables.rule_set())
    }

    fn by_identity(&self, _: &SetIdentityKey) -> Option<&RuleBits> {
        Some(&self.identity)
    }

    fn by_source(&self, key: &SetSourceKey) -> Option<&RuleBits> {
        Some(self.tables.of_source(key.address.into()))
    }

    fn by_port(&self, key: &SetPortKey) -> Option<&RuleBits> {
        self.tables.of_port(key.port)
    }
}
