//! Verdicts on Gateway API objects: each of the published rules refuses what it is for, with the
//! message users know from the API server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use weft_api::{Kind, Resource, Severity, Store};

fn errors(text: &str) -> Vec<String> {
    let mut store = Store::default();
    store.put_file("f.yaml", text);
    let errors = store.problems().filter(|p| p.severity == Severity::Error);
    errors
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

fn object(kind: &str, version: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\n\
         metadata: {{name: x, namespace: shop}}\nspec: {spec}\n"
    )
}

/// Kind, spec that fits but for one thing, where, and what is said about it.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    // Structure.
    (
        "HTTPRoute",
        "{hostnames: [A.example]}",
        "spec.hostnames[0]",
        "should match '^(\\*\\.)?[a-z0-9]",
    ),
    (
        "HTTPRoute",
        "{hostnames: ['']}",
        "spec.hostnames[0]",
        "should be at least 1 chars long",
    ),
    (
        "HTTPRoute",
        "{rules: []}",
        "spec.rules",
        "should have at least 1 items",
    ),
    (
        "HTTPRoute",
        "{rules: 1}",
        "spec.rules",
        "must be of type array, is number",
    ),
    (
        "HTTPRoute",
        "{parentRefs: [{kind: Gateway}]}",
        "spec.parentRefs[0].name",
        "Required value",
    ),
    (
        "HTTPRoute",
        "{rules: [{backendRefs: [{name: a, port: 80, weight: 1000001}]}]}",
        "spec.rules[0].backendRefs[0].weight",
        "should be less than or equal to 1000000",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{method: get}]}]}",
        "spec.rules[0].matches[0].method",
        "Unsupported value: \"get\": supported values: \"GET\"",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]}]}",
        "spec.rules[0].matches[0].headers[1]",
        "Duplicate value: \"a\"",
    ),
    (
        "HTTPRoute",
        "{rules: [{retry: {codes: [399]}}]}",
        "spec.rules[0].retry.codes[0]",
        "should be greater than or equal to 400",
    ),
    (
        "HTTPRoute",
        "{rules: [{timeouts: {request: 1d}}]}",
        "spec.rules[0].timeouts.request",
        "should match",
    ),
    (
        "Gateway",
        "{gatewayClassName: weft}",
        "spec.listeners",
        "Required value",
    ),
    (
        "Gateway",
        "{gatewayClassName: weft, listeners: [{name: a, port: 0, protocol: HTTP}]}",
        "spec.listeners[0].port",
        "should be greater than or equal to 1",
    ),
    (
        "GatewayClass",
        "{controllerName: weft}",
        "spec.controllerName",
        "should match",
    ),
    (
        "ReferenceGrant",
        "{from: [], to: [{group: '', kind: Service}]}",
        "spec.from",
        "should have at least 1 items",
    ),
    // Parents.
    (
        "HTTPRoute",
        "{parentRefs: [{name: g}, {name: g, sectionName: a}]}",
        "spec.parentRefs",
        "sectionName or port must be specified when parentRefs includes 2 or more references to the same parent",
    ),
    (
        "TCPRoute",
        "{parentRefs: [{name: g, port: 1}, {name: g, port: 1}], rules: [{backendRefs: [{name: a, port: 1}]}]}",
        "spec.parentRefs",
        "sectionName or port must be unique when parentRefs includes 2 or more references to the same parent",
    ),
    (
        "HTTPRoute",
        "{rules: [{name: a}, {name: a, matches: [{path: {value: /a}}]}]}",
        "spec.rules",
        "Rule name must be unique within the route",
    ),
    // Paths.
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: a}}]}]}",
        "spec.rules[0].matches[0].path",
        "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: //a}}]}]}",
        "spec.rules[0].matches[0].path",
        "must not contain '//'",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: /./a}}]}]}",
        "spec.rules[0].matches[0].path",
        "must not contain '/./'",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: /../a}}]}]}",
        "spec.rules[0].matches[0].path",
        "must not contain '/../'",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: /a%2fb}}]}]}",
        "spec.rules[0].matches[0].path",
        "must not contain '%2f'",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: /a%2Fb}}]}]}",
        "spec.rules[0].matches[0].path",
        "must not contain '%2F'",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: '/a#b'}}]}]}",
        "spec.rules[0].matches[0].path",
        "must not contain '#'",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {type: Exact, value: /a/..}}]}]}",
        "spec.rules[0].matches[0].path",
        "must not end with '/..'",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: /a/.}}]}]}",
        "spec.rules[0].matches[0].path",
        "must not end with '/.'",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: '/a b'}}]}]}",
        "spec.rules[0].matches[0].path",
        "must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) for types ['Exact', 'PathPrefix']",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {type: RegularExpression, value: '/(?=a)'}}]}]}",
        "spec.rules[0].matches[0].path.value",
        "RE2",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{headers: [{type: RegularExpression, name: a, value: '('}]}]}]}",
        "spec.rules[0].matches[0].headers[0].value",
        "RE2",
    ),
    // Filters.
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: CORS}]}]}",
        "spec.rules[0].filters[0]",
        "filter.cors must be specified for CORS filter.type",
    ),
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: URLRewrite, urlRewrite: {}, cors: {}}]}]}",
        "spec.rules[0].filters[0]",
        "filter.cors must be nil if the filter.type is not CORS",
    ),
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: URLRewrite, urlRewrite: {}}, {type: RequestRedirect, requestRedirect: {}}]}]}",
        "spec.rules[0].filters",
        "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
    ),
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]}]}",
        "spec.rules[0].filters",
        "URLRewrite filter cannot be repeated",
    ),
    (
        "HTTPRoute",
        "{rules: [{backendRefs: [{name: a, port: 1}], filters: [{type: RequestRedirect, requestRedirect: {}}]}]}",
        "spec.rules[0]",
        "RequestRedirect filter must not be used together with backendRefs",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {type: Exact, value: /}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}]}",
        "spec.rules[0]",
        "When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
    ),
    (
        "HTTPRoute",
        "{rules: [{matches: [{path: {value: /a}}, {path: {value: /b}}], filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}]}",
        "spec.rules[0]",
        "When using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
    ),
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]}]}",
        "spec.rules[0].filters[0].urlRewrite.path",
        "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
    ),
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, percent: 1, fraction: {numerator: 1}}}]}]}",
        "spec.rules[0].filters[0].requestMirror",
        "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
    ),
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, fraction: {numerator: 101}}}]}]}",
        "spec.rules[0].filters[0].requestMirror.fraction",
        "numerator must be less than or equal to denominator",
    ),
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: CORS, cors: {allowOrigins: ['*', 'http://a']}}]}]}",
        "spec.rules[0].filters[0].cors.allowOrigins",
        "AllowOrigins cannot contain '*' alongside other origins",
    ),
    (
        "HTTPRoute",
        "{rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: a, port: 1}}}]}]}",
        "spec.rules[0].filters[0].externalAuth",
        "grpc must be specified when protocol is set to 'GRPC'",
    ),
    // The rest of a rule.
    (
        "HTTPRoute",
        "{rules: [{backendRefs: [{name: a}]}]}",
        "spec.rules[0].backendRefs[0]",
        "Must have port for Service reference",
    ),
    (
        "HTTPRoute",
        "{rules: [{timeouts: {request: 1s, backendRequest: 2s}}]}",
        "spec.rules[0].timeouts",
        "backendRequest timeout cannot be longer than request timeout",
    ),
    (
        "HTTPRoute",
        "{rules: [{sessionPersistence: {type: Header}}]}",
        "spec.rules[0].sessionPersistence",
        "header must be specified for Header type",
    ),
    (
        "HTTPRoute",
        "{rules: [{sessionPersistence: {cookie: {lifetimeType: Permanent}}}]}",
        "spec.rules[0].sessionPersistence",
        "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent",
    ),
    (
        "GRPCRoute",
        "{rules: [{matches: [{method: {}}]}]}",
        "spec.rules[0].matches[0].method",
        "One or both of 'service' or 'method' must be specified",
    ),
    (
        "GRPCRoute",
        "{rules: [{matches: [{method: {service: 'a/b'}}]}]}",
        "spec.rules[0].matches[0].method",
        "service must only contain valid characters",
    ),
    (
        "GRPCRoute",
        "{rules: [{matches: [{method: {method: 'a.b'}}]}]}",
        "spec.rules[0].matches[0].method",
        "method must only contain valid characters",
    ),
    (
        "GRPCRoute",
        "{rules: [{filters: [{type: URLRewrite}]}]}",
        "spec.rules[0].filters[0].type",
        "Unsupported value: \"URLRewrite\"",
    ),
    (
        "TLSRoute",
        "{hostnames: [10.0.0.1], rules: [{backendRefs: [{name: a, port: 1}]}]}",
        "spec.hostnames",
        "Hostnames cannot contain an IP",
    ),
    (
        "TLSRoute",
        "{rules: [{backendRefs: [{name: a, port: 1}]}]}",
        "spec.hostnames",
        "Required value",
    ),
    (
        "TCPRoute",
        "{rules: [{backendRefs: [{name: a, port: 1}]}, {backendRefs: [{name: a, port: 1}]}]}",
        "spec.rules",
        "Too many: 2: must have at most 1 items",
    ),
    // Gateways.
    (
        "Gateway",
        "{gatewayClassName: w, listeners: [{name: a, port: 1, protocol: HTTP, tls: {mode: Passthrough}}]}",
        "spec.listeners",
        "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
    ),
    (
        "Gateway",
        "{gatewayClassName: w, listeners: [{name: a, port: 1, protocol: HTTPS, tls: {mode: Passthrough}}]}",
        "spec.listeners",
        "tls mode must be Terminate for protocol HTTPS",
    ),
    (
        "Gateway",
        "{gatewayClassName: w, listeners: [{name: a, port: 1, protocol: TLS}]}",
        "spec.listeners",
        "tls mode must be set for protocol TLS",
    ),
    (
        "Gateway",
        "{gatewayClassName: w, listeners: [{name: a, port: 1, protocol: TCP, hostname: a.example}]}",
        "spec.listeners",
        "hostname must not be specified for protocols ['TCP', 'UDP']",
    ),
    (
        "Gateway",
        "{gatewayClassName: w, listeners: [{name: a, port: 1, protocol: HTTP}, {name: a, port: 2, protocol: HTTP}]}",
        "spec.listeners[1]",
        "Duplicate value: \"a\"",
    ),
    (
        "Gateway",
        "{gatewayClassName: w, listeners: [{name: a, port: 1, protocol: HTTP}, {name: b, port: 1, protocol: HTTP}]}",
        "spec.listeners",
        "Combination of port, protocol and hostname must be unique for each listener",
    ),
    (
        "Gateway",
        "{gatewayClassName: w, listeners: [{name: a, port: 1, protocol: HTTPS, tls: {}}]}",
        "spec.listeners[0].tls",
        "certificateRefs or options must be specified when mode is Terminate",
    ),
    (
        "Gateway",
        "{gatewayClassName: w, addresses: [{value: 1.1.1.1}, {value: 1.1.1.1}], listeners: [{name: a, port: 1, protocol: HTTP}]}",
        "spec.addresses",
        "IPAddress values must be unique",
    ),
    (
        "Gateway",
        "{gatewayClassName: w, infrastructure: {labels: {'a b': c}}, listeners: [{name: a, port: 1, protocol: HTTP}]}",
        "spec.infrastructure.labels",
        "Label keys must be in the form of an optional DNS subdomain prefix",
    ),
    // Policies.
    (
        "BackendTLSPolicy",
        "{targetRefs: [{group: '', kind: Service, name: a}], validation: {hostname: a.b}}",
        "spec.validation",
        "must specify either CACertificateRefs or WellKnownCACertificates",
    ),
    (
        "BackendTLSPolicy",
        "{targetRefs: [{group: '', kind: Service, name: a}, {group: '', kind: Service, name: a}], validation: {hostname: a.b, wellKnownCACertificates: System}}",
        "spec.targetRefs",
        "sectionName must be unique when targetRefs includes 2 or more references to the same target",
    ),
    (
        "BackendTLSPolicy",
        "{targetRefs: [{group: '', kind: Service, name: a}], validation: {hostname: a.b, wellKnownCACertificates: System, subjectAltNames: [{type: URI}]}}",
        "spec.validation.subjectAltNames[0]",
        "SubjectAltName element must contain URI, if Type is set to URI",
    ),
];

#[test]
fn each_published_rule_refuses_what_it_is_for() {
    for (kind, spec, path, message) in REFUSED {
        let errors = errors(&object(kind, "v1", spec));
        let is_it = |error: &String| {
            let (at, text) = error.split_once(": ").unwrap();
            at == *path && text.contains(message)
        };
        assert!(
            errors.iter().any(is_it),
            "{kind} {spec}\n{path}: {message}\nfound {errors:#?}"
        );
    }
}

#[test]
fn too_many_matches_in_all_rules_are_refused() {
    let matches = vec!["{path: {value: /a}}"; 64].join(", ");
    let rule = format!("{{matches: [{matches}]}}");
    let route = |rules: &[&str]| {
        object(
            "HTTPRoute",
            "v1",
            &format!("{{rules: [{}]}}", rules.join(", ")),
        )
    };
    assert_eq!(errors(&route(&[&rule, &rule])), Vec::<String>::new());
    let found = errors(&route(&[&rule, &rule, "{}"]));
    assert!(
        found[0].contains(
            "the total number of matches across all rules in a route must be less than 128"
        ),
        "{found:?}"
    );
}

#[test]
fn defaults_are_those_of_the_api_server() {
    let mut store = Store::default();
    store.put_file("f.yaml", &object("HTTPRoute", "v1beta1", "{parentRefs: [{name: g}], rules: [{backendRefs: [{name: a, port: 80}]}, {matches: [{method: GET}]}]}"));
    let route = store.objects(Kind::HttpRoute).next().unwrap();
    let Resource::HttpRoute(route) = &route.resource else {
        panic!("{route:?}")
    };
    assert_eq!(&*route.parents[0].group, "gateway.networking.k8s.io");
    assert_eq!(&*route.parents[0].kind, "Gateway");
    for rule in &route.rules {
        assert_eq!(&*rule.matches[0].path.value, "/");
    }
    let backend = &route.rules[0].backends[0].reference;
    assert_eq!((&*backend.kind, backend.weight), ("Service", 1));
    store.put_file("f.yaml", &object("HTTPRoute", "v1", "{}"));
    let route = store.objects(Kind::HttpRoute).next().unwrap();
    let Resource::HttpRoute(route) = &route.resource else {
        panic!("{route:?}")
    };
    assert_eq!(route.rules.len(), 1);
}

#[test]
fn alpha_routes_may_have_more_rules_and_no_hostnames() {
    let rules = "rules: [{backendRefs: [{name: a, port: 1}]}, {backendRefs: [{name: a, port: 1}]}]";
    for kind in ["TCPRoute", "UDPRoute", "TLSRoute"] {
        let text = object(kind, "v1alpha2", &format!("{{{rules}}}"));
        assert_eq!(errors(&text), Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn unknown_fields_are_dropped_and_reported() {
    let mut store = Store::default();
    let spec = "{rules: [{backendRefs: [{name: a, port: 80, wieght: 3}]}]}";
    store.put_file("f.yaml", &object("HTTPRoute", "v1", spec));
    let problems: Vec<String> = store.problems().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("spec.rules[0].backendRefs[0].wieght: no such field"));
    assert!(store.objects(Kind::HttpRoute).next().is_some());
}

#[test]
fn whole_floats_are_integers_and_nulls_are_absent() {
    let spec = "{parentRefs: null, rules: [{backendRefs: [{name: a, port: 80.0, weight: null}]}]}";
    assert_eq!(
        errors(&object("HTTPRoute", "v1", spec)),
        Vec::<String>::new()
    );
}
