//! What happens to a request on its way.

use super::{header, regex};
use crate::{
    decode::Reading,
    kinds::virtual_service::http::{
        Abort, CorsPolicy, Delay, DirectResponse, HttpRoute, Redirect, Retries, Rewrite,
    },
    path::At,
    proto::{Percent, StringMatch},
};

/// The largest body of a direct response, in bytes.
const MOST_BODY: usize = 1 << 20;
/// Bodies above this are worth a word, in bytes.
const LARGE_BODY: usize = 100 << 10;

/// Names that `retryOn` knows, of Envoy's `x-envoy-retry-on` and `x-envoy-retry-grpc-on`.
const RETRY_ON: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Names of gRPC's statuses, by code from 0.
const GRPC_STATUSES: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const METHODS: &[&str] = &[
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "*",
];

pub(super) fn action(route: &HttpRoute, at: At<'_>, cx: &mut Reading<'_>) {
    if let Some(policy) = &route.cors_policy {
        cors(policy, at.key("corsPolicy"), cx);
    }
    if let Some(fault) = &route.fault {
        let at = at.key("fault");
        if fault.delay.is_none() && fault.abort.is_none() {
            let message = "HTTP fault injection must have an abort and/or a delay";
            cx.reject(at, message);
        }
        if let Some(delay) = &fault.delay {
            self::delay(delay, at.key("delay"), cx);
        }
        if let Some(abort) = &fault.abort {
            self::abort(abort, at.key("abort"), cx);
        }
    }
    if let Some(redirect) = &route.redirect {
        self::redirect(redirect, at.key("redirect"), cx);
    }
    if let Some(response) = &route.direct_response {
        respond(response, at.key("directResponse"), cx);
    }
    if let Some(retries) = &route.retries {
        retry(retries, at.key("retries"), cx);
    }
    if let Some(rewrite) = &route.rewrite {
        self::rewrite(rewrite, at.key("rewrite"), cx);
    }
    authority(route, at, cx);
}

/// The authority may be set in one place.
fn authority(route: &HttpRoute, at: At<'_>, cx: &mut Reading<'_>) {
    let changes = &route.headers.request;
    let rewritten = route.rewrite.as_ref().map(|rewrite| &*rewrite.authority);
    let mut current = rewritten.unwrap_or("");
    for (name, value) in changes.set.iter().chain(&changes.add) {
        if !header::is_authority(name) {
            continue;
        }
        if !current.is_empty() {
            let message = format!(
                "authority header cannot be set multiple times: \
                 have {current:?}, attempting to set {value:?}"
            );
            cx.reject(at.key("headers"), message);
            return;
        }
        current = value;
    }
}

fn redirect(redirect: &Redirect, at: At<'_>, cx: &mut Reading<'_>) {
    let has_port = redirect.port.is_some() || redirect.derive_port.is_some();
    let is_empty = redirect.uri.is_empty()
        && redirect.prefix_rewrite.is_empty()
        && redirect.authority.is_empty()
        && redirect.scheme.is_empty()
        && !has_port;
    let message = "redirect must specify URI, authority, scheme, or port";
    cx.require(!is_empty, at, message);
    if !redirect.uri.is_empty() && !redirect.prefix_rewrite.is_empty() {
        let message = "redirect may only specify one of uri or prefix_rewrite";
        cx.reject(at, message);
    }
    if redirect.port.is_some() && redirect.derive_port.is_some() {
        cx.reject(at, "only one of port and derivePort may be set");
    }
    let code = redirect.redirect_code;
    cx.require(
        code == 0 || (300..=399).contains(&code),
        at.key("redirectCode"),
        format_args!("{code} is not a valid redirect code, must be 3xx"),
    );
    cx.require(
        matches!(&*redirect.scheme, "" | "http" | "https"),
        at.key("scheme"),
        "invalid redirect scheme, must be \"http\" or \"https\"",
    );
    if let Some(port) = redirect.port {
        cx.port(at.key("port"), i64::from(port));
    }
}

fn respond(response: &DirectResponse, at: At<'_>, cx: &mut Reading<'_>) {
    http_status(i64::from(response.status), at.key("status"), cx);
    let size = response
        .body
        .as_ref()
        .map_or(0, |body| body.as_bytes().len());
    let message = "large direct_responses may impact control plane performance";
    if size > MOST_BODY {
        cx.reject(
            at.key("body"),
            format_args!("{message}, must be less than 1MB"),
        );
    } else if size > LARGE_BODY {
        cx.warn(at.key("body"), message);
    }
}

fn http_status(status: i64, at: At<'_>, cx: &mut Reading<'_>) {
    cx.require(
        (200..=599).contains(&status),
        at,
        format_args!("HTTP status {status} is not in range 200-599"),
    );
}

fn retry(retries: &Retries, at: At<'_>, cx: &mut Reading<'_>) {
    cx.require(
        retries.attempts >= 0,
        at.key("attempts"),
        "attempts cannot be negative",
    );
    let says_more = retries.per_try_timeout.is_some()
        || !retries.retry_on.is_empty()
        || retries.retry_remote_localities.is_some();
    if retries.attempts == 0 && says_more {
        let message = "http retry policy configured when attempts are set to 0 (disabled)";
        cx.reject(at, message);
    }
    if retries.retry_on.is_empty() {
        return;
    }
    for policy in retries.retry_on.split(',') {
        let is_status = policy.len() == 3 && policy.parse::<u16>().is_ok_and(is_named_status);
        cx.require(
            is_status || RETRY_ON.contains(&policy),
            at.key("retryOn"),
            format_args!("{policy:?} is not a valid retryOn policy"),
        );
    }
}

/// Whether a status has a name, as Go's `net/http` knows them.
fn is_named_status(status: u16) -> bool {
    matches!(status,
        100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429
        | 431 | 451 | 500..=508 | 510 | 511)
}

fn rewrite(rewrite: &Rewrite, at: At<'_>, cx: &mut Reading<'_>) {
    let only = "Only one of URI or UriRegexRewrite may be specified";
    match &rewrite.uri_regex_rewrite {
        Some(_) if !rewrite.uri.is_empty() => {
            cx.reject(at, "rewrite may only contain one of URI or UriRegexRewrite");
        }
        None if rewrite.uri.is_empty() && rewrite.authority.is_empty() => {
            let message = "rewrite must specify at least one of URI, UriRegexRewrite, or authority";
            cx.reject(at, format_args!("{message}. {only}"));
        }
        Some(by_regex) if by_regex.pattern.is_empty() || by_regex.rewrite.is_empty() => {
            let message = "UriRegexRewrite requires both Rewrite and Match fields to be specified";
            cx.reject(at.key("uriRegexRewrite"), message);
        }
        Some(by_regex) => {
            let name = "HTTPRewrite.UriRegexRewrite.Match";
            let at = at.key("uriRegexRewrite");
            regex(&by_regex.pattern, name, at.key("match"), cx);
        }
        None => {}
    }
}

fn delay(delay: &Delay, at: At<'_>, cx: &mut Reading<'_>) {
    share(delay.percentage, at.key("percentage"), cx);
    let percent = delay.percent;
    cx.require(
        (0..=100).contains(&percent),
        at.key("percent"),
        format_args!("percentage {percent} is not in range 0..100"),
    );
    match (delay.fixed_delay, &delay.exponential_delay) {
        (Some(_), Some(_)) => {
            cx.reject(at, "only one of fixedDelay and exponentialDelay may be set");
        }
        (None, Some(_)) => {
            cx.reject(
                at.key("exponentialDelay"),
                "exponentialDelay not supported yet",
            );
        }
        (None, None) => cx.warn(at, "delay configured, but no fixedDelay is set"),
        (Some(_), None) => {}
    }
}

fn abort(abort: &Abort, at: At<'_>, cx: &mut Reading<'_>) {
    share(abort.percentage, at.key("percentage"), cx);
    let set = [
        abort.http_status.is_some(),
        abort.grpc_status.is_some(),
        abort.http2_error.is_some(),
    ];
    match set.iter().filter(|is_set| **is_set).count() {
        0 => cx.warn(at, "abort configured, but error type not set"),
        1 => {}
        _ => cx.reject(
            at,
            "only one of httpStatus, grpcStatus and http2Error may be set",
        ),
    }
    if let Some(status) = abort.http_status {
        http_status(i64::from(status), at.key("httpStatus"), cx);
    }
    if let Some(status) = &abort.grpc_status {
        let known = GRPC_STATUSES.contains(&&**status);
        let message =
            format_args!("gRPC status {status:?} is not supported; use a name such as NOT_FOUND");
        cx.require(known, at.key("grpcStatus"), message);
    }
    if abort.http2_error.is_some() {
        let message = "HTTP/2 abort fault injection not supported yet";
        cx.reject(at.key("http2Error"), message);
    }
}

impl Abort {
    /// The code under `grpcStatus`, 0 to 16.
    pub fn grpc_code(&self) -> Option<u8> {
        let name = self.grpc_status.as_deref()?;
        let code = GRPC_STATUSES.iter().position(|known| *known == name)?;
        u8::try_from(code).ok()
    }
}

fn share(share: Option<Percent>, at: At<'_>, cx: &mut Reading<'_>) {
    if let Some(value) = share.and_then(Percent::excess) {
        let message = format!("percentage {value} is not in range [0.0, 100.0]");
        cx.reject(at.key("value"), message);
    }
}

fn cors(policy: &CorsPolicy, at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("allowOrigins");
    for (index, origin) in policy.allow_origins.iter().enumerate() {
        let at = list.index(index);
        match origin {
            StringMatch::Exact(text) | StringMatch::Prefix(text) | StringMatch::Regex(text)
                if !text.is_empty() =>
            {
                if let StringMatch::Regex(pattern) = origin {
                    regex(pattern, "corsPolicy.allowOrigins", at, cx);
                }
            }
            _ => cx.reject(at, "'' is not a valid match type for CORS allow origins"),
        }
    }
    let list = at.key("allowMethods");
    for (index, method) in policy.allow_methods.iter().enumerate() {
        cx.require(
            METHODS.contains(&&**method),
            list.index(index),
            format_args!("{method:?} is not a supported HTTP method"),
        );
    }
    for (field, names) in [
        ("allowHeaders", &policy.allow_headers),
        ("exposeHeaders", &policy.expose_headers),
    ] {
        let list = at.key(field);
        for (index, name) in names.iter().enumerate() {
            let fits = **name == *"*" || header::is_token(name);
            let message = format_args!("header name {name:?} is not a valid header name");
            cx.require(fits, list.index(index), message);
        }
    }
    if policy.max_age.is_some_and(|age| age.subsec_nanos() > 0) {
        let message = "max_age duration is accurate only to seconds precision";
        cx.reject(at.key("maxAge"), message);
    }
    if !policy.allow_origin.is_empty() {
        let message = "allowOrigin is superseded by allowOrigins";
        cx.warn(at.key("allowOrigin"), message);
    }
}
