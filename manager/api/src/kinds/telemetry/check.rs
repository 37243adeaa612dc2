//! Istio's verdicts on a `Telemetry` (`ValidateTelemetry` of istio/istio).

use super::{CustomTag, Metrics, ProviderRef, TagOperation, Telemetry, Tracing};
use crate::{cel, decode::Reading, path::At};

pub(super) fn telemetry(telemetry: &Telemetry, at: At<'_>, cx: &mut Reading<'_>) {
    let list = at.key("tracing");
    if telemetry.tracing.len() > 1 {
        cx.warn(list, "multiple tracing is not currently supported");
    }
    for (index, tracing) in telemetry.tracing.iter().enumerate() {
        self::tracing(tracing, list.index(index), cx);
    }
    let list = at.key("metrics");
    for (index, metrics) in telemetry.metrics.iter().enumerate() {
        self::metrics(metrics, list.index(index), cx);
    }
    let list = at.key("accessLogging");
    for (index, logging) in telemetry.access_logging.iter().enumerate() {
        let at = list.index(index);
        providers(&logging.providers, at.key("providers"), cx);
        if let Some(filter) = &logging.filter {
            let at = at.key("filter");
            expression(&filter.expression, at.key("expression"), cx);
        }
    }
}

fn providers(written: &[ProviderRef], list: At<'_>, cx: &mut Reading<'_>) {
    for (index, provider) in written.iter().enumerate() {
        let at = list.index(index);
        cx.require(
            !provider.name.is_empty(),
            at.key("name"),
            "providers need a name",
        );
    }
}

fn expression(text: &str, at: At<'_>, cx: &mut Reading<'_>) {
    if let Err(fault) = cel::check(text) {
        cx.reject(at, format_args!("invalid CEL expression {text:?}: {fault}"));
    }
}

fn tracing(tracing: &Tracing, at: At<'_>, cx: &mut Reading<'_>) {
    providers(&tracing.providers, at.key("providers"), cx);
    if tracing.providers.len() > 1 {
        let message = "multiple providers is not currently supported";
        cx.warn(at.key("providers"), message);
    }
    for (name, tag) in &tracing.custom_tags {
        let at = at.key("customTags");
        cx.require(!name.is_empty(), at, "tag name may not be empty");
        custom_tag(name, tag, at.key(name), cx);
    }
}

fn custom_tag(name: &str, tag: &CustomTag, at: At<'_>, cx: &mut Reading<'_>) {
    let sources = [
        (
            "literal",
            tag.literal.as_ref().map(|tag| &tag.value),
            "value",
        ),
        (
            "environment",
            tag.environment.as_ref().map(|tag| &tag.name),
            "name",
        ),
        ("header", tag.header.as_ref().map(|tag| &tag.name), "name"),
        (
            "formatter",
            tag.formatter.as_ref().map(|tag| &tag.value),
            "value",
        ),
    ];
    let count = sources
        .iter()
        .filter(|(_, source, _)| source.is_some())
        .count();
    let message =
        format_args!("tag {name:?} needs one of literal, environment, header and formatter");
    cx.require(count == 1, at, message);
    for (field, source, inner) in sources {
        let Some(text) = source else { continue };
        let at = at.key(field);
        let message = format_args!("{field} tag {inner} may not be empty");
        cx.require(!text.is_empty(), at.key(inner), message);
    }
}

fn metrics(metrics: &Metrics, at: At<'_>, cx: &mut Reading<'_>) {
    providers(&metrics.providers, at.key("providers"), cx);
    let list = at.key("overrides");
    for (index, change) in metrics.overrides.iter().enumerate() {
        let at = list.index(index);
        let matching = &change.matching;
        if matching.metric.is_some() && matching.custom_metric.is_some() {
            cx.reject(
                at.key("match"),
                "only one of metric and customMetric may be set",
            );
        }
        if matching.custom_metric.as_deref() == Some("") {
            let at = at.key("match");
            cx.reject(at.key("customMetric"), "must not be empty");
        }
        for (tag, change) in &change.tag_overrides {
            let at = at.key("tagOverrides");
            let at = at.key(tag);
            match (change.operation, change.value.as_deref()) {
                (TagOperation::Upsert, None | Some("")) => {
                    cx.reject(at, "value must be set when operation is UPSERT");
                }
                (TagOperation::Upsert, Some(text)) => expression(text, at.key("value"), cx),
                (TagOperation::Remove, Some(_)) => {
                    cx.reject(at, "value must not be set when operation is REMOVE");
                }
                (TagOperation::Remove, None) => {}
            }
        }
    }
}
