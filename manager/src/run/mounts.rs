//! Leaves a mount namespace made just for this process, as `ip netns exec` makes one: what is
//! mounted there (bpffs, and with it every pin) would go with it, and cgroup2 is hidden by its
//! new /sys.

use std::{
    env, fs,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Joins the mount namespace of process 1, or of the parent where that one may not be looked at,
/// if it has the same root directory and shows the same at the paths of `seen`. In a container with its own
/// root nothing is done. To be called while the process has one thread.
pub(crate) fn leave_private_namespace<'a>(
    seen: impl Iterator<Item = &'a PathBuf> + Clone,
) -> anyhow::Result<()> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt"));
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    let mut visible = ["1".to_owned()].into_iter().chain(parent);
    let Some((outer, theirs)) = visible.find_map(|pid| Some((namespace(&pid).ok()?, pid))) else {
        return Ok(());
    };
    let root = format!("/proc/{theirs}/root");
    if namespace("self").is_ok_and(|own| own == outer)
        || identity(Path::new(&root)) != identity(Path::new("/"))
    {
        return Ok(());
    }
    let ours = fs::File::open("/proc/self/ns/mnt").context("cannot open this mount namespace")?;
    let theirs = fs::File::open(format!("/proc/{theirs}/ns/mnt"))
        .with_context(|| format!("cannot open the mount namespace of process {theirs}"))?;
    let here = env::current_dir().context("cannot tell the current directory")?;
    let identities = || seen.clone().map(|path| identity(path)).collect::<Vec<_>>();
    let before = identities();
    enter(&theirs)?;
    // Entering moves to the root directory.
    if env::set_current_dir(&here).is_err() || identities() != before {
        enter(&ours)?;
        env::set_current_dir(&here).context("cannot go back to the current directory")?;
    }
    Ok(())
}

fn enter(namespace: &fs::File) -> anyhow::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
        .context("cannot change the mount namespace")
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
