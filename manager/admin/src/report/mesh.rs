//! `/state/workloads`, `/state/policies`, `/state/denied`.

use serde::{Deserialize, Serialize};

use super::Origin;

/// One of `/state/workloads`: a workload enrolled on this node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EnrolledReport {
    /// Namespace of the Pod or WorkloadEntry.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Path of its network namespace.
    pub netns: String,
    /// Cookie of its network namespace, 0 when that cannot be opened.
    pub cookie: u64,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Its SPIFFE ID, when known.
    pub identity: Option<String>,
    /// Whether its traffic is served; without it every connection from and to it is refused.
    pub ready: bool,
    /// Why it is not ready, a sentence without a full stop.
    pub reason: Option<String>,
    /// Which connections it takes: `strict`, `permissive`, `disable`.
    pub mtls: Option<String>,
    /// What of its traffic is left alone, by its annotations, in words.
    #[serde(default)]
    pub excluded: Vec<String>,
    /// Seconds until its certificate expires.
    pub certificate_expires_seconds: Option<i64>,
}

/// One end of a connection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct EndReport {
    /// `ADDRESS:PORT`; port 0 while it is not known.
    pub addr: String,
    /// Workload there, when known.
    pub workload: Option<String>,
    /// Its namespace, when known.
    pub namespace: Option<String>,
    /// Its SPIFFE ID; of a client only when it is proved.
    pub identity: Option<String>,
}

/// The rule that decided.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PolicyReport {
    /// The object.
    #[serde(flatten)]
    pub origin: Origin,
    /// Index of the rule in `spec.rules`, from 0.
    pub rule: u32,
}

/// `/state/policies`: layer 4 authorization on this node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AuthorizationReport {
    /// The policies that hold for workloads enrolled here, by namespace and name.
    pub policies: Vec<PolicyInForce>,
    /// Connections refused because policies allow some, and no rule of them this one.
    pub unmatched: Decided,
    /// The same of policies in dry-run: these connections were not refused.
    pub dry_run_unmatched: Decided,
    /// What rules decided that are too many to be counted one by one.
    pub uncounted: Decided,
}

/// A policy that holds for workloads enrolled on this node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PolicyInForce {
    /// The object.
    #[serde(flatten)]
    pub origin: Origin,
    /// `ALLOW`, `DENY`, `AUDIT` or `CUSTOM`.
    pub action: String,
    /// Whether it is only counted and told of.
    pub dry_run: bool,
    /// `NAMESPACE/NAME` of each workload here that it holds for.
    pub workloads: Vec<String>,
    /// What each of its rules decided, by their index in `spec.rules`.
    pub rules: Vec<Decided>,
}

/// New connections since the manager started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Decided {
    /// Decided in the kernel.
    pub kernel: u64,
    /// Decided by the proxy, of those that came through HBONE.
    pub proxy: u64,
}

/// One of `/state/denied`: a connection that was refused, or that a dry-run or AUDIT policy wants
/// written down.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DenialReport {
    /// When the last one was, seconds since 1970.
    pub time: f64,
    /// How long ago that is.
    pub seconds_ago: f64,
    /// `denied`, `plaintext`, `not_ready`, `client_limit`, `revoked`, `dry_run`, `audit`.
    pub cause: String,
    /// Whether the connection was refused.
    pub enforced: bool,
    /// Who refused: `kernel` or `proxy`.
    pub hop: String,
    /// `l4`.
    pub layer: String,
    /// The client.
    pub src: EndReport,
    /// The server.
    pub dst: EndReport,
    /// `NAMESPACE/NAME:PORT` of the service dialled, when known.
    pub service: Option<String>,
    /// The rule that decided; none when no rule did.
    pub policy: Option<PolicyReport>,
    /// In words: which rule, or what would have had to match.
    pub reason: String,
    /// Generation of the configuration that decided.
    pub generation: u64,
    /// How many alike.
    pub count: u64,
}
