//! Istio's verdicts on a `ServiceEntry` (`ValidateServiceEntry` of istio/istio), and what is kept
//! of it.

mod endpoints;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;

pub(super) use self::endpoints::{endpoints, named_endpoints};
use super::{
    EntryPort, Resolution,
    written::{Port, Written},
};
use crate::{Labels, Protocol, decode::Reading, kinds::visibility, limits, path::At, syntax};

/// Checks `resolution` against the rest.
pub(super) fn resolution(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) -> Resolution {
    let count = spec.endpoints.as_ref().map_or(0, Vec::len);
    let has_selector = spec.workload_selector.is_some();
    if spec.endpoints.is_some() && has_selector {
        cx.reject(
            at,
            "only one of WorkloadSelector or Endpoints is allowed in Service Entry",
        );
    }
    let at_resolution = at.key("resolution");
    let resolution = match spec.resolution.as_deref().unwrap_or("NONE") {
        "STATIC" => {
            if count == 0 && !has_selector {
                let message =
                    "endpoints must be provided if service entry resolution mode is static";
                cx.warn(at.key("endpoints"), message);
            }
            return Resolution::Static;
        }
        "NONE" => {
            let message = "no endpoints should be provided for resolution type none";
            cx.require(count == 0, at.key("endpoints"), message);
            if has_selector {
                let message = "workloadSelector should not be set when resolution mode is NONE";
                cx.warn(at.key("workloadSelector"), message);
            }
            Resolution::None
        }
        "DNS" => Resolution::Dns,
        "DNS_ROUND_ROBIN" => {
            let message = "there must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN";
            cx.require(count <= 1, at.key("endpoints"), message);
            Resolution::DnsRoundRobin
        }
        "DYNAMIC_DNS" => Resolution::DynamicDns,
        other => {
            let known = "use STATIC, DNS, DNS_ROUND_ROBIN, DYNAMIC_DNS or NONE";
            cx.reject(
                at_resolution,
                format_args!("{other:?} is not known; {known}"),
            );
            return Resolution::None;
        }
    };
    let name = spec.resolution.as_deref().unwrap_or("NONE");
    let message = format_args!("resolution {name} is not supported yet; the entry is not used");
    cx.not_supported(at_resolution, message);
    resolution
}

/// Limits of the published definition.
pub(super) fn limits(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) {
    let count = |list: Option<usize>| list.unwrap_or(0);
    for (field, items, most) in [
        ("hosts", count(spec.hosts.as_ref().map(Vec::len)), 256),
        (
            "addresses",
            count(spec.addresses.as_ref().map(Vec::len)),
            256,
        ),
        ("ports", count(spec.ports.as_ref().map(Vec::len)), 256),
        (
            "endpoints",
            count(spec.endpoints.as_ref().map(Vec::len)),
            4096,
        ),
    ] {
        limits::items(items, most, at.key(field), cx);
    }
    let list = at.key("ports");
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let at = list.index(index);
        limits::length(port.name.as_deref().unwrap_or(""), 256, at.key("name"), cx);
        let protocol = port.protocol.as_deref().unwrap_or("");
        limits::length(protocol, 256, at.key("protocol"), cx);
    }
    let list = at.key("endpoints");
    for (index, endpoint) in spec.endpoints.iter().flatten().enumerate() {
        let at = list.index(index);
        for (field, text, most) in [
            ("address", &endpoint.address, 256),
            ("network", &endpoint.network, 2048),
            ("locality", &endpoint.locality, 2048),
            ("serviceAccount", &endpoint.service_account, 253),
        ] {
            limits::length(text.as_deref().unwrap_or(""), most, at.key(field), cx);
        }
        let ports = endpoint.ports.as_ref().map_or(0, BTreeMap::len);
        limits::items(ports, 128, at.key("ports"), cx);
        let labels = endpoint.labels.as_ref().map_or(0, BTreeMap::len);
        limits::items(labels, 256, at.key("labels"), cx);
    }
}

/// Whether `location` says that the hosts are part of the mesh.
pub(super) fn is_in_mesh(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) -> bool {
    let fits = matches!(
        spec.location.as_deref(),
        None | Some("MESH_EXTERNAL" | "MESH_INTERNAL")
    );
    cx.require(
        fits,
        at.key("location"),
        "use MESH_EXTERNAL or MESH_INTERNAL",
    );
    spec.location.as_deref() == Some("MESH_INTERNAL")
}

pub(super) fn export_to(written: &[String], namespace: &str, at: At<'_>, cx: &mut Reading<'_>) {
    visibility::check(written, namespace, true, at, cx);
    for (index, _) in written.iter().enumerate().filter(|(_, to)| *to != "*") {
        let message = "visibility is not supported yet; the hosts are visible everywhere";
        cx.not_supported(at.index(index), message);
    }
}

/// Labels of the workloads behind the hosts.
pub(super) fn selector(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) -> Option<Labels> {
    let selector = spec.workload_selector.as_ref()?;
    let at = at.key("workloadSelector");
    let at = at.key("labels");
    let labels = selector.labels.iter().flatten();
    limits::items(labels.clone().count(), 256, at, cx);
    if labels.clone().next().is_none() {
        let message = "service entry: workload selector specified without labels, \
            will be applied to all services in namespace";
        cx.warn(at, message);
    }
    for (key, value) in labels.clone() {
        let pair = format!("{key}={value}");
        let message = format_args!("empty key is not supported in selector: {pair:?}");
        cx.require(!key.is_empty(), at, message);
        let message = format_args!("wildcard is not supported in selector: {pair:?}");
        cx.require(!pair.contains('*'), at.key(key), message);
        limits::length(value, 63, at.key(key), cx);
    }
    let labels = labels.map(|(key, value)| (cx.interner.name(key), cx.interner.name(value)));
    Some(Labels::new(labels))
}

pub(super) fn hosts(
    spec: &Written,
    resolution: Resolution,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<Arc<str>> {
    let list = at.key("hosts");
    let is_looked_up = matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin)
        && spec.endpoints.as_ref().is_none_or(Vec::is_empty)
        && spec.workload_selector.is_none();
    let written = spec.hosts.as_deref().unwrap_or(&[]);
    cx.require(
        !written.is_empty(),
        list,
        "service entry must have at least one host",
    );
    let mut hosts: Vec<Arc<str>> = Vec::new();
    for (index, written) in written.iter().enumerate() {
        let at = list.index(index);
        let host = cx.interner.name(&written.to_ascii_lowercase());
        if *host == *"*" || !syntax::is_host(&host) {
            cx.reject(at, format_args!("invalid host {written}"));
        } else if hosts.contains(&host) {
            cx.reject(at, format_args!("host {written} is written twice"));
        } else {
            if is_looked_up && host.starts_with('*') {
                let name = spec.resolution.as_deref().unwrap_or("DNS");
                let message = format_args!(
                    "hosts must be FQDN if no endpoints are provided for resolution mode {name}"
                );
                cx.reject(at, message);
            }
            hosts.push(host);
        }
    }
    hosts
}

pub(super) fn addresses(
    spec: &Written,
    resolution: Resolution,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> (Vec<IpAddr>, Vec<IpNet>) {
    let list = at.key("addresses");
    let (mut addresses, mut networks) = (Vec::new(), Vec::new());
    let is_static = resolution == Resolution::Static;
    let may_be_range = is_static || resolution == Resolution::None;
    for (index, written) in spec.addresses.iter().flatten().enumerate() {
        let at = list.index(index);
        limits::length(written, 64, at, cx);
        if written.contains('/') && !may_be_range {
            let message = "CIDR addresses are allowed only for NONE/STATIC resolution types";
            cx.reject(at, message);
        }
        match written.parse::<IpNet>() {
            Ok(range) if range.prefix_len() == range.max_prefix_len() => {
                addresses.extend(cx.address(at, &range.addr().to_string()));
            }
            Ok(range) => {
                let message =
                    format!("the range {range} is not supported yet; name single addresses");
                cx.not_supported(at, message);
                networks.push(range);
            }
            Err(_) => addresses.extend(cx.address(at, written)),
        }
    }
    if is_static && addresses.is_empty() && !cx.is_rejected {
        let message = "an entry without addresses is not supported yet; clients need one to dial";
        cx.not_supported(list, message);
    }
    (addresses, networks)
}

pub(super) fn ports(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) -> Vec<EntryPort> {
    let list = at.key("ports");
    let mut ports: Vec<EntryPort> = Vec::new();
    for (index, written) in spec.ports.iter().flatten().enumerate() {
        let at = list.index(index);
        let Some(port) = port(written, at, cx) else {
            continue;
        };
        if ports.iter().any(|other| other.number == port.number) {
            let message = format!("service entry port {} already defined", port.number);
            cx.reject(at.key("number"), message);
        }
        if ports.iter().any(|other| other.name == port.name) {
            let message = format!("service entry port name {:?} already defined", port.name);
            cx.reject(at.key("name"), message);
        }
        ports.push(port);
    }
    ports
}

fn port(written: &Port, at: At<'_>, cx: &mut Reading<'_>) -> Option<EntryPort> {
    let name = written.name.as_deref().unwrap_or("");
    cx.require(
        !name.is_empty(),
        at.key("name"),
        "service entry port name must be specified",
    );
    let protocol = protocol(written.protocol.as_deref(), at.key("protocol"), cx);
    let number = cx.port(at.key("number"), written.number.unwrap_or(0))?;
    let target = match written.target_port.filter(|port| *port != 0) {
        Some(target) => cx.port(at.key("targetPort"), target)?,
        None => number,
    };
    let application = written.protocol.as_deref().unwrap_or("");
    Some(EntryPort {
        name: cx.interner.name(name),
        application: cx.interner.name(&application.to_ascii_uppercase()),
        number,
        protocol,
        target,
    })
}

/// Everything Istio knows is TCP underneath, but UDP.
fn protocol(written: Option<&str>, at: At<'_>, cx: &mut Reading<'_>) -> Protocol {
    let Some(written) = written else {
        return Protocol::Tcp;
    };
    match written.to_ascii_lowercase().as_str() {
        "udp" => Protocol::Udp,
        "" | "tcp" | "http" | "https" | "http2" | "grpc" | "grpc-web" | "tls" | "mongo"
        | "mysql" | "redis" | "hbone" | "doublehbone" => Protocol::Tcp,
        _ => {
            cx.reject(at, format_args!("unsupported protocol {written}"));
            Protocol::Tcp
        }
    }
}
