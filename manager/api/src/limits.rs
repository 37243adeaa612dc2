//! Limits that published definitions set, in the words of the API server.

use crate::{decode::Reading, path::At};

/// At most so many items.
pub(crate) fn items(count: usize, most: usize, at: At<'_>, cx: &mut Reading<'_>) {
    cx.require(
        count <= most,
        at,
        format_args!("Too many: {count}: must have at most {most} items"),
    );
}

/// At most so many characters.
pub(crate) fn length(text: &str, most: usize, at: At<'_>, cx: &mut Reading<'_>) {
    cx.require(
        text.len() <= most || text.chars().count() <= most,
        at,
        format_args!("Too long: may not be more than {most} characters"),
    );
}

/// From one to so many characters.
pub(crate) fn name(text: &str, most: usize, at: At<'_>, cx: &mut Reading<'_>) {
    cx.require(!text.is_empty(), at, "must not be empty");
    length(text, most, at, cx);
}
