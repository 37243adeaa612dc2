//! Echo servers: TCP, server speaking first, and UDP.

use std::{
    io::{Read, Write},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{TcpService, timed_out};
use crate::Place;

/// Writes its name and a line feed on every connection, then sends back what it receives.
#[derive(Debug)]
pub struct Echo {
    service: TcpService,
}

impl Echo {
    /// Listens on `address` in `place`. An empty name says nothing first.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(place: &Place, address: SocketAddr, name: &str) -> Result<Self> {
        let banner = match name {
            "" => String::new(),
            name => format!("{name}\n"),
        };
        let service = TcpService::start(place, address, move |mut stream| {
            drop(stream.set_nodelay(true));
            if stream.write_all(banner.as_bytes()).is_err() {
                return;
            }
            let mut buffer = [0; 16 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { service })
    }

    /// Its listener and connections.
    pub fn service(&self) -> &TcpService {
        &self.service
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }
}

/// Answers each datagram with its name, a space, and the datagram.
#[derive(Debug)]
pub struct UdpEcho {
    address: SocketAddr,
    answered: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpEcho {
    /// Binds `address` in `place`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(place: &Place, address: SocketAddr, name: &str) -> Result<Self> {
        let socket = place
            .run(|| UdpSocket::bind(address))
            .with_context(|| format!("bind {address} in {}", place.namespace().name()))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let address = socket.local_addr()?;
        let answered = Arc::new(AtomicU64::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = {
            let (name, answered, stopped) =
                (name.to_owned(), Arc::clone(&answered), Arc::clone(&stopped));
            std::thread::spawn(move || answer_all(&socket, &name, &answered, &stopped))
        };
        Ok(Self {
            address,
            answered,
            stopped,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Datagrams answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Answers datagrams as `name` until told to stop; looks for that at every read timeout.
pub fn answer_all(socket: &UdpSocket, name: &str, answered: &AtomicU64, stopped: &AtomicBool) {
    let mut buffer = [0; 64 * 1024];
    while !stopped.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                let reply = [name.as_bytes(), b" ", &buffer[..length]].concat();
                // A client that is gone makes an ICMP error, reported at some later call.
                drop(socket.send_to(&reply, peer));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if timed_out(&error) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
