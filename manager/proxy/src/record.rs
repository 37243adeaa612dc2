//! Connections as they are told: in snapshots while they live, in records when they are over.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use weft_identity::SpiffeId;

use crate::Error;

/// Which side of a tunnel we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A peer comes to a workload here.
    Inbound,
    /// A workload here goes to a peer.
    Outbound,
}

/// One connection of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Our side of the tunnel.
    pub direction: Direction,
    /// The workload here, by the cookie of its namespace.
    pub workload: u64,
    /// The client.
    pub source: SocketAddr,
    /// Who the client is, once known.
    pub source_identity: Option<SpiffeId>,
    /// The endpoint.
    pub destination: SocketAddr,
    /// Who stands behind the endpoint, once known.
    pub destination_identity: Option<SpiffeId>,
    /// The destination's proxy; `None` for a connection without a tunnel.
    pub hbone: Option<SocketAddr>,
    /// What the client dialled; outbound only.
    pub dialled: Option<SocketAddr>,
    /// As in [`crate::Captured`]; 0 inbound.
    pub service: u32,
    /// As in [`crate::Captured`]; 0 inbound.
    pub backend: u32,
}

/// A connection that lives.
#[derive(Clone, Debug)]
pub struct Live {
    /// Which.
    pub connection: Connection,
    /// Bytes from source to destination so far.
    pub sent: u64,
    /// Bytes from destination to source so far.
    pub received: u64,
    /// Its age.
    pub age: Duration,
}

/// A connection that is over: a line of the access log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which.
    pub connection: Connection,
    /// Bytes from source to destination.
    pub sent: u64,
    /// Bytes from destination to source.
    pub received: u64,
    /// From accepting to closing.
    pub duration: Duration,
    /// How it ended, in one word.
    pub flag: Flag,
    /// How it ended, for people; `None` when both sides had finished.
    pub error: Option<Arc<str>>,
}

/// How a connection ended, in the words of access logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `-`: as it should.
    None,
    /// `DENY`: policy.
    Denied,
    /// `CONNECT`: no connection to the other side.
    Connect,
    /// `TLS_FAILURE`: no secure one.
    Tls,
    /// `H2_HANDSHAKE_FAILURE`: the peer does not speak HTTP/2 as we do.
    Http2,
    /// `IDENTITY_ERROR`: the peer is somebody else, or we have no certificate.
    Identity,
    /// `CERT_REVOKED`: the peer's certificate is.
    Revoked,
    /// `NOT_READY`: policy of the workload here was not known in time.
    NotReady,
}

impl Flag {
    /// As access logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Denied => "DENY",
            Self::Connect => "CONNECT",
            Self::Tls => "TLS_FAILURE",
            Self::Http2 => "H2_HANDSHAKE_FAILURE",
            Self::Identity => "IDENTITY_ERROR",
            Self::Revoked => "CERT_REVOKED",
            Self::NotReady => "NOT_READY",
        }
    }
}

impl From<&Error> for Flag {
    fn from(error: &Error) -> Self {
        use rustls::CertificateError as Certificate;
        match error {
            Error::Denied(_) | Error::Status(401) => Self::Denied,
            Error::Tls(rustls::Error::InvalidCertificate(certificate)) => match certificate {
                Certificate::Revoked => Self::Revoked,
                Certificate::NotValidForName
                | Certificate::NotValidForNameContext { .. }
                | Certificate::ApplicationVerificationFailure
                | Certificate::Other(_) => Self::Identity,
                _ => Self::Tls,
            },
            Error::Revoked(_) => Self::Revoked,
            Error::NotReady { .. } => Self::NotReady,
            Error::Tls(_) | Error::Record | Error::Cipher => Self::Tls,
            Error::Identity(_) | Error::Unexpected { .. } | Error::NoCredentials(_) => {
                Self::Identity
            }
            Error::Http2(_) | Error::Hpack(_) | Error::Protocol => Self::Http2,
            Error::Cut | Error::Reset(_) | Error::Io(_) | Error::Closed => Self::None,
            _ => Self::Connect,
        }
    }
}
