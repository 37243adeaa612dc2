//! The scene: namespaces, server processes, a policy directory, and the mesh.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use weft_testkit::{
    Namespace, Place, PolicyDirectory, Rig, Weft, client,
    manifest::{Service, destination_rule, pod_yaml},
};

use super::story::Story;

/// Service `web`: three versions.
pub(super) const WEB: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 10), 80);

/// Service `store`: two versions, IPv6.
pub(super) const STORE: (Ipv6Addr, u16) = (Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, 0x20), 80);

/// Service `clock`: two versions, UDP.
pub(super) const CLOCK: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 30), 123);

pub(super) const WEB_FILE: &str = "web.yaml";
pub(super) const RULE_FILE: &str = "web-rule.yaml";

const HTTP_PORT: u16 = 8080;
const UDP_PORT: u16 = 1123;

/// Everything the demo made. Dropped in this order: mesh, servers, namespaces.
pub(super) struct Stage {
    pub(super) mesh: Weft,
    pub(super) servers: Vec<Server>,
    pub(super) policy: PolicyDirectory,
    /// In the mesh.
    pub(super) client: Place,
    pub(super) client_address: IpAddr,
    pub(super) binary: PathBuf,
    pub(super) rig: Rig,
}

/// One version: a process in a namespace of its own.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) namespace: Arc<Namespace>,
    child: Option<Child>,
}

impl Stage {
    /// Makes it all and starts the mesh.
    pub(super) fn set(story: &mut Story, binary: &Path) -> Result<Self> {
        story.say("");
        story.say("The stage: four network namespaces on one switch, without a way out of it.");
        let mut rig = Rig::new()?;
        let node = rig.host("client")?;
        let client = rig.inside(&node);
        story.say(&format!("   client  {} {}", node.v4(), node.v6()));
        let mut servers = Vec::new();
        for name in ["v1", "v2", "v3"] {
            let namespace = rig.host(name)?;
            let mut server = Server {
                name: name.to_owned(),
                namespace,
                child: None,
            };
            server.start()?;
            story.say(&format!(
                "   {name}      {} {}  a server process: HTTP on {HTTP_PORT}, UDP on {UDP_PORT}",
                server.namespace.v4(),
                server.namespace.v6()
            ));
            servers.push(server);
        }
        let policy = PolicyDirectory::new(rig.directory().join("policy"))?;
        write_policy(&policy, &servers, &node)?;
        story.say(&format!("   policy  {}", policy.path().display()));
        let mesh = start_mesh(story, &rig, &node, &policy, binary)?;
        Ok(Self {
            mesh,
            servers,
            policy,
            client,
            client_address: node.v4().into(),
            binary: binary.to_owned(),
            rig,
        })
    }

    pub(super) fn web(&self) -> SocketAddr {
        WEB.into()
    }

    /// Writes the service `web` with these versions behind it.
    pub(super) fn write_web(&self, versions: &[&str]) -> Result<()> {
        let servers: Vec<&Server> = self
            .servers
            .iter()
            .filter(|server| versions.contains(&server.name.as_str()))
            .collect();
        self.policy.write(WEB_FILE, &web_yaml(&servers))
    }

    /// Writes the rule of `web`: `extra` lines below `trafficPolicy`, beside outlier detection.
    pub(super) fn write_rule(&self, extra: &str) -> Result<()> {
        self.policy.write(RULE_FILE, &rule_yaml(extra))
    }
}

impl Server {
    /// Starts the process and waits until it listens.
    pub(super) fn start(&mut self) -> Result<()> {
        let place = Place::outside(&self.namespace);
        let (v4, v6) = (self.namespace.v4(), self.namespace.v6());
        let mut command = place.command(std::env::current_exe().context("find myself")?);
        command.args(["serve", "--name", &self.name]);
        for address in [IpAddr::from(v4), IpAddr::from(v6)] {
            let http = SocketAddr::new(address, HTTP_PORT);
            command.args(["--http", &http.to_string()]);
        }
        command.args(["--udp", &SocketAddr::from((v4, UDP_PORT)).to_string()]);
        self.child = Some(
            command
                .stdin(Stdio::null())
                .spawn()
                .context("start a server")?,
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        let address = SocketAddr::from((v6, HTTP_PORT));
        while Instant::now() < deadline {
            let asked = place.run(|| client::fetch(address, "/", Duration::from_secs(1)));
            if asked.is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("server {} does not answer on {address}", self.name)
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<u32> {
        let mut child = self.child.take().context("the server does not run")?;
        let pid = child.id();
        child.kill().context("kill a server")?;
        child.wait().context("wait for a server")?;
        Ok(pid)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            drop(self.kill());
        }
    }
}

fn start_mesh(
    story: &mut Story,
    rig: &Rig,
    node: &Arc<Namespace>,
    policy: &PolicyDirectory,
    binary: &Path,
) -> Result<Weft> {
    story.step(
        "The mesh starts",
        &format!(
            "weft run {} --cgroup {} ...",
            policy.path().display(),
            rig.cgroup().path().display()
        ),
        "ready, with its programs on the cgroup",
    )?;
    let begin = Instant::now();
    let mesh = Weft::on(rig, Place::outside(node), policy.path())?
        .binary(binary)
        .start()?;
    story.see(true, &format!("ready after {:.0?}", begin.elapsed()));
    Ok(mesh)
}

fn write_policy(policy: &PolicyDirectory, servers: &[Server], node: &Namespace) -> Result<()> {
    let all: Vec<&Server> = servers.iter().collect();
    policy.write(WEB_FILE, &web_yaml(&all))?;
    policy.write(RULE_FILE, &rule_yaml(""))?;
    let mut store = Service::new("demo", "store")
        .address(STORE.0)
        .tcp("http", STORE.1, HTTP_PORT);
    let mut clock = Service::new("demo", "clock")
        .address(CLOCK.0)
        .udp("ntp", CLOCK.1, UDP_PORT);
    for server in &all[..2] {
        // The pods are those of `web`; two with one address would contradict each other.
        store = store.backend(&server.name, &[server.namespace.v6().into()]);
        clock = clock.backend(&server.name, &[server.namespace.v4().into()]);
    }
    policy.write("store.yaml", &store.without_pods().yaml())?;
    policy.write("clock.yaml", &clock.without_pods().yaml())?;
    let addresses = [node.v4().into(), node.v6().into()];
    policy.write(
        "client.yaml",
        &pod_yaml("demo", "client", "client", "v1", &addresses),
    )
}

fn web_yaml(servers: &[&Server]) -> String {
    let mut web = Service::new("demo", "web")
        .address(WEB.0)
        .tcp("http", WEB.1, HTTP_PORT);
    for server in servers {
        web = web.backend(&server.name, &[server.namespace.v4().into()]);
    }
    web.yaml()
}

fn rule_yaml(extra: &str) -> String {
    let outlier = "outlierDetection:\n  consecutive5xxErrors: 3\n  interval: 1s\n  \
                   baseEjectionTime: 3s\n  maxEjectionPercent: 100\n";
    let host = "web.demo.svc.cluster.local";
    destination_rule("demo", "web", host, &format!("{outlier}{extra}"))
}
