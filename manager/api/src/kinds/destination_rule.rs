//! Istio `DestinationRule`.

mod check;
pub mod traffic;
mod written;

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use self::{
    traffic::{ClientTls, HashPolicy, HttpPool, LocalitySetting, RetryBudget},
    written::Written,
};
use crate::{
    Labels, Resource, decode::Reading, kinds::visibility, object::Metadata, path::At, syntax,
};

/// A DestinationRule: what of it is acted on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationRule {
    /// `spec.host` as written: a short name, a full name, or one with a leading wildcard.
    pub host: Arc<str>,
    /// `spec.exportTo`; empty means everywhere.
    pub export_to: Vec<Arc<str>>,
    /// `spec.trafficPolicy`.
    pub policy: Policy,
    /// `spec.trafficPolicy.portLevelSettings` by port number: they replace `policy` for their
    /// port, they do not inherit from it.
    pub ports: Vec<(u16, Policy)>,
    /// `spec.subsets`.
    pub subsets: Vec<Subset>,
    /// `spec.workloadSelector.matchLabels` of the clients it is for; empty means all.
    pub clients: Labels,
    /// Whether there are no settings for only a part of the clients (`workloadSelector`): such a
    /// rule as a whole is not acted on.
    pub applies_to_all_clients: bool,
}

/// A part of a service's endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subset {
    /// `name`, unique in the rule.
    pub name: Arc<str>,
    /// `labels` its endpoints have; empty means all endpoints.
    pub labels: Labels,
    /// `trafficPolicy`; what it does not set is that of the rule.
    pub policy: Option<Policy>,
    /// `trafficPolicy.portLevelSettings` by port number.
    pub ports: Vec<(u16, Policy)>,
}

/// How to reach the backends of a port.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// `loadBalancer`, when it says something that is supported.
    pub balancing: Option<LoadBalancing>,
    /// `connectionPool.tcp.maxConnections`; 0 in the resource means no limit.
    pub max_connections: Option<u32>,
    /// `outlierDetection`, unless it counts nothing.
    pub outlier: Option<OutlierDetection>,
    /// `loadBalancer.consistentHash`.
    pub hash: Option<HashPolicy>,
    /// `connectionPool.http`.
    pub http: Option<HttpPool>,
    /// `tls`.
    pub tls: Option<ClientTls>,
    /// `loadBalancer.localityLbSetting`.
    pub locality: Option<LocalitySetting>,
    /// `retryBudget`.
    pub retry_budget: Option<RetryBudget>,
}

/// `loadBalancer`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadBalancing {
    /// `simple: ROUND_ROBIN`.
    RoundRobin,
    /// `simple: RANDOM`.
    Random,
    /// `simple: LEAST_REQUEST` or `LEAST_CONN`.
    LeastConnections,
    /// `consistentHash.useSourceIp`.
    SourceHash {
        /// `consistentHash.maglev.tableSize`, a prime up to 5000011.
        table_size: Option<u32>,
    },
}

/// `outlierDetection` for TCP, defaults applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutlierDetection {
    /// Failures in a row that eject, at least 1.
    pub consecutive_failures: u32,
    /// `interval`.
    pub interval: Duration,
    /// `baseEjectionTime`.
    pub base_ejection: Duration,
    /// `maxEjectionPercent`, 0 to 100.
    pub max_ejection_percent: u8,
    /// `minHealthPercent`, 0 to 100.
    pub min_health_percent: u8,
}

/// Fields that are read and checked, but that nothing acts on.
const NOT_ACTED_ON: &[(&str, &str)] = &[
    (
        "spec.workloadSelector",
        "is not supported yet; the rule is not used",
    ),
    ("spec.trafficPolicy.port", ONLY_PORTS),
    ("spec.subsets[].trafficPolicy.port", ONLY_PORTS),
    (
        "spec.trafficPolicy.portLevelSettings[].portLevelSettings",
        NO_PORTS,
    ),
    (
        "spec.subsets[].trafficPolicy.portLevelSettings[].portLevelSettings",
        NO_PORTS,
    ),
];

/// Fields of a policy, for the top level, for each port and for each subset.
const POLICY_NOT_ACTED_ON: &[(&str, &str)] = &[
    ("tls", NOT_YET),
    ("tunnel", NOT_YET),
    ("proxyProtocol", NOT_YET),
    ("retryBudget", NEEDS_L7),
    ("connectionPool.http", NEEDS_L7),
    ("connectionPool.tcp.connectTimeout", NOT_YET),
    ("connectionPool.tcp.tcpKeepalive", NOT_YET),
    ("connectionPool.tcp.maxConnectionDuration", NOT_YET),
    ("connectionPool.tcp.idleTimeout", NOT_YET),
    ("loadBalancer.localityLbSetting", NOT_YET),
    ("loadBalancer.zoneAwareLbSetting", NOT_YET),
    ("loadBalancer.warmup", NOT_YET),
    ("loadBalancer.warmupDurationSecs", NOT_YET),
    ("loadBalancer.consistentHash.httpHeaderName", HASH_NEEDS_L7),
    ("loadBalancer.consistentHash.httpCookie", HASH_NEEDS_L7),
    (
        "loadBalancer.consistentHash.httpQueryParameterName",
        HASH_NEEDS_L7,
    ),
    ("outlierDetection.consecutiveGatewayErrors", NEEDS_L7),
    ("outlierDetection.outlierDetectionHttpErrorCodes", NEEDS_L7),
    (
        "outlierDetection.consecutiveErrors",
        "is superseded by consecutive5xxErrors and not used",
    ),
];

const ONLY_PORTS: &str = "no such field here; it is one of portLevelSettings";
const NO_PORTS: &str = "no such field here; ports stand in the policy itself";
const NOT_YET: &str = "is not supported yet";
const NEEDS_L7: &str = "needs L7, which is not supported yet";
const HASH_NEEDS_L7: &str = "needs L7, which is not supported yet; the default balancing is used";

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: Written = cx.message(object, "spec")?;
    let at = At::top("spec");
    let host = spec.host.as_deref().unwrap_or("");
    if host.is_empty() {
        cx.reject(at.key("host"), "a destination rule needs a host");
    } else if !syntax::is_host(host) {
        cx.reject(at.key("host"), format_args!("{host:?} is not a valid host"));
    }
    let namespace = &*metadata.key.namespace;
    let export_to = spec.export_to.as_deref().unwrap_or(&[]);
    visibility::check(export_to, namespace, false, at.key("exportTo"), cx);
    if spec.workload_selector.is_some() {
        let fits = export_to.iter().all(|to| to == "." || to == namespace);
        let message =
            "destination rule with workload selector cannot have exportTo beyond current namespace";
        cx.require(fits, at.key("exportTo"), message);
    }
    let clients = spec.workload_selector.as_ref();
    let clients = clients.and_then(|selector| selector.match_labels.clone());
    let rule = DestinationRule {
        host: cx.interner.name(&host.to_ascii_lowercase()),
        export_to: spec
            .export_to
            .iter()
            .flatten()
            .map(|to| cx.interner.name(to))
            .collect(),
        policy: check::policy(spec.traffic_policy.as_ref(), at.key("trafficPolicy"), cx),
        ports: check::port_level(spec.traffic_policy.as_ref(), at.key("trafficPolicy"), cx),
        subsets: check::subsets(spec.subsets.as_deref(), at, cx),
        clients: Labels::new(clients.into_iter().flatten()),
        applies_to_all_clients: spec.workload_selector.is_none(),
    };
    not_acted_on(object, cx);
    Some(Resource::DestinationRule(Box::new(rule)))
}

fn not_acted_on(object: &Value, cx: &mut Reading<'_>) {
    cx.not_acted_on(object, NOT_ACTED_ON);
    for (field, reason) in POLICY_NOT_ACTED_ON {
        for prefix in [
            "spec.trafficPolicy",
            "spec.trafficPolicy.portLevelSettings[]",
            "spec.subsets[].trafficPolicy",
            "spec.subsets[].trafficPolicy.portLevelSettings[]",
        ] {
            cx.not_acted_on(object, &[(format!("{prefix}.{field}").as_str(), *reason)]);
        }
    }
    // The kernel has one set of backends for a service.
    for field in [
        "connectionPool.tcp.maxConnections",
        "outlierDetection",
        "loadBalancer.simple",
    ] {
        for prefix in [
            "spec.subsets[].trafficPolicy",
            "spec.subsets[].trafficPolicy.portLevelSettings[]",
        ] {
            let reason = "is not supported yet in a subset; what the rule says for all holds";
            cx.not_acted_on(object, &[(format!("{prefix}.{field}").as_str(), reason)]);
        }
    }
}
