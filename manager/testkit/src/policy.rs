//! The directory of YAML files that `weft run` watches.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A policy directory. Files appear and change by rename, so nobody reads half of one.
#[derive(Debug)]
pub struct PolicyDirectory {
    path: PathBuf,
    /// On the same file system, outside of the watched directory.
    scratch: PathBuf,
}

impl PolicyDirectory {
    /// Makes `path` if it is missing; `path.new` beside it is used for writing.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn new(path: PathBuf) -> Result<Self> {
        let scratch = path.with_extension("new");
        for directory in [&path, &scratch] {
            fs::create_dir_all(directory)
                .with_context(|| format!("make {}", directory.display()))?;
        }
        Ok(Self { path, scratch })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes or replaces a file in one step.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, name: &str, yaml: &str) -> Result<()> {
        let scratch = self.scratch.join(name);
        fs::write(&scratch, yaml).with_context(|| format!("write {}", scratch.display()))?;
        let path = self.file(name);
        fs::rename(&scratch, &path).with_context(|| format!("rename to {}", path.display()))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))
    }
}
