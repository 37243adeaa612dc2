//! No expression makes the reader of CEL panic, and one that is refused is a problem of its object.

#![no_main]

use std::fmt::Write as _;

use libfuzzer_sys::fuzz_target;
use weft_api::Store;
use weft_compiler::{Compiler, Settings};
use weft_model::Severity;

fuzz_target!(|expression: &str| {
    let mut quoted = String::new();
    for c in expression.chars() {
        let _ = write!(quoted, "\\U{:08x}", u32::from(c));
    }
    let text = format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: a, namespace: b}}\n\
         spec: {{accessLogging: [{{filter: {{expression: \"{quoted}\"}}}}]}}\n"
    );
    let mut store = Store::default();
    let outcome = store.put_file("in.yaml", &text);
    let mut compiler = Compiler::new(Settings::default());
    compiler.update(&store, &outcome.changed);
    let is_refused = compiler
        .problems(&store)
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    let is_read = store.keys().next().is_some();
    assert!(is_read || is_refused, "refused in silence");
});
