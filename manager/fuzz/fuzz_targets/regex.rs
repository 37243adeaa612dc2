//! No pattern makes the translation panic, and what it lets through is built in both forms that
//! decisions use: as it is (rewriting) and anchored (matching).

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_api::re2;

fuzz_target!(|pattern: &str| {
    match re2::translate(pattern) {
        Ok(translated) => {
            let built = regex::Regex::new(&translated);
            assert!(built.is_ok(), "{built:?}");
            let anchored = regex::Regex::new(&format!("^(?:{translated})$"));
            assert!(anchored.is_ok(), "{anchored:?}");
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
});
