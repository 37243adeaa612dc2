//! VirtualServices that leave rules to others (`delegate`), one level deep, merged as istiod does.

use std::sync::Arc;

use weft_api::{
    Kind, Labels, ObjectKey, Resource,
    virtual_service::{
        StringMatch, VirtualService,
        http::{Delegate, Headers, HttpMatch, HttpRoute},
    },
};
use weft_model::Origin;

use super::{Sources, virtual_service::visibility};
use crate::problems;

/// A rule with where it was written: in the VirtualService itself, or in a delegate.
pub(super) struct WrittenRule {
    pub(super) origin: Origin,
    pub(super) index: usize,
    /// Namespace in which short names resolve.
    pub(super) namespace: Arc<str>,
    pub(super) rule: HttpRoute,
}

/// VirtualServices that one delegates to.
pub(super) fn delegates(key: &ObjectKey, service: &VirtualService) -> Vec<ObjectKey> {
    let named = service
        .http
        .iter()
        .filter_map(|rule| rule.delegate.as_ref());
    named.map(|delegate| delegate_key(key, delegate)).collect()
}

pub(super) fn delegate_key(key: &ObjectKey, delegate: &Delegate) -> ObjectKey {
    let namespace = match &*delegate.namespace {
        "" => &key.namespace,
        _ => &delegate.namespace,
    };
    ObjectKey {
        kind: Kind::VirtualService,
        namespace: Arc::clone(namespace),
        name: Arc::clone(&delegate.name),
    }
}

/// The rules of a VirtualService with those of its delegates in their place. A delegate that is not
/// there, or not exported, has no rules.
pub(super) fn rules(
    sources: &Sources<'_>,
    key: &ObjectKey,
    origin: &Origin,
    service: &VirtualService,
) -> Vec<WrittenRule> {
    let mut rules = Vec::new();
    for (index, rule) in service.http.iter().enumerate() {
        let Some(delegate) = &rule.delegate else {
            rules.push(WrittenRule {
                origin: origin.clone(),
                index,
                namespace: Arc::clone(&key.namespace),
                rule: rule.clone(),
            });
            continue;
        };
        let delegate = delegate_key(key, delegate);
        let Some(object) = sources.store.object(&delegate) else {
            continue;
        };
        let Resource::VirtualService(inner) = &object.resource else {
            continue;
        };
        if !inner.is_delegate()
            || !visibility(&delegate.namespace, &inner.export_to).includes(&key.namespace)
        {
            continue;
        }
        for (index, leaf) in inner.http.iter().enumerate() {
            if let Some(merged) = merge(rule, leaf) {
                rules.push(WrittenRule {
                    origin: problems::origin(object),
                    index,
                    namespace: Arc::clone(&delegate.namespace),
                    rule: merged,
                });
            }
        }
    }
    rules
}

/// A delegate's rule within the rule that delegates; none if no request can fit both.
fn merge(root: &HttpRoute, leaf: &HttpRoute) -> Option<HttpRoute> {
    let matches = match (root.matches.is_empty(), leaf.matches.is_empty()) {
        (true, _) => leaf.matches.clone(),
        (false, true) => root.matches.clone(),
        (false, false) => {
            let pairs = root
                .matches
                .iter()
                .flat_map(|root| leaf.matches.iter().filter_map(|leaf| meet(root, leaf)));
            let pairs: Vec<_> = pairs.collect();
            if pairs.is_empty() {
                return None;
            }
            pairs
        }
    };
    let leaf = leaf.clone();
    let root = root.clone();
    let name = match (&*root.name, &*leaf.name) {
        ("", _) => leaf.name,
        (_, "") => root.name,
        (root, leaf) => format!("{root}-{leaf}").into(),
    };
    let has_mirror = leaf.mirror.is_some() || !leaf.mirrors.is_empty();
    let (mirror, mirrors, mirror_percentage) = if has_mirror {
        (leaf.mirror, leaf.mirrors, leaf.mirror_percentage)
    } else {
        (root.mirror, root.mirrors, root.mirror_percentage)
    };
    Some(HttpRoute {
        name,
        matches,
        route: leaf.route,
        redirect: leaf.redirect.or(root.redirect),
        direct_response: leaf.direct_response.or(root.direct_response),
        delegate: None,
        rewrite: leaf.rewrite.or(root.rewrite),
        timeout: leaf.timeout.or(root.timeout),
        retries: leaf.retries.or(root.retries),
        fault: leaf.fault.or(root.fault),
        mirror,
        mirrors,
        mirror_percentage,
        mirror_percent: leaf.mirror_percent.or(root.mirror_percent),
        cors_policy: leaf.cors_policy.or(root.cors_policy),
        headers: if leaf.headers == Headers::default() {
            root.headers
        } else {
            leaf.headers
        },
    })
}

fn meet(root: &HttpMatch, leaf: &HttpMatch) -> Option<HttpMatch> {
    let text = |root: &Option<StringMatch>, leaf: &Option<StringMatch>| {
        let fits = !conflict(root.as_ref(), leaf.as_ref());
        fits.then(|| leaf.clone().or_else(|| root.clone()))
    };
    let fields = |root: &std::collections::BTreeMap<Arc<str>, StringMatch>,
                  leaf: &std::collections::BTreeMap<Arc<str>, StringMatch>| {
        let fits = leaf
            .iter()
            .all(|(key, leaf)| !conflict(root.get(key), Some(leaf)));
        fits.then(|| {
            let mut merged = root.clone();
            merged.extend(leaf.clone());
            merged
        })
    };
    if root.ignore_uri_case != leaf.ignore_uri_case
        || (root.port > 0 && leaf.port > 0 && root.port != leaf.port)
        || (!root.source_namespace.is_empty()
            && !leaf.source_namespace.is_empty()
            && root.source_namespace != leaf.source_namespace)
    {
        return None;
    }
    let name = match (&*root.name, &*leaf.name) {
        ("", _) => Arc::clone(&leaf.name),
        (_, "") => Arc::clone(&root.name),
        (root, leaf) => format!("{root}-{leaf}").into(),
    };
    let or = |leaf: &Arc<str>, root: &Arc<str>| match &**leaf {
        "" => Arc::clone(root),
        _ => Arc::clone(leaf),
    };
    Some(HttpMatch {
        name,
        uri: text(&root.uri, &leaf.uri)?,
        scheme: text(&root.scheme, &leaf.scheme)?,
        method: text(&root.method, &leaf.method)?,
        authority: text(&root.authority, &leaf.authority)?,
        headers: fields(&root.headers, &leaf.headers)?,
        without_headers: fields(&root.without_headers, &leaf.without_headers)?,
        query_params: fields(&root.query_params, &leaf.query_params)?,
        ignore_uri_case: leaf.ignore_uri_case,
        port: if leaf.port > 0 { leaf.port } else { root.port },
        source_labels: labels(&root.source_labels, &leaf.source_labels)?,
        source_namespace: or(&leaf.source_namespace, &root.source_namespace),
        gateways: if leaf.gateways.is_empty() {
            root.gateways.clone()
        } else {
            leaf.gateways.clone()
        },
        stat_prefix: or(&leaf.stat_prefix, &root.stat_prefix),
    })
}

fn labels(root: &Labels, leaf: &Labels) -> Option<Labels> {
    let differs =
        |(key, value): &&(Arc<str>, Arc<str>)| root.value(key).is_some_and(|other| other != value);
    if leaf.iter().any(|pair| differs(&pair)) {
        return None;
    }
    let only_root = root.iter().filter(|(key, _)| leaf.value(key).is_none());
    Some(only_root.chain(leaf.iter()).cloned().collect())
}

/// Whether istiod sees two matches of the same thing as contradicting each other.
fn conflict(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    use StringMatch::{Exact, Prefix, Present, Regex};
    match (root, leaf) {
        (None | Some(Present), _) | (_, None | Some(Present)) => false,
        (Some(Regex(_)), Some(_)) | (Some(_), Some(Regex(_))) => true,
        (Some(Exact(root)), Some(Exact(leaf))) => root != leaf,
        (Some(Exact(_)), Some(Prefix(_))) => true,
        (Some(Prefix(root)), Some(Exact(leaf) | Prefix(leaf))) => !leaf.starts_with(&**root),
    }
}
