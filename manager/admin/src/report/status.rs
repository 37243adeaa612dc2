//! `/state/status`, `/state/problems`, `/healthz/ready`.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use weft_model::{Problem, Severity};
use weft_telemetry::{Cause, MapFill, ProgramStats, RecentEvent};

/// Whether traffic is served as configured.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Readiness {
    /// Ready when there is no reason not to be.
    pub ready: bool,
    /// Why not, each a sentence without a full stop.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// Ready if there are no reasons against it.
    pub fn unless(reasons: Vec<String>) -> Self {
        Self {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}

/// `/state/status`: the manager and its kernel half.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StatusReport {
    /// Version of the manager.
    pub version: String,
    /// Name of this node, empty when none was given.
    pub node: String,
    /// Process id of the manager.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_seconds: f64,
    /// Whether it found the maps of an earlier manager and went on with them.
    pub adopted: bool,
    /// Directory with the policy files.
    pub directory: String,
    /// State directory.
    pub state: String,
    /// Cgroup whose sockets are served.
    pub cgroup: String,
    /// Interfaces with tc hooks.
    pub interfaces: Vec<String>,
    /// Whether traffic is served as configured.
    pub readiness: Readiness,
    /// Generation of the configuration in force, from 1 at each start.
    pub generation: u64,
    /// The last change that wrote something.
    pub last_change: Option<LastChange>,
    /// Services in the configuration.
    pub services: u64,
    /// Endpoints in the configuration.
    pub endpoints: u64,
    /// Addresses with a known workload.
    pub workloads: u64,
    /// Workloads enrolled on this node.
    pub enrolled: u64,
    /// Connections that the proxy carries now.
    pub proxied: u64,
    /// Problems in the configuration now.
    pub problems: ProblemCounts,
    /// Backends ejected now.
    pub ejected: u64,
    /// How full maps are.
    pub maps: Vec<MapReport>,
    /// Programs and what they cost.
    pub programs: Vec<ProgramReport>,
    /// Kernel counters that should stay 0, by metric name.
    pub losses: BTreeMap<String, u64>,
    /// Latest failures and refusals, the latest first.
    pub events: Vec<EventReport>,
}

/// The last change that wrote something.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LastChange {
    /// How long ago.
    pub seconds_ago: f64,
    /// From the file event to the last map write, when a file event caused it.
    pub effect_seconds: Option<f64>,
    /// Map entries written.
    pub writes: u64,
}

/// Problems by severity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProblemCounts {
    /// Not taken.
    pub errors: u64,
    /// Taken, but not as meant.
    pub warnings: u64,
    /// Worth knowing.
    pub infos: u64,
}

impl ProblemCounts {
    /// Counts problems.
    pub fn of<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Self {
        let mut counts = Self::default();
        for problem in problems {
            *match problem.severity {
                Severity::Error => &mut counts.errors,
                Severity::Warning => &mut counts.warnings,
                Severity::Info => &mut counts.infos,
            } += 1;
        }
        counts
    }
}

/// How full a map is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MapReport {
    /// Name.
    pub name: String,
    /// Entries in use.
    pub entries: u64,
    /// Entries there is room for.
    pub max_entries: u64,
}

impl From<&MapFill> for MapReport {
    fn from(map: &MapFill) -> Self {
        let MapFill {
            name,
            entries,
            max_entries,
        } = map;
        Self {
            name: name.to_string(),
            entries: *entries,
            max_entries: *max_entries,
        }
    }
}

/// A program and what it costs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProgramReport {
    /// Name.
    pub name: String,
    /// Where it is attached: a cgroup, or `tc:INTERFACE`; empty when it is not.
    pub attached: Vec<String>,
    /// Runs; grows only while the kernel's run-time statistics are on.
    pub runs: u64,
    /// Mean time of a run in nanoseconds, when it ran while statistics were on.
    pub mean_ns: Option<u64>,
}

impl ProgramReport {
    /// A program's statistics with where it is attached.
    pub fn new(program: &ProgramStats, attached: Vec<String>) -> Self {
        Self {
            name: program.name.to_string(),
            attached,
            runs: program.run_count,
            mean_ns: program.run_time_ns.checked_div(program.run_count),
        }
    }
}

/// A failure or refusal that the kernel told of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventReport {
    /// How long ago the last one was.
    pub seconds_ago: f64,
    /// What happened: `connect_failed`, `reset`, `no_backend`, `over_limit`, `unknown`.
    pub cause: String,
    /// Errno of a failed connect, when the kernel could tell.
    pub errno: Option<i32>,
    /// `NAMESPACE/NAME:PORT` of the service, when known.
    pub service: Option<String>,
    /// `ADDRESS:PORT` of the backend, when one was chosen and is still known.
    pub backend: Option<String>,
    /// Workload behind the backend, when known.
    pub workload: Option<String>,
    /// Failures in a row of that backend.
    pub consecutive: u32,
    /// How many alike.
    pub count: u64,
}

impl EventReport {
    /// An event as of `now` (`CLOCK_MONOTONIC`).
    pub fn new(recent: &RecentEvent, now: Duration) -> Self {
        let event = &recent.event;
        let errno = match event.cause {
            Cause::ConnectFailed { errno } if errno != 0 => Some(errno),
            _ => None,
        };
        let backend = event.backend.as_ref();
        let workload = backend.and_then(|backend| backend.workload.as_ref());
        Self {
            seconds_ago: now
                .saturating_sub(Duration::from_nanos(event.time))
                .as_secs_f64(),
            cause: event.cause.name().to_owned(),
            errno,
            service: event
                .service
                .as_ref()
                .map(|pool| format!("{}/{}:{}", pool.namespace, pool.short_name, pool.port)),
            backend: backend.map(|at| std::net::SocketAddr::new(at.address, at.port).to_string()),
            workload: workload.map(|workload| format!("{}/{}", workload.namespace, workload.name)),
            consecutive: event.consecutive,
            count: recent.count,
        }
    }
}

/// The object something comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Kind.
    pub kind: String,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// File, empty when it did not come from one.
    pub file: String,
    /// Line, from 1; 0 when unknown.
    pub line: u32,
}

impl From<&weft_model::Origin> for Origin {
    fn from(origin: &weft_model::Origin) -> Self {
        Self {
            kind: origin.kind.to_string(),
            namespace: origin.namespace.to_string(),
            name: origin.name.to_string(),
            file: origin.file.to_string(),
            line: origin.line,
        }
    }
}

/// One of `/state/problems`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProblemReport {
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// Stable code.
    pub code: String,
    /// The object.
    pub origin: Origin,
    /// Field path, empty when the whole object is meant.
    pub path: String,
    /// Line of that field, 0 when unknown.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl From<&Problem> for ProblemReport {
    fn from(problem: &Problem) -> Self {
        let severity = match problem.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        Self {
            severity: severity.to_owned(),
            code: problem.code.to_owned(),
            origin: Origin::from(&problem.origin),
            path: problem.path.clone(),
            line: problem.line,
            message: problem.message.clone(),
        }
    }
}
