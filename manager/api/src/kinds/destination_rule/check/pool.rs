//! `connectionPool`.

use super::{duration, not_negative};
use crate::{
    decode::Reading,
    kinds::destination_rule::{
        traffic::HttpPool,
        written::{self, ConnectionPool, Http},
    },
    path::At,
    syntax,
};

pub(super) fn max_connections(
    written: &ConnectionPool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Option<u32> {
    if written.tcp.is_none() && written.http.is_none() {
        cx.reject(at, "connection pool must have at least one field");
    }
    if let Some(http) = &written.http {
        http_pool(http, at.key("http"), cx);
    }
    let tcp = written.tcp.as_ref()?;
    tcp_pool(tcp, at.key("tcp"), cx);
    let at = at.key("tcp");
    let max = not_negative(tcp.max_connections, at.key("maxConnections"), cx)?;
    (max != 0).then_some(max)
}

/// The settings for requests, once they are judged.
pub(super) fn http(written: &ConnectionPool) -> Option<HttpPool> {
    let http = written.http.as_ref()?;
    let number = |written: Option<i64>| u32::try_from(written?).ok();
    Some(HttpPool {
        max_pending_requests: number(http.http1_max_pending_requests),
        max_requests: number(http.http2_max_requests),
        max_requests_per_connection: number(http.max_requests_per_connection),
        max_retries: number(http.max_retries),
        idle_timeout: http.idle_timeout.as_deref().and_then(syntax::duration),
        max_concurrent_streams: number(http.max_concurrent_streams),
        upgrade_to_http2: match http.h2_upgrade_policy.as_deref() {
            Some("UPGRADE") => Some(true),
            Some("DO_NOT_UPGRADE") => Some(false),
            _ => None,
        },
        use_client_protocol: http.use_client_protocol == Some(true),
    })
}

fn tcp_pool(tcp: &written::Tcp, at: At<'_>, cx: &mut Reading<'_>) {
    duration(tcp.connect_timeout.as_deref(), at.key("connectTimeout"), cx);
    duration(
        tcp.max_connection_duration.as_deref(),
        at.key("maxConnectionDuration"),
        cx,
    );
    if let Some(idle) = tcp.idle_timeout.as_deref() {
        let fits = syntax::duration(idle).is_some();
        cx.require(
            fits,
            at.key("idleTimeout"),
            format_args!("{idle:?} is not a duration"),
        );
    }
    if let Some(keepalive) = &tcp.tcp_keepalive {
        let at = at.key("tcpKeepalive");
        duration(keepalive.time.as_deref(), at.key("time"), cx);
        duration(keepalive.interval.as_deref(), at.key("interval"), cx);
    }
}

fn http_pool(http: &Http, at: At<'_>, cx: &mut Reading<'_>) {
    for (value, field) in [
        (http.http1_max_pending_requests, "http1MaxPendingRequests"),
        (http.http2_max_requests, "http2MaxRequests"),
        (http.max_requests_per_connection, "maxRequestsPerConnection"),
        (http.max_retries, "maxRetries"),
        (http.max_concurrent_streams, "maxConcurrentStreams"),
    ] {
        not_negative(value, at.key(field), cx);
    }
    duration(http.idle_timeout.as_deref(), at.key("idleTimeout"), cx);
    if let Some(keep_alive) = &http.http2_keep_alive {
        let at = at.key("http2KeepAlive");
        duration(keep_alive.interval.as_deref(), at.key("interval"), cx);
        duration(keep_alive.timeout.as_deref(), at.key("timeout"), cx);
    }
    let upgrade = http.h2_upgrade_policy.as_deref();
    let fits = matches!(
        upgrade,
        None | Some("DEFAULT" | "DO_NOT_UPGRADE" | "UPGRADE")
    );
    cx.require(
        fits,
        at.key("h2UpgradePolicy"),
        "use DEFAULT, DO_NOT_UPGRADE or UPGRADE",
    );
    if upgrade == Some("UPGRADE") && http.use_client_protocol == Some(true) {
        cx.reject(
            at,
            "use client protocol must not be true when H2UpgradePolicy is UPGRADE",
        );
    }
}
