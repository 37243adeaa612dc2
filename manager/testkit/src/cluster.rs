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
    fs,
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

/// Where the certificate authority listens: an address of the first node that can be taken away
/// without the rest.
pub const AUTHORITY: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 100);

/// A cluster of two nodes with one policy. Dropping it removes everything, the meshes first.
#[derive(Debug)]
pub struct Cluster {
    meshes: [Option<Weft>; NODES],
    pods: Vec<Arc<Pod>>,
    /// Names of those that are not enrolled.
    strangers: Vec<String>,
    authority: Option<Authority>,
    policy: PolicyDirectory,
    /// The second node's, when it has one of its own.
    second: Option<PolicyDirectory>,
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
        one.namespace.address(UPLINK, &format!("{AUTHORITY}/32"))?;
        let policy = PolicyDirectory::new(rig.directory().join("policy"))?;
        Ok(Self {
            meshes: [None, None],
            pods: Vec::new(),
            strangers: Vec::new(),
            authority: None,
            policy,
            second: None,
            nodes,
            rig,
        })
    }

    /// A node, 0 or 1.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The policy directory of both nodes, or of the first.
    pub fn policy(&self) -> &PolicyDirectory {
        &self.policy
    }

    /// Gives the second node a policy directory of its own, with what is in the common one. From
    /// then on [`Self::write`] writes to both, and what is written to this one is seen by the
    /// second node alone. Before its mesh is started.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn part_policies(&mut self) -> Result<()> {
        let second = PolicyDirectory::new(self.rig.directory().join("policy-2"))?;
        for entry in fs::read_dir(self.policy.path()).context("read the policy directory")? {
            let path = entry.context("read the policy directory")?.path();
            let name = path.file_name().unwrap_or_default();
            second.write(&name.to_string_lossy(), &fs::read_to_string(&path)?)?;
        }
        self.second = Some(second);
        Ok(())
    }

    /// Writes or replaces a policy file of both nodes.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, name: &str, yaml: &str) -> Result<()> {
        self.policies()
            .try_for_each(|policy| policy.write(name, yaml))
    }

    /// Writes or replaces a policy file of the second node alone.
    ///
    /// # Errors
    /// When it has no directory of its own, or the file system refuses.
    pub fn write_second(&self, name: &str, yaml: &str) -> Result<()> {
        let second = self.second.as_ref().context("the nodes have one policy")?;
        second.write(name, yaml)
    }

    fn policies(&self) -> impl Iterator<Item = &PolicyDirectory> {
        std::iter::once(&self.policy).chain(&self.second)
    }

    /// The rig below.
    pub fn rig(&self) -> &Rig {
        &self.rig
    }

    /// The pods made so far that were not removed.
    pub fn pods(&self) -> &[Arc<Pod>] {
        &self.pods
    }

    /// Makes a pod `NAMESPACE/NAME` of a service account on a node, and writes
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
        self.write(&pod.file(), &pod.yaml())?;
        let pod = Arc::new(pod);
        self.pods.push(Arc::clone(&pod));
        Ok(pod)
    }

    /// Makes a pod that the mesh is not to enrol.
    ///
    /// # Errors
    /// When `ip` or the file system refuses.
    pub fn stranger(&mut self, node: usize, name: &str, account: &str) -> Result<Arc<Pod>> {
        let pod = self.pod(node, name, account)?;
        self.strangers.push(pod.name());
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
        self.policies()
            .try_for_each(|policy| policy.remove(&pod.file()))
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
            None => Authority::make(&self.rig)?,
        };
        // One manager is outside of the cgroup it serves, as others would be in a cgroup of their
        // own; the other is inside, as all are where the whole machine is served.
        let place = match node {
            0 => self.nodes[node].outside(),
            _ => self.nodes[node].inside(),
        };
        let policy = match &self.second {
            Some(second) if node > 0 => second,
            _ => &self.policy,
        };
        let mut options = Weft::on(&self.rig, place, policy.path())?
            .node(&self.nodes[node].name())
            .cgroup(&self.nodes[node].cgroup);
        for argument in authority.arguments(node) {
            options = options.argument(&argument);
        }
        let enrolled = |pod: &&Arc<Pod>| pod.is_on(node) && !self.strangers.contains(&pod.name());
        for pod in self.pods.iter().filter(enrolled) {
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

    /// Process id of the mesh of a node, while it runs.
    pub fn pid(&self, node: usize) -> Option<u32> {
        self.meshes[node].as_ref().and_then(Weft::pid)
    }

    /// Stops the mesh of a node, and takes it out of the kernel.
    ///
    /// # Errors
    /// With what `weft uninstall` said, when it fails.
    pub fn uninstall(&mut self, node: usize) -> Result<String> {
        let mesh = self.meshes[node].take().context("no mesh runs there")?;
        mesh.uninstall()
    }

    /// Makes the certificate authority unreachable from the second node, or reachable again.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn reach_authority(&self, reachable: bool) -> Result<()> {
        let verb = if reachable { "add" } else { "del" };
        let address = format!("{AUTHORITY}/32");
        let first = &self.nodes[0].namespace;
        first.ip(&["addr", verb, &address, "dev", UPLINK])
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
