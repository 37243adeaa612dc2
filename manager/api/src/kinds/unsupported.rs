//! Kinds of Istio that configure its own proxies: recognised, and reported.

use serde_json::Value;

use super::sidecar;
use crate::{Kind, Resource, decode::Reading, object::Metadata, path::At};

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let kind = metadata.key.kind;
    let why = match kind {
        Kind::Sidecar => {
            "Sidecar is not supported and has no effect: there are no sidecars to configure"
        }
        Kind::EnvoyFilter => "EnvoyFilter is not supported and has no effect: there is no Envoy",
        _ => "ProxyConfig is not supported and has no effect: there are no proxies per workload",
    };
    let fits = object
        .get("spec")
        .is_none_or(|spec| spec.is_object() || spec.is_null());
    cx.require(fits, At::top("spec"), "must be an object");
    cx.not_supported(At::top("kind"), why);
    if kind == Kind::Sidecar {
        return sidecar::read(object, cx);
    }
    Some(Resource::Unsupported)
}
