//! Golden cases: folders with resources and with files that say what should come of them.
//!
//! A runner walks the folders, holds what it finds against a file of the case, and is told of all
//! that differ at once. `UPDATE=1` rewrites the files; review reads the difference.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders of cases below `root`, which is relative to the crate that asks
/// (`env!("CARGO_MANIFEST_DIR")`), in order.
///
/// # Panics
/// When there are fewer than `least`: the cases are not where they should be.
pub fn folders(manifest: &str, root: &str, least: usize) -> Vec<PathBuf> {
    let root = Path::new(manifest).join(root);
    let entries = fs::read_dir(&root).expect("the folder of cases");
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|case| case.is_dir())
        .collect();
    cases.sort();
    let found = cases.len();
    assert!(found >= least, "only {found} cases in {}", root.display());
    cases
}

/// Names and texts of a case's resources: `in.yaml`, or all files of `in/` in order.
///
/// # Panics
/// When the case has neither.
pub fn inputs(case: &Path) -> Vec<(String, String)> {
    let single = case.join("in.yaml");
    let mut files = if single.exists() {
        vec![single]
    } else {
        let folder = fs::read_dir(case.join("in")).expect("in.yaml or a folder in");
        let files = folder.map(|entry| entry.expect("an entry of it").path());
        files.collect()
    };
    files.sort();
    let read = |file: &PathBuf| {
        let name = file.file_name().expect("a file has a name");
        let text = fs::read_to_string(file).expect("resources in UTF-8");
        (name.to_string_lossy().into_owned(), text)
    };
    files.iter().map(read).collect()
}

/// What a file of each case should say, and what differs so far.
#[derive(Debug)]
pub struct Golden {
    file: &'static str,
    update: bool,
    wrong: Vec<String>,
}

impl Golden {
    /// For a file of this name.
    pub fn new(file: &'static str) -> Self {
        Self {
            file,
            update: std::env::var_os("UPDATE").is_some(),
            wrong: Vec::new(),
        }
    }

    /// What the file of a case says, nothing when there is none.
    pub fn written(&self, case: &Path) -> String {
        fs::read_to_string(case.join(self.file)).unwrap_or_default()
    }

    /// Holds what was found against the file of a case, or rewrites the file.
    ///
    /// # Panics
    /// When the file cannot be rewritten.
    pub fn hold(&mut self, case: &Path, found: &str) {
        if self.update {
            fs::write(case.join(self.file), found).expect("the case can be written");
        } else if self.written(case) != found {
            self.wrong.push(format!("{}\n{found}", case.display()));
        }
    }

    /// Ends the test.
    ///
    /// # Panics
    /// When a case differs; all of them are named, with what was found.
    pub fn finish(self) {
        let (file, wrong) = (self.file, self.wrong.join("\n"));
        assert!(
            wrong.is_empty(),
            "differ from {file} (UPDATE=1 rewrites it):\n{wrong}"
        );
    }
}
