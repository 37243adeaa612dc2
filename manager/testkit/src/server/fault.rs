//! Servers that misbehave.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt::set_socket_reuseaddr};

use super::{TcpService, reset_on_close};
use crate::Place;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The port is taken, and nobody listens: RST to every SYN.
    Refuse,
    /// Accepts, then resets at once.
    Reset,
    /// Accepts, waits for the first byte, then resets.
    ResetOnData,
    /// Accepts, reads nothing and says nothing.
    Stall,
}

/// A server with a [`Fault`].
#[derive(Debug)]
pub struct Faulty {
    address: SocketAddr,
    /// Holds the port of [`Fault::Refuse`].
    _bound: Option<OwnedFd>,
    service: Option<TcpService>,
}

impl Faulty {
    /// Takes `address` in `place` and misbehaves.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(place: &Place, address: SocketAddr, fault: Fault) -> Result<Self> {
        if fault == Fault::Refuse {
            return Self::refuse(place, address);
        }
        let listener = place
            .run(|| TcpListener::bind(address))
            .with_context(|| format!("listen on {address}"))?;
        let service = TcpService::over(listener, move |mut stream| match fault {
            Fault::Refuse | Fault::Reset => reset_on_close(&stream),
            Fault::ResetOnData => {
                drop(stream.read(&mut [0]));
                reset_on_close(&stream);
            }
            // Ends when the service shuts the connection down.
            Fault::Stall => drop(rustix::event::poll(
                &mut [rustix::event::PollFd::new(
                    &stream,
                    rustix::event::PollFlags::empty(),
                )],
                None,
            )),
        })?;
        Ok(Self {
            address: service.address(),
            _bound: None,
            service: Some(service),
        })
    }

    /// Where it misbehaves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far; none when refusing.
    pub fn accepted(&self) -> u64 {
        self.service.as_ref().map_or(0, TcpService::accepted)
    }

    fn refuse(place: &Place, address: SocketAddr) -> Result<Self> {
        let family = if address.is_ipv6() {
            AddressFamily::INET6
        } else {
            AddressFamily::INET
        };
        let bound = place.run(|| {
            let bound = socket(family, SocketType::STREAM, None)?;
            set_socket_reuseaddr(&bound, true)?;
            bind(&bound, &address)?;
            Ok::<_, rustix::io::Errno>(bound)
        });
        let bound = bound.with_context(|| format!("bind {address}"))?;
        let address = rustix::net::getsockname(&bound)
            .context("read the bound address")?
            .try_into()
            .context("the kernel gave an address of another family")?;
        Ok(Self {
            address,
            _bound: Some(bound),
            service: None,
        })
    }
}
