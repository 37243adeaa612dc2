//! What a rule of a VirtualService does to requests.

use std::{sync::Arc, time::Duration};

use weft_api::virtual_service::{
    http::{self as written, DerivePort, HeaderOperations, UnmatchedPreflights},
    stream,
};
use weft_model::route::{
    Abort, Cors, Delay, Destination, DirectResponse, Fault, HeaderEdits, HttpAction, HttpRule,
    Mirror, PathRewrite, PortRewrite, Redirect, Retries, Rewrite, StringMatch,
};

use super::{
    Sources,
    delegate::WrittenRule,
    destinations::full_name,
    virtual_service::{port, string_match},
};

/// Istio's retry policy where none is written (`meshConfig.defaultHttpRetryPolicy`).
const DEFAULT_ATTEMPTS: u32 = 2;

/// Istio's conditions where none are written.
const DEFAULT_RETRY_ON: [&str; 5] = [
    "connect-failure",
    "refused-stream",
    "unavailable",
    "cancelled",
    "retriable-status-codes",
];

/// Names of gRPC status codes, by number.
const GRPC_STATUS: [&str; 17] = [
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

pub(super) fn http(sources: &Sources<'_>, source: &WrittenRule) -> HttpRule {
    let rule = &source.rule;
    let fault = rule.fault.as_ref().map(fault);
    // What goes nowhere is not tried again. Istio's word: with faults on the client's side, neither timeouts nor retries are in force.
    let is_whole = fault.is_none() && !rule.route.is_empty();
    HttpRule {
        origin: source.origin.clone(),
        index: source.index,
        name: Arc::clone(&rule.name),
        action: action(sources, source),
        request_headers: edits(&rule.headers.request),
        response_headers: edits(&rule.headers.response),
        rewrite: rule.rewrite.as_ref().map(rewrite),
        timeout: rule.timeout.filter(|_| is_whole),
        retries: is_whole.then(|| retries(rule.retries.as_ref())),
        fault,
        mirrors: mirrors(sources, source),
        cors: rule.cors_policy.as_ref().map(cors),
        session: None,
    }
}

fn action(sources: &Sources<'_>, source: &WrittenRule) -> HttpAction {
    let rule = &source.rule;
    if let Some(written) = &rule.redirect {
        return HttpAction::Redirect(redirect(written));
    }
    if let Some(response) = &rule.direct_response {
        return HttpAction::Respond(DirectResponse {
            status: u16::try_from(response.status).unwrap_or(500),
            body: response.body.as_ref().map(|body| body.as_bytes().into()),
        });
    }
    let count = rule.route.len();
    let destinations = rule.route.iter().map(|to| {
        let (request, response) = (edits(&to.headers.request), edits(&to.headers.response));
        Destination {
            weight: weight(to.weight, count),
            ..destination(
                sources,
                &source.namespace,
                &to.destination,
                request,
                response,
            )
        }
    });
    HttpAction::Forward(destinations.collect())
}

/// A single destination gets everything.
pub(super) fn weight(written: u32, count: usize) -> u32 {
    if count == 1 { 100 } else { written }
}

/// A destination with all the weight, its short name resolved in a namespace.
pub(super) fn destination(
    sources: &Sources<'_>,
    namespace: &Arc<str>,
    written: &stream::Destination,
    request_headers: HeaderEdits,
    response_headers: HeaderEdits,
) -> Destination {
    let host = full_name(sources.settings, namespace, &written.host);
    Destination {
        target: sources.target(namespace, &host),
        host,
        subset: Some(&written.subset)
            .filter(|name| !name.is_empty())
            .cloned(),
        port: written.port.and_then(|selector| port(selector.number)),
        weight: 100,
        request_headers,
        response_headers,
    }
}

fn edits(written: &HeaderOperations) -> HeaderEdits {
    let pairs = |pairs: &std::collections::BTreeMap<Arc<str>, Arc<str>>| {
        let pair = |(name, value): (&Arc<str>, &Arc<str>)| (Arc::clone(name), Arc::clone(value));
        pairs.iter().map(pair).collect()
    };
    HeaderEdits {
        set: pairs(&written.set),
        add: pairs(&written.add),
        remove: written.remove.clone(),
    }
}

fn given(text: &Arc<str>) -> Option<Arc<str>> {
    Some(text).filter(|text| !text.is_empty()).cloned()
}

fn redirect(written: &written::Redirect) -> Redirect {
    let full = given(&written.uri).map(PathRewrite::Full);
    let prefix = given(&written.prefix_rewrite).map(PathRewrite::Prefix);
    Redirect {
        scheme: given(&written.scheme),
        host: given(&written.authority),
        port: match (written.port, written.derive_port) {
            (Some(number), _) => port(number).map_or(PortRewrite::Keep, PortRewrite::Set),
            (None, Some(DerivePort::FromRequestPort)) => PortRewrite::FromRequest,
            (None, Some(DerivePort::FromProtocolDefault) | None) => PortRewrite::Keep,
        },
        path: full.or(prefix),
        status: match written.redirect_code {
            0 => 301,
            code => u16::try_from(code).unwrap_or(301),
        },
    }
}

fn rewrite(written: &written::Rewrite) -> Rewrite {
    let regex = written
        .uri_regex_rewrite
        .as_ref()
        .map(|rewrite| PathRewrite::Regex {
            pattern: Arc::clone(&rewrite.pattern),
            substitution: Arc::clone(&rewrite.rewrite),
        });
    Rewrite {
        path: regex.or_else(|| given(&written.uri).map(PathRewrite::Prefix)),
        authority: given(&written.authority),
    }
}

fn retries(written: Option<&written::Retries>) -> Retries {
    let unset = written::Retries {
        attempts: 2,
        ..written::Retries::default()
    };
    let is_default = written.is_none();
    let written = written.unwrap_or(&unset);
    let tokens = written.retry_on.split(',').map(str::trim);
    let tokens: Vec<&str> = tokens.filter(|token| !token.is_empty()).collect();
    let codes: Vec<u16> = tokens
        .iter()
        .filter_map(|token| token.parse().ok())
        .collect();
    let mut retry_on: Vec<Arc<str>> = tokens
        .iter()
        .filter(|token| token.parse::<u16>().is_err())
        .map(|token| Arc::from(*token))
        .collect();
    if tokens.is_empty() {
        retry_on = DEFAULT_RETRY_ON.into_iter().map(Arc::from).collect();
    } else if !codes.is_empty() && retry_on.iter().all(|on| **on != *"retriable-status-codes") {
        retry_on.push("retriable-status-codes".into());
    }
    Retries {
        attempts: match is_default {
            true => DEFAULT_ATTEMPTS,
            false => u32::try_from(written.attempts).unwrap_or(0),
        },
        per_try_timeout: written.per_try_timeout,
        retry_on,
        codes,
        backoff: Some(written.backoff.unwrap_or(Duration::from_millis(25))),
        remote_localities: written.retry_remote_localities.unwrap_or(false),
        ignore_previous_hosts: written.retry_ignore_previous_hosts.unwrap_or(true),
    }
}

fn fault(written: &written::Fault) -> Fault {
    let delay = written.delay.as_ref().and_then(|delay| {
        Some(Delay {
            duration: delay.fixed_delay?,
            millionths: delay.share().millionths(),
        })
    });
    let abort = written.abort.as_ref().map(|abort| Abort {
        http_status: abort
            .http_status
            .and_then(|status| u16::try_from(status).ok()),
        grpc_status: abort
            .grpc_status
            .as_ref()
            .and_then(|name| grpc_status(name)),
        millionths: abort.percentage.map_or(0, |share| share.millionths()),
    });
    Fault { delay, abort }
}

fn grpc_status(name: &str) -> Option<u8> {
    let by_name = GRPC_STATUS.iter().position(|known| *known == name);
    let code = by_name.and_then(|code| u8::try_from(code).ok());
    code.or_else(|| name.parse().ok())
}

fn mirrors(sources: &Sources<'_>, source: &WrittenRule) -> Vec<Mirror> {
    let copies = source.rule.copies().map(|(to, share)| {
        let none = HeaderEdits::default;
        Mirror {
            destination: destination(sources, &source.namespace, to, none(), none()),
            millionths: share.millionths(),
        }
    });
    copies.filter(|mirror| mirror.millionths > 0).collect()
}

fn cors(written: &written::CorsPolicy) -> Cors {
    let exact = written.allow_origin.iter().map(|origin| match &**origin {
        "*" => StringMatch::Regex(".*".into()),
        _ => StringMatch::Exact(Arc::clone(origin)),
    });
    let origins = written.allow_origins.iter().filter_map(string_match);
    Cors {
        origins: origins.chain(exact).collect(),
        methods: written.allow_methods.clone(),
        headers: written.allow_headers.clone(),
        expose: written.expose_headers.clone(),
        max_age: written.max_age,
        credentials: written.allow_credentials,
        forward_unmatched_preflights: written.unmatched_preflights != UnmatchedPreflights::Ignore,
    }
}
