//! What tests of a running mesh share: scenes of hosts, servers and policy, and patience.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_types,
    reason = "tests of real sockets wait for real effects, with a deadline"
)]

pub mod mesh;

pub mod scene;

pub use mesh::MeshScene;
pub use scene::{Scene, wait_for};
