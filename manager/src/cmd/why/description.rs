//! What rules and destinations do, in the answer's words.

use weft_decision::destinations::{DestinationFault, Resolved};
use weft_model::route::{self, HashPolicy, HttpRule, Session, SessionCarrier, StringMatch};

use super::answer::{self, Headers, Route, percentage, seconds};

/// Writes down what a rule does besides sending requests somewhere.
pub(super) fn describe(route: &mut Route, rule: &HttpRule) {
    route.name = Some(rule.name.to_string()).filter(|name| !name.is_empty());
    route.request_headers = Headers::new(&rule.request_headers);
    route.response_headers = Headers::new(&rule.response_headers);
    route.timeout = rule.timeout.map(seconds);
    route.retries = rule.retries.as_ref().map(|retries| answer::Retries {
        attempts: retries.attempts,
        per_try_timeout: retries.per_try_timeout.map(seconds),
        retry_on: retries.retry_on.iter().map(ToString::to_string).collect(),
        codes: retries.codes.clone(),
        backoff: retries.backoff.map(seconds),
        remote_localities: retries.remote_localities,
        ignore_previous_hosts: retries.ignore_previous_hosts,
    });
    route.fault = rule.fault.as_ref().map(|fault| answer::Fault {
        delay: fault.delay.map(|delay| answer::Delay {
            fixed_delay: seconds(delay.duration),
            percentage: percentage(delay.millionths),
        }),
        abort: fault.abort.map(|abort| answer::Abort {
            http_status: abort.http_status,
            grpc_status: abort.grpc_status,
            percentage: percentage(abort.millionths),
        }),
    });
    route.cors = rule.cors.as_ref().map(cors);
    route.session_persistence = rule.session.as_ref().map(session);
}

fn session(session: &Session) -> answer::Session {
    let absolute_timeout = session.absolute_timeout.map(seconds);
    match &session.carrier {
        SessionCarrier::Header(name) => answer::Session {
            r#type: "Header",
            name: Some(name.to_string()),
            path: None,
            absolute_timeout,
            lifetime_type: None,
        },
        SessionCarrier::Cookie {
            name,
            path,
            is_permanent,
        } => answer::Session {
            r#type: "Cookie",
            name: name.as_ref().map(ToString::to_string),
            path: Some(path.to_string()),
            absolute_timeout,
            lifetime_type: Some(if *is_permanent {
                "Permanent"
            } else {
                "Session"
            }),
        },
    }
}

/// Addresses with ports.
pub(super) fn endpoints(resolved: &Resolved<'_>) -> Vec<String> {
    let endpoints = resolved.endpoints.iter();
    endpoints
        .map(|endpoint| std::net::SocketAddr::new(endpoint.address, endpoint.port).to_string())
        .collect()
}

/// A destination with what stands behind it.
pub(super) fn destination(
    destination: &route::Destination,
    resolved: &Resolved<'_>,
) -> answer::Destination {
    answer::Destination {
        host: destination.host.to_string(),
        subset: destination.subset.as_ref().map(ToString::to_string),
        port: resolved.port,
        weight: destination.weight,
        status: resolved.fault.map_or(200, DestinationFault::status),
        reason: resolved.fault.map(|fault| fault.to_string()),
        response_flag: resolved.fault.map(DestinationFault::flag),
        endpoints: endpoints(resolved),
        request_headers: Headers::new(&destination.request_headers),
        response_headers: Headers::new(&destination.response_headers),
        hash: resolved.hash.map(hash),
    }
}

fn hash(policy: &HashPolicy) -> answer::Hash {
    let none = answer::Hash::default();
    match policy {
        HashPolicy::Header(name) => answer::Hash {
            header: Some(name.to_string()),
            ..none
        },
        HashPolicy::QueryParameter(name) => answer::Hash {
            query_parameter: Some(name.to_string()),
            ..none
        },
        HashPolicy::SourceIp => answer::Hash {
            source_ip: true,
            ..none
        },
        HashPolicy::Cookie { name, path, ttl } => answer::Hash {
            cookie: Some(answer::HashCookie {
                name: name.to_string(),
                path: path.as_ref().map(ToString::to_string),
                ttl: ttl.map(seconds),
            }),
            ..none
        },
    }
}

fn cors(cors: &route::Cors) -> answer::Cors {
    let origin = |origin: &StringMatch| match origin {
        StringMatch::Exact(text) => format!("exact {text:?}"),
        StringMatch::Prefix(text) => format!("prefix {text:?}"),
        StringMatch::Regex(text) => format!("regex {text:?}"),
    };
    let texts = |texts: &[std::sync::Arc<str>]| texts.iter().map(ToString::to_string).collect();
    answer::Cors {
        allow_origins: cors.origins.iter().map(origin).collect(),
        allow_methods: texts(&cors.methods),
        allow_headers: texts(&cors.headers),
        expose_headers: texts(&cors.expose),
        max_age: cors.max_age.map(seconds),
        allow_credentials: cors.credentials,
        forward_unmatched_preflights: cors.forward_unmatched_preflights,
    }
}
