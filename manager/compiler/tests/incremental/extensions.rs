//! Documents of kinds that only some builds of a mesh use: datagrams, groups of machines, telemetry
//! and extensions.

use super::policies::stream_route;

/// A document of one of five kinds.
pub(crate) fn document(kind: u8, namespace: &str, name: u8, a: u8, b: u8) -> String {
    match kind {
        0 => stream_route("UDPRoute", namespace, name, a, b),
        1 => workload_group(namespace, name, a, b),
        2 => telemetry(namespace, name, a, b),
        3 => wasm_plugin(namespace, name, a, b),
        _ => traffic_extension(namespace, name, a, b),
    }
}

/// Whom it holds for, as Istio's extension kinds say it.
fn scope(a: u8) -> &'static str {
    [
        "",
        "  selector: {matchLabels: {app: a1}}\n",
        "  targetRefs: [{group: '', kind: Service, name: s1}]\n",
        "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]\n",
    ][usize::from(a)]
}

fn workload_group(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let probe = [
        "",
        "  probe: {tcpSocket: {port: 80}}\n",
        "  probe: {periodSeconds: -1}\n",
        "",
    ];
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: w{name}, namespace: {namespace}}}\nspec:\n  metadata: {{labels: {{app: a{a}}}}}\n  template: {{serviceAccount: sa{a}, ports: {{http: 8080}}}}\n{}",
        probe[usize::from(b)]
    )
}

fn telemetry(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let spec = [
        "  accessLogging: [{disabled: true}]\n",
        "  accessLogging: [{providers: [{name: envoy}], filter: {expression: response.code >= 400}}]\n",
        "  tracing: [{randomSamplingPercentage: 10}]\n",
        "  tracing: [{randomSamplingPercentage: 101}]\n",
    ][usize::from(b)];
    format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t{name}, namespace: {namespace}, creationTimestamp: 2026-01-0{}T00:00:00Z}}\nspec:\n{}{spec}",
        1 + b,
        scope(a)
    )
}

fn wasm_plugin(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let url = ["oci://registry.example.com/x:1", "", "ftp://x", "file:///x"][usize::from(b)];
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: w{name}, namespace: {namespace}}}\nspec:\n{}  url: \"{url}\"\n  priority: {b}\n",
        scope(a)
    )
}

fn traffic_extension(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let filter = [
        "lua: {inlineCode: x}",
        "wasm: {url: 'oci://registry.example.com/x:1'}",
        "lua: {inlineCode: x}, wasm: {url: 'oci://x/y'}",
        "priority: 1",
    ][usize::from(b)];
    let filter = filter.replace(", ", "\n  ");
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: {{name: x{name}, namespace: {namespace}}}\nspec:\n{}  {filter}\n",
        scope(a)
    )
}
