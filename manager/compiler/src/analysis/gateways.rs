//! Istio's Gateways beside each other: IST0138, IST0145.

use std::sync::Arc;

use weft_api::{
    Kind, Object, Resource,
    istio_gateway::{IstioGateway, Server, ServerTls},
};
use weft_model::route::HostPattern;

use super::{Analysis, list_text, selector_text};

type Named<'s> = (&'s Arc<Object>, &'s IstioGateway);

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let gateways = analysis.each(Kind::IstioGateway, |resource| match resource {
        Resource::IstioGateway(gateway) => Some(&**gateway),
        _ => None,
    });
    for (object, gateway) in &gateways {
        conflicts(analysis, object, gateway, &gateways);
    }
    shared_certificates(analysis, &gateways);
}

fn name(object: &Object) -> String {
    format!("{}/{}", object.key.namespace, object.key.name)
}

/// IST0145: servers of different Gateways that one workload serves at one port for one host.
fn conflicts(
    analysis: &mut Analysis<'_>,
    object: &Object,
    gateway: &IstioGateway,
    all: &[Named<'_>],
) {
    for (index, server) in gateway.servers.iter().enumerate() {
        let others = all.iter().filter(|(other, that)| {
            other.key != object.key
                && share_pods(analysis, gateway, that)
                && that.servers.iter().any(|that| meet(server, that))
        });
        let names: Vec<String> = others.map(|(other, _)| name(other)).collect();
        if names.is_empty() {
            continue;
        }
        let hosts: Vec<&str> = server.hosts.iter().map(|host| &**host).collect();
        let text = format!(
            "Conflict with gateways {} (workload selector {}, port {}, hosts {}).",
            names.join(","),
            selector_text(&gateway.selector),
            server.port.number,
            hosts.join(",")
        );
        analysis.say_of("IST0145", object, Some(("servers", index)), text);
    }
}

/// Whether one workload serves both.
fn share_pods(analysis: &Analysis<'_>, a: &IstioGateway, b: &IstioGateway) -> bool {
    let mut pods = analysis.pods.iter();
    a.selector == b.selector
        || pods.any(|pod| a.selector.select(pod.labels) && b.selector.select(pod.labels))
}

fn meet(a: &Server, b: &Server) -> bool {
    let hosts = |server: &Server| -> Vec<(String, HostPattern)> {
        let split = |host: &Arc<str>| match host.split_once('/') {
            Some((namespace, host)) => (namespace.to_owned(), HostPattern::new(host)),
            None => ("*".to_owned(), HostPattern::new(host)),
        };
        server.hosts.iter().map(split).collect()
    };
    let (a_hosts, b_hosts) = (hosts(a), hosts(b));
    a.port.number == b.port.number
        && a_hosts.iter().any(|(of, host)| {
            let same = |(other_of, other): &(String, HostPattern)| {
                (of == "*" || other_of == "*" || of == other_of) && host.meet(other).is_some()
            };
            b_hosts.iter().any(same)
        })
}

/// IST0138: one certificate in servers of several Gateways of one workload: connections of HTTP/2 are
/// shared between their hosts.
fn shared_certificates(analysis: &mut Analysis<'_>, gateways: &[Named<'_>]) {
    for (object, gateway) in gateways {
        for (other, that) in gateways {
            // Whatever the other's pods are, they are this one's too.
            let mut labels = gateway.selector.iter();
            let is_wider = labels.all(|(key, value)| that.selector.value(key) == Some(value));
            if other.key == object.key || !is_wider {
                continue;
            }
            let own = gateway
                .servers
                .iter()
                .filter_map(|server| server.tls.as_ref());
            let mut theirs = that.servers.iter().filter_map(|server| server.tls.as_ref());
            let own: Vec<&ServerTls> = own.collect();
            if theirs.any(|tls| own.iter().any(|own| have_one_certificate(own, tls))) {
                let text = format!(
                    "Duplicate certificate in multiple gateways {} may cause 404s if clients re-use \
                     HTTP2 connections.",
                    list_text([name(object), name(other)])
                );
                analysis.say("IST0138", object, text);
            }
        }
    }
}

fn have_one_certificate(a: &ServerTls, b: &ServerTls) -> bool {
    let files = |tls: &ServerTls| {
        let pair = (
            Arc::clone(&tls.server_certificate),
            Arc::clone(&tls.private_key),
        );
        Some(pair).filter(|(certificate, key)| !certificate.is_empty() && !key.is_empty())
    };
    match (&*a.credential_name, &*b.credential_name) {
        ("", "") => files(a).is_some_and(|own| files(b) == Some(own)),
        (a, b) => a == b,
    }
}
