//! What operators see: the manager's state in the shapes of `weft-admin`.

mod service;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use weft_abi::{Backend, BackendState, Counter, EdgeKey, EdgeValue};
use weft_admin::{
    AuthorizationReport, DenialReport, EnrolledReport, EventReport, LastChange, MapReport,
    ProblemCounts, ProblemReport, ProgramReport, Readiness, ServiceReport, ServiceSummary,
    StateSource, StatusReport, TopReport,
};
use weft_loader::{CGROUP_HOOKS, TC_HOOKS};
use weft_lower::{Planner, canary::CANARY_POOL};
use weft_telemetry::{
    BackendCounts, Build, Format, KernelSnapshot, Limits, MapFill, NameTable, ProgramStats,
    Snapshot,
};

use super::{Shared, engine::Engine, kernel::PlannerNames, now, process, shown};

/// Makes metrics that read a [`Shared`] which does not exist yet.
pub(crate) struct Metrics(Arc<OnceLock<Weak<Shared>>>);

impl Metrics {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn connect(
        self,
        shared: &Arc<Shared>,
        build: &Build,
    ) -> Arc<weft_telemetry::Metrics> {
        // Weak: the engine holds the metrics, which must not hold the engine.
        drop(self.0.set(Arc::downgrade(shared)));
        let slot = self.0;
        let source = move || match slot.get().and_then(Weak::upgrade) {
            Some(shared) => snapshot(&shared),
            None => Snapshot {
                kernel: KernelSnapshot::default(),
                names: Arc::new(NameTable::default()),
                process: None,
            },
        };
        Arc::new(weft_telemetry::Metrics::new(
            build,
            Limits::default(),
            source,
        ))
    }
}

/// Drops idle edges from the kernel's map.
pub(crate) fn expire(shared: &Shared) {
    let Some(metrics) = shared.engine().metrics.clone() else {
        return;
    };
    for edge in metrics.expired(|| snapshot(shared)) {
        if let Err(error) = shared.plane.maps().delete_edge(&edge) {
            return tracing::error!("cannot drop an idle edge: {error}");
        }
    }
}

/// Takes in how often policy decided.
pub(crate) fn observe_rules(shared: &Shared, metrics: &weft_telemetry::Metrics) {
    metrics.observe_rules(|| {
        let hits = shared.plane.maps().authz_hits();
        let hits = hits.inspect_err(|error| tracing::error!("cannot count policy: {error}"));
        Some(shared.engine().mesh_side.rules(hits.ok()?))
    });
}

/// A copy of the kernel's counters with the names of their ids.
fn snapshot(shared: &Shared) -> Snapshot {
    // Makes the kernel count live connections first.
    if let Err(error) = shared.plane.sockets() {
        tracing::error!("cannot count live connections: {error}");
    }
    let mut edges = shared.plane.maps().edges().unwrap_or_else(|error| {
        tracing::error!("cannot read edges: {error}");
        Vec::new()
    });
    // The manager's own dials are no traffic of the mesh.
    edges.retain(|(key, _)| key.service != CANARY_POOL);
    let engine = shared.engine();
    let names = names(&engine.planner, &edges);
    Snapshot {
        kernel: kernel(shared, &engine, edges),
        names: Arc::new(names),
        process: process::read(),
    }
}

fn names(planner: &Planner, edges: &[(EdgeKey, EdgeValue)]) -> NameTable {
    use weft_telemetry::Names as _;
    let live = PlannerNames(planner);
    let of_edges = edges.iter().map(|(key, _)| key.service);
    let pools: BTreeSet<u32> = planner
        .pools()
        .map(|pool| pool.id)
        .chain(of_edges)
        .collect();
    let workloads: BTreeSet<u32> = edges
        .iter()
        .flat_map(|(key, _)| [key.source, key.destination])
        .collect();
    NameTable {
        pools: pools
            .into_iter()
            .filter_map(|id| Some((id, live.pool(id)?)))
            .collect(),
        workloads: workloads
            .into_iter()
            .filter_map(|id| Some((id, live.workload(id)?)))
            .collect(),
        backends: BTreeMap::new(),
    }
}

fn kernel(shared: &Shared, engine: &Engine, edges: Vec<(EdgeKey, EdgeValue)>) -> KernelSnapshot {
    let maps = shared.plane.maps();
    let time = now();
    let last_pool = engine.planner.pools().last().map_or(0, |pool| pool.id);
    let states = maps.service_states(0..last_pool + 1).unwrap_or_default();
    let services = engine
        .planner
        .pools()
        .filter_map(|pool| Some((pool.id, *states.get(pool.id as usize)?)))
        .collect();
    let active = States::read(shared, &engine.planner);
    let backends = engine
        .planner
        .pools()
        .map(|pool| (pool.id, count(pool, &active, time)))
        .collect();
    KernelSnapshot {
        time,
        counters: maps.counters().unwrap_or_default(),
        services,
        backends,
        maps: fill(shared, engine, edges.len()),
        programs: programs(shared),
        edges,
    }
}

/// `BACKEND_STATE` up to the last index in use.
pub(crate) struct States(Vec<BackendState>);

impl States {
    pub(crate) fn read(shared: &Shared, planner: &Planner) -> Self {
        let last = planner.backends().last().map_or(0, |backend| backend.index);
        Self(
            shared
                .plane
                .maps()
                .backend_states(0..last + 1)
                .unwrap_or_default(),
        )
    }

    /// The state of a backend; zeroes when the index has another owner.
    pub(crate) fn of(&self, index: u32, generation: u32) -> BackendState {
        let state = self.0.get(index as usize).copied().unwrap_or_default();
        if state.generation == generation {
            state
        } else {
            BackendState::default()
        }
    }
}

fn count(pool: weft_lower::PoolView<'_>, states: &States, now: Duration) -> BackendCounts {
    let mut counts = BackendCounts::default();
    for backend in pool.backends() {
        let state = states.of(backend.index, backend.generation);
        counts.active += u64::from(state.active);
        *if backend.flags & Backend::DRAINING != 0 {
            &mut counts.draining
        } else if Duration::from_nanos(backend.ejected_until) > now {
            &mut counts.ejected
        } else {
            &mut counts.ready
        } += 1;
    }
    counts
}

fn fill(shared: &Shared, engine: &Engine, edges: usize) -> Vec<MapFill> {
    use weft_abi::names::maps as names;
    let maps = shared.plane.maps();
    let usage = engine.planner.usage();
    let fill = |name: &str, entries: u64, capacity: u32| MapFill {
        name: name.into(),
        entries,
        max_entries: u64::from(capacity),
    };
    vec![
        fill(
            names::SERVICES,
            usage.services.into(),
            maps.services.capacity(),
        ),
        fill(
            names::BACKENDS,
            usage.backends.into(),
            maps.backends.capacity(),
        ),
        fill(names::SLOTS, usage.slots.into(), maps.slots.capacity()),
        fill(
            names::WORKLOADS,
            usage.workloads.into(),
            maps.workloads.capacity(),
        ),
        fill(names::EDGES, edges as u64, maps.edges.capacity()),
        fill(
            names::AFFINITY,
            maps.affinity.count(|_| true).unwrap_or(0).into(),
            maps.affinity.capacity(),
        ),
        fill(
            names::FLOWS,
            maps.flows.count(|_| true).unwrap_or(0).into(),
            maps.flows.capacity(),
        ),
    ]
}

fn programs(shared: &Shared) -> Vec<ProgramStats> {
    let stats = shared.plane.program_stats().unwrap_or_default();
    stats
        .into_iter()
        .map(|program| ProgramStats {
            name: program.program.into(),
            run_time_ns: program.nanoseconds,
            run_count: program.runs,
        })
        .collect()
}

/// Answers the admin server.
pub(crate) struct Evidence {
    shared: Arc<Shared>,
    metrics: Arc<weft_telemetry::Metrics>,
}

impl Evidence {
    pub(crate) fn new(shared: Arc<Shared>, metrics: Arc<weft_telemetry::Metrics>) -> Self {
        Self { shared, metrics }
    }

    fn attached(&self, program: &str) -> Vec<String> {
        if CGROUP_HOOKS.iter().any(|hook| hook.program == program) {
            vec![shown(self.shared.plane.cgroup().path())]
        } else if TC_HOOKS.iter().any(|hook| hook.program == program) {
            self.shared
                .config
                .interfaces
                .iter()
                .map(|name| format!("tc:{name}"))
                .collect()
        } else {
            Vec::new()
        }
    }
}

impl StateSource for Evidence {
    fn metrics(&self, format: Format) -> String {
        observe_rules(&self.shared, &self.metrics);
        self.metrics.render(format)
    }

    fn readiness(&self) -> Readiness {
        Readiness::unless(self.shared.engine().doubts())
    }

    fn status(&self) -> StatusReport {
        let shared = &self.shared;
        let engine = shared.engine();
        let time = now();
        let config = &shared.config;
        let mesh = engine.mesh();
        let ports = mesh.services.values().flat_map(|service| &service.ports);
        let edges = shared.plane.maps().edges.count(|_| true).unwrap_or(0) as usize;
        let ejected = |backend: &weft_lower::BackendView<'_>| {
            Duration::from_nanos(backend.ejected_until) > time
        };
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: config.node.clone(),
            pid: std::process::id(),
            uptime_seconds: time.saturating_sub(shared.started).as_secs_f64(),
            adopted: shared.adopted,
            directory: config.sources(),
            state: shown(&config.state),
            cgroup: shown(shared.plane.cgroup().path()),
            interfaces: config.interfaces.clone(),
            readiness: Readiness::unless(engine.doubts()),
            generation: engine.generation,
            last_change: engine.last.map(|last| LastChange {
                seconds_ago: time.saturating_sub(last.at).as_secs_f64(),
                effect_seconds: last.effect.map(|effect| effect.as_secs_f64()),
                writes: last.writes,
            }),
            services: mesh.services.len() as u64,
            endpoints: ports.map(|port| port.endpoints.len() as u64).sum(),
            workloads: mesh.addresses.len() as u64,
            enrolled: engine.mesh_side.enrolments.open().count() as u64,
            proxied: engine.mesh_side.proxied() as u64,
            problems: ProblemCounts::of(engine.problems()),
            ejected: engine.planner.backends().filter(ejected).count() as u64,
            maps: fill(shared, &engine, edges)
                .iter()
                .map(MapReport::from)
                .collect(),
            programs: programs(shared)
                .iter()
                .map(|program| ProgramReport::new(program, self.attached(&program.name)))
                .collect(),
            losses: losses(shared),
            events: engine
                .recent
                .latest()
                .take(20)
                .map(|event| EventReport::new(event, time))
                .collect(),
        }
    }

    fn services(&self) -> Vec<ServiceSummary> {
        let engine = self.shared.engine();
        let states = States::read(&self.shared, &engine.planner);
        let services = engine.mesh().services.values();
        services
            .map(|service| service::summary(&self.shared, &engine, &states, service))
            .collect()
    }

    fn service(&self, namespace: &str, name: &str) -> Option<ServiceReport> {
        let engine = self.shared.engine();
        let service = engine.mesh().services.values().find(|service| {
            *service.name.namespace == *namespace
                && (*service.short_name == *name || *service.name.hostname == *name)
        })?;
        let states = States::read(&self.shared, &engine.planner);
        Some(service::report(&self.shared, &engine, &states, service))
    }

    fn top(&self) -> TopReport {
        let snapshot = snapshot(&self.shared);
        let engine = self.shared.engine();
        TopReport::assemble(&snapshot.kernel, &*snapshot.names, &engine.recent)
    }

    fn problems(&self) -> Vec<ProblemReport> {
        self.shared
            .engine()
            .problems()
            .iter()
            .map(ProblemReport::from)
            .collect()
    }

    fn workloads(&self) -> Vec<EnrolledReport> {
        self.shared.engine().mesh_side.reports()
    }

    fn policies(&self) -> AuthorizationReport {
        observe_rules(&self.shared, &self.metrics);
        let totals = self.metrics.rule_totals();
        self.shared.engine().mesh_side.authorization(&totals)
    }

    fn denied(&self) -> Vec<DenialReport> {
        let mut engine = self.shared.engine();
        engine.take_told();
        engine.mesh_side.refusals.reports()
    }

    fn why(&self, arguments: &[String]) -> Result<serde_json::Value, String> {
        let (store, local) = {
            let engine = self.shared.engine();
            (engine.store().clone(), engine.local().cloned())
        };
        crate::cmd::why::live(store, local, arguments)
    }

    fn names(&self) -> serde_json::Value {
        serde_json::to_value(self.shared.engine().planner.registry()).unwrap_or_default()
    }
}

/// Counters that should stay 0.
fn losses(shared: &Shared) -> BTreeMap<String, u64> {
    let counters = shared.plane.maps().counters().unwrap_or_default();
    [
        (Counter::EVENTS_DROPPED, "events_dropped"),
        (Counter::EDGES_FULL, "edges_full"),
        (Counter::STORAGE_FAILED, "storage_failed"),
        (Counter::INCONSISTENT, "inconsistent"),
        (Counter::FLOWS_FULL, "flows_full"),
    ]
    .into_iter()
    .map(|(index, name)| (name.to_owned(), counters[index as usize]))
    .collect()
}
