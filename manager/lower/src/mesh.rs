//! What the maps hold of the mesh on this node: who is enrolled, who stands at an address, which
//! rules hold for whom, and what clients may open.
//!
//! [`MeshPlanner`] stands beside [`crate::Planner`] and works around it: it first tells it how
//! backends are reached, and plans its own writes once pools have their ids.
//!
//! Reading order: [`MeshFacts`], [`standing`] (what one address asks for), [`names`] (numbers of
//! identities and sets), `sets` (rule sets in use), [`planner`].

pub mod standing;

pub mod names;

mod sets;

pub mod planner;

mod dump;

use std::sync::Arc;

use weft_model::Problem;

pub use dump::MeshDump;
pub use names::MeshNames;
pub use planner::MeshPlanner;
pub use standing::{Modes, Reach};

use crate::MapOp;

/// What must be known of this node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MeshFacts {
    /// Its name, as instances name it.
    pub node: Option<Arc<str>>,
    /// Workloads of this node whose namespaces have our hooks.
    pub enrolments: Vec<NodeEnrolment>,
    /// Whether connections between workloads of this node are encrypted as well.
    pub encrypts_local: bool,
    /// Whether ends of connections are to be told of.
    pub logs: bool,
}

/// A network namespace of this node, and the workload in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeEnrolment {
    /// Its cookie.
    pub netns: u64,
    /// Namespace of the pod or entry.
    pub namespace: Arc<str>,
    /// Name of the pod or entry.
    pub name: Arc<str>,
    /// Port of the proxy's outbound listener in it, 0 while there is none.
    pub proxy_port: u16,
    /// Port where what it opens waits until it is known, 0 where that is refused.
    pub hold_port: u16,
    /// Whether nothing it opens is captured.
    pub bypasses_outbound: bool,
}

/// What to do about one change of the mesh.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MeshPlan {
    /// Writes, to be applied in this order, before those of [`crate::Plan`].
    pub before: Vec<MapOp>,
    /// Writes, to be applied in this order, after those of [`crate::Plan`].
    pub after: Vec<MapOp>,
    /// All that is wrong at present, not only what this change brought.
    pub problems: Vec<Problem>,
}
