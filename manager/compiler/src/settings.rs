//! What the mesh's operator decides.

use std::sync::Arc;

use weft_model::{Balancing, ServiceName, policy::Normalization};

/// What the mesh's operator decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Domain of service names, `cluster.local`.
    pub cluster_domain: Arc<str>,
    /// Namespace whose rules hold for all, `istio-system`.
    pub root_namespace: Arc<str>,
    /// Trust domain of the mesh's identities, `cluster.local`.
    pub trust_domain: Arc<str>,
    /// Trust domains that mean the same.
    pub trust_domain_aliases: Vec<Arc<str>>,
    /// How paths are made regular before policies look at them.
    pub path_normalization: Normalization,
    /// How a backend is chosen where no rule says so.
    pub default_balancing: Balancing,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            trust_domain: "cluster.local".into(),
            trust_domain_aliases: Vec::new(),
            path_normalization: Normalization::default(),
            default_balancing: Balancing::RoundRobin,
        }
    }
}

impl Settings {
    /// The identity of a Kubernetes Service.
    pub(crate) fn service_name(&self, namespace: &Arc<str>, name: &str) -> ServiceName {
        let hostname = format!("{name}.{namespace}.svc.{}", self.cluster_domain);
        ServiceName {
            namespace: Arc::clone(namespace),
            hostname: hostname.into(),
        }
    }

    /// The `metadata.name` of the Kubernetes Service that would have this identity.
    pub(crate) fn kubernetes_name<'n>(&self, service: &'n ServiceName) -> Option<&'n str> {
        let rest = service.hostname.strip_suffix(&*self.cluster_domain)?;
        let name = rest
            .strip_suffix(".svc.")?
            .strip_suffix(&*service.namespace)?;
        name.strip_suffix('.').filter(|name| !name.contains('.'))
    }
}
