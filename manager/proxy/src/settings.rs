//! What may be set.

use std::time::Duration;

/// How the proxy uses the machine, and how patient it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that carry traffic; each connection stays on one.
    pub threads: usize,
    /// The port for captured connections, on 127.0.0.1 and `::1`; 0 for any free one. When another
    /// process in the namespace holds it, a free one is taken and told.
    pub outbound_port: u16,
    /// The port for HBONE, on all addresses; 0 for any free one.
    pub inbound_port: u16,
    /// Most tunnels that we open in one connection to a peer.
    pub streams_per_connection: usize,
    /// Most tunnels that a peer may have open in one connection to us.
    pub max_peer_streams: u32,
    /// Most connections of applications at once, both directions, over all threads.
    pub max_connections: usize,
    /// Bytes that may be under way to us in one tunnel: what an application that does not read can
    /// make us hold.
    pub stream_window: u32,
    /// The same for all tunnels of a connection.
    pub connection_window: u32,
    /// Most that is read from a socket at once, in records of 16 KiB.
    pub burst: usize,
    /// For TLS and the first settings of HTTP/2.
    pub handshake_timeout: Duration,
    /// For connecting to a peer's proxy or an application, and for the answer to CONNECT.
    pub connect_timeout: Duration,
    /// How long connections of a workload that is not known yet wait for it ([`crate::Proxy::hold`]).
    pub hold_timeout: Duration,
    /// After which a connection between proxies without tunnels is closed.
    pub idle_timeout: Duration,
    /// Silence after which a peer with open tunnels is asked whether it is still there, and after
    /// as much silence again is given up.
    pub keepalive: Duration,
    /// How long tunnels may go on after [`crate::Proxy::drain`].
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            outbound_port: 15_001,
            inbound_port: 15_008,
            streams_per_connection: 100,
            max_peer_streams: 1000,
            max_connections: 100_000,
            stream_window: 1 << 20,
            connection_window: 16 << 20,
            burst: 16,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            hold_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            keepalive: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
        }
    }
}
