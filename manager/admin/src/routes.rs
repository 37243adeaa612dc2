//! Which path shows what.

use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use weft_telemetry::Format;

use crate::StateSource;

/// Metrics as text.
pub const METRICS: &str = "/metrics";
/// 200 while the process answers.
pub const LIVE: &str = "/healthz/live";
/// 200 when ready, else 503; [`crate::Readiness`].
pub const READY: &str = "/healthz/ready";
/// [`crate::StatusReport`].
pub const STATUS: &str = "/state/status";
/// List of [`crate::ServiceSummary`]; `/NAMESPACE/NAME` below it is a [`crate::ServiceReport`].
pub const SERVICES: &str = "/state/services";
/// [`crate::TopReport`].
pub const TOP: &str = "/state/top";
/// List of [`crate::ProblemReport`].
pub const PROBLEMS: &str = "/state/problems";
/// List of [`crate::EnrolledReport`].
pub const WORKLOADS: &str = "/state/workloads";
/// [`crate::AuthorizationReport`].
pub const POLICIES: &str = "/state/policies";
/// List of [`crate::DenialReport`], the latest first.
pub const DENIED: &str = "/state/denied";
/// What `weft why` prints; the query is its arguments, [`why_path`].
pub const WHY: &str = "/state/why";
/// What the ids in maps stand for.
pub const NAMES: &str = "/state/names";

const INDEX: &str = "weft, read only:

/metrics                         Prometheus text or OpenMetrics
/healthz/live                    200 while the process answers
/healthz/ready                   200 when traffic is served as configured, else 503 with reasons
/state/status                    the manager, its programs and maps
/state/services                  all services
/state/services/NAMESPACE/NAME   one service with its endpoints
/state/top                       totals by service and by edge
/state/problems                  what is wrong with the configuration
/state/workloads                 workloads enrolled on this node
/state/policies                  authorization policies in force here, and what they decided
/state/denied                    connections refused lately, and by what
/state/why?ARG&ARG               what `weft why ARG ARG` answers, percent-encoded
/state/names                     what the ids in maps stand for
";

/// Answers a request. Calls `source`, so it may block.
pub fn answer(
    source: &dyn StateSource,
    method: &Method,
    target: &str,
    accept: Option<&str>,
) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "this surface is read only\n",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/" => text(StatusCode::OK, INDEX),
        METRICS => {
            let format = Format::negotiate(accept);
            respond(
                StatusCode::OK,
                format.content_type(),
                source.metrics(format),
            )
        }
        LIVE => text(StatusCode::OK, "live\n"),
        READY => {
            let readiness = source.readiness();
            let status = if readiness.ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            json(status, &readiness)
        }
        STATUS => json(StatusCode::OK, &source.status()),
        SERVICES => json(StatusCode::OK, &source.services()),
        TOP => json(StatusCode::OK, &source.top()),
        PROBLEMS => json(StatusCode::OK, &source.problems()),
        NAMES => json(StatusCode::OK, &source.names()),
        WORKLOADS => json(StatusCode::OK, &source.workloads()),
        POLICIES => json(StatusCode::OK, &source.policies()),
        DENIED => json(StatusCode::OK, &source.denied()),
        WHY => match source.why(&arguments(query)) {
            Ok(answer) => json(StatusCode::OK, &answer),
            Err(message) => respond(
                StatusCode::BAD_REQUEST,
                "text/plain; charset=utf-8",
                message,
            ),
        },
        _ => service(source, path),
    }
}

/// The path that asks what `weft why` with these arguments answers.
pub fn why_path(arguments: &[String]) -> String {
    let encoded: Vec<String> = arguments.iter().map(|argument| encode(argument)).collect();
    format!("{WHY}?{}", encoded.join("&"))
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The arguments in a query; what is no percent-encoding stands for itself.
fn arguments(query: &str) -> Vec<String> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(decode).collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3);
        let value = pair
            .filter(|_| bytes[at] == b'%')
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn service(source: &dyn StateSource, path: &str) -> Response<Full<Bytes>> {
    let below = path
        .strip_prefix(SERVICES)
        .and_then(|rest| rest.strip_prefix('/'));
    let Some((namespace, name)) = below.and_then(|rest| rest.split_once('/')) else {
        return text(
            StatusCode::NOT_FOUND,
            "no such path; / lists those there are\n",
        );
    };
    match source.service(namespace, name) {
        Some(report) => json(StatusCode::OK, &report),
        None => text(
            StatusCode::NOT_FOUND,
            "no such service; /state/services lists those there are\n",
        ),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => respond(status, "application/json", body),
        Err(error) => {
            tracing::error!(%error, "a report cannot be written as JSON");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the report cannot be written as JSON\n",
            )
        }
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_query() {
        let given = ["--header", "a=b&c d%", "--to", "ü:80", ""].map(str::to_owned);
        let path = why_path(&given);
        let query = path.split_once('?').expect("a query").1;
        assert_eq!(arguments(query), given[..4]);
        assert_eq!(arguments("%zz&%4"), ["%zz", "%4"]);
    }
}
