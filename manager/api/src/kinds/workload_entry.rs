//! Istio `WorkloadEntry`, and its form inside others.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use super::capture::{self, Capture};
use crate::{Labels, Resource, decode::Reading, limits, object::Metadata, path::At, proto, syntax};

/// A workload that is not a pod (`networking/v1/workload_entry.proto` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadEntry {
    /// `address`: an address, a host name, or `unix://` with a path; empty with a `network` only.
    pub address: Arc<str>,
    /// `ports` by name.
    pub ports: BTreeMap<Arc<str>, u32>,
    /// `labels`, which selectors of services and policies see.
    #[serde(deserialize_with = "proto::labels")]
    pub labels: Labels,
    /// `network`; empty means the mesh's own.
    pub network: Arc<str>,
    /// `locality`: `region/zone/subzone`.
    pub locality: Arc<str>,
    /// `weight`; 0 means 1.
    pub weight: u32,
    /// `serviceAccount`; may be empty.
    pub service_account: Arc<str>,
    /// What annotations say of capturing its traffic.
    #[serde(skip)]
    pub capture: Capture,
}

impl WorkloadEntry {
    /// The address, unless it is a name or a path.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let mut entry: WorkloadEntry = cx.message(object, "spec")?;
    entry.capture = capture::read(object, cx);
    let at = At::top("spec");
    if entry.address.is_empty() {
        if entry.network.is_empty() {
            cx.reject(at.key("address"), "address is required");
        } else {
            let message = format!("address is unset with network {:?}", entry.network);
            cx.warn(at.key("address"), message);
        }
    }
    check(&entry, at, cx);
    cx.not_supported(
        at,
        "workload entries are read, but traffic is not sent to them yet",
    );
    Some(Resource::WorkloadEntry(Box::new(entry)))
}

/// Judges what an entry and the template of a group have in common.
pub(crate) fn check(entry: &WorkloadEntry, at: At<'_>, cx: &mut Reading<'_>) {
    address(entry, at, cx);
    let ports = at.key("ports");
    limits::items(entry.ports.len(), 128, ports, cx);
    for (name, number) in &entry.ports {
        let fits = name.len() < 63 && is_port_key(name);
        let at = ports.key(name);
        cx.require(fits, at, format_args!("port name must be valid: {name:?}"));
        cx.require(
            (1..=65535).contains(number),
            at,
            format_args!("port must be between 1-65535, not {number}"),
        );
    }
    let labels = at.key("labels");
    limits::items(entry.labels.iter().count(), 256, labels, cx);
    for (key, value) in entry.labels.iter() {
        let fits = syntax::is_label_key(key) && syntax::is_label_value(value);
        let message = format_args!("{key}: {value} is not a valid label");
        cx.require(fits, labels.key(key), message);
    }
    limits::length(&entry.network, 2048, at.key("network"), cx);
    limits::length(&entry.locality, 2048, at.key("locality"), cx);
    limits::length(&entry.service_account, 253, at.key("serviceAccount"), cx);
    let mut parts = entry.locality.split('/');
    let fits =
        entry.locality.is_empty() || (parts.clone().count() <= 3 && !parts.any(str::is_empty));
    let message = format_args!("{:?} is not region/zone/subzone", entry.locality);
    cx.require(fits, at.key("locality"), message);
}

fn address(entry: &WorkloadEntry, at: At<'_>, cx: &mut Reading<'_>) {
    let text = &*entry.address;
    let at_address = at.key("address");
    limits::length(text, 256, at_address, cx);
    let Some(path) = text.strip_prefix("unix://") else {
        let fits = text.is_empty()
            || entry.ip().is_some()
            || (syntax::is_host(text) && !text.starts_with('*'));
        let message =
            format_args!("endpoint address {text:?} is not a valid FQDN or an IP address");
        cx.require(fits, at_address, message);
        return;
    };
    let message = "UDS must be an absolute path or abstract socket";
    cx.require(path.starts_with(['/', '@']), at_address, message);
    cx.require(!path.ends_with('/'), at_address, "UDS may not be a dir");
    let message =
        format_args!("UDS may not include ports: unix endpoint {text} must not include ports");
    cx.require(entry.ports.is_empty(), at.key("ports"), message);
}

/// Letters, digits and inner `-`.
fn is_port_key(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}
