//! The parts of a traffic policy that L7 and TLS act on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;

use crate::proto;

/// `consistentHash`: what a request's destination is chosen by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashPolicy {
    /// What is hashed.
    pub key: HashKey,
    /// How hashes are spread.
    pub algorithm: HashAlgorithm,
}

/// What is hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HashKey {
    /// `httpHeaderName`.
    Header(Arc<str>),
    /// `httpCookie`.
    Cookie {
        /// `name`.
        name: Arc<str>,
        /// `path`; may be empty.
        path: Arc<str>,
        /// `ttl`: the cookie is made when it is missing; 0 lives for the session.
        ttl: Option<Duration>,
        /// `attributes` of the cookie that is made.
        attributes: Vec<(Arc<str>, Arc<str>)>,
    },
    /// `useSourceIp`.
    SourceIp,
    /// `httpQueryParameterName`.
    Query(Arc<str>),
}

/// How hashes are spread over endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashAlgorithm {
    /// `ringHash`, and the default.
    Ring {
        /// `minimumRingSize`, 1024 unless set.
        minimum_size: u64,
    },
    /// `maglev`.
    Maglev {
        /// `tableSize`, a prime; 65537 unless set.
        table_size: u32,
    },
}

/// `tls`: how a client connects (`ClientTLSSettings` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientTls {
    /// `mode`.
    pub mode: ClientTlsMode,
    /// `clientCertificate`: a file.
    pub client_certificate: Arc<str>,
    /// `privateKey`: a file.
    pub private_key: Arc<str>,
    /// `caCertificates`: a file.
    pub ca_certificates: Arc<str>,
    /// `caCrl`: a file.
    pub ca_crl: Arc<str>,
    /// `credentialName`: a Secret.
    pub credential_name: Arc<str>,
    /// `subjectAltNames` the server must have one of.
    pub subject_alt_names: Vec<Arc<str>>,
    /// `sni`; may be empty.
    pub sni: Arc<str>,
    /// `insecureSkipVerify`.
    pub insecure_skip_verify: Option<bool>,
}

/// How a client connects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClientTlsMode {
    /// Without TLS.
    #[default]
    Disable,
    /// With TLS.
    Simple,
    /// With TLS and a certificate of its own.
    Mutual,
    /// With the mesh's certificates.
    IstioMutual,
}

/// `localityLbSetting`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LocalitySetting {
    /// `distribute`.
    pub distribute: Vec<Distribute>,
    /// `failover`.
    pub failover: Vec<Failover>,
    /// `failoverPriority`: labels, or labels with values.
    pub failover_priority: Vec<Arc<str>>,
    /// `enabled`.
    pub enabled: Option<bool>,
}

/// Where traffic from a locality goes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Distribute {
    /// `from`: `region/zone/subzone`, where `*` stands for the rest.
    pub from: Arc<str>,
    /// `to`: percent by locality, 100 in all.
    pub to: BTreeMap<Arc<str>, u32>,
}

/// Where traffic from a region goes when nothing there is healthy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Failover {
    /// `from`: a region.
    pub from: Arc<str>,
    /// `to`: a region.
    pub to: Arc<str>,
}

/// `zoneAwareLbSetting`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ZoneAwareSetting {
    /// `enabled`.
    pub enabled: Option<bool>,
    /// `failover`.
    pub failover: Vec<Failover>,
    /// `failoverPriority`.
    pub failover_priority: Vec<Arc<str>>,
    /// `minClusterSize`, at least 1.
    pub min_cluster_size: Option<u32>,
}

/// `connectionPool.http`, without what is not set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HttpPool {
    /// `http1MaxPendingRequests`.
    pub max_pending_requests: Option<u32>,
    /// `http2MaxRequests`.
    pub max_requests: Option<u32>,
    /// `maxRequestsPerConnection`; 0 is no limit.
    pub max_requests_per_connection: Option<u32>,
    /// `maxRetries` at the same time.
    pub max_retries: Option<u32>,
    /// `idleTimeout`.
    pub idle_timeout: Option<Duration>,
    /// `maxConcurrentStreams` of a connection.
    pub max_concurrent_streams: Option<u32>,
    /// `h2UpgradePolicy` is `UPGRADE`, or `DO_NOT_UPGRADE`.
    pub upgrade_to_http2: Option<bool>,
    /// `useClientProtocol`.
    pub use_client_protocol: bool,
}

/// `retryBudget`: how many retries there may be at the same time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RetryBudget {
    /// `percent` of the active requests; none means 20.
    #[serde(deserialize_with = "proto::percent_number")]
    pub percent: Option<proto::Percent>,
    /// `minRetryConcurrency`; none means 3.
    pub min_retry_concurrency: Option<u32>,
    /// `budgetInterval`.
    #[serde(deserialize_with = "proto::duration_or_zero")]
    pub budget_interval: Option<Duration>,
}

/// `tunnel`: through an HTTP proxy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tunnel {
    /// `protocol`: `CONNECT`, the default, or `POST`.
    pub protocol: Arc<str>,
    /// `targetHost`.
    pub target_host: Arc<str>,
    /// `targetPort`.
    pub target_port: u32,
}

/// `proxyProtocol`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProxyProtocol {
    /// `version`.
    pub version: ProxyProtocolVersion,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the variants are the versions")]
pub enum ProxyProtocolVersion {
    #[default]
    V1,
    V2,
}
