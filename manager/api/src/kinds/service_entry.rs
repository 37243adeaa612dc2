//! Istio `ServiceEntry`.

mod check;
mod written;

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde_json::Value;

use self::written::Written;
use crate::{Labels, Protocol, Resource, decode::Reading, object::Metadata, path::At};

/// A ServiceEntry: what of it is acted on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceEntry {
    /// `spec.hosts`, lower-case; each is a service of its own. Empty when the entry's resolution is
    /// not supported.
    pub hosts: Vec<Arc<str>>,
    /// `spec.addresses` that are single addresses.
    pub addresses: Vec<IpAddr>,
    /// `spec.ports`.
    pub ports: Vec<EntryPort>,
    /// `spec.endpoints` with addresses.
    pub endpoints: Vec<EntryEndpoint>,
    /// `spec.hosts`, lower-case, whatever the resolution.
    pub names: Vec<Arc<str>>,
    /// `spec.addresses` that are ranges.
    pub networks: Vec<IpNet>,
    /// `spec.resolution`.
    pub resolution: Resolution,
    /// Whether `spec.location` is `MESH_INTERNAL`.
    pub is_in_mesh: bool,
    /// `spec.endpoints` that are host names.
    pub named_endpoints: Vec<Arc<str>>,
    /// `spec.workloadSelector.labels`; none without a selector.
    pub selector: Option<Labels>,
    /// `spec.exportTo`; empty means what the mesh configuration says, by default everywhere.
    pub export_to: Vec<Arc<str>>,
    /// `spec.subjectAltNames`.
    pub subject_alt_names: Vec<Arc<str>>,
}

/// How the endpoints of a ServiceEntry are found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Resolution {
    /// `NONE`: the address that was dialled.
    #[default]
    None,
    /// `STATIC`.
    Static,
    /// `DNS`: all addresses of its hosts or endpoints.
    Dns,
    /// `DNS_ROUND_ROBIN`: one address at a time.
    DnsRoundRobin,
    /// `DYNAMIC_DNS`: the name that the client asked for.
    DynamicDns,
}

/// A port of a ServiceEntry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryPort {
    /// Name.
    pub name: Arc<str>,
    /// Port clients dial.
    pub number: u16,
    /// Transport under its `protocol`.
    pub protocol: Protocol,
    /// `targetPort`, by default the number.
    pub target: u16,
    /// `protocol` in upper case, such as `HTTP`; empty when unset.
    pub application: Arc<str>,
}

/// A static endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryEndpoint {
    /// Where it listens.
    pub address: IpAddr,
    /// `ports`: where it listens instead of the target port, by port name.
    pub ports: Vec<(Arc<str>, u16)>,
    /// `weight`, 1 when unset.
    pub weight: u32,
    /// Zone of `locality` (`region/zone/subzone`).
    pub zone: Option<Arc<str>>,
    /// `labels`, which subsets choose by.
    pub labels: Labels,
    /// `serviceAccount`, if it is set.
    pub service_account: Option<Arc<str>>,
}

const NOT_YET: &str = "is not supported yet";

/// Fields that are read and checked, but that nothing acts on.
const NOT_ACTED_ON: &[(&str, &str)] = &[
    (
        "spec.workloadSelector",
        "is not supported yet; the entry has no endpoints",
    ),
    ("spec.subjectAltNames", NOT_YET),
    ("spec.endpoints[].network", NOT_YET),
    ("spec.endpoints[].serviceAccount", NOT_YET),
];

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: Written = cx.message(object, "spec")?;
    let at = At::top("spec");
    let resolution = check::resolution(&spec, at, cx);
    let is_static = resolution == Resolution::Static;
    check::limits(&spec, at, cx);
    let export_to = spec.export_to.as_deref().unwrap_or(&[]);
    let namespace = &*metadata.key.namespace;
    check::export_to(export_to, namespace, at.key("exportTo"), cx);
    let names = check::hosts(&spec, resolution, at, cx);
    let (addresses, networks) = check::addresses(&spec, resolution, at, cx);
    let text = |list: Option<&Vec<String>>, cx: &mut Reading<'_>| -> Vec<Arc<str>> {
        let list = list.into_iter().flatten();
        list.map(|text| cx.interner.name(text)).collect()
    };
    let entry = ServiceEntry {
        hosts: if is_static { names.clone() } else { Vec::new() },
        addresses,
        ports: check::ports(&spec, at, cx),
        endpoints: check::endpoints(&spec, is_static, at, cx),
        names,
        networks,
        resolution,
        is_in_mesh: check::is_in_mesh(&spec, at, cx),
        named_endpoints: check::named_endpoints(&spec),
        selector: check::selector(&spec, at, cx),
        export_to: text(spec.export_to.as_ref(), cx),
        subject_alt_names: text(spec.subject_alt_names.as_ref(), cx),
    };
    cx.not_acted_on(object, NOT_ACTED_ON);
    Some(Resource::ServiceEntry(Box::new(entry)))
}
