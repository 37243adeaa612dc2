//! Revocation lists, read again when their files change.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use weft_identity::{RevocationList, pem};

/// Istio's name of the list beside an authority's files.
pub(super) const BESIDE: &str = "ca-crl.pem";

/// How often files are looked at: live connections end within a second of a change.
const LOOK: Duration = Duration::from_millis(250);

/// The lists in force.
pub(crate) type Lists = Arc<[RevocationList]>;

/// Inode, size and time of change.
type Stamp = (u64, u64, i64, i64);

struct ListFile {
    path: PathBuf,
    /// It need not be there.
    optional: bool,
    stamp: Option<Stamp>,
    lists: Vec<RevocationList>,
}

/// The files, and who is told of them.
pub(super) struct Revocations {
    files: Vec<ListFile>,
    lists: watch::Sender<Lists>,
}

impl Revocations {
    /// Reads all: `given` must be there, the list `beside` an authority need not.
    ///
    /// # Errors
    /// When one is missing or broken.
    pub(super) fn open(given: &[PathBuf], beside: Option<&Path>) -> Result<Self> {
        let given = given.iter().map(|path| (path.clone(), false));
        let beside = beside.map(|dir| (dir.join(BESIDE), true));
        let files = given
            .chain(beside)
            .map(|(path, optional)| {
                let (stamp, lists) = load(&path, optional)?;
                Ok(ListFile {
                    path,
                    optional,
                    stamp,
                    lists,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let lists = watch::Sender::new(gathered(&files));
        Ok(Self { files, lists })
    }

    /// The lists, now and after each change.
    pub(super) fn subscribe(&self) -> watch::Receiver<Lists> {
        self.lists.subscribe()
    }

    /// Looks at the files for ever. A broken file, or one of `--ca-crl` that is missing now, leaves what
    /// it said before in force; the list beside an authority is taken back by removing it.
    pub(super) async fn follow(mut self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look();
        }
    }

    fn look(&mut self) {
        let mut changed = false;
        for file in &mut self.files {
            let stamp = stamp(&file.path).ok();
            if stamp == file.stamp {
                continue;
            }
            file.stamp = stamp;
            match load(&file.path, file.optional) {
                Ok((stamp, lists)) => {
                    tracing::info!("the revocation lists in {} changed", file.path.display());
                    file.stamp = stamp;
                    file.lists = lists;
                    changed = true;
                }
                Err(error) => {
                    tracing::error!("{error:#}; what it said before stays in force");
                }
            }
        }
        if changed {
            self.lists.send_replace(gathered(&self.files));
        }
    }
}

fn gathered(files: &[ListFile]) -> Lists {
    files.iter().flat_map(|file| &file.lists).cloned().collect()
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let file = fs::metadata(path)?;
    Ok((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// What a file says; nothing when it is not there and need not be.
fn load(path: &Path, optional: bool) -> Result<(Option<Stamp>, Vec<RevocationList>)> {
    // The stamp comes first: a write in between is seen at the next look.
    let before = stamp(path);
    let text = match fs::read(path) {
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => {
            return Ok((None, Vec::new()));
        }
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let wrong = || format!("no revocation list in {}", path.display());
    let lists = pem::revocation_lists(&text).with_context(wrong)?;
    let lists = lists.iter().map(RevocationList::read);
    let lists = lists.collect::<Result<_, _>>().with_context(wrong)?;
    Ok((before.ok(), lists))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use weft_identity::Authority;

    use super::*;
    use crate::run::ca::store;

    #[test]
    fn files_are_read_again_and_a_broken_one_leaves_what_was_in_force() {
        let dir = std::env::temp_dir().join(format!("weft-crl-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).expect("folder");
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let serial = store::serial().expect("serial");
        let authority = Authority::create("mesh.a", day, now, serial).expect("authority");
        let list = authority.revocation_list(&[], 1, now, now + day);
        let text = pem::write_revocation_list(&list.expect("list"));
        let replace = |text: &str| {
            fs::write(dir.join("draft"), text).expect("file");
            fs::rename(dir.join("draft"), dir.join(BESIDE)).expect("file");
        };

        let mut revocations = Revocations::open(&[], Some(&dir)).expect("nothing yet");
        let lists = revocations.subscribe();
        assert_eq!(lists.borrow().len(), 0);
        replace(&(text.clone() + &text));
        revocations.look();
        assert_eq!(lists.borrow().len(), 2);
        replace("no list");
        revocations.look();
        assert_eq!(lists.borrow().len(), 2);
        let Err(error) = Revocations::open(&[dir.join(BESIDE)], None) else {
            panic!("a broken file is taken");
        };
        assert!(format!("{error:#}").contains(BESIDE), "{error:#}");
        fs::remove_file(dir.join(BESIDE)).expect("file");
        revocations.look();
        assert_eq!(lists.borrow().len(), 0);
        assert!(Revocations::open(&[dir.join(BESIDE)], None).is_err());
        fs::remove_dir_all(&dir).expect("removed");
    }
}
