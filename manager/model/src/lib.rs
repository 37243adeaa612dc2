//! What the mesh means, as plain checked data: services with their frontends, endpoints and
//! balancing, workloads, nodes. No YAML, no protobuf, no BPF, no clock.
//!
//! The compiler makes it, `lower` turns it into map contents, telemetry takes its names from it.
//! Wrong states that a type can forbid cannot be built.

#![forbid(unsafe_code)]

pub mod service;

pub mod workload;

pub mod instance;

pub mod origin;

pub mod route;

pub mod policy;

pub mod status;

mod mesh;

pub use instance::{
    ConnectionLimits, Exclusions, Identity, Instance, InstanceKind, Instances, Tunnel,
};
pub use mesh::{Change, Mesh, Node};
pub use origin::{Origin, Problem, Severity};
pub use service::{
    Balancing, Distribution, Endpoint, Frontend, FrontendKind, Outlier, Port, Protocol, Service,
    ServiceName, TrafficPolicy,
};
pub use workload::Workload;
