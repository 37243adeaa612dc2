//! Annotations: IST0108.

use weft_model::Severity;

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

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    for key in analysis.store.keys() {
        let Some(object) = analysis.store.object(key) else {
            continue;
        };
        for (key, _) in object.annotations.iter() {
            if !KNOWN.contains(&&**key) {
                let text = format!("Unknown annotation: {key}");
                analysis.say(Severity::Warning, "IST0108", object, text);
            }
        }
    }
}
