//! Kubernetes `ServiceAccount`, `Secret` and `ConfigMap`.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1 as core;
use serde_json::Value;

use crate::{Resource, base64, decode::Reading, kinds::mesh_config, object::Metadata, path::At};

/// A Kubernetes Secret: what is there, but not what it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Secret {
    /// `type`, `Opaque` when unset.
    pub secret_type: Arc<str>,
    /// Keys of `data` and `stringData`.
    pub keys: BTreeSet<Arc<str>>,
    /// Keys without a value.
    pub empty: BTreeSet<Arc<str>>,
    /// Keys whose value holds something in PEM.
    pub pem: BTreeSet<Arc<str>>,
}

/// A Kubernetes ConfigMap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConfigMap {
    /// Keys of `data` and `binaryData`.
    pub keys: BTreeSet<Arc<str>>,
    /// Keys whose value holds a PEM certificate.
    pub certificates: BTreeSet<Arc<str>>,
    /// Key `mesh` of the ConfigMap named `istio`: the configuration of the mesh, if this is the
    /// root namespace.
    pub mesh: Option<Box<mesh_config::MeshConfig>>,
}

pub(crate) fn read_account(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let _: core::ServiceAccount = cx.whole(object)?;
    Some(Resource::ServiceAccount)
}

pub(crate) fn read_secret(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    // Not through the decoder: its errors may quote a value.
    let mut secret = Secret {
        secret_type: cx.interner.name(
            object
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or("Opaque"),
        ),
        ..Secret::default()
    };
    for (field, is_base64) in [("data", true), ("stringData", false)] {
        let at = At::top(field);
        let pairs = match object.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(pairs)) => pairs,
            Some(_) => {
                cx.reject(at, "must be an object");
                continue;
            }
        };
        for (key, value) in pairs {
            secret_value(key, value, is_base64, &mut secret, at.key(key), cx);
        }
    }
    let needs: &[&str] = match &*secret.secret_type {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    };
    for key in needs {
        let message = format_args!(
            "a Secret of type {} needs the key {key}",
            secret.secret_type
        );
        cx.require(secret.keys.contains(*key), At::top("data"), message);
    }
    Some(Resource::Secret(Box::new(secret)))
}

fn secret_value(
    key: &str,
    value: &Value,
    is_base64: bool,
    secret: &mut Secret,
    at: At<'_>,
    cx: &mut Reading<'_>,
) {
    config_key(key, at, cx);
    let bytes = match value {
        Value::Null => Some(Vec::new()),
        Value::String(text) if is_base64 => base64::decode(text),
        Value::String(text) => Some(text.clone().into_bytes()),
        _ => None,
    };
    let Some(bytes) = bytes else {
        let what = if is_base64 { "base64" } else { "a text" };
        cx.reject(at, format_args!("the value is not {what}"));
        return;
    };
    let key = cx.interner.name(key);
    if bytes.is_empty() {
        secret.empty.insert(Arc::clone(&key));
    }
    if std::str::from_utf8(&bytes).is_ok_and(is_pem) {
        secret.pem.insert(Arc::clone(&key));
    }
    secret.keys.insert(key);
}

/// Whether a text has a PEM block, whatever is in it.
fn is_pem(text: &str) -> bool {
    let begin = text.find("-----BEGIN ");
    begin.is_some_and(|begin| text[begin..].contains("\n-----END "))
}

fn config_key(key: &str, at: At<'_>, cx: &mut Reading<'_>) {
    let fits = (1..=253).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && key != "."
        && key != "..";
    let message =
        format_args!("{key:?} is not a valid config key: use letters, digits, '-', '_' and '.'");
    cx.require(fits, at, message);
}

pub(crate) fn read_config_map(
    object: &Value,
    metadata: &Metadata,
    cx: &mut Reading<'_>,
) -> Option<Resource> {
    let written: core::ConfigMap = cx.whole(object)?;
    let mut map = ConfigMap::default();
    let at = At::top("data");
    for (key, value) in written.data.iter().flatten() {
        config_key(key, at.key(key), cx);
        let name = cx.interner.name(key);
        if value.contains("-----BEGIN CERTIFICATE-----") {
            map.certificates.insert(Arc::clone(&name));
        }
        map.keys.insert(name);
    }
    for key in written.binary_data.iter().flatten().map(|(key, _)| key) {
        config_key(key, At::top("binaryData").key(key), cx);
        map.keys.insert(cx.interner.name(key));
    }
    let mesh = written.data.as_ref().and_then(|data| data.get("mesh"));
    if let Some(text) = mesh.filter(|_| &*metadata.key.name == "istio") {
        map.mesh = mesh_config::read(text, at.key("mesh"), cx).map(Box::new);
    }
    Some(Resource::ConfigMap(Box::new(map)))
}
