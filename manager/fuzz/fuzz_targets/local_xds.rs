//! No local file of workload discovery makes its reader panic, and one that is not taken says why.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_api::{Severity, local_xds};
use weft_compiler::local_mesh;

fuzz_target!(|text: &str| {
    match local_xds::read("in.yaml", text) {
        (Some(config), _) => drop(local_mesh(&config, "in.yaml")),
        (None, problems) => {
            let mut errors = problems.iter().filter(|it| it.severity == Severity::Error);
            assert!(errors.next().is_some(), "refused in silence");
        }
    }
});
