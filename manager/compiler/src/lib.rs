//! From resources to the model: what the objects in a [`weft_api::Store`] mean together.
//!
//! [`Compiler::update`] recompiles only the services that depend on the objects that changed, and
//! says what differs. The result is the same as compiling everything from nothing, whatever the
//! order of files and edits. No node, no clock, no I/O: what a single node makes of it is `lower`'s.

#![forbid(unsafe_code)]

pub mod analysis;
mod application;
mod compiler;
mod endpoints;
mod entries;
mod gateways;
mod index;
mod instances;
mod limits;
mod local;
mod merged;
mod nodes;
mod problems;
mod routes;
mod rules;
mod security;
mod services;
mod settings;
mod workloads;

pub mod wds;

pub use application::{Application, application};
pub use compiler::Compiler;
pub use gateways::{CONTROLLER as GATEWAY_CONTROLLER, gateway_status};
pub use local::local_mesh;
pub use problems::from_api as problem;
pub use security::is_kernel_only;
pub use settings::Settings;
pub use workloads::pod_workload;
