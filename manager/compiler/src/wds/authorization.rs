//! `AuthorizationPolicy` as istiod converts it for ztunnel, which judges connections only.

use std::net::IpAddr;

use serde_json::{Value, json};
use weft_api::{
    Action, AuthorizationCondition, AuthorizationPolicy, AuthorizationRule, Object, PolicyScope,
    Resource, Values,
};

use super::{AUTHORIZATION, Fields, Message, address_bytes};
use crate::Settings;

/// None for what ztunnel does not get: policies with `targetRefs`, AUDIT, CUSTOM.
pub(super) fn convert(settings: &Settings, object: &Object) -> Option<Message> {
    let Resource::AuthorizationPolicy(policy) = &object.resource else {
        return None;
    };
    let (namespace, name) = (&object.key.namespace, &object.key.name);
    let is_allow = match policy.action {
        Action::Allow => true,
        Action::Deny => false,
        Action::Audit | Action::Custom(_) => return None,
    };
    let mut fields = Fields::default();
    fields.text("name", name);
    fields.text("namespace", namespace);
    match scope(settings, object, policy)? {
        "GLOBAL" => {}
        scope => fields.set("scope", scope),
    }
    if !is_allow {
        fields.set("action", "DENY");
    }
    if policy.is_dry_run {
        fields.set("dryRun", true);
    }
    let groups = policy.rules.iter();
    fields.list(
        "groups",
        groups
            .filter_map(|rule| group(rule, is_allow, namespace))
            .collect(),
    );
    Some(Message {
        type_name: AUTHORIZATION,
        name: format!("{namespace}/{name}"),
        body: fields.done(),
    })
}

fn scope(
    settings: &Settings,
    object: &Object,
    policy: &AuthorizationPolicy,
) -> Option<&'static str> {
    match policy.scope {
        PolicyScope::Targets(_) => None,
        PolicyScope::Workloads(_) => Some("WORKLOAD_SELECTOR"),
        PolicyScope::All if object.key.namespace == settings.root_namespace => Some("GLOBAL"),
        PolicyScope::All => Some("NAMESPACE"),
    }
}

/// A rule. One of an ALLOW policy that only a request can answer is left out.
fn group(rule: &AuthorizationRule, is_allow: bool, namespace: &str) -> Option<Value> {
    let mut needs_request = false;
    let mut rules = Vec::new();
    let mut to = Vec::new();
    for operation in &rule.to {
        let http = [&operation.hosts, &operation.methods, &operation.paths];
        needs_request |= http.iter().any(|values| is_set(values));
        let mut fields = Fields::default();
        ports(&mut fields, &operation.ports);
        to.push(fields.done());
    }
    rules.extend(matches(to));
    let mut from = Vec::new();
    for source in &rule.from {
        // Trust domains have no field in the message.
        let unheard = [
            &source.remote_ip_blocks,
            &source.request_principals,
            &source.trust_domains,
        ];
        needs_request |= unheard.iter().any(|values| is_set(values));
        let mut fields = Fields::default();
        addresses(&mut fields, "sourceIps", "notSourceIps", &source.ip_blocks);
        texts(
            &mut fields,
            "namespaces",
            "notNamespaces",
            &source.namespaces,
        );
        texts(
            &mut fields,
            "principals",
            "notPrincipals",
            &source.principals,
        );
        accounts(&mut fields, &source.service_accounts, namespace);
        from.push(fields.done());
    }
    rules.extend(matches(from));
    for when in &rule.when {
        let mut fields = Fields::default();
        needs_request |= !condition(&mut fields, when);
        rules.extend(matches(vec![fields.done()]));
    }
    if is_allow && needs_request {
        return None;
    }
    let mut fields = Fields::default();
    fields.list("rules", rules);
    Some(fields.done())
}

fn is_set(values: &Values) -> bool {
    !values.any.is_empty() || !values.none.is_empty()
}

fn matches(matches: Vec<Value>) -> Option<Value> {
    (!matches.is_empty()).then(|| json!({ "matches": matches }))
}

/// False for a key that ztunnel does not know.
fn condition(fields: &mut Fields, when: &AuthorizationCondition) -> bool {
    let values = &when.values;
    match &*when.key {
        "source.ip" => addresses(fields, "sourceIps", "notSourceIps", values),
        "source.namespace" => texts(fields, "namespaces", "notNamespaces", values),
        "source.principal" => texts(fields, "principals", "notPrincipals", values),
        "destination.ip" => addresses(fields, "destinationIps", "notDestinationIps", values),
        "destination.port" => ports(fields, values),
        _ => return false,
    }
    true
}

fn texts(fields: &mut Fields, any: &str, none: &str, values: &Values) {
    let text = |text: &str| {
        if text == "*" {
            json!({ "presence": {} })
        } else if let Some(suffix) = text.strip_prefix('*') {
            json!({ "suffix": suffix })
        } else if let Some(prefix) = text.strip_suffix('*') {
            json!({ "prefix": prefix })
        } else {
            json!({ "exact": text })
        }
    };
    fields.list(any, values.any.iter().map(|value| text(value)).collect());
    fields.list(none, values.none.iter().map(|value| text(value)).collect());
}

fn ports(fields: &mut Fields, values: &Values) {
    let port = |text: &std::sync::Arc<str>| text.parse::<u16>().ok().map(Value::from);
    fields.list(
        "destinationPorts",
        values.any.iter().filter_map(port).collect(),
    );
    fields.list(
        "notDestinationPorts",
        values.none.iter().filter_map(port).collect(),
    );
}

fn accounts(fields: &mut Fields, values: &Values, namespace: &str) {
    let account = |text: &std::sync::Arc<str>| {
        let (namespace, account) = text.split_once('/').unwrap_or((namespace, text));
        json!({ "namespace": namespace, "serviceAccount": account })
    };
    fields.list("serviceAccounts", values.any.iter().map(account).collect());
    fields.list(
        "notServiceAccounts",
        values.none.iter().map(account).collect(),
    );
}

fn addresses(fields: &mut Fields, any: &str, none: &str, values: &Values) {
    let address = |text: &std::sync::Arc<str>| {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, length.parse::<u8>().ok()),
            None => (&**text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let mut fields = Fields::default();
        fields.text("address", &address_bytes(address));
        match length.unwrap_or(whole) {
            0 => {}
            length => fields.set("length", length),
        }
        Some(fields.done())
    };
    fields.list(any, values.any.iter().filter_map(address).collect());
    fields.list(none, values.none.iter().filter_map(address).collect());
}
