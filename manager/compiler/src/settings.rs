//! What the mesh's operator decides.

use std::sync::Arc;

use weft_api::{Kind, ObjectKey, Resource, Store, mesh_config::NormalizationType};
use weft_model::{
    Balancing, ServiceName,
    policy::{MeshPolicy, Normalization},
};

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
    /// What policies ask of the whole mesh.
    pub mesh_policy: MeshPolicy,
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
            mesh_policy: MeshPolicy::default(),
            default_balancing: Balancing::RoundRobin,
        }
    }
}

impl Settings {
    /// These, but for what Istio's mesh configuration says: the ConfigMap `istio` of the root
    /// namespace, key `mesh`.
    pub fn with_mesh_config(&self, store: &Store) -> Self {
        let mut settings = self.clone();
        let key = ObjectKey {
            kind: Kind::ConfigMap,
            namespace: Arc::clone(&self.root_namespace),
            name: "istio".into(),
        };
        let Some(object) = store.object(&key) else {
            return settings;
        };
        let Resource::ConfigMap(map) = &object.resource else {
            return settings;
        };
        let Some(mesh) = &map.mesh else {
            return settings;
        };
        if !mesh.trust_domain.is_empty() {
            settings.trust_domain = Arc::clone(&mesh.trust_domain);
        }
        if !mesh.root_namespace.is_empty() {
            settings.root_namespace = Arc::clone(&mesh.root_namespace);
        }
        settings.trust_domain_aliases = mesh.trust_domain_aliases.clone();
        settings.mesh_policy = MeshPolicy {
            normalization: match mesh.path_normalization.normalization {
                NormalizationType::None => Normalization::None,
                NormalizationType::Default | NormalizationType::Base => Normalization::Base,
                NormalizationType::MergeSlashes => Normalization::MergeSlashes,
                NormalizationType::DecodeAndMergeSlashes => Normalization::DecodeAndMergeSlashes,
            },
            is_mtls_automatic: mesh.enable_auto_mtls.unwrap_or(true),
        };
        settings
    }

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
