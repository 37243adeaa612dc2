//! The namespaces, the server, and the meshes of a benchmark.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use weft_testkit::{
    Namespace, Place, PolicyDirectory, Rig, Weft, client, manifest, server::TcpService,
};

use super::worker::{CLIENT_CPU, SERVER_CPU, Worker, pin};

/// Where the servers listen.
pub(super) const PORT: u16 = 8080;

/// Backends of every small service, all of them real.
pub(super) const BACKENDS: u8 = 3;

/// Services in one policy file.
const PER_FILE: u32 = 500;

/// Client and server namespaces joined by one veth pair, and a third one for nftables.
pub(super) struct Arena {
    /// Dropped before the rig, which removes the namespaces.
    _server: TcpService,
    pub(super) meshed: Worker,
    pub(super) direct: Worker,
    pub(super) client: Arc<Namespace>,
    pub(super) server: Arc<Namespace>,
    pub(super) policy: PolicyDirectory,
    pub(super) rig: Rig,
    pub(super) binary: PathBuf,
}

impl Arena {
    /// Namespaces `client` (10.88.0.1) and `server` (10.88.0.2 to .4), one server on all of the
    /// latter's addresses.
    pub(super) fn new(binary: PathBuf) -> Result<Self> {
        let mut rig = Rig::new()?;
        let client = rig.namespace("client")?;
        let server = rig.namespace("server")?;
        rig.link(&client, "eth0", &server, "eth0")?;
        client.address("eth0", "10.88.0.1/24")?;
        for last in 0..BACKENDS {
            server.address("eth0", &format!("10.88.0.{}/24", 2 + last))?;
        }
        for namespace in [&client, &server] {
            namespace.sysctl("net/core/somaxconn", "65535")?;
        }
        let meshed = Worker::start(&rig.inside(&client), CLIENT_CPU);
        let plain = rig.sibling_cgroup("plain")?;
        let direct = Worker::start(&Place::inside(&client, &plain), CLIENT_CPU);
        Ok(Self {
            _server: echo(&server, SocketAddr::from(([0, 0, 0, 0], ECHO_PORT)))?,
            meshed,
            direct,
            policy: PolicyDirectory::new(rig.directory().join("policy"))?,
            client,
            server,
            rig,
            binary,
        })
    }

    /// A mesh with that many services.
    pub(super) fn mesh(&self, size: u32) -> Result<Weft> {
        self.write_services(0, size)?;
        let mesh = Weft::on(&self.rig, Place::outside(&self.client), self.policy.path())?
            .binary(&self.binary)
            .start()?;
        self.wait_for(vip(size - 1))?;
        // What a manager does once, at its start, is not what is measured.
        std::thread::sleep(Duration::from_secs(2));
        Ok(mesh)
    }

    /// Grows a mesh by policy files, and waits until its last service works.
    pub(super) fn grow(&self, mesh: &Weft, size: u32) -> Result<()> {
        self.write_services(0, size)?;
        self.wait_for(vip(size - 1))
            .with_context(|| format!("weft's log:\n{}", mesh.log()))
    }

    /// Waits until a connection through the mesh succeeds.
    pub(super) fn wait_for(&self, target: SocketAddr) -> Result<()> {
        let _listening = accept_and_close(&self.server)?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let tried = self
                .meshed
                .run(move || Ok(client::connect(target, Duration::from_secs(1))?));
            if tried.is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("{target} does not answer through the mesh after a minute")
    }

    fn write_services(&self, from: u32, to: u32) -> Result<()> {
        for first in (from..to).step_by(PER_FILE as usize) {
            let mut yaml = String::new();
            for number in first..to.min(first + PER_FILE) {
                writeln!(yaml, "---\n{}", service_yaml(number))?;
            }
            self.policy
                .write(&format!("services-{first:05}.yaml"), &yaml)?;
        }
        Ok(())
    }
}

/// Where the echo server listens.
pub(super) const ECHO_PORT: u16 = 9090;

/// Address of a service; port 80 goes to the accepting, 90 to the echoing server.
pub(super) fn vip(number: u32) -> SocketAddr {
    SocketAddr::from((vip_address(number), 80))
}

pub(super) fn vip_address(number: u32) -> Ipv4Addr {
    let [_, _, high, low] = u16::try_from(number + 1)
        .map(|number| u32::from(number).to_be_bytes())
        .unwrap_or_default();
    Ipv4Addr::new(10, 96, high, low)
}

/// Address of a backend, by turns.
pub(super) fn backend(number: u32) -> SocketAddr {
    SocketAddr::from((backend_address(number), PORT))
}

pub(super) fn backend_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 88, 0, 2 + (number % u32::from(BACKENDS)) as u8)
}

fn service_yaml(number: u32) -> String {
    let mut service = manifest::Service::new("bench", &format!("s{number}"))
        .address(vip_address(number))
        .tcp("accept", 80, PORT)
        .without_pods();
    if number == 0 {
        service = service.tcp("echo", 90, ECHO_PORT);
    }
    for backend in 0..u32::from(BACKENDS) {
        service = service.backend(&format!("v{backend}"), &[backend_address(backend).into()]);
    }
    service.yaml()
}

/// A server that accepts on all backends' addresses and closes, on the servers' CPU.
pub(super) fn accept_and_close(server: &Arc<Namespace>) -> Result<Acceptor> {
    let place = Place::outside(server);
    let listener = place.run(listen).context("listen for the clients")?;
    let stopping = listener.try_clone().context("share the listener")?;
    let thread = place.spawn(move || {
        pin(SERVER_CPU);
        // Ends with EINVAL when the listener is shut down.
        while let Ok((stream, _)) = listener.accept() {
            drop(stream);
        }
    });
    Ok(Acceptor {
        listener: stopping,
        thread: Some(thread),
    })
}

fn listen() -> Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    bind(&listener, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))?;
    // Deep enough that a server that is late by a slice refuses nobody.
    listen(&listener, 65_535)?;
    Ok(listener.into())
}

/// Stops accepting when dropped.
pub(super) struct Acceptor {
    listener: TcpListener,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        let _woken = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// An echo server whose connections are served on the servers' CPU. A connection whose first byte
/// is `S` is a stream: eight bytes of length, that many bytes, one byte back, and again.
fn echo(server: &Arc<Namespace>, address: SocketAddr) -> Result<TcpService> {
    TcpService::start(&Place::outside(server), address, |stream| {
        pin(SERVER_CPU);
        // Ends when the client leaves.
        drop(super::established::serve(stream));
    })
}
