//! A pod: a namespace behind its node.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context, Result};

use super::Node;
use crate::{Cgroup, Namespace, Place, Rig};

/// A namespace with an address of each family, and the Pod that stands for it.
#[derive(Debug)]
pub struct Pod {
    namespace: String,
    name: String,
    account: String,
    node: u8,
    last: u8,
    netns: Arc<Namespace>,
    cgroup: Arc<Cgroup>,
}

impl Pod {
    pub(super) fn make(
        rig: &mut Rig,
        node: &Node,
        last: u8,
        name: &str,
        account: &str,
    ) -> Result<Self> {
        let (namespace, name) = name.split_once('/').context("not NAMESPACE/NAME")?;
        let pod = Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            account: account.to_owned(),
            node: node.number,
            last,
            netns: rig.namespace(name)?,
            cgroup: Arc::clone(&node.cgroup),
        };
        pod.plug(rig, node)?;
        Ok(pod)
    }

    /// The veth pair to the node, and the routes there and back.
    fn plug(&self, rig: &Rig, node: &Node) -> Result<()> {
        let (port, host) = (self.port(), &node.namespace);
        let (v4, v6) = (self.v4().to_string(), self.v6().to_string());
        let (gate4, gate6) = (format!("10.81.{}.1", self.node), gate6(self.node));
        rig.link(&self.netns, "eth0", host, &port)?;
        host.address(&port, &format!("{gate4}/32"))?;
        host.address(&port, &format!("{gate6}/128"))?;
        host.ip(&["route", "add", &v4, "dev", &port, "src", &gate4])?;
        host.ip(&["-6", "route", "add", &v6, "dev", &port, "src", &gate6])?;
        let pod = &self.netns;
        pod.address("eth0", &format!("{v4}/32"))?;
        pod.address("eth0", &format!("{v6}/128"))?;
        pod.ip(&["route", "add", &gate4, "dev", "eth0"])?;
        pod.ip(&["-6", "route", "add", &gate6, "dev", "eth0"])?;
        for prefix in ["10.80.0.0/24", "10.81.0.0/16"] {
            pod.ip(&["route", "add", prefix, "via", &gate4, "src", &v4])?;
        }
        for prefix in ["fd80::/64", "fd81::/48"] {
            pod.ip(&["-6", "route", "add", prefix, "via", &gate6, "src", &v6])?;
        }
        Ok(())
    }

    /// `NAMESPACE/NAME`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Its Kubernetes namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its service account, and the value of its label `app`.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Its SPIFFE ID in the trust domain `cluster.local`.
    pub fn identity(&self) -> String {
        let (namespace, account) = (&self.namespace, &self.account);
        format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")
    }

    /// Number of its node, from 1.
    pub fn node(&self) -> u8 {
        self.node
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Arc<Namespace> {
        &self.netns
    }

    /// Its IPv4 address.
    pub fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 81, self.node, self.last)
    }

    /// Its IPv6 address.
    pub fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd81, 0, 0, self.node.into(), 0, 0, 0, self.last.into())
    }

    /// A port at its IPv4 address.
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.v4(), port).into()
    }

    /// A port at its IPv6 address.
    pub fn at6(&self, port: u16) -> SocketAddr {
        (self.v6(), port).into()
    }

    /// Its addresses.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4().into(), self.v6().into()]
    }

    /// In the pod, sockets in the mesh of its node.
    pub fn inside(&self) -> Place {
        Place::inside(&self.netns, &self.cgroup)
    }

    /// In the pod's namespace, sockets that the mesh does not serve.
    pub fn outside(&self) -> Place {
        Place::outside(&self.netns)
    }

    /// `NAMESPACE/NAME=NETNS`, as `weft run --workload` and `weft enrol` take it.
    pub fn claim(&self) -> String {
        format!("{}={}", self.name(), self.netns.name())
    }

    /// Its manifest.
    pub fn yaml(&self) -> String {
        let (namespace, name, account) = (&self.namespace, &self.name, &self.account);
        let (node, v4, v6) = (self.node, self.v4(), self.v6());
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  \
             labels: {{app: {account}}}\nspec:\n  nodeName: n{node}\n  \
             serviceAccountName: {account}\n  containers: [{{name: main}}]\nstatus:\n  \
             phase: Running\n  podIP: \"{v4}\"\n  podIPs: [{{ip: \"{v4}\"}}, {{ip: \"{v6}\"}}]\n  \
             conditions: [{{type: Ready, status: \"True\"}}]\n"
        )
    }

    /// Name of its policy file.
    pub fn file(&self) -> String {
        format!("pod-{}-{}.yaml", self.namespace, self.name)
    }

    /// The node's end of its veth pair.
    pub(super) fn port(&self) -> String {
        format!("p{}", self.last)
    }

    pub(super) fn is_on(&self, node: usize) -> bool {
        usize::from(self.node) == node + 1
    }

    pub(super) fn is_at(&self, node: usize, last: u8) -> bool {
        self.is_on(node) && self.last == last
    }
}

fn gate6(node: u8) -> String {
    format!("fd81:0:0:{node}::1")
}
