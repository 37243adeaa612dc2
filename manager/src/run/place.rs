//! Where the state directory is when nothing is said.

use std::path::{Path, PathBuf};

use weft_loader::Cgroup;

use crate::cmd::instance::ROOT;

/// `/run/weft/default` for the root cgroup, else one named after the cgroup, so that managers of
/// several subtrees do not meet.
pub(crate) fn default_state(cgroup: &Path) -> anyhow::Result<PathBuf> {
    let root = weft_loader::cgroup::root()?;
    let served = Cgroup::resolve(cgroup)?;
    let below = served.path().strip_prefix(&root).unwrap_or(served.path());
    let name = below.to_string_lossy().replace('/', "-");
    let name = name.trim_matches('-');
    Ok(Path::new(ROOT).join(if name.is_empty() { "default" } else { name }))
}
