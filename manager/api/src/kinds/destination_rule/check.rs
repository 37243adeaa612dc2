//! Istio's verdicts on a `DestinationRule` (`pkg/config/validation` of istio/istio), and what is
//! kept of it.

mod hash;
mod pool;
mod tls;

use std::time::Duration;

use super::{
    LoadBalancing, OutlierDetection, Policy, Subset,
    traffic::HashPolicy,
    written::{self, LoadBalancer, TrafficPolicy},
};
use crate::{Labels, Severity, decode::Reading, path::At, syntax};

pub(super) fn subsets(
    written: Option<&[written::Subset]>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<Subset> {
    let list = at.key("subsets");
    let written = written.unwrap_or(&[]);
    let mut subsets: Vec<Subset> = Vec::new();
    for (index, subset) in written.iter().enumerate() {
        let at = list.index(index);
        let name = subset.name.as_deref().unwrap_or("");
        let fits = syntax::is_label(&name.to_ascii_lowercase());
        cx.require(
            fits,
            at.key("name"),
            format_args!("subset name is invalid: {name:?}"),
        );
        let is_new = subsets.iter().all(|other| *other.name != *name);
        cx.require(
            is_new,
            at.key("name"),
            format_args!("duplicate subset names: {name}"),
        );
        for (key, value) in subset.labels.iter().flatten() {
            let fits = syntax::is_label_key(key) && syntax::is_label_value(value);
            let at = at.key("labels");
            cx.require(
                fits,
                at.key(key),
                format_args!("{key}: {value} is not a valid label"),
            );
        }
        let labels = subset.labels.iter().flatten();
        let labels = labels.map(|(key, value)| (cx.interner.name(key), cx.interner.name(value)));
        let labels = Labels::new(labels);
        let traffic = subset.traffic_policy.as_ref();
        subsets.push(Subset {
            name: cx.interner.name(name),
            labels,
            policy: traffic.map(|written| policy(Some(written), at.key("trafficPolicy"), cx)),
            ports: port_level(traffic, at.key("trafficPolicy"), cx),
        });
    }
    subsets
}

/// `portLevelSettings` by port number.
pub(super) fn port_level(
    written: Option<&TrafficPolicy>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<(u16, Policy)> {
    let list = at.key("portLevelSettings");
    let mut ports: Vec<(u16, Policy)> = Vec::new();
    let settings = written.and_then(|policy| policy.port_level_settings.as_ref());
    for (index, settings) in settings.into_iter().flatten().enumerate() {
        let at = list.index(index);
        let number_at = at.key("port");
        let number_at = number_at.key("number");
        let policy = policy(Some(settings), at, cx);
        let Some(number) = settings.port.as_ref().and_then(|port| port.number) else {
            cx.reject(number_at, "port level settings need a port number");
            continue;
        };
        let Some(number) = cx.port(number_at, number) else {
            continue;
        };
        if ports.iter().any(|(other, _)| *other == number) {
            let severity = Severity::Warning;
            let message = format!("port {number} has settings already; the first ones are used");
            cx.find(severity, "conflict", number_at.into(), message);
            continue;
        }
        ports.push((number, policy));
    }
    ports
}

pub(super) fn policy(written: Option<&TrafficPolicy>, at: At<'_>, cx: &mut Reading<'_>) -> Policy {
    let Some(written) = written else {
        return Policy::default();
    };
    let is_empty = written.load_balancer.is_none()
        && written.connection_pool.is_none()
        && written.outlier_detection.is_none()
        && written.tls.is_none()
        && written.tunnel.is_none()
        && written.proxy_protocol.is_none()
        && written.retry_budget.is_none()
        && written
            .port_level_settings
            .as_ref()
            .is_none_or(Vec::is_empty);
    cx.require(!is_empty, at, "traffic policy must have at least one field");
    let balancer = written.load_balancer.as_ref();
    let pool = written.connection_pool.as_ref();
    let outlier = written.outlier_detection.as_ref();
    others(written, at, cx);
    let (balancing, hash) = balancer.map_or((None, None), |balancer| {
        balancing(balancer, at.key("loadBalancer"), cx)
    });
    Policy {
        balancing,
        max_connections: pool.and_then(|p| pool::max_connections(p, at.key("connectionPool"), cx)),
        outlier: outlier.and_then(|o| outlier_detection(o, at.key("outlierDetection"), cx)),
        hash,
        http: pool.and_then(pool::http),
        tls: written.tls.clone(),
        locality: balancer.and_then(|balancer| balancer.locality_lb_setting.clone()),
        retry_budget: written.retry_budget.clone(),
    }
}

/// Judges what is taken as it is written.
fn others(written: &TrafficPolicy, at: At<'_>, cx: &mut Reading<'_>) {
    if let Some(settings) = &written.tls {
        tls::tls(settings, at.key("tls"), cx);
    }
    if let Some(tunnel) = &written.tunnel {
        tls::tunnel(tunnel, at.key("tunnel"), cx);
    }
    let at = at.key("loadBalancer");
    let Some(balancer) = &written.load_balancer else {
        return;
    };
    if let Some(setting) = &balancer.locality_lb_setting {
        tls::locality(setting, at.key("localityLbSetting"), cx);
    }
    if let Some(setting) = &balancer.zone_aware_lb_setting {
        tls::zone_aware(setting, at.key("zoneAwareLbSetting"), cx);
    }
    if let Some(warmup) = &balancer.warmup {
        tls::warmup(warmup, at.key("warmup"), cx);
    }
}

fn balancing(
    written: &LoadBalancer,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> (Option<LoadBalancing>, Option<HashPolicy>) {
    if written.simple.is_some() && written.consistent_hash.is_some() {
        cx.reject(at, "only one of simple and consistentHash may be set");
    }
    if written.locality_lb_setting.is_some() && written.zone_aware_lb_setting.is_some() {
        cx.reject(
            at,
            "only one of localityLbSetting and zoneAwareLbSetting may be set",
        );
    }
    let warmup = written.warmup.as_ref();
    if let Some(warmup) = warmup {
        let at = at.key("warmup");
        cx.require(warmup.duration.is_some(), at, "duration is required");
        duration(warmup.duration.as_deref(), at.key("duration"), cx);
    }
    duration(
        written.warmup_duration_secs.as_deref(),
        at.key("warmupDurationSecs"),
        cx,
    );
    if let Some(written) = &written.consistent_hash {
        let (hash, table_size) = hash::consistent_hash(written, at.key("consistentHash"), cx);
        let uses_source = written.use_source_ip == Some(true);
        let balancing = uses_source.then_some(LoadBalancing::SourceHash { table_size });
        return (balancing, hash);
    }
    (
        simple(written.simple.as_deref(), at.key("simple"), cx),
        None,
    )
}

fn simple(written: Option<&str>, at: At<'_>, cx: &mut Reading<'_>) -> Option<LoadBalancing> {
    match written? {
        "UNSPECIFIED" => None,
        "ROUND_ROBIN" => Some(LoadBalancing::RoundRobin),
        "RANDOM" => Some(LoadBalancing::Random),
        "LEAST_REQUEST" | "LEAST_CONN" => Some(LoadBalancing::LeastConnections),
        "PASSTHROUGH" => {
            let message = "PASSTHROUGH is not supported yet; the default balancing is used";
            cx.not_supported(at, message);
            None
        }
        other => {
            let known = "use ROUND_ROBIN, LEAST_REQUEST, RANDOM or PASSTHROUGH";
            cx.reject(at, format_args!("{other:?} is not known; {known}"));
            None
        }
    }
}

fn outlier_detection(
    written: &written::OutlierDetection,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Option<OutlierDetection> {
    let count =
        |value, field, cx: &mut Reading<'_>| not_negative(value, at.key(field), cx).unwrap_or(5);
    let external = count(written.consecutive_5xx_errors, "consecutive5xxErrors", cx);
    let local = count(
        written.consecutive_local_origin_failures,
        "consecutiveLocalOriginFailures",
        cx,
    );
    not_negative(
        written.consecutive_gateway_errors,
        at.key("consecutiveGatewayErrors"),
        cx,
    );
    let is_split = written.split_external_local_origin_errors == Some(true);
    if written
        .consecutive_local_origin_failures
        .is_some_and(|count| count > 0)
        && !is_split
    {
        let message = "is specified, but splitExternalLocalOriginErrors is false";
        cx.reject(at.key("consecutiveLocalOriginFailures"), message);
    }
    let codes = at.key("outlierDetectionHttpErrorCodes");
    let written_codes = written.outlier_detection_http_error_codes.iter().flatten();
    for (index, code) in written_codes.enumerate() {
        cx.require(
            (100..=599).contains(code),
            codes.index(index),
            format_args!("{code} is not between 100 and 599"),
        );
    }
    let interval = duration(written.interval.as_deref(), at.key("interval"), cx);
    let base = duration(
        written.base_ejection_time.as_deref(),
        at.key("baseEjectionTime"),
        cx,
    );
    let outlier = OutlierDetection {
        consecutive_failures: if is_split { local } else { external },
        interval: interval.unwrap_or(Duration::from_secs(10)),
        base_ejection: base.unwrap_or(Duration::from_secs(30)),
        max_ejection_percent: percent(
            written.max_ejection_percent,
            10,
            at.key("maxEjectionPercent"),
            cx,
        ),
        min_health_percent: percent(
            written.min_health_percent,
            0,
            at.key("minHealthPercent"),
            cx,
        ),
    };
    (outlier.consecutive_failures != 0).then_some(outlier)
}

fn percent(written: Option<i64>, default: u8, at: At<'_>, cx: &mut Reading<'_>) -> u8 {
    let value = written.unwrap_or(i64::from(default));
    match u8::try_from(value) {
        Ok(value @ 0..=100) => value,
        _ => {
            cx.reject(
                at,
                format_args!("percentage {value} is not in range 0..100"),
            );
            default
        }
    }
}

fn not_negative(written: Option<i64>, at: At<'_>, cx: &mut Reading<'_>) -> Option<u32> {
    let value = written?;
    let count = u32::try_from(value).ok();
    cx.require(
        count.is_some(),
        at,
        format_args!("{value} must be non-negative and fit 32 bits"),
    );
    count
}

fn duration(written: Option<&str>, at: At<'_>, cx: &mut Reading<'_>) -> Option<Duration> {
    let text = written?;
    let duration = syntax::duration(text);
    match duration {
        None => cx.reject(
            at,
            format_args!("{text:?} is not a duration; write 1h, 1m, 1s or 1ms"),
        ),
        Some(duration) if duration < Duration::from_millis(1) => {
            cx.reject(at, "must be a valid duration greater than 1ms");
        }
        Some(_) => {}
    }
    duration
}

fn duration_or_zero(written: Option<&str>, at: At<'_>, cx: &mut Reading<'_>) -> Option<Duration> {
    let text = written?;
    let duration = syntax::duration(text);
    let message = format_args!("{text:?} is not a duration");
    cx.require(duration.is_some(), at, message);
    duration
}
