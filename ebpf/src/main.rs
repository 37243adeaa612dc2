//! The kernel half: one file per hook, glue over `weft-logic`: look up, decide there, act here.
//!
//! Reading order: [`maps`] declares every map; [`balance`] is the one way to a backend, [`capture`]
//! the way to the proxy, [`limits`] what a client may open; [`connect`], [`datagrams`] and
//! [`peername`] are the socket address hooks; [`sockops`] follows TCP connections, has [`attest`]
//! write down their clients, and [`access`] tell of what was accepted; [`sk_lookup`] lets them in;
//! [`iterate`] visits live sockets; [`uplink`] is tc, for packets no socket hook sees. [`atomic`] is
//! the only place that touches intrinsics.

#![no_std]
#![no_main]
#![allow(
    internal_features,
    reason = "core's atomics need a CAS the BPF target lacks"
)]
#![feature(core_intrinsics)]

mod maps;

mod balance;

mod capture;

mod limits;

mod connect;

mod datagrams;

mod peername;

mod sockops;

mod attest;

mod access;

mod sk_lookup;

mod iterate;

mod uplink;

mod edges;

mod address;

mod atomic;

mod trace;

/// The loader and bpftool read it; GPL is what the kernel asks of programs that use its helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
