//! Whether a file is still what it was.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Inode, size and time of change of a file: different when it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp(u64, u64, i64, i64);

impl Stamp {
    /// Of the file at a path; `None` when there is none, or something else.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self(metadata.ino(), metadata.len(), seconds, nanoseconds))
    }

    /// When it changed, in seconds since 1970.
    pub(crate) fn changed(self) -> i64 {
        self.2
    }
}
