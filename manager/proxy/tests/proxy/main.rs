//! The proxy between real sockets, on loopback: what the kernel and policy say is written here, all
//! else is real.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

mod bytes;
mod interop;
mod measure;
mod peers;
mod refusals;
