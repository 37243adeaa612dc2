//! Golden cases: `manager/tests/cases/NAME/in.yaml` (or `in/*.yaml`) means what `model.txt` says.
//! `UPDATE=1 cargo test -p weft-compiler` rewrites the latter; review reads the difference.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cases/text.rs"]
mod text;

use std::{
    fs,
    path::{Path, PathBuf},
};

use weft_api::Store;
use weft_compiler::{Compiler, Settings};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    let mut cases: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.retain(|case| case.is_dir());
    cases.sort();
    cases
}

fn inputs(case: &Path) -> Vec<(String, String)> {
    let single = case.join("in.yaml");
    if single.exists() {
        return vec![("in.yaml".into(), fs::read_to_string(single).unwrap())];
    }
    let folder = fs::read_dir(case.join("in")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

fn render(files: &[(String, String)]) -> String {
    let mut store = Store::default();
    for (name, text) in files {
        store.put_file(name, text);
    }
    let keys: Vec<_> = store.keys().cloned().collect();
    let mut compiler = Compiler::new(Settings::default());
    compiler.update(&store, &keys);
    text::render(compiler.mesh(), &compiler.problems(&store))
}

#[test]
fn each_case_means_what_its_model_says() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 20, "the cases are not where they should be");
    for case in cases {
        let files = inputs(&case);
        let found = render(&files);
        let golden = case.join("model.txt");
        if update {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push(format!("{}\n{found}", case.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "differ from model.txt (UPDATE=1 rewrites it):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_order_of_files_and_edits_never_matters() {
    for case in cases() {
        let files = inputs(&case);
        let expected = render(&files);
        let mut reversed = files.clone();
        reversed.reverse();
        assert_eq!(render(&reversed), expected, "{}", case.display());
        // One object at a time, each compiled before the next is seen.
        let mut store = Store::default();
        let mut compiler = Compiler::new(Settings::default());
        for (name, text) in &reversed {
            for cut in documents(text) {
                let outcome = store.put_file(name, &cut);
                compiler.update(&store, &outcome.changed);
            }
        }
        let found = text::render(compiler.mesh(), &compiler.problems(&store));
        assert_eq!(found, expected, "{}", case.display());
    }
}

/// The text up to each of its documents, shortest first.
fn documents(text: &str) -> Vec<String> {
    let cuts = text.match_indices("\n---\n").map(|(at, _)| at + 1);
    cuts.map(|at| text[..at].to_owned())
        .chain([text.to_owned()])
        .collect()
}
