//! `DestinationRule` as it is written (`networking/v1/destination_rule.proto` of istio/api).

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::traffic::{
    ClientTls, LocalitySetting, ProxyProtocol, RetryBudget, Tunnel, ZoneAwareSetting,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    pub(super) host: Option<String>,
    pub(super) traffic_policy: Option<TrafficPolicy>,
    pub(super) subsets: Option<Vec<Subset>>,
    pub(super) export_to: Option<Vec<String>>,
    pub(super) workload_selector: Option<WorkloadSelector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subset {
    pub(super) name: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) traffic_policy: Option<TrafficPolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrafficPolicy {
    pub(super) load_balancer: Option<LoadBalancer>,
    pub(super) connection_pool: Option<ConnectionPool>,
    pub(super) outlier_detection: Option<OutlierDetection>,
    pub(super) tls: Option<ClientTls>,
    pub(super) port_level_settings: Option<Vec<Self>>,
    pub(super) tunnel: Option<Tunnel>,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    pub(super) retry_budget: Option<RetryBudget>,
    /// Of an item of `portLevelSettings` only.
    pub(super) port: Option<Port>,
}

#[derive(Deserialize)]
pub(super) struct Port {
    pub(super) number: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoadBalancer {
    pub(super) simple: Option<String>,
    pub(super) consistent_hash: Option<ConsistentHash>,
    pub(super) locality_lb_setting: Option<LocalitySetting>,
    pub(super) zone_aware_lb_setting: Option<ZoneAwareSetting>,
    pub(super) warmup: Option<Warmup>,
    pub(super) warmup_duration_secs: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Warmup {
    pub(super) duration: Option<String>,
    pub(super) minimum_percent: Option<f64>,
    pub(super) aggression: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsistentHash {
    pub(super) http_header_name: Option<String>,
    pub(super) http_cookie: Option<Cookie>,
    pub(super) use_source_ip: Option<bool>,
    pub(super) http_query_parameter_name: Option<String>,
    pub(super) ring_hash: Option<RingHash>,
    pub(super) maglev: Option<Maglev>,
    pub(super) minimum_ring_size: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Cookie {
    pub(super) name: Option<String>,
    pub(super) path: Option<String>,
    pub(super) ttl: Option<String>,
    pub(super) attributes: Option<Vec<CookieAttribute>>,
}

#[derive(Deserialize)]
pub(super) struct CookieAttribute {
    pub(super) name: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RingHash {
    pub(super) minimum_ring_size: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Maglev {
    pub(super) table_size: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct ConnectionPool {
    pub(super) tcp: Option<Tcp>,
    pub(super) http: Option<Http>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tcp {
    pub(super) max_connections: Option<i64>,
    pub(super) connect_timeout: Option<String>,
    pub(super) tcp_keepalive: Option<Keepalive>,
    pub(super) max_connection_duration: Option<String>,
    pub(super) idle_timeout: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Keepalive {
    #[serde(rename = "probes")]
    _probes: Option<u32>,
    pub(super) time: Option<String>,
    pub(super) interval: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Http {
    pub(super) http1_max_pending_requests: Option<i64>,
    pub(super) http2_max_requests: Option<i64>,
    pub(super) max_requests_per_connection: Option<i64>,
    pub(super) max_retries: Option<i64>,
    pub(super) idle_timeout: Option<String>,
    pub(super) h2_upgrade_policy: Option<String>,
    pub(super) use_client_protocol: Option<bool>,
    pub(super) max_concurrent_streams: Option<i64>,
    #[serde(rename = "http2KeepAlive")]
    pub(super) http2_keep_alive: Option<Http2KeepAlive>,
}

#[derive(Deserialize)]
pub(super) struct Http2KeepAlive {
    pub(super) interval: Option<String>,
    pub(super) timeout: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutlierDetection {
    #[serde(rename = "consecutiveErrors")]
    _consecutive_errors: Option<i64>,
    pub(super) split_external_local_origin_errors: Option<bool>,
    pub(super) consecutive_local_origin_failures: Option<i64>,
    pub(super) consecutive_gateway_errors: Option<i64>,
    #[serde(rename = "consecutive5xxErrors")]
    pub(super) consecutive_5xx_errors: Option<i64>,
    pub(super) interval: Option<String>,
    pub(super) base_ejection_time: Option<String>,
    pub(super) max_ejection_percent: Option<i64>,
    pub(super) min_health_percent: Option<i64>,
    pub(super) outlier_detection_http_error_codes: Option<Vec<i64>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkloadSelector {
    pub(super) match_labels: Option<BTreeMap<Arc<str>, Arc<str>>>,
}
