use weft_api::{Resolution, Resource, Severity};

use crate::{problems, table, taken, warnings};

const NETWORKING: &str = "networking.istio.io/v1";

#[test]
fn service_entries_are_judged() {
    let many = |field: &str, count: usize| {
        let items: Vec<_> = (0..count).map(|n| format!("h{n}.com")).collect();
        format!("{field}: [{}]", items.join(", "))
    };
    table(
        NETWORKING,
        "ServiceEntry",
        &[
            (
                "hosts: [a.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]",
                "",
            ),
            (
                "hosts: ['*.a.com'], resolution: DNS",
                "hosts must be FQDN if no endpoints are provided for resolution mode DNS",
            ),
            ("hosts: ['*.a.com'], resolution: DYNAMIC_DNS", ""),
            (
                "hosts: ['*.a.com'], resolution: DNS, endpoints: [{address: b.com}]",
                "",
            ),
            (
                "hosts: [a.com], resolution: DNS, addresses: [10.0.0.0/8]",
                "CIDR addresses are allowed only for NONE/STATIC resolution types",
            ),
            (
                "hosts: [a.com], resolution: NONE, addresses: [10.0.0.0/8]",
                "",
            ),
            (
                "hosts: [a.com], resolution: NONE, endpoints: [{address: 1.1.1.1}]",
                "no endpoints should be provided for resolution type none",
            ),
            (
                "hosts: [a.com], resolution: DNS_ROUND_ROBIN, endpoints: [{address: b.com}, {address: c.com}]",
                "there must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN",
            ),
            (
                "hosts: [a.com], resolution: STATIC, endpoints: [{address: b.com}]",
                "is not an IP address",
            ),
            (
                "hosts: [a.com], resolution: STATIC, endpoints: [{network: far}]",
                "",
            ),
            (
                "hosts: [a.com], resolution: STATIC, endpoints: [{weight: 1}]",
                "address is required",
            ),
            (
                "hosts: [a.com], resolution: STATIC, endpoints: [{address: 'unix://a'}]",
                "UDS must be an absolute path or abstract socket",
            ),
            (
                "hosts: [a.com], resolution: STATIC, endpoints: [{address: 'unix:///a/'}]",
                "UDS may not be a dir",
            ),
            (
                "hosts: [a.com], resolution: STATIC, workloadSelector: {labels: {a: 'b*'}}",
                "wildcard is not supported in selector",
            ),
            ("hosts: [a.com], exportTo: ['~']", ""),
            (
                "hosts: [a.com], exportTo: ['~', n]",
                "cannot export service entry to no one (~) and someone",
            ),
            (&many("hosts", 257), "must have at most 256 items"),
        ],
    );
    let spec = "hosts: [A.com], resolution: DNS, location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: http}], \
        endpoints: [{address: b.com}], exportTo: ['.']";
    let Resource::ServiceEntry(entry) = taken(NETWORKING, "ServiceEntry", spec) else {
        panic!()
    };
    assert_eq!(
        (entry.resolution, entry.is_in_mesh),
        (Resolution::Dns, true)
    );
    assert_eq!(
        (&*entry.names[0], &*entry.named_endpoints[0]),
        ("a.com", "b.com")
    );
    assert_eq!(&*entry.ports[0].application, "HTTP");
    assert!(
        entry.hosts.is_empty(),
        "connections are not sent to names yet"
    );
}

#[test]
fn workload_entries_and_groups_are_judged() {
    let cases = [
        (
            "address: 10.0.0.1, ports: {http: 80}, labels: {app: a}, locality: r/z/s, serviceAccount: x",
            "",
        ),
        ("address: vm.example.com", ""),
        ("address: 'unix:///run/a.sock'", ""),
        (
            "address: 'unix://a'",
            "UDS must be an absolute path or abstract socket",
        ),
        (
            "address: 'unix:///a', ports: {http: 80}",
            "UDS may not include ports",
        ),
        ("address: 'a b'", "is not a valid FQDN or an IP address"),
        ("address: '*.a.com'", "is not a valid FQDN or an IP address"),
        (
            "address: 10.0.0.1, ports: {http: 0}",
            "port must be between 1-65535",
        ),
        (
            "address: 10.0.0.1, ports: {'-a': 80}",
            "port name must be valid",
        ),
        ("address: 10.0.0.1, weight: -1", "weight"),
        (
            "address: 10.0.0.1, labels: {'a b': c}",
            "is not a valid label",
        ),
    ];
    table(NETWORKING, "WorkloadEntry", &cases);
    table(
        NETWORKING,
        "WorkloadEntry",
        &[("", "address is required"), ("network: n", "")],
    );
    for (template, expected) in cases {
        let spec = format!("template: {{{template}}}");
        table(NETWORKING, "WorkloadGroup", &[(&spec, expected)]);
    }
    let probe = |probe: &str| format!("template: {{}}, probe: {{{probe}}}");
    for (fields, expected) in [
        ("httpGet: {port: 80, path: /}", ""),
        ("grpc: {port: 80}", ""),
        (
            "periodSeconds: -1, tcpSocket: {port: 80}",
            "periodSeconds must be non-negative",
        ),
        ("httpGet: {port: 0}", "is not between 1 and 65535"),
        (
            "httpGet: {port: 80, scheme: FTP}",
            "httpGet.scheme must be one of",
        ),
        (
            "httpGet: {port: 80, httpHeaders: [{name: 'a b'}]}",
            "is not a valid header name",
        ),
        ("exec: {command: []}", "exec.command is required"),
        (
            "httpGet: {port: 80}, tcpSocket: {port: 80}",
            "exactly one health check method",
        ),
    ] {
        table(NETWORKING, "WorkloadGroup", &[(&probe(fields), expected)]);
    }
    table(
        NETWORKING,
        "WorkloadGroup",
        &[("metadata: {labels: {a: b}}", "template is required")],
    );
}

#[test]
fn telemetry_is_judged() {
    table(
        "telemetry.istio.io/v1",
        "Telemetry",
        &[
            (
                "tracing: [{randomSamplingPercentage: 10, customTags: {a: {literal: {value: b}}}}]",
                "",
            ),
            (
                "tracing: [{randomSamplingPercentage: 101}]",
                "percentage 101 is not in range",
            ),
            (
                "tracing: [{customTags: {a: {}}}]",
                "needs one of literal, environment, header and formatter",
            ),
            (
                "tracing: [{customTags: {a: {header: {name: ''}}}}]",
                "header tag name may not be empty",
            ),
            (
                "accessLogging: [{filter: {expression: 'response.code >= 400'}}]",
                "",
            ),
            (
                "accessLogging: [{filter: {expression: 'response.code >='}}]",
                "invalid CEL expression",
            ),
            (
                "accessLogging: [{providers: [{name: ''}]}]",
                "providers need a name",
            ),
            (
                "metrics: [{overrides: [{tagOverrides: {a: {value: 'string(destination.port)'}}}]}]",
                "",
            ),
            (
                "metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT}}}]}]",
                "value must be set when operation is UPSERT",
            ),
            (
                "metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: x}}}]}]",
                "value must not be set when operation is REMOVE",
            ),
            (
                "metrics: [{overrides: [{match: {metric: REQUEST_COUNT, customMetric: x}}]}]",
                "only one of metric and customMetric",
            ),
            (
                "metrics: [{overrides: [{match: {metric: SOMETHING}}]}]",
                "unknown variant `SOMETHING`",
            ),
            (
                "metrics: [{reportingInterval: 1us}]",
                "must be a valid duration greater than 1ms",
            ),
            (
                "selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, group: '', name: x}]",
                "only one of targetRefs or",
            ),
        ],
    );
}

#[test]
fn extensions_are_judged() {
    let url = "url: 'oci://registry.example/a:1'";
    let row = |fields: &str| format!("{url}, {fields}");
    let cases = [
        (
            "phase: AUTHN, priority: 10, failStrategy: FAIL_OPEN, type: HTTP",
            "",
        ),
        ("sha256: abc", "sha256 must be 64 hexadecimal digits"),
        ("pluginName: ''", "must not be empty"),
        (
            "vmConfig: {env: [{name: A, valueFrom: HOST, value: x}]}",
            "value may only be set when valueFrom is INLINE",
        ),
        (
            "vmConfig: {env: [{name: A, value: x}, {name: A}]}",
            "duplicate env var \"A\"",
        ),
        ("imagePullPolicy: Never", "unknown variant `Never`"),
    ];
    for (fields, expected) in cases {
        table(
            "extensions.istio.io/v1alpha1",
            "WasmPlugin",
            &[(&row(fields), expected)],
        );
    }
    table(
        "extensions.istio.io/v1alpha1",
        "WasmPlugin",
        &[
            ("", "url field needs to be set"),
            ("url: registry.example/a:1", ""),
            (
                "url: 'ftp://a/b'",
                "url must have schema one of [http, https, file, oci]",
            ),
            (
                "url: 'file:///a.wasm', match: [{ports: [{number: 0}]}]",
                "is not between 1 and 65535",
            ),
        ],
    );
    table(
        "extensions.istio.io/v1alpha1",
        "TrafficExtension",
        &[
            (&format!("wasm: {{{url}}}"), ""),
            ("lua: {inlineCode: x}", ""),
            ("phase: AUTHZ", "exactly one of wasm or lua must be set"),
            (
                "lua: {inlineCode: x}, wasm: {url: a.b/c}",
                "exactly one of wasm or lua must be set",
            ),
            ("lua: {inlineCode: ''}", "must not be empty"),
        ],
    );
    warnings(
        "extensions.istio.io/v1alpha1",
        "WasmPlugin",
        &[(url, "extensions are not supported yet")],
    );
}

#[test]
fn kinds_for_other_proxies_are_reported_once_each() {
    for (version, kind) in [
        ("v1", "Sidecar"),
        ("v1alpha3", "EnvoyFilter"),
        ("v1beta1", "ProxyConfig"),
    ] {
        let found = problems(
            &format!("networking.istio.io/{version}"),
            kind,
            "anything: {a: [b]}",
        );
        let [problem] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(
            (problem.severity, problem.code),
            (Severity::Warning, "not-supported")
        );
        assert!(
            problem
                .message
                .contains(&format!("{kind} is not supported")),
            "{problem}"
        );
    }
}
