//! `PeerAuthentication` as istiod converts it for ztunnel: DENY policies on whoever has no identity.
//!
//! Conversion and naming follow rules of their own, as istiod has them: below a STRICT mesh, a policy
//! can be named that is not sent. A test holds both cases.

use std::sync::Arc;

use serde_json::{Value, json};
use weft_api::{Kind, Labels, MtlsMode, Object, PeerAuthentication, PolicyScope, Resource, Store};

use super::{AUTHORIZATION, Fields, Message};
use crate::Settings;

const STATIC_STRICT: &str = "istio_converted_static_strict";
const CONVERTED: &str = "converted_peer_authentication_";

/// The static policy when there is any PeerAuthentication, and one of each that mixes ports.
pub(super) fn converted(store: &Store, settings: &Settings) -> Vec<Message> {
    let root = &settings.root_namespace;
    if store.objects(Kind::PeerAuthentication).next().is_none() {
        return Vec::new();
    }
    let strict = vec![group(vec![no_identity(None)])];
    let mut messages = vec![message(root, STATIC_STRICT, strict)];
    for object in store.objects(Kind::PeerAuthentication) {
        let (namespace, name) = (&object.key.namespace, &object.key.name);
        if namespace == root {
            continue;
        }
        let parents = (oldest(store, namespace), oldest(store, root));
        if let Some(groups) = peer(object).and_then(|policy| groups(policy, parents)) {
            messages.push(message(namespace, &format!("{CONVERTED}{name}"), groups));
        }
    }
    messages
}

/// Names of the converted policies that hold for a workload, in ascending order.
pub(super) fn of_workload(
    store: &Store,
    settings: &Settings,
    namespace: &Arc<str>,
    labels: &Labels,
) -> Vec<String> {
    let root = &settings.root_namespace;
    let mesh = oldest(store, root);
    let mut is_strict = mesh.is_some_and(|mesh| mesh.mode == Some(MtlsMode::Strict));
    if namespace != root
        && let Some(mode) = oldest(store, namespace).and_then(|of_namespace| of_namespace.mode)
    {
        is_strict = mode == MtlsMode::Strict;
    }
    let own = store.objects_in(Kind::PeerAuthentication, namespace);
    let own = own.filter(|object| {
        let selects = |policy: &PeerAuthentication| match &policy.scope {
            PolicyScope::Workloads(selector) => selector.select(labels),
            _ => false,
        };
        namespace != root && peer(object).is_some_and(selects)
    });
    let own = own.min_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
    let mut names = Vec::new();
    if let Some((object, policy)) = own.and_then(|object| Some((object, peer(object)?))) {
        if let Some(mode) = policy.mode {
            is_strict = mode == MtlsMode::Strict;
        }
        let has = |wanted: &[MtlsMode]| {
            let mut modes = policy.ports.values().flatten();
            modes.any(|mode| wanted.contains(mode))
        };
        let is_mixed = if is_strict && policy.mode.is_none() {
            // As istiod has it: below what is inherited, DISABLE alone opens no port.
            has(&[MtlsMode::Permissive])
        } else if is_strict {
            has(&[MtlsMode::Permissive, MtlsMode::Disable])
        } else {
            has(&[MtlsMode::Strict])
        };
        if is_mixed {
            names.push(format!("{namespace}/{CONVERTED}{}", object.key.name));
            // The converted policy says what is strict by itself.
            is_strict = false;
        }
    }
    if is_strict {
        names.push(format!("{root}/{STATIC_STRICT}"));
    }
    names.sort();
    names
}

fn peer(object: &Object) -> Option<&PeerAuthentication> {
    match &object.resource {
        Resource::PeerAuthentication(policy) => Some(policy),
        _ => None,
    }
}

/// The policy of a whole namespace.
fn oldest<'s>(store: &'s Store, namespace: &Arc<str>) -> Option<&'s PeerAuthentication> {
    let all = store.objects_in(Kind::PeerAuthentication, namespace);
    let whole =
        all.filter(|object| peer(object).is_some_and(|policy| !policy.scope.is_selective()));
    let oldest = whole.min_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
    oldest.and_then(|object| peer(object))
}

type Parents<'s> = (
    Option<&'s PeerAuthentication>,
    Option<&'s PeerAuthentication>,
);

/// What a policy of some workloads denies, when its ports differ from what holds without them.
fn groups(policy: &PeerAuthentication, (namespace, mesh): Parents<'_>) -> Option<Vec<Value>> {
    if !policy.scope.is_selective() || policy.ports.is_empty() {
        return None;
    }
    let of_namespace = namespace.and_then(|policy| policy.mode);
    let inherited = of_namespace.or_else(|| mesh.and_then(|policy| policy.mode));
    let inherits_strict = inherited == Some(MtlsMode::Strict);
    // Whether a STRICT port goes without saying.
    let is_closed = match policy.mode {
        Some(MtlsMode::Strict) => true,
        Some(_) => of_namespace.is_none() && inherits_strict,
        None => inherits_strict,
    };
    // Whether there is something to except an open port from. A namespace's policy that is UNSET
    // hides the mesh's from istiod here.
    let is_excepted = match policy.mode {
        Some(mode) => mode == MtlsMode::Strict,
        None => namespace.or(mesh).and_then(|policy| policy.mode) == Some(MtlsMode::Strict),
    };
    let mut groups = Vec::new();
    let mut exempt = Vec::new();
    for (port, mode) in &policy.ports {
        match mode {
            Some(MtlsMode::Strict) if !is_closed => {
                groups.push(group(vec![no_identity(Some(*port))]));
            }
            Some(MtlsMode::Permissive | MtlsMode::Disable) if is_excepted => {
                exempt.push(json!({ "matches": [{ "notDestinationPorts": [port] }] }));
            }
            _ => {}
        }
    }
    if !exempt.is_empty() {
        // Rules are all needed: no identity, and none of the exempt ports. Where both the policy
        // and what it would inherit are strict, istiod says so twice, and so is it said here.
        if policy.mode.is_some() {
            exempt.insert(0, no_identity(None));
        }
        if inherits_strict {
            exempt.push(no_identity(None));
        }
        groups.push(group(exempt));
    }
    (!groups.is_empty()).then_some(groups)
}

fn no_identity(port: Option<u16>) -> Value {
    let mut fields = Fields::default();
    fields.list("notPrincipals", vec![json!({ "presence": {} })]);
    fields.list(
        "destinationPorts",
        port.into_iter().map(Value::from).collect(),
    );
    json!({ "matches": [fields.done()] })
}

fn group(rules: Vec<Value>) -> Value {
    json!({ "rules": rules })
}

fn message(namespace: &str, name: &str, groups: Vec<Value>) -> Message {
    let mut fields = Fields::default();
    fields.set("action", "DENY");
    fields.list("groups", groups);
    fields.text("name", name);
    fields.text("namespace", namespace);
    fields.set("scope", "WORKLOAD_SELECTOR");
    Message {
        type_name: AUTHORIZATION,
        name: format!("{namespace}/{name}"),
        body: fields.done(),
    }
}
