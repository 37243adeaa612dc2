//! The list of an authority that is here is signed anew before it ends.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use weft_identity::{
    RevocationList,
    schedule::{self, Validity},
};

use super::{own_list::OwnList, store::Office};

/// The time between two attempts.
const RETRY: Duration = Duration::from_secs(60);

/// Signs the list beside an authority's files anew at half of its life, for as long a life again.
pub(super) struct Renewal {
    dir: PathBuf,
    office: Arc<Office>,
    /// No attempt before.
    not_before: SystemTime,
    failure: Option<String>,
}

impl Renewal {
    /// For the authority `office`, whose files are in `dir`.
    pub(super) fn new(dir: PathBuf, office: Arc<Office>) -> Self {
        Self {
            dir,
            office,
            not_before: SystemTime::UNIX_EPOCH,
            failure: None,
        }
    }

    /// Why the last attempt came to nothing.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Looks at the lists in the file, and makes an attempt when one of them is due.
    pub(super) fn look<'a>(
        &mut self,
        lists: impl IntoIterator<Item = &'a RevocationList>,
        now: SystemTime,
    ) {
        if now < self.not_before || !lists.into_iter().any(|list| is_due(list, now)) {
            return;
        }
        let outcome = self.renew(now);
        if !matches!(outcome, Ok(true)) {
            self.not_before = now + RETRY;
        }
        self.failure = outcome.err().map(|error| format!("{error:#}"));
    }

    /// Whether what is due was renewed, here or by who writes it now.
    fn renew(&self, now: SystemTime) -> Result<bool> {
        let authority = self.office.authority();
        let Some(list) = OwnList::try_open(&self.dir, &authority)? else {
            return Ok(true);
        };
        let due = list.own().iter().filter(|list| is_due(list, now));
        let Some(life) = due.map(|list| Validity::of_list(list).life()).max() else {
            return Ok(false);
        };
        let list = list.replace(&authority, &[], now, life)?;
        tracing::info!(
            "renewed the revocation list in {}: number {}",
            self.dir.display(),
            list.number().unwrap_or_default()
        );
        Ok(true)
    }
}

fn is_due(list: &RevocationList, now: SystemTime) -> bool {
    schedule::renewal(Validity::of_list(list), 0.5) <= now
}
