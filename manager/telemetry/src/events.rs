//! What the kernel's ring buffer tells, with names.

use std::{collections::VecDeque, sync::Arc};

use weft_abi::{Event, EventKind};

use crate::{BackendName, Names, PoolLabels};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cause {
    /// A connect failed with this errno; 0 when the kernel could not tell which.
    ConnectFailed {
        /// Positive errno.
        errno: i32,
    },
    /// The peer reset an established connection.
    Reset,
    /// Refused here: the pool has no usable backend.
    NoBackend,
    /// Refused here: every backend is at its connection limit.
    OverLimit,
    /// A kind this version does not know: the kernel runs a newer program.
    Unknown {
        /// See [`EventKind`].
        kind: u32,
    },
}

impl Cause {
    /// Stable name, as in metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectFailed { .. } => "connect_failed",
            Self::Reset => "reset",
            Self::NoBackend => "no_backend",
            Self::OverLimit => "over_limit",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// An [`Event`] with names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowEvent {
    /// When (`CLOCK_MONOTONIC`, ns).
    pub time: u64,
    /// Namespace cookie of the client's socket, 0 for a packet.
    pub netns: u64,
    /// What happened.
    pub cause: Cause,
    /// Pool id, 0 when there was none.
    pub service_id: u32,
    /// The pool, when known.
    pub service: Option<Arc<PoolLabels>>,
    /// The backend, when one was chosen and it is still known.
    pub backend: Option<BackendName>,
    /// Failures in a row of that backend, this one included.
    pub consecutive: u32,
}

impl FlowEvent {
    /// Decodes an event.
    pub fn decode(event: &Event, names: &dyn Names) -> Self {
        let cause = match event.kind {
            EventKind::CONNECT_FAILED => Cause::ConnectFailed { errno: event.error },
            EventKind::RESET => Cause::Reset,
            EventKind::NO_BACKEND => Cause::NoBackend,
            EventKind::OVER_LIMIT => Cause::OverLimit,
            kind => Cause::Unknown { kind },
        };
        Self {
            time: event.time,
            netns: event.netns,
            cause,
            service_id: event.service,
            service: names.pool(event.service),
            backend: match event.backend {
                0 => None,
                index => names.backend(index, event.generation),
            },
            consecutive: event.consecutive,
        }
    }

    fn repeats(&self, other: &Self) -> bool {
        self.cause == other.cause
            && self.service_id == other.service_id
            && self.netns == other.netns
            && self.backend == other.backend
    }
}

/// An event and how often it was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecentEvent {
    /// The last one.
    pub event: FlowEvent,
    /// How many alike in a row.
    pub count: u64,
}

/// The latest events, bounded. One that repeats a recent one is counted with it, so that a storm
/// of one kind does not push out everything else.
#[derive(Clone, Debug)]
pub struct RecentEvents {
    room: usize,
    events: VecDeque<RecentEvent>,
}

impl RecentEvents {
    /// How many of the latest entries are compared with a new one.
    const COMPARED: usize = 16;

    /// Room for this many, at least one.
    pub fn new(room: usize) -> Self {
        Self {
            room: room.max(1),
            events: VecDeque::new(),
        }
    }

    /// Adds an event.
    pub fn push(&mut self, event: FlowEvent) {
        let recent = self.events.iter().rev().take(Self::COMPARED);
        let before = recent
            .into_iter()
            .position(|recent| recent.event.repeats(&event));
        let repeated = before.and_then(|back| self.events.remove(self.events.len() - 1 - back));
        if self.events.len() == self.room {
            self.events.pop_front();
        }
        let count = repeated.map_or(1, |recent| recent.count + 1);
        self.events.push_back(RecentEvent { event, count });
    }

    /// The latest first.
    pub fn latest(&self) -> impl Iterator<Item = &RecentEvent> {
        self.events.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NameTable;

    fn event(kind: u32, service: u32) -> FlowEvent {
        let event = Event {
            kind,
            service,
            error: 111,
            ..Event::default()
        };
        FlowEvent::decode(&event, &NameTable::default())
    }

    #[test]
    fn events_are_decoded_with_their_errno_and_unknown_kinds_survive() {
        assert_eq!(
            event(EventKind::CONNECT_FAILED, 1).cause,
            Cause::ConnectFailed { errno: 111 }
        );
        assert_eq!(event(EventKind::NO_BACKEND, 1).cause, Cause::NoBackend);
        assert_eq!(event(77, 1).cause, Cause::Unknown { kind: 77 });
    }

    #[test]
    fn a_backend_is_named_only_in_its_own_generation() {
        let backend = BackendName {
            address: [10, 0, 0, 1].into(),
            port: 80,
            workload: None,
        };
        let names = NameTable {
            backends: [((5, 9), backend.clone())].into(),
            ..NameTable::default()
        };
        let event = |generation| Event {
            backend: 5,
            generation,
            ..Event::default()
        };
        assert_eq!(FlowEvent::decode(&event(9), &names).backend, Some(backend));
        assert_eq!(FlowEvent::decode(&event(8), &names).backend, None);
    }

    #[test]
    fn a_storm_of_one_kind_takes_one_place() {
        let mut recent = RecentEvents::new(2);
        recent.push(event(EventKind::RESET, 1));
        for _ in 0..1000 {
            recent.push(event(EventKind::NO_BACKEND, 2));
        }
        let counts: Vec<_> = recent.latest().map(|r| (r.event.cause, r.count)).collect();
        assert_eq!(counts, [(Cause::NoBackend, 1000), (Cause::Reset, 1)]);
        recent.push(event(EventKind::OVER_LIMIT, 1));
        let causes: Vec<_> = recent.latest().map(|r| r.event.cause).collect();
        assert_eq!(causes, [Cause::OverLimit, Cause::NoBackend]);
    }
}
