//! `weft run`: everything on one host.
//!
//! The order at start is what keeps traffic right: the policy is read and the maps are filled
//! before any program is attached or replaced, and until then an earlier manager's programs go on.
//! At the end nothing is detached: the kernel goes on alone.
//!
//! Reading order: this file (start and loop), [`engine`] (files to maps), [`source`] (the
//! directory), [`kernel`] (what the kernel tells), [`repair`] (sockets of removed backends),
//! [`canary`], [`chores`] (what is done now and then), [`evidence`] (what operators see), [`node`],
//! [`place`], [`mounts`], [`process`].

pub(crate) mod ca;
pub(crate) mod canary;
mod chores;
mod engine;
pub(crate) mod enrolment;
mod evidence;
mod kernel;
mod mesh;
mod mounts;
mod node;
pub(crate) mod place;
mod process;
mod refusals;
mod repair;
pub(crate) mod source;
mod stamp;
mod unenforced;
mod uplinks;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use weft_admin::{Limits, Listeners};
use weft_loader::{Events, Lock, Options, Plane, TraceLog};
use weft_lower::Capacity;
use weft_telemetry::{Build, LineFormat, Metrics};

pub(crate) use self::engine::accepted::FOLDER as ACCEPTED;
use self::{
    ca::certificates::Certificates,
    canary::Canary,
    chores::Chores,
    engine::{Engine, Settings},
    evidence::Evidence,
    mesh::{MeshSide, access::AccessLog},
    source::Source,
};
use crate::args::{LogFormat, RunArgs, ca::IdentityArgs, mesh::MeshArgs};

/// Istio's port for metrics, where nothing else is said.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15020);

/// Time since boot, the clock of the kernel's programs (`CLOCK_MONOTONIC`).
pub(crate) fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// `weft run`.
pub(crate) fn run(arguments: &RunArgs) -> anyhow::Result<ExitCode> {
    let seen = arguments.directory.iter().chain(&arguments.local_xds);
    mounts::leave_private_namespace(seen)?;
    let arguments = checked(arguments)?;
    refuse_where_it_cannot_work()?;
    let state = arguments.state.clone();
    let lock = Lock::acquire(&state)?;
    process::allow_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let ended = runtime.block_on(serve(arguments));
    // Blocking tasks end by themselves; a connect under way is not worth waiting for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    // A start that failed leaves no socket for commands to find.
    drop(std::fs::remove_file(state.join("admin.sock")));
    drop(lock);
    ended.map(|()| ExitCode::SUCCESS)
}

/// The command line with nothing left to guess.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) local_xds: Option<PathBuf>,
    pub(crate) cgroup: PathBuf,
    pub(crate) interfaces: Vec<String>,
    pub(crate) node: String,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) state: PathBuf,
    pub(crate) capacity: Capacity,
    pub(crate) grace: Duration,
    pub(crate) trace: bool,
    pub(crate) mesh: MeshArgs,
    pub(crate) identity: IdentityArgs,
    pub(crate) log: LogFormat,
}

impl Config {
    /// Where the mesh is written, in words.
    pub(crate) fn sources(&self) -> String {
        let sources = self.directory.iter().chain(&self.local_xds);
        let sources: Vec<String> = sources.map(|path| path.display().to_string()).collect();
        sources.join(" and ")
    }
}

fn checked(arguments: &RunArgs) -> anyhow::Result<Config> {
    if let Some(directory) = &arguments.directory {
        anyhow::ensure!(
            directory.is_dir(),
            "{} is no directory; give the directory with the policy files",
            directory.display()
        );
    }
    if let Some(file) = &arguments.local_xds {
        check_local(file, arguments.directory.as_deref())?;
    }
    let cgroup = arguments
        .cgroup
        .clone()
        .unwrap_or_else(|| PathBuf::from("/"));
    let state = match &arguments.state {
        Some(state) => std::path::absolute(state)?,
        None => place::default_state(&cgroup)?,
    };
    let node = match &arguments.node {
        Some(node) => node.clone(),
        None => rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
    };
    Ok(Config {
        directory: arguments.directory.clone(),
        local_xds: arguments.local_xds.clone(),
        cgroup,
        interfaces: arguments.interfaces.clone(),
        node,
        admin: arguments.admin,
        state,
        capacity: Capacity::for_backends(arguments.max_backends, arguments.max_services),
        grace: Duration::from_secs(arguments.connection_grace),
        trace: arguments.trace_kernel,
        mesh: arguments.mesh.clone(),
        identity: arguments.identity.clone(),
        log: arguments.log,
    })
}

fn check_local(file: &Path, directory: Option<&Path>) -> anyhow::Result<()> {
    let place = std::fs::canonicalize(file)
        .with_context(|| format!("cannot read --local-xds {}", file.display()))?;
    anyhow::ensure!(place.is_file(), "--local-xds {} is no file", file.display());
    let Some(directory) = directory else {
        return Ok(());
    };
    let inside = std::fs::canonicalize(directory).is_ok_and(|it| place.starts_with(it));
    anyhow::ensure!(
        !inside || !source::is_policy(&place),
        "--local-xds {} lies in {}, whose files are read as resources; move it elsewhere",
        file.display(),
        directory.display()
    );
    Ok(())
}

fn refuse_where_it_cannot_work() -> anyhow::Result<()> {
    let missing: Vec<String> = weft_loader::features::probe_all()
        .into_iter()
        .filter(|feature| feature.required && !feature.is_present())
        .map(|feature| match feature.support {
            weft_loader::Support::Missing(reason) => {
                format!("{} ({}): {reason}", feature.name, feature.needed_for)
            }
            weft_loader::Support::Present(_) => feature.name.to_owned(),
        })
        .collect();
    anyhow::ensure!(
        missing.is_empty(),
        "this host cannot run weft, `weft doctor` tells more; missing: {}",
        missing.join("; ")
    );
    Ok(())
}

/// What the tasks of the manager share.
pub(crate) struct Shared {
    engine: Mutex<Engine>,
    pub(crate) plane: Arc<Plane>,
    pub(crate) config: Config,
    /// When this process started.
    pub(crate) started: Duration,
    pub(crate) adopted: bool,
}

impl Shared {
    /// The engine; a panic elsewhere leaves it usable, since every change of it is complete.
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let started = now();
    // Bound before anything is touched: a port in use must not cost a running mesh its manager.
    let listeners = listen(&config).await?;
    let options = Options {
        state: config.state.clone(),
        cgroup: config.cgroup.clone(),
        interfaces: config.interfaces.clone(),
        capacity: config.capacity,
        trace: config.trace,
    };
    let (plane, report, trace) = Plane::open(options)?;
    for mismatch in &report.sizes {
        tracing::warn!(
            "map {} keeps its {} entries ({} asked for) until `weft uninstall`",
            mismatch.map,
            mismatch.actual,
            mismatch.wanted
        );
    }
    if report.private_mounts {
        tracing::warn!(
            "running in a mount namespace of its own: the mesh ends with its last process"
        );
    }
    let plane = Arc::new(plane);
    let metrics = evidence::Metrics::new();
    let settings = Settings::new(&config, &plane);
    let mut mesh_side = MeshSide::new(
        Arc::clone(&plane),
        &config.node,
        &config.state,
        config.mesh.workloads.clone(),
        config.mesh.encrypt_on_node,
    );
    if let Some(seconds) = config.mesh.hold {
        mesh_side.hold(Duration::from_secs(seconds))?;
    }
    let mut engine = Engine::new(settings, Arc::clone(&plane), mesh_side);
    if report.adopted {
        engine.adopt()?;
    }
    let directory = config.directory.as_deref();
    let directory = directory.map(Source::open).transpose()?;
    let local = config.local_xds.as_deref();
    let local = local.map(Source::open_file).transpose()?;
    let mut sources = Sources { directory, local };
    let edits = sources.directory.as_mut().map(Source::all);
    let local = sources.local.as_mut().map(Source::all);
    engine.start(edits.unwrap_or_default(), local.unwrap_or_default());
    let canary = Canary::listen().await?;
    engine.write_canary(canary.address())?;
    let shared = Arc::new(Shared {
        engine: Mutex::new(engine),
        plane: Arc::clone(&plane),
        config,
        started,
        adopted: report.adopted,
    });
    let metrics = connect(&shared, metrics, report.adopted);
    let identity = carry(&shared, &metrics).await?;
    let workload_api = workload_api(&shared, &identity)?;
    let attached = plane.attach()?;
    tracing::info!(
        "attached to {}: {} hooks new, {} replaced, {} removed",
        plane.cgroup().path().display(),
        attached.created.len(),
        attached.replaced.len(),
        attached.removed.len()
    );
    let evidence = Arc::new(Evidence::new(Arc::clone(&shared), metrics));
    let admin = tokio::spawn(weft_admin::serve(listeners, evidence, Limits::default()));
    greet(&shared);
    let events = plane.events()?;
    let certificates = &identity.certificates;
    let result = main_loop(&shared, &mut sources, events, trace, canary, certificates).await;
    admin.abort();
    workload_api.abort();
    tracing::info!("ends; the kernel goes on alone, `weft uninstall` removes everything");
    result
}

/// Starts what identity and the proxy need, and enrols what is to be enrolled.
async fn carry(shared: &Arc<Shared>, metrics: &Metrics) -> anyhow::Result<ca::Identity> {
    let config = &shared.config;
    let settings = weft_compiler::Settings::default().with_mesh_config(shared.engine().store());
    let aliases = settings.trust_domain_aliases.iter().map(|alias| &**alias);
    let domains = weft_identity::TrustDomains::new(&settings.trust_domain, aliases)
        .context("the mesh configuration names a trust domain that is none")?;
    let gauges = Some(metrics.manager().clone());
    let identity = ca::start(&config.identity, &config.state, domains, gauges).await?;
    let format = match config.log {
        LogFormat::Text => LineFormat::Text,
        LogFormat::Json => LineFormat::Json,
    };
    let log = AccessLog::open(config.mesh.access_log.as_deref(), format, shared)?;
    let mut engine = shared.engine();
    engine.mesh_side.carry(identity.certificates.clone(), log)?;
    engine.enrol();
    Ok(identity)
}

/// Serves the SPIFFE Workload API to enrolled workloads.
fn workload_api(shared: &Arc<Shared>, identity: &ca::Identity) -> anyhow::Result<JoinHandle<()>> {
    let weak = Arc::downgrade(shared);
    let attest = move |pid| weak.upgrade()?.engine().mesh_side.attest(pid);
    let serving = ca::workload_api::serve(
        &identity.workload_socket,
        identity.certificates.clone(),
        Arc::new(attest),
    )?;
    Ok(tokio::spawn(serving))
}

async fn listen(config: &Config) -> anyhow::Result<Listeners> {
    let tcp = match config.admin {
        Some(address) => Some(weft_admin::bind_tcp(address).await?),
        // Asked for by nobody, so not worth refusing to start.
        None => match weft_admin::bind_tcp(ADMIN).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::warn!("no metrics over TCP: {error}");
                None
            }
        },
    };
    std::fs::create_dir_all(&config.state)
        .with_context(|| format!("cannot make {}", config.state.display()))?;
    let unix = Some(weft_admin::bind_unix(&config.state.join("admin.sock"))?);
    Ok(Listeners { tcp, unix })
}

fn connect(shared: &Arc<Shared>, slot: evidence::Metrics, adopted: bool) -> Arc<Metrics> {
    let build = Build {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("WEFT_COMMIT").unwrap_or("unknown").to_owned(),
        cluster: None,
        trust_domain: trust_domain(shared),
    };
    let metrics = slot.connect(shared, &build);
    metrics.manager().started(adopted);
    shared.engine().set_metrics(Arc::clone(&metrics));
    metrics
}

fn trust_domain(shared: &Shared) -> String {
    let engine = shared.engine();
    let settings = weft_compiler::Settings::default().with_mesh_config(engine.store());
    settings.trust_domain.to_string()
}

fn greet(shared: &Shared) {
    let engine = shared.engine();
    let mesh = engine.mesh();
    let endpoints: usize = mesh
        .services
        .values()
        .flat_map(|s| &s.ports)
        .map(|port| port.endpoints.len())
        .sum();
    tracing::info!(
        "serving {} services with {endpoints} endpoints from {} on node {}; state in {}",
        mesh.services.len(),
        shared.config.sources(),
        shared.config.node,
        shared.config.state.display()
    );
}

/// Where the mesh is written.
struct Sources {
    directory: Option<Source>,
    local: Option<Source>,
}

/// Waits until files of a source changed; without a source for ever.
async fn next(source: &mut Option<Source>) -> Vec<source::Edit> {
    match source {
        Some(source) => source.next().await,
        None => std::future::pending().await,
    }
}

async fn main_loop(
    shared: &Arc<Shared>,
    sources: &mut Sources,
    events: Events,
    trace: Option<TraceLog>,
    canary: Canary,
    certificates: &Certificates,
) -> anyhow::Result<()> {
    let mut events = kernel::follow(events);
    if let Some(trace) = trace {
        kernel::print(trace);
    }
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut chores = Chores::new(shared, canary);
    let mut revoked = certificates.revoked();
    let mut list_problems = certificates.list_problems();
    loop {
        tokio::select! {
            edits = next(&mut sources.directory) => {
                shared.engine().edit(edits);
                chores.visit_soon();
            }
            edits = next(&mut sources.local) => {
                shared.engine().edit_local(edits);
                chores.visit_soon();
            }
            Some(event) = events.recv() => shared.engine().hear(event, &mut events),
            Ok(()) = revoked.changed() => shared.engine().mesh_side.trust_changed(),
            Ok(()) = list_problems.changed() => shared.engine().gather_problems(),
            _ = tick.tick() => shared.engine().maintain(),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
        if shared.engine().mesh_side.take_judgement() {
            let shared = Arc::clone(shared);
            tokio::task::spawn_blocking(move || mesh::revoke::judge(&shared));
        }
        chores.work().await;
    }
}

/// A path as people should read it.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
