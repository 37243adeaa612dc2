//! `Gateway`.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::{LabelSelector, LocalRef, ObjectRef};

/// A Gateway.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Name of its GatewayClass.
    pub gateway_class_name: Arc<str>,
    /// Listeners, at least one, names unique.
    pub listeners: Vec<Listener>,
    /// Addresses asked for.
    #[serde(default)]
    pub addresses: Vec<GatewayAddress>,
    /// `infrastructure.parametersRef`.
    #[serde(default)]
    pub infrastructure: Infrastructure,
    /// TLS for the Gateway as a whole.
    #[serde(default)]
    pub tls: GatewayTls,
}

/// What is asked of the infrastructure.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Infrastructure {
    /// Labels for what is created.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Annotations for what is created.
    pub annotations: BTreeMap<Arc<str>, Arc<str>>,
    /// Settings an implementation defines.
    pub parameters_ref: Option<LocalRef>,
}

/// An address asked for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub struct GatewayAddress {
    /// `IPAddress`, `Hostname`, `NamedAddress`, or a type with a domain.
    #[serde(rename = "type")]
    pub address_type: Arc<str>,
    /// The address; the implementation's choice when absent or empty.
    pub value: Option<Arc<str>>,
}

/// Where a Gateway listens.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Name, unique in the Gateway.
    pub name: Arc<str>,
    /// Hosts, all when absent; may begin with `*.`.
    pub hostname: Option<Arc<str>>,
    /// Port.
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or a protocol with a domain.
    pub protocol: Arc<str>,
    /// Settings for `HTTPS` and `TLS`.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    pub allowed_routes: AllowedRoutes,
}

/// TLS of a listener.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// Who ends it.
    pub mode: TlsMode,
    /// Certificates: Secrets by default.
    #[serde(default)]
    pub certificate_refs: Vec<ObjectRef>,
    /// Settings an implementation defines.
    #[serde(default)]
    pub options: BTreeMap<Arc<str>, Arc<str>>,
}

/// Who ends TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum TlsMode {
    /// The Gateway.
    Terminate,
    /// The backend.
    Passthrough,
}

/// Which routes may attach.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct AllowedRoutes {
    /// From which namespaces.
    pub namespaces: RouteNamespaces,
    /// Of which kinds; those of the protocol when empty.
    #[serde(default)]
    pub kinds: Vec<RouteKind>,
}

/// From which namespaces routes may attach.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct RouteNamespaces {
    /// Which.
    pub from: NamespacesFrom,
    /// For [`NamespacesFrom::Selector`].
    pub selector: Option<LabelSelector>,
}

/// Which namespaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum NamespacesFrom {
    /// Every one.
    All,
    /// Those with labels.
    Selector,
    /// The Gateway's own.
    Same,
}

/// A kind of route.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub struct RouteKind {
    /// API group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
}

/// TLS for the Gateway as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GatewayTls {
    /// Towards backends.
    pub backend: Option<GatewayBackendTls>,
    /// Towards clients.
    pub frontend: Option<GatewayFrontendTls>,
}

/// TLS of a Gateway towards backends.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayBackendTls {
    /// The Gateway's own certificate.
    pub client_certificate_ref: Option<ObjectRef>,
}

/// TLS of a Gateway towards clients.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayFrontendTls {
    /// For all ports without settings of their own.
    pub default: FrontendSettings,
    /// By port.
    #[serde(default)]
    pub per_port: Vec<PortSettings>,
}

/// TLS towards clients at one port.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct PortSettings {
    /// The port.
    pub port: u16,
    /// Its settings.
    pub tls: FrontendSettings,
}

/// TLS towards clients.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FrontendSettings {
    /// How client certificates are checked; not asked for when absent.
    pub validation: Option<FrontendValidation>,
}

/// How client certificates are checked.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendValidation {
    /// Trusted certificates: ConfigMaps with `ca.crt`.
    pub ca_certificate_refs: Vec<ObjectRef>,
    /// `AllowValidOnly` or `AllowInsecureFallback`.
    pub mode: Arc<str>,
}
