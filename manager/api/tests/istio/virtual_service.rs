use weft_api::{Resource, virtual_service::StringMatch};

use crate::{table, taken, warnings};

pub(crate) const V: &str = "networking.istio.io/v1";
pub(crate) const KIND: &str = "VirtualService";

/// A rule for requests with a destination.
pub(crate) fn http(fields: &str) -> String {
    format!("hosts: [reviews], http: [{{route: [{{destination: {{host: reviews}}}}], {fields}}}]")
}

pub(crate) fn rows(wrap: impl Fn(&str) -> String, rows: &[(&str, &str)]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|(fields, expected)| (wrap(fields), *expected))
        .collect();
    let rows: Vec<_> = rows
        .iter()
        .map(|(spec, expected)| (spec.as_str(), *expected))
        .collect();
    table(V, KIND, &rows);
}

#[test]
fn every_served_version_is_read() {
    for version in ["v1alpha3", "v1beta1", "v1"] {
        taken(&format!("networking.istio.io/{version}"), KIND, &http(""));
    }
}

#[test]
fn hosts_and_gateways_are_judged() {
    let with = |head: &str| format!("{head}, http: [{{route: [{{destination: {{host: b}}}}]}}]");
    rows(
        with,
        &[
            ("hosts: [a]", ""),
            (
                "hosts: [a.n.svc.cluster.local, '*.example.com', 10.0.0.1]",
                "",
            ),
            (
                "hosts: ['*']",
                "wildcard host * is not allowed for virtual services bound to the mesh gateway",
            ),
            (
                "hosts: ['*'], gateways: [mesh, n/gw]",
                "bound to the mesh gateway",
            ),
            ("hosts: ['*'], gateways: [n/gw]", ""),
            ("hosts: ['a b']", "domain name \"a b\" is invalid"),
            ("hosts: [a, a]", "duplicate hosts"),
            (
                "hosts: ['*.com', '*.example.com'], gateways: [gw]",
                "duplicate hosts",
            ),
            ("hosts: ['*.com', example.org], gateways: [gw]", ""),
            (
                "hosts: [a], gateways: [n/]",
                "config namespace and gateway name cannot be empty",
            ),
            (
                "hosts: [a], gateways: [N/gw]",
                "invalid value for namespace: \"N\"",
            ),
            (
                "hosts: [a], gateways: [n/g.w]",
                "invalid value for gateway name: \"g.w\"",
            ),
            ("hosts: [a], exportTo: ['.', other]", ""),
            (
                "hosts: [a], exportTo: ['*', other]",
                "cannot have both public (*) and non-public exportTo values",
            ),
            (
                "hosts: [a], exportTo: ['.', n]",
                "duplicate entries in exportTo",
            ),
            (
                "hosts: [a], exportTo: ['~']",
                "is allowed as exportTo entry",
            ),
        ],
    );
    table(
        V,
        KIND,
        &[
            (
                "hosts: [a]",
                "http, tcp or tls must be provided in virtual service",
            ),
            ("", "virtual service must have at least one host"),
            (
                "tcp: [{route: [{destination: {host: a}}]}]",
                "virtual service must have at least one host",
            ),
            (
                "gateways: [gw], http: [{route: [{destination: {host: a}}]}]",
                "delegate virtual service must have no gateways specified",
            ),
            ("http: [{route: [{destination: {host: a}}]}]", ""),
        ],
    );
    warnings(
        V,
        KIND,
        &[(
            &with("hosts: [a], gateways: [gw.n.svc.cluster.local]"),
            "prefer the <namespace>/<name> format: \"n/gw\"",
        )],
    );
}

#[test]
fn destinations_and_weights_are_judged() {
    let to = |route: &str| format!("hosts: [a], http: [{{route: [{route}]}}]");
    rows(
        to,
        &[
            ("{destination: {host: b}}", ""),
            ("{destination: {host: b}, weight: 0}", ""),
            (
                "{destination: {host: b}}, {destination: {host: c}}",
                "total destination weight = 0",
            ),
            (
                "{destination: {host: b}, weight: 1}, {destination: {host: c}}",
                "",
            ),
            (
                "{destination: {host: b}, weight: -1}, {destination: {host: c}, weight: 2}",
                "weight -1 < 0",
            ),
            ("{weight: 1}", "destination is required"),
            ("{destination: {host: '*'}}", "invalid destination host *"),
            (
                "{destination: {host: b, subset: v_1}}",
                "subset name is invalid: v_1",
            ),
            (
                "{destination: {host: b, port: {number: 0}}}",
                "0 is not between 1 and 65535",
            ),
            (
                "{destination: {host: b, port: {number: 8080}, subset: v1}}",
                "",
            ),
        ],
    );
}

#[test]
fn a_rule_ends_in_one_way() {
    let rule = |rule: &str| format!("hosts: [a], http: [{{{rule}}}]");
    let route = "route: [{destination: {host: b}}]";
    rows(
        rule,
        &[
            ("", "HTTP route, redirect or direct_response is required"),
            ("redirect: {uri: /x}", ""),
            ("directResponse: {status: 503}", ""),
            (
                &format!("redirect: {{uri: /x}}, {route}"),
                "HTTP route cannot contain both route and redirect",
            ),
            (
                "redirect: {uri: /x}, fault: {delay: {fixedDelay: 1s}}",
                "HTTP route cannot contain both fault and redirect",
            ),
            (
                "redirect: {uri: /x}, rewrite: {uri: /y}",
                "HTTP route rule cannot contain both rewrite and redirect",
            ),
            (
                "redirect: {uri: /x}, directResponse: {status: 200}",
                "cannot contain both direct_response and redirect",
            ),
            (
                &format!("directResponse: {{status: 200}}, {route}"),
                "HTTP route cannot contain both route and direct_response",
            ),
            ("delegate: {name: b}", ""),
            (
                &format!("name: x, delegate: {{name: b}}, {route}"),
                "root HTTP route x must not specify route",
            ),
            (
                "delegate: {name: b}, redirect: {uri: /x}",
                "must not specify redirect",
            ),
            (
                "delegate: {name: b}, match: [{uri: {regex: a}}]",
                "does not support regex match for delegating",
            ),
            (
                "delegate: {name: b}, match: [{headers: {x: {regex: a}}}]",
                "header match x does not support regex match for delegating",
            ),
            (
                "directResponse: {status: 199}",
                "HTTP status 199 is not in range 200-599",
            ),
            (
                "directResponse: {status: 200, body: {string: a, bytes: YQ==}}",
                "only one of string and bytes may be set",
            ),
            (
                &format!(
                    "directResponse: {{status: 200, body: {{string: {}}}}}",
                    "a".repeat((1 << 20) + 1)
                ),
                "must be less than 1MB",
            ),
        ],
    );
    table(
        V,
        KIND,
        &[(
            "http: [{delegate: {name: b}}]",
            "delegate HTTP route cannot contain delegate",
        )],
    );
}

#[test]
fn matches_are_judged() {
    let long = format!("uri: {{regex: {}}}", "a".repeat(1025));
    rows(
        |fields| http(&format!("match: [{{{fields}}}]")),
        &[
            (
                "uri: {exact: /a}, headers: {end-user: {exact: jason}}, queryParams: {q: {regex: '\\d+'}}",
                "",
            ),
            ("headers: {x: {}}", ""),
            (
                "uri: {prefix: ''}",
                "\"uri\": prefix string match should not be empty",
            ),
            (
                "uri: {regex: ''}",
                "\"uri\": regex string match should not be empty",
            ),
            (
                "uri: {regex: '(?=a)'}",
                "Istio uses RE2 style regex-based match",
            ),
            ("method: {regex: '['}", "\"method\": error parsing regexp"),
            (
                "queryParams: {q: {regex: '*'}}",
                "\"queryParams\": error parsing regexp",
            ),
            (
                "withoutHeaders: {q: {regex: '*'}}",
                "\"withoutHeaders\": error parsing regexp",
            ),
            (&long, "regex is too large, max length allowed is 1024"),
            (
                "uri: {exact: a, prefix: b}",
                "only one of exact, prefix and regex may be set",
            ),
            ("headers: {'': {exact: a}}", "header name cannot be empty"),
            ("headers: {x: null}", "headers.x"),
            ("port: 70000", "70000 is not between 1 and 65535"),
            ("sourceLabels: {'a b': c}", "invalid tag key"),
            ("sourceLabels: {a: 'b c'}", "invalid tag value"),
            ("sourceNamespace: N", "sourceNamespace match N is invalid"),
            (
                "gateways: [n/]",
                "config namespace and gateway name cannot be empty",
            ),
        ],
    );
    warnings(
        V,
        KIND,
        &[(
            &http("match: [{headers: {uri: {exact: a}}}]"),
            "are ignored",
        )],
    );
}

#[test]
fn tls_and_tcp_rules_are_judged() {
    let to = "route: [{destination: {host: b}}]";
    let tls = |fields: &str| format!("hosts: [a.com, '*.b.com'], tls: [{{{fields}}}]");
    rows(
        tls,
        &[
            (&format!("match: [{{sniHosts: [a.com]}}], {to}"), ""),
            (&format!("match: [{{sniHosts: [x.b.com]}}], {to}"), ""),
            (to, "TLS route must have at least one match condition"),
            ("match: [{sniHosts: [a.com]}]", "TLS route is required"),
            (
                &format!("match: [{{port: 443}}], {to}"),
                "TLS match must have at least one SNI host",
            ),
            (
                &format!("match: [{{sniHosts: [c.com]}}], {to}"),
                "SNI host \"c.com\" is not a compatible subset of any of the virtual service hosts: [a.com, *.b.com]",
            ),
            (
                &format!("match: [{{sniHosts: ['*.com']}}], {to}"),
                "is not a compatible subset",
            ),
            (
                &format!("match: [{{sniHosts: [a.com], destinationSubnets: [10.0.0.0/33]}}], {to}"),
                "10.0.0.0/33 is not a valid IP address or CIDR block",
            ),
        ],
    );
    rows(
        |fields| format!("hosts: [a], tcp: [{{{fields}}}]"),
        &[
            (to, ""),
            ("match: [{port: 80}]", "TCP route is required"),
            (
                &format!("match: [{{destinationSubnets: [x]}}], {to}"),
                "x is not a valid IP address or CIDR block",
            ),
            (
                "route: [{destination: {host: b}}, {destination: {host: c}}]",
                "total destination weight = 0",
            ),
        ],
    );
}

#[test]
fn what_is_written_is_what_is_read() {
    let spec = "hosts: [reviews], http: [{match: [{uri: {prefix: /a}, headers: {end-user: {exact: jason}}}], \
        route: [{destination: {host: reviews, subset: v2, port: {number: 80}}, weight: 25}], \
        mirror: {host: m}, mirrorPercentage: {value: 12.5}, timeout: 1500ms, \
        directResponse: null, fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}}]";
    let Resource::VirtualService(service) = taken(V, KIND, spec) else {
        panic!()
    };
    let rule = &service.http[0];
    assert_eq!(rule.matches[0].uri, Some(StringMatch::Prefix("/a".into())));
    assert_eq!(
        rule.matches[0].headers["end-user"],
        StringMatch::Exact("jason".into())
    );
    assert_eq!(
        (rule.route[0].weight, &*rule.route[0].destination.subset),
        (25, "v2")
    );
    assert_eq!(rule.timeout.unwrap().as_millis(), 1500);
    let (mirror, share) = rule.copies().next().unwrap();
    assert_eq!((&*mirror.host, share.millionths()), ("m", 125_000));
    let abort = rule.fault.as_ref().unwrap().abort.as_ref().unwrap();
    assert_eq!(abort.grpc_code(), Some(14));
}
