//! What operators see, in memory: metric families, the totals behind them, decoded events.
//!
//! Takes copies of kernel counters ([`KernelSnapshot`]) and gives Prometheus text. It opens no
//! socket, reads no file and no clock: who serves the text, when counters are read and what time
//! it is are arguments.
//!
//! Reading order: [`family`] (every metric there is), [`names`] (ids to labels), [`snapshot`]
//! (what is handed in), [`ledger`] (edges to bounded, monotonic series), [`activity`] (the same
//! for services), [`rules`] (and for rules of policy), `collector` (series to samples), [`manager`] (the manager's own metrics),
//! [`exposition`] (the two text formats), [`metrics`] (all of it together), [`histogram`],
//! [`events`], [`access`] (the access log).

#![forbid(unsafe_code)]

pub mod family;

pub mod names;

pub mod snapshot;

pub mod ledger;

pub mod activity;

pub mod rules;

mod collector;

pub mod manager;

pub mod exposition;

pub mod metrics;

pub mod histogram;

pub mod events;

pub mod access;

/// Kernel types that are part of this crate's interface.
pub use weft_abi::{
    Counter, EdgeKey, EdgeValue, Event, EventKind, HISTOGRAM_BUCKETS, Protocol, ServiceState,
};

pub use access::{AccessEnd, AccessLine, Direction, LineFormat};
pub use events::{Cause, FlowEvent, RecentEvent, RecentEvents};
pub use exposition::Format;
pub use family::{Kind, MetricFamily};
pub use ledger::Limits;
pub use manager::ManagerMetrics;
pub use metrics::{Build, Metrics};
pub use names::{BackendName, NameTable, Names, PoolLabels};
pub use rules::{Hop, PolicyName, RuleHits, RuleName, RuleSnapshot};
pub use snapshot::{BackendCounts, KernelSnapshot, MapFill, Process, ProgramStats, Snapshot};
