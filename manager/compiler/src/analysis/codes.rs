//! All codes: which are looked for, and why the others are not.

use weft_model::Severity;

use Coverage::{Absent, Checked};
use Severity::{Error, Info, Warning};

/// A code of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code {
    /// The code, such as `IST0101`.
    pub code: &'static str,
    /// Istio's name of the message; empty for codes that Istio retired before they had one.
    pub name: &'static str,
    /// Level of its messages; of WEFT0001 and WEFT0002, the usual one.
    pub severity: Severity,
    /// Whether it is looked for.
    pub coverage: Coverage,
}

/// Whether a code is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coverage {
    /// It is.
    Checked,
    /// It is not, for this reason.
    Absent(&'static str),
}

const SIDECAR: &str = "sidecars only: nothing is injected";
const ENVOY: &str = "Envoy only: an EnvoyFilter has no effect, which WEFT0001 says";
const CLUSTER: &str = "about a cluster before an installation or upgrade of Istio, not about files";
const EXTERNAL: &str = "there is no external control plane";
const RETIRED: &str = "retired by Istio";
const UNUSED: &str = "Istio has the code, but none of its analyzers says it";

const fn code(
    code: &'static str,
    name: &'static str,
    severity: Severity,
    coverage: Coverage,
) -> Code {
    Code {
        code,
        name,
        severity,
        coverage,
    }
}

/// Weft's own codes and Istio's up to IST0177, in ascending order within each.
#[rustfmt::skip]
pub static CODES: &[Code] = &[
    code("WEFT0001", "NotSupported", Warning, Checked),
    code("WEFT0002", "NotAccepted", Error, Checked),
    code("WEFT0003", "InjectionLabelWithoutEffect", Warning, Checked),
    code("WEFT0004", "UnknownDataplaneMode", Warning, Checked),
    code("IST0001", "InternalError", Error,
        Absent("a fault of the tool itself ends it and is no message")),
    code("IST0002", "Deprecated", Warning, Checked),
    code("IST0101", "ReferencedResourceNotFound", Error, Checked),
    code("IST0102", "NamespaceNotInjected", Info, Absent(SIDECAR)),
    code("IST0103", "PodMissingProxy", Warning,
        Absent("a pod has no proxy that could be missing; the label istio.io/dataplane-mode says what is in the mesh")),
    code("IST0104", "GatewayPortNotOnWorkload", Warning,
        Absent("retired by Istio, IST0162 says it")),
    code("IST0105", "IstioProxyImageMismatch", Warning, Absent(RETIRED)),
    code("IST0106", "SchemaValidationError", Error, Checked),
    code("IST0107", "MisplacedAnnotation", Warning, Checked),
    code("IST0108", "UnknownAnnotation", Warning, Checked),
    code("IST0109", "ConflictingMeshGatewayVirtualServiceHosts", Error, Checked),
    code("IST0110", "ConflictingSidecarWorkloadSelectors", Error, Checked),
    code("IST0111", "MultipleSidecarsWithoutWorkloadSelectors", Error, Checked),
    code("IST0112", "VirtualServiceDestinationPortSelectorRequired", Error, Checked),
    code("IST0113", "MTLSPolicyConflict", Error, Absent(UNUSED)),
    code("IST0114", "", Error, Absent(RETIRED)),
    code("IST0115", "", Error, Absent(RETIRED)),
    code("IST0116", "DeploymentAssociatedToMultipleServices", Warning, Checked),
    code("IST0117", "DeploymentRequiresServiceAssociated", Warning, Absent(RETIRED)),
    code("IST0118", "PortNameIsNotUnderNamingConvention", Info, Checked),
    code("IST0119", "JwtFailureDueToInvalidServicePortPrefix", Warning, Absent(UNUSED)),
    code("IST0120", "", Error, Absent(RETIRED)),
    code("IST0121", "", Error, Absent(RETIRED)),
    code("IST0122", "InvalidRegexp", Warning, Absent("validation says it, as IST0106")),
    code("IST0123", "NamespaceMultipleInjectionLabels", Warning, Checked),
    code("IST0124", "", Error, Absent(RETIRED)),
    code("IST0125", "InvalidAnnotation", Warning,
        Absent("only annotations that configure sidecars have their values checked")),
    code("IST0126", "UnknownMeshNetworksServiceRegistry", Error,
        Absent("mesh networks are not read")),
    code("IST0127", "NoMatchingWorkloadsFound", Warning, Checked),
    code("IST0128", "NoServerCertificateVerificationDestinationLevel", Warning, Checked),
    code("IST0129", "NoServerCertificateVerificationPortLevel", Warning, Checked),
    code("IST0130", "VirtualServiceUnreachableRule", Warning, Checked),
    code("IST0131", "VirtualServiceIneffectiveMatch", Info, Checked),
    code("IST0132", "VirtualServiceHostNotFoundInGateway", Warning, Checked),
    code("IST0133", "SchemaWarning", Warning, Checked),
    code("IST0134", "ServiceEntryAddressesRequired", Warning, Checked),
    code("IST0135", "DeprecatedAnnotation", Info, Checked),
    code("IST0136", "AlphaAnnotation", Info, Absent(UNUSED)),
    code("IST0137", "DeploymentConflictingPorts", Warning, Checked),
    code("IST0138", "GatewayDuplicateCertificate", Warning, Checked),
    code("IST0139", "InvalidWebhook", Error,
        Absent("there are no webhooks of the mesh in the files")),
    code("IST0140", "IngressRouteRulesNotAffected", Warning, Checked),
    code("IST0141", "InsufficientPermissions", Error, Absent(CLUSTER)),
    code("IST0142", "UnsupportedKubernetesVersion", Error, Absent(CLUSTER)),
    code("IST0143", "LocalhostListener", Error, Absent("needs the sockets of running pods")),
    code("IST0144", "InvalidApplicationUID", Warning,
        Absent("no user is reserved: there is no sidecar that runs as 1337")),
    code("IST0145", "ConflictingGateways", Error, Checked),
    code("IST0146", "ImageAutoWithoutInjectionWarning", Warning, Absent(SIDECAR)),
    code("IST0147", "ImageAutoWithoutInjectionError", Error, Absent(SIDECAR)),
    code("IST0148", "NamespaceInjectionEnabledByDefault", Info, Absent(SIDECAR)),
    code("IST0149", "JwtClaimBasedRoutingWithoutRequestAuthN", Error, Checked),
    code("IST0150", "ExternalNameServiceTypeInvalidPortName", Warning, Checked),
    code("IST0151", "EnvoyFilterUsesRelativeOperation", Warning, Absent(ENVOY)),
    code("IST0152", "EnvoyFilterUsesReplaceOperationIncorrectly", Error, Absent(ENVOY)),
    code("IST0153", "EnvoyFilterUsesAddOperationIncorrectly", Error, Absent(ENVOY)),
    code("IST0154", "EnvoyFilterUsesRemoveOperationIncorrectly", Error, Absent(ENVOY)),
    code("IST0155", "EnvoyFilterUsesRelativeOperationWithProxyVersion", Warning, Absent(ENVOY)),
    code("IST0156", "UnsupportedGatewayAPIVersion", Error, Absent(CLUSTER)),
    code("IST0157", "InvalidTelemetryProvider", Warning, Checked),
    code("IST0158", "PodsIstioProxyImageMismatchInNamespace", Warning, Absent(SIDECAR)),
    code("IST0159", "ConflictingTelemetryWorkloadSelectors", Error, Checked),
    code("IST0160", "MultipleTelemetriesWithoutWorkloadSelectors", Error, Checked),
    code("IST0161", "InvalidGatewayCredential", Error, Checked),
    code("IST0162", "GatewayPortNotDefinedOnService", Warning, Checked),
    code("IST0163", "InvalidExternalControlPlaneConfig", Warning, Absent(EXTERNAL)),
    code("IST0164", "ExternalControlPlaneAddressIsNotAHostname", Info, Absent(EXTERNAL)),
    code("IST0165", "ReferencedInternalGateway", Warning, Checked),
    code("IST0166", "IneffectiveSelector", Warning, Checked),
    code("IST0167", "IneffectivePolicy", Warning, Absent("about Sidecars in ambient namespaces: WEFT0001 says of each that it has no effect")),
    code("IST0168", "UnknownUpgradeCompatibility", Warning, Absent(CLUSTER)),
    code("IST0169", "UpdateIncompatibility", Warning, Absent(CLUSTER)),
    code("IST0170", "MultiClusterInconsistentService", Warning, Absent("one cluster is looked at")),
    code("IST0171", "NegativeConditionStatus", Warning,
        Absent("the status of these kinds is not read; weft convert --to status says what it would be")),
    code("IST0173", "DestinationRuleSubsetNotSelectPods", Error, Checked),
    code("IST0174", "UnknownDestinationRuleHost", Warning, Checked),
    code("IST0175", "JwksUriFetchUnrestricted", Warning,
        Absent("keys of a jwksUri are not fetched; about how istiod is installed")),
    code("IST0176", "GatewayAPICRDVersionBelowMinimum", Warning, Absent(CLUSTER)),
    code("IST0177", "ConflictingServiceEntryProtocol", Warning, Checked),
];

/// The level of a code's messages.
pub(super) fn severity(code: &str) -> Severity {
    let known = CODES.iter().find(|known| known.code == code);
    debug_assert!(known.is_some(), "{code} is not in the table");
    known.map_or(Error, |known| known.severity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_once_and_in_order() {
        let istio = CODES.iter().filter(|code| code.code.starts_with("IST"));
        let istio: Vec<&str> = istio.map(|code| code.code).collect();
        assert!(istio.is_sorted_by(|a, b| a < b));
        assert!(istio.len() > 70);
    }
}
