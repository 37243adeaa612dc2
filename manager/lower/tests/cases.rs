//! Golden cases: what `manager/tests/cases/NAME/in.yaml` (or `in/*.yaml`) puts in the maps of its
//! first node is in `image.txt`. `UPDATE=1 cargo test -p weft-lower --test cases` rewrites it;
//! review reads the difference.

#[path = "cases/text.rs"]
mod text;

use std::{path::Path, time::Duration};

use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_lower::{Capacity, NodeFacts, Planner};
use weft_model::Mesh;
use weft_testkit::cases::{Golden, folders, inputs};

const NOW: Duration = Duration::from_secs(100);

fn compile(case: &Path) -> Compiler {
    let mut store = Store::default();
    let mut compiler = Compiler::new(Settings::default());
    for (name, text) in inputs(case) {
        let outcome = store.put_file(&name, &text);
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
    let mut golden = Golden::new("image.txt");
    for case in folders(env!("CARGO_MANIFEST_DIR"), "../tests/cases", 20) {
        let compiler = compile(&case);
        let node = facts(compiler.mesh());
        let mut planner = Planner::new(Capacity::default());
        let plan = planner.plan_full(compiler.mesh(), &node, NOW);
        golden.hold(&case, &text::render(&plan, planner.registry()));
    }
    golden.finish();
}
