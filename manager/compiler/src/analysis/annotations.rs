//! Annotations: IST0107, IST0108, IST0135.

use weft_api::{Kind, Object};

use super::Analysis;

/// Annotations of Istio that are not on this list are misspelt, or nobody reads them.
const KNOWN: [&str; 74] = [
    "ambient.istio.io/bypass-inbound-capture",
    "ambient.istio.io/dns-capture",
    "ambient.istio.io/redirection",
    "ambient.istio.io/waypoint-inbound-binding",
    "galley.istio.io/analyze-suppress",
    "inject.istio.io/templates",
    "install.operator.istio.io/chart-owner",
    "install.operator.istio.io/owner-generation",
    "install.operator.istio.io/version",
    "internal.istio.io/listenerset-parent",
    "internal.istio.io/parents",
    "internal.istio.io/route-semantics",
    "internal.istio.io/service-alias",
    "istio.io/autoRegistrationGroup",
    "istio.io/connectedAt",
    "istio.io/dry-run",
    "istio.io/rev",
    "istio.io/use-waypoint",
    "istio.io/workloadController",
    "kubernetes.istio.io/kubeconfig",
    "kubernetes.istio.io/managed-by",
    "networking.istio.io/address-type",
    "networking.istio.io/exportTo",
    "networking.istio.io/service-type",
    "networking.istio.io/traffic-distribution",
    "prometheus.istio.io/merge-metrics",
    "proxy.istio.io/config",
    "proxy.istio.io/overrides",
    "readiness.status.sidecar.istio.io/applicationPorts",
    "readiness.status.sidecar.istio.io/failureThreshold",
    "readiness.status.sidecar.istio.io/initialDelaySeconds",
    "readiness.status.sidecar.istio.io/periodSeconds",
    "security.istio.io/autoMTLS",
    "sidecar.istio.io/agentLogLevel",
    "sidecar.istio.io/bootstrapOverride",
    "sidecar.istio.io/componentLogLevel",
    "sidecar.istio.io/controlPlaneAuthPolicy",
    "sidecar.istio.io/discoveryAddress",
    "sidecar.istio.io/enableCoreDump",
    "sidecar.istio.io/extraStatTags",
    "sidecar.istio.io/inject",
    "sidecar.istio.io/interceptionMode",
    "sidecar.istio.io/logLevel",
    "sidecar.istio.io/nativeSidecar",
    "sidecar.istio.io/proxyCPU",
    "sidecar.istio.io/proxyCPULimit",
    "sidecar.istio.io/proxyImage",
    "sidecar.istio.io/proxyImageType",
    "sidecar.istio.io/proxyMemory",
    "sidecar.istio.io/proxyMemoryLimit",
    "sidecar.istio.io/rewriteAppHTTPProbers",
    "sidecar.istio.io/statsCompression",
    "sidecar.istio.io/statsHistogramBuckets",
    "sidecar.istio.io/statsInclusionPrefixes",
    "sidecar.istio.io/statsInclusionRegexps",
    "sidecar.istio.io/statsInclusionSuffixes",
    "sidecar.istio.io/status",
    "sidecar.istio.io/userVolume",
    "sidecar.istio.io/userVolumeMount",
    "status.sidecar.istio.io/port",
    "topology.istio.io/controlPlaneClusters",
    "traffic.istio.io/nodeSelector",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/excludeInterfaces",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    "traffic.sidecar.istio.io/includeOutboundPorts",
    "traffic.sidecar.istio.io/kubevirtInterfaces",
    "istio.io/reroute-virtual-interfaces",
    "traffic.istio.io/excludeOutboundIPRanges",
    "traffic.istio.io/excludeOutboundPorts",
    "traffic.istio.io/excludeInboundPorts",
];

const INJECT: &str = "sidecar.istio.io/inject";

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let store = analysis.store;
    for object in store.keys().filter_map(|key| store.object(key)) {
        for (key, _) in object.annotations.iter() {
            annotation(analysis, object, key);
        }
    }
}

fn annotation(analysis: &mut Analysis<'_>, object: &Object, key: &str) {
    if !KNOWN.contains(&key) {
        analysis.say("IST0108", object, format!("Unknown annotation: {key}"));
        return;
    }
    // Istio looks at the kinds of Kubernetes only. Annotations of pods are not kept.
    let kind = object.key.kind;
    if !matches!(kind, Kind::Namespace | Kind::Service | Kind::Deployment) {
        return;
    }
    if key == INJECT && object.labels.value(INJECT).is_none() {
        let text = format!(
            "Annotation {key:?} has been deprecated in favor of the {INJECT:?} label and may not work \
             in future Istio versions."
        );
        analysis.say("IST0135", object, text);
    }
    if let Some(kinds) = belongs_to(key)
        && !kinds.contains(&object.key.kind.name())
    {
        let kinds = kinds.join(", ");
        let text = format!("Misplaced annotation: {key} can only be applied to {kinds}");
        analysis.say("IST0107", object, text);
    }
}

/// The kinds that an annotation is for; none when it is for any.
fn belongs_to(key: &str) -> Option<&'static [&'static str]> {
    let domain = key.split('/').next().unwrap_or("");
    Some(match (domain, key) {
        (_, "istio.io/dry-run") => &["AuthorizationPolicy"],
        (_, "topology.istio.io/controlPlaneClusters") => &["Namespace"],
        (_, "networking.istio.io/exportTo" | "traffic.istio.io/nodeSelector") => &["Service"],
        (_, "networking.istio.io/address-type" | "networking.istio.io/service-type") => {
            &["Gateway"]
        }
        (_, "ambient.istio.io/waypoint-inbound-binding") => &["GatewayClass"],
        (
            "ambient.istio.io"
            | "inject.istio.io"
            | "prometheus.istio.io"
            | "proxy.istio.io"
            | "readiness.status.sidecar.istio.io"
            | "sidecar.istio.io"
            | "status.sidecar.istio.io"
            | "traffic.istio.io"
            | "traffic.sidecar.istio.io",
            _,
        ) => &["Pod"],
        _ => return None,
    })
}
