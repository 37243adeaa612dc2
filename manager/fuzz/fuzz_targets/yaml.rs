//! No file makes the reader or the compiler panic, and reading it twice changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_api::Store;
use weft_compiler::{Compiler, Settings};

fuzz_target!(|text: &str| {
    let mut store = Store::default();
    let outcome = store.put_file("fuzz.yaml", text);
    let mut compiler = Compiler::new(Settings::default());
    compiler.update(&store, &outcome.changed);
    compiler.problems(&store);
    let again = store.put_file("fuzz.yaml", text);
    assert!(again.changed.is_empty());
});
