//! Documents of the kinds that say who may talk, and those around Gateways.

/// A document of one of twelve kinds.
pub(crate) fn document(kind: u8, namespace: &str, name: u8, a: u8, b: u8) -> String {
    match kind {
        0 => authorization(namespace, name, a, b),
        1 => peer(namespace, name, a, b),
        2 => request(namespace, name, a, b),
        3 => class(a, b),
        4 => secret(namespace, a, b),
        5 => secure_gateway(namespace, a, b),
        6 => backend_tls(namespace, name, a, b),
        7 => config_map(namespace, a, b),
        8 => grpc_route(namespace, name, a, b),
        9 => stream_route("TCPRoute", namespace, name, a, b),
        10 => tls_route(namespace, name, a, b),
        _ => labelled_namespace(namespace, a),
    }
}

fn authorization(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let scope = [
        "",
        "  selector: {matchLabels: {app: a1}}\n",
        "  targetRefs: [{group: '', kind: Service, name: s1}]\n",
        "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]\n",
    ][usize::from(a)];
    let action = ["ALLOW", "DENY", "AUDIT", "WRONG"][usize::from(b)];
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: z{name}, namespace: {namespace}}}\nspec:\n{scope}  action: {action}\n  rules: [{{from: [{{source: {{namespaces: [n{a}]}}}}]}}]\n"
    )
}

fn peer(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let selector = match a {
        0 => "",
        _ => "  selector: {matchLabels: {app: a1}}\n  portLevelMtls: {8080: {mode: DISABLE}}\n",
    };
    let mode = ["STRICT", "PERMISSIVE", "UNSET", "DISABLE"][usize::from(b)];
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: m{name}, namespace: {namespace}, creationTimestamp: 2026-01-0{}T00:00:00Z}}\nspec:\n{selector}  mtls: {{mode: {mode}}}\n",
        1 + a
    )
}

fn request(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let selector = ["", "  selector: {matchLabels: {app: a1}}\n"][usize::from(a % 2)];
    let keys = ["'{\"keys\": []}'", "nonsense"][usize::from(b / 3)];
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: j{name}, namespace: {namespace}}}\nspec:\n{selector}  jwtRules: [{{issuer: i{b}, jwks: {keys}}}]\n"
    )
}

fn class(a: u8, b: u8) -> String {
    let name = ["weft", "other"][usize::from(a % 2)];
    let controller = ["weft.dev/gateway-controller", "example.com/other"][usize::from(b % 2)];
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: {name}}}\nspec: {{controllerName: {controller}}}\n"
    )
}

fn secret(namespace: &str, a: u8, b: u8) -> String {
    let kind = ["kubernetes.io/tls", "Opaque"][usize::from(b / 3)];
    let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: c{}, namespace: {namespace}}}\ntype: {kind}\ndata: {{tls.crt: {pem}, tls.key: {pem}}}\n",
        a % 2
    )
}

fn secure_gateway(namespace: &str, a: u8, b: u8) -> String {
    let class = ["weft", "other"][usize::from(a / 3)];
    let of = ["", ", namespace: default"][usize::from(b % 2)];
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: {namespace}}}\nspec:\n  gatewayClassName: {class}\n  listeners:\n  - {{name: h, port: 443, protocol: HTTPS, hostname: x.example.com, tls: {{certificateRefs: [{{name: c{}{of}}}]}}}}\n  - {{name: t, port: 90, protocol: TCP, allowedRoutes: {{namespaces: {{from: All}}}}}}\n  - {{name: u, port: 90, protocol: UDP, allowedRoutes: {{namespaces: {{from: All}}}}}}\n  - {{name: p, port: 91, protocol: TLS, tls: {{mode: Passthrough}}}}\n",
        a % 2
    )
}

fn backend_tls(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let trust = match b {
        0 => "wellKnownCACertificates: System",
        _ => "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]",
    };
    let section = ["", ", sectionName: http"][usize::from(a % 2)];
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: b{name}, namespace: {namespace}, creationTimestamp: 2026-01-0{}T00:00:00Z}}\nspec:\n  targetRefs: [{{group: '', kind: Service, name: s1{section}}}]\n  validation: {{hostname: x.example.com, {trust}}}\n",
        1 + a
    )
}

fn config_map(namespace: &str, a: u8, b: u8) -> String {
    if a < 2 {
        let text = [
            "|\n    -----BEGIN CERTIFICATE-----\n    MAA=\n    -----END CERTIFICATE-----",
            "nothing",
        ][usize::from(b % 2)];
        return format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca, namespace: {namespace}}}\ndata:\n  ca.crt: {text}\n"
        );
    }
    let root = ["istio-system", "default"][usize::from(b % 2)];
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    rootNamespace: {root}\n    trustDomain: t{b}\n"
    )
}

fn grpc_route(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let parent = match a {
        0 | 1 => "{name: gw}",
        2 => "{name: gw, namespace: default, sectionName: h}",
        _ => "{group: '', kind: Service, name: s1}",
    };
    let host = ["", "x.example.com", "'*.example.com'", "x.example.com"][usize::from(b)];
    let filter = [
        "",
        "filters: [{type: ExtensionRef, extensionRef: {group: g, kind: K, name: n}}], ",
    ][usize::from(b / 3)];
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {{name: g{name}, namespace: {namespace}, creationTimestamp: 2026-01-0{}T00:00:00Z}}\nspec:\n  parentRefs: [{parent}]\n  hostnames: [{host}]\n  rules: [{{{filter}backendRefs: [{{name: s{b}, port: 80}}]}}]\n",
        1 + (a ^ b)
    )
}

pub(crate) fn stream_route(kind: &str, namespace: &str, name: u8, a: u8, b: u8) -> String {
    let parent = ["{name: gw}", "{name: gw, namespace: default}"][usize::from(a % 2)];
    let backend = [
        "{name: s1, port: 80}",
        "{name: s1, namespace: default, port: 80}",
    ][usize::from(b % 2)];
    format!(
        "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: {kind}\nmetadata: {{name: t{name}, namespace: {namespace}}}\nspec:\n  parentRefs: [{parent}]\n  rules: [{{backendRefs: [{backend}]}}]\n"
    )
}

fn tls_route(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let parent = ["{name: gw}", "{name: gw, sectionName: p}"][usize::from(a % 2)];
    let host = ["x.example.com", "y.example.com"][usize::from(b % 2)];
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {{name: l{name}, namespace: {namespace}}}\nspec:\n  parentRefs: [{parent}]\n  hostnames: [{host}]\n  rules: [{{backendRefs: [{{name: s{b}, port: 80}}]}}]\n"
    )
}

/// A label that listeners choose namespaces by.
fn labelled_namespace(namespace: &str, a: u8) -> String {
    let value = ["b", "c"][usize::from(a % 2)];
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}, labels: {{a: {value}}}}}\n"
    )
}
