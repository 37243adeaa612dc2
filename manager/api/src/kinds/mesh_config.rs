//! `MeshConfig` of Istio: key `mesh` of the ConfigMap `istio` in the root namespace.

mod check;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::destination_rule::traffic::LocalitySetting;
use super::virtual_service::http::Retries;
use crate::{decode::Reading, path::At, proto, yaml};

/// What holds for the whole mesh (`mesh/v1alpha1/config.proto` of istio/api), as far as it is read.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MeshConfig {
    /// `trustDomain`; empty means `cluster.local`.
    pub trust_domain: Arc<str>,
    /// `trustDomainAliases`.
    pub trust_domain_aliases: Vec<Arc<str>>,
    /// `rootNamespace`; empty means `istio-system`.
    pub root_namespace: Arc<str>,
    /// `enableAutoMtls`; none means true.
    pub enable_auto_mtls: Option<bool>,
    /// `accessLogFile`; empty means none.
    pub access_log_file: Arc<str>,
    /// `accessLogFormat`; empty means the default.
    pub access_log_format: Arc<str>,
    /// `accessLogEncoding`.
    pub access_log_encoding: LogEncoding,
    /// `outboundTrafficPolicy`.
    pub outbound_traffic_policy: OutboundTrafficPolicy,
    /// `defaultHttpRetryPolicy`.
    pub default_http_retry_policy: Option<Retries>,
    /// `localityLbSetting`.
    pub locality_lb_setting: Option<LocalitySetting>,
    /// `pathNormalization`.
    pub path_normalization: PathNormalization,
    /// `discoverySelectors`; empty means every namespace.
    pub discovery_selectors: Vec<DiscoverySelector>,
    /// `connectTimeout`; none means 10 s.
    #[serde(deserialize_with = "proto::duration")]
    pub connect_timeout: Option<Duration>,
    /// `protocolDetectionTimeout`; none means off.
    #[serde(deserialize_with = "proto::duration_or_zero")]
    pub protocol_detection_timeout: Option<Duration>,
    /// `extensionProviders`.
    pub extension_providers: Vec<ExtensionProvider>,
    /// `defaultProviders`.
    pub default_providers: DefaultProviders,
    /// `meshMTLS`.
    #[serde(rename = "meshMTLS")]
    pub mesh_mtls: MeshTls,
    /// `caCertificates`.
    pub ca_certificates: Vec<CertificateData>,
    /// `hboneIdleTimeout`.
    #[serde(deserialize_with = "proto::duration_or_zero")]
    pub hbone_idle_timeout: Option<Duration>,
    /// `defaultServiceExportTo`; empty means `*`.
    pub default_service_export_to: Vec<Arc<str>>,
    /// `defaultVirtualServiceExportTo`; empty means `*`.
    pub default_virtual_service_export_to: Vec<Arc<str>>,
    /// `defaultDestinationRuleExportTo`; empty means `*`.
    pub default_destination_rule_export_to: Vec<Arc<str>>,
}

/// How access logs are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LogEncoding {
    /// Lines.
    #[default]
    Text,
    /// Objects.
    Json,
}

/// `outboundTrafficPolicy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutboundTrafficPolicy {
    /// `mode`.
    pub mode: OutboundMode,
}

/// What becomes of traffic to hosts that are not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// It passes.
    #[default]
    AllowAny,
    /// It is refused.
    RegistryOnly,
}

/// `pathNormalization`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PathNormalization {
    /// `normalization`.
    pub normalization: NormalizationType,
}

/// What is done to paths before they are matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NormalizationType {
    /// As `Base`.
    #[default]
    Default,
    /// Nothing.
    None,
    /// RFC 3986.
    Base,
    /// And slashes that follow each other become one.
    MergeSlashes,
    /// And `%2F`, `%5C` are decoded.
    DecodeAndMergeSlashes,
}

/// Namespaces that are looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DiscoverySelector {
    /// `matchLabels`.
    pub match_labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `matchExpressions`.
    pub match_expressions: Vec<MatchExpression>,
}

/// A condition on a label.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MatchExpression {
    /// `key`.
    pub key: Arc<str>,
    /// `operator`: `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Arc<str>,
    /// `values`.
    pub values: Vec<Arc<str>>,
}

/// A provider that policies and telemetry name. Its settings are kept as they are written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtensionProvider {
    /// `name`, unique.
    pub name: Arc<str>,
    /// Its kind, such as `envoyExtAuthzHttp`; empty when there is none.
    pub kind: Arc<str>,
    /// The settings under its kind.
    pub settings: serde_json::Map<String, Value>,
    /// Whether there are several kinds.
    pub(crate) is_ambiguous: bool,
}

impl<'de> Deserialize<'de> for ExtensionProvider {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut written = serde_json::Map::deserialize(deserializer)?;
        let name = written.remove("name");
        let name = name.as_ref().and_then(Value::as_str).unwrap_or("");
        let is_ambiguous = written.len() > 1;
        let (kind, settings) = written.into_iter().next().unwrap_or_default();
        let settings = match settings {
            Value::Object(settings) => settings,
            _ => serde_json::Map::new(),
        };
        Ok(Self {
            name: name.into(),
            kind: kind.into(),
            settings,
            is_ambiguous,
        })
    }
}

/// Names of providers that are used unless others are named.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DefaultProviders {
    /// `tracing`.
    pub tracing: Vec<Arc<str>>,
    /// `metrics`.
    pub metrics: Vec<Arc<str>>,
    /// `accessLogging`.
    pub access_logging: Vec<Arc<str>>,
}

/// `meshMTLS`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MeshTls {
    /// `minProtocolVersion`.
    pub min_protocol_version: MeshTlsVersion,
    /// `ecdhCurves`.
    pub ecdh_curves: Vec<Arc<str>>,
    /// `cipherSuites`.
    pub cipher_suites: Vec<Arc<str>>,
}

/// The least TLS version between workloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum MeshTlsVersion {
    /// 1.2.
    #[default]
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// 1.2.
    #[serde(rename = "TLSV1_2")]
    Tls1_2,
    /// 1.3.
    #[serde(rename = "TLSV1_3")]
    Tls1_3,
}

/// Certificates that are trusted beside the mesh's own.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CertificateData {
    /// `pem`.
    pub pem: Option<Arc<str>>,
    /// `spiffeBundleUrl`.
    pub spiffe_bundle_url: Option<Arc<str>>,
    /// `certSigners`.
    pub cert_signers: Vec<Arc<str>>,
    /// `trustDomains`.
    pub trust_domains: Vec<Arc<str>>,
}

/// Fields of Istio's that are about its own proxies and control plane.
const OF_ISTIO: [&str; 26] = [
    "ca",
    "certificates",
    "configSources",
    "defaultConfig",
    "disableEnvoyListenerLog",
    "dnsRefreshRate",
    "enableEnvoyAccessLogService",
    "enablePrometheusMerge",
    "enableTracing",
    "h2UpgradePolicy",
    "inboundClusterStatName",
    "inboundTrafficPolicy",
    "ingressClass",
    "ingressControllerMode",
    "ingressSelector",
    "ingressService",
    "outboundClusterStatName",
    "proxyHttpPort",
    "proxyInboundListenPort",
    "proxyListenPort",
    "serviceScopeConfigs",
    "serviceSettings",
    "tcpKeepalive",
    "thriftConfig",
    "tlsDefaults",
    "verifyCertificateAtClient",
];

/// Reads the YAML of a mesh configuration. Fields of Istio that are not read are warnings.
pub(crate) fn read(text: &str, at: At<'_>, cx: &mut Reading<'_>) -> Option<MeshConfig> {
    let mut documents = yaml::documents(text).filter_map(|document| match document.parse() {
        Ok(Value::Null) => None,
        other => Some(other),
    });
    let mut value = match documents.next() {
        None => Value::Object(serde_json::Map::new()),
        Some(Ok(value)) => value,
        Some(Err(fault)) => {
            cx.reject(at, format_args!("line {}: {}", fault.line, fault.message));
            return None;
        }
    };
    let Some(fields) = value.as_object_mut() else {
        cx.reject(at, "the mesh configuration must be an object");
        return None;
    };
    for name in OF_ISTIO {
        if fields.remove(name).is_some() {
            let message = "is about Istio's own proxies or control plane and has no effect";
            cx.not_supported(at.key(name), message);
        }
    }
    let config: MeshConfig = cx.embedded(&value, at)?;
    check::mesh_config(&config, at, cx);
    Some(config)
}
