//! Two nodes: a client and a server in the mesh, and the same outside of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use weft_testkit::{
    Cluster, Place, client,
    cluster::{NODES, Pod},
    manifest::{Service, allow_principals, mesh_namespace, peer_authentication},
    process,
    server::TcpService,
};

use crate::bench::{
    established,
    worker::{CLIENT_CPU, SERVER_CPU, Worker, pin},
};

/// Where servers listen, and the port of the services.
pub(super) const PORT: u16 = 8080;

/// Which way connections go.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// From node to node, encrypted.
    Mtls,
    /// On one node, in the kernel, with policy.
    Local,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::Local => "local",
        }
    }
}

/// Dropped in this order: whoever uses the cluster, the cluster.
pub(super) struct Town {
    _servers: Vec<TcpService>,
    meshed: Worker,
    direct: Worker,
    pub(super) far: Arc<Pod>,
    plain_near: Arc<Pod>,
    plain_far: Arc<Pod>,
    cluster: Cluster,
}

impl Town {
    /// Pods, servers, STRICT, a rule for the client on either server, and the meshes.
    pub(super) fn build(binary: &Path) -> Result<Self> {
        let mut cluster = Cluster::new()?;
        let client = cluster.pod(0, "bench/client", "client")?;
        let near = cluster.pod(0, "bench/near", "near")?;
        let far = cluster.pod(1, "bench/far", "far")?;
        let plain = cluster.stranger(0, "plain/client-plain", "client")?;
        let plain_near = cluster.stranger(0, "plain/near-plain", "near")?;
        let plain_far = cluster.stranger(1, "plain/far-plain", "far")?;
        write_policy(&cluster, &[&near, &far])?;
        let mut servers = Vec::new();
        for pod in [&near, &far] {
            servers.push(serve(&pod.inside(), pod.at(PORT))?);
        }
        for pod in [&plain_near, &plain_far] {
            servers.push(serve(&pod.outside(), pod.at(PORT))?);
        }
        let beside = cluster.rig().sibling_cgroup("plain")?;
        let meshed = Worker::start(&client.inside(), CLIENT_CPU);
        let direct = Worker::start(&Place::inside(plain.netns(), &beside), CLIENT_CPU);
        cluster.start_with(|_, options| options.binary(binary))?;
        let town = Self {
            _servers: servers,
            meshed,
            direct,
            far,
            plain_near,
            plain_far,
            cluster,
        };
        town.wait()?;
        Ok(town)
    }

    /// Waits until both ways work, and for what managers do once at their start.
    fn wait(&self) -> Result<()> {
        for way in [Way::Mtls, Way::Local] {
            let (to, begin) = (self.target(way), Instant::now());
            while self.meshed.run(move || probe(to)).is_err() {
                if begin.elapsed() > Duration::from_secs(30) {
                    bail!("{to} does not answer through the mesh after half a minute");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    }

    /// The client's thread in the mesh.
    pub(super) fn meshed(&self) -> &Worker {
        &self.meshed
    }

    /// The client's thread without Weft.
    pub(super) fn direct(&self) -> &Worker {
        &self.direct
    }

    /// The service that the client in the mesh dials.
    pub(super) fn target(&self, way: Way) -> SocketAddr {
        vip(match way {
            Way::Mtls => 2,
            Way::Local => 1,
        })
    }

    /// The pod that the client without Weft dials.
    pub(super) fn baseline(&self, way: Way) -> SocketAddr {
        match way {
            Way::Mtls => self.plain_far.at(PORT),
            Way::Local => self.plain_near.at(PORT),
        }
    }

    /// CPU time that both managers have used so far.
    pub(super) fn managers_time(&self) -> Result<Duration> {
        let pids = self.managers()?;
        pids.into_iter().map(process::cpu_time).sum()
    }

    /// Process ids of the managers.
    pub(super) fn managers(&self) -> Result<[u32; NODES]> {
        let mut pids = [0; NODES];
        for (node, pid) in pids.iter_mut().enumerate() {
            *pid = self.cluster.pid(node).context("weft has ended")?;
        }
        Ok(pids)
    }
}

fn vip(number: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 96, 0, number), PORT).into()
}

fn probe(to: SocketAddr) -> Result<()> {
    let mut stream = client::connect(to, Duration::from_secs(1))?;
    let mut request = [0; 65];
    request[0] = b'R';
    client::round_trip_of(&mut stream, &request, 64)?;
    Ok(())
}

/// An echo server whose connections are served on the servers' CPU.
fn serve(place: &Place, at: SocketAddr) -> Result<TcpService> {
    TcpService::start(place, at, |stream| {
        pin(SERVER_CPU);
        // Ends when the client leaves.
        drop(established::serve(stream));
    })
}

fn write_policy(cluster: &Cluster, servers: &[&Pod]) -> Result<()> {
    cluster.write("namespace.yaml", &mesh_namespace("bench"))?;
    let strict = peer_authentication("bench", "STRICT");
    cluster.write("strict.yaml", &strict)?;
    for (number, pod) in (1..).zip(servers) {
        let account = pod.account();
        let service = Service::new("bench", account)
            .address(vip(number).ip())
            .tcp("tcp", PORT, PORT)
            .pod(pod);
        cluster.write(&format!("service-{account}.yaml"), &service.yaml())?;
        let allow = allow_principals("bench", account, &["cluster.local/ns/bench/sa/client"]);
        cluster.write(&format!("allow-{account}.yaml"), &allow)?;
    }
    Ok(())
}
