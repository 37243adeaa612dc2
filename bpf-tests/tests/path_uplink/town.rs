//! A client behind a router, a node with two pods, and another node with one:
//!
//! ```text
//! client --- router ---+--- node --- near1, near2
//!                      +--- peer --- far
//! ```
//!
//! The far pod knows no way to the client: it can answer only this node.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use weft_abi::Counter;
use weft_loader::Pinned;
use weft_testkit::{Namespace, Place, PolicyDirectory, Rig, Weft};

pub(crate) const HTTP: u16 = 8080;
pub(crate) const ECHO: u16 = 7000;
pub(crate) const DATAGRAMS: u16 = 5353;
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Where a service is reached from outside, in both families.
pub(crate) const NODE_PORT: u16 = 30_080;

/// The namespaces and the mesh on `node`. Fields are dropped in order.
pub(crate) struct Town {
    pub(crate) weft: Weft,
    pub(crate) policy: PolicyDirectory,
    pub(crate) client: Arc<Namespace>,
    pub(crate) router: Arc<Namespace>,
    pub(crate) node: Arc<Namespace>,
    pub(crate) peer: Arc<Namespace>,
    /// near1, near2, far
    pub(crate) pods: [Arc<Namespace>; 3],
    pub(crate) rig: Rig,
}

/// The addresses of pod `index` (near1, near2, far).
pub(crate) fn pod(index: usize) -> [IpAddr; 2] {
    let number = u8::try_from(index).unwrap() + 1;
    [
        Ipv4Addr::new(10, 88, number, 2).into(),
        Ipv6Addr::new(0xfd88, u16::from(number), 0, 0, 0, 0, 0, 2).into(),
    ]
}

pub(crate) fn client() -> [IpAddr; 2] {
    ["10.70.0.2", "fd70::2"].map(|text| text.parse().unwrap())
}

pub(crate) fn cluster(number: u8) -> [IpAddr; 2] {
    vip(0, number)
}

pub(crate) fn balancer(number: u8) -> [IpAddr; 2] {
    vip(8, number)
}

pub(crate) fn external(number: u8) -> [IpAddr; 2] {
    vip(9, number)
}

fn vip(kind: u8, number: u8) -> [IpAddr; 2] {
    let last = u16::from(number);
    [
        Ipv4Addr::new(10, 96, kind, number).into(),
        Ipv6Addr::new(0xfd96, u16::from(kind), 0, 0, 0, 0, 0, last).into(),
    ]
}

impl Town {
    /// Builds it and starts the mesh with one file of policy; none where no rig can be made.
    pub(crate) fn or_skip(yaml: &str) -> Option<Self> {
        let mut rig = Rig::or_skip()?;
        let client = rig.namespace("client").unwrap();
        let [router, node, peer] = ["router", "node", "peer"].map(|name| rig.host(name).unwrap());
        for hop in [&router, &node, &peer] {
            hop.forward().unwrap();
        }
        join(&rig, &router, "inner", &client, "eth0", "10.70.0", "fd70:");
        for to in [
            "10.77.0.0/16",
            "fd77::/64",
            "10.96.0.0/16",
            "fd96::/16",
            "10.88.0.0/16",
        ] {
            let via = if to.contains(':') {
                "fd70::1"
            } else {
                "10.70.0.1"
            };
            client.route(to, via.parse().unwrap()).unwrap();
        }
        route(
            &router,
            &["10.96.0.0/16", "10.88.0.0/16"],
            &["fd96::/16"],
            &node,
        );
        route(&node, &["10.70.0.0/16"], &["fd70::/64"], &router);
        route(&node, &["10.88.3.0/24"], &["fd88:3::/64"], &peer);
        let pods = ["near1", "near2", "far"].map(|name| rig.namespace(name).unwrap());
        for (index, one) in pods.iter().enumerate() {
            let number = index + 1;
            let home = if index == 2 { &peer } else { &node };
            let v4 = format!("10.88.{number}");
            join(
                &rig,
                home,
                &format!("pod{number}"),
                one,
                "eth0",
                &v4,
                &format!("fd88:{number}:"),
            );
            let mut known = vec!["10.77.0.0/16", "fd77::/64"];
            if index < 2 {
                known.extend(["10.70.0.0/16", "fd70::/64"]);
            }
            for to in known {
                let via = if to.contains(':') {
                    format!("fd88:{number}::1")
                } else {
                    v4.clone() + ".1"
                };
                one.route(to, via.parse().unwrap()).unwrap();
            }
        }
        let policy = PolicyDirectory::new(rig.subdirectory("policy").unwrap()).unwrap();
        policy.write("mesh.yaml", yaml).unwrap();
        let options = Weft::on(&rig, Place::outside(&node), policy.path()).unwrap();
        let weft = options
            .interface("eth0")
            .start()
            .unwrap_or_else(|error| panic!("{error:#}"));
        Some(Self {
            weft,
            policy,
            client,
            router,
            node,
            peer,
            pods,
            rig,
        })
    }

    pub(crate) fn at_client(&self) -> Place {
        Place::outside(&self.client)
    }

    pub(crate) fn at_pod(&self, index: usize) -> Place {
        Place::outside(&self.pods[index])
    }

    /// This node's addresses.
    pub(crate) fn node_addresses(&self) -> [IpAddr; 2] {
        [self.node.v4().into(), self.node.v6().into()]
    }

    pub(crate) fn counter(&self, counter: u32) -> u64 {
        let pinned = Pinned::open(self.weft.state()).unwrap();
        pinned.maps().counters().unwrap()[counter as usize]
    }
}

/// A wire between two namespaces: the first gets `.1`, the second `.2`.
fn join(
    rig: &Rig,
    a: &Namespace,
    a_device: &str,
    b: &Namespace,
    b_device: &str,
    v4: &str,
    v6: &str,
) {
    rig.link(a, a_device, b, b_device).unwrap();
    for (namespace, device, last) in [(a, a_device, 1), (b, b_device, 2)] {
        namespace
            .address(device, &format!("{v4}.{last}/24"))
            .unwrap();
        namespace
            .address(device, &format!("{v6}:{last}/64"))
            .unwrap();
    }
}

fn route(from: &Namespace, v4: &[&str], v6: &[&str], via: &Namespace) {
    for to in v4 {
        from.route(to, via.v4().into()).unwrap();
    }
    for to in v6 {
        from.route(to, via.v6().into()).unwrap();
    }
}

/// Service `number` with the given pods behind it, at all kinds of outside addresses. The first
/// has the node ports.
pub(crate) fn service(number: u8, spec: &str, pods: &[usize]) -> String {
    let quoted =
        |addresses: [IpAddr; 2]| addresses.map(|address| format!("\"{address}\"")).join(", ");
    let [v4, v6] = balancer(number);
    let mut yaml = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: shop}}\nspec:\n  \
         type: LoadBalancer\n  clusterIP: \"{}\"\n  clusterIPs: [{}]\n  ipFamilies: [IPv4, IPv6]\n  \
         externalIPs: [{}]\n  selector: {{app: s}}\n",
        cluster(number)[0],
        quoted(cluster(number)),
        quoted(external(number)),
    );
    for line in spec.lines() {
        writeln!(yaml, "  {line}").unwrap();
    }
    yaml.push_str("  ports:\n");
    let base = NODE_PORT + u16::from(number - 1) * 10;
    let ports = [
        ("http", 80, HTTP, "TCP"),
        ("echo", 7, ECHO, "TCP"),
        ("dns", 53, DATAGRAMS, "UDP"),
    ];
    for (node_port, (name, port, target, protocol)) in (base..).zip(ports) {
        writeln!(
            yaml,
            "  - {{name: {name}, port: {port}, targetPort: {target}, nodePort: {node_port}, protocol: {protocol}}}"
        )
        .unwrap();
    }
    writeln!(
        yaml,
        "status: {{loadBalancer: {{ingress: [{{ip: \"{v4}\"}}, {{ip: \"{v6}\"}}]}}}}"
    )
    .unwrap();
    for (family, kind) in ["IPv4", "IPv6"].into_iter().enumerate() {
        writeln!(
            yaml,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{number}-{family}, \
             namespace: shop, labels: {{kubernetes.io/service-name: s{number}}}}}\naddressType: {kind}\nports:"
        )
        .unwrap();
        for (name, _, target, protocol) in ports {
            writeln!(
                yaml,
                "- {{name: {name}, port: {target}, protocol: {protocol}}}"
            )
            .unwrap();
        }
        yaml.push_str(if pods.is_empty() {
            "endpoints: []\n"
        } else {
            "endpoints:\n"
        });
        for index in pods {
            let node = if *index == 2 { "peer" } else { "node" };
            let address = pod(*index)[family];
            writeln!(
                yaml,
                "- {{addresses: [\"{address}\"], conditions: {{ready: true}}, nodeName: {node}}}"
            )
            .unwrap();
        }
    }
    yaml + "---\n"
}

/// Every address and TCP port (HTTP) of service 1 from outside, of both families.
pub(crate) fn outside(town: &Town) -> Vec<SocketAddr> {
    let at = |port: u16| move |address: IpAddr| SocketAddr::new(address, port);
    let addresses = balancer(1).into_iter().chain(external(1)).map(at(80));
    addresses
        .chain(town.node_addresses().map(at(NODE_PORT)))
        .collect()
}

/// Asks again until `holds` does, for at most [`PATIENCE`].
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Totals over all CPUs; see [`Counter`].
pub(crate) const TRANSLATED: u32 = Counter::ICMP_TRANSLATED;
