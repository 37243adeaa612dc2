//! One mesh with a client's host, a server's host with an address per backend, and a policy
//! directory.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use weft_testkit::{
    Namespace, Place, PolicyDirectory, Rig, Weft,
    manifest::Service,
    server::{Echo, Http, UdpEcho},
    weft::{self, WeftOptions},
};

/// Where servers listen.
pub const PORT: u16 = 8080;

/// Longest wait for an effect. Nothing that works comes near it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A rig with a mesh. Dropping it removes everything, the mesh first.
#[derive(Debug)]
pub struct Scene {
    mesh: Option<Weft>,
    policy: PolicyDirectory,
    client: Arc<Namespace>,
    server: Arc<Namespace>,
    rig: Rig,
}

impl Scene {
    /// Hosts and addresses for that many backends, numbered from 1; none, after printing why,
    /// where there can be none. The mesh is started by [`Self::start`].
    ///
    /// # Panics
    /// When it should be possible and is not.
    #[expect(clippy::print_stdout, reason = "a skipped test says why")]
    pub fn or_skip(backends: u8) -> Option<Self> {
        if let Err(error) = weft::binary() {
            println!("skipped: {error}");
            return None;
        }
        let mut rig = Rig::or_skip()?;
        let client = rig.host("client").expect("a host");
        let server = rig.host("server").expect("a host");
        for number in 1..=backends {
            for address in [v4(number), v6(number)] {
                let length = if address.is_ipv4() { 16 } else { 64 };
                let address = format!("{address}/{length}");
                server.address("eth0", &address).expect("an address");
            }
        }
        let policy = rig.directory().join("policy");
        Some(Self {
            mesh: None,
            policy: PolicyDirectory::new(policy).expect("a directory"),
            client,
            server,
            rig,
        })
    }

    /// Starts the mesh and waits until it is ready.
    ///
    /// # Panics
    /// With its log, when it does not start.
    pub fn start(&mut self) {
        self.start_with(|options| options);
    }

    /// As [`Self::start`], with other options.
    ///
    /// # Panics
    /// With its log, when it does not start.
    pub fn start_with(&mut self, with: impl FnOnce(WeftOptions) -> WeftOptions) {
        let options = self.options();
        let mesh = with(options).start();
        self.mesh = Some(mesh.unwrap_or_else(|error| panic!("{error:#}")));
    }

    /// Options of a mesh over this rig, run on the client's host, outside of the cgroup.
    ///
    /// # Panics
    /// When the binary went since [`Self::or_skip`].
    pub fn options(&self) -> WeftOptions {
        let place = Place::outside(&self.client);
        Weft::on(&self.rig, place, self.policy.path()).expect("the binary")
    }

    /// The running mesh.
    ///
    /// # Panics
    /// When it was not started.
    pub fn mesh(&mut self) -> &mut Weft {
        self.mesh.as_mut().expect("the mesh was started")
    }

    /// Takes the mesh, to uninstall it.
    ///
    /// # Panics
    /// When it was not started.
    pub fn take_mesh(&mut self) -> Weft {
        self.mesh.take().expect("the mesh was started")
    }

    /// The rig, for more hosts.
    pub fn rig(&mut self) -> &mut Rig {
        &mut self.rig
    }

    /// The policy directory.
    pub fn policy(&self) -> &PolicyDirectory {
        &self.policy
    }

    /// Writes a policy file and nothing more.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn write(&self, file: &str, yaml: &str) {
        self.policy.write(file, yaml).expect("a policy file");
    }

    /// Writes a policy file and waits until the maps have changed.
    ///
    /// # Panics
    /// When they do not.
    pub fn apply(&mut self, file: &str, yaml: &str) {
        let before = self.generation();
        self.write(file, yaml);
        wait_for("the edit to take effect", || self.generation() > before);
    }

    /// Number of changes written to the maps so far.
    ///
    /// # Panics
    /// When the mesh does not answer.
    pub fn generation(&mut self) -> u64 {
        self.status()["generation"].as_u64().expect("a number")
    }

    /// `weft status -o json`, from the admin port.
    ///
    /// # Panics
    /// When the mesh does not answer.
    pub fn status(&mut self) -> Value {
        self.state("/state/status")
    }

    /// What an admin path answers.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn state(&mut self, path: &str) -> Value {
        let (status, body) = self.mesh().get(path).expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Runs a command of `weft` and reads its JSON.
    ///
    /// # Panics
    /// With what it said, when it fails.
    pub fn ask(&mut self, args: &[&str]) -> Value {
        let args = [args, &["-o", "json"]].concat();
        let answer = self.mesh().ask(&args).expect("an answer");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Sum of samples of a metric; 0 when there are none.
    ///
    /// # Panics
    /// When the mesh does not answer.
    pub fn metric(&mut self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let metrics = self.mesh().scrape().expect("metrics");
        metrics.sum(name, labels).unwrap_or(0.0)
    }

    /// The client's host.
    pub fn client(&self) -> &Arc<Namespace> {
        &self.client
    }

    /// The servers' host.
    pub fn server(&self) -> &Arc<Namespace> {
        &self.server
    }

    /// On the client's host, sockets in the mesh.
    pub fn inside(&self) -> Place {
        self.rig.inside(&self.client)
    }

    /// On the servers' host, sockets not in the mesh.
    pub fn outside(&self) -> Place {
        Place::outside(&self.server)
    }

    /// An HTTP server at the IPv4 address of a backend, named `bNUMBER`.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn http(&self, number: u8) -> Http {
        self.http_at((v4(number), PORT).into(), number)
    }

    /// An HTTP server at another address of the servers' host.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn http_at(&self, address: SocketAddr, number: u8) -> Http {
        Http::start(&self.outside(), address, &format!("b{number}")).expect("a free address")
    }

    /// An echo server at an address of a backend.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn echo(&self, address: IpAddr, name: &str) -> Echo {
        Echo::start(&self.outside(), (address, PORT).into(), name).expect("a free address")
    }

    /// A UDP echo server at an address of a backend.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn udp(&self, address: IpAddr, name: &str) -> UdpEcho {
        UdpEcho::start(&self.outside(), (address, PORT).into(), name).expect("a free address")
    }
}

/// IPv4 address of a backend.
pub fn v4(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 77, 100, number).into()
}

/// IPv6 address of a backend.
pub fn v6(number: u8) -> IpAddr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0x100, u16::from(number)).into()
}

/// IPv4 address of a service in the tests.
pub fn vip(number: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 96, 0, number), 80).into()
}

/// IPv6 address of a service in the tests.
pub fn vip6(number: u8) -> SocketAddr {
    (
        Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, u16::from(number)),
        80,
    )
        .into()
}

/// A TCP service at [`vip`] with backends, each a pod `NAME-bNUMBER`.
pub fn service(name: &str, number: u8, backends: &[u8]) -> Service {
    let service = Service::new("shop", name)
        .address(vip(number).ip())
        .tcp("http", 80, PORT);
    backends.iter().fold(service, |service, backend| {
        service.backend(&format!("b{backend}"), &[v4(*backend)])
    })
}

/// Joins documents.
pub fn documents(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join("\n---\n")
}

/// Waits until something holds.
///
/// # Panics
/// When it does not within 20 seconds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
