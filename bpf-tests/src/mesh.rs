//! Two nodes of a mesh: clients on the first, servers on both, and a pod that is not in the mesh.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use weft_testkit::{
    Cluster, Place, client,
    cluster::Pod,
    manifest::{Service, allow_principals, mesh_namespace, peer_authentication},
    weft::WeftOptions,
};

use crate::{scene::documents, wait_for};

/// Where servers of pods listen.
pub const PORT: u16 = 8080;

/// Longest wait of a client.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The cluster and its pods. All are in the mesh but `outsider`; each has a service account of its
/// own name.
#[derive(Debug)]
pub struct MeshScene {
    /// On the first node.
    pub client: Arc<Pod>,
    /// On the first node.
    pub other: Arc<Pod>,
    /// A server on the first node.
    pub near: Arc<Pod>,
    /// A server on the second node.
    pub web: Arc<Pod>,
    /// On the first node, in a namespace outside of the mesh.
    pub outsider: Arc<Pod>,
    /// The nodes.
    pub cluster: Cluster,
}

impl MeshScene {
    /// Pods and services, `web` and `near`; none, after printing why, where there can be none. The
    /// meshes are started by [`Self::start`].
    ///
    /// # Panics
    /// When it should be possible and is not.
    pub fn or_skip() -> Option<Self> {
        let mut cluster = Cluster::or_skip()?;
        let mut pod = |node, name: &str| {
            let account = name.rsplit('/').next().unwrap_or(name);
            cluster.pod(node, name, account).expect("a pod")
        };
        let scene = Self {
            client: pod(0, "shop/client"),
            other: pod(0, "shop/other"),
            near: pod(0, "shop/near"),
            web: pod(1, "shop/web"),
            outsider: cluster
                .stranger(0, "wild/outsider", "outsider")
                .expect("a pod"),
            cluster,
        };
        scene.write("namespace.yaml", &mesh_namespace("shop"));
        let service = |name: &str, number: u8, pod: &Pod| {
            Service::new("shop", name)
                .address(vip(number).ip())
                .tcp("tcp", 80, PORT)
                .pod(pod)
                .yaml()
        };
        let six = Service::new("shop", "web-six")
            .address(vip6(1).ip())
            .tcp("tcp", 80, PORT)
            .pod(&scene.web)
            .yaml();
        let services = [
            service("web", 1, &scene.web),
            service("near", 2, &scene.near),
            six,
        ];
        scene.write("services.yaml", &documents(services));
        Some(scene)
    }

    /// Starts the mesh of both nodes.
    ///
    /// # Panics
    /// With a log, when one does not become ready.
    pub fn start(&mut self) {
        self.start_with(|_, options| options);
    }

    /// As [`Self::start`], with further options of each node.
    ///
    /// # Panics
    /// With a log, when one does not become ready.
    pub fn start_with(&mut self, with: impl Fn(usize, WeftOptions) -> WeftOptions) {
        let started = self.cluster.start_with(with);
        started.unwrap_or_else(|error| panic!("{error:#}"));
        self.wait_enrolled(0, 3);
        self.wait_enrolled(1, 1);
    }

    /// Waits until that many workloads of a node are served.
    ///
    /// # Panics
    /// When they are not within 20 seconds.
    pub fn wait_enrolled(&mut self, node: usize, count: usize) {
        wait_for("the workloads to be served", || {
            let list = self.ask(node, &["workloads"]);
            let list = list.as_array().map_or(&[][..], Vec::as_slice);
            list.len() == count && list.iter().all(|one| one["ready"] == true)
        });
    }

    /// Writes a policy file and waits until both meshes have it in force.
    ///
    /// # Panics
    /// When they do not.
    pub fn apply(&mut self, file: &str, yaml: &str) {
        let before = [self.generation(0), self.generation(1)];
        self.write(file, yaml);
        for (node, before) in before.into_iter().enumerate() {
            wait_for("the edit to take effect", || self.generation(node) > before);
        }
    }

    /// STRICT for the whole mesh.
    ///
    /// # Panics
    /// When it does not come into force.
    pub fn strict(&mut self) {
        self.apply(
            "strict.yaml",
            &peer_authentication("istio-system", "STRICT"),
        );
    }

    /// Lets only these pods reach a server.
    ///
    /// # Panics
    /// When it does not come into force.
    pub fn admit(&mut self, server: &Pod, clients: &[&Pod]) {
        let principals: Vec<String> = clients
            .iter()
            .map(|pod| pod.identity().replacen("spiffe://", "", 1))
            .collect();
        let principals: Vec<&str> = principals.iter().map(String::as_str).collect();
        let yaml = allow_principals(server.namespace(), server.account(), &principals);
        self.apply(&format!("allow-{}.yaml", server.account()), &yaml);
    }

    /// Writes a policy file and nothing more.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn write(&self, file: &str, yaml: &str) {
        let written = self.cluster.write(file, yaml);
        written.expect("a policy file");
    }

    /// Number of changes that a node has made to its maps.
    ///
    /// # Panics
    /// When its mesh does not answer.
    pub fn generation(&mut self, node: usize) -> u64 {
        let (status, body) = self
            .cluster
            .mesh(node)
            .get("/state/status")
            .expect("an answer");
        assert_eq!(status, 200, "{body}");
        let report: Value = serde_json::from_str(&body).expect("JSON");
        report["generation"].as_u64().expect("a number")
    }

    /// Runs a command of `weft` against a node's mesh and reads its JSON.
    ///
    /// # Panics
    /// With what it said, when it fails.
    pub fn ask(&mut self, node: usize, args: &[&str]) -> Value {
        let args = [args, &["-o", "json"]].concat();
        let answer = self.cluster.mesh(node).ask(&args);
        let answer = answer.unwrap_or_else(|error| panic!("{error:#}"));
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Refusals that a node tells of, with this cause.
    ///
    /// # Panics
    /// When its mesh does not answer.
    pub fn denied(&mut self, node: usize, cause: &str) -> Vec<Value> {
        let all = self.ask(node, &["denied"]);
        let all = all.as_array().cloned().unwrap_or_default();
        all.into_iter()
            .filter(|one| one["cause"] == cause)
            .collect()
    }
}

/// IPv4 address of a service: 1 is `web`, 2 is `near`.
pub fn vip(number: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 96, 0, number), 80).into()
}

/// IPv6 address of a service: 1 is `web`.
pub fn vip6(number: u8) -> SocketAddr {
    let last = u16::from(number);
    (Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, last), 80).into()
}

/// One request in a place: who answered, and whom that server saw.
///
/// # Errors
/// What `connect` or `read` said.
pub fn ask(place: &Place, to: SocketAddr) -> io::Result<(String, Option<IpAddr>)> {
    let answer = place.run(|| client::fetch(to, "/", PATIENCE))?;
    Ok((answer.server, answer.peer.map(|peer| peer.ip())))
}
