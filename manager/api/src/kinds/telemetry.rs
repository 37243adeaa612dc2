//! Istio `Telemetry`.

mod check;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::scope::{self, WrittenSelector, WrittenTarget};
use crate::{
    PolicyScope, Resource,
    decode::Reading,
    object::Metadata,
    path::At,
    proto::{self, Percent},
};

/// What is reported about traffic (`telemetry/v1alpha1/telemetry.proto` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Telemetry {
    /// `selector` or `targetRefs`.
    pub scope: PolicyScope,
    /// `tracing`.
    pub tracing: Vec<Tracing>,
    /// `metrics`.
    pub metrics: Vec<Metrics>,
    /// `accessLogging`.
    pub access_logging: Vec<AccessLogging>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    selector: Option<WrittenSelector>,
    target_ref: Option<WrittenTarget>,
    target_refs: Option<Vec<WrittenTarget>>,
    tracing: Vec<Tracing>,
    metrics: Vec<Metrics>,
    access_logging: Vec<AccessLogging>,
}

/// Which side of a connection is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkloadMode {
    /// Both.
    #[default]
    ClientAndServer,
    /// Where it begins.
    Client,
    /// Where it ends.
    Server,
}

/// A provider of the mesh configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProviderRef {
    /// `name`.
    pub name: Arc<str>,
}

/// A choice of a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SideMatch {
    /// `mode`.
    pub mode: WorkloadMode,
}

/// `tracing[]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tracing {
    /// `match`.
    #[serde(rename = "match")]
    pub matching: SideMatch,
    /// `providers`; empty means the mesh's default.
    pub providers: Vec<ProviderRef>,
    /// `randomSamplingPercentage`; none means inherited.
    #[serde(deserialize_with = "proto::percent_number")]
    pub random_sampling_percentage: Option<Percent>,
    /// `disableSpanReporting`.
    pub disable_span_reporting: Option<bool>,
    /// `disableContextPropagation`.
    pub disable_context_propagation: Option<bool>,
    /// `enableIstioTags`; none means true.
    pub enable_istio_tags: Option<bool>,
    /// `useRequestIdForTraceSampling`; none means true.
    pub use_request_id_for_trace_sampling: Option<bool>,
    /// `customTags` by name.
    pub custom_tags: BTreeMap<Arc<str>, CustomTag>,
}

/// A tag of a span: one of these.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CustomTag {
    /// `literal`.
    pub literal: Option<TagValue>,
    /// `environment`.
    pub environment: Option<TagSource>,
    /// `header`.
    pub header: Option<TagSource>,
    /// `formatter`.
    pub formatter: Option<TagValue>,
}

/// A value that is written down.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TagValue {
    /// `value`.
    pub value: Arc<str>,
}

/// A value that stands elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TagSource {
    /// `name`.
    pub name: Arc<str>,
    /// `defaultValue`; may be empty.
    pub default_value: Arc<str>,
}

/// `metrics[]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metrics {
    /// `providers`; empty means the mesh's default.
    pub providers: Vec<ProviderRef>,
    /// `overrides`, later ones over earlier ones.
    pub overrides: Vec<MetricOverride>,
    /// `reportingInterval`; none means 5 s.
    #[serde(deserialize_with = "proto::duration")]
    pub reporting_interval: Option<Duration>,
}

/// `metrics[].overrides[]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricOverride {
    /// `match`.
    #[serde(rename = "match")]
    pub matching: MetricMatch,
    /// `disabled`.
    pub disabled: Option<bool>,
    /// `tagOverrides` by tag.
    pub tag_overrides: BTreeMap<Arc<str>, TagOverride>,
}

/// Which metric is meant; without names all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricMatch {
    /// `metric`.
    pub metric: Option<Metric>,
    /// `customMetric`.
    pub custom_metric: Option<Arc<str>>,
    /// `mode`.
    pub mode: WorkloadMode,
}

/// Istio's standard metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the variants are the metrics")]
pub enum Metric {
    AllMetrics,
    RequestCount,
    RequestDuration,
    RequestSize,
    ResponseSize,
    TcpOpenedConnections,
    TcpClosedConnections,
    TcpSentBytes,
    TcpReceivedBytes,
    GrpcRequestMessages,
    GrpcResponseMessages,
}

/// What becomes of a tag.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TagOverride {
    /// `operation`.
    pub operation: TagOperation,
    /// `value`: an expression in CEL.
    pub value: Option<Arc<str>>,
}

/// What becomes of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TagOperation {
    /// Set to a value.
    #[default]
    Upsert,
    /// Left out.
    Remove,
}

/// `accessLogging[]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AccessLogging {
    /// `match`.
    #[serde(rename = "match")]
    pub matching: SideMatch,
    /// `providers`; empty means the mesh's default.
    pub providers: Vec<ProviderRef>,
    /// `disabled`.
    pub disabled: Option<bool>,
    /// `filter`.
    pub filter: Option<LogFilter>,
}

/// What is logged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LogFilter {
    /// `expression` in CEL.
    pub expression: Arc<str>,
}

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let written: Written = cx.message(object, "spec")?;
    let at = At::top("spec");
    let telemetry = Telemetry {
        scope: scope::scope(
            written.selector.as_ref(),
            written.target_ref.as_ref(),
            written.target_refs.as_deref(),
            at,
            cx,
        ),
        tracing: written.tracing,
        metrics: written.metrics,
        access_logging: written.access_logging,
    };
    check::telemetry(&telemetry, at, cx);
    for (is_set, field) in [
        (!telemetry.tracing.is_empty(), "tracing"),
        (!telemetry.metrics.is_empty(), "metrics"),
        (!telemetry.access_logging.is_empty(), "accessLogging"),
    ] {
        if is_set {
            cx.not_supported(at.key(field), "is not supported yet");
        }
    }
    Some(Resource::Telemetry(Box::new(telemetry)))
}
