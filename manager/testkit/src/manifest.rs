//! YAML as users write it: a Service with its EndpointSlices and Pods, and a DestinationRule.

use std::{fmt::Write as _, net::IpAddr};

use crate::cluster::Pod;

/// One backend of a [`Service`].
#[derive(Clone, Debug)]
struct Backend {
    pod: String,
    version: String,
    addresses: Vec<IpAddr>,
    conditions: Option<String>,
    /// Where it runs, when its Pod is written elsewhere.
    node: Option<String>,
}

/// One port: number, target port, protocol.
#[derive(Clone, Debug)]
struct Port {
    name: String,
    number: u16,
    target: u16,
    protocol: &'static str,
}

/// A Kubernetes Service with what stands behind it.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    namespace: String,
    addresses: Vec<IpAddr>,
    ports: Vec<Port>,
    backends: Vec<Backend>,
    spec: String,
    pods: bool,
}

impl Service {
    /// A ClusterIP service in a namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            addresses: Vec::new(),
            ports: Vec::new(),
            backends: Vec::new(),
            spec: String::new(),
            pods: true,
        }
    }

    /// Adds a cluster address: one, or one of each family.
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Adds a TCP port.
    pub fn tcp(self, name: &str, number: u16, target: u16) -> Self {
        self.port(name, number, target, "TCP")
    }

    /// Adds a UDP port.
    pub fn udp(self, name: &str, number: u16, target: u16) -> Self {
        self.port(name, number, target, "UDP")
    }

    fn port(mut self, name: &str, number: u16, target: u16, protocol: &'static str) -> Self {
        let name = name.to_owned();
        self.ports.push(Port {
            name,
            number,
            target,
            protocol,
        });
        self
    }

    /// Adds a ready backend, pod `NAME-VERSION`, with labels `app` and `version`.
    pub fn backend(self, version: &str, addresses: &[IpAddr]) -> Self {
        self.backend_with(version, addresses, None)
    }

    /// Adds a backend with conditions, as `{ready: false, serving: true, terminating: true}`.
    pub fn backend_with(
        mut self,
        version: &str,
        addresses: &[IpAddr],
        conditions: Option<&str>,
    ) -> Self {
        self.backends.push(Backend {
            pod: format!("{}-{version}", self.name),
            version: version.to_owned(),
            addresses: addresses.to_vec(),
            conditions: conditions.map(str::to_owned),
            node: None,
        });
        self
    }

    /// Adds a ready backend, a pod of a cluster, at its address of the service's first family; its
    /// Pod is written elsewhere.
    pub fn pod(mut self, pod: &Pod) -> Self {
        let (_, name) = pod.name().split_once('/').map_or_else(
            || (String::new(), pod.name()),
            |(namespace, name)| (namespace.to_owned(), name.to_owned()),
        );
        let is_v6 = self.addresses.first().is_some_and(IpAddr::is_ipv6);
        let addresses = pod.addresses().into_iter();
        self.backends.push(Backend {
            pod: name,
            version: String::new(),
            addresses: addresses.filter(|own| own.is_ipv6() == is_v6).collect(),
            conditions: None,
            node: Some(format!("n{}", pod.node())),
        });
        self
    }

    /// Adds a line to `spec`, as `sessionAffinity: ClientIP`.
    pub fn spec(mut self, line: &str) -> Self {
        self.spec.push_str("  ");
        self.spec.push_str(line);
        self.spec.push('\n');
        self
    }

    /// Writes no Pods: endpoints without a known workload.
    pub fn without_pods(mut self) -> Self {
        self.pods = false;
        self
    }

    /// The documents.
    pub fn yaml(&self) -> String {
        let mut yaml = self.service_yaml();
        for (suffix, kind) in [("v4", "IPv4"), ("v6", "IPv6")] {
            self.slice_yaml(&mut yaml, suffix, kind);
        }
        if self.pods {
            for backend in self.backends.iter().filter(|one| one.node.is_none()) {
                self.pod_yaml(&mut yaml, backend);
            }
        }
        yaml
    }

    fn service_yaml(&self) -> String {
        let (name, namespace) = (&self.name, &self.namespace);
        let mut yaml = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec:\n{}",
            self.spec
        );
        match self.addresses.first() {
            None => yaml.push_str("  clusterIP: None\n"),
            Some(first) => {
                let all: Vec<String> = self.addresses.iter().map(|a| format!("{a:?}")).collect();
                let families: Vec<&str> = self.addresses.iter().map(family).collect();
                put(&mut yaml, format_args!("  clusterIP: \"{first}\"\n"));
                let quoted: Vec<String> = all.iter().map(|a| format!("\"{a}\"")).collect();
                put(
                    &mut yaml,
                    format_args!(
                        "  clusterIPs: [{}]\n  ipFamilies: [{}]\n",
                        quoted.join(", "),
                        families.join(", ")
                    ),
                );
            }
        }
        put(
            &mut yaml,
            format_args!("  selector: {{app: {name}}}\n  ports:\n"),
        );
        for port in &self.ports {
            put(
                &mut yaml,
                format_args!(
                    "  - {{name: {}, port: {}, targetPort: {}, protocol: {}}}\n",
                    port.name, port.number, port.target, port.protocol
                ),
            );
        }
        yaml
    }

    fn slice_yaml(&self, yaml: &mut String, suffix: &str, kind: &str) {
        let endpoints: Vec<(&Backend, &IpAddr)> = self
            .backends
            .iter()
            .flat_map(|b| b.addresses.iter().map(move |address| (b, address)))
            .filter(|(_, address)| family(address) == kind)
            .collect();
        if endpoints.is_empty() {
            return;
        }
        let (name, namespace) = (&self.name, &self.namespace);
        put(
            yaml,
            format_args!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  \
                 name: {name}-{suffix}\n  namespace: {namespace}\n  \
                 labels: {{kubernetes.io/service-name: {name}}}\naddressType: {kind}\nports:\n"
            ),
        );
        for port in &self.ports {
            put(
                yaml,
                format_args!(
                    "- {{name: {}, port: {}, protocol: {}}}\n",
                    port.name, port.target, port.protocol
                ),
            );
        }
        yaml.push_str("endpoints:\n");
        for (backend, address) in endpoints {
            let conditions = backend.conditions.as_deref().unwrap_or("{ready: true}");
            put(
                yaml,
                format_args!("- addresses: [\"{address}\"]\n  conditions: {conditions}\n"),
            );
            if let Some(node) = &backend.node {
                put(yaml, format_args!("  nodeName: {node}\n"));
            }
            if self.pods {
                put(
                    yaml,
                    format_args!(
                        "  targetRef: {{kind: Pod, name: {}, namespace: {namespace}}}\n",
                        backend.pod
                    ),
                );
            }
        }
    }

    fn pod_yaml(&self, yaml: &mut String, backend: &Backend) {
        let (name, namespace) = (&self.name, &self.namespace);
        let (pod, version) = (&backend.pod, &backend.version);
        put(
            yaml,
            format_args!(
                "---\n{}",
                pod_yaml(namespace, pod, name, version, &backend.addresses)
            ),
        );
    }
}

/// A running Pod with labels `app` and `version`.
pub fn pod_yaml(
    namespace: &str,
    name: &str,
    app: &str,
    version: &str,
    addresses: &[IpAddr],
) -> String {
    let mut yaml = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  \
         labels: {{app: {app}, version: \"{version}\"}}\nspec: {{containers: [{{name: main}}]}}\n\
         status:\n  phase: Running\n"
    );
    if let Some(first) = addresses.first() {
        let all: Vec<String> = addresses
            .iter()
            .map(|a| format!("{{ip: \"{a}\"}}"))
            .collect();
        put(
            &mut yaml,
            format_args!("  podIP: \"{first}\"\n  podIPs: [{}]\n", all.join(", ")),
        );
    }
    yaml
}

/// A Namespace whose pods are in the mesh.
pub fn mesh_namespace(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  \
         labels: {{istio.io/dataplane-mode: ambient}}\n"
    )
}

/// A PeerAuthentication of a namespace, or of the mesh in the root namespace.
pub fn peer_authentication(namespace: &str, mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata: {{name: default, namespace: {namespace}}}\nspec: {{mtls: {{mode: {mode}}}}}\n"
    )
}

/// An AuthorizationPolicy that lets these principals (`cluster.local/ns/N/sa/A`) reach the pods
/// whose label `app` is given.
pub fn allow_principals(namespace: &str, app: &str, principals: &[&str]) -> String {
    let listed: Vec<String> = principals.iter().map(|one| format!("\"{one}\"")).collect();
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: {app}, namespace: {namespace}}}\nspec:\n  \
         selector: {{matchLabels: {{app: {app}}}}}\n  action: ALLOW\n  rules:\n  \
         - from: [{{source: {{principals: [{}]}}}}]\n",
        listed.join(", ")
    )
}

/// A DestinationRule for a host, with the lines of its `trafficPolicy` (unindented).
pub fn destination_rule(namespace: &str, name: &str, host: &str, traffic_policy: &str) -> String {
    let mut yaml = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  host: {host}\n  \
         trafficPolicy:\n"
    );
    for line in traffic_policy.lines() {
        put(&mut yaml, format_args!("    {line}\n"));
    }
    yaml
}

fn family(address: &IpAddr) -> &'static str {
    if address.is_ipv6() { "IPv6" } else { "IPv4" }
}

fn put(yaml: &mut String, text: std::fmt::Arguments<'_>) {
    yaml.write_fmt(text)
        .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn each_family_gets_a_slice_of_its_own() {
        let yaml = Service::new("shop", "web")
            .address(Ipv4Addr::new(10, 96, 0, 1))
            .address(Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, 1))
            .tcp("http", 80, 8080)
            .backend(
                "v1",
                &[
                    Ipv4Addr::new(10, 77, 0, 11).into(),
                    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 11).into(),
                ],
            )
            .yaml();
        assert_eq!(yaml.matches("kind: EndpointSlice").count(), 2);
        assert_eq!(yaml.matches("kind: Pod\nmetadata").count(), 1);
        assert!(
            yaml.contains("clusterIPs: [\"10.96.0.1\", \"fd96::1\"]"),
            "{yaml}"
        );
        assert!(yaml.contains("- addresses: [\"fd77::b\"]"), "{yaml}");
    }
}
