//! The directory with the policy files, and the single file of `--local-xds`.
//!
//! A file counts when it is closed after writing or moved into place, so that nobody's half-written
//! file empties the mesh. A file that goes is missed only if it does not come back at once, as
//! editors write: the old one away, the new one in. What events miss, a look at the whole
//! directory every few seconds finds. While the directory itself cannot be read (renamed, or a file
//! system not mounted) nothing is gone: the mesh goes on with what it has.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode},
};
use tokio::sync::mpsc;

use super::{now, stamp::Stamp};

/// How long a file may be away.
const ABSENCE: Duration = Duration::from_millis(200);

/// How often the whole directory is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A file is taken without an event when it has not changed for this long, seconds.
const SETTLED: i64 = 1;

/// When to look again at a file that has changed more recently.
const UNSETTLED: Duration = Duration::from_millis(500);

/// Files larger than this are refused: nobody writes them by hand, and they must fit in memory.
const LARGEST: u64 = 1 << 30;

/// A file with its text, or gone, or not readable.
#[derive(Debug)]
pub(crate) struct Edit {
    /// Its path, as reached from the directory given.
    pub(crate) file: String,
    /// What happened.
    pub(crate) content: Content,
    /// When it was noticed.
    pub(crate) at: Duration,
}

/// What a file holds now.
#[derive(Debug)]
pub(crate) enum Content {
    /// This text.
    Text(String),
    /// Nothing: it is gone.
    Gone,
    /// Something that cannot be read; what it held before stays in force.
    Unreadable(String),
}

/// Device and inode of a directory.
type Identity = (u64, u64);

/// Watches the directory, or one file in it.
pub(crate) struct Source {
    directory: PathBuf,
    /// The only file of interest.
    only: Option<PathBuf>,
    /// The same, as events name it.
    absolute: PathBuf,
    known: BTreeMap<PathBuf, Stamp>,
    missing: BTreeMap<PathBuf, Duration>,
    events: mpsc::UnboundedReceiver<(Duration, Event)>,
    next_look: Duration,
    watcher: RecommendedWatcher,
    /// Which directory is watched; another one may take its name.
    watched: Option<Identity>,
    /// The directory could not be read at the last look.
    lost: bool,
}

impl Source {
    /// Begins to watch a directory.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        Self::watch(directory, None)
    }

    /// Begins to watch a file, through its directory, so that another one may take its place.
    pub(crate) fn open_file(file: &Path) -> anyhow::Result<Self> {
        let directory = file.parent().unwrap_or(Path::new(""));
        Self::watch(directory, Some(file.to_owned()))
    }

    fn watch(directory: &Path, only: Option<PathBuf>) -> anyhow::Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error (events lost, say) is made good by the next look at everything.
            if let Ok(event) = event {
                drop(sender.send((now(), event)));
            }
        })
        .context("cannot watch files")?;
        let absolute = std::path::absolute(Path::new(".").join(directory))
            .with_context(|| format!("cannot tell where {} is", directory.display()))?;
        watcher
            .watch(&absolute, depth(only.as_ref()))
            .with_context(|| format!("cannot watch {}", absolute.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            only,
            watched: identity(&absolute),
            absolute,
            known: BTreeMap::new(),
            missing: BTreeMap::new(),
            events,
            next_look: now() + LOOK,
            watcher,
            lost: false,
        })
    }

    /// All files as they are.
    pub(crate) fn all(&mut self) -> Vec<Edit> {
        let at = now();
        let mut edits = Vec::new();
        for (path, stamp) in self.list().unwrap_or_default() {
            self.known.insert(path.clone(), stamp);
            edits.push(read(&path, at));
        }
        edits
    }

    /// Waits until files changed.
    pub(crate) async fn next(&mut self) -> Vec<Edit> {
        loop {
            let missing = self.missing.values().min().map(|since| *since + ABSENCE);
            let due = missing.map_or(self.next_look, |missing| missing.min(self.next_look));
            let wait = due.saturating_sub(now());
            tokio::select! {
                event = self.events.recv() => {
                    let edits = event.map(|event| self.notice(event)).unwrap_or_default();
                    if !edits.is_empty() {
                        return edits;
                    }
                }
                () = tokio::time::sleep(wait) => {
                    let edits = self.look(now());
                    if !edits.is_empty() {
                        return edits;
                    }
                }
            }
        }
    }

    /// Takes an event with all that are waiting behind it.
    fn notice(&mut self, first: (Duration, Event)) -> Vec<Edit> {
        let (at, event) = first;
        let mut touched: BTreeMap<PathBuf, Duration> = BTreeMap::new();
        let mut pending = Some((at, event));
        while let Some((at, event)) = pending {
            if event.need_rescan() {
                self.next_look = Duration::ZERO;
            }
            if is_complete(&event.kind) {
                for path in event.paths {
                    touched.entry(path).or_insert(at);
                }
            }
            pending = self.events.try_recv().ok();
        }
        let mut edits = Vec::new();
        for (path, at) in touched {
            self.touch(path, at, &mut edits);
        }
        edits
    }

    fn touch(&mut self, path: PathBuf, at: Duration, edits: &mut Vec<Edit>) {
        // Under the name it has for whoever started the manager.
        let path = match path.strip_prefix(&self.absolute) {
            Ok(below) => self.directory.join(below),
            Err(_) => path,
        };
        if path.is_dir() {
            // A directory moved in, or a link swapped as Kubernetes does for ConfigMaps.
            self.next_look = Duration::ZERO;
            return;
        }
        let is_wanted = match &self.only {
            Some(only) => path == *only,
            None => is_policy(&path),
        };
        if !is_wanted {
            return;
        }
        match Stamp::of(&path) {
            Some(stamp) => {
                self.missing.remove(&path);
                if self.known.insert(path.clone(), stamp) != Some(stamp) {
                    edits.push(read(&path, at));
                }
            }
            None if self.known.contains_key(&path) => {
                self.missing.entry(path).or_insert(at);
            }
            None => {}
        }
    }

    /// Looks at the whole directory.
    fn look(&mut self, at: Duration) -> Vec<Edit> {
        let Some(present) = self.find(at) else {
            return Vec::new();
        };
        let mut edits = Vec::new();
        if at >= self.next_look {
            self.next_look = at + LOOK;
            for (path, stamp) in &present {
                if self.known.get(path) == Some(stamp) {
                    continue;
                }
                if stamp.changed() + SETTLED < wall_clock() {
                    self.known.insert(path.clone(), *stamp);
                    edits.push(read(path, at));
                } else {
                    // Perhaps still being written.
                    self.next_look = at + UNSETTLED;
                }
            }
            for path in self
                .known
                .keys()
                .filter(|path| !present.contains_key(*path))
            {
                self.missing.entry(path.clone()).or_insert(at);
            }
        }
        let missing = std::mem::take(&mut self.missing);
        for (path, since) in missing {
            if present.contains_key(&path) {
                continue;
            }
            if since + ABSENCE > at {
                self.missing.insert(path, since);
            } else if self.known.remove(&path).is_some() {
                edits.push(Edit {
                    file: path.display().to_string(),
                    content: Content::Gone,
                    at: since,
                });
            }
        }
        edits
    }

    /// All files, unless the directory is not there. One that came in its place is watched.
    fn find(&mut self, at: Duration) -> Option<BTreeMap<PathBuf, Stamp>> {
        let watched = identity(&self.absolute);
        if watched.is_some() && watched != self.watched {
            // What the old one would still tell is of no interest; it may be gone as well.
            drop(self.watcher.unwatch(&self.absolute));
            match self
                .watcher
                .watch(&self.absolute, depth(self.only.as_ref()))
            {
                Ok(()) => self.watched = watched,
                Err(error) => tracing::error!("cannot watch the new directory: {error}"),
            }
        }
        let present = self.list();
        match &present {
            Ok(_) => self.lost = false,
            Err(error) => {
                if !std::mem::replace(&mut self.lost, true) {
                    let directory = self.directory.display();
                    tracing::error!(
                        "cannot read {directory}: {error}; what it held stays in force"
                    );
                }
                self.missing.clear();
                self.next_look = at + UNSETTLED;
            }
        }
        present.ok()
    }

    fn list(&self) -> io::Result<BTreeMap<PathBuf, Stamp>> {
        let mut files = BTreeMap::new();
        if let Some(only) = &self.only {
            files.extend(Stamp::of(only).map(|stamp| (only.clone(), stamp)));
            return Ok(files);
        }
        let mut directories = Vec::new();
        let mut entries = fs::read_dir(&self.directory)?;
        loop {
            for entry in entries.flatten() {
                let path = entry.path();
                if is_hidden(&path) {
                    continue;
                }
                if path.is_dir() {
                    directories.push(path);
                } else if is_policy(&path)
                    && let Some(stamp) = Stamp::of(&path)
                {
                    files.insert(path, stamp);
                }
            }
            entries = loop {
                match directories.pop() {
                    None => return Ok(files),
                    // Gone since it was listed, and what was in it as well.
                    Some(gone) if !gone.is_dir() => {}
                    Some(directory) => break fs::read_dir(directory)?,
                }
            };
        }
    }
}

fn depth(only: Option<&PathBuf>) -> RecursiveMode {
    match only {
        Some(_) => RecursiveMode::NonRecursive,
        None => RecursiveMode::Recursive,
    }
}

/// Whether what an event is about is whole.
fn is_complete(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(
            RenameMode::To | RenameMode::From | RenameMode::Both,
        ))
        | EventKind::Remove(_)
        | EventKind::Create(CreateKind::Folder | CreateKind::Any | CreateKind::Other) => true,
        // A plain file is closed later; only links are whole at once, which a look finds.
        _ => false,
    }
}

/// Whether a file by its name holds policy.
pub(crate) fn is_policy(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json")) && !is_hidden(path)
}

/// Whether a file or directory is passed over.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn identity(directory: &Path) -> Option<Identity> {
    let metadata = fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn wall_clock() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}

fn read(path: &Path, at: Duration) -> Edit {
    let content = match read_text(path) {
        Ok(text) => Content::Text(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Gone,
        Err(error) => Content::Unreadable(error.to_string()),
    };
    Edit {
        file: path.display().to_string(),
        content,
        at,
    }
}

/// The text of a file that is not absurdly large.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > LARGEST {
        return Err(io::Error::other("larger than 1 GiB"));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests;
