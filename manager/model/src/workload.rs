//! A workload: what stands behind endpoints and in front of clients, as metrics name it.

use std::sync::Arc;

use serde::Serialize;

/// A workload as Istio's metrics label it: many pods, one identity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Workload {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name of the owner (a ReplicaSet's hash stripped, a CronJob for its Jobs), else of the pod.
    pub name: Arc<str>,
    /// Label `app` (`service.istio.io/canonical-name`, `app.kubernetes.io/name`, `app`, else the
    /// workload's name).
    pub canonical_service: Arc<str>,
    /// Label `version` (`service.istio.io/canonical-revision`, `app.kubernetes.io/version`,
    /// `version`, else `latest`).
    pub canonical_revision: Arc<str>,
    /// Label `app`, when there is one.
    pub app: Option<Arc<str>>,
    /// Label `version`, when there is one.
    pub version: Option<Arc<str>>,
    /// `spec.serviceAccountName`.
    pub service_account: Arc<str>,
}
