//! Two nodes, their pods, their servers, and the mesh of both.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use serde_json::Value;
use weft_testkit::{
    Cluster,
    cluster::Pod,
    manifest::{Service, allow_principals, mesh_namespace, peer_authentication},
    server::Http,
};

use super::super::story::Story;

/// Service `web`, on the second node.
pub(super) const WEB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 1, 10)), 80);

pub(super) const HTTP_PORT: u16 = 8080;

/// The policy file that says who may reach `web`.
pub(super) const ADMIT: &str = "allow-web.yaml";

/// Life of a certificate in the demo.
pub(super) const TTL: &str = "10s";

/// Dropped in this order: servers, then the cluster with its meshes.
pub(super) struct Nodes {
    _servers: Vec<Http>,
    pub(super) client: Arc<Pod>,
    pub(super) other: Arc<Pod>,
    pub(super) near: Arc<Pod>,
    pub(super) web: Arc<Pod>,
    pub(super) outsider: Arc<Pod>,
    pub(super) cluster: Cluster,
}

impl Nodes {
    /// Makes it all and starts both meshes.
    pub(super) fn set(story: &mut Story, binary: &Path) -> Result<Self> {
        story.say("");
        story.say("The second stage: two nodes joined by an uplink, each with pods and a weft.");
        let mut cluster = Cluster::new()?;
        let client = cluster.pod(0, "demo/client", "client")?;
        let other = cluster.pod(0, "demo/other", "other")?;
        let near = cluster.pod(0, "demo/near", "near")?;
        let web = cluster.pod(1, "demo/web", "web")?;
        let outsider = cluster.stranger(0, "outside/outsider", "outsider")?;
        for pod in [&client, &other, &near, &web, &outsider] {
            let (node, v4, v6) = (pod.node(), pod.v4(), pod.v6());
            story.say(&format!("   n{node}  {:<17} {v4} {v6}", pod.name()));
        }
        let mut servers = Vec::new();
        for pod in [&near, &web] {
            for at in [pod.at(HTTP_PORT), pod.at6(HTTP_PORT)] {
                servers.push(Http::start(&pod.inside(), at, pod.account())?);
            }
        }
        cluster.write("namespace.yaml", &mesh_namespace("demo"))?;
        cluster.write("strict.yaml", &peer_authentication("demo", "STRICT"))?;
        let service = Service::new("demo", "web").address(WEB.ip());
        let service = service.tcp("http", WEB.port(), HTTP_PORT).pod(&web);
        cluster.write("web.yaml", &service.yaml())?;
        story.step(
            "A mesh of two nodes starts",
            &format!(
                "weft ca init; on each node weft run {} --workload demo/client=NETNS ...; the \
                 second asks the first for certificates",
                cluster.policy().path().display()
            ),
            "both ready, every pod of the namespace `demo` with an identity of its own",
        )?;
        let begin = Instant::now();
        cluster.start_with(|node, options| {
            let mut options = options.argument("--cert-ttl").argument(TTL);
            if node == 1 {
                options = options.argument("--hold");
            }
            options.binary(binary)
        })?;
        let mut nodes = Self {
            _servers: servers,
            client,
            other,
            near,
            web,
            outsider,
            cluster,
        };
        nodes.see_enrolled(story, begin);
        Ok(nodes)
    }

    fn see_enrolled(&mut self, story: &mut Story, begin: Instant) {
        let mut ready = 0;
        for node in [0, 1] {
            let mesh = self.cluster.mesh(node);
            let wait = super::until(10 * super::SECOND, || {
                let said = mesh.ask(&["workloads", "-o", "json"]).ok()?;
                let list: Value = serde_json::from_str(&said).ok()?;
                let list = list.as_array()?;
                let all = list.iter().all(|one| one["ready"] == true);
                (all && !list.is_empty()).then_some(list.len())
            });
            ready += wait.unwrap_or(0);
            if let Ok(said) = self.cluster.mesh(node).ask(&["workloads"]) {
                story.quote(&format!("$ weft workloads     (on n{})\n{said}", node + 1));
            }
        }
        story.see(
            ready == 4,
            &format!("{ready} workloads served after {:.0?}", begin.elapsed()),
        );
    }

    /// Lets only these service accounts reach `web`.
    pub(super) fn admit(&self, accounts: &[&str]) -> Result<()> {
        let principals: Vec<String> = accounts
            .iter()
            .map(|account| format!("cluster.local/ns/demo/sa/{account}"))
            .collect();
        let principals: Vec<&str> = principals.iter().map(String::as_str).collect();
        self.cluster
            .write(ADMIT, &allow_principals("demo", "web", &principals))
    }

    /// Seconds that the certificate of `web` still has.
    pub(super) fn certificate_left(&mut self) -> Option<i64> {
        let said = self
            .cluster
            .mesh(1)
            .ask(&["workloads", "-o", "json"])
            .ok()?;
        let list: Value = serde_json::from_str(&said).ok()?;
        list[0]["certificate_expires_seconds"].as_i64()
    }
}
