//! The revocation list of an authority, beside its files: `weft ca revoke` adds to it, `weft run`
//! renews it.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use weft_identity::{Authority, RevocationList, Revoked, pem};

use super::{revocations, store};

/// Istio's name of the file.
pub(crate) const FILE: &str = "ca-crl.pem";

/// The lists in that file, kept from other writers.
pub(crate) struct OwnList {
    dir: PathBuf,
    /// Of the authority; one is left when it is written.
    own: Vec<RevocationList>,
    /// Of others, left as they are.
    others: Vec<RevocationList>,
    _lock: File,
}

impl OwnList {
    /// Reads the lists once no other process writes them.
    ///
    /// # Errors
    /// When there is a file with anything but lists.
    pub(crate) fn open(dir: &Path, authority: &Authority) -> Result<Self> {
        let folder = open(dir)?;
        folder
            .lock()
            .with_context(|| format!("cannot lock {}", dir.display()))?;
        Self::read(dir, authority, folder)
    }

    /// As [`Self::open`]; `None` when another process writes them now.
    pub(super) fn try_open(dir: &Path, authority: &Authority) -> Result<Option<Self>> {
        let folder = open(dir)?;
        match folder.try_lock() {
            Ok(()) => Self::read(dir, authority, folder).map(Some),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", dir.display()))
            }
        }
    }

    fn read(dir: &Path, authority: &Authority, lock: File) -> Result<Self> {
        let lists = revocations::read(&dir.join(FILE), true)?;
        let (own, others) = lists
            .into_iter()
            .partition(|list| authority.has_signed_list(list));
        Ok(Self {
            dir: dir.to_owned(),
            own,
            others,
            _lock: lock,
        })
    }

    /// The lists of the authority: one at most, unless somebody else has written the file.
    pub(crate) fn own(&self) -> &[RevocationList] {
        &self.own
    }

    /// Puts one list in place of those of the authority: it says what they say, takes back `more`, and
    /// is to be replaced within `ttl`.
    pub(crate) fn replace(
        self,
        authority: &Authority,
        more: &[Revoked],
        now: SystemTime,
        ttl: Duration,
    ) -> Result<RevocationList> {
        let list = authority.revoke(&self.own, more, now, now + ttl)?;
        let list = RevocationList::read(&list)?;
        let lists = self.others.iter().chain([&list]);
        let text: String = lists
            .map(|list| pem::write_revocation_list(list.der()))
            .collect();
        store::replace(&self.dir, FILE, 0o644, text.as_bytes())?;
        Ok(list)
    }
}

/// The folder itself is what writers lock: a file that is replaced cannot be.
fn open(dir: &Path) -> Result<File> {
    File::open(dir).with_context(|| format!("cannot open {}", dir.display()))
}
