//! The rig that tests, demo and benchmarks share: network namespaces, a cgroup subtree, real
//! little servers and clients, and a driver for the `weft` binary.
//!
//! It never touches what it did not make: every namespace, cgroup and directory carries the id of
//! the process that made it, no namespace has a default route (so an address that nothing
//! rewrites is ENETUNREACH and not a packet on somebody's network), and dropping a [`Rig`]
//! removes everything, also while unwinding. What a killed process left is removed by [`sweep`].
//!
//! For tests without a kernel it has [`cases`]: the walk over golden cases.
//!
//! Reading order: [`rig`] (the topology), [`cluster`] (two nodes with pods), [`namespace`],
//! [`cgroup`], [`place`] (where code or a process runs), [`server`], [`client`], [`load`],
//! [`exchange`] (connections of known bytes), [`capture`] (what passed on a wire), [`manifest`] and
//! [`policy`] (what the mesh is told), [`weft`] (the mesh itself), [`metrics`] (what it answers),
//! [`process`] (what it uses), [`snapshot`] (what is left).

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_types,
    reason = "the rig lives at the edge: deadlines and latencies are real"
)]

pub mod cases;

pub mod rig;

pub mod cluster;

pub mod namespace;

pub mod cgroup;

pub mod place;

pub mod server;

pub mod client;

pub mod load;

pub mod exchange;

pub mod capture;

pub mod manifest;

pub mod policy;

pub mod weft;

pub mod metrics;

pub mod process;

pub mod snapshot;

pub use capture::Capture;
pub use cgroup::Cgroup;
pub use cluster::Cluster;
pub use load::Load;
pub use metrics::Metrics;
pub use namespace::Namespace;
pub use place::Place;
pub use policy::PolicyDirectory;
pub use rig::{Rig, skip_reason, sweep};
pub use snapshot::Snapshot;
pub use weft::Weft;
