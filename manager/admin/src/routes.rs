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
/state/names                     what the ids in maps stand for
";

/// Answers a request. Calls `source`, so it may block.
pub fn answer(
    source: &dyn StateSource,
    method: &Method,
    path: &str,
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
        _ => service(source, path),
    }
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
