//! Real little servers on threads: HTTP, TCP echo, UDP echo, and servers that misbehave.
//!
//! Each listens in the place it was started in, serves a bounded number of connections at a time,
//! and stops, with its connections, when dropped.

pub mod http;

pub mod echo;

pub mod fault;

use std::{
    collections::BTreeMap,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::net::sockopt::set_socket_linger;

pub use self::{
    echo::{Echo, UdpEcho},
    fault::{Fault, Faulty},
    http::Http,
};
use crate::Place;

/// Connections one server serves at a time; one more is closed at once.
pub const MAX_CONNECTIONS: usize = 512;

/// Accepts connections and serves each on a thread.
#[derive(Debug)]
pub struct TcpService {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    listener: TcpListener,
    stopped: AtomicBool,
    accepted: AtomicU64,
    open: Mutex<BTreeMap<u64, TcpStream>>,
}

impl TcpService {
    /// Listens on `address` in `place` (port 0: any) and serves each connection with `serve`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(
        place: &Place,
        address: SocketAddr,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = place
            .run(|| TcpListener::bind(address))
            .with_context(|| format!("listen on {address} in {}", place.namespace().name()))?;
        Self::over(listener, serve)
    }

    fn over(
        listener: TcpListener,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Result<Self> {
        let address = listener.local_addr().context("read the bound address")?;
        let state = Arc::new(State {
            listener,
            stopped: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            open: Mutex::new(BTreeMap::new()),
        });
        let accepting = Arc::clone(&state);
        let thread = std::thread::spawn(move || accepting.accept_all(&Arc::new(serve)));
        Ok(Self {
            address,
            state,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.state.connections().len()
    }

    /// Resets every open connection, keeps listening.
    pub fn reset_connections(&self) {
        for stream in self.state.connections().values() {
            reset_on_close(stream);
            // Connecting to "nothing" sends the RST at once; kernels 6.0 to 6.5 refuse that while
            // a thread reads, there the peer sees FIN and then RST.
            if rustix::net::connect_unspec(stream).is_err() {
                drop(stream.shutdown(Shutdown::Both));
            }
        }
    }
}

impl Drop for TcpService {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        // Wakes the accepting thread with EINVAL.
        let _woken = rustix::net::shutdown(&self.state.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        for stream in self.state.connections().values() {
            drop(stream.shutdown(Shutdown::Both));
        }
        // Serving threads hold the state, and with it the listener, until they notice.
        for _ in 0..200 {
            if self.open() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl State {
    fn accept_all<F: Fn(TcpStream) + Send + Sync + 'static>(self: &Arc<Self>, serve: &Arc<F>) {
        while !self.stopped.load(Ordering::Relaxed) {
            let Ok((stream, _)) = self.listener.accept() else {
                // Out of file descriptors, or stopped: the loop condition knows.
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            let number = self.accepted.fetch_add(1, Ordering::Relaxed);
            let Some(registered) = self.register(number, &stream) else {
                continue;
            };
            let serve = Arc::clone(serve);
            let spawned = std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || {
                    serve(stream);
                    drop(registered);
                });
            drop(spawned);
        }
    }

    fn register(self: &Arc<Self>, number: u64, stream: &TcpStream) -> Option<Registered> {
        let copy = stream.try_clone().ok()?;
        let mut open = self.connections();
        if open.len() >= MAX_CONNECTIONS {
            return None;
        }
        open.insert(number, copy);
        Some(Registered {
            number,
            state: Arc::clone(self),
        })
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a connection when its thread ends, however it ends.
struct Registered {
    number: u64,
    state: Arc<State>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.state.connections().remove(&self.number);
    }
}

/// Makes closing the stream send RST instead of FIN (SO_LINGER with 0 seconds).
pub fn reset_on_close(stream: &TcpStream) {
    let _set = set_socket_linger(stream, Some(Duration::ZERO));
}

/// Whether a read or write ended because of its timeout.
pub(crate) fn timed_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
