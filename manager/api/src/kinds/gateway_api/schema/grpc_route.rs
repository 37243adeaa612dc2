//! `GRPCRoute`.

use serde_json::Value;

use super::{
    filters::GRPC_FILTERS,
    http_route::{header_match, matches_in_all},
    parts::{
        BACKEND_GROUP, BACKEND_KIND, BACKEND_NAME, BACKEND_NAMESPACE, BACKEND_PORT, BACKEND_WEIGHT,
        HOST, PARENTS, RULE_NAME, RULE_NAMES_ARE_UNIQUE, SERVICE_HAS_PORT, USE_DEFAULT_GATEWAYS,
        at, has,
    },
    persistence::SESSION_PERSISTENCE,
};
use crate::schema::{Schema, list, may, object, one_of, pattern, rule, text};

pattern!(SERVICE = r"^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$");
pattern!(METHOD = r"^[A-Za-z_][A-Za-z_0-9]*$");

pub(in super::super) static SPEC: Schema = object(&[
    may("hostnames", list(0, 16, &HOST)),
    PARENTS,
    may(
        "rules",
        list(0, 16, &RULE).with(&[
            rule(
                "While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128",
                |rules| matches_in_all(rules) <= 128,
            ),
            RULE_NAMES_ARE_UNIQUE,
        ]),
    ),
    USE_DEFAULT_GATEWAYS,
]);

const RULE: Schema = object(&[
    may("backendRefs", list(0, 16, &BACKEND)),
    GRPC_FILTERS,
    may("matches", list(0, 64, &MATCH)),
    RULE_NAME,
    SESSION_PERSISTENCE,
]);

const BACKEND: Schema = object(&[
    GRPC_FILTERS,
    BACKEND_GROUP,
    BACKEND_KIND,
    BACKEND_NAME,
    BACKEND_NAMESPACE,
    BACKEND_PORT,
    BACKEND_WEIGHT,
])
.with(&[SERVICE_HAS_PORT]);

const MATCH: Schema = object(&[
    may(
        "headers",
        list(0, 16, &object(&header_match(text(1, 4096)))).keyed("name"),
    ),
    may(
        "method",
        object(&[
            may("method", text(0, 1024)),
            may("service", text(0, 1024)),
            may(
                "type",
                one_of(&["Exact", "RegularExpression"]).or(r#""Exact""#),
            ),
        ])
        .with(&[
            rule(
                "One or both of 'service' or 'method' must be specified",
                |method| has(method, "service") || has(method, "method"),
            ),
            rule(
                r"service must only contain valid characters (matching ^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$)",
                |method| !is_exact(method, "service") || (SERVICE.fits)(at(method, "service")),
            ),
            rule(
                "method must only contain valid characters (matching ^[A-Za-z_][A-Za-z_0-9]*$)",
                |method| !is_exact(method, "method") || (METHOD.fits)(at(method, "method")),
            ),
        ]),
    ),
]);

fn is_exact(method: &Value, key: &str) -> bool {
    at(method, "type") == "Exact" && has(method, key)
}
