//! Golden cases: in `manager/tests/cases/NAME/why.txt` each line with `$` asks, and the lines below
//! it are the answer, under the resources of `in.yaml`. `UPDATE=1` rewrites the answers; review
//! reads the difference.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Parser as _;

use super::*;
use crate::args::{Cli, Command};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|case| case.join("why.txt").exists())
        .collect();
    cases.sort();
    cases
}

fn world(case: &Path) -> World {
    let mut store = Store::default();
    let text = fs::read_to_string(case.join("in.yaml")).unwrap();
    store.put_file("in.yaml", &text);
    World::new(store)
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
    let update = std::env::var_os("UPDATE").is_some();
    let cases = cases();
    assert!(cases.len() >= 5, "the cases are not where they should be");
    let mut wrong = Vec::new();
    for case in cases {
        let golden = fs::read_to_string(case.join("why.txt")).unwrap();
        let world = world(&case);
        let mut found = String::new();
        for question in golden.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let text = match ask(&world, question) {
                Ok(answer) => text::render(&answer),
                Err(error) => format!("error: {error}\n"),
            };
            found += &format!("$ {question}\n{text}\n");
        }
        if update {
            fs::write(case.join("why.txt"), &found).unwrap();
        } else if golden != found {
            wrong.push(format!("{}\n{found}", case.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "differ from why.txt (UPDATE=1 rewrites it):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_json_has_every_field_that_is_promised() {
    let case = cases()
        .into_iter()
        .find(|case| case.ends_with("why_bookinfo"))
        .unwrap();
    let answer = ask(
        &world(&case),
        "--from shop/productpage --to reviews --path /",
    )
    .unwrap();
    let json = serde_json::to_value(&answer).unwrap();
    for field in [
        "verdict",
        "layer",
        "decided_by",
        "considered",
        "route",
        "mtls",
    ] {
        assert!(json.get(field).is_some(), "{field}");
    }
    let route = &json["route"];
    for field in [
        "resource",
        "rule",
        "status",
        "redirect",
        "direct_response",
        "rewrite",
        "destinations",
        "request_headers",
        "response_headers",
        "timeout",
        "retries",
        "fault",
        "mirrors",
    ] {
        assert!(route.get(field).is_some(), "route.{field}");
    }
    for field in ["host", "subset", "port", "weight", "endpoints"] {
        assert!(
            route["destinations"][0].get(field).is_some(),
            "destinations.{field}"
        );
    }
}
