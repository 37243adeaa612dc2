//! The HBONE proxy: carries connections of workloads on this node to peers' proxies and back, each in
//! a tunnel of HTTP/2 CONNECT over mutual TLS 1.3. It decides nothing: what the kernel noted, where
//! an endpoint is, who may come in and with which certificate, others answer through traits.
//!
//! A few threads, each with its own event loop; a connection stays on the thread it came to. TLS
//! records are filled, sealed, opened and passed on in the same buffers, which belong to the thread:
//! a connection that is idle holds none.

#![forbid(unsafe_code)]

mod buffers;
mod error;
mod held;
mod hpack;
mod http2;
mod inbound;
mod listener;
mod namespace;
mod outbound;
mod outside;
mod pool;
mod proxy;
mod pump;
mod record;
mod session;
mod settings;
mod socket;
mod tls;
mod worker;
mod workload;

pub use error::Error;
pub use hpack::{Decoder, HpackError};
pub use http2::{Code, Frame, Http2Error, Reader, Setting};
pub use outside::{Captured, Credentials, Kernel, Observer, Policy, Upstream, Verdict};
pub use proxy::{Listening, Proxy};
pub use record::{Connection, Direction, Flag, Live, Record};
pub use settings::Settings;
pub use workload::Workload;
