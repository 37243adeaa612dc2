//! Layer 4 authorization as tables: policies become clauses, clauses become a rule set with one
//! table per question, and the same verdict falls out of the tables as out of the policies.
//!
//! Reading order: `clause` (policies to clauses), `range` (addresses as prefixes), [`tables`]
//! (clauses to a rule set), `verdict` (a connection's).

mod clause;

pub(crate) mod range;

pub mod tables;

mod verdict;

pub use clause::{Bank, Provenance};
pub use tables::{RuleTables, held};
pub use weft_logic::authz::{Decision, Verdict};
