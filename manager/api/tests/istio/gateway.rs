use crate::{problems, table, warnings};

const V: &str = "networking.istio.io/v1";
const KIND: &str = "Gateway";

fn rows(wrap: impl Fn(&str) -> String, rows: &[(&str, &str)]) {
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

fn tls(fields: &str) -> String {
    format!(
        "servers: [{{hosts: [a.com], port: {{number: 443, name: x, protocol: HTTPS}}, tls: {{{fields}}}}}]"
    )
}

#[test]
fn servers_are_judged() {
    let server = |fields: &str| format!("selector: {{istio: ingressgateway}}, servers: [{fields}]");
    let http = "port: {number: 80, name: http, protocol: HTTP}";
    rows(
        server,
        &[
            ("", "gateway must have at least one server"),
            (&format!("{{hosts: ['*'], {http}}}"), ""),
            (
                &format!("{{hosts: [ns/a.com, './b.com', '*/c.com'], {http}}}"),
                "",
            ),
            (
                &format!("{{{http}}}"),
                "server config must contain at least one host",
            ),
            (
                &format!("{{hosts: [NS/a.com], {http}}}"),
                "invalid namespace value \"NS\"",
            ),
            (&format!("{{hosts: [ns/], {http}}}"), "must be non-empty"),
            (
                &format!("{{hosts: ['a b'], {http}}}"),
                "invalid host \"a b\"",
            ),
            (
                "{hosts: [a], port: {number: 80, name: x, protocol: SMTP}}",
                "invalid protocol \"SMTP\"",
            ),
            (
                "{hosts: [a], port: {number: 80, name: x, protocol: grpc-web}}",
                "",
            ),
            (
                "{hosts: [a], port: {number: 80, protocol: HTTP}}",
                "port name must be set",
            ),
            (
                "{hosts: [a], port: {name: x, protocol: HTTP}}",
                "0 is not between 1 and 65535",
            ),
            (
                "{hosts: [a], port: {number: 80, name: x, protocol: HTTP, targetPort: 8080}}",
                "targetPort has no impact on Gateways",
            ),
            (
                &format!("{{hosts: [a], {http}}}, {{hosts: [b], {http}}}"),
                "port names in servers must be unique: duplicate name http",
            ),
            (
                &format!("{{hosts: [a], bind: x, {http}}}"),
                "x is not a valid IP address",
            ),
            (
                &format!("{{hosts: [a], bind: 'unix://a', {http}}}"),
                "port number must be 0 for unix domain socket",
            ),
            (
                &format!("{{hosts: [a], tls: {{httpsRedirect: true}}, {http}}}"),
                "",
            ),
            (
                &format!("{{hosts: [a], tls: {{mode: SIMPLE, credentialName: c}}, {http}}}"),
                "server cannot have TLS settings for plain text HTTP ports",
            ),
            (
                "{hosts: [a], port: {number: 80, name: x, protocol: TCP}, tls: {mode: PASSTHROUGH}}",
                "server cannot have TLS settings for non HTTPS/TLS ports",
            ),
            (
                "{hosts: [a], port: {number: 80, name: x, protocol: TLS}}",
                "server must have TLS settings for HTTPS/TLS protocols",
            ),
        ],
    );
    let found = problems(
        V,
        KIND,
        &server(
            "{hosts: [a], port: {number: 80, name: x, protocol: TLS}, tls: {httpsRedirect: true}}",
        ),
    );
    assert!(
        found.iter().any(|problem| problem
            .message
            .contains("should only be used with http servers")),
        "{found:?}"
    );
}

#[test]
fn tls_settings_are_judged() {
    rows(
        tls,
        &[
            ("mode: SIMPLE, credentialName: c", ""),
            ("mode: SIMPLE, credentialNames: [a, b]", ""),
            (
                "mode: SIMPLE, credentialNames: [a, b, c]",
                "must have at most 2 items",
            ),
            ("mode: SIMPLE, serverCertificate: c, privateKey: k", ""),
            ("mode: SIMPLE", "SIMPLE TLS requires a server certificate"),
            (
                "mode: SIMPLE, serverCertificate: c",
                "SIMPLE TLS requires a private key",
            ),
            (
                "mode: SIMPLE, tlsCertificates: [{serverCertificate: c}]",
                "SIMPLE TLS requires a private key",
            ),
            (
                "mode: MUTUAL, serverCertificate: c, privateKey: k",
                "MUTUAL TLS requires a client CA bundle",
            ),
            (
                "mode: MUTUAL, serverCertificate: c, privateKey: k, caCertificates: a",
                "",
            ),
            ("mode: OPTIONAL_MUTUAL, credentialName: c", ""),
            ("mode: PASSTHROUGH", ""),
            ("mode: ISTIO_MUTUAL", ""),
            (
                "mode: ISTIO_MUTUAL, credentialName: c",
                "ISTIO_MUTUAL TLS cannot have associated credentialName",
            ),
            (
                "mode: ISTIO_MUTUAL, serverCertificate: c",
                "ISTIO_MUTUAL TLS cannot have associated server certificate",
            ),
            (
                "mode: SIMPLE, credentialName: c, serverCertificate: c, privateKey: k",
                "only one of credential_name, credential_names",
            ),
            (
                "mode: SIMPLE, credentialName: c, credentialNames: [d]",
                "only one of credentialName or credentialNames can be set",
            ),
            (
                "mode: SIMPLE, credentialName: c, caCrl: x",
                "CRL is not supported with credentialName",
            ),
            (
                "mode: SIMPLE, serverCertificate: c, privateKey: k, caCrl: x",
                "CRL is not supported with SIMPLE TLS",
            ),
            ("mode: SOMETIMES", "unknown variant `SOMETIMES`"),
        ],
    );
}

#[test]
fn versions_and_ciphers_that_cannot_be_served_are_refused() {
    let with = |fields: &str| tls(&format!("mode: SIMPLE, credentialName: c, {fields}"));
    rows(
        with,
        &[
            (
                "minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_3",
                "",
            ),
            (
                "minProtocolVersion: TLSV1_0",
                "TLS 1.0 and 1.1 cannot be served",
            ),
            (
                "maxProtocolVersion: TLSV1_1",
                "TLS 1.0 and 1.1 cannot be served",
            ),
            (
                "minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2",
                "minProtocolVersion is above maxProtocolVersion",
            ),
            ("cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256]", ""),
            ("cipherSuites: [AES128-SHA]", "AES128-SHA cannot be served"),
            ("cipherSuites: [DES-CBC3-SHA]", "cannot be served"),
        ],
    );
    warnings(
        V,
        KIND,
        &[
            (
                &with("cipherSuites: [FAST]"),
                "ignoring invalid cipher suites: [FAST]",
            ),
            (
                &with("cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256]"),
                "ignoring duplicate cipher suites",
            ),
            (
                &tls("mode: PASSTHROUGH, credentialName: c"),
                "mode does not use certificates, they will be ignored",
            ),
        ],
    );
}
