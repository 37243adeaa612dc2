//! Live connections under new policy: what would be refused now is closed, within the second.
//!
//! The kernel decides once, when a connection begins. After a change of policy the connections of
//! every enrolled namespace are looked through, and those that were accepted there and would not be
//! let in any more are destroyed, as `ss -K` does. Those that the proxy carries it judges itself.

use std::{net::SocketAddr, sync::Arc};

use weft_abi::{Address, Attested, ConnectionKey, MtlsMode, Peer};
use weft_admin::DenialReport;
use weft_loader::{Connection, SocketDestroyer, SocketId};
use weft_logic::authz::Verdict;

use super::{MeshSide, refused};
use crate::run::Shared;

/// Looks at all; blocks for as long as listing sockets takes.
pub(crate) fn judge(shared: &Arc<Shared>) {
    let places = shared.engine().mesh_side.places();
    let mut destroyer = SocketDestroyer::new();
    for (cookie, addresses) in places {
        let connections = match destroyer.connections(cookie) {
            Ok(connections) => connections,
            Err(error) => {
                tracing::error!("cannot list connections under new policy: {error}");
                continue;
            }
        };
        let accepted = connections.into_iter().filter(|one| {
            one.is_accepted
                && addresses.contains(&one.local.ip())
                && one.local.ip() != one.remote.ip()
                // The proxy dials from there, and judges what it carries itself.
                && !one.remote.ip().to_canonical().is_loopback()
                && one.local.port() != super::HBONE_PORT
        });
        let mut forbidden: Vec<SocketId> = Vec::new();
        for connection in accepted {
            let attested = attested(shared, &connection);
            let mut engine = shared.engine();
            let Some(report) = engine.mesh_side.verdict(&connection, attested) else {
                continue;
            };
            let generation = engine.generation;
            let report = engine.mesh_side.cut(report, generation);
            engine.refuse(report);
            forbidden.push(connection.socket);
        }
        if forbidden.is_empty() {
            continue;
        }
        match destroyer.destroy(&forbidden) {
            Ok(result) => tracing::info!(
                "{} connections closed that policy does not allow any more",
                result.destroyed
            ),
            Err(error) => tracing::error!("cannot close connections under new policy: {error}"),
        }
    }
}

/// Who the client is, as the kernel wrote it down.
fn attested(shared: &Shared, connection: &Connection) -> Option<Attested> {
    let key = ConnectionKey {
        source: Address::from(connection.remote.ip()),
        destination: Address::from(connection.local.ip()),
        source_port: connection.remote.port(),
        destination_port: connection.local.port(),
    };
    shared.plane.maps().attested(&key).unwrap_or_else(|error| {
        tracing::error!("cannot tell a client: {error}");
        None
    })
}

impl MeshSide {
    /// Why a connection would not be let in now; `None` when it would.
    fn verdict(&self, connection: &Connection, attested: Option<Attested>) -> Option<DenialReport> {
        let (local, remote): (SocketAddr, SocketAddr) = (connection.local, connection.remote);
        let peer: Peer = *self.planner.peer(local.ip())?;
        if peer.flags & Peer::BYPASS_INBOUND != 0
            || attested.is_some_and(|one| one.service == Attested::HOST)
        {
            return None;
        }
        let identity = attested.map_or(0, |one| one.identity);
        let principal = self.planner.names().principal(identity).cloned();
        let mode = self.planner.mode(local.ip(), local.port());
        if mode == MtlsMode::EXCLUDED {
            return None;
        }
        let is_plain = identity == 0 || peer.flags & Peer::ENCRYPT_LOCAL != 0;
        let mut report = if mode == MtlsMode::STRICT && is_plain {
            DenialReport {
                cause: "plaintext".to_owned(),
                enforced: true,
                layer: "l4".to_owned(),
                reason: "it is plain, and the workload takes only mTLS now".to_owned(),
                ..DenialReport::default()
            }
        } else {
            let tables = match peer.set {
                0 => return None,
                set => self.planner.tables(set)?,
            };
            let decision = tables.decide(principal.as_deref(), remote.ip(), local.port());
            if decision.verdict == Verdict::Allow {
                return None;
            }
            refused::by_policy(tables, decision.clause, "denied", true)
        };
        let identity = principal.map(|principal| format!("spiffe://{principal}"));
        report.src = self.view.end(remote, identity);
        report.dst = self.view.end(local, None);
        Some(report)
    }
}
