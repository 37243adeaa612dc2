//! `TCPRoute`, `UDPRoute`, `TLSRoute`.

use std::net::IpAddr;

use serde_json::Value;

use super::parts::{
    HOST, PARENTS, RULE_NAME, RULE_NAMES_ARE_UNIQUE, SUBDOMAIN, USE_DEFAULT_GATEWAYS,
    WEIGHTED_BACKEND,
};
use crate::schema::{Schema, list, may, must, object, rule};

const RULE: Schema = object(&[
    must("backendRefs", list(1, 16, &WEIGHTED_BACKEND)),
    RULE_NAME,
]);

/// TCPRoute and UDPRoute in v1.
pub(in super::super) static SPEC: Schema = object(&[
    PARENTS,
    must("rules", list(1, 1, &RULE)),
    USE_DEFAULT_GATEWAYS,
]);

/// TCPRoute and UDPRoute in v1alpha2.
pub(in super::super) static ALPHA_SPEC: Schema = object(&[
    PARENTS,
    must("rules", list(1, 16, &RULE).with(&[RULE_NAMES_ARE_UNIQUE])),
    USE_DEFAULT_GATEWAYS,
]);

/// TLSRoute in v1 and v1alpha3.
pub(in super::super) static TLS_SPEC: Schema = object(&[
    must(
        "hostnames",
        list(1, 1024, &HOST).with(&[
            rule("Hostnames cannot contain an IP", |hosts| {
                hostnames(hosts).all(|host| host.parse::<IpAddr>().is_err())
            }),
            rule("Hostnames must be valid based on RFC-1123", |hosts| {
                hostnames(hosts).all(|host| host.contains('*') || (SUBDOMAIN.fits)(host))
            }),
            rule(
                "Wildcards on hostnames must be the first label, and the rest of hostname must be valid based on RFC-1123",
                |hosts| {
                    hostnames(hosts).all(|host| {
                        let rest = host.strip_prefix("*.");
                        !host.contains('*') || rest.is_some_and(|rest| (SUBDOMAIN.fits)(rest))
                    })
                },
            ),
        ]),
    ),
    PARENTS,
    must("rules", list(1, 1, &RULE)),
    USE_DEFAULT_GATEWAYS,
]);

/// TLSRoute in v1alpha2.
pub(in super::super) static TLS_ALPHA_SPEC: Schema = object(&[
    may("hostnames", list(0, 1024, &HOST)),
    PARENTS,
    must("rules", list(1, 16, &RULE).with(&[RULE_NAMES_ARE_UNIQUE])),
    USE_DEFAULT_GATEWAYS,
]);

fn hostnames(hosts: &Value) -> impl Iterator<Item = &str> {
    let hosts = hosts.as_array().into_iter().flatten();
    hosts.filter_map(Value::as_str)
}
