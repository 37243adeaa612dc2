//! Istio's Gateways beside each other: IST0138, IST0145.

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{
    Kind, Object, Resource,
    istio_gateway::{IstioGateway, Server},
};
use weft_model::route::HostPattern;

use super::{Analysis, selector_text};

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
    for server in &gateway.servers {
        let others = all.iter().filter(|(other, that)| {
            other.key != object.key
                && that.selector == gateway.selector
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
        analysis.say("IST0145", object, text);
    }
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
                (of == "*" || other_of == "*" || of == other_of) && host == other
            };
            b_hosts.iter().any(same)
        })
}

/// IST0138: one certificate in several servers of one workload: connections of HTTP/2 are shared
/// between their hosts.
fn shared_certificates(analysis: &mut Analysis<'_>, gateways: &[Named<'_>]) {
    let mut holders: BTreeMap<(String, Arc<str>), Vec<Arc<Object>>> = BTreeMap::new();
    for (object, gateway) in gateways {
        let mut own: Vec<&Arc<str>> = Vec::new();
        let tls = gateway
            .servers
            .iter()
            .filter_map(|server| server.tls.as_ref());
        let names = tls
            .map(|tls| &tls.credential_name)
            .filter(|name| !name.is_empty());
        for credential in names {
            if !own.contains(&credential) {
                own.push(credential);
                let key = (selector_text(&gateway.selector), Arc::clone(credential));
                holders.entry(key).or_default().push(Arc::clone(object));
            }
        }
    }
    for (_, holders) in holders.into_iter().filter(|(_, holders)| holders.len() > 1) {
        let names: Vec<String> = holders.iter().map(|object| name(object)).collect();
        for object in &holders {
            let text = format!(
                "Duplicate certificate in multiple gateways [{}] may cause 404s if clients re-use \
                 HTTP2 connections.",
                names.join(" ")
            );
            analysis.say("IST0138", object, text);
        }
    }
}
