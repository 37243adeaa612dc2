//! The proxy's questions to the kernel and to policy.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, PoisonError},
};

use weft_abi::{Address, EndKey, Origin};
use weft_identity::SpiffeId;
use weft_loader::Plane;
use weft_logic::authz::{Decision, Verdict as Judged};
use weft_proxy::{Captured, Kernel, Policy, Upstream, Verdict};

use super::{
    HBONE_PORT, refused, spiffe_id,
    view::{Rules, View},
};

/// Refusals of the proxy kept until the engine takes them.
const WAITING: usize = 4096;

/// Answers the proxy.
pub(super) struct Bridge {
    plane: Arc<Plane>,
    view: Arc<View>,
}

impl Bridge {
    pub(super) fn new(plane: Arc<Plane>, view: Arc<View>) -> Self {
        Self { plane, view }
    }
}

fn end(workload: u64, at: SocketAddr) -> EndKey {
    EndKey {
        netns: workload,
        address: Address::from(at.ip()),
        port: at.port(),
        reserved: [0; 3],
    }
}

impl Kernel for Bridge {
    fn captured(&self, workload: u64, client: SocketAddr) -> Option<Captured> {
        let taken = self.plane.maps().take_captured(&end(workload, client));
        let captured = taken.unwrap_or_else(|error| {
            tracing::error!("cannot ask where a captured connection goes: {error}");
            None
        })?;
        Some(Captured {
            dialled: SocketAddr::new(captured.vip.into(), captured.vip_port),
            endpoint: SocketAddr::new(captured.peer.into(), captured.peer_port),
            service: captured.service,
            backend: captured.backend,
        })
    }

    fn own(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let marked = self.plane.maps().mark_proxy(socket);
        marked.map_err(io::Error::other)
    }

    fn show(&self, workload: u64, local: SocketAddr, client: SocketAddr) -> io::Result<()> {
        let origin = Origin {
            address: Address::from(client.ip()),
            port: client.port(),
            reserved: 0,
        };
        let put = self.plane.maps().put_origin(&end(workload, local), &origin);
        match put.map_err(io::Error::other)? {
            true => Ok(()),
            false => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn hide(&self, workload: u64, local: SocketAddr) {
        if let Err(error) = self.plane.maps().delete_origin(&end(workload, local)) {
            tracing::error!("cannot forget a connection's client: {error}");
        }
    }
}

impl Bridge {
    /// What policy says of a connection; counted and noted when it is new, and not `again`.
    fn judge(
        &self,
        workload: u64,
        client: &SpiffeId,
        (source, destination): (SocketAddr, SocketAddr),
        again: bool,
    ) -> Verdict {
        let identity = client.to_string();
        let principal = identity.strip_prefix("spiffe://").unwrap_or(&identity);
        let (set, tables) = match self.view.rules(workload, destination.ip()) {
            Rules::None => return Verdict::Allow,
            Rules::Unknown => return Verdict::Deny("the address is not this workload's".into()),
            Rules::Missing => return Verdict::Deny("its policy is not known yet".into()),
            Rules::Tables(set, tables) => (set, tables),
        };
        let decision = tables.decide(Some(principal), source.ip(), destination.port());
        if again && decision.verdict == Judged::Allow {
            return Verdict::Allow;
        }
        for clause in [decision.audit, decision.dry_run, decision.clause] {
            if !again && clause != Decision::NONE {
                self.view.hit(set, clause);
            }
        }
        let told = |clause: u32, cause: &str, enforced: bool| {
            let mut report = refused::by_policy(&tables, clause, cause, enforced);
            report.hop = "proxy".to_owned();
            report.src = self.view.end(source, Some(identity.clone()));
            report.dst = self.view.end(destination, None);
            let reason: Arc<str> = report.reason.as_str().into();
            self.view.tell(report);
            reason
        };
        if !again && decision.audit != Decision::NONE {
            told(decision.audit, "audit", false);
        }
        if !again && decision.dry_run != Decision::NONE {
            told(decision.dry_run, "dry_run", false);
        }
        match decision.verdict {
            Judged::Allow => Verdict::Allow,
            Judged::Deny => Verdict::Deny(told(decision.clause, "denied", true)),
        }
    }
}

impl Policy for Bridge {
    fn authorize(
        &self,
        workload: u64,
        client: &SpiffeId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Verdict {
        self.judge(workload, client, (source, destination), false)
    }

    fn reauthorize(
        &self,
        workload: u64,
        client: &SpiffeId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Verdict {
        self.judge(workload, client, (source, destination), true)
    }

    fn route(&self, _workload: u64, captured: &Captured) -> Option<Upstream> {
        // The kernel captures only what goes to a peer that takes HBONE; one that is unknown now has
        // gone since, and is no reason to send anything in the clear.
        let instance = self.view.instance(captured.endpoint.ip())?;
        let expected = spiffe_id(&instance).ok()?;
        Some(Upstream::Hbone {
            proxy: SocketAddr::new(captured.endpoint.ip(), HBONE_PORT),
            expected: Arc::new([expected]),
        })
    }

    fn owns(&self, workload: u64, address: IpAddr) -> bool {
        self.view.owns(workload, address)
    }
}

/// Refusals on their way from the proxy's threads to the engine.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Vec<weft_admin::DenialReport>>);

impl Outbox {
    pub(super) fn push(&self, report: weft_admin::DenialReport) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING {
            waiting.push(report);
        }
    }

    pub(super) fn take(&self) -> Vec<weft_admin::DenialReport> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
