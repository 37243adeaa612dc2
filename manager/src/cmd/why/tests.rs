//! Golden cases: in `manager/tests/cases/NAME/why.txt` each line with `$` asks, and the lines below
//! it are the answer, under the resources of `in.yaml`. `UPDATE=1` rewrites the answers; review
//! reads the difference.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser as _;
use weft_testkit::cases::{Golden, folders, inputs};

use super::*;
use crate::args::{Cli, Command};

fn cases() -> Vec<PathBuf> {
    let mut cases = folders(env!("CARGO_MANIFEST_DIR"), "tests/cases", 20);
    cases.retain(|case| case.join("why.txt").exists());
    assert!(cases.len() >= 5, "only {} cases ask", cases.len());
    cases
}

fn world(case: &Path) -> World {
    let files = inputs(case);
    let mut store = Store::default();
    for (name, text) in &files {
        store.put_file(name, text);
    }
    World::new(store, None, files.into_iter().collect())
}

fn ask(world: &World, line: &str) -> Result<Answer, WhyError> {
    let words = ["weft", "why", "-f", "in.yaml"];
    let words = words.into_iter().chain(line.split_whitespace());
    let Command::Why(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("{line} asks for something else");
    };
    let client = Client::find(world, &args)?;
    let asked = Asked::find(world, &client, &args)?;
    Ok(decide(world, &client, &asked))
}

#[test]
fn each_question_has_the_answer_that_stands_below_it() {
    let mut golden = Golden::new("why.txt");
    for case in cases() {
        let world = world(&case);
        let mut found = String::new();
        let written = golden.written(&case);
        for question in written.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let text = match ask(&world, question) {
                Ok(answer) => text::render(&answer),
                Err(error) => format!("error: {error}\n"),
            };
            found += &format!("$ {question}\n{text}\n");
        }
        golden.hold(&case, &found);
    }
    golden.finish();
}

/// Paths of all keys below a value. Names of headers are nobody's keys.
fn keys(at: &str, value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            let is_by_name = at.ends_with("_headers.set") || at.ends_with("_headers.add");
            for (key, value) in fields.iter().filter(|_| !is_by_name) {
                let path = match at {
                    "" => key.clone(),
                    at => format!("{at}.{key}"),
                };
                keys(&path, value, found);
                found.insert(path);
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                keys(&format!("{at}[]"), item, found);
            }
        }
        _ => {}
    }
}

/// Every answer of every case.
fn answers() -> Vec<Answer> {
    let mut found = Vec::new();
    for case in cases() {
        let world = world(&case);
        let golden = fs::read_to_string(case.join("why.txt")).unwrap();
        let questions = golden.lines().filter_map(|line| line.strip_prefix("$ "));
        found.extend(questions.filter_map(|question| ask(&world, question).ok()));
    }
    found
}

#[test]
fn the_json_has_exactly_the_keys_that_are_documented() {
    let mut emitted = BTreeSet::new();
    for answer in answers() {
        keys("", &serde_json::to_value(&answer).unwrap(), &mut emitted);
    }
    let documented: BTreeSet<String> = reference::KEYS
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .collect();
    let unknown: Vec<_> = emitted.difference(&documented).collect();
    let never: Vec<_> = documented.difference(&emitted).collect();
    assert!(unknown.is_empty(), "not documented: {unknown:?}");
    assert!(never.is_empty(), "no case shows: {never:?}");
    assert_eq!(documented.len(), reference::KEYS.len(), "each key once");
}

#[test]
fn what_was_considered_says_why_it_does_not_fit() {
    for considered in answers().iter().flat_map(|answer| &answer.considered) {
        assert!(!considered.reason.is_empty());
        assert_eq!(
            considered.matched,
            considered.outcome == answer::Outcome::Matched
        );
        let is_rule = considered.r#type != "jwt" && considered.resource.rule.is_some();
        if is_rule && considered.outcome != answer::Outcome::NotReached {
            let fits = considered.checks.iter().all(|check| check.fits);
            assert_eq!(fits, considered.matched, "{}", considered.resource);
        }
    }
}
