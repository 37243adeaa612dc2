//! For tests: a folder with an authority.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use weft_identity::Authority;

use super::store;

/// Removed at the end.
pub(crate) struct Scratch {
    pub(crate) dir: PathBuf,
    pub(crate) authority: Authority,
}

impl Scratch {
    /// `name` is the test's own.
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("weft-ca-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        let (now, life) = (SystemTime::now(), Duration::from_secs(10 * 86_400));
        let serial = store::serial().expect("serial");
        let authority = Authority::create("mesh.a", life, now, serial).expect("authority");
        store::create(&dir, &authority).expect("files");
        Self { dir, authority }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}
