//! Golden cases: what `manager/tests/cases/NAME/in.yaml` (or `in/*.yaml`) puts in the maps of its
//! first node is in `image.txt`. `UPDATE=1 cargo test -p weft-lower --test cases` rewrites it;
//! review reads the difference.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "cases/text.rs"]
mod text;

use std::{fs, path::Path, time::Duration};

use weft_api::{Store, local_xds};
use weft_compiler::{Compiler, Settings, local_mesh};
use weft_lower::{Capacity, MeshFacts, MeshNames, MeshPlanner, NodeEnrolment, NodeFacts, Planner};
use weft_model::{InstanceKind, Mesh};
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

/// What a mesh puts in empty maps. Enrolled are the pods that ask for it on the node, and entries.
fn image(mesh: &Mesh) -> String {
    let node = facts(mesh);
    let mut planner = Planner::new(Capacity::default());
    let mut meshes = MeshPlanner::new(MeshNames::default());
    let enrolled = mesh.instances.values().filter(|instance| {
        let is_here = instance.node == node.name || instance.kind == InstanceKind::WorkloadEntry;
        instance.is_enrolled && is_here
    });
    let mut names: Vec<_> = enrolled.map(|it| (&it.namespace, &it.name)).collect();
    names.sort();
    names.dedup();
    let enrolments = (1000..)
        .zip(names)
        .map(|(netns, (namespace, name))| NodeEnrolment {
            netns,
            namespace: namespace.clone(),
            name: name.clone(),
            proxy_port: 15001,
            hold_port: 0,
            bypasses_outbound: false,
        });
    let mesh_facts = MeshFacts {
        node: node.name.clone(),
        enrolments: enrolments.collect(),
        encrypts_local: false,
        logs: false,
    };
    meshes.prepare(mesh, None, &mesh_facts, &mut planner);
    let plan = planner.plan_full(mesh, &node, NOW);
    let mesh_plan = meshes.plan(mesh, &mut planner, NOW);
    let mut text = text::render(&plan, planner.registry());
    text += &text::render_mesh(&mesh_plan, &meshes, planner.registry());
    text
}

#[test]
fn a_local_file_of_workload_discovery_puts_in_the_maps_what_its_image_says() {
    let mut golden = Golden::new("image.txt");
    for case in folders(env!("CARGO_MANIFEST_DIR"), "../tests/local_xds", 2) {
        let text = fs::read_to_string(case.join("local.yaml")).unwrap();
        let (config, problems) = local_xds::read("local.yaml", &text);
        let problems = problems.iter().map(|problem| format!("{problem}\n"));
        let mut found: String = problems.collect();
        match config {
            None => found.push_str("not taken\n"),
            Some(config) => {
                let mut mesh = local_mesh(&config, "local.yaml");
                mesh.nodes
                    .insert("local".into(), weft_model::Node::default());
                found.push_str(&image(&mesh));
            }
        }
        golden.hold(&case, &found);
    }
    golden.finish();
}

#[test]
fn each_case_puts_in_the_maps_what_its_image_says() {
    let mut golden = Golden::new("image.txt");
    for case in folders(env!("CARGO_MANIFEST_DIR"), "../tests/cases", 20) {
        golden.hold(&case, &image(compile(&case).mesh()));
    }
    golden.finish();
}
