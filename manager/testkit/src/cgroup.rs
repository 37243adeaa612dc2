//! A cgroup v2 subtree of our own.
//!
//! Socket hooks look at the cgroup of the task that made the socket. So that a thread of the test
//! can be inside the mesh while its sibling is outside, the process moves into a cgroup of its
//! own once, and the cgroups below are threaded ones
//! (<https://docs.kernel.org/admin-guide/cgroup-v2.html#threads>). Whole processes can be moved
//! into them as well.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// A threaded cgroup below this process's own; dropping it removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    /// Removed after the last cgroup below it.
    home: Arc<Home>,
}

impl Cgroup {
    /// Makes a cgroup below the process's own, which is made (and moved into) first if needed.
    pub(crate) fn create(name: &str) -> Result<Self> {
        let home = Home::shared()?;
        let path = home.path.join(name);
        Self::make(path, home)
    }

    /// Makes a cgroup inside this one.
    pub fn child(&self, name: &str) -> Result<Self> {
        Self::make(self.path.join(name), Arc::clone(&self.home))
    }

    /// Its directory, as `weft run --cgroup` takes it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the calling thread in, for good.
    ///
    /// # Errors
    /// When the kernel refuses, for instance on a thread of another process tree.
    pub fn move_here(&self) -> Result<()> {
        let threads = self.path.join("cgroup.threads");
        fs::write(&threads, "0").with_context(|| format!("write {}", threads.display()))
    }

    fn make(path: PathBuf, home: Arc<Home>) -> Result<Self> {
        fs::create_dir(&path).with_context(|| format!("make cgroup {}", path.display()))?;
        let cgroup = Self { path, home };
        let kind = cgroup.path.join("cgroup.type");
        fs::write(&kind, "threaded").with_context(|| format!("write {}", kind.display()))?;
        Ok(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// The cgroup the process itself lives in while any rig lives.
#[derive(Debug)]
struct Home {
    path: PathBuf,
}

static HOME: Mutex<Weak<Home>> = Mutex::new(Weak::new());

/// Where the process lived before its first rig.
static PREVIOUS: OnceLock<PathBuf> = OnceLock::new();

impl Home {
    fn shared() -> Result<Arc<Self>> {
        let mut shared = HOME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = shared.upgrade() {
            return Ok(home);
        }
        let home = Arc::new(Self::create()?);
        *shared = Arc::downgrade(&home);
        Ok(home)
    }

    fn create() -> Result<Self> {
        let root = mount()?;
        let here = root.join(current()?.trim_start_matches('/'));
        PREVIOUS.get_or_init(|| here);
        let path = root.join(format!("weft-{}", std::process::id()));
        // A sibling drop of the last rig may just be removing it.
        if !path.exists() {
            fs::create_dir(&path).with_context(|| format!("make cgroup {}", path.display()))?;
        }
        let home = Self { path };
        let processes = home.path.join("cgroup.procs");
        fs::write(&processes, "0").with_context(|| format!("write {}", processes.display()))?;
        Ok(home)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let shared = HOME.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.strong_count() > 0 {
            return; // A rig made meanwhile lives in the same directory.
        }
        if let Some(previous) = PREVIOUS.get() {
            drop(fs::write(previous.join("cgroup.procs"), "0"));
        }
        remove(&self.path);
    }
}

/// Where cgroup v2 is mounted, from `/proc/self/mountinfo`.
///
/// # Errors
/// When it is not mounted.
pub fn mount() -> Result<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("read mountinfo")?;
    for line in table.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        if after.starts_with("cgroup2 ")
            && let Some(point) = before.split(' ').nth(4)
        {
            return Ok(PathBuf::from(point));
        }
    }
    bail!("cgroup v2 is not mounted; try: mount -t cgroup2 none /sys/fs/cgroup")
}

/// The process's cgroup v2 path below the mount.
fn current() -> Result<String> {
    let table = fs::read_to_string("/proc/self/cgroup").context("read /proc/self/cgroup")?;
    table
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
        .context("this process is in no cgroup v2 hierarchy")
}

/// Kills what runs below a cgroup that a dead process left, and removes it.
pub(crate) fn clear(path: &Path) {
    drop(fs::write(path.join("cgroup.kill"), "1"));
    remove_tree(path);
}

fn remove_tree(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    remove(path);
}

/// Removes an emptied cgroup. Tasks that are just exiting keep it busy for a moment.
fn remove(path: &Path) {
    for _ in 0..100 {
        match fs::remove_dir(path) {
            Err(error) if error.raw_os_error() == Some(16) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => return,
        }
    }
}
