//! `when`: known keys, and what their values may be.

use super::{
    AuthorizationCondition, Values,
    check::{account, address, port},
    written::Rule,
};
use crate::{decode::Reading, path::At};

pub(super) fn conditions(
    rule: &Rule,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<AuthorizationCondition> {
    let list = at.key("when");
    let mut conditions = Vec::new();
    for (index, written) in rule.when.iter().flatten().enumerate() {
        let at = list.index(index);
        let Some(written) = written else {
            cx.reject(at, "when field cannot be nil");
            continue;
        };
        let key = written.key.as_deref().unwrap_or("");
        if key.is_empty() {
            cx.reject(at.key("key"), "`key` must not be empty");
            continue;
        }
        let names = |list: &Option<Vec<String>>, cx: &mut Reading<'_>| {
            let list = list.iter().flatten();
            list.map(|text| cx.interner.name(text)).collect::<Vec<_>>()
        };
        let values = Values {
            any: names(&written.values, cx),
            none: names(&written.not_values, cx),
        };
        if values.any.is_empty() && values.none.is_empty() {
            let message =
                format_args!("at least one of `values` or `notValues` must be set for key {key}");
            cx.reject(at, message);
            continue;
        }
        check(key, &values, at, cx);
        let key = cx.interner.name(key);
        conditions.push(AuthorizationCondition { key, values });
    }
    conditions
}

fn check(key: &str, values: &Values, at: At<'_>, cx: &mut Reading<'_>) {
    if let Some(fault) = key_fault(key) {
        cx.reject(
            at.key("key"),
            format_args!("invalid `value` for `key` {key}: {fault}"),
        );
        return;
    }
    for (field, word, list) in [
        ("values", "value", &values.any),
        ("notValues", "notValue", &values.none),
    ] {
        let list_at = at.key(field);
        for (index, text) in list.iter().enumerate() {
            let at = list_at.index(index);
            if text.is_empty() {
                let fault = format_args!("empty value not allowed, found in {key}");
                cx.reject(
                    at,
                    format_args!("invalid `{word}` for `key` {key}: {fault}"),
                );
                continue;
            }
            match key {
                "source.ip" | "remote.ip" | "destination.ip" => address(text, at, cx),
                "destination.port" => port(text, at, cx),
                "source.serviceAccount" => account(text, at, cx),
                _ => {}
            }
        }
    }
    if key.starts_with("experimental.envoy.filters.") {
        let message = "metadata of Envoy's filters is not supported: there is no Envoy; ALLOW rules \
            with it match nothing, other rules match without asking it";
        cx.not_supported(at.key("key"), message);
    }
}

/// What is wrong with a key.
fn key_fault(key: &str) -> Option<String> {
    const PLAIN: [&str; 13] = [
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
        "",
    ];
    const KEYED: [&str; 3] = [
        "request.headers",
        "request.auth.claims",
        "experimental.envoy.filters.",
    ];
    if PLAIN.contains(&key) {
        return None;
    }
    if KEYED.iter().any(|prefix| key.starts_with(prefix)) {
        return map_key_fault(key);
    }
    Some(match key {
        "destination.namespace" => {
            format!("attribute {key} is replaced by the metadata.namespace")
        }
        "destination.name" | "destination.user" => {
            format!("deprecated attribute {key}: only supported in v1alpha1")
        }
        _ if key.starts_with("destination.labels") => {
            format!("attribute {key} is replaced by the workload selector")
        }
        _ => format!("unknown attribute: {key}"),
    })
}

fn map_key_fault(key: &str) -> Option<String> {
    let open = key.find('[').unwrap_or(0);
    let fits = open > 0 && key.ends_with(']') && open + 2 < key.len();
    let is_header = key.starts_with("request.headers");
    let prefix = key.get(..open).unwrap_or("");
    // Istio takes `request.headersX[a]` here and drops it later; a typing error is better said.
    let fits = fits
        && (!is_header || prefix == "request.headers")
        && (!key.starts_with("request.auth.claims") || prefix == "request.auth.claims");
    (!fits).then(|| format!("bad key ({key}): should have format a[b]"))
}
