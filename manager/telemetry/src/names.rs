//! From the ids in maps to the names in labels.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use weft_model::{Protocol, Workload};

/// What a pool id stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PoolLabels {
    /// Fully qualified host name of the service.
    pub hostname: Arc<str>,
    /// What people call it, such as `metadata.name`.
    pub short_name: Arc<str>,
    /// Namespace of the service.
    pub namespace: Arc<str>,
    /// Port clients dial.
    pub port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Class of traffic the pool serves, such as `internal`.
    pub class: Arc<str>,
}

/// What a backend index with a generation stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendName {
    /// Where it listens.
    pub address: IpAddr,
    /// Port it listens on.
    pub port: u16,
    /// The workload behind it, when known.
    pub workload: Option<Arc<Workload>>,
}

/// Resolves ids. Every answer may be `None`: the kernel may know an id longer than the manager.
pub trait Names: Send + Sync {
    /// The pool with this id; 0 is none.
    fn pool(&self, id: u32) -> Option<Arc<PoolLabels>>;

    /// The workload with this id; 0 is none.
    fn workload(&self, id: u32) -> Option<Arc<Workload>>;

    /// The backend at this index of `BACKENDS`, if it still has this generation.
    fn backend(&self, index: u32, generation: u32) -> Option<BackendName>;
}

/// Names held in ordered maps: a copy that outlives the lock it was made under.
#[derive(Clone, Debug, Default)]
pub struct NameTable {
    /// By pool id.
    pub pools: BTreeMap<u32, Arc<PoolLabels>>,
    /// By workload id.
    pub workloads: BTreeMap<u32, Arc<Workload>>,
    /// By index and generation.
    pub backends: BTreeMap<(u32, u32), BackendName>,
}

impl Names for NameTable {
    fn pool(&self, id: u32) -> Option<Arc<PoolLabels>> {
        self.pools.get(&id).cloned()
    }

    fn workload(&self, id: u32) -> Option<Arc<Workload>> {
        self.workloads.get(&id).cloned()
    }

    fn backend(&self, index: u32, generation: u32) -> Option<BackendName> {
        self.backends.get(&(index, generation)).cloned()
    }
}
