//! Golden cases: `manager/tests/cases/NAME/analyze.txt` says what analyzers find in `in.yaml`.
//! `UPDATE=1` rewrites it; review reads the difference.

use std::{collections::BTreeSet, path::PathBuf};

use weft_api::{Items, Store};
use weft_compiler::{
    Settings,
    analysis::{CODES, Coverage, analyze},
};
use weft_testkit::cases::{Golden, folders, inputs};

/// Those that say what analyzers find, with their resources.
fn cases() -> Vec<(PathBuf, String)> {
    let mut cases = folders(env!("CARGO_MANIFEST_DIR"), "../tests/cases", 20);
    cases.retain(|case| case.join("analyze.txt").exists());
    assert!(cases.len() >= 3, "only {} cases are analyzed", cases.len());
    let with_text = |case: PathBuf| match &mut inputs(&case)[..] {
        [(_, text)] => (case, std::mem::take(text)),
        _ => panic!("{} has several files", case.display()),
    };
    cases.into_iter().map(with_text).collect()
}

fn found(text: &str) -> String {
    let mut store = Store::default();
    store.put_file("in.yaml", text);
    let messages = analyze(&store, &Settings::default());
    let items = Items::new(text);
    let lines = messages.iter().map(|message| {
        let (severity, line) = (message.severity, message.line_in(&items));
        format!(
            "{severity:?} [{}] {} :{line} {}\n",
            message.code, message.origin, message.text
        )
    });
    lines.collect()
}

#[test]
fn analyzers_find_what_stands_in_the_case() {
    let mut golden = Golden::new("analyze.txt");
    for (case, text) in cases() {
        golden.hold(&case, &found(&text));
    }
    golden.finish();
}

#[test]
fn an_object_can_ask_for_silence() {
    let service = |annotation: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations: {{galley.istio.io/analyze-suppress: \"{annotation}\"}}\nspec:\n  clusterIP: 10.0.0.1\n  ports: [{{name: x, port: 80}}]\n"
        )
    };
    assert!(found(&service("IST0101")).contains("IST0118"));
    assert_eq!(found(&service("IST0101, IST0118")), "");
    assert_eq!(found(&service("*")), "");
}

#[test]
fn every_code_that_is_looked_for_has_a_case_and_no_other_is_said() {
    let mut said: BTreeSet<String> = BTreeSet::new();
    for (_, text) in cases() {
        let found = found(&text);
        let codes = found.lines().filter_map(|line| {
            let (_, rest) = line.split_once('[')?;
            Some(rest.split_once(']')?.0.to_owned())
        });
        said.extend(codes);
    }
    let checked = CODES
        .iter()
        .filter(|code| code.coverage == Coverage::Checked);
    let checked: BTreeSet<String> = checked.map(|code| code.code.to_owned()).collect();
    assert_eq!(said, checked);
}

#[test]
fn a_document_that_is_no_yaml_is_no_message() {
    assert_eq!(found("{ a: [\n"), "");
    let mut store = Store::default();
    store.put_file("in.yaml", "{ a: [\n");
    assert_eq!(weft_compiler::analysis::unreadable(&store).len(), 1);
}
