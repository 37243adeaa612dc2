//! Reading and writing socket addresses in a context.
//!
//! Every field is one volatile word: LLVM merges neighbouring accesses, which the verifier
//! refuses for contexts.

use core::{
    ffi::c_void,
    ptr::{read_volatile, write_volatile},
};

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr},
    helpers::{bpf_get_netns_cookie, generated::bpf_sk_storage_get},
    programs::SockAddrContext,
};
use weft_abi::{Address, Protocol};

const IPPROTO_MPTCP: u32 = 262;

/// Address family of a hook. A v4-mapped destination on an IPv6 socket runs the IPv6 hook, and
/// is the same 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The address and port (host order) the hook is about.
#[inline(always)]
pub(crate) fn user(ctx: &SockAddrContext, family: Family) -> (Address, u16) {
    let raw = ctx.sock_addr;
    // SAFETY: a context pointer; each read is of one word of it.
    let (address, port) = unsafe {
        let address = match family {
            Family::V4 => Address::v4_word(read_volatile(&raw const (*raw).user_ip4)),
            Family::V6 => Address::from_words([
                read_volatile(&raw const (*raw).user_ip6[0]),
                read_volatile(&raw const (*raw).user_ip6[1]),
                read_volatile(&raw const (*raw).user_ip6[2]),
                read_volatile(&raw const (*raw).user_ip6[3]),
            ]),
        };
        (address, read_volatile(&raw const (*raw).user_port))
    };
    (address, u16::from_be(port as u16))
}

/// Rewrites the address and port.
#[inline(always)]
pub(crate) fn rewrite(ctx: &SockAddrContext, family: Family, address: &Address, port: u16) {
    let raw: *mut bpf_sock_addr = ctx.sock_addr;
    let words = address.words();
    // SAFETY: a context pointer; each write is of one word the kernel lets these hooks write.
    unsafe {
        match family {
            Family::V4 => write_volatile(&raw mut (*raw).user_ip4, words[3]),
            Family::V6 => {
                write_volatile(&raw mut (*raw).user_ip6[0], words[0]);
                write_volatile(&raw mut (*raw).user_ip6[1], words[1]);
                write_volatile(&raw mut (*raw).user_ip6[2], words[2]);
                write_volatile(&raw mut (*raw).user_ip6[3], words[3]);
            }
        }
        write_volatile(&raw mut (*raw).user_port, u32::from(port.to_be()));
    }
}

/// The socket's protocol as `weft_abi::Protocol`; MPTCP counts as TCP, others as 0.
#[inline(always)]
pub(crate) fn protocol(ctx: &SockAddrContext) -> u8 {
    // SAFETY: one word of the context.
    match unsafe { read_volatile(&raw const (*ctx.sock_addr).protocol) } {
        IPPROTO_MPTCP => Protocol::TCP,
        number if number == u32::from(Protocol::TCP) => Protocol::TCP,
        number if number == u32::from(Protocol::UDP) => Protocol::UDP,
        _ => 0,
    }
}

/// The socket.
#[inline(always)]
pub(crate) fn socket(ctx: &SockAddrContext) -> *mut bpf_sock {
    // SAFETY: the union's one pointer member, eight bytes of the context.
    unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk }
}

/// The client for affinity and hashing: the address the socket is bound to, else its namespace.
#[inline(always)]
pub(crate) fn client(ctx: &SockAddrContext, family: Family) -> Address {
    let bound = bound(ctx, family);
    if bound.words()[3] != 0 {
        return bound;
    }
    let cookie = netns(ctx);
    Address::from_words([(cookie >> 32) as u32, cookie as u32, 0, 0])
}

/// 127.0.0.0/8 or `::1`.
#[inline(always)]
pub(crate) fn is_loopback(address: &Address) -> bool {
    let [a, b, c, d] = address.words();
    let v4 = c == Address::V4_MARK && d & 0xff00_0000_u32.to_be() == 0x7f00_0000_u32.to_be();
    let v6 = c == 0 && d == 1_u32.to_be();
    (a | b) == 0 && (v4 || v6)
}

/// Whether a connect to it stays in the namespace: loopback, or no address at all, which Linux takes
/// for loopback.
#[inline(always)]
pub(crate) fn is_own(address: &Address) -> bool {
    let [a, b, c, d] = address.words();
    let is_none = (a | b | d) == 0 && (c == 0 || c == Address::V4_MARK);
    is_none || is_loopback(address)
}

/// The socket's own address; zero in its last word while it has none.
#[inline(always)]
fn bound(ctx: &SockAddrContext, family: Family) -> Address {
    let socket = socket(ctx);
    // SAFETY: fields of `bpf_sock`, a word each.
    unsafe {
        match family {
            Family::V4 => Address::v4_word(read_volatile(&raw const (*socket).src_ip4)),
            Family::V6 => Address::from_words([
                read_volatile(&raw const (*socket).src_ip6[0]),
                read_volatile(&raw const (*socket).src_ip6[1]),
                read_volatile(&raw const (*socket).src_ip6[2]),
                read_volatile(&raw const (*socket).src_ip6[3]),
            ]),
        }
    }
}

/// Cookie of the socket's network namespace.
#[inline(always)]
pub(crate) fn netns(ctx: &SockAddrContext) -> u64 {
    // SAFETY: the helper takes the context.
    unsafe { bpf_get_netns_cookie(ctx.sock_addr.cast()) }
}

/// Socket-local storage; null when there is none (and none could be made).
#[inline(always)]
pub(crate) fn storage<M, T>(map: &M, socket: *mut c_void, create: bool) -> *mut T {
    let map = (map as *const M).cast_mut().cast();
    // SAFETY: `map` is a socket storage map with value type `T` (callers pair them), `socket`
    // comes from a context.
    unsafe { bpf_sk_storage_get(map, socket, core::ptr::null_mut(), u64::from(create)) }.cast()
}

/// Copies an address word by word: between map values LLVM makes an assignment a call of memmove,
/// which libbpf loads as a global function and the verifier refuses.
#[inline(always)]
pub(crate) fn copy(to: *mut Address, from: &Address) {
    let words = from.words();
    let to = to.cast::<u32>();
    // SAFETY: `to` points to 16 writable bytes aligned to 4.
    unsafe {
        write_volatile(to, words[0]);
        write_volatile(to.add(1), words[1]);
        write_volatile(to.add(2), words[2]);
        write_volatile(to.add(3), words[3]);
    }
}
