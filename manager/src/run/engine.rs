//! From files to maps: the store, the compiler, the planner and the plane, one after the other.
//!
//! Every edit goes all the way before the next is looked at, and writes only what it changed. What
//! cannot be taken leaves what was good in force and is a problem until it is mended.

pub(crate) mod accepted;

mod ejections;

mod local;

mod problems;

mod refusals;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use weft_abi::SocketRecord;
use weft_api::{ObjectKey, Store};
use weft_compiler::Compiler;
use weft_loader::Plane;
use weft_lower::{
    Capacity, MapOp, NodeFacts, OutlierDetector, Plan, Planner, Registry, Shortage, canary_ops,
    mesh::MeshPlan,
};
use weft_model::{Change, Mesh, Problem, Protocol, ServiceName};
use weft_telemetry::{Metrics, RecentEvents};

use self::accepted::Accepted;
use super::{
    Config,
    mesh::MeshSide,
    node::Addresses,
    now,
    source::{Content, Edit},
};

/// Events kept for `weft status` and `weft top`.
const RECENT: usize = 256;

/// Until then an applied policy is told of as the cause of events.
const NAMES: &str = "names.json";

/// What the engine needs of the command line.
pub(crate) struct Settings {
    node: Arc<str>,
    interfaces: Vec<String>,
    state: PathBuf,
    capacity: Capacity,
}

impl Settings {
    /// The capacity is that of the maps as they are, which may be those of an earlier manager.
    pub(crate) fn new(config: &Config, plane: &Plane) -> Self {
        let maps = plane.maps();
        Self {
            node: config.node.as_str().into(),
            interfaces: config.interfaces.clone(),
            state: config.state.clone(),
            capacity: Capacity {
                services: maps.services.capacity().min(maps.service_state.capacity()),
                backends: maps.backends.capacity().min(maps.backend_state.capacity()),
                slots: maps.slots.capacity(),
                workloads: maps.workloads.capacity(),
            },
        }
    }
}

/// The last change that wrote something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    pub(crate) at: Duration,
    pub(crate) effect: Option<Duration>,
    pub(crate) writes: u64,
}

/// Edits that the store has taken in.
struct Taken {
    changed: BTreeSet<ObjectKey>,
    /// Files with their texts.
    texts: Vec<(String, String)>,
    /// When the first of them was noticed.
    since: Duration,
}

/// All state of the manager that policy decides.
pub(crate) struct Engine {
    settings: Settings,
    plane: Arc<Plane>,
    store: Store,
    accepted: Accepted,
    compiler: Compiler,
    pub(crate) planner: Planner,
    pub(crate) mesh_side: MeshSide,
    pub(crate) detector: OutlierDetector,
    pub(crate) recent: RecentEvents,
    pub(crate) metrics: Option<Arc<Metrics>>,
    addresses: Addresses,
    /// Pools with outlier detection, by service.
    watched: BTreeMap<ServiceName, Vec<u32>>,
    saved_revision: Option<u64>,
    /// What is wrong with the file of `--local-xds`.
    local_problems: Vec<Problem>,
    /// Files that cannot be read at all.
    unreadable: BTreeMap<String, String>,
    /// Set when a write failed: the maps are not what the planner thinks.
    broken: Option<String>,
    canary: Option<String>,
    problems: Vec<Problem>,
    shortages: Vec<Shortage>,
    pub(crate) generation: u64,
    pub(crate) last: Option<Applied>,
    pub(crate) writes: BTreeMap<&'static str, u64>,
    removed: bool,
}

impl Engine {
    /// Knows nothing yet.
    pub(crate) fn new(settings: Settings, plane: Arc<Plane>, mesh_side: MeshSide) -> Self {
        let addresses = Addresses::read(&settings.interfaces);
        Self {
            planner: Planner::new(settings.capacity),
            accepted: Accepted::new(&settings.state),
            mesh_side,
            settings,
            plane,
            store: Store::default(),
            compiler: Compiler::new(weft_compiler::Settings::default()),
            detector: OutlierDetector::default(),
            recent: RecentEvents::new(RECENT),
            metrics: None,
            addresses,
            watched: BTreeMap::new(),
            saved_revision: None,
            local_problems: Vec::new(),
            unreadable: BTreeMap::new(),
            broken: None,
            canary: Some("the canary has not dialled yet".to_owned()),
            problems: Vec::new(),
            shortages: Vec::new(),
            generation: 0,
            last: None,
            writes: BTreeMap::new(),
            removed: false,
        }
    }

    /// Goes on with the maps of an earlier manager.
    pub(crate) fn adopt(&mut self) -> anyhow::Result<()> {
        let registry = self.saved_registry();
        let dump = self
            .plane
            .maps()
            .dump()
            .context("cannot read the maps of an earlier manager")?;
        tracing::info!(
            "adopting {} service entries and {} backends of an earlier manager",
            dump.services.len(),
            dump.backends.len()
        );
        self.planner.adopt(dump, registry);
        self.mesh_side
            .adopt()
            .context("cannot read the maps of an earlier manager")?;
        Ok(())
    }

    fn saved_registry(&self) -> Registry {
        let path = self.settings.state.join(NAMES);
        let Ok(text) = fs::read_to_string(&path) else {
            return Registry::default();
        };
        Registry::from_json(&text).unwrap_or_else(|error| {
            tracing::warn!(
                "{}: {error}; series of metrics may begin anew",
                path.display()
            );
            Registry::default()
        })
    }

    /// Takes all files, and makes the maps hold what they say and nothing else.
    pub(crate) fn start(&mut self, edits: Vec<Edit>, local: Vec<Edit>) {
        let texts = self.take(edits).texts;
        self.recall(&texts);
        let keys: Vec<ObjectKey> = self.store.keys().cloned().collect();
        self.compiler.update(&self.store, &keys);
        let local = self.start_local(local);
        self.write_node_addresses();
        self.mesh_side.look(self.compiler.mesh());
        self.plan_all();
        self.restore_ejections();
        self.gather_problems();
        let files = self.store.files().map(|file| &**file);
        self.accepted.forget_others(files.chain(local.as_deref()));
        self.keep(&texts);
    }

    /// Looks at enrolments now: at start, once the proxy is there.
    pub(crate) fn enrol(&mut self) {
        self.mesh_side.look(self.compiler.mesh());
        self.apply(&Change::default(), None);
        self.gather_problems();
    }

    /// Takes edits of files.
    pub(crate) fn edit(&mut self, edits: Vec<Edit>) {
        let taken = self.take(edits);
        let changed: Vec<ObjectKey> = taken.changed.into_iter().collect();
        let change = self.compiler.update(&self.store, &changed);
        self.apply(&change, Some(taken.since));
        self.gather_problems();
        self.keep(&taken.texts);
    }

    fn take(&mut self, edits: Vec<Edit>) -> Taken {
        let mut changed = BTreeSet::new();
        let mut texts = Vec::new();
        let mut since = now();
        for edit in edits {
            since = since.min(edit.at);
            self.unreadable.remove(&edit.file);
            let outcome = match edit.content {
                Content::Text(text) => {
                    let outcome = self.store.put_file(&edit.file, &text);
                    texts.push((edit.file, text));
                    outcome
                }
                Content::Gone => {
                    self.accepted.forget(&edit.file);
                    self.store.remove_file(&edit.file)
                }
                Content::Unreadable(reason) => {
                    self.unreadable.insert(edit.file, reason);
                    continue;
                }
            };
            changed.extend(outcome.changed);
        }
        Taken {
            changed,
            texts,
            since,
        }
    }

    /// Plans everything, whatever the maps hold.
    fn plan_all(&mut self) {
        let mesh = self.compiler.mesh();
        self.mesh_side.prepare(mesh, None, &mut self.planner);
        let facts = self.node_facts();
        let mesh = self.compiler.mesh();
        let plan = self.planner.plan_full(mesh, &facts, now());
        let mesh_plan = self.mesh_side.plan(mesh, None, &mut self.planner, now());
        let services: Vec<ServiceName> = mesh.services.keys().cloned().collect();
        self.execute(plan, mesh_plan, &services, None, true);
    }

    fn apply(&mut self, change: &Change, since: Option<Duration>) {
        if !change.instances.is_empty() {
            // The proxy listens before the kernel sends anything its way.
            self.mesh_side.look(self.compiler.mesh());
        }
        let mesh = self.compiler.mesh();
        self.mesh_side
            .prepare(mesh, Some(change), &mut self.planner);
        let facts = self.node_facts();
        let plan = self.planner.plan(change, &facts, now());
        let mesh = self.compiler.mesh();
        let mesh_plan = self
            .mesh_side
            .plan(mesh, Some(change), &mut self.planner, now());
        let services: Vec<ServiceName> = change
            .services
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let is_changed = !change.policies.is_empty();
        self.execute(plan, mesh_plan, &services, since, is_changed);
    }

    fn execute(
        &mut self,
        plan: Plan,
        mesh_plan: MeshPlan,
        services: &[ServiceName],
        since: Option<Duration>,
        is_changed: bool,
    ) {
        self.save_registry();
        let ops = [mesh_plan.before, plan.ops, mesh_plan.after].concat();
        self.removed |= !plan.removed.is_empty();
        self.shortages = plan.problems;
        for backend in &plan.removed {
            self.detector
                .forget(backend.service, backend.index, backend.generation);
        }
        // What writes nothing here may still change what the proxy and `weft why` answer.
        if ops.is_empty() && !is_changed && self.generation > 0 {
            self.watch(services);
            return;
        }
        let writes = self.write(&ops);
        self.mesh_side.settle(self.broken.is_none());
        let at = now();
        let effect = since.map(|since| at.saturating_sub(since));
        self.generation += 1;
        self.last = Some(Applied { at, effect, writes });
        if let Some(metrics) = &self.metrics {
            metrics
                .manager()
                .config_applied(self.generation, effect.map(|effect| effect.as_secs_f64()));
        }
        tracing::debug!(
            "generation {}: {writes} entries written{}",
            self.generation,
            effect
                .map(|effect| format!(" in {effect:?}"))
                .unwrap_or_default()
        );
        self.watch(services);
    }

    /// Writes steps; returns how many entries. A failure is mended at the next tick, from what the
    /// maps then hold.
    pub(crate) fn write(&mut self, ops: &[MapOp]) -> u64 {
        match self.plane.apply(ops) {
            Ok(applied) => {
                let mut sum = 0;
                for (map, count) in applied.writes {
                    *self.writes.entry(map).or_default() += count;
                    sum += count;
                }
                sum
            }
            Err(error) => {
                tracing::error!("cannot write the maps: {error}; tried again in a second");
                self.broken = Some(error.to_string());
                0
            }
        }
    }

    /// Writes the canary's backend.
    pub(crate) fn write_canary(&self, address: std::net::SocketAddr) -> anyhow::Result<()> {
        self.plane
            .apply(&canary_ops(address))
            .context("cannot write the canary")?;
        Ok(())
    }

    /// Once a second: what waits, what failed, what is over.
    pub(crate) fn maintain(&mut self) {
        let now = now();
        if self.broken.take().is_some() {
            self.mend();
        } else {
            self.look_at_addresses();
            let enrolled = self.mesh_side.look(self.compiler.mesh());
            let retry = [self.planner.retry_at(), self.mesh_side.planner.retry_at()];
            if enrolled || retry.into_iter().flatten().any(|at| at <= now) {
                self.apply(&Change::default(), None);
                self.gather_problems();
            }
            self.mesh_side.settle(self.broken.is_none());
        }
        let verdicts = self.detector.sweep(now);
        self.carry_out(&verdicts, now);
    }

    fn mend(&mut self) {
        let registry = self.planner.registry().clone();
        let dump = match self.plane.maps().dump() {
            Ok(dump) => dump,
            Err(error) => {
                self.broken = Some(error.to_string());
                return;
            }
        };
        self.planner = Planner::new(self.settings.capacity);
        self.planner.adopt(dump, registry);
        if let Err(error) = self.mesh_side.adopt() {
            self.broken = Some(error.to_string());
            return;
        }
        self.plan_all();
        self.gather_problems();
    }

    /// An address added to an interface may be one where node ports listen.
    fn look_at_addresses(&mut self) {
        let addresses = Addresses::read(&self.settings.interfaces);
        if addresses != self.addresses {
            self.addresses = addresses;
            self.write_node_addresses();
            self.apply(&Change::default(), None);
        }
    }

    fn write_node_addresses(&self) {
        let (v4, v6) = self.addresses.masquerade();
        if let Err(error) = self.plane.set_node_addresses(v4, v6) {
            tracing::error!("cannot say what this node masquerades as: {error}");
        }
    }

    /// Saves the names of ids before the kernel sees an id that is new.
    fn save_registry(&mut self) {
        let registry = self.planner.registry();
        if self.saved_revision == Some(registry.revision()) {
            return;
        }
        let path = self.settings.state.join(NAMES);
        let draft = path.with_extension("json.new");
        let saved = fs::write(&draft, registry.to_json()).and_then(|()| fs::rename(&draft, &path));
        match saved {
            Ok(()) => self.saved_revision = Some(registry.revision()),
            Err(error) => tracing::error!("cannot save names to {}: {error}", path.display()),
        }
    }

    /// What this node is.
    pub(crate) fn node_facts(&self) -> NodeFacts {
        self.addresses
            .facts(&self.settings.node, self.compiler.mesh())
    }

    /// What the policy means now.
    pub(crate) fn mesh(&self) -> &Mesh {
        self.compiler.mesh()
    }

    /// The objects that are taken in.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The mesh of the file of `--local-xds`.
    pub(crate) fn local(&self) -> Option<&Mesh> {
        self.compiler.local()
    }

    /// What is wrong now.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether the backend a socket is connected to still exists.
    pub(crate) fn is_served(&self, record: &SocketRecord) -> bool {
        if record.service == weft_lower::canary::CANARY_POOL {
            return true;
        }
        let backend = self.planner.backend(record.backend);
        backend.is_some_and(|backend| backend.generation == record.generation)
    }

    /// Whether backends went since the last call.
    pub(crate) fn take_removed(&mut self) -> bool {
        std::mem::take(&mut self.removed)
    }

    /// Where metrics are counted from now on.
    pub(crate) fn set_metrics(&mut self, metrics: Arc<Metrics>) {
        metrics.manager().config_applied(self.generation, None);
        let counts = weft_admin::ProblemCounts::of(&self.problems);
        metrics
            .manager()
            .problems_now(counts.errors, counts.warnings, counts.infos);
        self.metrics = Some(metrics);
    }

    /// What the canary met; `None` is well.
    pub(crate) fn set_canary(&mut self, failure: Option<String>) {
        self.canary = failure;
    }

    /// Why traffic is not served as configured.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let mut doubts: Vec<String> = self.canary.iter().chain(&self.broken).cloned().collect();
        if let Some(certificates) = self.mesh_side.certificates() {
            doubts.extend(certificates.doubts(std::time::SystemTime::now()));
        }
        doubts
    }

    /// Counts sockets destroyed because their backend is gone.
    pub(crate) fn count_destroyed(&self, protocol: Protocol, count: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.manager().sockets_destroyed(protocol, count);
        }
    }
}
