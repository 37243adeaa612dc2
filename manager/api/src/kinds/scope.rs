//! What a policy holds for: `selector` and `targetRefs`, alike in all of Istio's policies.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use crate::{Labels, decode::Reading, path::At};

/// What a policy holds for, as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyScope {
    /// Its namespace, or the mesh when that is the root namespace.
    All,
    /// `selector`: workloads with all these labels. Without labels all of the namespace.
    Workloads(Labels),
    /// `targetRefs`.
    Targets(Vec<TargetRef>),
}

impl PolicyScope {
    /// Whether some workloads are selected by their labels.
    pub fn is_selective(&self) -> bool {
        matches!(self, Self::Workloads(labels) if !labels.is_empty())
    }
}

/// What a policy is attached to, in its own namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TargetRef {
    /// Kind.
    pub kind: TargetKind,
    /// Name.
    pub name: Arc<str>,
}

/// What a policy may be attached to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TargetKind {
    /// A Kubernetes Service.
    Service,
    /// An Istio ServiceEntry.
    ServiceEntry,
    /// A Gateway of the Gateway API.
    Gateway,
    /// A class of them; only from the root namespace.
    GatewayClass,
}

const MOST_TARGETS: usize = 16;
const MOST_LABELS: usize = 4096;
const TARGETS: &str = "[core/v1/Service networking.istio.io/v1/ServiceEntry \
    gateway.networking.k8s.io/v1/Gateway gateway.networking.k8s.io/v1/GatewayClass]";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrittenSelector {
    pub(crate) match_labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
pub(crate) struct WrittenTarget {
    group: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
}

/// Checks and keeps a selector and targets; of both spellings of the latter.
pub(crate) fn scope(
    selector: Option<&WrittenSelector>,
    target: Option<&WrittenTarget>,
    targets: Option<&[WrittenTarget]>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> PolicyScope {
    let targets = targets.unwrap_or(&[]);
    let kinds = [selector.is_some(), target.is_some(), !targets.is_empty()];
    if kinds.iter().filter(|is_set| **is_set).count() > 1 {
        cx.reject(at, "only one of targetRefs or workloadSelector can be set");
    }
    let list = at.key("targetRefs");
    let message = format_args!("at most {MOST_TARGETS} targets are allowed");
    cx.require(targets.len() <= MOST_TARGETS, list, message);
    let mut refs = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        refs.extend(target_ref(target, list.index(index), cx));
    }
    if let Some(target) = target {
        refs.extend(target_ref(target, at.key("targetRef"), cx));
    }
    match selector {
        _ if !refs.is_empty() => PolicyScope::Targets(refs),
        Some(selector) => PolicyScope::Workloads(labels(selector, at.key("selector"), cx)),
        None => PolicyScope::All,
    }
}

/// Checks and keeps a selector.
pub(crate) fn labels(selector: &WrittenSelector, at: At<'_>, cx: &mut Reading<'_>) -> Labels {
    let at = at.key("matchLabels");
    let written = selector.match_labels.iter().flatten();
    if written.clone().next().is_none() {
        cx.warn(at, "workload selector specified without labels");
    }
    let message = format_args!("at most {MOST_LABELS} labels are allowed");
    cx.require(written.clone().count() <= MOST_LABELS, at, message);
    for (key, value) in written.clone() {
        let at = at.key(key);
        let pair = format!("{key}={value}");
        if key.is_empty() {
            cx.reject(
                at,
                format_args!("empty key is not supported in selector: {pair:?}"),
            );
        }
        if key.contains('*') || value.contains('*') {
            cx.reject(
                at,
                format_args!("wildcard is not supported in selector: {pair:?}"),
            );
        }
        let message = "a label value may have at most 63 characters";
        cx.require(value.chars().count() <= 63, at, message);
    }
    Labels::new(written.map(|(key, value)| (cx.interner.name(key), cx.interner.name(value))))
}

fn target_ref(written: &WrittenTarget, at: At<'_>, cx: &mut Reading<'_>) -> Option<TargetRef> {
    let name = written.name.as_deref().unwrap_or("");
    cx.require(
        !name.is_empty(),
        at.key("name"),
        "targetRef name must be set",
    );
    let message = "a name may have at most 253 characters";
    cx.require(name.chars().count() <= 253, at.key("name"), message);
    if written
        .namespace
        .as_deref()
        .is_some_and(|namespace| !namespace.is_empty())
    {
        let message = "targetRef namespace must not be set; \
            cross namespace referencing is not supported";
        cx.reject(at.key("namespace"), message);
    }
    let group = written.group.as_deref().unwrap_or("");
    let kind = written.kind.as_deref().unwrap_or("");
    let kind = match (group, kind) {
        ("" | "core", "Service") => TargetKind::Service,
        ("networking.istio.io", "ServiceEntry") => TargetKind::ServiceEntry,
        ("gateway.networking.k8s.io", "Gateway") => TargetKind::Gateway,
        ("gateway.networking.k8s.io", "GatewayClass") => TargetKind::GatewayClass,
        (group, kind) => {
            let message =
                format_args!("targetRef must be to one of {TARGETS} but was {group}/{kind}");
            cx.reject(at, message);
            return None;
        }
    };
    let name = cx.interner.name(name);
    Some(TargetRef { kind, name })
}
