//! Istio `Sidecar`, as far as it can stand in another's way: its selector.

use serde_json::Value;

use crate::{Labels, Resource, decode::Reading, path::At};

/// A Sidecar, which has no effect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sidecar {
    /// `workloadSelector.labels`; none is for all of the namespace.
    pub selector: Option<Labels>,
}

// By hand: the other fields are not read, and so are none of them unknown.
pub(super) fn read(object: &Value, cx: &mut Reading<'_>) -> Option<Resource> {
    let selector = object
        .get("spec")
        .and_then(|spec| spec.get("workloadSelector"))
        .filter(|selector| !selector.is_null());
    let Some(selector) = selector else {
        return Some(Resource::Sidecar(Box::default()));
    };
    let spec = At::top("spec");
    let at = spec.key("workloadSelector");
    cx.require(selector.is_object(), at, "must be an object");
    let labels = selector.get("labels").and_then(Value::as_object);
    let mut pairs = Vec::new();
    for (key, value) in labels.into_iter().flatten() {
        let Some(value) = value.as_str() else {
            let labels = at.key("labels");
            cx.reject(labels.key(key), "must be a text");
            continue;
        };
        pairs.push((cx.interner.name(key), cx.interner.name(value)));
    }
    let selector = Some(Labels::new(pairs.into_iter()));
    Some(Resource::Sidecar(Box::new(Sidecar { selector })))
}
