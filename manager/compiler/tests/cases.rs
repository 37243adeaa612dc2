//! Golden cases: `manager/tests/cases/NAME/in.yaml` (or `in/*.yaml`) means what `model.txt` says.
//! `UPDATE=1 cargo test -p weft-compiler` rewrites the latter; review reads the difference.

#[path = "cases/text.rs"]
mod text;

use std::path::PathBuf;

use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_testkit::cases::{Golden, folders, inputs};

fn cases() -> Vec<PathBuf> {
    folders(env!("CARGO_MANIFEST_DIR"), "../tests/cases", 20)
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
    let mut golden = Golden::new("model.txt");
    for case in cases() {
        golden.hold(&case, &render(&inputs(&case)));
    }
    golden.finish();
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
