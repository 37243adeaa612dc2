//! An instance: one pod or workload entry, as the mesh meets it at its addresses.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{Origin, Workload, policy::AddressRange};

/// One pod or workload entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Instance {
    /// Namespace.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// What it is.
    pub kind: InstanceKind,
    /// Where it was written.
    pub origin: Origin,
    /// What it is one of.
    pub workload: Arc<Workload>,
    /// Labels that selectors of policies see, in ascending key.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Who it is.
    pub identity: Identity,
    /// Node it runs on, where it is known.
    pub node: Option<Arc<str>>,
    /// Whether it takes part in the mesh, by what it and its namespace say.
    pub is_enrolled: bool,
    /// How peers on other nodes reach it.
    pub tunnel: Tunnel,
    /// What of its traffic is left alone.
    pub exclusions: Exclusions,
}

/// What an instance is. Where two have one name, the first kind is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum InstanceKind {
    /// A Kubernetes pod.
    Pod,
    /// A WorkloadEntry.
    WorkloadEntry,
    /// A workload of a local workload discovery file.
    Local,
}

/// How peers on other nodes reach a workload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
pub enum Tunnel {
    /// In plain TCP.
    #[default]
    None,
    /// By HBONE: HTTP/2 CONNECT inside mTLS, port 15008.
    Hbone,
}

/// A SPIFFE identity of Istio's form, `spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Identity {
    /// Trust domain.
    pub trust_domain: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Service account.
    pub account: Arc<str>,
}

impl Identity {
    /// The identity without `spiffe://`, as policies name principals.
    pub fn principal(&self) -> String {
        let Self {
            trust_domain,
            namespace,
            account,
        } = self;
        format!("{trust_domain}/ns/{namespace}/sa/{account}")
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}", self.principal())
    }
}

/// What of an instance's traffic is left alone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Exclusions {
    /// `ambient.istio.io/bypass-inbound-capture`: incoming connections are not looked at.
    pub bypasses_inbound: bool,
    /// `traffic.istio.io/excludeInboundPorts`: ports it listens on that are no affair of the mesh.
    pub inbound_ports: Vec<u16>,
    /// `traffic.istio.io/excludeOutboundPorts`: ports it dials that are not captured.
    pub outbound_ports: Vec<u16>,
    /// `traffic.istio.io/excludeOutboundIPRanges`: addresses it dials that are not captured.
    pub outbound_ranges: Vec<AddressRange>,
}

impl Exclusions {
    /// Whether what it dials is not captured.
    pub fn excludes_outbound(&self, address: Option<IpAddr>, port: u16) -> bool {
        let mut ranges = self.outbound_ranges.iter();
        self.outbound_ports.contains(&port)
            || address.is_some_and(|address| ranges.any(|range| range.contains(address)))
    }

    /// Each in words.
    pub fn in_words(&self) -> Vec<String> {
        let inbound = self.inbound_ports.iter();
        let outbound = self.outbound_ports.iter();
        let bypass = self.bypasses_inbound.then(|| "inbound".to_owned());
        let inbound = inbound.map(|port| format!("inbound port {port}"));
        let outbound = outbound.map(|port| format!("outbound port {port}"));
        let ranges = self.outbound_ranges.iter();
        let ranges =
            ranges.map(|range| format!("outbound {}/{}", range.address, range.prefix_length));
        let all = bypass.into_iter().chain(inbound);
        all.chain(outbound).chain(ranges).collect()
    }
}

/// Limits on connections of each client identity to a service (`RateLimitPolicy`), at least one of
/// them set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConnectionLimits {
    /// The policy that says so.
    pub origin: Origin,
    /// New connections per second.
    pub per_second: Option<u32>,
    /// Connections that may be opened at once above the rate, at least 1.
    pub burst: u32,
    /// Open connections.
    pub concurrent: Option<u32>,
}

/// Instances by address.
pub type Instances = std::collections::BTreeMap<IpAddr, Arc<Instance>>;
