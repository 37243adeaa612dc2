//! Istio `ServiceEntry`.

mod check;
mod written;

use std::{net::IpAddr, sync::Arc};

use serde_json::Value;

use self::written::Written;
use crate::{Protocol, Resource, decode::Reading, object::Metadata, path::At};

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

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: Written = cx.field(object, "spec")?;
    let at = At::top("spec");
    let is_static = check::resolution(&spec, at, cx);
    check::location(&spec, at, cx);
    check::export_to(&spec, at, cx);
    let hosts = check::hosts(&spec, at, cx);
    let entry = ServiceEntry {
        hosts: if is_static { hosts } else { Vec::new() },
        addresses: check::addresses(&spec, is_static, at, cx),
        ports: check::ports(&spec, at, cx),
        endpoints: check::endpoints(&spec, is_static, at, cx),
    };
    cx.not_acted_on(object, NOT_ACTED_ON);
    Some(Resource::ServiceEntry(Box::new(entry)))
}
