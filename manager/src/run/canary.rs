//! The canary: a reserved service address with a backend in this process. A child in the served
//! cgroup dials it, which works only if the hooks are attached where sockets really are and see
//! the maps that are written here.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command};
use weft_lower::CANARY;

/// What the backend says.
const GREETING: &[u8] = b"weft canary\n";

/// How long a dial may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The backend of the canary.
pub(crate) struct Canary {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Canary {
    /// Listens on loopback.
    pub(crate) async fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on loopback for the canary; is lo up in this namespace?")?;
        let address = listener
            .local_addr()
            .context("cannot tell the canary's address")?;
        let task = tokio::spawn(async move {
            loop {
                if let Ok((mut stream, _)) = listener.accept().await {
                    // A client that does not read costs nothing: the greeting fits the buffer.
                    drop(stream.write_all(GREETING).await);
                } else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Dials from the cgroup; tells what went wrong.
    pub(crate) async fn check(&self, cgroup: &Path) -> Option<String> {
        match check(cgroup).await {
            Ok(()) => None,
            Err(error) => {
                let reason = format!("canary connect from {}: {error:#}", cgroup.display());
                tracing::error!("{reason}");
                Some(reason)
            }
        }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Dials the canary from a process in the cgroup.
pub(crate) async fn check(cgroup: &Path) -> anyhow::Result<()> {
    let cell = Cell::make(cgroup)?;
    let own = std::env::current_exe().context("cannot tell the path of this program")?;
    let dial = Command::new(own)
        .arg("canary")
        .env("WEFT_CANARY_CGROUP", cell.procs())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, dial)
        .await
        .context("no answer in 5 s")?
        .context("cannot start the canary")?;
    if output.status.success() {
        return Ok(());
    }
    anyhow::bail!(
        "{}",
        String::from_utf8_lossy(&output.stderr)
            .trim()
            .trim_start_matches("weft: ")
    )
}

/// A cgroup of the canary's own below the served one, since one with controllers for its children
/// takes no processes.
struct Cell(PathBuf);

impl Cell {
    fn make(cgroup: &Path) -> anyhow::Result<Self> {
        let path = cgroup.join(format!("weft-canary-{}", std::process::id()));
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("cannot make {}", path.display()))
            }
            _ => {
                let cell = Self(path);
                cell.follow_threads();
                Ok(cell)
            }
        }
    }

    /// Below a threaded cgroup a new one takes no process until it is threaded as well.
    fn follow_threads(&self) {
        let kind = self.0.join("cgroup.type");
        if fs::read_to_string(&kind).is_ok_and(|kind| kind.trim() == "domain invalid") {
            // A refusal shows when the canary joins.
            drop(fs::write(&kind, "threaded"));
        }
    }

    fn procs(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // Busy for a moment after its process ended.
        for _ in 0..20 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// `weft canary`: the child. Joins the cgroup named by its parent, dials, and compares.
pub(crate) fn dial() -> ExitCode {
    match try_dial() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn try_dial() -> anyhow::Result<()> {
    if let Some(procs) = std::env::var_os("WEFT_CANARY_CGROUP") {
        fs::write(&procs, "0").context("cannot join the served cgroup")?;
    }
    let [.., a, b, c, d] = CANARY.address.bytes;
    let dialled = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), CANARY.port));
    let mut stream = TcpStream::connect_timeout(&dialled, Duration::from_secs(2)).context(
        "nobody answers at the reserved address; are the programs attached to this cgroup, and is \
         this the manager's network namespace?",
    )?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut greeting = [0; GREETING.len()];
    io::Read::read_exact(&mut stream, &mut greeting).context("no greeting")?;
    anyhow::ensure!(
        greeting == GREETING,
        "somebody else answers at the reserved address"
    );
    let peer = stream.peer_addr().context("no peer address")?;
    anyhow::ensure!(
        peer == dialled,
        "getpeername tells {peer} instead of {dialled}: that hook is not attached here"
    );
    Ok(())
}
