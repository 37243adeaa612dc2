//! The last text of each file that was taken whole, kept in the state directory: a manager that
//! starts while a file is broken goes on with what the file said before, as one that runs does.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::Engine;

/// Texts by file.
pub(super) struct Accepted {
    folder: PathBuf,
}

impl Accepted {
    pub(super) fn new(state: &Path) -> Self {
        Self {
            folder: state.join(FOLDER),
        }
    }

    /// Remembers a text.
    pub(super) fn keep(&self, file: &str, text: &str) {
        if let Err(error) = self.try_keep(file, text) {
            let folder = self.folder.display();
            tracing::warn!("cannot keep a copy of {file} in {folder}: {error}");
        }
    }

    /// Forgets a file.
    pub(super) fn forget(&self, file: &str) {
        drop(fs::remove_file(self.place(file)));
    }

    /// The text remembered for a file.
    pub(super) fn recall(&self, file: &str) -> Option<String> {
        let copy = fs::read_to_string(self.place(file)).ok()?;
        let (name, text) = copy.split_once('\n')?;
        (name == file).then(|| text.to_owned())
    }

    /// Forgets all files but these.
    pub(super) fn forget_others<'a>(&self, files: impl Iterator<Item = &'a str>) {
        let known: BTreeSet<PathBuf> = files.map(|file| self.place(file)).collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !known.contains(&entry.path()) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn try_keep(&self, file: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let place = self.place(file);
        let draft = place.with_extension("new");
        fs::write(&draft, format!("{file}\n{text}"))?;
        fs::rename(draft, place)
    }

    /// FNV-1a of the name, since a path is no file name; the copy's first line has the name itself.
    fn place(&self, file: &str) -> PathBuf {
        let hash = file.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.folder.join(format!("{hash:016x}"))
    }
}

impl Engine {
    /// Files that are broken go on with what they said when an earlier manager took them.
    pub(super) fn recall(&mut self, texts: &[(String, String)]) {
        let broken = self.broken_files();
        for (file, text) in texts
            .iter()
            .filter(|(file, _)| broken.contains(file.as_str()))
        {
            if let Some(before) = self.accepted.recall(file) {
                self.store.put_file(file, &before);
                self.store.put_file(file, text);
            }
        }
    }

    /// Remembers the texts that were taken whole.
    pub(super) fn keep(&self, texts: &[(String, String)]) {
        let broken = self.broken_files();
        for (file, text) in texts
            .iter()
            .filter(|(file, _)| !broken.contains(file.as_str()))
        {
            self.accepted.keep(file, text);
        }
    }

    fn broken_files(&self) -> BTreeSet<String> {
        let errors = self
            .store
            .problems()
            .filter(|problem| problem.severity == weft_api::Severity::Error);
        errors
            .map(|problem| problem.origin.file.to_string())
            .collect()
    }
}

/// Where, in the state directory.
pub(crate) const FOLDER: &str = "accepted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_recalled_until_it_is_forgotten() {
        let state = std::env::temp_dir().join(format!("weft-accepted-{}", std::process::id()));
        let accepted = Accepted::new(&state);
        assert_eq!(accepted.recall("a.yaml"), None);
        accepted.keep("a.yaml", "one\ntwo\n");
        accepted.keep("b.yaml", "");
        assert_eq!(accepted.recall("a.yaml").as_deref(), Some("one\ntwo\n"));
        accepted.keep("a.yaml", "three");
        assert_eq!(accepted.recall("a.yaml").as_deref(), Some("three"));
        accepted.forget_others(["a.yaml"].into_iter());
        assert_eq!(accepted.recall("b.yaml"), None);
        accepted.forget("a.yaml");
        assert_eq!(accepted.recall("a.yaml"), None);
        drop(fs::remove_dir_all(state));
    }
}
