//! Istio `WorkloadGroup`.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Labels, Resource,
    decode::Reading,
    kinds::workload_entry::{self, WorkloadEntry},
    limits,
    object::Metadata,
    path::At,
    proto, syntax,
};

/// A template of workloads (`networking/v1/workload_group.proto` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WorkloadGroup {
    /// `metadata` of its entries.
    pub metadata: GroupMetadata,
    /// `template`.
    pub template: Option<WorkloadEntry>,
    /// `probe`.
    pub probe: Option<Probe>,
}

/// Labels and annotations of the entries.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GroupMetadata {
    /// `labels`.
    #[serde(deserialize_with = "proto::labels")]
    pub labels: Labels,
    /// `annotations`.
    pub annotations: BTreeMap<Arc<str>, Arc<str>>,
}

/// How readiness is found out (`ReadinessProbe`). Seconds; 0 means the default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Probe {
    /// `initialDelaySeconds`.
    pub initial_delay_seconds: i32,
    /// `timeoutSeconds`.
    pub timeout_seconds: i32,
    /// `periodSeconds`.
    pub period_seconds: i32,
    /// `successThreshold`.
    pub success_threshold: i32,
    /// `failureThreshold`.
    pub failure_threshold: i32,
    /// `httpGet`.
    pub http_get: Option<HttpGet>,
    /// `tcpSocket`.
    pub tcp_socket: Option<TcpSocket>,
    /// `exec`.
    pub exec: Option<Exec>,
    /// `grpc`.
    pub grpc: Option<GrpcCheck>,
}

/// A request that must succeed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpGet {
    /// `path`.
    pub path: Arc<str>,
    /// `port`.
    pub port: u32,
    /// `host`.
    pub host: Arc<str>,
    /// `scheme`: `HTTP` or `HTTPS`.
    pub scheme: Arc<str>,
    /// `httpHeaders`.
    pub http_headers: Vec<HttpHeader>,
}

/// A header of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HttpHeader {
    /// `name`.
    pub name: Arc<str>,
    /// `value`.
    pub value: Arc<str>,
}

/// A connection that must succeed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TcpSocket {
    /// `host`.
    pub host: Arc<str>,
    /// `port`.
    pub port: u32,
}

/// A command that must succeed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Exec {
    /// `command`.
    pub command: Vec<Arc<str>>,
}

/// A gRPC health check that must succeed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrpcCheck {
    /// `port`.
    pub port: u32,
    /// `service`.
    pub service: Arc<str>,
}

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let group: WorkloadGroup = cx.message(object, "spec")?;
    let at = At::top("spec");
    let labels = at.key("metadata");
    let labels = labels.key("labels");
    limits::items(group.metadata.labels.iter().count(), 256, labels, cx);
    for (key, value) in group.metadata.labels.iter() {
        let fits = syntax::is_label_key(key) && syntax::is_label_value(value);
        cx.require(
            fits,
            labels.key(key),
            format_args!("invalid labels: {key}: {value} is not a valid label"),
        );
    }
    let annotations = at.key("metadata");
    let annotations = annotations.key("annotations");
    limits::items(group.metadata.annotations.len(), 256, annotations, cx);
    match &group.template {
        None => cx.reject(at.key("template"), "template is required"),
        Some(template) => workload_entry::check(template, at.key("template"), cx),
    }
    if let Some(probe) = &group.probe {
        check_probe(probe, at.key("probe"), cx);
    }
    cx.not_supported(
        at,
        "workload groups are read, but workloads cannot join yet",
    );
    Some(Resource::WorkloadGroup(Box::new(group)))
}

fn check_probe(probe: &Probe, at: At<'_>, cx: &mut Reading<'_>) {
    for (number, field) in [
        (probe.initial_delay_seconds, "initialDelaySeconds"),
        (probe.timeout_seconds, "timeoutSeconds"),
        (probe.period_seconds, "periodSeconds"),
        (probe.success_threshold, "successThreshold"),
        (probe.failure_threshold, "failureThreshold"),
    ] {
        let message = format_args!("{field} must be non-negative");
        cx.require(number >= 0, at.key(field), message);
    }
    let methods = [
        probe.http_get.is_some(),
        probe.tcp_socket.is_some(),
        probe.exec.is_some(),
        probe.grpc.is_some(),
    ];
    let count = methods.iter().filter(|is_set| **is_set).count();
    let message = "exactly one health check method must be set: httpGet, tcpSocket, exec or grpc";
    cx.require(count == 1, at, message);
    if let Some(get) = &probe.http_get {
        let at = at.key("httpGet");
        cx.port(at.key("port"), i64::from(get.port));
        let fits = matches!(&*get.scheme, "" | "HTTP" | "HTTPS");
        let message = "httpGet.scheme must be one of \"HTTPS\", \"HTTP\"";
        cx.require(fits, at.key("scheme"), message);
        let list = at.key("httpHeaders");
        for (index, header) in get.http_headers.iter().enumerate() {
            let fits = !header.name.is_empty()
                && header
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            let at = list.index(index);
            let message = format_args!("header name {:?} is not a valid header name", header.name);
            cx.require(fits, at.key("name"), message);
        }
    }
    if let Some(socket) = &probe.tcp_socket {
        let at = at.key("tcpSocket");
        cx.port(at.key("port"), i64::from(socket.port));
    }
    if let Some(check) = &probe.grpc {
        let at = at.key("grpc");
        cx.port(at.key("port"), i64::from(check.port));
    }
    if let Some(exec) = &probe.exec {
        let at = at.key("exec");
        let fits = !exec.command.is_empty() && exec.command.iter().all(|part| !part.is_empty());
        cx.require(fits, at.key("command"), "exec.command is required");
    }
}
