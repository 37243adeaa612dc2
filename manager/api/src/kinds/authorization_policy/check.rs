//! Istio's verdicts on rules, and what is kept of them.

use std::sync::Arc;

use super::{
    Action, AuthorizationOperation, AuthorizationRule, AuthorizationSource, Values, condition,
    custom,
    written::{Operation, Rule, Source, Written},
};
use crate::{decode::Reading, path::At, syntax};

const MOST_RULES: usize = 512;
const MOST_SOURCES: usize = 512;
const MOST_ACCOUNTS: usize = 16;
const LONGEST_ACCOUNT: usize = 320;

/// `action` with its provider.
pub(super) fn action(spec: &Written, at: At<'_>, cx: &mut Reading<'_>) -> Option<Action> {
    let has_rules = spec.rules.as_ref().is_some_and(|rules| !rules.is_empty());
    let name = spec.action.as_deref().unwrap_or("ALLOW");
    if matches!(name, "DENY" | "CUSTOM") && !has_rules {
        let message = format_args!(
            "{name} action without `rules` is meaningless as it will never be triggered, \
             add an empty rule `{{}}` if you want it be triggered for every request"
        );
        cx.reject(at.key("rules"), message);
    }
    if name != "CUSTOM" && spec.provider.is_some() {
        let message = format_args!("`provider` must not be with non CUSTOM action, found {name}");
        cx.reject(at.key("provider"), message);
    }
    match name {
        "ALLOW" => Some(Action::Allow),
        "DENY" => Some(Action::Deny),
        "AUDIT" => Some(Action::Audit),
        "CUSTOM" => {
            let provider = spec.provider.as_ref();
            let provider = provider.and_then(|provider| provider.name.as_deref());
            let provider = provider.unwrap_or("");
            let message = "`provider.name` must not be empty";
            cx.require(!provider.is_empty(), at.key("provider"), message);
            Some(Action::Custom(cx.interner.name(provider)))
        }
        other => {
            let message = format_args!("{other:?} is not known; use ALLOW, DENY, AUDIT or CUSTOM");
            cx.reject(at.key("action"), message);
            None
        }
    }
}

pub(super) fn rules(
    spec: &Written,
    action: Option<&Action>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<AuthorizationRule> {
    let list = at.key("rules");
    let written = spec.rules.as_deref().unwrap_or(&[]);
    let message = format_args!("at most {MOST_RULES} rules are allowed");
    cx.require(written.len() <= MOST_RULES, list, message);
    let mut rules = Vec::new();
    for (number, written) in written.iter().enumerate() {
        let at = list.index(number);
        let Some(written) = written else {
            cx.reject(
                at,
                format_args!("`rule` must not be nil, found at rule {number}"),
            );
            continue;
        };
        let rule = AuthorizationRule {
            from: sources(written, number, at, cx),
            to: operations(written, number, at, cx),
            when: condition::conditions(written, at, cx),
        };
        match action {
            Some(Action::Custom(_)) => custom::check(&rule, at, cx),
            Some(Action::Deny) => warn_of_tcp(&rule, at, cx),
            _ => {}
        }
        rules.push(rule);
    }
    rules
}

fn sources(
    rule: &Rule,
    number: usize,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<AuthorizationSource> {
    let list = at.key("from");
    let Some(written) = rule.from.as_deref() else {
        return Vec::new();
    };
    let message = format_args!("at most {MOST_SOURCES} sources are allowed");
    cx.require(written.len() <= MOST_SOURCES, list, message);
    if written.is_empty() {
        cx.reject(
            list,
            format_args!("`from` must not be empty, found at rule {number}"),
        );
    }
    let mut sources = Vec::new();
    for (index, from) in written.iter().enumerate() {
        let at = list.index(index);
        match from {
            None => cx.reject(
                at,
                format_args!("`from` must not be nil, found at rule {number}"),
            ),
            Some(from) => match &from.source {
                None => {
                    let message =
                        format_args!("`from.source` must not be nil, found at rule {number}");
                    cx.reject(at.key("source"), message);
                }
                Some(written) => sources.push(source(written, number, at.key("source"), cx)),
            },
        }
    }
    sources
}

fn source(
    written: &Source,
    number: usize,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> AuthorizationSource {
    let mut lists = Lists { at, cx };
    let w = written;
    let source = AuthorizationSource {
        principals: lists.take(
            "principals",
            &w.principals,
            "notPrincipals",
            &w.not_principals,
        ),
        request_principals: lists.take(
            "requestPrincipals",
            &w.request_principals,
            "notRequestPrincipals",
            &w.not_request_principals,
        ),
        namespaces: lists.take(
            "namespaces",
            &w.namespaces,
            "notNamespaces",
            &w.not_namespaces,
        ),
        service_accounts: lists.take(
            "serviceAccounts",
            &w.service_accounts,
            "notServiceAccounts",
            &w.not_service_accounts,
        ),
        ip_blocks: lists.take("ipBlocks", &w.ip_blocks, "notIpBlocks", &w.not_ip_blocks),
        remote_ip_blocks: lists.take(
            "remoteIpBlocks",
            &w.remote_ip_blocks,
            "notRemoteIpBlocks",
            &w.not_remote_ip_blocks,
        ),
        trust_domains: lists.take(
            "trustDomains",
            &w.trust_domains,
            "notTrustDomains",
            &w.not_trust_domains,
        ),
    };
    if source == AuthorizationSource::default() {
        let message = format_args!("`from.source` must not be empty, found at rule {number}");
        cx.reject(at, message);
    }
    let excludes = !is_empty(&source.principals) || !is_empty(&source.namespaces);
    if excludes && !is_empty(&source.service_accounts) {
        let message = format_args!(
            "cannot set serviceAccounts with namespaces or principals, found at rule {number}"
        );
        cx.reject(at, message);
    }
    each(
        "ipBlocks",
        "notIpBlocks",
        &source.ip_blocks,
        at,
        cx,
        address,
    );
    each(
        "remoteIpBlocks",
        "notRemoteIpBlocks",
        &source.remote_ip_blocks,
        at,
        cx,
        address,
    );
    let accounts = &source.service_accounts;
    each(
        "serviceAccounts",
        "notServiceAccounts",
        accounts,
        at,
        cx,
        account,
    );
    for (key, list) in [
        ("serviceAccounts", &accounts.any),
        ("notServiceAccounts", &accounts.none),
    ] {
        let message = format_args!("at most {MOST_ACCOUNTS} service accounts are allowed");
        cx.require(list.len() <= MOST_ACCOUNTS, at.key(key), message);
    }
    each(
        "namespaces",
        "notNamespaces",
        &source.namespaces,
        at,
        cx,
        wildcard,
    );
    each(
        "principals",
        "notPrincipals",
        &source.principals,
        at,
        cx,
        principal,
    );
    source
}

fn operations(
    rule: &Rule,
    number: usize,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<AuthorizationOperation> {
    let list = at.key("to");
    let Some(written) = rule.to.as_deref() else {
        return Vec::new();
    };
    if written.is_empty() {
        cx.reject(
            list,
            format_args!("`to` must not be empty, found at rule {number}"),
        );
    }
    let mut operations = Vec::new();
    for (index, to) in written.iter().enumerate() {
        let at = list.index(index);
        match to {
            None => cx.reject(
                at,
                format_args!("`to` must not be nil, found at rule {number}"),
            ),
            Some(to) => match &to.operation {
                None => {
                    let message =
                        format_args!("`to.operation` must not be nil, found at rule {number}");
                    cx.reject(at.key("operation"), message);
                }
                Some(written) => {
                    operations.push(operation(written, number, at.key("operation"), cx));
                }
            },
        }
    }
    operations
}

fn operation(
    written: &Operation,
    number: usize,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> AuthorizationOperation {
    let mut lists = Lists { at, cx };
    let operation = AuthorizationOperation {
        hosts: lists.take("hosts", &written.hosts, "notHosts", &written.not_hosts),
        ports: lists.take("ports", &written.ports, "notPorts", &written.not_ports),
        methods: lists.take(
            "methods",
            &written.methods,
            "notMethods",
            &written.not_methods,
        ),
        paths: lists.take("paths", &written.paths, "notPaths", &written.not_paths),
    };
    if operation == AuthorizationOperation::default() {
        let message = format_args!("`to.operation` must not be empty, found at rule {number}");
        cx.reject(at, message);
    }
    each("ports", "notPorts", &operation.ports, at, cx, port);
    each("paths", "notPaths", &operation.paths, at, cx, template);
    operation
}

/// Istio's warning of a DENY rule that asks only what a request can answer.
fn warn_of_tcp(rule: &AuthorizationRule, at: At<'_>, cx: &mut Reading<'_>) {
    let tcp_in_from = rule.from.iter().any(|source| {
        let only_http = AuthorizationSource {
            request_principals: source.request_principals.clone(),
            ..AuthorizationSource::default()
        };
        *source != only_http
    });
    let tcp_in_to = rule.to.iter().any(|operation| !is_empty(&operation.ports));
    let (has_from, has_to) = (!rule.from.is_empty(), !rule.to.is_empty());
    if (has_from && !has_to && !tcp_in_from) || (has_to && !tcp_in_to) {
        let message = "configured AuthorizationPolicy will deny all traffic to TCP ports under \
            its scope due to the use of only HTTP attributes in a DENY rule; it is recommended to \
            explicitly specify the port";
        cx.warn(at, message);
    }
}

/// Takes the lists of one object.
struct Lists<'l, 'r, 'i> {
    at: At<'l>,
    cx: &'r mut Reading<'i>,
}

impl Lists<'_, '_, '_> {
    fn take(
        &mut self,
        key: &str,
        any: &Option<Vec<String>>,
        not_key: &str,
        none: &Option<Vec<String>>,
    ) -> Values {
        Values {
            any: texts(any, key, self.at, self.cx),
            none: texts(none, not_key, self.at, self.cx),
        }
    }
}

pub(super) fn is_empty(values: &Values) -> bool {
    values.any.is_empty() && values.none.is_empty()
}

fn texts(
    written: &Option<Vec<String>>,
    key: &str,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Vec<Arc<str>> {
    let list = at.key(key);
    let mut texts = Vec::new();
    for (index, text) in written.iter().flatten().enumerate() {
        if text.is_empty() {
            // Istio names fields as its Go types do.
            let name = format!("{}{}", key[..1].to_ascii_uppercase(), &key[1..]);
            cx.reject(
                list.index(index),
                format_args!("empty value not allowed, found in {name}"),
            );
        }
        texts.push(cx.interner.name(text));
    }
    texts
}

/// Calls `check` for every text that is not empty, which has been said already.
pub(super) fn each(
    key: &str,
    not_key: &str,
    values: &Values,
    at: At<'_>,
    cx: &mut Reading<'_>,
    check: fn(&str, At<'_>, &mut Reading<'_>),
) {
    for (key, list) in [(key, &values.any), (not_key, &values.none)] {
        let at = at.key(key);
        for (index, text) in list.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            check(text, at.index(index), cx);
        }
    }
}

/// An address or a range.
pub(super) fn address(text: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if text.contains('/') {
        let fits = text.parse::<ipnet::IpNet>().is_ok();
        cx.require(fits, at, format_args!("bad CIDR range ({text})"));
    } else {
        let fits = text.parse::<std::net::IpAddr>().is_ok();
        cx.require(fits, at, format_args!("bad IP address ({text})"));
    }
}

pub(super) fn port(text: &str, at: At<'_>, cx: &mut Reading<'_>) {
    let fits = text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    cx.require(fits, at, format_args!("bad port ({text})"));
}

/// `NAMESPACE/ACCOUNT` or `ACCOUNT`.
pub(super) fn account(text: &str, at: At<'_>, cx: &mut Reading<'_>) {
    let message = format_args!("a service account may have at most {LONGEST_ACCOUNT} characters");
    cx.require(text.chars().count() <= LONGEST_ACCOUNT, at, message);
    if text.contains('*') {
        cx.reject(
            at,
            format_args!("wildcard not allowed in service account {text:?}"),
        );
        return;
    }
    let (namespace, name) = text
        .split_once('/')
        .map_or((None, text), |(namespace, name)| (Some(namespace), name));
    let fits = namespace.is_none_or(syntax::is_label) && syntax::is_subdomain(name);
    let message = format_args!("{text:?} is not NAMESPACE/ACCOUNT or ACCOUNT");
    cx.require(fits, at, message);
}

fn wildcard(text: &str, at: At<'_>, cx: &mut Reading<'_>) {
    let inner = text
        .strip_prefix('*')
        .or(text.strip_suffix('*'))
        .unwrap_or(text);
    if inner.contains('*') {
        let message = format_args!("in {text:?} an asterisk counts only at the beginning or end");
        cx.warn(at, message);
    }
}

fn principal(text: &str, at: At<'_>, cx: &mut Reading<'_>) {
    wildcard(text, at, cx);
    if text.starts_with("spiffe://") {
        let message = "a principal is written without \"spiffe://\"; this one fits nobody";
        cx.warn(at, message);
    }
}

/// A path with `{*}` or `{**}` may hold no other braces or asterisks that look like more.
fn template(text: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if !text.contains("{*}") && !text.contains("{**}") {
        wildcard(text, at, cx);
        return;
    }
    let rest = text.replace("{**}", "\u{1}").replace("{*}", "\u{1}");
    let is_named = |rest: &str| {
        let braces = rest.match_indices('{').any(|(at, _)| {
            let inner = rest[at + 1..].split_once('}').map(|(inner, _)| inner);
            inner.is_some_and(|inner| {
                let name = inner.strip_suffix("=**").or(inner.strip_suffix("=*"));
                let name = name.unwrap_or(inner);
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            })
        });
        braces || rest.contains("/*") || rest.contains("*/")
    };
    let message = format_args!("invalid or unsupported path template, found in {text:?}");
    cx.require(!is_named(&rest), at, message);
}
