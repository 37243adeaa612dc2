//! Istio's verdicts on a `VirtualService` (`pkg/config/validation` of istio/istio).

mod action;
mod header;
mod http;
mod stream;

use std::net::IpAddr;

use super::VirtualService;
use crate::{
    Labels, Severity,
    decode::Reading,
    kinds::visibility,
    path::At,
    proto::{PortSelector, StringMatch},
    re2, syntax,
};

/// The gateway that stands for all workloads of the mesh.
const MESH: &str = "mesh";

pub(super) fn virtual_service(service: &VirtualService, namespace: &str, cx: &mut Reading<'_>) {
    let at = At::top("spec");
    gateway_names(&service.gateways, at.key("gateways"), cx);
    if service.is_delegate() {
        delegate(service, at, cx);
    } else {
        hosts(service, at.key("hosts"), cx);
    }
    let is_empty = service.http.is_empty() && service.tcp.is_empty() && service.tls.is_empty();
    cx.require(
        !is_empty,
        at,
        "http, tcp or tls must be provided in virtual service",
    );
    let list = at.key("http");
    for (index, route) in service.http.iter().enumerate() {
        http::route(route, service.is_delegate(), list.index(index), cx);
    }
    covered(service, list, cx);
    let list = at.key("tls");
    for (index, route) in service.tls.iter().enumerate() {
        stream::tls_route(route, service, list.index(index), cx);
    }
    let list = at.key("tcp");
    for (index, route) in service.tcp.iter().enumerate() {
        stream::tcp_route(route, list.index(index), cx);
    }
    visibility::check(&service.export_to, namespace, false, at.key("exportTo"), cx);
}

/// Warns of prefixes that begin with one that an earlier match takes whole.
fn covered(service: &VirtualService, list: At<'_>, cx: &mut Reading<'_>) {
    let mut taken: Vec<(&str, usize, usize)> = Vec::new();
    for (rule, route) in service.http.iter().enumerate() {
        let at = list.index(rule);
        let matches = at.key("match");
        for (index, one) in route.matches.iter().enumerate() {
            let Some(StringMatch::Prefix(prefix)) = &one.uri else {
                continue;
            };
            // The same prefix again is for IST0131 of `weft analyze` to say.
            let is_longer = |earlier: &str| earlier != &**prefix && prefix.starts_with(earlier);
            let earlier = taken.iter().find(|(earlier, ..)| is_longer(earlier));
            if let Some((earlier, rule, earlier_index)) = earlier {
                let message = format_args!(
                    "prefix {prefix} is not used: http[{rule}].match[{earlier_index}] takes all that \
                     begins with {earlier}"
                );
                let at = matches.index(index).into();
                cx.find(Severity::Warning, "covered-match", at, message);
            }
            if one.is_prefix_alone() && &**prefix != "/" {
                taken.push((prefix, rule, index));
            }
        }
    }
}

/// A VirtualService without hosts holds rules for others.
fn delegate(service: &VirtualService, at: At<'_>, cx: &mut Reading<'_>) {
    cx.require(
        service.gateways.is_empty(),
        at.key("gateways"),
        "delegate virtual service must have no gateways specified",
    );
    cx.require(
        service.tls.is_empty(),
        at.key("tls"),
        "delegate virtual service must have no tls route specified",
    );
    cx.require(
        service.tcp.is_empty(),
        at.key("tcp"),
        "delegate virtual service must have no tcp route specified",
    );
    if service.http.is_empty() {
        cx.reject(
            at.key("hosts"),
            "virtual service must have at least one host",
        );
    }
}

fn hosts(service: &VirtualService, at: At<'_>, cx: &mut Reading<'_>) {
    let is_on_mesh =
        service.gateways.is_empty() || service.gateways.iter().any(|name| **name == *MESH);
    for (index, host) in service.hosts.iter().enumerate() {
        let at = at.index(index);
        let is_valid = syntax::is_host(host) || host.parse::<IpAddr>().is_ok();
        cx.require(
            is_valid,
            at,
            format_args!(
                "domain name {host:?} is invalid: it is neither a host name nor an address"
            ),
        );
        if is_on_mesh && **host == *"*" {
            let message =
                "wildcard host * is not allowed for virtual services bound to the mesh gateway";
            cx.reject(at, message);
        }
        let covered = service.hosts[..index]
            .iter()
            .find(|other| syntax::hosts_overlap(other, host));
        if let Some(other) = covered {
            let message = format!("duplicate hosts in virtual service: {other} & {host}");
            cx.reject(at, message);
        }
    }
}

/// Judges names of gateways: `mesh`, `name` or `namespace/name`.
fn gateway_names(names: &[std::sync::Arc<str>], at: At<'_>, cx: &mut Reading<'_>) {
    for (index, name) in names.iter().enumerate() {
        let at = at.index(index);
        let Some((namespace, name)) = name.split_once('/') else {
            if let Some((gateway, rest)) = name.split_once('.') {
                let namespace = rest.split('.').next().unwrap_or(rest);
                let message = format!(
                    "using legacy gatewayName format {name:?}; \
                     prefer the <namespace>/<name> format: \"{namespace}/{gateway}\""
                );
                cx.warn(at, message);
            }
            let fits = syntax::is_host(name) && !name.starts_with('*');
            cx.require(
                fits,
                at,
                format_args!("invalid value for gateway name: {name:?}"),
            );
            continue;
        };
        if namespace.is_empty() || name.is_empty() {
            cx.reject(at, "config namespace and gateway name cannot be empty");
            continue;
        }
        cx.require(
            syntax::is_label(namespace),
            at,
            format_args!("invalid value for namespace: {namespace:?}"),
        );
        cx.require(
            syntax::is_label(name),
            at,
            format_args!("invalid value for gateway name: {name:?}"),
        );
    }
}

/// Judges what a client must be like, and the port it dials.
fn client(
    (port, labels, namespace): (u32, &Labels, &str),
    gateways: &[std::sync::Arc<str>],
    at: At<'_>,
    cx: &mut Reading<'_>,
) {
    if port != 0 {
        cx.port(at.key("port"), i64::from(port));
    }
    source_labels(labels, at.key("sourceLabels"), cx);
    if !namespace.is_empty() {
        cx.require(
            syntax::is_label(namespace),
            at.key("sourceNamespace"),
            format_args!("sourceNamespace match {namespace} is invalid"),
        );
    }
    gateway_names(gateways, at.key("gateways"), cx);
}

fn source_labels(labels: &Labels, at: At<'_>, cx: &mut Reading<'_>) {
    for (key, value) in labels.iter() {
        cx.require(
            syntax::is_label_key(key),
            at.key(key),
            format_args!("invalid tag key: {key:?}"),
        );
        cx.require(
            syntax::is_label_value(value),
            at.key(key),
            format_args!("invalid tag value: {value:?}"),
        );
    }
}

/// Judges a match of a text; `name` is what Istio calls the field.
fn string_match(matching: &StringMatch, name: &str, at: At<'_>, cx: &mut Reading<'_>) {
    match matching {
        StringMatch::Prefix(prefix) if prefix.is_empty() => cx.reject(
            at,
            format_args!("{name:?}: prefix string match should not be empty"),
        ),
        StringMatch::Regex(pattern) => regex(pattern, name, at, cx),
        _ => {}
    }
}

fn regex(pattern: &str, name: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if let Err(fault) = re2::translate(pattern) {
        cx.reject(at, format_args!("{name:?}: {fault}"));
    }
}

fn subnets(written: &[std::sync::Arc<str>], at: At<'_>, cx: &mut Reading<'_>) {
    for (index, subnet) in written.iter().enumerate() {
        let fits = subnet.parse::<ipnet::IpNet>().is_ok() || subnet.parse::<IpAddr>().is_ok();
        cx.require(
            fits,
            at.index(index),
            format_args!("{subnet} is not a valid IP address or CIDR block"),
        );
    }
}

fn destination(destination: &super::stream::Destination, at: At<'_>, cx: &mut Reading<'_>) {
    let host = &*destination.host;
    let at_host = at.key("host");
    if host.is_empty() {
        cx.reject(at_host, "destination is required: it needs a host");
    } else {
        let fits = host != "*" && (syntax::is_host(host) || host.parse::<IpAddr>().is_ok());
        cx.require(
            fits,
            at_host,
            format_args!("invalid destination host {host}"),
        );
    }
    let subset = &*destination.subset;
    cx.require(
        subset.is_empty() || syntax::is_label(subset),
        at.key("subset"),
        format_args!("subset name is invalid: {subset}"),
    );
    if let Some(PortSelector { number }) = destination.port {
        let at = at.key("port");
        cx.port(at.key("number"), i64::from(number));
    }
}

/// Judges the shares of several destinations.
fn weights(weights: impl ExactSizeIterator<Item = u32>, at: At<'_>, cx: &mut Reading<'_>) {
    let is_single = weights.len() <= 1;
    let total: u64 = weights.map(u64::from).sum();
    cx.require(is_single || total > 0, at, "total destination weight = 0");
    cx.require(
        total <= u64::from(u32::MAX),
        at,
        format_args!("total destination weight {total} exceeds {}", u32::MAX),
    );
}
