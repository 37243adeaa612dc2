//! sk_lookup, in the namespace of each enrolled workload: whether a new connection is let in,
//! before the workload's listener learns of it. A refusal is a reset to the client. While the
//! workload's policy is not in the maps none is: it is refused, or its SYN is dropped, so that the
//! client's kernel sends it again.
//!
//! Who the client is was written down by its own namespace (`ATTESTED`). What nothing was written
//! of is a client without identity.

use core::ptr::read_volatile;

use aya_ebpf::{
    bindings::BPF_NOEXIST, btf_maps::lpm_trie::Key, macros::sk_lookup, programs::SkLookupContext,
};
use weft_abi::{
    Address, Attested, ConnectionKey, Counter, EventKind, HitKey, MtlsMode, Peer, PolicyEvent,
    Protocol, RuleBits, RuleSet, SetIdentityKey, SetPortKey, SetSourceKey,
};
use weft_logic::{
    authz::{self, AuthzTables, Decision, Fit, Verdict},
    pick::Tables,
};

use crate::{
    address, atomic,
    balance::Kernel,
    capture::{self, HBONE_PORT},
    maps::{
        ATTESTED, AUTHZ_HITS, AUTHZ_IDENTITY, AUTHZ_PORT, AUTHZ_SETS, AUTHZ_SOURCE, HOLD,
        SourceKey, count, tell,
    },
};

/// `SK_PASS` and `SK_DROP` (include/uapi/linux/bpf.h).
const PASS: u32 = 1;
const DROP: u32 = 0;

const AF_INET: u32 = 2;

/// Index of the loopback interface in every namespace.
const LOOPBACK: u32 = 1;

/// sk_lookup.
#[sk_lookup]
pub(crate) fn weft_sk_lookup(ctx: SkLookupContext) -> u32 {
    let Some(connection) = arriving(&ctx) else {
        return PASS;
    };
    // The proxy decides itself.
    if connection.destination_port == HBONE_PORT {
        return PASS;
    }
    let Some(peer) = capture::peer(&connection.destination) else {
        return PASS;
    };
    if peer.flags & (Peer::HERE | Peer::BYPASS_INBOUND) != Peer::HERE {
        return PASS;
    }
    let client = client(&connection);
    if peer.flags & Peer::READY == 0 {
        return unready(&ctx, &connection, &client);
    }
    if lets_in(peer, &connection, &client) {
        PASS
    } else {
        DROP
    }
}

/// sk_lookup, where the namespace's workload is not known yet, nor to the proxy.
#[sk_lookup]
pub(crate) fn weft_sk_unready(ctx: SkLookupContext) -> u32 {
    match arriving(&ctx) {
        Some(connection) => unready(&ctx, &connection, &client(&connection)),
        None => PASS,
    }
}

/// A TCP connection from elsewhere; `None` for what nobody is asked about.
#[inline(always)]
fn arriving(ctx: &SkLookupContext) -> Option<ConnectionKey> {
    let raw = ctx.lookup;
    // SAFETY: words of the context, one at a time.
    let (protocol, interface, port) = unsafe {
        (
            read_volatile(&raw const (*raw).protocol),
            read_volatile(&raw const (*raw).ingress_ifindex),
            read_volatile(&raw const (*raw).local_port) as u16,
        )
    };
    if protocol != u32::from(Protocol::TCP) || interface == LOOPBACK {
        return None;
    }
    let connection = connection(ctx, port);
    // From an address to itself, or from a loopback address as the proxy does, comes over loopback,
    // whatever the interface says.
    if connection.source.is(&connection.destination) || address::is_loopback(&connection.source) {
        return None;
    }
    Some(connection)
}

/// Drops the SYN where something is there to do it, and the client tries again; else refuses.
#[inline(always)]
fn unready(ctx: &SkLookupContext, connection: &ConnectionKey, client: &Attested) -> u32 {
    if HOLD.redirect_sk_lookup(ctx, 0, 0).is_ok() {
        count(Counter::HELD);
        return PASS;
    }
    report(EventKind::NOT_READY, connection, client, 0, 0);
    DROP
}

#[inline(always)]
fn lets_in(peer: &Peer, connection: &ConnectionKey, client: &Attested) -> bool {
    // The node itself, and the workload at another of its addresses.
    if client.service == Attested::HOST || (client.netns != 0 && client.netns == peer.netns) {
        return true;
    }
    let mode = capture::mode(peer, &connection.destination, connection.destination_port);
    if mode == MtlsMode::EXCLUDED {
        return true;
    }
    let plain = client.identity == 0 || peer.flags & Peer::ENCRYPT_LOCAL != 0;
    if plain && mode == MtlsMode::STRICT {
        report(EventKind::PLAINTEXT, connection, client, 0, 0);
        return false;
    }
    let set = peer.set;
    let decision = authz::decide(
        &Maps,
        set,
        client.identity,
        &connection.source,
        connection.destination_port,
    );
    if decision.audit != Decision::NONE {
        hit(set, decision.audit);
        report(EventKind::AUDIT, connection, client, set, decision.audit);
    }
    if decision.dry_run != Decision::NONE {
        hit(set, decision.dry_run);
        report(
            EventKind::DRY_RUN,
            connection,
            client,
            set,
            decision.dry_run,
        );
    }
    if decision.clause != Decision::NONE {
        hit(set, decision.clause);
    }
    if decision.verdict == Verdict::Deny {
        report(EventKind::DENIED, connection, client, set, decision.clause);
        return false;
    }
    true
}

/// Who the client is. An identity holds only while its namespace is enrolled: when that is gone,
/// what it wrote says nothing about who has its address now.
#[inline(always)]
fn client(connection: &ConnectionKey) -> Attested {
    // SAFETY: words; an entry is whole before the SYN that leads here is sent.
    let Some(found) = (unsafe { ATTESTED.get(connection) }) else {
        return UNKNOWN;
    };
    let found = *found;
    if found.service == Attested::HOST {
        return found;
    }
    match capture::enrolment(found.netns) {
        Some(enrolment) if enrolment.identity == found.identity => found,
        _ => UNKNOWN,
    }
}

const UNKNOWN: Attested = Attested {
    netns: 0,
    identity: 0,
    service: 0,
};

#[inline(always)]
fn report(kind: u32, connection: &ConnectionKey, client: &Attested, set: u32, clause: u32) {
    tell(PolicyEvent {
        time: Kernel.now(),
        netns: client.netns,
        kind,
        identity: client.identity,
        set,
        clause,
        source: connection.source,
        destination: connection.destination,
        source_port: connection.source_port,
        destination_port: connection.destination_port,
        service: client.service,
    });
}

/// Trap: named, since a constant without a name (`&0`) was read from the wrong place in `.rodata`.
static NO_HITS: u64 = 0;

/// Counts a clause that decided.
#[inline(always)]
fn hit(set: u32, clause: u32) {
    let key = HitKey { set, clause };
    let found = AUTHZ_HITS.get_ptr_mut(&key).or_else(|| {
        // Somebody else may have made it meanwhile: what counts is that it is there.
        let _ = AUTHZ_HITS.insert(&key, &NO_HITS, u64::from(BPF_NOEXIST));
        AUTHZ_HITS.get_ptr_mut(&key)
    });
    if let Some(count) = found {
        atomic::add(count, 1);
    }
}

/// The maps behind `weft_logic::authz`.
struct Maps;

impl AuthzTables for Maps {
    #[inline(always)]
    fn rules(&self, set: u32) -> Option<&RuleSet> {
        // SAFETY: a set is never changed once a workload names it.
        unsafe { AUTHZ_SETS.get(&set) }
    }

    #[inline(always)]
    fn by_identity(&self, key: &SetIdentityKey) -> Option<&RuleBits> {
        // SAFETY: an entry is written whole; words.
        unsafe { AUTHZ_IDENTITY.get(key) }
    }

    #[inline(always)]
    fn by_source(&self, key: &SetSourceKey) -> Option<&RuleBits> {
        AUTHZ_SOURCE.get(&Key::new(
            key.prefix_length,
            SourceKey {
                set: key.set,
                address: key.address,
                reserved: 0,
            },
        ))
    }

    #[inline(always)]
    fn by_port(&self, key: &SetPortKey) -> Option<&RuleBits> {
        // SAFETY: as in `by_identity`.
        unsafe { AUTHZ_PORT.get(key) }
    }

    #[inline(always)]
    fn judge(&self, fit: &Fit<'_>, rules: &RuleSet) -> Decision {
        let mut decision = Decision::REFUSED;
        // SAFETY: references.
        unsafe {
            weft_judge(
                rules,
                fit.by_identity,
                fit.by_source,
                fit.by_port,
                &mut decision,
            );
        }
        decision
    }
}

/// Leaves in `decision` what [`Fit::judge`] says.
///
/// A global function: the verifier reads it once, on its own, and takes what it leaves for any
/// value. Followed into, it has thousands of outcomes, and each leads through all that comes after.
///
/// # Safety
/// Each is null or points to a whole value, which the verifier sees to.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn weft_judge(
    rules: *const RuleSet,
    by_identity: *const RuleBits,
    by_source: *const RuleBits,
    by_port: *const RuleBits,
    decision: *mut Decision,
) -> u32 {
    // SAFETY: as the caller promises.
    let (rules, by_identity, by_source, by_port, decision) = unsafe {
        (
            rules.as_ref(),
            by_identity.as_ref(),
            by_source.as_ref(),
            by_port.as_ref(),
            decision.as_mut(),
        )
    };
    // No caller passes null, but the verifier wants it looked at; and a number returned.
    if let (Some(rules), Some(by_identity), Some(by_source), Some(by_port), Some(decision)) =
        (rules, by_identity, by_source, by_port, decision)
    {
        let fit = Fit {
            by_identity,
            by_source,
            by_port,
        };
        *decision = fit.judge(rules);
    }
    0
}

/// The connection as its server sees it.
#[inline(always)]
fn connection(ctx: &SkLookupContext, port: u16) -> ConnectionKey {
    let raw = ctx.lookup;
    // SAFETY: words of the context, one at a time, both families' always (see `sockops::local`);
    // those of the other family are zero.
    unsafe {
        let family = read_volatile(&raw const (*raw).family);
        let source_port = read_volatile((&raw const (*raw).remote_port).cast::<u16>());
        let source4 = read_volatile(&raw const (*raw).remote_ip4);
        let source6 = [
            read_volatile(&raw const (*raw).remote_ip6[0]),
            read_volatile(&raw const (*raw).remote_ip6[1]),
            read_volatile(&raw const (*raw).remote_ip6[2]),
            read_volatile(&raw const (*raw).remote_ip6[3]),
        ];
        let destination4 = read_volatile(&raw const (*raw).local_ip4);
        let destination6 = [
            read_volatile(&raw const (*raw).local_ip6[0]),
            read_volatile(&raw const (*raw).local_ip6[1]),
            read_volatile(&raw const (*raw).local_ip6[2]),
            read_volatile(&raw const (*raw).local_ip6[3]),
        ];
        let either = |v4: u32, v6: [u32; 4]| {
            if family == AF_INET {
                Address::v4_word(v4)
            } else {
                Address::from_words(v6)
            }
        };
        ConnectionKey {
            source: either(source4, source6),
            destination: either(destination4, destination6),
            source_port: u16::from_be(source_port),
            destination_port: port,
        }
    }
}
