//! Messages of the gRPC services that the mesh speaks, generated from `proto/` into `gen/` by
//! `cargo xtask gen wire`. Clients and servers are there with the feature `service`.

#![forbid(unsafe_code)]

/// Istio's certificate service, package `istio.v1.auth`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    reason = "generated"
)]
pub mod ca {
    include!("../gen/istio.v1.auth.rs");
}

/// The SPIFFE Workload API, which has no package.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    reason = "generated"
)]
pub mod workload {
    include!("../gen/_.rs");
}
