//! Decisions that kernel and user space take alike, as pure functions over values of `weft-abi`.
//!
//! Compiled twice: into the kernel programs and for `cargo test`. No helpers, no maps, no unsafe,
//! no allocation; what must be looked up comes through a trait the caller implements. Everything
//! is `inline(always)`, since the verifier follows one function better than many; where outcomes
//! multiply, the kernel half makes a global function of it, which is verified on its own.
//!
//! Reading order: [`pick`] (a backend for a connection), [`hash`], [`datagrams`] (destinations of
//! an unconnected UDP socket), [`outcome`] (how a connection ended), [`packet`] (headers),
//! [`flow`] (packets of one connection at the uplink), [`authz`] (who is let in), [`limit`] (how
//! often a client may connect).

#![no_std]
#![forbid(unsafe_code)]

pub mod pick;

pub mod hash;

pub mod datagrams;

pub mod outcome;

pub mod packet;

pub mod flow;

pub mod authz;

pub mod limit;
