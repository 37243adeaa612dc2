//! Why a connection did not come about, or ended early.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use weft_identity::SpiffeId;

use crate::{
    hpack::HpackError,
    http2::{Code, Http2Error},
};

/// Why a connection did not come about, or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The application, or the peer's proxy, could not be reached.
    #[error("{to} does not answer: {source}")]
    Unreachable {
        /// Where we connected to.
        to: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Somebody took too long.
    #[error("no answer within {after:?} while {what}")]
    Timeout {
        /// What we waited for.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
    /// TLS, by rustls.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// Bytes that are no record of TLS 1.3, or not sealed with the agreed key.
    #[error("a TLS record that cannot be opened")]
    Record,
    /// A cipher suite this proxy does not know, or its library refused to work.
    #[error("the agreed cipher suite cannot be used")]
    Cipher,
    /// The peer did not agree to HTTP/2.
    #[error("the peer does not offer HTTP/2 (ALPN h2): is it a mesh proxy?")]
    Protocol,
    /// The peer broke HTTP/2.
    #[error(transparent)]
    Http2(#[from] Http2Error),
    /// The peer's headers cannot be read.
    #[error(transparent)]
    Hpack(#[from] HpackError),
    /// The peer's certificate does not say who it is.
    #[error("the peer's certificate does not tell its identity: {0}")]
    Identity(Arc<str>),
    /// The peer is somebody else: an address may have a new owner.
    #[error("the peer is {found}, expected {expected}: did the address get a new owner?")]
    Unexpected {
        /// Who it is.
        found: SpiffeId,
        /// Who it should be.
        expected: Arc<str>,
    },
    /// The peer's certificate was taken back, before or during the connection.
    #[error("the certificate of {0} is revoked")]
    Revoked(SpiffeId),
    /// There is no certificate for the workload here.
    #[error("no certificate for {0} yet: is the CA reachable?")]
    NoCredentials(SpiffeId),
    /// Policy says no.
    #[error("denied by {0}")]
    Denied(Arc<str>),
    /// The peer's proxy answered CONNECT with something else than 200.
    #[error("the peer's proxy answered CONNECT with {0}")]
    Status(u16),
    /// A request that is no CONNECT to an address of the workload.
    #[error("not a CONNECT to an address and port of this workload")]
    BadRequest,
    /// The kernel knows nothing of a connection to the outbound port.
    #[error("not a captured connection: the outbound port is not for dialling")]
    NotCaptured,
    /// Nobody knows the way to the endpoint.
    #[error("no way to {0} is known")]
    NoRoute(SocketAddr),
    /// The peer takes no more requests in this connection.
    #[error("the peer refused the tunnel before acting on it")]
    Refused,
    /// The peer reset the tunnel.
    #[error("the peer reset the tunnel (HTTP/2 code {})", .0.0)]
    Reset(Code),
    /// The connection between the proxies ended under the tunnel.
    #[error("the connection between the proxies was closed")]
    Closed,
    /// The application reset its connection.
    #[error("the application reset the connection")]
    Cut,
    /// There are as many connections as may be.
    #[error("too many connections; raise max_connections")]
    TooMany,
    /// As many connections of the workload as may wait already do.
    #[error(
        "too many connections of the workload wait already; is its Pod or WorkloadEntry written?"
    )]
    TooManyWait,
    /// The proxy is going away, or the workload is.
    #[error("the workload leaves the mesh")]
    Leaving,
    /// The workload's policy was not known in time.
    #[error("the policy of the workload was not known within {after:?}")]
    NotReady {
        /// How long the connection waited.
        after: Duration,
    },
    /// A failure that several connections share.
    #[error(transparent)]
    Shared(Arc<Self>),
}

impl Error {
    /// The first cause, for a failure that was shared.
    pub(crate) fn cause(&self) -> &Self {
        match self {
            Self::Shared(inner) => inner.cause(),
            other => other,
        }
    }
}
