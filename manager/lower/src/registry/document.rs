//! The saved form of a registry.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weft_model::{Protocol, ServiceName, Workload};

use super::{FIRST_POOL, PoolName, Registry, RegistryError};
use crate::{Family, PoolClass, PoolKey};

const FORMAT: u32 = 1;

/// A registry as it is saved.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Document {
    format: u32,
    generation_ceiling: u32,
    pools: Vec<PoolLine>,
    workloads: Vec<WorkloadLine>,
}

#[derive(Clone, Serialize, Deserialize)]
struct PoolLine {
    id: u32,
    namespace: Arc<str>,
    hostname: Arc<str>,
    short_name: Arc<str>,
    port: u16,
    protocol: ProtocolWord,
    family: FamilyWord,
    class: ClassWord,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum ProtocolWord {
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum FamilyWord {
    #[serde(rename = "IPv4")]
    V4,
    #[serde(rename = "IPv6")]
    V6,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum ClassWord {
    Cluster,
    Local,
}

#[derive(Clone, Serialize, Deserialize)]
struct WorkloadLine {
    id: u32,
    namespace: Arc<str>,
    name: Arc<str>,
    canonical_service: Arc<str>,
    canonical_revision: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Arc<str>>,
    service_account: Arc<str>,
}

impl From<Registry> for Document {
    fn from(registry: Registry) -> Self {
        // The dead in the order in which they died, then the living: reading it gives the same
        // order back.
        let dead = registry.dead.values().copied();
        let alive = registry.pools.keys().copied();
        let alive = alive.filter(|id| !registry.died.contains_key(id));
        let line = |id: u32| PoolLine::new(id, &registry.pools[&id]);
        Self {
            format: FORMAT,
            generation_ceiling: registry.generation_ceiling,
            pools: dead.chain(alive).map(line).collect(),
            workloads: registry
                .workloads
                .iter()
                .map(|(id, workload)| WorkloadLine::new(*id, workload))
                .collect(),
        }
    }
}

impl TryFrom<Document> for Registry {
    type Error = RegistryError;

    fn try_from(document: Document) -> Result<Self, RegistryError> {
        if document.format != FORMAT {
            return Err(RegistryError::Format {
                found: document.format,
                expected: FORMAT,
            });
        }
        let mut registry = Self {
            generation_ceiling: document.generation_ceiling,
            ..Self::default()
        };
        for line in document.pools {
            registry.load_pool(line.id, line.into())?;
        }
        for line in document.workloads {
            registry.load_workload(line.id, line.into())?;
        }
        Ok(registry)
    }
}

impl Registry {
    /// Every pool is dead until the maps or the mesh show that it is not.
    fn load_pool(&mut self, id: u32, name: PoolName) -> Result<(), RegistryError> {
        let ambiguous = RegistryError::Ambiguous { what: "pool", id };
        if id < FIRST_POOL || self.pool_ids.insert(name.key.clone(), id).is_some() {
            return Err(ambiguous);
        }
        if self.pools.insert(id, name).is_some() {
            return Err(ambiguous);
        }
        self.retire_pool(id);
        Ok(())
    }

    fn load_workload(&mut self, id: u32, workload: Workload) -> Result<(), RegistryError> {
        let ambiguous = RegistryError::Ambiguous {
            what: "workload",
            id,
        };
        let workload = Arc::new(workload);
        // The last id is kept free, so that there always is a next one.
        let used = self.workloads.insert(id, Arc::clone(&workload)).is_some();
        if id == 0 || id == u32::MAX || used || self.workload_ids.insert(workload, id).is_some() {
            return Err(ambiguous);
        }
        Ok(())
    }
}

impl PoolLine {
    fn new(id: u32, name: &PoolName) -> Self {
        let key = &name.key;
        Self {
            id,
            namespace: Arc::clone(&key.service.namespace),
            hostname: Arc::clone(&key.service.hostname),
            short_name: Arc::clone(&name.short_name),
            port: key.port,
            protocol: match key.protocol {
                Protocol::Tcp => ProtocolWord::Tcp,
                Protocol::Udp => ProtocolWord::Udp,
            },
            family: match key.family {
                Family::V4 => FamilyWord::V4,
                Family::V6 => FamilyWord::V6,
            },
            class: match key.class {
                PoolClass::Cluster => ClassWord::Cluster,
                PoolClass::Local => ClassWord::Local,
            },
        }
    }
}

impl From<PoolLine> for PoolName {
    fn from(line: PoolLine) -> Self {
        Self {
            key: PoolKey {
                service: ServiceName {
                    namespace: line.namespace,
                    hostname: line.hostname,
                },
                port: line.port,
                protocol: match line.protocol {
                    ProtocolWord::Tcp => Protocol::Tcp,
                    ProtocolWord::Udp => Protocol::Udp,
                },
                family: match line.family {
                    FamilyWord::V4 => Family::V4,
                    FamilyWord::V6 => Family::V6,
                },
                class: match line.class {
                    ClassWord::Cluster => PoolClass::Cluster,
                    ClassWord::Local => PoolClass::Local,
                },
            },
            short_name: line.short_name,
        }
    }
}

impl WorkloadLine {
    fn new(id: u32, workload: &Workload) -> Self {
        Self {
            id,
            namespace: Arc::clone(&workload.namespace),
            name: Arc::clone(&workload.name),
            canonical_service: Arc::clone(&workload.canonical_service),
            canonical_revision: Arc::clone(&workload.canonical_revision),
            app: workload.app.clone(),
            version: workload.version.clone(),
            service_account: Arc::clone(&workload.service_account),
        }
    }
}

impl From<WorkloadLine> for Workload {
    fn from(line: WorkloadLine) -> Self {
        Self {
            namespace: line.namespace,
            name: line.name,
            canonical_service: line.canonical_service,
            canonical_revision: line.canonical_revision,
            app: line.app,
            version: line.version,
            service_account: line.service_account,
        }
    }
}
