//! Istio `VirtualService`: what is written, with Istio's verdict on it.

mod check;
pub mod http;
pub mod stream;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

pub use crate::proto::{Percent, PortSelector, StringMatch};
use crate::{Resource, decode::Reading, object::Metadata};

/// A VirtualService (`networking/v1/virtual_service.proto` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualService {
    /// `hosts` as written: short names, full names, leading wildcards, addresses. Empty in a
    /// delegate.
    pub hosts: Vec<Arc<str>>,
    /// `gateways` as written (`name`, `namespace/name`, `mesh`); empty means `mesh`.
    pub gateways: Vec<Arc<str>>,
    /// `exportTo`; empty means what the mesh configuration says, by default everywhere.
    pub export_to: Vec<Arc<str>>,
    /// Rules for requests; the first that matches is used.
    pub http: Vec<http::HttpRoute>,
    /// Rules for TLS connections that are not opened.
    pub tls: Vec<stream::TlsRoute>,
    /// Rules for other connections.
    pub tcp: Vec<stream::TcpRoute>,
}

impl VirtualService {
    /// Whether it has no hosts: another VirtualService delegates to it.
    pub fn is_delegate(&self) -> bool {
        self.hosts.is_empty()
    }
}

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let service: VirtualService = cx.message(object, "spec")?;
    check::virtual_service(&service, &metadata.key.namespace, cx);
    Some(Resource::VirtualService(Box::new(service)))
}
