//! What the kernel tells: failures, which may eject a backend, and refusals.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::sync::mpsc;
use weft_abi::{Event, EventKind, PolicyEvent};
use weft_loader::{Events, Told, TraceLog};
use weft_lower::{
    Failures, Planner, PoolName, Verdict,
    outlier::{FailureKind, Reason},
};
use weft_model::Workload;
use weft_telemetry::{BackendName, FlowEvent, Names, PoolLabels};

use super::{engine::Engine, now};

/// Events read before others get their turn.
const BATCH: usize = 4096;

/// Reads the ring buffer on a thread of its own. When the manager lags, the ring fills and the
/// kernel counts what it drops.
pub(crate) fn follow(mut events: Events) -> mpsc::Receiver<Told> {
    let (sender, receiver) = mpsc::channel(BATCH);
    std::thread::spawn(move || {
        while wait(&events) {
            while let Some(told) = events.next() {
                if sender.blocking_send(told).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

/// Prints what the programs log, on a thread of its own.
pub(crate) fn print(mut trace: TraceLog) {
    std::thread::spawn(move || {
        while wait(&trace) {
            for line in trace.drain() {
                tracing::info!(target: "kernel", "{line}");
            }
        }
    });
}

/// Waits until there is something to read; false when that cannot be waited for.
fn wait(file: &impl AsFd) -> bool {
    loop {
        match poll(&mut [PollFd::new(file, PollFlags::IN)], None) {
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(error) => {
                tracing::error!("cannot wait for the kernel: {error}");
                return false;
            }
        }
    }
}

/// The planner's names, for telemetry.
pub(crate) struct PlannerNames<'a>(pub(crate) &'a Planner);

impl Names for PlannerNames<'_> {
    fn pool(&self, id: u32) -> Option<Arc<PoolLabels>> {
        self.0
            .registry()
            .pool(id)
            .map(|name| Arc::new(labels(name)))
    }

    fn workload(&self, id: u32) -> Option<Arc<Workload>> {
        self.0.registry().workload(id).cloned()
    }

    fn backend(&self, index: u32, generation: u32) -> Option<BackendName> {
        let backend = self.0.backend(index)?;
        (backend.generation == generation).then(|| BackendName {
            address: backend.address,
            port: backend.port,
            workload: self.0.workload_of(&backend).cloned(),
        })
    }
}

/// A pool's name as labels.
pub(crate) fn labels(name: &PoolName) -> PoolLabels {
    PoolLabels {
        hostname: Arc::clone(&name.key.service.hostname),
        short_name: Arc::clone(&name.short_name),
        namespace: Arc::clone(&name.key.service.namespace),
        port: name.key.port,
        protocol: name.key.protocol,
        class: name.key.class.to_string().to_lowercase().into(),
    }
}

impl Engine {
    /// Acts on an event and on those waiting behind it.
    pub(crate) fn hear(&mut self, first: Told, waiting: &mut mpsc::Receiver<Told>) {
        self.told(&first);
        for _ in 0..BATCH {
            let Ok(event) = waiting.try_recv() else {
                return;
            };
            self.told(&event);
        }
    }

    fn told(&mut self, told: &Told) {
        match told {
            Told::Kernel(event) => self.weigh(event),
            Told::Policy(event) => self.note(event),
            Told::Ended(event) => {
                let pool = self.planner.registry().pool(event.service);
                let host = pool.map(|name| Arc::clone(&name.key.service.hostname));
                self.mesh_side.ended(event, host);
            }
        }
    }

    /// A connection that policy refused, or wants written down.
    fn note(&mut self, event: &PolicyEvent) {
        let pool = self.planner.registry().pool(event.service);
        let service = pool.map(|name| {
            let service = &name.key.service;
            format!(
                "{}/{}:{}",
                service.namespace, name.short_name, name.key.port
            )
        });
        let mesh = self.mesh();
        let report = self
            .mesh_side
            .refusal(event, mesh, service, self.generation);
        self.mesh_side.log_refusal(event, &report);
        self.refuse(report);
    }

    fn weigh(&mut self, event: &Event) {
        let decoded = FlowEvent::decode(event, &PlannerNames(&self.planner));
        if let Some(metrics) = &self.metrics {
            metrics.manager().event(decoded.cause);
        }
        self.recent.push(decoded);
        let kind = match event.kind {
            EventKind::CONNECT_FAILED => FailureKind::Connect,
            EventKind::RESET => FailureKind::Reset,
            _ => return,
        };
        let failures = Failures {
            pool: event.service,
            index: event.backend,
            generation: event.generation,
            kind,
            consecutive: event.consecutive,
        };
        let now = now();
        let before = self.detector.counts(event.service, now).overflow;
        let verdicts = self.detector.observe(failures, now);
        if self.detector.counts(event.service, now).overflow > before
            && let (Some(metrics), Some(name)) =
                (&self.metrics, self.planner.registry().pool(event.service))
        {
            metrics.ejection_refused(&labels(name));
        }
        self.carry_out(&verdicts, now);
    }

    /// Writes verdicts on backends to the maps.
    pub(crate) fn carry_out(&mut self, verdicts: &[Verdict], now: Duration) {
        for verdict in verdicts {
            let until = verdict.until.map_or(0, |until| {
                u64::try_from(until.as_nanos()).unwrap_or(u64::MAX >> 1)
            });
            self.tell_of(verdict, now);
            if let Some(op) = self.planner.eject(verdict.index, verdict.generation, until) {
                self.write(&[op]);
            }
        }
    }

    fn tell_of(&self, verdict: &Verdict, now: Duration) {
        let backend = self.planner.backend(verdict.index);
        let place = backend.map_or_else(
            || format!("backend {}", verdict.index),
            |backend| std::net::SocketAddr::new(backend.address, backend.port).to_string(),
        );
        let pool = self.planner.registry().pool(verdict.pool);
        let service = pool.map_or_else(
            || format!("pool {}", verdict.pool),
            |name| {
                format!(
                    "{}/{}:{}",
                    name.key.service.namespace, name.short_name, name.key.port
                )
            },
        );
        match (verdict.until, verdict.reason) {
            (Some(until), Reason::Consecutive(failures)) => {
                tracing::warn!(
                    "{service}: {place} ejected for {:.1} s after {failures} failures in a row",
                    until.saturating_sub(now).as_secs_f64()
                );
                if let (Some(metrics), Some(name)) = (&self.metrics, pool) {
                    metrics.ejected(&labels(name));
                }
            }
            (Some(_), reason) => tracing::warn!("{service}: {place} passed over again: {reason:?}"),
            (None, reason) => tracing::warn!("{service}: {place} taken back: {reason:?}"),
        }
    }
}
