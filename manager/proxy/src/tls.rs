//! TLS 1.3: the handshake by rustls, records by ourselves, in place, in buffers that are never
//! copied. Keys, their updates and session tickets stay rustls' business.

mod handshake;
mod record;

pub(crate) use handshake::{Established, accept, connect};
pub(crate) use record::{
    HEAD, Keys, MAX_PLAIN, Opener, RECORD, Sealer, TAIL, content, record_length,
};
