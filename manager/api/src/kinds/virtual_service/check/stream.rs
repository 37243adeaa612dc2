//! Rules for connections.

use std::net::IpAddr;

use super::{client, destination, subnets, weights};
use crate::{
    decode::Reading,
    kinds::virtual_service::{
        VirtualService,
        stream::{StreamDestination, TcpRoute, TlsRoute},
    },
    path::At,
    syntax,
};

pub(super) fn tls_route(
    route: &TlsRoute,
    service: &VirtualService,
    at: At<'_>,
    cx: &mut Reading<'_>,
) {
    let list = at.key("match");
    let message = "TLS route must have at least one match condition";
    cx.require(!route.matches.is_empty(), list, message);
    for (index, matching) in route.matches.iter().enumerate() {
        let at = list.index(index);
        let names = at.key("sniHosts");
        let message = "TLS match must have at least one SNI host";
        cx.require(!matching.sni_hosts.is_empty(), names, message);
        for (index, name) in matching.sni_hosts.iter().enumerate() {
            server_name(name, service, names.index(index), cx);
        }
        subnets(
            &matching.destination_subnets,
            at.key("destinationSubnets"),
            cx,
        );
        let who = (
            matching.port,
            &matching.source_labels,
            &*matching.source_namespace,
        );
        client(who, &matching.gateways, at, cx);
    }
    let message = "TLS route is required";
    cx.require(!route.route.is_empty(), at.key("route"), message);
    destinations(&route.route, at.key("route"), cx);
}

fn server_name(name: &str, service: &VirtualService, at: At<'_>, cx: &mut Reading<'_>) {
    if name.parse::<IpAddr>().is_ok() {
        let message = format!(
            "using an IP address ({name:?}) goes against SNI spec and most clients do not support this"
        );
        cx.warn(at, message);
        return;
    }
    if !syntax::is_host(name) {
        cx.reject(at, format_args!("domain name {name:?} is invalid"));
        return;
    }
    let is_within = service
        .hosts
        .iter()
        .any(|host| syntax::is_within(name, host));
    let hosts = service.hosts.join(", ");
    cx.require(
        is_within,
        at,
        format_args!(
            "SNI host {name:?} is not a compatible subset of any of the virtual service hosts: [{hosts}]"
        ),
    );
}

pub(super) fn tcp_route(route: &TcpRoute, at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("match");
    for (index, matching) in route.matches.iter().enumerate() {
        let at = list.index(index);
        subnets(
            &matching.destination_subnets,
            at.key("destinationSubnets"),
            cx,
        );
        if !matching.source_subnet.is_empty() {
            let message = "is not supported; Istio does not act on it either";
            cx.not_supported(at.key("sourceSubnet"), message);
        }
        let who = (
            matching.port,
            &matching.source_labels,
            &*matching.source_namespace,
        );
        client(who, &matching.gateways, at, cx);
    }
    let message = "TCP route is required";
    cx.require(!route.route.is_empty(), at.key("route"), message);
    destinations(&route.route, at.key("route"), cx);
}

fn destinations(route: &[StreamDestination], at: At<'_>, cx: &mut Reading<'_>) {
    for (index, share) in route.iter().enumerate() {
        let at = at.index(index);
        destination(&share.destination, at.key("destination"), cx);
    }
    weights(route.iter().map(|share| share.weight), at, cx);
}
