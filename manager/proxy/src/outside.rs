//! What the proxy asks of others: the kernel, policy, credentials; and whom it tells.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    sync::Arc,
};

use rustls::{ClientConfig, ServerConfig};
use weft_identity::{CertificateDer, SpiffeId};

use crate::record::{Connection, Record};

/// The kernel half. A workload is named by the cookie of its network namespace.
pub trait Kernel: Send + Sync + 'static {
    /// What the kernel noted of the captured connection that comes from `client`; taken, so a second
    /// call finds nothing.
    fn captured(&self, workload: u64, client: SocketAddr) -> Option<Captured>;

    /// Marks a socket as the proxy's own, which the kernel then leaves alone.
    ///
    /// # Errors
    /// When it cannot be marked; the socket is not used then.
    fn own(&self, socket: BorrowedFd<'_>) -> io::Result<()>;

    /// Lets the application see `client` as the peer of the connection that will come from `local`.
    ///
    /// # Errors
    /// `AlreadyExists` when another connection comes from there, and another address is tried; with
    /// any other the connection is refused.
    fn show(&self, workload: u64, local: SocketAddr, client: SocketAddr) -> io::Result<()>;

    /// Takes back what `show` did.
    fn hide(&self, workload: u64, local: SocketAddr);
}

/// A connection that the kernel handed to the proxy instead of where it was going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// What the application dialled.
    pub dialled: SocketAddr,
    /// The endpoint that the kernel chose.
    pub endpoint: SocketAddr,
    /// Carried into records, never read here.
    pub service: u32,
    /// Carried into records, never read here.
    pub backend: u32,
}

/// What is allowed, and where things are.
pub trait Policy: Send + Sync + 'static {
    /// Whether `client`, known by its certificate, may reach `destination`.
    fn authorize(
        &self,
        workload: u64,
        client: &SpiffeId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Verdict;

    /// Whether a connection that was let in still may be. Unlike [`Self::authorize`], a yes is not
    /// counted.
    fn reauthorize(
        &self,
        workload: u64,
        client: &SpiffeId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Verdict;

    /// Where a captured connection goes; `None` when nobody knows, and it is reset.
    fn route(&self, workload: u64, captured: &Captured) -> Option<Upstream>;

    /// Whether an address is this workload's, so that peers may ask for it.
    fn owns(&self, workload: u64, address: IpAddr) -> bool;
}

/// Policy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not, and what decided it.
    Deny(Arc<str>),
}

/// The way to an endpoint.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// Through the proxy on the endpoint's side.
    Hbone {
        /// Where that proxy listens.
        proxy: SocketAddr,
        /// Who it may be; nobody when empty.
        expected: Arc<[SpiffeId]>,
    },
    /// As it is.
    Plain(SocketAddr),
}

/// Certificates, as TLS wants them. `enable_secret_extraction` should be set in both; where it is not,
/// the configuration is copied for each handshake.
pub trait Credentials: Send + Sync + 'static {
    /// To prove this identity to clients, whom it verifies. `None` without a valid certificate.
    fn server(&self, identity: &SpiffeId) -> Option<Arc<ServerConfig>>;

    /// To prove this identity to a server that must be one of `expected`.
    fn client(&self, identity: &SpiffeId, expected: &[SpiffeId]) -> Option<Arc<ClientConfig>>;

    /// Whether the first certificate of an identity is being asked for, and nothing has failed yet:
    /// worth a moment's wait.
    fn is_pending(&self, identity: &SpiffeId) -> bool;

    /// Whether the certificates that a peer has shown, leaf first, are taken back by now.
    fn is_revoked(&self, shown: &[CertificateDer<'static>]) -> bool;
}

/// Who is told of connections. Calls come from the threads that carry traffic and must not block.
pub trait Observer: Send + Sync + 'static {
    /// Bytes may flow.
    fn opened(&self, connection: &Connection);

    /// It is over, or was refused.
    fn closed(&self, record: &Record);
}
