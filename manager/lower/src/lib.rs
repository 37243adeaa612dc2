//! From the model to exact map contents, and from one state of the maps to the next as ordered
//! steps. Pure: no clock (`now` is an argument), no randomness, no I/O; the same input always
//! gives the same steps.
//!
//! Reading order: [`ops`] (what comes out), [`node`] and [`pool`] (what one service means on this
//! node), [`slots`] (how endpoints become slots), [`registry`] (names that outlive the process),
//! [`planner`] (who holds which index, and what to write), [`canary`], [`outlier`], [`authz`] (layer 4
//! policy as tables), [`mesh`] (who is enrolled and who may).
#![forbid(unsafe_code)]

pub mod ops;

pub mod node;

pub mod pool;

mod intent;

mod selection;

pub mod slots;

pub mod registry;

pub mod planner;

pub mod canary;

pub mod outlier;

pub mod authz;

pub mod mesh;

pub use canary::{CANARY, canary_ops};
pub use mesh::{MeshDump, MeshFacts, MeshNames, MeshPlan, MeshPlanner, NodeEnrolment};
pub use node::NodeFacts;
pub use ops::{Capacity, MapOp};
pub use outlier::{FailureKind, Failures, OutlierCounts, OutlierDetector, Verdict};
pub use planner::{BackendView, MapDump, Plan, Planner, PoolView, RemovedBackend, Shortage, Usage};
pub use pool::{Family, PoolClass, PoolKey};
pub use registry::{PoolName, Registry, RegistryError};
