//! Features of the Gateway API that routes and Gateways may use.

use weft_model::status::Feature;

/// Names as the conformance suite has them, ascending.
const SUPPORTED: &[&str] = &[
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "Gateway",
    "GatewayHTTPListenerIsolation",
    "GatewayPort8080",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
    "Mesh",
    "MeshConsumerRoute",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteNamedRouteRule",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
    "UDPRoute",
];

pub(super) fn supported() -> Vec<Feature> {
    SUPPORTED.iter().map(|name| Feature { name }).collect()
}

#[cfg(test)]
mod tests {
    /// What the conformance suite knows beyond the kinds, by what a name begins with.
    const EXTENDED: &[(&str, &str)] = &[
        (
            "Gateway",
            "AddressEmpty BackendClientCertificate FrontendClientCertificateValidation \
             FrontendClientCertificateValidationInsecureFallback HTTPListenerIsolation \
             HTTPSListenerDetectMisdirectedRequests InfrastructurePropagation ListenerSet Port8080 \
             StaticAddresses",
        ),
        ("GRPCRoute", "NamedRouteRule"),
        (
            "HTTPRoute",
            "303RedirectStatusCode 307RedirectStatusCode 308RedirectStatusCode BackendProtocolH2C \
             BackendProtocolWebSocket BackendRequestHeaderModification BackendTimeout CORS \
             DestinationPortMatching HostRewrite MethodMatching NamedRouteRule ParentRefPort \
             PathRedirect PathRewrite PortRedirect QueryParamMatching RequestMirror \
             RequestMultipleMirrors RequestPercentageMirror RequestTimeout \
             ResponseHeaderModification SchemeRedirect",
        ),
        ("Mesh", "ClusterIPMatching ConsumerRoute"),
        (
            "MeshHTTPRoute",
            "BackendRequestHeaderModification NamedRouteRule QueryParamMatching RedirectPath \
             RedirectPort RewritePath SchemeRedirect",
        ),
        ("TLSRoute", "ModeMixed ModeTerminate"),
    ];

    const KINDS: &str = "BackendTLSPolicy Gateway GRPCRoute HTTPRoute Mesh ReferenceGrant TCPRoute \
                         TLSRoute UDPRoute";

    #[test]
    fn features_ascend_and_are_of_the_conformance_suite() {
        assert!(super::SUPPORTED.is_sorted_by(|a, b| a < b));
        let is_known = |name: &&&str| {
            let mut extended = EXTENDED.iter();
            KINDS.split(' ').any(|kind| kind == **name)
                || extended.any(|(start, ends)| {
                    let end = name.strip_prefix(start);
                    end.is_some_and(|end| ends.split(' ').any(|known| known == end))
                })
        };
        let unknown: Vec<_> = super::SUPPORTED
            .iter()
            .filter(|name| !is_known(name))
            .collect();
        assert!(unknown.is_empty(), "no such features: {unknown:?}");
    }
}
