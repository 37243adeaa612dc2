//! What is handed in at each scrape.

use std::{fmt, sync::Arc, time::Duration};

use weft_abi::{Counter, EdgeKey, EdgeValue, ServiceState};

use crate::Names;

/// A copy of the kernel's counters.
#[derive(Clone, Debug, Default)]
pub struct KernelSnapshot {
    /// When it was taken (`CLOCK_MONOTONIC`), comparable with [`EdgeValue::seen`].
    pub time: Duration,
    /// `EDGES`.
    pub edges: Vec<(EdgeKey, EdgeValue)>,
    /// `COUNTERS` summed over CPUs, by [`Counter`] index.
    pub counters: [u64; Counter::COUNT as usize],
    /// `SERVICE_STATE` by pool id.
    pub services: Vec<(u32, ServiceState)>,
    /// Backends by pool id.
    pub backends: Vec<(u32, BackendCounts)>,
    /// How full maps are.
    pub maps: Vec<MapFill>,
    /// Run time of programs.
    pub programs: Vec<ProgramStats>,
}

/// The backends of one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackendCounts {
    /// In a slot and not ejected.
    pub ready: u64,
    /// In a slot and passed over for now.
    pub ejected: u64,
    /// In no slot, kept for the connections they still have.
    pub draining: u64,
    /// Connections open or opening, over all of them.
    pub active: u64,
}

/// How full a map is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapFill {
    /// Name, see [`weft_abi::names::maps`].
    pub name: Arc<str>,
    /// Entries in use.
    pub entries: u64,
    /// Entries there is room for.
    pub max_entries: u64,
}

/// What the kernel says of one program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramStats {
    /// Name, see [`weft_abi::names::programs`].
    pub name: Arc<str>,
    /// Time spent in it; grows only while statistics are on.
    pub run_time_ns: u64,
    /// Times it ran; grows only while statistics are on.
    pub run_count: u64,
}

/// What `/proc/self` says of the manager.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Process {
    /// User and system time, seconds.
    pub cpu_seconds: f64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
}

/// All that a scrape needs.
#[derive(Clone)]
pub struct Snapshot {
    /// The kernel's counters.
    pub kernel: KernelSnapshot,
    /// What its ids stand for.
    pub names: Arc<dyn Names>,
    /// The manager itself, when it could be read.
    pub process: Option<Process>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("kernel", &self.kernel)
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}
