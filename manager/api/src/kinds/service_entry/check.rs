//! Istio's verdicts on a `ServiceEntry` (`ValidateServiceEntry` of istio/istio), and what is kept
//! of it.

use std::{net::IpAddr, sync::Arc};

use super::{
    EntryEndpoint, EntryPort,
    written::{Endpoint, Port, Written},
};
use crate::{Protocol, decode::Reading, path::At, syntax};

/// Checks `resolution` against the rest. True for the one that is supported.
pub(super) fn resolution(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) -> bool {
    let has_endpoints = spec.endpoints.as_ref().is_some_and(|list| !list.is_empty());
    let has_selector = spec.workload_selector.is_some();
    if has_endpoints && has_selector {
        cx.reject(
            at,
            "only one of WorkloadSelector or Endpoints is allowed in Service Entry",
        );
    }
    let at_resolution = at.key("resolution");
    match spec.resolution.as_deref().unwrap_or("NONE") {
        "STATIC" => {
            if !has_endpoints && !has_selector {
                let message =
                    "endpoints must be provided if service entry resolution mode is static";
                cx.warn(at.key("endpoints"), message);
            }
            return true;
        }
        "NONE" => {
            let message = "no endpoints should be provided for resolution type none";
            cx.require(!has_endpoints, at.key("endpoints"), message);
            let message = "resolution NONE is not supported yet; the entry is not used";
            cx.not_supported(at_resolution, message);
        }
        other @ ("DNS" | "DNS_ROUND_ROBIN" | "DYNAMIC_DNS") => {
            let message = format!("resolution {other} is not supported yet; the entry is not used");
            cx.not_supported(at_resolution, message);
        }
        other => {
            let known = "use STATIC, DNS, DNS_ROUND_ROBIN, DYNAMIC_DNS or NONE";
            cx.reject(
                at_resolution,
                format_args!("{other:?} is not known; {known}"),
            );
        }
    }
    false
}

pub(super) fn location(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) {
    let fits = matches!(
        spec.location.as_deref(),
        None | Some("MESH_EXTERNAL" | "MESH_INTERNAL")
    );
    cx.require(
        fits,
        at.key("location"),
        "use MESH_EXTERNAL or MESH_INTERNAL",
    );
}

pub(super) fn export_to(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("exportTo");
    for (index, to) in spec.export_to.iter().flatten().enumerate() {
        let at = list.index(index);
        let fits = matches!(to.as_str(), "." | "*" | "~") || syntax::is_label(to);
        cx.require(
            fits,
            at,
            format_args!("{to:?} is not a namespace, \".\", \"*\" or \"~\""),
        );
        if to != "*" {
            let message = "visibility is not supported yet; the hosts are visible everywhere";
            cx.not_supported(at, message);
        }
    }
}

pub(super) fn hosts(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) -> Vec<Arc<str>> {
    let list = at.key("hosts");
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
            hosts.push(host);
        }
    }
    hosts
}

pub(super) fn addresses(
    spec: &Written,
    is_used: bool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<IpAddr> {
    let list = at.key("addresses");
    let mut addresses = Vec::new();
    for (index, written) in spec.addresses.iter().flatten().enumerate() {
        let at = list.index(index);
        match written.parse::<ipnet::IpNet>() {
            Ok(range) if range.prefix_len() == range.max_prefix_len() => {
                addresses.extend(cx.address(at, &range.addr().to_string()));
            }
            Ok(range) => {
                let message =
                    format!("the range {range} is not supported yet; name single addresses");
                cx.not_supported(at, message);
            }
            Err(_) => addresses.extend(cx.address(at, written)),
        }
    }
    if is_used && addresses.is_empty() && !cx.is_rejected {
        let message = "an entry without addresses is not supported yet; clients need one to dial";
        cx.not_supported(list, message);
    }
    addresses
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
            let message = format!("service entry port number {} already defined", port.number);
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
    Some(EntryPort {
        name: cx.interner.name(name),
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

pub(super) fn endpoints(
    spec: &Written,
    is_static: bool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<EntryEndpoint> {
    let list = at.key("endpoints");
    let mut endpoints = Vec::new();
    for (index, written) in spec.endpoints.iter().flatten().enumerate() {
        let at = list.index(index);
        let ports = endpoint_ports(written, spec, at, cx);
        for (key, value) in written.labels.iter().flatten() {
            let fits = syntax::is_label_key(key) && syntax::is_label_value(value);
            let at = at.key("labels");
            cx.require(
                fits,
                at.key(key),
                format_args!("{key}: {value} is not a valid label"),
            );
        }
        let weight = written.weight.unwrap_or(1);
        let Ok(weight) = u32::try_from(weight) else {
            cx.reject(
                at.key("weight"),
                format_args!("{weight} must be non-negative"),
            );
            continue;
        };
        let address = written.address.as_deref().unwrap_or("");
        let Some(address) = endpoint_address(address, is_static, at, cx) else {
            continue;
        };
        let zone = zone(written.locality.as_deref(), at, cx);
        // Istio reads a weight of 0 as unset (`WorkloadEntry.weight` is a plain number).
        endpoints.push(EntryEndpoint {
            address,
            ports,
            weight: weight.max(1),
            zone,
        });
    }
    endpoints
}

fn endpoint_ports(
    written: &Endpoint,
    spec: &Written,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<(Arc<str>, u16)> {
    let at = at.key("ports");
    let mut ports = Vec::new();
    for (name, number) in written.ports.iter().flatten() {
        let at = at.key(name);
        let is_defined = spec
            .ports
            .iter()
            .flatten()
            .any(|port| port.name.as_deref() == Some(name.as_str()));
        let message = format_args!("endpoint port {name} is not defined by the service entry");
        cx.require(is_defined, at, message);
        if let Some(number) = cx.port(at, *number) {
            ports.push((cx.interner.name(name), number));
        }
    }
    ports
}

fn endpoint_address(
    written: &str,
    is_static: bool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Option<IpAddr> {
    let at = at.key("address");
    if written.is_empty() {
        cx.reject(at, "an endpoint needs an address");
        None
    } else if written.starts_with("unix://") {
        cx.not_supported(
            at,
            "unix domain sockets are not supported yet; the endpoint is skipped",
        );
        None
    } else if is_static {
        cx.address(at, written)
    } else {
        let fits = written.parse::<IpAddr>().is_ok() || syntax::is_host(written);
        cx.require(
            fits,
            at,
            format_args!("{written:?} is not an address or a host name"),
        );
        None
    }
}

fn zone(locality: Option<&str>, at: At<'_>, cx: &mut Reading<'_>) -> Option<Arc<str>> {
    let locality = locality?;
    let mut parts = locality.split('/');
    let fits = locality.split('/').count() <= 3 && !locality.split('/').any(str::is_empty);
    cx.require(
        fits || locality.is_empty(),
        at.key("locality"),
        format_args!("{locality:?} is not region/zone/subzone"),
    );
    let zone = parts.nth(1).filter(|zone| !zone.is_empty())?;
    Some(cx.interner.name(zone))
}
