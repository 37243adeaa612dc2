//! `HTTPRoute`.

use std::time::Duration;

use serde_json::Value;

use super::{
    filters::{HTTP_FILTERS, PATH},
    parts::{
        BACKEND_GROUP, BACKEND_KIND, BACKEND_NAME, BACKEND_NAMESPACE, BACKEND_PORT, BACKEND_WEIGHT,
        HEADER_NAME, HEADER_VALUE, HOST, PARENTS, RULE_NAME, RULE_NAMES_ARE_UNIQUE,
        SERVICE_HAS_PORT, TIME, USE_DEFAULT_GATEWAYS, at, has, items,
    },
    persistence::SESSION_PERSISTENCE,
};
use crate::{
    schema::{Field, Schema, integer, list, may, must, object, one_of, rule, text, unbounded_list},
    syntax,
};

pub(in super::super) static SPEC: Schema = object(&[
    may("hostnames", list(0, 16, &HOST)),
    PARENTS,
    may(
        "rules",
        list(1, 16, &RULE)
            .or(r#"[{"matches":[{"path":{"type":"PathPrefix","value":"/"}}]}]"#)
            .with(&[
                rule(
                    "While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128",
                    |rules| matches_in_all(rules) <= 128,
                ),
                RULE_NAMES_ARE_UNIQUE,
            ]),
    ),
    USE_DEFAULT_GATEWAYS,
]);

pub(super) fn matches_in_all(rules: &Value) -> usize {
    let rules = rules.as_array().into_iter().flatten();
    rules.map(|rule| items(rule, "matches").len()).sum()
}

const BACKEND: Schema = object(&[
    HTTP_FILTERS,
    BACKEND_GROUP,
    BACKEND_KIND,
    BACKEND_NAME,
    BACKEND_NAMESPACE,
    BACKEND_PORT,
    BACKEND_WEIGHT,
])
.with(&[SERVICE_HAS_PORT]);

const RULE: Schema = object(&[
    may("backendRefs", list(0, 16, &BACKEND)),
    HTTP_FILTERS,
    may(
        "matches",
        list(0, 64, &MATCH).or(r#"[{"path":{"type":"PathPrefix","value":"/"}}]"#),
    ),
    RULE_NAME,
    RETRY,
    SESSION_PERSISTENCE,
    TIMEOUTS,
])
.with(&[
    rule(
        "RequestRedirect filter must not be used together with backendRefs",
        |rule| {
            let mut filters = items(rule, "filters").iter();
            items(rule, "backendRefs").is_empty()
                || !filters.any(|filter| has(filter, "requestRedirect"))
        },
    ),
    rule(
        "When using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        |rule| has_one_prefix(rule) || !replaces_prefix(rule, "requestRedirect"),
    ),
    rule(
        "When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        |rule| has_one_prefix(rule) || !replaces_prefix(rule, "urlRewrite"),
    ),
    rule(
        "Within backendRefs, when using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        |rule| has_one_prefix(rule) || !a_backend_replaces_prefix(rule, "requestRedirect"),
    ),
    rule(
        "Within backendRefs, When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        |rule| has_one_prefix(rule) || !a_backend_replaces_prefix(rule, "urlRewrite"),
    ),
]);

fn has_one_prefix(rule: &Value) -> bool {
    match items(rule, "matches") {
        [only] => only
            .get("path")
            .is_some_and(|path| at(path, "type") == "PathPrefix"),
        _ => false,
    }
}

fn replaces_prefix(rule_or_backend: &Value, field: &str) -> bool {
    let replaces = |filter: &&Value| {
        let path = filter.get(field).and_then(|filter| filter.get("path"));
        path.is_some_and(|path| has(path, "replacePrefixMatch"))
    };
    // As the published rule has it: exactly one.
    items(rule_or_backend, "filters")
        .iter()
        .filter(replaces)
        .count()
        == 1
}

fn a_backend_replaces_prefix(rule: &Value, field: &str) -> bool {
    let backends = items(rule, "backendRefs").iter();
    backends
        .filter(|backend| replaces_prefix(backend, field))
        .count()
        == 1
}

const MATCH_TYPE: Field = may(
    "type",
    one_of(&["Exact", "RegularExpression"]).or(r#""Exact""#),
);

/// A header and how it must be, for GRPCRoutes too.
pub(super) const fn header_match(value: Schema) -> [Field; 3] {
    [
        must("name", text(1, 256).like(HEADER_NAME)),
        MATCH_TYPE,
        must("value", value),
    ]
}

const MATCH: Schema = object(&[
    may(
        "headers",
        list(
            0,
            16,
            &object(&header_match(text(1, 4096).like(HEADER_VALUE))),
        )
        .keyed("name"),
    ),
    may(
        "method",
        one_of(&[
            "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
        ]),
    ),
    may(
        "path",
        PATH_MATCH.or(r#"{"type":"PathPrefix","value":"/"}"#),
    ),
    may(
        "queryParams",
        list(0, 16, &object(&header_match(text(1, 1024)))).keyed("name"),
    ),
]);

macro_rules! plain_path {
    ($message:literal, $holds:expr) => {
        rule(
            concat!($message, " when type one of ['Exact', 'PathPrefix']"),
            |path| {
                let holds: fn(&str) -> bool = $holds;
                !is_plain(path) || holds(at(path, "value"))
            },
        )
    };
}

const PATH_MATCH: Schema = object(&[
    may(
        "type",
        one_of(&["Exact", "PathPrefix", "RegularExpression"]).or(r#""PathPrefix""#),
    ),
    may("value", text(0, 1024).or(r#""/""#)),
])
.with(&[
    plain_path!("value must be an absolute path and start with '/'", |path| path.starts_with('/')),
    plain_path!("must not contain '//'", |path| !path.contains("//")),
    plain_path!("must not contain '/./'", |path| !path.contains("/./")),
    plain_path!("must not contain '/../'", |path| !path.contains("/../")),
    plain_path!("must not contain '%2f'", |path| !path.contains("%2f")),
    plain_path!("must not contain '%2F'", |path| !path.contains("%2F")),
    plain_path!("must not contain '#'", |path| !path.contains('#')),
    plain_path!("must not end with '/..'", |path| !path.ends_with("/..")),
    plain_path!("must not end with '/.'", |path| !path.ends_with("/.")),
    rule(
        "type must be one of ['Exact', 'PathPrefix', 'RegularExpression']",
        |path| is_plain(path) || at(path, "type") == "RegularExpression",
    ),
    rule(
        "must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) for types ['Exact', 'PathPrefix']",
        |path| !is_plain(path) || (PATH.fits)(at(path, "value")),
    ),
]);

fn is_plain(path: &Value) -> bool {
    matches!(at(path, "type"), "Exact" | "PathPrefix")
}

const RETRY: Field = may(
    "retry",
    object(&[
        may("attempts", integer(1, None)),
        may("backoff", TIME),
        may("codes", unbounded_list(&integer(400, Some(599))).set()),
    ]),
);

const TIMEOUTS: Field = may(
    "timeouts",
    object(&[may("backendRequest", TIME), may("request", TIME)]).with(&[rule(
        "backendRequest timeout cannot be longer than request timeout",
        |timeouts| {
            let duration = |key| syntax::duration(at(timeouts, key));
            match (duration("request"), duration("backendRequest")) {
                (Some(request), Some(backend)) => request == Duration::ZERO || backend <= request,
                _ => true,
            }
        },
    )]),
);
