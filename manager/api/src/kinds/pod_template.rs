//! Kubernetes' `Deployment`, `StatefulSet` and `DaemonSet`: what their pods are.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::pod::{self, Pod};
use crate::{
    Labels, Resource,
    decode::Reading,
    object::{self, Metadata},
    path::At,
};

/// Pods as they will be made. They have no address and no node yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodTemplate {
    /// `spec.template.metadata.labels`.
    pub labels: Labels,
    /// `spec.template.spec`, as far as it says who they are.
    pub pod: Pod,
}

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    const SPEC: At<'_> = At::top("spec");
    let template = object.get("spec").and_then(|spec| spec.get("template"));
    let at = SPEC.key("template");
    let written: PodTemplateSpec = match template {
        Some(template) if !template.is_null() => cx.embedded(template, at)?,
        _ => PodTemplateSpec::default(),
    };
    let metadata = written.metadata.unwrap_or_default();
    let labels = object::labels(metadata.labels, at.key("metadata").key("labels"), cx);
    let pod = pod::template(&written.spec.unwrap_or_default(), at.key("spec"), cx);
    Some(Resource::PodTemplate(Box::new(PodTemplate { labels, pod })))
}
