//! Kubernetes `EndpointSlice`.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::discovery::v1 as k8s;
use serde::Deserialize;
use serde_json::Value;

use crate::{Protocol, Resource, Severity, decode::Reading, object::Metadata, path::At, syntax};

/// Label that names the service of a slice.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Endpoints of a service, or a part of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointSlice {
    /// Label `kubernetes.io/service-name`: the service in the slice's namespace.
    pub service: Option<Arc<str>>,
    /// Ports, matched with those of the service by name.
    pub ports: Box<[SlicePort]>,
    /// Endpoints as written.
    pub endpoints: Box<[Endpoint]>,
}

/// A port that every endpoint of a slice listens on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlicePort {
    /// Name, empty when unnamed.
    pub name: Arc<str>,
    /// Port it listens on.
    pub number: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// An endpoint. There may be a million.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Its (first) address.
    pub address: IpAddr,
    /// What state it is in.
    pub conditions: Conditions,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `zone`.
    pub zone: Option<Arc<str>>,
    /// Name of the pod that `targetRef` points to, in the slice's namespace.
    pub pod: Option<Arc<str>>,
    /// `hints`, shared by consecutive endpoints that have the same.
    pub hints: Option<Arc<Hints>>,
}

/// Conditions of an endpoint, with Kubernetes' defaults applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// `ready`; unset is true.
    pub ready: bool,
    /// `serving`; unset is as `ready`.
    pub serving: bool,
    /// `terminating`; unset is false.
    pub terminating: bool,
}

/// Who should use an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hints {
    /// `forZones`.
    pub zones: Option<Arc<[Arc<str>]>>,
    /// `forNodes`.
    pub nodes: Option<Arc<[Arc<str>]>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    address_type: Option<String>,
    endpoints: Option<Vec<k8s::Endpoint>>,
    ports: Option<Vec<k8s::EndpointPort>>,
}

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let written: Written = cx.whole(object)?;
    let is_v6 = match written.address_type.as_deref() {
        Some("IPv4") => Some(false),
        Some("IPv6") => Some(true),
        Some("FQDN") => {
            cx.not_supported(
                At::top("addressType"),
                "FQDN endpoints are not supported yet",
            );
            None
        }
        Some(other) => {
            let known = "use IPv4, IPv6 or FQDN";
            cx.reject(
                At::top("addressType"),
                format_args!("{other:?} is not known; {known}"),
            );
            None
        }
        None => {
            cx.reject(At::top("addressType"), "is required: IPv4, IPv6 or FQDN");
            None
        }
    };
    let written_endpoints = written.endpoints.unwrap_or_default();
    let at = At::top("endpoints");
    cx.require(
        written_endpoints.len() <= 1000,
        at,
        "a slice has at most 1000 endpoints",
    );
    let endpoints = match is_v6 {
        Some(is_v6) => endpoints(&written_endpoints, is_v6, &metadata.key.namespace, cx),
        None => Box::default(),
    };
    Some(Resource::EndpointSlice(EndpointSlice {
        service: metadata.labels.value(SERVICE_NAME).cloned(),
        ports: ports(&written.ports.unwrap_or_default(), cx),
        endpoints,
    }))
}

fn endpoints(
    written: &[k8s::Endpoint],
    is_v6: bool,
    namespace: &str,
    cx: &mut Reading<'_>,
) -> Box<[Endpoint]> {
    let list = At::top("endpoints");
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(written.len());
    for (index, endpoint) in written.iter().enumerate() {
        let at = list.index(index);
        let Some(address) = first_address(&endpoint.addresses, is_v6, at, cx) else {
            continue;
        };
        let target = endpoint.target_ref.as_ref();
        let target = target.filter(|target| {
            target.kind.as_deref() == Some("Pod")
                && target
                    .namespace
                    .as_deref()
                    .is_none_or(|other| other == namespace)
        });
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions
            .and_then(|conditions| conditions.ready)
            .unwrap_or(true);
        let hints = hints(endpoint.hints.as_ref(), endpoints.last(), cx);
        let mut shared = |name: Option<&str>| {
            name.filter(|name| !name.is_empty())
                .map(|name| cx.interner.name(name))
        };
        endpoints.push(Endpoint {
            address,
            conditions: Conditions {
                ready,
                serving: conditions
                    .and_then(|conditions| conditions.serving)
                    .unwrap_or(ready),
                terminating: conditions.and_then(|c| c.terminating).unwrap_or(false),
            },
            node: shared(endpoint.node_name.as_deref()),
            zone: shared(endpoint.zone.as_deref()),
            pod: shared(target.and_then(|target| target.name.as_deref())),
            hints,
        });
    }
    endpoints.into_boxed_slice()
}

fn first_address(
    addresses: &[String],
    is_v6: bool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Option<IpAddr> {
    let at = at.key("addresses");
    let Some(first) = addresses.first() else {
        cx.reject(at, "an endpoint needs an address");
        return None;
    };
    if addresses.len() > 1 {
        cx.warn(
            at,
            "only the first address of an endpoint is used, as in Kubernetes",
        );
    }
    let address = cx.address(at.index(0), first)?;
    if address.is_ipv6() != is_v6 {
        cx.reject(
            at.index(0),
            format_args!("{address} is not of the slice's addressType"),
        );
        return None;
    }
    Some(address)
}

fn hints(
    written: Option<&k8s::EndpointHints>,
    previous: Option<&Endpoint>,
    cx: &mut Reading<'_>,
) -> Option<Arc<Hints>> {
    let written = written?;
    let zones = written.for_zones.as_ref().filter(|zones| !zones.is_empty());
    let nodes = written.for_nodes.as_ref().filter(|nodes| !nodes.is_empty());
    if zones.is_none() && nodes.is_none() {
        return None;
    }
    let hints = Hints {
        zones: zones.map(|zones| {
            zones
                .iter()
                .map(|zone| cx.interner.name(&zone.name))
                .collect()
        }),
        nodes: nodes.map(|nodes| {
            nodes
                .iter()
                .map(|node| cx.interner.name(&node.name))
                .collect()
        }),
    };
    match previous.and_then(|previous| previous.hints.as_ref()) {
        Some(previous) if **previous == hints => Some(Arc::clone(previous)),
        _ => Some(Arc::new(hints)),
    }
}

fn ports(written: &[k8s::EndpointPort], cx: &mut Reading<'_>) -> Box<[SlicePort]> {
    let list = At::top("ports");
    let mut ports: Vec<SlicePort> = Vec::new();
    for (index, port) in written.iter().enumerate() {
        let at = list.index(index);
        let name = port.name.as_deref().unwrap_or("");
        let fits = name.is_empty() || syntax::is_label(name);
        cx.require(
            fits,
            at.key("name"),
            format_args!("{name:?} is not a valid port name"),
        );
        let is_new = ports.iter().all(|other| *other.name != *name);
        cx.require(
            is_new,
            at.key("name"),
            format_args!("port name {name:?} is used twice"),
        );
        let protocol = match port.protocol.as_deref() {
            None | Some("TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => {
                cx.not_supported(at.key("protocol"), "SCTP is not supported yet");
                continue;
            }
            Some(other) => {
                cx.reject(
                    at.key("protocol"),
                    format_args!("{other:?} is not TCP, UDP or SCTP"),
                );
                continue;
            }
        };
        let Some(number) = port.port else {
            let message = "a port without a number, meaning all ports, is not supported yet";
            cx.find(
                Severity::Warning,
                "not-supported",
                at.key("port").into(),
                message,
            );
            continue;
        };
        let Some(number) = cx.port(at.key("port"), i64::from(number)) else {
            continue;
        };
        ports.push(SlicePort {
            name: cx.interner.name(name),
            number,
            protocol,
        });
    }
    ports.into_boxed_slice()
}
