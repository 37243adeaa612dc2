//! Golden cases: what `manager/tests/cases/NAME/in.yaml` (or `in/*.yaml`) puts in the maps of its
//! first node is in `image.txt`. `UPDATE=1 cargo test -p weft-lower --test cases` rewrites it;
//! review reads the difference.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cases/text.rs"]
mod text;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_lower::{Capacity, NodeFacts, Planner};
use weft_model::Mesh;

const NOW: Duration = Duration::from_secs(100);

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    let entries = fs::read_dir(root).unwrap();
    let mut cases: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.is_dir());
    cases.sort();
    cases
}

fn inputs(case: &Path) -> Vec<PathBuf> {
    let single = case.join("in.yaml");
    if single.exists() {
        return vec![single];
    }
    let folder = fs::read_dir(case.join("in")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn compile(case: &Path) -> Compiler {
    let mut store = Store::default();
    let mut compiler = Compiler::new(Settings::default());
    for file in inputs(case) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let outcome = store.put_file(name, &fs::read_to_string(&file).unwrap());
        compiler.update(&store, &outcome.changed);
    }
    compiler
}

/// The first node by name is the one the maps are for.
fn facts(mesh: &Mesh) -> NodeFacts {
    let first = mesh.nodes.first_key_value();
    let facts = first.map(|(name, node)| NodeFacts {
        name: Some(name.clone()),
        zone: node.zone.clone(),
        addresses: node.addresses.clone(),
    });
    facts.unwrap_or_default()
}

#[test]
fn each_case_puts_in_the_maps_what_its_image_says() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 20, "the cases are not where they should be");
    for case in cases {
        let compiler = compile(&case);
        let node = facts(compiler.mesh());
        let mut planner = Planner::new(Capacity::default());
        let plan = planner.plan_full(compiler.mesh(), &node, NOW);
        let found = text::render(&plan, planner.registry());
        let golden = case.join("image.txt");
        if update {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push(format!("{}\n{found}", case.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "differ from image.txt (UPDATE=1 rewrites it):\n{}",
        wrong.join("\n")
    );
}
