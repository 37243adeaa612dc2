//! Istio's verdicts on a `Gateway` (`pkg/config/validation` of istio/istio), and those of a TLS
//! library without versions and ciphers that are broken.

use std::net::IpAddr;

use super::{IstioGateway, Server, ServerTls, ServerTlsMode as Mode, TlsVersion};
use crate::{decode::Reading, path::At, syntax};

/// OpenSSL's names of the cipher suites of TLS 1.2 that are served.
const CIPHERS: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// Suites that Istio takes, but that cannot be served: without forward secrecy or with CBC.
const WEAK_CIPHERS: &[&str] = &[
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "ECDHE-PSK-CHACHA20-POLY1305",
    "PSK-AES128-CBC-SHA",
    "PSK-AES256-CBC-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA256",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

pub(super) fn gateway(gateway: &IstioGateway, name: &str, cx: &mut Reading<'_>) {
    let metadata = At::top("metadata");
    cx.require(
        syntax::is_label(name),
        metadata.key("name"),
        format_args!("invalid gateway name: {name:?}"),
    );
    let at = At::top("spec");
    for (key, value) in gateway.selector.iter() {
        let fits = syntax::is_label_key(key) && syntax::is_label_value(value);
        let at = at.key("selector");
        cx.require(
            fits,
            at.key(key),
            format_args!("{key}: {value} is not a valid label"),
        );
    }
    let list = at.key("servers");
    let message = "gateway must have at least one server";
    cx.require(!gateway.servers.is_empty(), list, message);
    for (index, server) in gateway.servers.iter().enumerate() {
        let at = list.index(index);
        self::server(server, at, cx);
        let name = &server.port.name;
        let is_new = gateway.servers[..index]
            .iter()
            .all(|other| other.port.name != *name);
        let port = at.key("port");
        cx.require(
            is_new,
            port.key("name"),
            format_args!("port names in servers must be unique: duplicate name {name}"),
        );
    }
}

fn server(server: &Server, at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("hosts");
    let message = "server config must contain at least one host";
    cx.require(!server.hosts.is_empty(), list, message);
    for (index, host) in server.hosts.iter().enumerate() {
        host_with_namespace(host, list.index(index), cx);
    }
    port(server, at.key("port"), cx);
    bind(server, at.key("bind"), cx);
    if !server.default_endpoint.is_empty() {
        let message = "is not supported; Istio does not act on it either";
        cx.not_supported(at.key("defaultEndpoint"), message);
    }
    if let Some(settings) = &server.tls {
        tls(settings, at.key("tls"), cx);
    }
    fits_protocol(server, at, cx);
}

/// `host` or `namespace/host`.
fn host_with_namespace(written: &str, at: At<'_>, cx: &mut Reading<'_>) {
    let host = match written.split_once('/') {
        None => written,
        Some((namespace, host)) => {
            let fits = matches!(namespace, "*" | ".") || syntax::is_label(namespace);
            cx.require(
                fits,
                at,
                format_args!("invalid namespace value {namespace:?} in {written:?}"),
            );
            cx.require(
                !host.is_empty(),
                at,
                "config namespace and dnsName in Server.Hosts must be non-empty",
            );
            host
        }
    };
    let fits = syntax::is_host(host) || host.parse::<IpAddr>().is_ok();
    cx.require(fits, at, format_args!("invalid host {written:?}"));
}

fn port(server: &Server, at: At<'_>, cx: &mut Reading<'_>) {
    let port = &server.port;
    let is_known = port.protocol().is_some();
    cx.require(
        is_known,
        at.key("protocol"),
        format_args!(
            "invalid protocol {:?}, supported protocols are \
             HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, MONGO, TCP, TLS",
            port.written_protocol
        ),
    );
    if port.number != 0 || !server.bind.starts_with("unix://") {
        cx.port(at.key("number"), i64::from(port.number));
    }
    let message = "targetPort has no impact on Gateways";
    cx.require(port.target_port == 0, at.key("targetPort"), message);
    let message = "port name must be set";
    cx.require(!port.name.is_empty(), at.key("name"), message);
}

fn bind(server: &Server, at: At<'_>, cx: &mut Reading<'_>) {
    if let Some(path) = server.bind.strip_prefix("unix://") {
        let is_path = path.starts_with('@') || (path.starts_with('/') && !path.ends_with('/'));
        let message = format_args!("{path} is not an absolute path to a file");
        cx.require(is_path, at, message);
        let message = "port number must be 0 for unix domain socket";
        cx.require(server.port.number == 0, at, message);
        cx.not_supported(at, "unix domain sockets are not supported");
    } else if !server.bind.is_empty() {
        let is_address = server.bind.parse::<IpAddr>().is_ok();
        let message = format_args!("{} is not a valid IP address", server.bind);
        cx.require(is_address, at, message);
    }
}

/// Judges whether there is TLS where there must be, and nowhere else.
fn fits_protocol(server: &Server, at: At<'_>, cx: &mut Reading<'_>) {
    let Some(protocol) = server.port.protocol() else {
        return;
    };
    let at_tls = at.key("tls");
    match &server.tls {
        None if protocol.is_tls() => {
            let message = "server must have TLS settings for HTTPS/TLS protocols";
            cx.reject(at_tls, message);
        }
        Some(tls) if !protocol.is_tls() && protocol.is_http() => {
            let is_bare = matches!(tls.mode, Mode::Passthrough | Mode::AutoPassthrough)
                && tls.ca_certificates.is_empty()
                && tls.private_key.is_empty()
                && tls.server_certificate.is_empty();
            let message = "server cannot have TLS settings for plain text HTTP ports";
            cx.require(is_bare, at_tls, message);
        }
        Some(_) if !protocol.is_tls() => {
            let message = "server cannot have TLS settings for non HTTPS/TLS ports";
            cx.reject(at_tls, message);
        }
        _ => {}
    }
    if server.tls.as_ref().is_some_and(|tls| tls.https_redirect) && !protocol.is_http() {
        let message = "tls.httpsRedirect should only be used with http servers";
        cx.warn(at_tls.key("httpsRedirect"), message);
    }
}

fn tls(tls: &ServerTls, at: At<'_>, cx: &mut Reading<'_>) {
    versions(tls, at, cx);
    ciphers(tls, at.key("cipherSuites"), cx);
    lists(tls, at, cx);
    match tls.mode {
        Mode::IstioMutual => istio_mutual(tls, at, cx),
        Mode::Passthrough | Mode::AutoPassthrough => {
            let has_some = !tls.ca_crl.is_empty()
                || !tls.ca_certificates.is_empty()
                || sources(tls) > 0
                || !tls.server_certificate.is_empty()
                || !tls.private_key.is_empty();
            if has_some {
                let message = "PASSTHROUGH mode does not use certificates, they will be ignored";
                cx.warn(at, message);
            }
        }
        Mode::Simple | Mode::Mutual | Mode::OptionalMutual => certificates(tls, at, cx),
    }
}

fn versions(tls: &ServerTls, at: At<'_>, cx: &mut Reading<'_>) {
    for (field, version) in [
        ("minProtocolVersion", tls.min_protocol_version),
        ("maxProtocolVersion", tls.max_protocol_version),
    ] {
        if matches!(version, TlsVersion::Tls1_0 | TlsVersion::Tls1_1) {
            let message = "TLS 1.0 and 1.1 cannot be served; use TLSV1_2 or TLSV1_3";
            cx.reject(at.key(field), message);
        }
    }
    let (least, most) = (tls.min_protocol_version, tls.max_protocol_version);
    if least != TlsVersion::TlsAuto && most != TlsVersion::TlsAuto && least > most {
        let message = "minProtocolVersion is above maxProtocolVersion";
        cx.reject(at.key("minProtocolVersion"), message);
    }
}

fn ciphers(tls: &ServerTls, list: At<'_>, cx: &mut Reading<'_>) {
    for (index, cipher) in tls.cipher_suites.iter().enumerate() {
        let at = list.index(index);
        if tls.cipher_suites[..index].contains(cipher) {
            cx.warn(
                at,
                format_args!("ignoring duplicate cipher suites: [{cipher}]"),
            );
        } else if WEAK_CIPHERS.contains(&&**cipher) {
            let known = CIPHERS.join(", ");
            cx.reject(at, format_args!("{cipher} cannot be served; use {known}"));
        } else if !CIPHERS.contains(&&**cipher) {
            cx.warn(
                at,
                format_args!("ignoring invalid cipher suites: [{cipher}]"),
            );
        }
    }
}

/// Limits of the published definition.
fn lists(tls: &ServerTls, at: At<'_>, cx: &mut Reading<'_>) {
    for (field, count) in [
        ("credentialNames", tls.credential_names.len()),
        ("tlsCertificates", tls.tls_certificates.len()),
    ] {
        cx.require(
            count <= 2,
            at.key(field),
            format_args!("must have at most 2 items, not {count}"),
        );
    }
    let named = [
        !tls.credential_name.is_empty(),
        !tls.credential_names.is_empty(),
    ];
    if named == [true, true] {
        cx.reject(
            at,
            "only one of credentialName or credentialNames can be set",
        );
    }
    if named[1] && !tls.tls_certificates.is_empty() {
        cx.reject(
            at,
            "only one of credentialNames or tlsCertificates can be set",
        );
    }
}

fn istio_mutual(tls: &ServerTls, at: At<'_>, cx: &mut Reading<'_>) {
    for (is_set, field, what) in [
        (
            !tls.server_certificate.is_empty(),
            "serverCertificate",
            "server certificate",
        ),
        (!tls.private_key.is_empty(), "privateKey", "private key"),
        (
            !tls.ca_certificates.is_empty(),
            "caCertificates",
            "CA bundle",
        ),
        (
            !tls.tls_certificates.is_empty(),
            "tlsCertificates",
            "tlsCertificates",
        ),
        (
            !tls.credential_name.is_empty(),
            "credentialName",
            "credentialName",
        ),
        (
            !tls.credential_names.is_empty(),
            "credentialNames",
            "credentialNames",
        ),
    ] {
        let message = format_args!("ISTIO_MUTUAL TLS cannot have associated {what}");
        cx.require(!is_set, at.key(field), message);
    }
}

/// How many kinds of sources there are for certificates.
fn sources(tls: &ServerTls) -> usize {
    usize::from(!tls.server_certificate.is_empty() && !tls.private_key.is_empty())
        + usize::from(!tls.credential_name.is_empty())
        + usize::from(!tls.credential_names.is_empty())
        + usize::from(!tls.tls_certificates.is_empty())
}

fn certificates(tls: &ServerTls, at: At<'_>, cx: &mut Reading<'_>) {
    let message = "only one of credential_name, credential_names, \
        server_certificate/private_key, tls_certificates should be specified";
    cx.require(sources(tls) <= 1, at, message);
    let is_simple = tls.mode == Mode::Simple;
    if !tls.ca_crl.is_empty() {
        let message =
            "CRL is not supported with credentialName. CRL has to be specified in the credential";
        cx.require(tls.credential_name.is_empty(), at.key("caCrl"), message);
        let message = "CRL is not supported with SIMPLE TLS";
        cx.require(!is_simple, at.key("caCrl"), message);
    }
    if !tls.credential_name.is_empty() || !tls.credential_names.is_empty() {
        return;
    }
    let prefix = if is_simple {
        "SIMPLE TLS"
    } else {
        "MUTUAL TLS"
    };
    if !is_simple {
        let has_bundle = !tls.ca_certificates.is_empty() || !tls.ca_cert_credential_name.is_empty();
        let message = format_args!("{prefix} requires a client CA bundle");
        cx.require(has_bundle, at.key("caCertificates"), message);
    }
    let pair = |certificate: &str, key: &str, at: At<'_>, cx: &mut Reading<'_>| {
        let message = format_args!("{prefix} requires a server certificate");
        cx.require(
            !certificate.is_empty(),
            at.key("serverCertificate"),
            message,
        );
        let message = format_args!("{prefix} requires a private key");
        cx.require(!key.is_empty(), at.key("privateKey"), message);
    };
    if tls.tls_certificates.is_empty() {
        pair(&tls.server_certificate, &tls.private_key, at, cx);
    }
    let list = at.key("tlsCertificates");
    for (index, certificate) in tls.tls_certificates.iter().enumerate() {
        pair(
            &certificate.server_certificate,
            &certificate.private_key,
            list.index(index),
            cx,
        );
    }
}
