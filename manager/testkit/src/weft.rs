//! Drives the `weft` binary as its users do: by command line, signals and the admin port.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Cgroup, Metrics, Place, Rig, client};

/// How long a mesh may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// Name of the mark that tells [`uninstall_below`] which directories are state directories.
const MARK: &str = "weft-state-of-a-rig";

/// How to run a mesh. Built by [`Weft::on`], started by [`WeftOptions::start`].
#[derive(Clone, Debug)]
pub struct WeftOptions {
    binary: PathBuf,
    place: Place,
    policy: Option<PathBuf>,
    cgroup: PathBuf,
    state: PathBuf,
    admin: SocketAddr,
    node: String,
    interfaces: Vec<String>,
    arguments: Vec<String>,
    patience: Duration,
}

/// A running mesh of our own. Dropping it stops it and uninstalls it.
#[derive(Debug)]
pub struct Weft {
    options: WeftOptions,
    log: PathBuf,
    child: Option<Child>,
}

impl Weft {
    /// Options for a mesh over the rig's cgroup, run in `place` (normally outside of the cgroup),
    /// with policy from `policy`, state below the rig's directory, node name `node`, admin on
    /// `127.0.0.1:15020`.
    ///
    /// # Errors
    /// When the `weft` binary is not built.
    pub fn on(rig: &Rig, place: Place, policy: &Path) -> Result<WeftOptions> {
        let number = fs::read_dir(rig.directory()).map_or(0, Iterator::count);
        Ok(WeftOptions {
            binary: binary()?,
            place,
            policy: Some(policy.to_owned()),
            cgroup: rig.cgroup().path().to_owned(),
            state: rig.directory().join(format!("state-{number}")),
            admin: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15020),
            node: "node".to_owned(),
            interfaces: Vec::new(),
            arguments: Vec::new(),
            patience: PATIENCE,
        })
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its state directory, as `--state` takes it.
    pub fn state(&self) -> &Path {
        &self.options.state
    }

    /// Where the admin port listens, inside the mesh's namespace.
    pub fn admin(&self) -> SocketAddr {
        self.options.admin
    }

    /// What it wrote to standard output and error so far, over all its runs.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Kills it without warning (SIGKILL) and waits until it is gone. Programs and maps stay.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("weft does not run")?;
        child.kill().context("kill weft")?;
        child.wait().context("wait for weft")?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits. Programs and maps stay.
    ///
    /// # Errors
    /// When it does not run, or did not end in time (then it is killed).
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("weft does not run")?;
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).context("signal weft")?;
        let deadline = Instant::now() + self.options.patience;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().context("wait for weft")? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().context("kill weft")?;
        child.wait().context("wait for weft")?;
        bail!("weft did not end on SIGTERM; its log:\n{}", self.log())
    }

    /// Starts it again with the same options, and waits until it is ready.
    ///
    /// # Errors
    /// With its log, when it does not become ready.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "weft still runs");
        self.start()?;
        self.wait_ready()
    }

    /// Runs `weft COMMAND --state DIR` where the mesh runs, to its end.
    ///
    /// # Errors
    /// When the binary cannot be started; what it exits with is in the output.
    pub fn command(&self, args: &[&str]) -> Result<Output> {
        let mut command = self.options.place.command(&self.options.binary);
        command.args(args).arg("--state").arg(&self.options.state);
        command.output().context("run weft")
    }

    /// Runs `weft COMMAND --state DIR` and gives its standard output.
    ///
    /// # Errors
    /// With its standard error, when it fails.
    pub fn ask(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args)?;
        ensure!(
            output.status.success(),
            "weft {}: {}: {}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `GET path` on the admin port: status and body.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let admin = self.options.admin;
        let answer = self
            .options
            .place
            .run(|| client::fetch(admin, path, Duration::from_secs(5)));
        let answer = answer.with_context(|| format!("ask {admin}{path}"))?;
        Ok((answer.status, answer.body))
    }

    /// `GET /metrics`, read.
    ///
    /// # Errors
    /// When nothing answers, or not 200.
    pub fn scrape(&self) -> Result<Metrics> {
        let (status, body) = self.get("/metrics")?;
        ensure!(status == 200, "/metrics answers {status}: {body}");
        Ok(Metrics::parse(&body))
    }

    /// Stops it and runs `weft uninstall`; dropping does the same without telling of errors.
    ///
    /// # Errors
    /// With what `weft uninstall` said, when it fails.
    pub fn uninstall(mut self) -> Result<String> {
        if self.child.is_some() {
            self.terminate()?;
        }
        let said = self.ask(&["uninstall"])?;
        drop(fs::remove_file(mark(&self.options.state)));
        Ok(said)
    }

    fn start(&mut self) -> Result<()> {
        let options = &self.options;
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .context("open weft's log")?;
        let mut command = options.place.command(&options.binary);
        command.arg("run").args(&options.policy);
        command.arg("--cgroup").arg(&options.cgroup);
        command.arg("--state").arg(&options.state);
        command.args(["--admin", &options.admin.to_string()]);
        command.args(["--node", &options.node]);
        for interface in &options.interfaces {
            command.args(["--interface", interface]);
        }
        command.args(&options.arguments);
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().context("share weft's log")?);
        command.stderr(log);
        let child = command.spawn().context("start weft")?;
        self.child = Some(child);
        Ok(())
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + self.options.patience;
        loop {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait().context("wait for weft")?
            {
                self.child = None;
                bail!("weft ended with {status}; its log:\n{}", self.log());
            }
            match self.get("/healthz/ready") {
                Ok((200, _)) => return Ok(()),
                answer if Instant::now() > deadline => {
                    bail!("weft is not ready: {answer:?}; its log:\n{}", self.log())
                }
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl WeftOptions {
    /// Another binary than the one beside the running program.
    pub fn binary(mut self, binary: &Path) -> Self {
        binary.clone_into(&mut self.binary);
        self
    }

    /// Another address for the admin port.
    pub fn admin(mut self, admin: SocketAddr) -> Self {
        self.admin = admin;
        self
    }

    /// Another node name.
    pub fn node(mut self, node: &str) -> Self {
        node.clone_into(&mut self.node);
        self
    }

    /// Another cgroup to serve.
    pub fn cgroup(mut self, cgroup: &Cgroup) -> Self {
        cgroup.path().clone_into(&mut self.cgroup);
        self
    }

    /// An interface for the packet hooks.
    pub fn interface(mut self, interface: &str) -> Self {
        self.interfaces.push(interface.to_owned());
        self
    }

    /// A further argument of `weft run`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Without a further argument added before, and without its value.
    pub fn without(mut self, flag: &str) -> Self {
        if let Some(at) = self.arguments.iter().position(|own| own == flag) {
            self.arguments.drain(at..at + 2);
        }
        self
    }

    /// Without the policy directory.
    pub fn without_policy(mut self) -> Self {
        self.policy = None;
        self
    }

    /// Another state directory.
    pub fn state(mut self, state: &Path) -> Self {
        state.clone_into(&mut self.state);
        self
    }

    /// How long it may take until it is ready; 20 seconds unless told.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts the mesh and waits until it is ready.
    ///
    /// # Errors
    /// With its log, when it ends or does not become ready.
    pub fn start(self) -> Result<Weft> {
        fs::create_dir_all(&self.state)
            .with_context(|| format!("make {}", self.state.display()))?;
        fs::write(
            mark(&self.state),
            self.binary.as_os_str().as_encoded_bytes(),
        )
        .context("mark the state directory")?;
        let log = self.state.with_extension("log");
        let mut weft = Weft {
            options: self,
            log,
            child: None,
        };
        weft.start()?;
        weft.wait_ready()?;
        Ok(weft)
    }
}

impl Drop for Weft {
    fn drop(&mut self) {
        if self.child.is_some() {
            drop(self.terminate());
        }
        if mark(&self.options.state).exists() {
            drop(self.command(&["uninstall"]));
            unmount(&self.options.state);
            drop(fs::remove_file(mark(&self.options.state)));
        }
        let log = self.log();
        if std::thread::panicking() {
            report(&log);
        } else {
            assert!(!log.contains("panicked at"), "weft panicked:\n{log}");
        }
    }
}

/// The `weft` binary: `WEFT_BIN`, or the one built beside the running program.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WEFT_BIN") {
        return Ok(PathBuf::from(path));
    }
    let here = std::env::current_exe().context("find the running program")?;
    // target/PROFILE/xtask or target/PROFILE/deps/test-HASH.
    for directory in here.ancestors().skip(1).take(3) {
        for candidate in ["weft", "release/weft", "debug/weft"] {
            let path = directory.join(candidate);
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    bail!(
        "no weft binary beside {}; run: cargo build -p weft",
        here.display()
    )
}

/// Runs a command of `weft` that needs no mesh, and gives its standard output.
///
/// # Errors
/// With its standard error, when it fails.
pub fn offline(args: &[&str]) -> Result<String> {
    let output = Command::new(binary()?).args(args).output();
    let output = output.context("run weft")?;
    ensure!(
        output.status.success(),
        "weft {}: {}: {}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Uninstalls meshes whose state lies in a directory that a dead process left.
pub(crate) fn uninstall_below(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == MARK)
            && let Ok(binary) = fs::read_to_string(&path)
        {
            let state = path.with_extension("");
            let mut uninstall = Command::new(binary);
            uninstall.arg("uninstall").arg("--state").arg(&state);
            drop(uninstall.output());
            unmount(&state);
        }
    }
}

/// Pins die with the file system that holds them, should `weft uninstall` have left it.
fn unmount(state: &Path) {
    let pins = state.join("bpf");
    if pins.is_dir() {
        drop(Command::new("umount").arg("-l").arg(pins).output());
    }
}

fn mark(state: &Path) -> PathBuf {
    state.with_extension(MARK)
}

#[expect(
    clippy::print_stderr,
    reason = "shows the mesh's log beside a failed test"
)]
fn report(log: &str) {
    eprintln!("--- weft's log ---\n{log}------------------");
}
