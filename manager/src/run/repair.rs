//! Sockets whose backend is gone: connected UDP sockets are destroyed at once, TCP connections
//! after a grace time, in every network namespace, whoever was manager when they connected.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use weft_abi::{Protocol, SocketRecord};
use weft_loader::{SocketDestroyer, SocketId};
use weft_model::Protocol as Transport;

use super::{Shared, now};

/// Index and generation of a backend.
type Owner = (u32, u32);

/// What is known of orphaned sockets.
pub(crate) struct Repair {
    grace: Duration,
    /// Backends that are gone and still have sockets, since when.
    orphaned: BTreeMap<Owner, Duration>,
    destroyer: SocketDestroyer,
    /// Namespaces said to be missing already.
    complained: BTreeSet<u64>,
}

impl Repair {
    /// Knows of none.
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            grace,
            orphaned: BTreeMap::new(),
            destroyer: SocketDestroyer::new(),
            complained: BTreeSet::new(),
        }
    }

    /// Looks at all sockets of pools (which also counts live connections) and destroys what is due.
    pub(crate) fn visit(&mut self, shared: &Shared) {
        let records = match shared.plane.sockets() {
            Ok(records) => records,
            Err(error) => return tracing::error!("cannot visit sockets: {error}"),
        };
        let orphans: Vec<SocketRecord> = {
            let engine = shared.engine();
            records
                .into_iter()
                .filter(|record| !engine.is_served(record))
                .collect()
        };
        let due = self.due(&orphans, now());
        for protocol in [Protocol::UDP, Protocol::TCP] {
            let sockets: Vec<SocketId> = due
                .iter()
                .filter(|socket| socket.protocol == protocol)
                .copied()
                .collect();
            self.destroy(shared, protocol, &sockets);
        }
    }

    /// The sockets whose time is up.
    fn due(&mut self, orphans: &[SocketRecord], now: Duration) -> Vec<SocketId> {
        let owners: BTreeSet<Owner> = orphans
            .iter()
            .map(|record| (record.backend, record.generation))
            .collect();
        self.orphaned.retain(|owner, _| owners.contains(owner));
        for owner in owners {
            self.orphaned.entry(owner).or_insert(now);
        }
        let is_due = |record: &&SocketRecord| {
            let since = self.orphaned.get(&(record.backend, record.generation));
            record.protocol == Protocol::UDP
                || since.is_some_and(|since| now >= *since + self.grace)
        };
        orphans.iter().filter(is_due).map(SocketId::from).collect()
    }

    fn destroy(&mut self, shared: &Shared, protocol: u8, sockets: &[SocketId]) {
        if sockets.is_empty() {
            return;
        }
        match self.destroyer.destroy(sockets) {
            Ok(result) => {
                let transport = if protocol == Protocol::UDP {
                    Transport::Udp
                } else {
                    Transport::Tcp
                };
                shared
                    .engine()
                    .count_destroyed(transport, result.destroyed as u64);
                if result.destroyed > 0 {
                    tracing::info!(
                        "destroyed {} {transport} sockets whose backend is gone",
                        result.destroyed
                    );
                }
                for cookie in result.missing_namespaces {
                    if self.complained.insert(cookie) {
                        tracing::warn!(
                            "sockets of a removed backend are in network namespace {cookie}, \
                             which no process or name leads to; they stay"
                        );
                    }
                }
            }
            Err(error) => tracing::error!("cannot destroy sockets of removed backends: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(protocol: u8, backend: u32) -> SocketRecord {
        SocketRecord {
            protocol,
            backend,
            generation: 1,
            cookie: 7,
            ..SocketRecord::default()
        }
    }

    #[test]
    fn udp_goes_at_once_and_tcp_after_grace() {
        let mut repair = Repair::new(Duration::from_secs(30));
        let orphans = [record(Protocol::UDP, 2), record(Protocol::TCP, 2)];
        let at = Duration::from_secs;
        assert_eq!(repair.due(&orphans, at(100)).len(), 1);
        assert_eq!(repair.due(&orphans, at(129)).len(), 1);
        assert_eq!(repair.due(&orphans, at(130)).len(), 2);
    }

    #[test]
    fn a_backend_that_came_back_starts_afresh() {
        let mut repair = Repair::new(Duration::from_secs(30));
        let orphans = [record(Protocol::TCP, 2)];
        let at = Duration::from_secs;
        assert!(repair.due(&orphans, at(100)).is_empty());
        assert!(repair.due(&[], at(110)).is_empty());
        assert!(repair.due(&orphans, at(131)).is_empty());
    }
}
