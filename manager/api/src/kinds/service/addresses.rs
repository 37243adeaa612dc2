//! Addresses of a `Service`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ServiceSpec, ServiceStatus};

use super::{SPEC, ServiceType};
use crate::{Severity, decode::Reading, path::At};

pub(super) fn withholds_load_balancer(
    spec: &ServiceSpec,
    service_type: ServiceType,
    cx: &mut Reading<'_>,
) -> bool {
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or(&[]);
    if ranges.is_empty() {
        return false;
    }
    let list = SPEC.key("loadBalancerSourceRanges");
    if service_type != ServiceType::LoadBalancer {
        cx.reject(list, "may only be used when `type` is 'LoadBalancer'");
    }
    for (index, range) in ranges.iter().enumerate() {
        let fits = range.trim().parse::<ipnet::IpNet>().is_ok();
        cx.require(
            fits,
            list.index(index),
            format_args!("{range:?} is not a CIDR"),
        );
    }
    let message =
        "is not supported yet, so the load balancer addresses and node ports are withheld";
    cx.find(Severity::Error, "not-supported", list.into(), message);
    true
}

pub(super) fn cluster_ips(
    spec: &ServiceSpec,
    service_type: ServiceType,
    cx: &mut Reading<'_>,
) -> Vec<IpAddr> {
    let single = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty());
    let list = spec.cluster_ips.as_deref().filter(|ips| !ips.is_empty());
    let at = SPEC.key("clusterIPs");
    if let (Some(single), Some(list)) = (single, list) {
        let agrees = list.first().map(String::as_str) == Some(single);
        cx.require(agrees, at, "the first value must match `clusterIP`");
    }
    if service_type == ServiceType::ExternalName {
        return Vec::new();
    }
    let is_none = |ip: &str| ip == "None";
    if single.is_some_and(is_none) || list.is_some_and(|ips| ips.iter().all(|ip| is_none(ip))) {
        return Vec::new();
    }
    let Some(list) = list else {
        return single
            .and_then(|ip| cx.address(SPEC.key("clusterIP"), ip))
            .into_iter()
            .collect();
    };
    let ips = addresses(Some(list), "clusterIPs", cx);
    let per_family = ips.iter().filter(|ip| ip.is_ipv4()).count();
    let fits = per_family <= 1 && ips.len() - per_family <= 1;
    cx.require(fits, at, "may hold at most one address of each family");
    ips
}

pub(super) fn addresses(
    written: Option<&[String]>,
    field: &str,
    cx: &mut Reading<'_>,
) -> Vec<IpAddr> {
    let list = SPEC.key(field);
    let written = written.unwrap_or(&[]).iter().enumerate();
    written
        .filter_map(|(index, ip)| cx.address(list.index(index), ip))
        .collect()
}

pub(super) fn load_balancer_ips(status: &ServiceStatus, cx: &mut Reading<'_>) -> Vec<IpAddr> {
    let at = At::top("status");
    let at = at.key("loadBalancer");
    let list = at.key("ingress");
    let ingress = status
        .load_balancer
        .as_ref()
        .and_then(|status| status.ingress.as_ref());
    let mut ips = Vec::new();
    for (index, ingress) in ingress.into_iter().flatten().enumerate() {
        let at = list.index(index);
        let Some(ip) = ingress.ip.as_deref().filter(|ip| !ip.is_empty()) else {
            continue;
        };
        let ip = cx.address(at.key("ip"), ip);
        match ingress.ip_mode.as_deref() {
            None | Some("VIP") => ips.extend(ip),
            Some("Proxy") => {}
            Some(mode) => {
                cx.reject(
                    at.key("ipMode"),
                    format_args!("{mode:?} is not known; use VIP or Proxy"),
                );
            }
        }
    }
    ips
}
