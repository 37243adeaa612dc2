//! What the access log needs besides the connections that [`crate::sockops`] follows anyway: those
//! that workloads accept from elsewhere. Only while there is a log.

use aya_ebpf::{helpers::generated::bpf_get_netns_cookie, programs::SockOpsContext};
use weft_abi::{ConnectionEvent, ConnectionKey, Enrolment, EventKind, SocketInfo};
use weft_logic::{outcome::Outcome, pick::Tables};

use crate::{
    address, attest,
    balance::Kernel,
    capture::{self, HBONE_PORT},
    maps::tell,
    sockops::{connection, follow, info, local},
};

/// An enrolled workload has a connection from elsewhere. While there is an access log it is followed,
/// unless its client is: a workload of this node, or a proxy.
#[inline(always)]
pub(crate) fn accepted(ctx: &SockOpsContext) {
    // SAFETY: the helper takes the context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.ops.cast()) };
    let Some(enrolment) = capture::enrolment(netns) else {
        return;
    };
    if enrolment.flags & Enrolment::LOGGED == 0 {
        return;
    }
    let connection = served(ctx);
    if connection.destination_port == HBONE_PORT
        || connection.source.is(&connection.destination)
        || address::is_loopback(&connection.source)
        || address::is_loopback(&connection.destination)
        || attest::is_workload(&connection)
    {
        return;
    }
    // SAFETY: null or this socket's storage.
    let Some(info) = (unsafe { info(ctx, true).as_mut() }) else {
        return;
    };
    info.netns = netns;
    info.began = Kernel.now();
    info.logged = EventKind::SERVED as u16;
    follow(ctx);
}

/// Tells of a connection that has ended, for the access log.
#[inline(always)]
pub(crate) fn log(
    info: &SocketInfo,
    at: &ConnectionKey,
    result: Outcome,
    sent: u64,
    received: u64,
) {
    const ECONNRESET: i32 = 104;
    let now = Kernel.now();
    let kind = u32::from(info.logged);
    let enrolment = capture::enrolment(info.netns).filter(|_| kind == EventKind::ENDED);
    tell(ConnectionEvent {
        time: now,
        netns: info.netns,
        kind,
        error: match result {
            Outcome::Failed(errno) => errno,
            Outcome::Reset => ECONNRESET,
            Outcome::Closed | Outcome::Abandoned => 0,
        },
        identity: enrolment.map_or(0, |it| it.identity),
        service: info.service,
        sent,
        received,
        duration: now.saturating_sub(info.began),
        source: at.source,
        destination: at.destination,
        source_port: at.source_port,
        destination_port: at.destination_port,
        proved: u32::from(info.flags & SocketInfo::PROVED != 0),
    });
}

/// The connection as its server sees it, on the server's socket.
#[inline(always)]
pub(crate) fn served(ctx: &SockOpsContext) -> ConnectionKey {
    let seen = connection(ctx, &local(ctx));
    ConnectionKey {
        source: seen.destination,
        destination: seen.source,
        source_port: seen.destination_port,
        destination_port: seen.source_port,
    }
}
