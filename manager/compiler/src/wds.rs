//! Istio's workload-discovery form of everything: `istio.security.Authorization` and
//! `istio.workload.Address` in protobuf's JSON mapping, with fields in alphabetical order, as istiod
//! makes them from the same resources.
//!
//! Reading order: `authorization` (AuthorizationPolicy), `peers` (PeerAuthentication), `address`
//! (workloads and services).

mod address;
mod authorization;
mod peers;

use std::net::IpAddr;

use serde_json::{Map, Value};
use weft_api::{Kind, Store};

use crate::Settings;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// `istio.security.Authorization` or `istio.workload.Address`.
    pub type_name: &'static str,
    /// Its name in workload discovery: `NAMESPACE/NAME`, `NAMESPACE/HOSTNAME` or a uid.
    pub name: String,
    /// The message.
    pub body: Value,
}

const AUTHORIZATION: &str = "istio.security.Authorization";
const ADDRESS: &str = "istio.workload.Address";

/// All messages: authorizations, then services, then workloads, each in ascending name.
pub fn messages(store: &Store, settings: &Settings) -> Vec<Message> {
    let settings = &settings.with_mesh_config(store);
    let mut authorizations: Vec<Message> = store
        .objects(Kind::AuthorizationPolicy)
        .filter_map(|object| authorization::convert(settings, object))
        .collect();
    authorizations.extend(peers::converted(store, settings));
    authorizations.sort_by(|a, b| a.name.cmp(&b.name));
    let mut services = address::services(store, settings);
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let mut workloads = address::workloads(store, settings);
    workloads.sort_by(|a, b| a.name.cmp(&b.name));
    [authorizations, services, workloads].concat()
}

/// A message under construction. What has its default value is left out, as protobuf does.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    fn list(&mut self, name: &str, items: Vec<Value>) {
        if !items.is_empty() {
            self.0.insert(name.to_owned(), items.into());
        }
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn done(self) -> Value {
        let mut fields: Vec<_> = self.0.into_iter().collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        Value::Object(fields.into_iter().collect())
    }
}

/// `bytes` of an address.
fn address_bytes(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => base64(&v4.octets()),
        IpAddr::V6(v6) => base64(&v6.octets()),
    }
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let held = (0..3).fold(0_u32, |held, at| {
            held << 8 | u32::from(chunk.get(at).copied().unwrap_or(0))
        });
        for at in 0..4_usize {
            if at <= chunk.len() {
                out.push(char::from(DIGITS[(held >> (18 - 6 * at) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}
