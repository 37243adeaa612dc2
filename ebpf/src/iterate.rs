//! iter/bpf_sk_storage_map: visits every socket with storage, in all namespaces.
//!
//! The manager runs it every few seconds and when backends went: it counts what live
//! connections moved, and lists who is connected to what.

use core::{
    ffi::c_void,
    mem::MaybeUninit,
    ptr::{read_volatile, write_volatile},
};

use aya_ebpf::{
    Global,
    bindings::seq_file,
    helpers::generated::{bpf_get_socket_cookie, bpf_seq_write, bpf_skc_to_tcp_sock},
};
use weft_abi::{Protocol, SocketInfo, SocketRecord};
use weft_logic::{
    outcome::{self, state},
    pick::Tables,
};

use crate::{balance::Kernel, edges};

/// Offset of `bytes_acked` in `struct tcp_sock` of the running kernel; 0 when unknown.
#[unsafe(no_mangle)]
static OFFSET_BYTES_ACKED: Global<u32> = Global::new(0);

/// Offset of `bytes_received`, likewise.
#[unsafe(no_mangle)]
static OFFSET_BYTES_RECEIVED: Global<u32> = Global::new(0);

/// Offset of `srtt_us`, likewise.
#[unsafe(no_mangle)]
static OFFSET_SRTT_US: Global<u32> = Global::new(0);

/// Offset of `total_retrans`, likewise.
#[unsafe(no_mangle)]
static OFFSET_TOTAL_RETRANS: Global<u32> = Global::new(0);

/// `struct bpf_iter__bpf_sk_storage_map` (net/core/bpf_sk_storage.c).
#[repr(C)]
pub(crate) struct Visit {
    meta: *mut Meta,
    map: *mut c_void,
    socket: *mut c_void,
    value: *mut SocketInfo,
}

/// `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
    session: u64,
    number: u64,
}

/// Counts a live connection into `EDGES` and writes a `SocketRecord`.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub(crate) extern "C" fn weft_sockets(visit: *mut Visit) -> i32 {
    // SAFETY: words of the context; the verifier knows each one's type.
    let (meta, socket, value) = unsafe {
        (
            read_volatile(&raw const (*visit).meta),
            read_volatile(&raw const (*visit).socket),
            read_volatile(&raw const (*visit).value),
        )
    };
    if socket.is_null() || value.is_null() {
        return 0;
    }
    // SAFETY: the verifier bounds the value; fields are copied one by one.
    unsafe {
        if (*value).protocol == Protocol::TCP && (*value).flags & SocketInfo::ESTABLISHED != 0 {
            report(socket, value);
        }
        if (*value).service == 0 {
            return 0;
        }
        let mut record = MaybeUninit::<SocketRecord>::uninit();
        let to = record.as_mut_ptr();
        (*to).cookie = bpf_get_socket_cookie(socket);
        (*to).netns = (*value).netns;
        (*to).service = (*value).service;
        (*to).backend = (*value).backend;
        (*to).generation = (*value).generation;
        // The protocol and the zeroes after it as one word: zeroing three bytes is a call of
        // memset, which libbpf loads as a global function and the verifier refuses.
        write_volatile(
            (&raw mut (*to).protocol).cast::<u32>(),
            u32::from((*value).protocol).to_le(),
        );
        bpf_seq_write(
            (*meta).seq,
            to.cast_const().cast(),
            size_of::<SocketRecord>() as u32,
        );
    }
    0
}

/// Counts what a live connection moved since it was last counted, and samples its round trip.
#[inline(always)]
unsafe fn report(socket: *mut c_void, value: *mut SocketInfo) {
    let (acked_at, received_at) = (OFFSET_BYTES_ACKED.load(), OFFSET_BYTES_RECEIVED.load());
    let (srtt_at, retransmits_at) = (OFFSET_SRTT_US.load(), OFFSET_TOTAL_RETRANS.load());
    if acked_at == 0 || received_at == 0 || srtt_at == 0 || retransmits_at == 0 {
        return;
    }
    // SAFETY: the helper yields null or a `struct tcp_sock`; the verifier checks every read
    // against the kernel's BTF.
    unsafe {
        let tcp = bpf_skc_to_tcp_sock(socket).cast::<u8>();
        if tcp.is_null() {
            return;
        }
        let acked = read_volatile(tcp.add(acked_at as usize).cast::<u64>());
        let received = read_volatile(tcp.add(received_at as usize).cast::<u64>());
        let srtt = read_volatile(tcp.add(srtt_at as usize).cast::<u32>()) >> 3;
        let retransmits = read_volatile(tcp.add(retransmits_at as usize).cast::<u32>());
        let (acked, received) = outcome::payload(acked, received, state::ESTABLISHED, false);
        if let Some(edge) = edges::edge_of(&*value, Kernel.now()) {
            edges::count_opened(edge, value);
            edges::count_bytes(edge, value, acked, received, retransmits);
            edges::sample_rtt(edge, srtt);
        }
    }
}
