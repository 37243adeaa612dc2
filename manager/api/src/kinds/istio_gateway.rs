//! Istio `Gateway`: what is written, with Istio's verdict on it.

mod check;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::{Labels, Resource, decode::Reading, object::Metadata, proto};

/// A Gateway of Istio (`networking/v1/gateway.proto` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IstioGateway {
    /// `selector` of the workloads that serve it; empty means all.
    #[serde(deserialize_with = "proto::labels")]
    pub selector: Labels,
    /// `servers`.
    pub servers: Vec<Server>,
}

/// A port that is served, for some hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    /// `name`, unique in the Gateway; may be empty.
    pub name: Arc<str>,
    /// `port`.
    pub port: ServerPort,
    /// `hosts` as written: `host` or `namespace/host`, where the namespace may be `*` or `.` and
    /// the host may begin with a wildcard.
    pub hosts: Vec<Arc<str>>,
    /// `bind`: an address; may be empty.
    pub bind: Arc<str>,
    /// `tls`.
    pub tls: Option<ServerTls>,
    /// `defaultEndpoint`, which Istio reads but does not act on.
    pub default_endpoint: Arc<str>,
}

/// The port of a server.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServerPort {
    /// `number`, 1 to 65535.
    pub number: u32,
    /// `protocol` as written, in any case; [`Self::protocol`] reads it.
    #[serde(rename = "protocol")]
    pub written_protocol: Arc<str>,
    /// `name`.
    pub name: Arc<str>,
    /// `targetPort`, superseded and not acted on; 0 when unset.
    pub target_port: u32,
}

impl ServerPort {
    /// What is spoken on the port.
    pub fn protocol(&self) -> Option<ServerProtocol> {
        ServerProtocol::parse(&self.written_protocol)
    }
}

/// What is spoken on a port of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ServerProtocol {
    /// HTTP/1.1, and HTTP/2 without TLS.
    Http,
    /// HTTP behind TLS; with `PASSTHROUGH`, TLS that is not opened.
    Https,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// HTTP/2.
    Http2,
    /// MongoDB, carried as TCP.
    Mongo,
    /// Anything.
    Tcp,
    /// Anything behind TLS.
    Tls,
}

impl ServerProtocol {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "HTTP" => Self::Http,
            "HTTPS" => Self::Https,
            "GRPC" => Self::Grpc,
            "GRPC-WEB" => Self::GrpcWeb,
            "HTTP2" => Self::Http2,
            "MONGO" => Self::Mongo,
            "TCP" => Self::Tcp,
            "TLS" => Self::Tls,
            _ => return None,
        })
    }

    /// Whether requests are seen without a TLS layer.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// Whether there is a TLS layer.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

/// `tls` of a server (`ServerTLSSettings`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServerTls {
    /// `httpsRedirect`: requests without TLS are sent to `https` with 301.
    pub https_redirect: bool,
    /// `mode`.
    pub mode: ServerTlsMode,
    /// `serverCertificate`: a file.
    pub server_certificate: Arc<str>,
    /// `privateKey`: a file.
    pub private_key: Arc<str>,
    /// `caCertificates`: a file.
    pub ca_certificates: Arc<str>,
    /// `caCrl`: a file.
    pub ca_crl: Arc<str>,
    /// `credentialName`: a Secret.
    pub credential_name: Arc<str>,
    /// `credentialNames`: at most 2 Secrets.
    pub credential_names: Vec<Arc<str>>,
    /// `caCertCredentialName`: a Secret or ConfigMap.
    pub ca_cert_credential_name: Arc<str>,
    /// `tlsCertificates`: at most 2 pairs of files.
    pub tls_certificates: Vec<TlsCertificate>,
    /// `subjectAltNames` a client must have one of.
    pub subject_alt_names: Vec<Arc<str>>,
    /// `verifyCertificateSpki`: hashes, base64.
    pub verify_certificate_spki: Vec<Arc<str>>,
    /// `verifyCertificateHash`: hashes, hexadecimal.
    pub verify_certificate_hash: Vec<Arc<str>>,
    /// `minProtocolVersion`; `TlsAuto` means 1.2.
    pub min_protocol_version: TlsVersion,
    /// `maxProtocolVersion`; `TlsAuto` means 1.3.
    pub max_protocol_version: TlsVersion,
    /// `cipherSuites`, OpenSSL's names; empty means the default.
    pub cipher_suites: Vec<Arc<str>>,
    /// `insecureSkipVerify`, of clients' certificates.
    pub insecure_skip_verify: Option<bool>,
}

/// A pair of files.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsCertificate {
    /// `serverCertificate`.
    pub server_certificate: Arc<str>,
    /// `privateKey`.
    pub private_key: Arc<str>,
    /// `caCertificates`.
    pub ca_certificates: Arc<str>,
}

/// What a server does with TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServerTlsMode {
    /// Routes by the server name without opening it.
    #[default]
    Passthrough,
    /// Opens it.
    Simple,
    /// Opens it and asks for a certificate.
    Mutual,
    /// Routes by the server name alone.
    AutoPassthrough,
    /// Opens it with the mesh's own certificates.
    IstioMutual,
    /// Opens it and checks a certificate if there is one.
    OptionalMutual,
}

/// A TLS version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the variants are the versions")]
pub enum TlsVersion {
    #[default]
    #[serde(rename = "TLS_AUTO")]
    TlsAuto,
    #[serde(rename = "TLSV1_0")]
    Tls1_0,
    #[serde(rename = "TLSV1_1")]
    Tls1_1,
    #[serde(rename = "TLSV1_2")]
    Tls1_2,
    #[serde(rename = "TLSV1_3")]
    Tls1_3,
}

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let gateway: IstioGateway = cx.message(object, "spec")?;
    check::gateway(&gateway, &metadata.key.name, cx);
    Some(Resource::IstioGateway(Box::new(gateway)))
}
