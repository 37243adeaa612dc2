//! Memory of the managers, idle and with ten thousand encrypted connections open.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use weft_testkit::{Place, client, process};

use super::{Row, Town};

/// Connections open at once.
const OPEN: u32 = 10_000;

/// Where the holding server listens.
const PORT: u16 = 9000;

const PATIENCE: Duration = Duration::from_secs(10);

const MIB: f64 = (1 << 20) as f64;

/// Rows `mtls-memory-*`: of the client's node and of the server's.
pub(super) fn measure(town: &Town) -> Result<Vec<Row>> {
    let idle = resident(town)?;
    let at = town.far.at(PORT);
    let server = Holder::start(&town.far.inside(), at)?;
    let clients = town.meshed().run(move || open(at))?;
    // What was needed for the opening alone is given back, or shows.
    std::thread::sleep(Duration::from_secs(1));
    let full = resident(town)?;
    drop((clients, server));
    let row = |name: &str, unit: &str, value: f64| {
        Row::alone(&format!("mtls-memory-{name}"), unit, &[value])
    };
    let open = "MiB of the manager with 10,000 encrypted connections open";
    let per = "KiB of a node's manager per open connection, the mean of both nodes";
    let growth: f64 = full.iter().zip(&idle).map(|(full, idle)| full - idle).sum();
    Ok(vec![
        row(
            "idle",
            "MiB of a manager, the mean of both",
            (idle[0] + idle[1]) / 2.0,
        ),
        row("client", &format!("{open}, client's node"), full[0]),
        row("server", &format!("{open}, server's node"), full[1]),
        row("connection", per, growth / 2.0 * 1024.0 / f64::from(OPEN)),
    ])
}

/// MiB of each manager.
fn resident(town: &Town) -> Result<Vec<f64>> {
    let pids = town.managers()?;
    let each = pids
        .into_iter()
        .map(|pid| Ok(process::resident(pid)? as f64 / MIB));
    each.collect()
}

/// A process that accepts, greets and keeps: the other ends are not this process's open files.
struct Holder(Child);

impl Holder {
    fn start(place: &Place, at: SocketAddr) -> Result<Self> {
        let mut command = place.command(std::env::current_exe().context("find myself")?);
        command.args(["serve", "--name", "holder", "--hold", &at.to_string()]);
        let child = command.stdin(Stdio::null()).spawn();
        let holder = Self(child.context("start the holding server")?);
        let begin = Instant::now();
        while place.run(|| client::connect(at, PATIENCE)).is_err() {
            ensure!(begin.elapsed() < PATIENCE, "nobody listens on {at}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn open(to: SocketAddr) -> Result<Vec<TcpStream>> {
    let mut open = Vec::new();
    for number in 0..OPEN {
        let connected = client::connect(to, PATIENCE);
        let mut stream = connected.with_context(|| format!("connection {number}"))?;
        // The greeting proves that the other end is there.
        let greeted = stream.read_exact(&mut [0]);
        greeted.with_context(|| format!("connection {number}"))?;
        open.push(stream);
    }
    Ok(open)
}
