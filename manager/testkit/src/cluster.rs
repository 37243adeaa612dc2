//! Two nodes with pods, as a cluster has them: every node a router with an uplink to the other,
//! every pod a namespace of its own behind its node.
//!
//! ```text
//! pod 10.81.1.K ── node n1 10.80.0.1 ══ uplink ══ node n2 10.80.0.2 ── pod 10.81.2.K
//! ```
//!
//! Routes name the prefixes of nodes and pods only, so that a service's address which nothing
//! rewrites is ENETUNREACH.

mod authority;
mod pod;

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result};

use self::authority::Authority;
pub use self::pod::Pod;
use crate::{Cgroup, Namespace, Place, PolicyDirectory, Rig, Weft, weft::WeftOptions};

/// Nodes of a cluster.
pub const NODES: usize = 2;

/// The interface between the nodes, on either.
pub const UPLINK: &str = "uplink";

/// A cluster of two nodes with one policy. Dropping it removes everything, the meshes first.
#[derive(Debug)]
pub struct Cluster {
    meshes: [Option<Weft>; NODES],
    pods: Vec<Arc<Pod>>,
    authority: Option<Authority>,
    policy: PolicyDirectory,
    nodes: [Node; NODES],
    rig: Rig,
}

/// A node: a namespace that forwards, and a cgroup that its mesh serves.
#[derive(Debug)]
pub struct Node {
    number: u8,
    namespace: Arc<Namespace>,
    cgroup: Arc<Cgroup>,
}

impl Cluster {
    /// Two nodes without pods.
    ///
    /// # Errors
    /// When the rig cannot be made here.
    pub fn new() -> Result<Self> {
        Self::over(Rig::new()?)
    }

    /// A cluster, or none after printing why none can be made here. For tests.
    ///
    /// # Panics
    /// When it should be possible and is not.
    #[expect(clippy::print_stdout, reason = "a skipped test says why")]
    pub fn or_skip() -> Option<Self> {
        if let Err(error) = crate::weft::binary() {
            println!("skipped: {error}");
            return None;
        }
        Some(Self::over(Rig::or_skip()?).expect("a cluster, as root"))
    }

    fn over(mut rig: Rig) -> Result<Self> {
        let nodes = [Node::make(&mut rig, 1)?, Node::make(&mut rig, 2)?];
        let [one, two] = &nodes;
        rig.link(&one.namespace, UPLINK, &two.namespace, UPLINK)?;
        one.join(two)?;
        two.join(one)?;
        let policy = PolicyDirectory::new(rig.directory().join("policy"))?;
        Ok(Self {
            meshes: [None, None],
            pods: Vec::new(),
            authority: None,
            policy,
            nodes,
            rig,
        })
    }

    /// A node, 0 or 1.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The policy directory of both nodes.
    pub fn policy(&self) -> &PolicyDirectory {
        &self.policy
    }

    /// The rig below.
    pub fn rig(&self) -> &Rig {
        &self.rig
    }

    /// The pods made so far that were not removed.
    pub fn pods(&self) -> &[Arc<Pod>] {
        &self.pods
    }

    /// Makes a pod of a service account, the `NAMESPACE/NAME` of both given, on a node, and writes
    /// its manifest. When its node's mesh runs already, it has to be enrolled.
    ///
    /// # Errors
    /// When `ip` or the file system refuses.
    pub fn pod(&mut self, node: usize, name: &str, account: &str) -> Result<Arc<Pod>> {
        let taken = |last: &u8| self.pods.iter().any(|pod| pod.is_at(node, *last));
        let last = (10..250).find(|last| !taken(last));
        self.pod_at(node, last.context("a node has 240 pods")?, name, account)
    }

    /// As [`Self::pod`], at an address whose last part is given.
    ///
    /// # Errors
    /// When `ip` or the file system refuses; when a pod is there.
    pub fn pod_at(&mut self, node: usize, last: u8, name: &str, account: &str) -> Result<Arc<Pod>> {
        let pod = Pod::make(&mut self.rig, &self.nodes[node], last, name, account)?;
        self.policy.write(&pod.file(), &pod.yaml())?;
        let pod = Arc::new(pod);
        self.pods.push(Arc::clone(&pod));
        Ok(pod)
    }

    /// Takes a pod's network and manifest away; its address is free then.
    ///
    /// # Errors
    /// When `ip` or the file system refuses.
    pub fn remove_pod(&mut self, pod: &Pod) -> Result<()> {
        self.pods.retain(|own| own.name() != pod.name());
        let node = &self.nodes[usize::from(pod.node() - 1)];
        node.namespace.ip(&["link", "del", &pod.port()])?;
        self.policy.remove(&pod.file())
    }

    /// Starts the mesh of both nodes, all pods enrolled, and waits until they are ready. The first
    /// node has the certificate authority, the second asks it.
    ///
    /// # Errors
    /// With its log, when one does not become ready.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(|_, options| options)
    }

    /// As [`Self::start`], with further options of each node.
    ///
    /// # Errors
    /// With its log, when one does not become ready.
    pub fn start_with(&mut self, with: impl Fn(usize, WeftOptions) -> WeftOptions) -> Result<()> {
        for node in 0..NODES {
            let options = with(node, self.options(node)?);
            self.meshes[node] = Some(options.start()?);
        }
        Ok(())
    }

    /// The options that [`Self::start`] starts a node with.
    ///
    /// # Errors
    /// When the binary is missing or cannot make the authority.
    pub fn options(&mut self, node: usize) -> Result<WeftOptions> {
        let authority = match self.authority.take() {
            Some(authority) => authority,
            None => Authority::make(&self.rig, &self.nodes[0])?,
        };
        let place = self.nodes[node].outside();
        let mut options = Weft::on(&self.rig, place, self.policy.path())?
            .node(&self.nodes[node].name())
            .cgroup(&self.nodes[node].cgroup);
        for argument in authority.arguments(node) {
            options = options.argument(&argument);
        }
        for pod in self.pods.iter().filter(|pod| pod.is_on(node)) {
            options = options.argument("--workload").argument(&pod.claim());
        }
        self.authority = Some(authority);
        Ok(options)
    }

    /// Sets the running mesh of a node, started by options from [`Self::options`].
    pub fn set_mesh(&mut self, node: usize, mesh: Weft) {
        self.meshes[node] = Some(mesh);
    }

    /// The running mesh of a node.
    ///
    /// # Panics
    /// When it was not started.
    pub fn mesh(&mut self, node: usize) -> &mut Weft {
        self.meshes[node].as_mut().expect("the mesh was started")
    }

    /// Stops the mesh of a node, and takes it out of the kernel.
    ///
    /// # Errors
    /// With what `weft uninstall` said, when it fails.
    pub fn uninstall(&mut self, node: usize) -> Result<String> {
        let mesh = self.meshes[node].take().context("no mesh runs there")?;
        mesh.uninstall()
    }

    /// Where the certificate authority keeps its keys, once the mesh has been started.
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_ref().map(Authority::directory)
    }
}

impl Node {
    fn make(rig: &mut Rig, number: u8) -> Result<Self> {
        let name = format!("n{number}");
        let namespace = rig.namespace(&name)?;
        namespace.forward()?;
        Ok(Self {
            number,
            cgroup: Arc::new(rig.cgroup().child(&name)?),
            namespace,
        })
    }

    /// Addresses of the uplink, and routes to the other node's pods.
    fn join(&self, other: &Self) -> Result<()> {
        let namespace = &self.namespace;
        namespace.ip(&["link", "set", UPLINK, "address", &mac(self.number)])?;
        namespace.address(UPLINK, &format!("{}/24", self.v4()))?;
        namespace.address(UPLINK, &format!("{}/64", self.v6()))?;
        namespace.route(&format!("10.81.{}.0/24", other.number), other.v4().into())?;
        let prefix = format!("fd81:0:0:{}::/64", other.number);
        namespace.route(&prefix, other.v6().into())
    }

    /// As `weft run --node` and a Pod's `nodeName` have it.
    pub fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// The cgroup that its mesh serves.
    pub fn cgroup(&self) -> &Arc<Cgroup> {
        &self.cgroup
    }

    /// Its address on the uplink.
    pub fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 80, 0, self.number)
    }

    /// Its IPv6 address on the uplink.
    pub fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd80, 0, 0, 0, 0, 0, 0, self.number.into())
    }

    /// A process of the node itself, or a pod with `hostNetwork`, served by the mesh.
    pub fn inside(&self) -> Place {
        Place::inside(&self.namespace, &self.cgroup)
    }

    /// A process of the node that no mesh serves.
    pub fn outside(&self) -> Place {
        Place::outside(&self.namespace)
    }
}

/// The hardware address of a node's end of the uplink; by it [`Capture`](crate::Capture) knows what
/// passed there.
pub(crate) fn mac(node: u8) -> String {
    format!("02:77:65:66:74:{node:02x}")
}
