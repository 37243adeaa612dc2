//! Parts that several kinds share.

use serde_json::Value;

use crate::schema::{
    Field, Rule, Schema, any_text, integer, list, map, may, must, object, one_of, pattern, rule,
    text, unbounded_list,
};

pattern!(pub(super) GROUP = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$");
pattern!(pub(super) KIND = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$");
pattern!(pub(super) NAMESPACE = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$");
pattern!(pub(super) SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$");
pattern!(pub(super) HOSTNAME = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$");
pattern!(pub(super) HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$");
pattern!(pub(super) HEADER_VALUE = r"^[!-~]+([\t ]?[!-~]+)*$");
pattern!(pub(super) DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$");

pub(super) const PORT: Schema = integer(1, Some(65535));
pub(super) const ANY_GROUP: Schema = text(0, 253).like(GROUP);
pub(super) const ANY_KIND: Schema = text(1, 63).like(KIND);
pub(super) const ANY_NAME: Schema = text(1, 253);
pub(super) const ANY_NAMESPACE: Schema = text(1, 63).like(NAMESPACE);
pub(super) const SECTION: Schema = text(1, 253).like(SUBDOMAIN);
pub(super) const HOST: Schema = text(1, 253).like(HOSTNAME);
pub(super) const TIME: Schema = of_duration();

const fn of_duration() -> Schema {
    any_text().like(DURATION)
}

/// Settings an implementation defines.
pub(super) const OPTIONS: Schema = map(Some(16), &text(0, 4096));

pub(super) const LOCAL_REF: Schema = object(&[
    must("group", ANY_GROUP),
    must("kind", ANY_KIND),
    must("name", ANY_NAME),
]);

pub(super) const OBJECT_REF: Schema = object(&[
    must("group", ANY_GROUP),
    must("kind", ANY_KIND),
    must("name", ANY_NAME),
    may("namespace", ANY_NAMESPACE),
]);

pub(super) const SECRET_REF: Schema = object(&[
    may("group", ANY_GROUP.or(r#""""#)),
    may("kind", ANY_KIND.or(r#""Secret""#)),
    must("name", ANY_NAME),
    may("namespace", ANY_NAMESPACE),
]);

/// `matchLabels` and `matchExpressions`, which Kubernetes does not check here.
pub(super) const SELECTOR: Schema = object(&[
    may(
        "matchExpressions",
        unbounded_list(&object(&[
            must("key", any_text()),
            must("operator", any_text()),
            may("values", unbounded_list(&any_text())),
        ])),
    ),
    may("matchLabels", map(None, &any_text())),
]);

pub(super) const PARENTS: Field = may(
    "parentRefs",
    list(
        0,
        32,
        &object(&[
            may("group", ANY_GROUP.or(r#""gateway.networking.k8s.io""#)),
            may("kind", ANY_KIND.or(r#""Gateway""#)),
            must("name", ANY_NAME),
            may("namespace", ANY_NAMESPACE),
            may("port", PORT),
            may("sectionName", SECTION),
        ]),
    )
    .with(&[
        rule(
            "sectionName or port must be specified when parentRefs includes 2 or more references to the same parent",
            |parents| {
                pairs(parents).all(|(a, b)| {
                    !same(a, b, PARENT)
                        || (has(a, "sectionName") == has(b, "sectionName")
                            && has(a, "port") == has(b, "port"))
                })
            },
        ),
        rule(
            "sectionName or port must be unique when parentRefs includes 2 or more references to the same parent",
            |parents| {
                pairs(parents).all(|(a, b)| !same(a, b, PARENT) || !same(a, b, &["sectionName", "port"]))
            },
        ),
    ]),
);

const PARENT: &[&str] = &["group", "kind", "namespace", "name"];

pub(super) const USE_DEFAULT_GATEWAYS: Field = may("useDefaultGateways", one_of(&["All", "None"]));

pub(super) const RULE_NAME: Field = may("name", SECTION);

pub(super) const RULE_NAMES_ARE_UNIQUE: Rule =
    rule("Rule name must be unique within the route", |rules| {
        pairs(rules).all(|(a, b)| !has(a, "name") || !same(a, b, &["name"]))
    });

pub(super) const SERVICE_HAS_PORT: Rule = rule("Must have port for Service reference", |backend| {
    !(at(backend, "group").is_empty() && at(backend, "kind") == "Service") || has(backend, "port")
});

pub(super) const BACKEND_GROUP: Field = may("group", ANY_GROUP.or(r#""""#));
pub(super) const BACKEND_KIND: Field = may("kind", ANY_KIND.or(r#""Service""#));
pub(super) const BACKEND_NAME: Field = must("name", ANY_NAME);
pub(super) const BACKEND_NAMESPACE: Field = may("namespace", ANY_NAMESPACE);
pub(super) const BACKEND_PORT: Field = may("port", PORT);
pub(super) const BACKEND_WEIGHT: Field = may("weight", integer(0, Some(1_000_000)).or("1"));

/// A backend without a share, of a mirror or an authorization service.
pub(super) const BACKEND: Schema = object(&[
    BACKEND_GROUP,
    BACKEND_KIND,
    BACKEND_NAME,
    BACKEND_NAMESPACE,
    BACKEND_PORT,
])
.with(&[SERVICE_HAS_PORT]);

pub(super) const WEIGHTED_BACKEND: Schema = object(&[
    BACKEND_GROUP,
    BACKEND_KIND,
    BACKEND_NAME,
    BACKEND_NAMESPACE,
    BACKEND_PORT,
    BACKEND_WEIGHT,
])
.with(&[SERVICE_HAS_PORT]);

/// Whether a field is set.
pub(super) fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some()
}

/// The text of a field, empty when absent.
pub(super) fn at<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The items of a field, none when absent.
pub(super) fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Every two different items, once each.
pub(super) fn pairs(list: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let later = move |(index, a)| list[index + 1..].iter().map(move |b| (a, b));
    list.iter().enumerate().flat_map(later)
}

/// Whether two objects agree in all these fields.
pub(super) fn same(a: &Value, b: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|key| a.get(key) == b.get(key))
}
