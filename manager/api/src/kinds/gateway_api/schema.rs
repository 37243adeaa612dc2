//! The schemas of the published CustomResourceDefinitions (v1.6, experimental channel).

pub(super) mod backend_tls_policy;
pub(super) mod filters;
pub(super) mod gateway;
pub(super) mod grpc_route;
pub(super) mod http_route;
pub(super) mod parts;
pub(super) mod persistence;
pub(super) mod small;
pub(super) mod stream_route;

#[cfg(test)]
mod published;
