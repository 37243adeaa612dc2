//! Revocation lists, read again when their files change.

mod doubts;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use weft_identity::{CertificateDer, ListSignature, RevocationList, pem};
use weft_model::Problem;

use super::{certificates::Certificates, own_list, renewal::Renewal};
use crate::run::stamp::Stamp;

/// How often files are looked at: live connections end within a second of a change.
const LOOK: Duration = Duration::from_millis(250);

/// The lists in force.
pub(crate) type Lists = Arc<[RevocationList]>;

/// What is wrong with lists.
pub(crate) type Problems = Arc<[Problem]>;

struct ListFile {
    path: PathBuf,
    /// It need not be there.
    optional: bool,
    stamp: Option<Stamp>,
    lists: Vec<Held>,
    /// Why it cannot be read; the lists are those it had before.
    failure: Option<String>,
}

struct Held {
    list: RevocationList,
    signature: ListSignature,
}

/// The files, and who is told of them.
pub(super) struct Revocations {
    files: Vec<ListFile>,
    /// Who may have signed.
    authorities: Vec<CertificateDer<'static>>,
    renewal: Option<Renewal>,
    lists: watch::Sender<Lists>,
    sound: watch::Sender<Lists>,
    problems: watch::Sender<Problems>,
}

impl Revocations {
    /// Reads all: `given` must be there, the list `beside` an authority need not.
    ///
    /// # Errors
    /// When one is missing or broken.
    pub(super) fn open(given: &[PathBuf], beside: Option<&Path>) -> Result<Self> {
        let given = given.iter().map(|path| (path.clone(), false));
        let beside = beside.map(|dir| (dir.join(own_list::FILE), true));
        let files = given
            .chain(beside)
            .map(|(path, optional)| {
                let mut file = ListFile {
                    path,
                    optional,
                    stamp: None,
                    lists: Vec::new(),
                    failure: None,
                };
                file.read()?;
                Ok(file)
            })
            .collect::<Result<Vec<_>>>()?;
        let lists = gathered(&files, |_| true);
        Ok(Self {
            files,
            authorities: Vec::new(),
            renewal: None,
            sound: watch::Sender::new(Arc::clone(&lists)),
            lists: watch::Sender::new(lists),
            problems: watch::Sender::new(Arc::new([])),
        })
    }

    /// Has the list beside an authority that is here renewed.
    pub(super) fn renew(&mut self, renewal: Renewal) {
        self.renewal = Some(renewal);
    }

    /// The lists, now and after each change.
    pub(super) fn subscribe(&self) -> watch::Receiver<Lists> {
        self.lists.subscribe()
    }

    /// Those that are not known to be by somebody else than they say, for applications: a handshake
    /// here passes over such a list, libraries may refuse everybody for it.
    pub(super) fn sound(&self) -> watch::Receiver<Lists> {
        self.sound.subscribe()
    }

    /// What is wrong with lists, now and after each change.
    pub(super) fn problems(&self) -> watch::Receiver<Problems> {
        self.problems.subscribe()
    }

    /// Looks at the files for ever. A broken file, or one of `--ca-crl` that is missing now, leaves what
    /// it said before in force; the list beside an authority is taken back by removing it.
    pub(super) async fn follow(mut self, certificates: Certificates) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let now = SystemTime::now();
            self.look_after(now);
            let changed = self.look();
            let has_lists = self.files.iter().any(|file| !file.lists.is_empty());
            let authorities = has_lists.then(|| certificates.authorities());
            self.judge(authorities.unwrap_or_default(), changed, now);
        }
    }

    /// Reads what has changed, and tells whether anything has.
    fn look(&mut self) -> bool {
        let mut changed = false;
        for file in &mut self.files {
            let stamp = Stamp::of(&file.path);
            if stamp == file.stamp {
                continue;
            }
            file.stamp = stamp;
            match file.read() {
                Ok(()) => {
                    tracing::info!("the revocation lists in {} changed", file.path.display());
                    file.failure = None;
                    changed = true;
                }
                Err(error) => file.failure = Some(format!("{error:#}")),
            }
        }
        if changed {
            self.lists.send_replace(gathered(&self.files, |_| true));
        }
        changed
    }

    /// Renews the list beside the authority when it is time.
    fn look_after(&mut self, now: SystemTime) {
        let beside = self.files.iter().find(|file| file.optional);
        if let (Some(renewal), Some(file)) = (&mut self.renewal, beside) {
            renewal.look(file.lists.iter().map(|held| &held.list), now);
        }
    }

    /// Finds out who has signed, when lists or authorities have changed, and what is wrong.
    fn judge(&mut self, authorities: Vec<CertificateDer<'static>>, changed: bool, now: SystemTime) {
        if changed || authorities != self.authorities {
            self.authorities = authorities;
            let held = self.files.iter_mut().flat_map(|file| &mut file.lists);
            held.for_each(|held| held.signature = held.list.signature(&self.authorities));
            tell(&self.sound, gathered(&self.files, Held::is_sound));
        }
        // Whoever knows no authority cannot tell whose lists these are.
        let known = !self.authorities.is_empty();
        let renewal = self.renewal.as_ref().and_then(Renewal::failure);
        let found: Problems = doubts::of(&self.files, known, renewal, now).into();
        tell(&self.problems, found);
    }
}

impl Held {
    fn is_sound(&self) -> bool {
        matches!(
            self.signature,
            ListSignature::Valid | ListSignature::UnknownIssuer
        )
    }
}

impl ListFile {
    fn read(&mut self) -> Result<()> {
        // The stamp comes first: a write in between is seen at the next look.
        let stamp = Stamp::of(&self.path);
        let lists = read(&self.path, self.optional)?.into_iter();
        let held = lists.map(|list| Held {
            list,
            signature: ListSignature::UnknownIssuer,
        });
        self.lists = held.collect();
        self.stamp = stamp;
        Ok(())
    }
}

/// Sends what is news.
fn tell<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|told| {
        let is_news = *told != value;
        *told = value;
        is_news
    });
}

/// The lists that are wanted; a list in two files is asked once.
fn gathered(files: &[ListFile], wanted: impl Fn(&Held) -> bool) -> Lists {
    let mut lists: Vec<RevocationList> = Vec::new();
    for held in files.iter().flat_map(|file| &file.lists) {
        if wanted(held) && !lists.contains(&held.list) {
            lists.push(held.list.clone());
        }
    }
    lists.into()
}

/// What a file says; nothing when it is not there and need not be.
pub(crate) fn read(path: &Path, optional: bool) -> Result<Vec<RevocationList>> {
    let text = match fs::read(path) {
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let wrong = || format!("no revocation list in {}", path.display());
    let lists = pem::revocation_lists(&text).with_context(wrong)?;
    let lists = lists.iter().map(RevocationList::read);
    lists.collect::<Result<_, _>>().with_context(wrong)
}

#[cfg(test)]
mod tests;
