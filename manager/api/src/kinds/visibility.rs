//! `exportTo`, alike in all of Istio's networking kinds.

use std::borrow::Borrow;

use crate::{decode::Reading, path::At, syntax};

/// Judges `exportTo` of an object in `namespace`; `at` is its field.
pub(crate) fn check<T: Borrow<str>>(
    written: &[T],
    namespace: &str,
    may_be_nobody: bool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) {
    let own = |to: &T| match to.borrow() {
        "." => namespace.to_owned(),
        to => to.to_owned(),
    };
    for (index, to) in written.iter().enumerate() {
        let at = at.index(index);
        let text: &str = to.borrow();
        let fits =
            matches!(text, "." | "*") || (may_be_nobody && text == "~") || syntax::is_label(text);
        cx.require(
            fits,
            at,
            format_args!(
                "only *, ., ~, or a valid DNS 1123 label is allowed as exportTo entry, not {text:?}"
            ),
        );
        let is_new = written[..index].iter().all(|other| own(other) != own(to));
        cx.require(
            is_new,
            at,
            format_args!("duplicate entries in exportTo for entry {text}"),
        );
    }
    let has = |which: &str| written.len() > 1 && written.iter().any(|to| to.borrow() == which);
    let message = "cannot have both public (*) and non-public exportTo values for a resource";
    cx.require(!has("*"), at, message);
    let message = "cannot export service entry to no one (~) and someone";
    cx.require(!may_be_nobody || !has("~"), at, message);
}
