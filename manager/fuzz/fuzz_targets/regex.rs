//! No pattern makes the translation panic, and what it lets through is an expression.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_api::re2;

fuzz_target!(|pattern: &str| {
    match re2::translate(pattern) {
        Ok(translated) => assert!(!translated.is_empty()),
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
});
