//! What fields mean, where it is not plain from their names, and defaults that no schema has.

use super::Found;
use crate::Kind;

/// What is written down of a field.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) default: Option<&'static str>,
    pub(super) meaning: &'static str,
}

/// What is written down of a field of a kind.
pub(super) fn of(kind: Kind, path: &str) -> Option<Said> {
    let table = TABLE.iter().filter(|(of, _)| of.contains(&kind));
    let mut lines = table.flat_map(|(_, lines)| *lines);
    let (_, default, meaning) = lines.find(|(known, ..)| *known == path)?;
    Some(Said {
        default: (!default.is_empty()).then_some(*default),
        meaning,
    })
}

/// Fields of kinds whose types are Kubernetes' own, of which only these count; and the whole of
/// kinds that are not read.
pub(super) fn by_hand(kind: Kind) -> Vec<Found> {
    let table = TABLE.iter().filter(|(of, _)| of.contains(&kind));
    let lines = table.flat_map(|(_, lines)| *lines);
    let found = lines.map(|(path, ..)| Found {
        path: (*path).to_owned(),
        shape: match path.rsplit('.').next().unwrap_or_default() {
            last if last.ends_with("[]") => "list".to_owned(),
            "spec" | "labels" | "annotations" | "selector" | "data" => "map".to_owned(),
            _ => "any".to_owned(),
        },
        default: None,
    });
    found.collect()
}

/// Everything that is written down.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (Kind, &'static str)> {
    TABLE.iter().flat_map(|(kinds, lines)| {
        let of_kind = |kind| lines.iter().map(move |(path, ..)| (kind, *path));
        kinds.iter().copied().flat_map(of_kind)
    })
}

/// Path, default, meaning.
type Line = (&'static str, &'static str, &'static str);

const SELECTOR: Line = (
    "spec.selector",
    "",
    "workloads it holds for; all of the namespace when absent, all of the mesh in the root namespace",
);
const TARGET_REFS: Line = (
    "spec.targetRefs",
    "",
    "Gateways, GatewayClasses, Services or ServiceEntries it holds for, instead of workloads: `weft run` \
    does not act on that yet",
);
const EXPORT_TO: Line = (
    "spec.exportTo",
    "[\"*\"]",
    "namespaces that see it: `.` its own, `*` all",
);
const PARENTS: Line = (
    "spec.parentRefs",
    "",
    "Gateways or Services that it attaches to",
);
const HOSTNAMES: Line = (
    "spec.hostnames",
    "",
    "hosts it is for; those of the listener when absent",
);

/// What is known, by kinds.
#[rustfmt::skip]
static TABLE: &[(&[Kind], &[Line])] = &[
    (&[Kind::Namespace], &[
        ("metadata.labels", "",
            "listeners with `from: Selector` choose by them; `istio.io/dataplane-mode` for its pods"),
        ("metadata.annotations", "",
            "`networking.istio.io/traffic-distribution` for Services that do not say"),
    ]),
    (&[Kind::Node], &[
        ("metadata.labels", "", "`topology.kubernetes.io/region` and `zone` of its pods"),
        ("status.addresses[]", "", "InternalIP and ExternalIP, on which node ports are served"),
    ]),
    (&[Kind::Pod], &[
        ("metadata.labels", "",
            "selectors, subsets and policies choose by them; `istio.io/dataplane-mode`"),
        ("metadata.annotations", "",
            "`ambient.istio.io/redirection`, `ambient.istio.io/bypass-inbound-capture`, \
            `sidecar.istio.io/status`, `traffic.istio.io/excludeInboundPorts`, \
            `excludeOutboundPorts`, `excludeOutboundIPRanges`"),
        ("spec.nodeName", "", "gives the zone"),
        ("spec.serviceAccountName", "default", "the identity"),
        ("spec.hostNetwork", "false",
            "its addresses are then the node's, and tell nothing of the client"),
        ("spec.containers[].ports[]", "", "names for `targetPort`"),
        ("status.podIPs[]", "", "addresses"),
        ("status.phase", "", "pods that ended own no address"),
        ("status.conditions[]", "", "`Ready`, where no EndpointSlice says"),
    ]),
    (&[Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet], &[
        ("spec.template.metadata.labels", "",
            "what is asked of files (`weft analyze`, `weft why`) counts them as a pod's where no pod has \
            them; endpoints come from pods and EndpointSlices only"),
        ("spec.template.spec.serviceAccountName", "default", "the identity, likewise"),
        ("spec.template.spec.containers[].ports[]", "", "names for `targetPort`, likewise"),
    ]),
    (&[Kind::Service], &[
        ("spec.clusterIP", "", "virtual address; `None` is headless"),
        ("spec.clusterIPs[]", "", "virtual addresses, one for each family"),
        ("spec.type", "ClusterIP", "ClusterIP, NodePort, LoadBalancer or ExternalName"),
        ("spec.selector", "", "pods behind it, where there is no EndpointSlice"),
        ("spec.ports[]", "",
            "`port`, `protocol`, `targetPort`, `nodePort`, `name`, `appProtocol`"),
        ("spec.externalIPs[]", "", "further addresses, served at the uplink"),
        ("spec.loadBalancerSourceRanges[]", "",
            "who may come through the load balancer's addresses"),
        ("spec.sessionAffinity", "None", "ClientIP keeps a client at its endpoint"),
        ("spec.sessionAffinityConfig.clientIP.timeoutSeconds", "10800",
            "for how long after the last connection"),
        ("spec.internalTrafficPolicy", "Cluster", "Local: only endpoints of this node"),
        ("spec.externalTrafficPolicy", "Cluster", "Local: the same for traffic from outside"),
        ("spec.trafficDistribution", "", "PreferSameZone (or PreferClose), PreferSameNode"),
        ("spec.publishNotReadyAddresses", "false", "endpoints count before they are ready"),
        ("spec.healthCheckNodePort", "", "is reported: nothing answers there"),
        ("status.loadBalancer.ingress[]", "", "addresses of the load balancer"),
    ]),
    (&[Kind::EndpointSlice], &[
        ("metadata.labels", "", "`kubernetes.io/service-name` names the Service"),
        ("addressType", "", "IPv4 or IPv6; FQDN is reported"),
        ("endpoints[].addresses[]", "", "the first is used"),
        ("endpoints[].conditions", "", "`ready`, `serving`, `terminating`"),
        ("endpoints[].nodeName", "", "for `Local` policies"),
        ("endpoints[].zone", "", "for traffic distribution"),
        ("endpoints[].hints", "", "`forZones`, `forNodes`"),
        ("endpoints[].targetRef", "", "the pod, whose labels count in subsets"),
        ("ports[]", "", "ports, matched to the Service's by name"),
    ]),
    (
        &[Kind::ServiceAccount],
        &[("metadata.name", "", "only its name counts")],
    ),
    (&[Kind::Secret], &[
        ("type", "Opaque", "`kubernetes.io/tls` for certificates of listeners"),
        ("data", "", "`tls.crt`, `tls.key`: whether there is PEM; the contents are not kept"),
    ]),
    (
        &[Kind::ConfigMap],
        &[(
        "data",
        "",
        "`mesh` of ConfigMap `istio` in the root namespace is the mesh configuration; `ca.crt` serves BackendTLSPolicies",
        )],
    ),
    (
        &[Kind::Sidecar],
        &[("spec", "", "nothing: there are no sidecars to configure")],
    ),
    (
        &[Kind::EnvoyFilter],
        &[("spec", "", "nothing: there is no Envoy")],
    ),
    (
        &[Kind::ProxyConfig],
        &[("spec", "", "nothing: there are no proxies per workload")],
    ),
    (
        &[
        Kind::VirtualService,
        Kind::DestinationRule,
        Kind::ServiceEntry,
        ],
        &[EXPORT_TO],
    ),
    (&[Kind::VirtualService], &[
        ("spec.hosts", "", "hosts it is for; a short name is one of its own namespace"),
        ("spec.gateways", "[\"mesh\"]", "gateways it stands at; `mesh` is every workload"),
        ("spec.http", "", "rules for HTTP, of which the first that matches decides"),
        ("spec.http[].match", "",
            "conditions, one of which must hold; each is all of its fields; none holds always"),
        ("spec.http[].match[].uri", "",
            "the path without the query: exact, prefix or regex (RE2, whole)"),
        ("spec.http[].match[].ignoreUriCase", "false", "for exact and prefix"),
        ("spec.http[].match[].headers", "", "by name in lower case; `{}` is presence"),
        ("spec.http[].match[].withoutHeaders", "", "headers that must not match"),
        ("spec.http[].match[].sourceLabels", "", "labels of the client"),
        ("spec.http[].match[].sourceNamespace", "", "namespace of the client"),
        ("spec.http[].match[].gateways", "", "instead of the gateways of the whole"),
        ("spec.http[].route", "", "where requests go, in shares"),
        ("spec.http[].route[].weight", "0, or all for a single one",
            "share, as a part of the sum"),
        ("spec.http[].route[].destination.subset", "", "subset of the host's DestinationRule"),
        ("spec.http[].redirect", "", "answers with a redirect"),
        ("spec.http[].redirect.redirectCode", "301", "301, 302, 303, 307 or 308"),
        ("spec.http[].redirect.uri", "", "replaces the whole path"),
        ("spec.http[].directResponse", "", "answers without a backend; a body of 1 MB at most"),
        ("spec.http[].rewrite.uri", "", "replaces the path, or the prefix that matched"),
        ("spec.http[].timeout", "none", "until the whole response is there, else 504"),
        ("spec.http[].retries", "attempts: 2", "repeats requests that failed"),
        ("spec.http[].retries.attempts", "2", "at most, besides the first; 0 is none"),
        ("spec.http[].retries.perTryTimeout", "the timeout", "for each attempt"),
        ("spec.http[].retries.retryOn", "connect-failure,refused-stream,unavailable,cancelled",
            "what counts as failed, or status codes"),
        ("spec.http[].retries.backoff", "25ms", "base of the pause, which grows"),
        ("spec.http[].fault", "",
            "delays or aborts some requests on purpose; then no retries, no timeout"),
        ("spec.http[].fault.delay.percentage", "0", "share of requests"),
        ("spec.http[].fault.abort.percentage", "0", "share of requests"),
        ("spec.http[].mirror", "", "copies requests there; nobody waits for the answer"),
        ("spec.http[].mirrorPercentage", "100", "share of requests that are copied"),
        ("spec.http[].corsPolicy", "", "answers preflight requests"),
        ("spec.http[].delegate", "", "rules of another VirtualService, one level deep"),
        ("spec.tls", "", "rules by server name for TLS that is not opened"),
        ("spec.tcp", "", "rules for connections; shares are per connection"),
    ]),
    (&[Kind::DestinationRule], &[
        ("spec.host", "",
            "service, or a wildcard; the rule of the client's namespace wins over that of the service's, and that over the root namespace's"),
        ("spec.trafficPolicy", "", "for all subsets and ports that do not say"),
        ("spec.trafficPolicy.portLevelSettings", "", "replace the whole policy for a port"),
        ("spec.subsets", "",
            "parts of the endpoints by labels; of their policy only hashing counts, before the port's and that before the top level's"),
        ("spec.workloadSelector", "", "clients it is for"),
        ("spec.trafficPolicy.loadBalancer.simple", "ROUND_ROBIN", "how an endpoint is chosen"),
        ("spec.trafficPolicy.loadBalancer.consistentHash.useSourceIp", "false",
            "same client, same endpoint"),
        ("spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize", "65537",
            "a prime, 5000011 at most"),
        ("spec.trafficPolicy.connectionPool.tcp.maxConnections", "none",
            "open connections to an endpoint; more are refused"),
        ("spec.trafficPolicy.connectionPool.tcp.connectTimeout", "10s",
            "until a connection is there"),
        ("spec.trafficPolicy.outlierDetection", "", "puts endpoints that fail aside"),
        ("spec.trafficPolicy.outlierDetection.consecutive5xxErrors", "5",
            "failures in a row; for TCP, failed connections; 0 is never"),
        ("spec.trafficPolicy.outlierDetection.interval", "10s", "between two looks"),
        ("spec.trafficPolicy.outlierDetection.baseEjectionTime", "30s",
            "times how often it happened"),
        ("spec.trafficPolicy.outlierDetection.maxEjectionPercent", "10",
            "of the endpoints, but at least one"),
        ("spec.trafficPolicy.outlierDetection.minHealthPercent", "0",
            "with fewer that are well, none is put aside"),
        ("spec.trafficPolicy.tls.mode", "", "TLS to the endpoints"),
    ]),
    (&[Kind::ServiceEntry], &[
        ("spec.hosts", "", "names"),
        ("spec.addresses", "", "virtual addresses; networks (CIDR) are reported"),
        ("spec.location", "MESH_EXTERNAL", "whether its workloads are of the mesh"),
        ("spec.resolution", "NONE", "STATIC takes `endpoints`; the others are reported"),
        ("spec.endpoints", "", "where it is"),
        ("spec.endpoints[].weight", "1", "share"),
        ("spec.endpoints[].locality", "", "region/zone/subzone"),
        ("spec.ports[].targetPort", "`number`", "where endpoints listen"),
    ]),
    (
        &[
        Kind::PeerAuthentication,
        Kind::RequestAuthentication,
        Kind::AuthorizationPolicy,
        Kind::Telemetry,
        Kind::WasmPlugin,
        ],
        &[SELECTOR],
    ),
    (
        &[
        Kind::RequestAuthentication,
        Kind::AuthorizationPolicy,
        Kind::Telemetry,
        Kind::WasmPlugin,
        Kind::TrafficExtension,
        ],
        &[TARGET_REFS],
    ),
    (&[Kind::PeerAuthentication], &[
        ("spec.mtls.mode", "UNSET",
            "STRICT, PERMISSIVE or DISABLE; UNSET asks the namespace, then the mesh, and is PERMISSIVE in the end; of two, the older holds"),
        ("spec.portLevelMtls", "", "by port of the workload; needs a selector"),
    ]),
    (&[Kind::RequestAuthentication], &[
        ("spec.jwtRules", "",
            "issuers whose tokens are believed; a request without a token passes"),
        ("spec.jwtRules[].issuer", "", "the claim `iss`"),
        ("spec.jwtRules[].audiences", "", "one of the claim `aud` must be here"),
        ("spec.jwtRules[].jwks", "", "keys, in place"),
        ("spec.jwtRules[].jwksUri", "", "keys, to be fetched"),
        ("spec.jwtRules[].fromHeaders", "Authorization: Bearer", "where tokens are"),
        ("spec.jwtRules[].forwardOriginalToken", "false", "leaves the token in the request"),
        ("spec.jwtRules[].timeout", "5s", "for fetching keys"),
    ]),
    (&[Kind::AuthorizationPolicy], &[
        ("spec.action", "ALLOW", "CUSTOM, then DENY, then ALLOW decide; AUDIT only records"),
        ("spec.rules", "",
            "one that matches is enough; an ALLOW without rules lets nothing pass"),
        ("spec.rules[].from", "", "sources, one of which must match"),
        ("spec.rules[].to", "", "operations, one of which must match"),
        ("spec.rules[].when", "", "conditions, all of which must hold"),
        ("spec.rules[].from[].source.principals", "",
            "identities: trust-domain/ns/NAMESPACE/sa/ACCOUNT"),
        ("spec.rules[].from[].source.namespaces", "", "of the identity"),
        ("spec.rules[].from[].source.serviceAccounts", "",
            "NAMESPACE/ACCOUNT, or ACCOUNT of the policy's namespace"),
        ("spec.rules[].from[].source.ipBlocks", "", "where packets come from"),
        ("spec.rules[].from[].source.remoteIpBlocks", "",
            "where the request comes from, as the first trusted proxy saw it"),
        ("spec.rules[].from[].source.requestPrincipals", "", "ISSUER/SUBJECT of the token"),
        ("spec.rules[].to[].operation.ports", "", "ports the workload listens on"),
        ("spec.rules[].to[].operation.paths", "",
            "normalized; `*` at either end, `{*}` and `{**}` inside"),
        ("spec.provider.name", "", "external authorizer of a CUSTOM policy"),
    ]),
    (
        &[
        Kind::HttpRoute,
        Kind::GrpcRoute,
        Kind::TcpRoute,
        Kind::UdpRoute,
        Kind::TlsRoute,
        ],
        &[PARENTS],
    ),
    (
        &[Kind::HttpRoute, Kind::GrpcRoute, Kind::TlsRoute],
        &[HOSTNAMES],
    ),
    (&[Kind::HttpRoute], &[
        ("spec.rules[].matches", "",
            "one must hold; the most specific of all routes decides: exact path, longest prefix, method, headers, query, age, name"),
        ("spec.rules[].backendRefs", "",
            "Services, in shares; a share that cannot be used is answered with 500"),
        ("spec.rules[].timeouts.request", "none", "for the whole; 0s is none"),
    ]),
    (
        &[Kind::GatewayClass],
        &[(
        "spec.controllerName",
        "",
        "`weft.dev/gateway-controller` makes it Weft's; class `weft` need not be written",
        )],
    ),
    (&[Kind::ReferenceGrant], &[
        ("spec.from", "", "who may refer"),
        ("spec.to", "", "to what in this namespace"),
    ]),
    (
        &[Kind::BackendTlsPolicy],
        &[(
        "spec.targetRefs",
        "",
        "Services to which TLS is spoken; of two policies the older holds",
        )],
    ),
];
