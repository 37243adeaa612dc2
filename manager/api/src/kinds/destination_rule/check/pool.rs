//! `connectionPool`.

use super::{duration, not_negative};
use crate::{
    decode::Reading,
    kinds::destination_rule::written::{self, ConnectionPool, Http},
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
