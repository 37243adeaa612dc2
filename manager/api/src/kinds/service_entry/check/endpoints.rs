//! `endpoints`.

use std::{net::IpAddr, sync::Arc};

use crate::{
    Labels,
    decode::Reading,
    kinds::service_entry::{
        EntryEndpoint,
        written::{Endpoint, Written},
    },
    path::At,
    syntax,
};

/// Endpoints that are host names.
pub(in crate::kinds::service_entry) fn named_endpoints(spec: &Written) -> Vec<Arc<str>> {
    let addresses = spec.endpoints.iter().flatten();
    let addresses = addresses.filter_map(|endpoint| endpoint.address.as_deref());
    addresses
        .filter(|address| address.parse::<IpAddr>().is_err() && syntax::is_host(address))
        .map(Arc::from)
        .collect()
}

pub(in crate::kinds::service_entry) fn endpoints(
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
        let has_network = written
            .network
            .as_deref()
            .is_some_and(|name| !name.is_empty());
        if address.starts_with("unix://") && written.ports.as_ref().is_some_and(|p| !p.is_empty()) {
            cx.reject(at.key("ports"), "UDS may not include ports");
        }
        let Some(address) = endpoint_address(address, has_network, is_static, at, cx) else {
            continue;
        };
        let zone = zone(written.locality.as_deref(), at, cx);
        let labels = written.labels.iter().flatten();
        let labels = labels.map(|(key, value)| (cx.interner.name(key), cx.interner.name(value)));
        let labels = Labels::new(labels);
        let account = written.service_account.as_deref();
        let account = account.filter(|account| !account.is_empty());
        // Istio reads a weight of 0 as unset (`WorkloadEntry.weight` is a plain number).
        endpoints.push(EntryEndpoint {
            address,
            ports,
            weight: weight.max(1),
            zone,
            labels,
            service_account: account.map(|account| cx.interner.name(account)),
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
    has_network: bool,
    is_static: bool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Option<IpAddr> {
    let at = at.key("address");
    if written.is_empty() {
        cx.require(
            has_network,
            at,
            "address is required: an endpoint needs an address",
        );
        None
    } else if let Some(path) = written.strip_prefix("unix://") {
        let message = "UDS must be an absolute path or abstract socket";
        cx.require(path.starts_with(['/', '@']), at, message);
        cx.require(!path.ends_with('/'), at, "UDS may not be a dir");
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
            format_args!("endpoint address {written:?} is not a valid FQDN or an IP address"),
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
