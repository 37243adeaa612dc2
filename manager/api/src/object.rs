//! An object: its identity, its labels, and what it holds.

use std::{collections::BTreeMap, fmt, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::Value;

use crate::{
    Distribution, Kind, Labels, Origin, Resource,
    decode::Reading,
    kinds::{NameSyntax, Registration},
    path::At,
    syntax,
};

/// Identity of an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey {
    /// Kind, which implies the API group.
    pub kind: Kind,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// An object that passed validation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Identity.
    pub key: ObjectKey,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations` whose keys are Istio's (`istio.io` in their domain); of pods and slices,
    /// of which there are many, none.
    pub annotations: Labels,
    /// `metadata.creationTimestamp` in seconds since 1970.
    pub created: Option<i64>,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// File it was read from.
    pub file: Arc<str>,
    /// Line of its first key, from 1.
    pub line: u32,
    /// What it holds.
    pub resource: Resource,
}

impl Object {
    /// Where it was written.
    pub fn origin(&self) -> Origin {
        Origin {
            kind: self.key.kind.name().into(),
            namespace: Arc::clone(&self.key.namespace),
            name: Arc::clone(&self.key.name),
            file: Arc::clone(&self.file),
            line: self.line,
        }
    }
}

/// `metadata`, as far as any kind needs it.
pub(crate) struct Metadata {
    pub(crate) key: ObjectKey,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) created: Option<i64>,
    pub(crate) generation: Option<i64>,
    pub(crate) is_deleting: bool,
    /// The controlling owner's kind and name.
    pub(crate) controller: Option<(Arc<str>, Arc<str>)>,
    pub(crate) distribution: Option<Distribution>,
}

/// What `metadata.name` and `metadata.namespace` say, readable or not: for origins of errors.
pub(crate) fn identity(object: &Value, cluster_scoped: bool) -> (&str, &str) {
    let metadata = object.get("metadata");
    let text = |key| {
        metadata
            .and_then(|m| m.get(key))
            .and_then(Value::as_str)
            .unwrap_or("")
    };
    let namespace = match text("namespace") {
        _ if cluster_scoped => "",
        "" => "default",
        namespace => namespace,
    };
    (namespace, text("name"))
}

impl Metadata {
    pub(crate) fn read(
        object: &Value,
        registration: &Registration,
        cx: &mut Reading<'_>,
    ) -> Option<Self> {
        const METADATA: At<'_> = At::top("metadata");
        let meta: ObjectMeta = cx.field(object, "metadata")?;
        let (namespace, name) = identity(object, registration.is_cluster_scoped);
        check_names(namespace, name, registration, cx);
        let key = ObjectKey {
            kind: registration.kind,
            namespace: cx.interner.name(namespace),
            name: cx.interner.name(name),
        };
        let mut owners = meta.owner_references.iter().flatten();
        let controller = owners.find(|owner| owner.controller == Some(true));
        Some(Self {
            key,
            labels: labels(meta.labels, METADATA.key("labels"), cx),
            annotations: annotations(meta.annotations.as_ref(), registration.kind, cx),
            created: meta.creation_timestamp.map(|Time(time)| time.as_second()),
            generation: meta.generation,
            is_deleting: meta.deletion_timestamp.is_some(),
            controller: controller
                .map(|owner| (cx.interner.name(&owner.kind), cx.interner.name(&owner.name))),
            distribution: distribution(meta.annotations.as_ref(), cx),
        })
    }
}

fn annotations(
    written: Option<&BTreeMap<String, String>>,
    kind: Kind,
    cx: &mut Reading<'_>,
) -> Labels {
    if matches!(kind, Kind::Pod | Kind::EndpointSlice) {
        return Labels::default();
    }
    let is_istio = |key: &str| {
        key.split('/')
            .next()
            .is_some_and(|it| it.ends_with("istio.io"))
    };
    let pairs = written.into_iter().flatten();
    let pairs = pairs.filter(|(key, _)| is_istio(key));
    Labels::new(pairs.map(|(key, value)| (cx.interner.name(key), cx.interner.name(value))))
}

fn check_names(namespace: &str, name: &str, registration: &Registration, cx: &mut Reading<'_>) {
    const METADATA: At<'_> = At::top("metadata");
    let at = METADATA.key("name");
    if name.is_empty() {
        cx.reject(at, "a name is required");
        return;
    }
    let fits = match registration.name_syntax {
        NameSyntax::Subdomain => syntax::is_subdomain(name),
        NameSyntax::Label => syntax::is_label(name),
        NameSyntax::ServiceLabel => syntax::is_service_name(name),
    };
    cx.require(
        fits,
        at,
        format_args!("{name:?} is not a valid name: {}", registration.name_syntax),
    );
    if !registration.is_cluster_scoped {
        let fits = syntax::is_label(namespace);
        let at = METADATA.key("namespace");
        cx.require(
            fits,
            at,
            format_args!("{namespace:?} is not a valid namespace"),
        );
    }
}

/// Labels, checked and interned.
pub(crate) fn labels(
    labels: Option<BTreeMap<String, String>>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Labels {
    for (key, value) in labels.iter().flatten() {
        if !syntax::is_label_key(key) {
            cx.reject(
                at.key(key),
                format_args!("{key:?} is not a valid label key"),
            );
        }
        if !syntax::is_label_value(value) {
            cx.reject(
                at.key(key),
                format_args!("{value:?} is not a valid label value"),
            );
        }
    }
    let pairs = labels.into_iter().flatten();
    Labels::new(pairs.map(|(key, value)| (cx.interner.name(&key), cx.interner.name(&value))))
}

fn distribution(
    annotations: Option<&BTreeMap<String, String>>,
    cx: &mut Reading<'_>,
) -> Option<Distribution> {
    const KEY: &str = "networking.istio.io/traffic-distribution";
    let text = annotations?.get(KEY)?;
    let known = if text == "Any" {
        Some(Distribution::Any)
    } else {
        Distribution::parse(text)
    };
    if known.is_none() {
        let metadata = At::top("metadata");
        let annotations = metadata.key("annotations");
        cx.warn(
            annotations.key(KEY),
            format_args!("{text:?} is not a known traffic distribution"),
        );
    }
    known
}
