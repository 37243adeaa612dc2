//! What sockops writes down about a connection before its SYN leaves: where it was going, for the
//! proxy, and who its client is, for the server's namespace.

use aya_ebpf::{Global, bindings::BPF_ANY};
use weft_abi::{
    Address, Attested, Captured, ConnectionKey, Counter, EndKey, Enrolment, Peer, SocketInfo,
};

use crate::{
    address,
    capture::peer,
    maps::{ATTESTED, CAPTURED, count},
};

/// Cookie of the node's own network namespace; 0 when not known.
#[unsafe(no_mangle)]
static HOST_NETNS: Global<u64> = Global::new(0);

/// Who the client in a network namespace is, for those whose connections are attested: workloads
/// enrolled here, and the node itself.
#[inline(always)]
pub(crate) fn client(netns: u64, enrolment: Option<&Enrolment>, service: u32) -> Option<Attested> {
    if let Some(enrolment) = enrolment {
        return Some(Attested {
            netns,
            identity: enrolment.identity,
            service,
        });
    }
    (netns != 0 && netns == HOST_NETNS.load()).then_some(Attested {
        netns,
        identity: 0,
        service: Attested::HOST,
    })
}

/// Whether connections to an address are decided on by identity here: it is another workload
/// enrolled on this node. What comes over loopback, as the proxy does, is let in without a look.
#[inline(always)]
pub(crate) fn concerns(connection: &ConnectionKey) -> bool {
    !connection.source.is(&connection.destination)
        && !address::is_loopback(&connection.source)
        && peer(&connection.destination).is_some_and(|peer| peer.flags & Peer::HERE != 0)
}

/// Writes the client down. False when there is no room: then it is unknown to the server.
#[inline(always)]
pub(crate) fn write(connection: &ConnectionKey, attested: &Attested) -> bool {
    let written = ATTESTED
        .insert(connection, attested, u64::from(BPF_ANY))
        .is_ok();
    if !written {
        count(Counter::ATTESTED_FULL);
    }
    written
}

/// Whether a connection's client is written down as a workload.
#[inline(always)]
pub(crate) fn is_workload(connection: &ConnectionKey) -> bool {
    // SAFETY: words, each read once.
    unsafe { ATTESTED.get(connection) }.is_some_and(|it| it.service != Attested::HOST)
}

/// Removes what [`write`] wrote, unless another namespace has the connection's addresses now.
#[inline(always)]
pub(crate) fn erase(connection: &ConnectionKey, netns: u64) {
    // SAFETY: a word, read once.
    if unsafe { ATTESTED.get(connection) }.is_some_and(|attested| attested.netns == netns) {
        let _ = ATTESTED.remove(connection);
    }
}

/// Tells the proxy where a connection to it was going. Without room the proxy finds nothing, and
/// resets it.
#[inline(always)]
pub(crate) fn write_captured(info: &SocketInfo, local: &Address, port: u16, identity: u32) {
    let key = EndKey {
        netns: info.netns,
        address: *local,
        port,
        reserved: [0; 3],
    };
    let mut captured = Captured {
        vip: Address::v4_word(0),
        peer: Address::v4_word(0),
        vip_port: info.vip_port,
        peer_port: info.peer_port,
        identity,
        service: info.service,
        backend: info.backend,
        generation: info.generation,
        reserved: 0,
    };
    address::copy(&raw mut captured.vip, &info.vip);
    address::copy(&raw mut captured.peer, &info.peer);
    if CAPTURED
        .insert(&key, &captured, u64::from(BPF_ANY))
        .is_err()
    {
        count(Counter::CAPTURED_FULL);
    }
}
