//! The one owner of bpf(2): loads and attaches the kernel programs, keeps their pins, writes and
//! reads their maps, listens to their events. It decides nothing about policy: what to write comes
//! as [`weft_lower::MapOp`]s.
//!
//! Reading order: [`plane`] (load, attach), [`mod@enrol`] (network namespaces), [`hold`] (who waits),
//! [`apply`] and [`maps`] (what is in the maps), [`pinned`] (the same without a manager), [`events`],
//! [`iterate`], [`sockets`], [`mod@uninstall`]; below them [`pins`] (layout of the pin directory),
//! [`cgroup`], [`lock`], [`features`], [`btf`] and the raw system call.

pub mod plane;

mod attach;

pub mod enrol;

pub mod hold;

pub mod apply;

pub mod maps;

pub mod table;

pub mod pinned;

pub mod events;

pub mod trace;

pub mod iterate;

pub mod sockets;

pub mod uninstall;

pub mod pins;

pub mod cgroup;

pub mod lock;

pub mod features;

pub mod btf;

mod object;

mod error;

mod sys;

pub use apply::{Applied, ApplyError, ApplyFault};
pub use attach::{AttachReport, CGROUP_HOOKS, Hook, TC_HOOKS};
pub use cgroup::{AttachedProgram, Cgroup};
pub use enrol::EnrolledNamespace;
pub use error::Error;
pub use events::{Events, Told};
pub use features::{Feature, Support};
pub use hold::Hold;
pub use lock::Lock;
pub use maps::{MapUsage, Maps};
pub use pinned::{MapDescription, Pinned, PinnedProgram};
pub use pins::BpfDir;
pub use plane::{OpenReport, Options, Plane, ProgramStats, SizeMismatch, StatsGuard, enable_stats};
pub use sockets::{Connection, Destroyed, SocketDestroyer, SocketId, netns_cookie};
pub use table::Table;
pub use trace::{TraceLine, TraceLog};
pub use uninstall::uninstall;
