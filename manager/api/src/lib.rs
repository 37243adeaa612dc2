//! What users write: Kubernetes and Istio resources as YAML or JSON, their validation, and a
//! [`Store`] that holds the last good state of every object.
//!
//! Verdicts are those of Kubernetes' and Istio's own validation; objects are kept in a compact form
//! because there may be a million endpoints. Nothing here knows what an object *means*: that is the
//! compiler's. No file is read, no clock asked; text comes in, objects and [`Problem`]s go out.

#![forbid(unsafe_code)]

mod base64;
mod cel;
mod decode;
mod document;
pub mod fields;
mod intern;
mod kinds;
mod labels;
mod limits;
pub mod local_xds;
mod object;
mod path;
mod problem;
mod proto;
pub mod re2;
mod schema;
mod store;
mod syntax;
mod yaml;

pub use document::{Items, item_line};
pub use kinds::{
    Kind, Resource,
    authorization_policy::{
        Action, AuthorizationCondition, AuthorizationOperation, AuthorizationPolicy,
        AuthorizationRule, AuthorizationSource, Values,
    },
    capture::Capture,
    destination_rule::{DestinationRule, LoadBalancing, OutlierDetection, Policy, Subset, traffic},
    endpoint_slice::{Conditions, Endpoint, EndpointSlice, Hints, SlicePort},
    extension, gateway_api, istio_gateway, mesh_config,
    namespace::Namespace,
    node::Node,
    peer_authentication::{MtlsMode, PeerAuthentication},
    pod::{ContainerPort, Owner, Phase, Pod},
    pod_template::PodTemplate,
    rate_limit_policy::{ConnectionLimit, RateLimitPolicy},
    request_authentication::{JwtRule, RequestAuthentication},
    scope::{PolicyScope, TargetKind, TargetRef},
    service::{Service, ServicePort, ServiceType, TargetPort, TrafficPolicy},
    service_account::{ConfigMap, Secret},
    service_entry::{EntryEndpoint, EntryPort, Resolution, ServiceEntry},
    sidecar::Sidecar,
    telemetry, virtual_service,
    workload_entry::WorkloadEntry,
    workload_group,
};
pub use labels::Labels;
pub use object::{Object, ObjectKey};
pub use problem::{Origin, Problem, Severity};
pub use store::{FileOutcome, KnownPod, Store};
pub use syntax::{Distribution, Protocol};

/// Reads a text as a file of resources and forgets the result: the entry for fuzzing. It never
/// panics, whatever the bytes.
pub fn read_and_forget(text: &str) {
    Store::default().put_file("fuzz.yaml", text);
}
