//! `DestinationRule` as it is written (`networking/v1/destination_rule.proto` of istio/api).

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    pub(super) host: Option<String>,
    pub(super) traffic_policy: Option<TrafficPolicy>,
    pub(super) subsets: Option<Vec<Subset>>,
    pub(super) export_to: Option<Vec<String>>,
    pub(super) workload_selector: Option<Unread>,
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
    pub(super) tls: Option<Unread>,
    pub(super) port_level_settings: Option<Vec<Self>>,
    pub(super) tunnel: Option<Unread>,
    pub(super) proxy_protocol: Option<Unread>,
    pub(super) retry_budget: Option<Unread>,
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
    pub(super) locality_lb_setting: Option<Unread>,
    pub(super) zone_aware_lb_setting: Option<Unread>,
    pub(super) warmup: Option<Warmup>,
    pub(super) warmup_duration_secs: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Warmup {
    pub(super) duration: Option<String>,
    #[serde(rename = "minimumPercent")]
    _minimum_percent: Option<f64>,
    #[serde(rename = "aggression")]
    _aggression: Option<f64>,
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
    #[serde(rename = "path")]
    _path: Option<String>,
    pub(super) ttl: Option<String>,
    #[serde(rename = "attributes")]
    _attributes: Option<Unread>,
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
    _http2_keep_alive: Option<Unread>,
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
    #[serde(rename = "outlierDetectionHttpErrorCodes")]
    _http_error_codes: Option<Unread>,
}

/// A field whose presence alone matters: its content is neither known nor checked yet.
pub(super) struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Through a sequence or a map, so that its fields are not reported as unknown.
        serde_json::Value::deserialize(deserializer).map(|_| Self)
    }
}
