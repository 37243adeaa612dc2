//! Which manager on this host is meant.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where state directories are made when nothing else is said.
pub(crate) const ROOT: &str = "/run/weft";

/// Why no manager can be chosen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstanceError {
    /// There is none.
    #[error("nothing of weft under {}; is `weft run` running, or does it have another --state?", root.display())]
    None {
        /// Where was looked.
        root: PathBuf,
    },
    /// There are several.
    #[error("several under {}, choose one with --state: {}", root.display(), names(found))]
    Several {
        /// Where was looked.
        root: PathBuf,
        /// What was found.
        found: Vec<PathBuf>,
    },
}

fn names(found: &[PathBuf]) -> String {
    let names: Vec<String> = found
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

/// The state directory with an admin socket: the given one, or the only one.
pub(crate) fn running(state: Option<&Path>) -> Result<PathBuf, InstanceError> {
    choose(state, Path::new(ROOT), "admin.sock")
}

/// The state directory with pins, with or without a manager: the given one, or the only one.
pub(crate) fn installed(state: Option<&Path>) -> Result<PathBuf, InstanceError> {
    choose(state, Path::new(ROOT), "bpf")
}

fn choose(state: Option<&Path>, root: &Path, mark: &str) -> Result<PathBuf, InstanceError> {
    if let Some(state) = state {
        return Ok(state.to_owned());
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join(mark).exists())
        .collect();
    found.sort();
    match <[PathBuf; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) if found.is_empty() => Err(InstanceError::None {
            root: root.to_owned(),
        }),
        Err(found) => Err(InstanceError::Several {
            root: root.to_owned(),
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_one_is_chosen_and_several_are_listed() {
        let root = std::env::temp_dir().join(format!("weft-instances-{}", std::process::id()));
        fs::create_dir_all(root.join("empty")).expect("a directory");
        let chosen = |state| choose(state, &root, "bpf");
        assert!(matches!(chosen(None), Err(InstanceError::None { .. })));
        fs::create_dir_all(root.join("a/bpf")).expect("a directory");
        assert_eq!(chosen(None).expect("the only one"), root.join("a"));
        fs::create_dir_all(root.join("b/bpf")).expect("a directory");
        let several = chosen(None).expect_err("two").to_string();
        assert!(
            several.contains("/a, ") && several.contains("/b"),
            "{several}"
        );
        let given = Path::new("/elsewhere");
        assert_eq!(chosen(Some(given)).expect("as given"), given);
        fs::remove_dir_all(root).expect("removed");
    }
}
