//! A local file of workload discovery, as ztunnel reads it from `LOCAL_XDS_PATH`: workloads,
//! policies and services in one YAML document, with ztunnel's field names. A field it does not know
//! is an error, as there; a file with an error is not taken.

mod check;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

pub use check::read;

/// The file.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalXds {
    /// Workloads.
    #[serde(default)]
    pub workloads: Vec<LocalWorkload>,
    /// Authorization policies.
    #[serde(default)]
    pub policies: Vec<LocalPolicy>,
    /// Services.
    #[serde(default)]
    pub services: Vec<LocalService>,
}

/// A workload.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalWorkload {
    /// Line of its first key, from 1.
    #[serde(skip)]
    pub line: u32,
    /// Its addresses.
    pub workload_ips: Vec<IpAddr>,
    /// How peers reach it.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether it shares its node's network.
    #[serde(default)]
    pub network_mode: NetworkMode,
    /// Unique name; empty when unset.
    #[serde(default)]
    pub uid: Arc<str>,
    /// Name.
    #[serde(default)]
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Trust domain; empty means `cluster.local`.
    #[serde(default)]
    pub trust_domain: Arc<str>,
    /// Service account; empty means `default`.
    #[serde(default)]
    pub service_account: Arc<str>,
    /// Name of what it is one of; empty means its own.
    #[serde(default)]
    pub workload_name: Arc<str>,
    /// As metrics name it; empty means the workload's.
    #[serde(default)]
    pub canonical_name: Arc<str>,
    /// As metrics name it; empty means `latest`.
    #[serde(default)]
    pub canonical_revision: Arc<str>,
    /// Node; empty when unset.
    #[serde(default)]
    pub node: Arc<str>,
    /// Policies of scope `WorkloadSelector` that hold for it, as `NAMESPACE/NAME`.
    #[serde(default)]
    pub authorization_policies: Vec<Arc<str>>,
    /// Whether it takes connections.
    #[serde(default)]
    pub status: HealthStatus,
    /// Where it is.
    #[serde(default)]
    pub locality: Locality,
    /// Services it stands behind, as `NAMESPACE/HOSTNAME`: its ports by those of the service.
    #[serde(default)]
    pub services: BTreeMap<Arc<str>, BTreeMap<u16, u16>>,
    /// Its weight.
    #[serde(default = "one")]
    pub capacity: u32,
    #[serde(default)]
    waypoint: Option<Value>,
    #[serde(default)]
    network_gateway: Option<Value>,
    #[serde(default)]
    application_tunnel: Option<Value>,
    #[serde(default)]
    native_tunnel: bool,
    #[serde(default)]
    network: Arc<str>,
    #[serde(default)]
    hostname: Arc<str>,
    #[serde(default, rename = "workloadType")]
    _workload_type: Arc<str>,
    #[serde(default, rename = "clusterId")]
    _cluster_id: Arc<str>,
}

fn one() -> u32 {
    1
}

/// How peers reach a workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// In plain TCP.
    #[default]
    Tcp,
    /// By HBONE.
    Hbone,
}

/// Whether a workload has its own network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum NetworkMode {
    /// It has.
    #[default]
    Standard,
    /// It uses its node's.
    HostNetwork,
}

/// Whether a workload takes connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum HealthStatus {
    /// It does.
    #[default]
    Healthy,
    /// It does not.
    Unhealthy,
}

/// Where a workload is; empty when unset.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Istio's localities")]
pub struct Locality {
    pub region: Arc<str>,
    pub zone: Arc<str>,
    pub subzone: Arc<str>,
}

/// An authorization policy.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalPolicy {
    /// Line of its first key, from 1.
    #[serde(skip)]
    pub line: u32,
    /// Name.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// What it holds for.
    pub scope: LocalScope,
    /// What happens when a rule fits.
    pub action: LocalAction,
    /// One of these must fit: of a rule every clause (there may be none), of a clause some match
    /// (none at all fits everything).
    pub rules: Vec<Vec<Vec<LocalMatch>>>,
    /// Only reported.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a policy holds for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum LocalScope {
    /// Every workload.
    Global,
    /// Its namespace.
    Namespace,
    /// Workloads that name it.
    WorkloadSelector,
}

/// What happens when a rule fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LocalAction {
    Allow,
    Deny,
}

/// All that is asked must fit: some of each list, and none of each `not` list. One that asks
/// nothing never fits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of Istio's messages")]
pub struct LocalMatch {
    pub namespaces: Vec<LocalText>,
    pub not_namespaces: Vec<LocalText>,
    pub service_accounts: Vec<LocalAccount>,
    pub not_service_accounts: Vec<LocalAccount>,
    pub principals: Vec<LocalText>,
    pub not_principals: Vec<LocalText>,
    pub source_ips: Vec<LocalRange>,
    pub not_source_ips: Vec<LocalRange>,
    pub destination_ips: Vec<LocalRange>,
    pub not_destination_ips: Vec<LocalRange>,
    pub destination_ports: Vec<u16>,
    pub not_destination_ports: Vec<u16>,
}

/// A range of addresses, `ADDRESS/LENGTH`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct LocalRange {
    /// An address of the range.
    pub address: IpAddr,
    /// How many bits count, at most 32 or 128.
    pub prefix_length: u8,
}

impl TryFrom<String> for LocalRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Ok(net) = text.parse::<ipnet::IpNet>() else {
            return Err(format!("{text:?} is not ADDRESS/LENGTH"));
        };
        Ok(Self {
            address: net.addr(),
            prefix_length: net.prefix_len(),
        })
    }
}

/// How a text is compared.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub enum LocalText {
    /// Begins so.
    Prefix(Arc<str>),
    /// Ends so.
    Suffix(Arc<str>),
    /// Is this.
    Exact(Arc<str>),
    /// Is there and not empty.
    Presence(Value),
}

/// A service account.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalAccount {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub service_account: Arc<str>,
}

/// A service.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalService {
    /// Line of its first key, from 1.
    #[serde(skip)]
    pub line: u32,
    /// Name.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Host name.
    pub hostname: Arc<str>,
    /// Addresses clients dial, as `NETWORK/ADDRESS`; the network may be empty.
    pub vips: Vec<String>,
    /// Ports of its workloads by its own.
    pub ports: BTreeMap<u16, u16>,
    #[serde(default)]
    endpoints: BTreeMap<Arc<str>, Value>,
    #[serde(default)]
    subject_alt_names: Vec<Arc<str>>,
    #[serde(default)]
    waypoint: Option<Value>,
    #[serde(default)]
    load_balancer: Option<Value>,
    #[serde(default, rename = "ipFamilies")]
    _ip_families: Option<Value>,
    #[serde(default, rename = "canonical")]
    _canonical: bool,
}

impl LocalService {
    /// Its addresses. Those that are none were refused when the file was read.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.vips.iter().filter_map(|vip| check::vip(vip))
    }
}
