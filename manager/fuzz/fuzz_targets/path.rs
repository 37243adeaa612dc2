//! No path makes normalization panic or leave something that it would change again, and no template
//! takes long.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_decision::path;
use weft_model::policy::{Normalization, PathMatch};

fuzz_target!(|input: (&str, &str)| {
    let (sent, template) = input;
    for how in [
        Normalization::Base,
        Normalization::MergeSlashes,
        Normalization::DecodeAndMergeSlashes,
    ] {
        let Ok(once) = path::normalize(sent, how) else {
            continue;
        };
        let twice = path::normalize(&once, how);
        assert!(twice.is_ok_and(|twice| twice == once));
    }
    if let PathMatch::Template(pieces) = PathMatch::parse(template) {
        path::fits_template(sent, &pieces);
    }
});
