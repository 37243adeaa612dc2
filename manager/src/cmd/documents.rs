//! Files that a command without a cluster reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use weft_api::Store;

use crate::{args::offline::Files, run::source};

/// All objects in the files given.
pub(crate) fn read(files: &Files) -> Result<Store> {
    Ok(read_with_texts(files)?.0)
}

/// All objects in the files given, and the texts of the files by name.
pub(crate) fn read_with_texts(files: &Files) -> Result<(Store, BTreeMap<String, String>)> {
    let mut texts = BTreeMap::new();
    let mut store = Store::default();
    let mut seen = BTreeSet::new();
    for given in &files.files {
        if given.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
            store.put_file("-", &text);
            texts.insert("-".to_owned(), text);
            continue;
        }
        for path in list(given)? {
            if seen.insert(path.clone()) {
                let text = source::read_text(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let name = path.display().to_string();
                store.put_file(&name, &text);
                texts.insert(name, text);
            }
        }
    }
    Ok((store, texts))
}

/// A file, or all policy files below a directory in the order of their names.
fn list(given: &Path) -> Result<Vec<PathBuf>> {
    let metadata =
        std::fs::metadata(given).with_context(|| format!("cannot read {}", given.display()))?;
    if !metadata.is_dir() {
        return Ok(vec![given.to_owned()]);
    }
    let mut found = Vec::new();
    let mut directories = vec![given.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory)
            .with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot list {}", directory.display()))?
                .path();
            if source::is_hidden(&path) {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if source::is_policy(&path) {
                found.push(path);
            }
        }
    }
    ensure!(
        !found.is_empty(),
        "no .yaml, .yml or .json file below {}",
        given.display()
    );
    found.sort();
    Ok(found)
}
