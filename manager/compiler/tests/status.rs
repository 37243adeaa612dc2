//! Golden cases of the Gateway API's status: `manager/tests/status/NAME/in.yaml` gets what
//! `status.txt` says. `UPDATE=1 cargo test -p weft-compiler` rewrites the latter; review reads the
//! difference. The situations are those of the API's conformance suite.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, path::PathBuf};

use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_model::status::{Condition, ObjectStatus, ParentReference, Status};
use weft_testkit::cases::{Golden, folders};

fn cases() -> Vec<PathBuf> {
    folders(env!("CARGO_MANIFEST_DIR"), "../tests/status", 10)
}

#[test]
fn each_case_gets_the_status_it_says() {
    let mut golden = Golden::new("status.txt");
    for case in cases() {
        let text = fs::read_to_string(case.join("in.yaml")).unwrap();
        golden.hold(&case, &render(&text));
    }
    golden.finish();
}

#[test]
fn the_order_of_documents_never_matters() {
    for case in cases() {
        let text = fs::read_to_string(case.join("in.yaml")).unwrap();
        let mut documents: Vec<&str> = text.split("\n---\n").collect();
        let only_status = |text: &str| {
            let found = render(text);
            found.split("\nproblems\n").next().unwrap().to_owned()
        };
        let expected = only_status(&text);
        documents.reverse();
        assert_eq!(
            only_status(&documents.join("\n---\n")),
            expected,
            "{}",
            case.display()
        );
    }
}

fn render(text: &str) -> String {
    let mut store = Store::default();
    store.put_file("in.yaml", text);
    let keys: Vec<_> = store.keys().cloned().collect();
    let mut compiler = Compiler::new(Settings::default());
    compiler.update(&store, &keys);
    let mut out = String::new();
    for status in compiler.gateway_status() {
        object(&mut out, status).unwrap();
    }
    out += "\nproblems\n";
    for problem in compiler.problems(&store) {
        writeln!(out, "  {problem}").unwrap();
    }
    out
}

fn object(out: &mut String, object: &ObjectStatus) -> std::fmt::Result {
    let namespace = object.metadata.namespace.as_ref();
    let namespace = namespace.map_or(String::new(), |namespace| format!("{namespace}/"));
    writeln!(out, "{} {namespace}{}", object.kind, object.metadata.name)?;
    match &object.status {
        Status::Class {
            conditions,
            supported_features,
        } => {
            all(out, "  ", conditions)?;
            writeln!(out, "  {} supported features", supported_features.len())
        }
        Status::Gateway {
            conditions,
            listeners,
        } => {
            all(out, "  ", conditions)?;
            for listener in listeners {
                let kinds = listener.supported_kinds.iter().map(|kind| &*kind.kind);
                let kinds = kinds.collect::<Vec<_>>().join(", ");
                let (name, count) = (&listener.name, listener.attached_routes);
                writeln!(out, "  listener {name}: {count} attached [{kinds}]")?;
                all(out, "    ", &listener.conditions)?;
            }
            Ok(())
        }
        Status::Route { parents } => {
            for parent in parents {
                writeln!(out, "  at {}", reference(&parent.parent_ref))?;
                all(out, "    ", &parent.conditions)?;
            }
            Ok(())
        }
        Status::Policy { ancestors } => {
            for ancestor in ancestors {
                writeln!(out, "  at {}", reference(&ancestor.ancestor_ref))?;
                all(out, "    ", &ancestor.conditions)?;
            }
            Ok(())
        }
    }
}

fn reference(parent: &ParentReference) -> String {
    let namespace = parent.namespace.as_ref();
    let namespace = namespace.map_or(String::new(), |namespace| format!("{namespace}/"));
    let mut text = format!("{} {namespace}{}", parent.kind, parent.name);
    if let Some(section) = &parent.section_name {
        write!(text, " section {section}").unwrap();
    }
    if let Some(port) = parent.port {
        write!(text, " port {port}").unwrap();
    }
    text
}

fn all(out: &mut String, indent: &str, conditions: &[Condition]) -> std::fmt::Result {
    for condition in conditions {
        let mark = if condition.status { '+' } else { '-' };
        let (condition_type, reason) = (condition.condition_type, condition.reason);
        write!(out, "{indent}{mark}{condition_type} {reason}")?;
        if let Some(generation) = condition.observed_generation {
            write!(out, " @{generation}")?;
        }
        if !condition.message.is_empty() {
            write!(out, ": {}", condition.message)?;
        }
        writeln!(out)?;
    }
    Ok(())
}
