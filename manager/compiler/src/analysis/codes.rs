//! All codes: which are looked for, and why the others are not.

use weft_model::Severity;

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

/// Weft's own codes and all of Istio's, in ascending order within each.
pub static CODES: &[Code] = &[
    code(
        "WEFT0001",
        "NotSupported",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "WEFT0002",
        "NotAccepted",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "WEFT0003",
        "InjectionLabelWithoutEffect",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "WEFT0004",
        "UnknownDataplaneMode",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0001",
        "InternalError",
        Severity::Error,
        Coverage::Absent("a fault of the tool itself ends it and is no message"),
    ),
    code(
        "IST0002",
        "Deprecated",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0101",
        "ReferencedResourceNotFound",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0102",
        "NamespaceNotInjected",
        Severity::Info,
        Coverage::Absent(SIDECAR),
    ),
    code(
        "IST0103",
        "PodMissingProxy",
        Severity::Warning,
        Coverage::Absent(
            "a pod has no proxy that could be missing; the label istio.io/dataplane-mode says what is in the mesh",
        ),
    ),
    code(
        "IST0104",
        "GatewayPortNotOnWorkload",
        Severity::Warning,
        Coverage::Absent("retired by Istio, IST0162 says it"),
    ),
    code(
        "IST0105",
        "IstioProxyImageMismatch",
        Severity::Warning,
        Coverage::Absent(RETIRED),
    ),
    code(
        "IST0106",
        "SchemaValidationError",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0107",
        "MisplacedAnnotation",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0108",
        "UnknownAnnotation",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0109",
        "ConflictingMeshGatewayVirtualServiceHosts",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0110",
        "ConflictingSidecarWorkloadSelectors",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0111",
        "MultipleSidecarsWithoutWorkloadSelectors",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0112",
        "VirtualServiceDestinationPortSelectorRequired",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0113",
        "MTLSPolicyConflict",
        Severity::Error,
        Coverage::Absent(UNUSED),
    ),
    code("IST0114", "", Severity::Error, Coverage::Absent(RETIRED)),
    code("IST0115", "", Severity::Error, Coverage::Absent(RETIRED)),
    code(
        "IST0116",
        "DeploymentAssociatedToMultipleServices",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0117",
        "DeploymentRequiresServiceAssociated",
        Severity::Warning,
        Coverage::Absent(RETIRED),
    ),
    code(
        "IST0118",
        "PortNameIsNotUnderNamingConvention",
        Severity::Info,
        Coverage::Checked,
    ),
    code(
        "IST0119",
        "JwtFailureDueToInvalidServicePortPrefix",
        Severity::Warning,
        Coverage::Absent(UNUSED),
    ),
    code("IST0120", "", Severity::Error, Coverage::Absent(RETIRED)),
    code("IST0121", "", Severity::Error, Coverage::Absent(RETIRED)),
    code(
        "IST0122",
        "InvalidRegexp",
        Severity::Warning,
        Coverage::Absent("validation says it, as IST0106"),
    ),
    code(
        "IST0123",
        "NamespaceMultipleInjectionLabels",
        Severity::Warning,
        Coverage::Checked,
    ),
    code("IST0124", "", Severity::Error, Coverage::Absent(RETIRED)),
    code(
        "IST0125",
        "InvalidAnnotation",
        Severity::Warning,
        Coverage::Absent("only annotations that configure sidecars have their values checked"),
    ),
    code(
        "IST0126",
        "UnknownMeshNetworksServiceRegistry",
        Severity::Error,
        Coverage::Absent("mesh networks are not read"),
    ),
    code(
        "IST0127",
        "NoMatchingWorkloadsFound",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0128",
        "NoServerCertificateVerificationDestinationLevel",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0129",
        "NoServerCertificateVerificationPortLevel",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0130",
        "VirtualServiceUnreachableRule",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0131",
        "VirtualServiceIneffectiveMatch",
        Severity::Info,
        Coverage::Checked,
    ),
    code(
        "IST0132",
        "VirtualServiceHostNotFoundInGateway",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0133",
        "SchemaWarning",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0134",
        "ServiceEntryAddressesRequired",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0135",
        "DeprecatedAnnotation",
        Severity::Info,
        Coverage::Checked,
    ),
    code(
        "IST0136",
        "AlphaAnnotation",
        Severity::Info,
        Coverage::Absent(UNUSED),
    ),
    code(
        "IST0137",
        "DeploymentConflictingPorts",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0138",
        "GatewayDuplicateCertificate",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0139",
        "InvalidWebhook",
        Severity::Error,
        Coverage::Absent("there are no webhooks of the mesh in the files"),
    ),
    code(
        "IST0140",
        "IngressRouteRulesNotAffected",
        Severity::Warning,
        Coverage::Absent(UNUSED),
    ),
    code(
        "IST0141",
        "InsufficientPermissions",
        Severity::Error,
        Coverage::Absent(CLUSTER),
    ),
    code(
        "IST0142",
        "UnsupportedKubernetesVersion",
        Severity::Error,
        Coverage::Absent(CLUSTER),
    ),
    code(
        "IST0143",
        "LocalhostListener",
        Severity::Error,
        Coverage::Absent("needs the sockets of running pods"),
    ),
    code(
        "IST0144",
        "InvalidApplicationUID",
        Severity::Warning,
        Coverage::Absent("no user is reserved: there is no sidecar that runs as 1337"),
    ),
    code(
        "IST0145",
        "ConflictingGateways",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0146",
        "ImageAutoWithoutInjectionWarning",
        Severity::Warning,
        Coverage::Absent(SIDECAR),
    ),
    code(
        "IST0147",
        "ImageAutoWithoutInjectionError",
        Severity::Error,
        Coverage::Absent(SIDECAR),
    ),
    code(
        "IST0148",
        "NamespaceInjectionEnabledByDefault",
        Severity::Info,
        Coverage::Absent(SIDECAR),
    ),
    code(
        "IST0149",
        "JwtClaimBasedRoutingWithoutRequestAuthN",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0150",
        "ExternalNameServiceTypeInvalidPortName",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0151",
        "EnvoyFilterUsesRelativeOperation",
        Severity::Warning,
        Coverage::Absent(ENVOY),
    ),
    code(
        "IST0152",
        "EnvoyFilterUsesReplaceOperationIncorrectly",
        Severity::Error,
        Coverage::Absent(ENVOY),
    ),
    code(
        "IST0153",
        "EnvoyFilterUsesAddOperationIncorrectly",
        Severity::Error,
        Coverage::Absent(ENVOY),
    ),
    code(
        "IST0154",
        "EnvoyFilterUsesRemoveOperationIncorrectly",
        Severity::Error,
        Coverage::Absent(ENVOY),
    ),
    code(
        "IST0155",
        "EnvoyFilterUsesRelativeOperationWithProxyVersion",
        Severity::Warning,
        Coverage::Absent(ENVOY),
    ),
    code(
        "IST0156",
        "UnsupportedGatewayAPIVersion",
        Severity::Error,
        Coverage::Absent(CLUSTER),
    ),
    code(
        "IST0157",
        "InvalidTelemetryProvider",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0158",
        "PodsIstioProxyImageMismatchInNamespace",
        Severity::Warning,
        Coverage::Absent(SIDECAR),
    ),
    code(
        "IST0159",
        "ConflictingTelemetryWorkloadSelectors",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0160",
        "MultipleTelemetriesWithoutWorkloadSelectors",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0161",
        "InvalidGatewayCredential",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0162",
        "GatewayPortNotDefinedOnService",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0163",
        "InvalidExternalControlPlaneConfig",
        Severity::Warning,
        Coverage::Absent(EXTERNAL),
    ),
    code(
        "IST0164",
        "ExternalControlPlaneAddressIsNotAHostname",
        Severity::Info,
        Coverage::Absent(EXTERNAL),
    ),
    code(
        "IST0165",
        "ReferencedInternalGateway",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0166",
        "IneffectiveSelector",
        Severity::Warning,
        Coverage::Checked,
    ),
    code(
        "IST0167",
        "IneffectivePolicy",
        Severity::Warning,
        Coverage::Absent("WEFT0002 says what is not in force"),
    ),
    code(
        "IST0168",
        "UnknownUpgradeCompatibility",
        Severity::Warning,
        Coverage::Absent(CLUSTER),
    ),
    code(
        "IST0169",
        "UpdateIncompatibility",
        Severity::Warning,
        Coverage::Absent(CLUSTER),
    ),
    code(
        "IST0170",
        "MultiClusterInconsistentService",
        Severity::Warning,
        Coverage::Absent("one cluster is looked at"),
    ),
    code(
        "IST0171",
        "NegativeConditionStatus",
        Severity::Warning,
        Coverage::Absent(
            "the status of these kinds is not read; weft convert --to status says what it would be",
        ),
    ),
    code(
        "IST0173",
        "DestinationRuleSubsetNotSelectPods",
        Severity::Error,
        Coverage::Checked,
    ),
    code(
        "IST0174",
        "UnknownDestinationRuleHost",
        Severity::Warning,
        Coverage::Checked,
    ),
];

/// The level of a code's messages.
pub(super) fn severity(code: &str) -> Severity {
    let known = CODES.iter().find(|known| known.code == code);
    debug_assert!(known.is_some(), "{code} is not in the table");
    known.map_or(Severity::Error, |known| known.severity)
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
