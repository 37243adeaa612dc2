//! A large mesh: time and memory to load it, and to change one thing in it.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use weft_testkit::{Place, PolicyDirectory, Weft, client, manifest, server::Echo};

use super::{Effort, arena::Arena, rows::Row};

/// Changes that are timed.
const CHANGES: usize = 20;

/// Address and port of the service that is changed.
const PROBE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 97, 0, 1), 80);

const PROBE_FILE: &str = "probe.yaml";

/// Rows `load-1m` and `change-1m`, or with the size that `effort` says in place of `1m`.
pub(super) fn measure(arena: &Arena, effort: &Effort, rows: &mut Vec<Row>) -> Result<()> {
    let (services, endpoints) = effort.large;
    let policy = PolicyDirectory::new(arena.rig.directory().join("large"))?;
    write_services(&policy, services, endpoints)?;
    let place = Place::outside(&arena.server);
    let listen = |name: &str| {
        Echo::start(
            &place,
            SocketAddr::from((Ipv4Addr::new(10, 88, 0, 2), 0)),
            name,
        )
    };
    let (even, odd) = (listen("even")?, listen("odd")?);
    policy.write(PROBE_FILE, &probe_yaml(even.address().port()))?;

    let size = format!("{services} services with {endpoints} endpoints each");
    let total = services * endpoints;
    let short = match total {
        1_000_000.. => format!("{}m", total / 1_000_000),
        _ => format!("{}k", total / 1_000),
    };
    let begin = Instant::now();
    let mesh = Weft::on(&arena.rig, Place::outside(&arena.client), policy.path())?
        .binary(&arena.binary)
        .argument("--max-backends")
        .argument(&(total + total / 4).max(65_536).to_string())
        .argument("--max-services")
        .argument(&(services + services / 2).to_string())
        .patience(Duration::from_secs(180))
        .start()?;
    await_greeting(arena, "even", begin)?;
    let seconds = begin.elapsed().as_secs_f64();
    let alone = |name: &str, what: &str, values: &[f64]| {
        let name = name.replace("SIZE", &short);
        Row::alone(&name, &format!("{what}, {size}"), values)
    };
    rows.push(alone(
        "load-SIZE",
        "seconds from start to effect",
        &[seconds],
    ));
    let (resident, peak) = memory(mesh.pid().context("weft has ended")?)?;
    rows.push(alone(
        "load-SIZE-memory",
        "megabytes resident after loading",
        &[resident],
    ));
    rows.push(alone(
        "load-SIZE-memory-peak",
        "megabytes resident at most",
        &[peak],
    ));

    let mut seen = Changes::default();
    for change in 0..CHANGES {
        let (server, name) = match change % 2 {
            0 => (&odd, "odd"),
            _ => (&even, "even"),
        };
        let yaml = probe_yaml(server.address().port());
        let begin = Instant::now();
        policy.write(PROBE_FILE, &yaml)?;
        let effect = await_greeting(arena, name, begin)?;
        seen.effect.push(effect.as_secs_f64() * 1e3);
        // Later than any pause a manager may make to gather changes.
        std::thread::sleep(Duration::from_millis(100));
        seen.ask(&mesh)?;
    }
    for (name, what, values) in [
        (
            "change-SIZE",
            "milliseconds from rename of the file to the first connection with the new backend",
            &seen.effect,
        ),
        (
            "change-SIZE-manager",
            "milliseconds from file event to last map write, as the manager says",
            &seen.manager,
        ),
        (
            "change-SIZE-writes",
            "map entries written by one change",
            &seen.writes,
        ),
    ] {
        rows.push(alone(name, what, values));
    }
    Ok(())
}

/// What was seen of each change.
#[derive(Default)]
struct Changes {
    effect: Vec<f64>,
    manager: Vec<f64>,
    writes: Vec<f64>,
}

impl Changes {
    /// What the manager says of its last change.
    fn ask(&mut self, mesh: &Weft) -> Result<()> {
        let (status, body) = mesh.get("/state/status")?;
        ensure!(status == 200, "/state/status answers {status}");
        let report: Value = serde_json::from_str(&body).context("read /state/status")?;
        let change = &report["last_change"];
        let number = |name: &str| change[name].as_f64();
        self.manager
            .extend(number("effect_seconds").map(|seconds| seconds * 1e3));
        self.writes.extend(number("writes"));
        Ok(())
    }
}

/// Connects until the server of that name answers; gives the time since `begin`.
fn await_greeting(arena: &Arena, name: &'static str, begin: Instant) -> Result<Duration> {
    arena.meshed.run(move || {
        let mut last = String::new();
        while begin.elapsed() < Duration::from_secs(60) {
            match client::greeting(SocketAddr::from(PROBE), Duration::from_secs(1)) {
                Ok(greeting) if greeting == name => return Ok(begin.elapsed()),
                Ok(greeting) => last = greeting,
                Err(error) => last = error.to_string(),
            }
            // The manager may need this CPU.
            std::thread::sleep(Duration::from_micros(100));
        }
        bail!("the change had no effect after a minute; last answer: {last}")
    })
}

fn write_services(policy: &PolicyDirectory, services: u32, endpoints: u32) -> Result<()> {
    for number in 0..services {
        let [_, a, b, c] = number.to_be_bytes();
        let mut yaml = String::new();
        writeln!(
            yaml,
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: large}}\n\
             spec:\n  clusterIP: 10.{}.{b}.{c}\n  ports: [{{name: p, port: 80, targetPort: 8080}}]\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  \
             name: s{number}-a\n  namespace: large\n  \
             labels: {{kubernetes.io/service-name: s{number}}}\naddressType: IPv4\n\
             ports: [{{name: p, port: 8080}}]\nendpoints:",
            100 + a
        )?;
        for endpoint in 0..endpoints {
            let [x, y, z, w] = (number * endpoints + endpoint).to_be_bytes();
            // Nobody dials these; 11.0.0.0/8 has no route in the rig.
            let address = Ipv4Addr::new(11 + x, y, z, w);
            writeln!(
                yaml,
                "- addresses: [\"{address}\"]\n  conditions: {{ready: true}}"
            )?;
        }
        policy.write(&format!("s{number:05}.yaml"), &yaml)?;
    }
    Ok(())
}

fn probe_yaml(target: u16) -> String {
    manifest::Service::new("large", "probe")
        .address(PROBE.0)
        .tcp("p", PROBE.1, target)
        .backend("v1", &[Ipv4Addr::new(10, 88, 0, 2).into()])
        .without_pods()
        .yaml()
}

/// Resident memory of a process now and at most, in megabytes.
fn memory(pid: u32) -> Result<(f64, f64)> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let of = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
        Some(kilobytes / 1024.0)
    };
    let found = (of("VmRSS:"), of("VmHWM:"));
    let (Some(now), Some(most)) = found else {
        bail!("{path} has no memory figures");
    };
    ensure!(most >= now * 0.9, "{path} makes no sense");
    Ok((now, most))
}
