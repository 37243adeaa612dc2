//! sockops: follows TCP connections from the first SYN to the last state.
//!
//! Only transitions are asked for, not round trips: an established connection costs nothing.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{
    Global,
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
        BPF_SOCK_OPS_RTO_CB, BPF_SOCK_OPS_RTO_CB_FLAG, BPF_SOCK_OPS_STATE_CB,
        BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, bpf_sock_ops,
    },
    helpers::generated::{bpf_get_netns_cookie, bpf_skc_to_tcp_sock},
    macros::sock_ops,
    programs::SockOpsContext,
};
use weft_abi::{Address, ConnectionKey, Enrolment, Event, EventKind, Protocol, SocketInfo};
use weft_logic::{
    outcome::{self, Outcome, state},
    pick::Tables,
};

use crate::{
    access, address, atomic, attest,
    balance::Kernel,
    capture::{self, workload},
    edges, limits,
    maps::{BACKEND_STATE, SOCKETS, count_connection, emit},
    trace::trace,
};

/// Offset of `sk_err` in `struct sock` of the running kernel; 0 when unknown.
#[unsafe(no_mangle)]
static OFFSET_SK_ERR: Global<u32> = Global::new(0);

const AF_INET: u32 = 2;

/// Flags that outlive a connection.
const KEPT: u8 = SocketInfo::REWRITTEN | SocketInfo::CAPTURED | SocketInfo::PROXY;

/// sockops.
#[sock_ops]
pub(crate) fn weft_sockops(ctx: SockOpsContext) -> u32 {
    let op = ctx.op();
    if op == BPF_SOCK_OPS_TCP_CONNECT_CB {
        begin(&ctx);
    } else if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        established(&ctx);
    } else if op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB {
        access::accepted(&ctx);
    } else if op == BPF_SOCK_OPS_RTO_CB {
        again(&ctx);
    } else if op == BPF_SOCK_OPS_STATE_CB && ctx.arg(1) == state::CLOSE {
        ended(&ctx);
    }
    1
}

/// Before the SYN leaves: source address and port are known now.
#[inline(always)]
fn begin(ctx: &SockOpsContext) {
    let local = local(ctx);
    // SAFETY: the helper takes the context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.ops.cast()) };
    let enrolment = capture::enrolment(netns);
    let mut info = info(ctx, false);
    // SAFETY: null or this socket's storage; the socket's lock is held.
    let (known, proxy) = match unsafe { info.as_ref() } {
        Some(info) => (
            info.service != 0 || info.flags & SocketInfo::CAPTURED != 0,
            info.flags & SocketInfo::PROXY != 0,
        ),
        None => (false, false),
    };
    if proxy {
        // The application's connection is followed, not the proxy's for it.
        attest(ctx, info, &local, netns, enrolment);
        return;
    }
    if !known {
        info = direct(ctx, &local, netns);
    }
    info = attest(ctx, info, &local, netns, enrolment);
    let repeats = attest::client(netns, enrolment, 0).is_some();
    // SAFETY: as above.
    let Some(info) = (unsafe { info.as_mut() }) else {
        if repeats {
            let _ = ctx.set_cb_flags(BPF_SOCK_OPS_RTO_CB_FLAG as i32);
        }
        return;
    };
    info.source = match enrolment {
        Some(enrolment) => enrolment.workload,
        None => workload(&local),
    };
    info.began = Kernel.now();
    if info.service != 0 && count_connection(info.backend, info.generation, 1) {
        info.flags |= SocketInfo::COUNTED;
    }
    if let Some(enrolment) = enrolment {
        if info.flags & SocketInfo::ATTESTED != 0 {
            info.flags |= SocketInfo::PROVED;
        }
        let logged =
            enrolment.flags & Enrolment::LOGGED != 0 && info.flags & SocketInfo::CAPTURED == 0;
        info.logged = if logged { EventKind::ENDED as u16 } else { 0 };
        if info.service != 0 {
            limits::begin(info, enrolment.identity);
        }
        if info.flags & SocketInfo::CAPTURED != 0 {
            attest::write_captured(info, &local, local_port(ctx), enrolment.identity);
        }
    }
    if repeats && info.flags & (SocketInfo::ATTESTED | SocketInfo::CAPTURED) == 0 {
        let flags = BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG;
        let _ = ctx.set_cb_flags(flags as i32);
    } else {
        follow(ctx);
    }
}

/// Before a packet leaves again. When it is the SYN, the server may have become a workload of this
/// node since it left first; its namespace then asks who the client is.
#[inline(always)]
fn again(ctx: &SockOpsContext) {
    // SAFETY: a word of the context.
    if unsafe { read_volatile(&raw const (*ctx.ops).state) } != state::SYN_SENT {
        return;
    }
    let storage = info(ctx, false);
    // SAFETY: null or this socket's storage; the socket's lock is held.
    if unsafe { storage.as_ref() }.is_some_and(|info| info.flags & SocketInfo::ATTESTED != 0) {
        return;
    }
    // SAFETY: the helper takes the context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.ops.cast()) };
    let enrolment = capture::enrolment(netns);
    let storage = attest(ctx, storage, &local(ctx), netns, enrolment);
    // SAFETY: as above.
    if let (Some(info), Some(_)) = (unsafe { storage.as_mut() }, enrolment)
        && info.flags & SocketInfo::ATTESTED != 0
    {
        info.flags |= SocketInfo::PROVED;
    }
}

/// Asks to be told of changes of state.
#[inline(always)]
pub(crate) fn follow(ctx: &SockOpsContext) {
    // Cannot fail for a full socket, which this is.
    let _ = ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32);
}

/// Writes the client down for the server, where that one decides by identity. Answers the socket's
/// storage, which is made for it when there was none: who was written down must be erased.
#[inline(always)]
fn attest(
    ctx: &SockOpsContext,
    storage: *mut SocketInfo,
    local: &Address,
    netns: u64,
    enrolment: Option<&Enrolment>,
) -> *mut SocketInfo {
    // SAFETY: null or this socket's storage.
    let service = unsafe { storage.as_ref() }.map_or(0, |info| info.service);
    let Some(client) = attest::client(netns, enrolment, service) else {
        return storage;
    };
    let connection = connection(ctx, local);
    if !attest::concerns(&connection) {
        return storage;
    }
    let storage = if storage.is_null() {
        info(ctx, true)
    } else {
        storage
    };
    // SAFETY: null or this socket's storage.
    if let Some(info) = unsafe { storage.as_mut() }
        && attest::write(&connection, &client)
    {
        info.netns = netns;
        info.flags |= SocketInfo::ATTESTED;
        follow(ctx);
    }
    storage
}

/// A connection dialled straight to a known workload is followed too, without a service.
#[inline(always)]
fn direct(ctx: &SockOpsContext, local: &Address, netns: u64) -> *mut SocketInfo {
    let remote = remote(ctx);
    let destination = workload(&remote);
    if destination == 0 || remote.is(local) {
        return core::ptr::null_mut();
    }
    let info = info(ctx, true);
    if !info.is_null() {
        // SAFETY: this socket's storage.
        unsafe {
            (*info).netns = netns;
            (*info).destination = destination;
            (*info).protocol = Protocol::TCP;
            (*info).flags = 0;
        }
    }
    info
}

#[inline(always)]
fn established(ctx: &SockOpsContext) {
    // SAFETY: null or this socket's storage.
    let Some(info) = (unsafe { info(ctx, false).as_mut() }) else {
        return;
    };
    if info.began == 0 {
        return;
    }
    info.flags |= SocketInfo::ESTABLISHED;
    info.latency = Kernel.now().saturating_sub(info.began).max(1);
    if info.service != 0
        && let Some(backend) = BACKEND_STATE.get_ptr_mut(info.backend)
    {
        // SAFETY: a valid map value.
        unsafe {
            if (*backend).consecutive_failures != 0 && (*backend).generation == info.generation {
                (*backend).consecutive_failures = 0;
            }
        }
    }
}

#[inline(always)]
fn ended(ctx: &SockOpsContext) {
    let old = ctx.arg(0);
    let pointer = info(ctx, false);
    // SAFETY: null or this socket's storage.
    let Some(info) = (unsafe { pointer.as_mut() }) else {
        return;
    };
    if info.flags & SocketInfo::ATTESTED != 0 {
        attest::erase(&connection(ctx, &local(ctx)), info.netns);
        info.flags &= !SocketInfo::ATTESTED;
    }
    if info.began == 0 {
        return;
    }
    if info.flags & SocketInfo::LIMITED != 0 {
        limits::end(info);
    }
    if info.flags & SocketInfo::COUNTED != 0 {
        count_connection(info.backend, info.generation, u32::MAX);
    }
    let is_server = info.logged == EventKind::SERVED as u16;
    let established = is_server || info.flags & SocketInfo::ESTABLISHED != 0;
    let result = outcome::outcome(established, old, error(ctx));
    trace!(
        ctx,
        "closed: service {} backend {}", info.service, info.backend
    );
    let ops = ctx.ops;
    // SAFETY: words of the context, one at a time.
    let (acked, received, retransmits, srtt) = unsafe {
        (
            read_volatile(&raw const (*ops).bytes_acked),
            read_volatile(&raw const (*ops).bytes_received),
            read_volatile(&raw const (*ops).total_retrans),
            read_volatile(&raw const (*ops).srtt_us) >> 3,
        )
    };
    let (acked, received) = outcome::payload(acked, received, old, is_server);
    if result != Outcome::Abandoned
        && (info.service | info.destination) != 0
        && let Some(edge) = edges::edge_of(info, Kernel.now())
    {
        // SAFETY: a valid map value.
        unsafe {
            match result {
                Outcome::Failed(_) => atomic::add(&raw mut (*edge).failed, 1),
                Outcome::Reset => {
                    atomic::add(&raw mut (*edge).reset, 1);
                    atomic::add(&raw mut (*edge).closed, 1);
                }
                Outcome::Closed | Outcome::Abandoned => {
                    atomic::add(&raw mut (*edge).closed, 1);
                }
            }
        }
        if established {
            edges::count_opened(edge, pointer);
            edges::count_bytes(edge, pointer, acked, received, retransmits);
            edges::sample_rtt(edge, srtt);
        }
    }
    if is_server {
        let connection = access::served(ctx);
        access::log(info, &connection, result, received, acked);
    } else if info.logged != 0 && result != Outcome::Abandoned {
        let connection = connection(ctx, &local(ctx));
        access::log(info, &connection, result, acked, received);
    }
    judge(info, result, received);
    // The socket may connect again. Volatile, or LLVM makes it a call of memset, which libbpf
    // loads as a global function and the verifier refuses.
    // SAFETY: this socket's storage.
    unsafe {
        write_volatile(&raw mut info.began, 0);
        write_volatile(&raw mut info.latency, 0);
        write_volatile(&raw mut info.acked, 0);
        write_volatile(&raw mut info.received, 0);
        write_volatile(&raw mut info.retransmits, 0);
        write_volatile(&raw mut info.logged, 0);
        write_volatile(&raw mut info.flags, info.flags & KEPT);
    }
}

/// What the end says of the backend: a failed connect, or a reset before any answer, is held
/// against it; an answered connection clears it.
#[inline(always)]
fn judge(info: &SocketInfo, result: Outcome, received: u64) {
    if info.service == 0 {
        return;
    }
    let Some(backend) = BACKEND_STATE.get_ptr_mut(info.backend) else {
        return;
    };
    // SAFETY: a valid map value.
    if unsafe { (*backend).generation } != info.generation {
        return;
    }
    let (kind, error, consecutive) = match result {
        Outcome::Failed(errno) => {
            // SAFETY: a valid map value.
            let before =
                atomic::fetch_add32(unsafe { &raw mut (*backend).consecutive_failures }, 1);
            (EventKind::CONNECT_FAILED, errno, before + 1)
        }
        Outcome::Reset if received == 0 => {
            // SAFETY: a valid map value.
            let before = atomic::fetch_add32(unsafe { &raw mut (*backend).consecutive_resets }, 1);
            (EventKind::RESET, 0, before + 1)
        }
        Outcome::Reset | Outcome::Closed => {
            // SAFETY: a valid map value.
            unsafe {
                if (*backend).consecutive_resets != 0 {
                    (*backend).consecutive_resets = 0;
                }
            }
            return;
        }
        Outcome::Abandoned => return,
    };
    // SAFETY: a valid map value.
    atomic::add32(unsafe { &raw mut (*backend).failures }, 1);
    emit(Event {
        time: Kernel.now(),
        netns: info.netns,
        kind,
        error,
        service: info.service,
        backend: info.backend,
        generation: info.generation,
        consecutive,
    });
}

/// The socket's pending error, `None` when this kernel's layout is not known.
#[inline(always)]
fn error(ctx: &SockOpsContext) -> Option<i32> {
    let offset = OFFSET_SK_ERR.load();
    if offset == 0 {
        return None;
    }
    let socket = socket(ctx);
    if socket.is_null() {
        return None;
    }
    // SAFETY: the helper takes the context's socket and yields null or a `struct tcp_sock`,
    // which begins with `struct sock`; the verifier checks the read against the kernel's BTF.
    unsafe {
        let socket = bpf_skc_to_tcp_sock(socket);
        if socket.is_null() {
            return None;
        }
        Some(read_volatile(
            socket.cast::<u8>().add(offset as usize).cast::<i32>(),
        ))
    }
}

#[inline(always)]
pub(crate) fn info(ctx: &SockOpsContext, create: bool) -> *mut SocketInfo {
    let socket = socket(ctx);
    if socket.is_null() {
        return core::ptr::null_mut();
    }
    address::storage(&SOCKETS, socket, create)
}

#[inline(always)]
fn socket(ctx: &SockOpsContext) -> *mut core::ffi::c_void {
    // SAFETY: the union's one pointer member, eight bytes of the context.
    unsafe { (*ctx.ops).__bindgen_anon_2.sk.cast() }
}

/// The connection as its server sees it, on the client's socket.
#[inline(always)]
pub(crate) fn connection(ctx: &SockOpsContext, local: &Address) -> ConnectionKey {
    // SAFETY: a word of the context.
    let port = unsafe { read_volatile(&raw const (*ctx.ops).remote_port) };
    ConnectionKey {
        source: *local,
        destination: remote(ctx),
        source_port: local_port(ctx),
        // Network order in the word's last two bytes (`sock_ops_convert_ctx_access`).
        destination_port: u32::from_be(port) as u16,
    }
}

#[inline(always)]
fn local_port(ctx: &SockOpsContext) -> u16 {
    // SAFETY: a word of the context, host order.
    unsafe { read_volatile(&raw const (*ctx.ops).local_port) as u16 }
}

#[inline(always)]
pub(crate) fn local(ctx: &SockOpsContext) -> Address {
    let ops: *const bpf_sock_ops = ctx.ops;
    // SAFETY: words of the context, one at a time, both families' always: LLVM would turn a
    // choice between them into arithmetic on the context pointer, which the verifier refuses.
    unsafe {
        let v4 = read_volatile(&raw const (*ops).local_ip4);
        let v6 = [
            read_volatile(&raw const (*ops).local_ip6[0]),
            read_volatile(&raw const (*ops).local_ip6[1]),
            read_volatile(&raw const (*ops).local_ip6[2]),
            read_volatile(&raw const (*ops).local_ip6[3]),
        ];
        either(ctx, v4, v6)
    }
}

#[inline(always)]
fn remote(ctx: &SockOpsContext) -> Address {
    let ops: *const bpf_sock_ops = ctx.ops;
    // SAFETY: as in `local`.
    unsafe {
        let v4 = read_volatile(&raw const (*ops).remote_ip4);
        let v6 = [
            read_volatile(&raw const (*ops).remote_ip6[0]),
            read_volatile(&raw const (*ops).remote_ip6[1]),
            read_volatile(&raw const (*ops).remote_ip6[2]),
            read_volatile(&raw const (*ops).remote_ip6[3]),
        ];
        either(ctx, v4, v6)
    }
}

#[inline(always)]
fn either(ctx: &SockOpsContext, v4: u32, v6: [u32; 4]) -> Address {
    if ctx.family() == AF_INET {
        Address::v4_word(v4)
    } else {
        Address::from_words(v6)
    }
}
