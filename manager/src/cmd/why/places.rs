//! Lines of rules, looked up in the files once an answer is known.

use std::collections::BTreeMap;

use super::answer::{Answer, Reference};

/// Gives each reference to a rule the line of the rule.
pub(super) fn locate(texts: &BTreeMap<String, String>, answer: &mut Answer) {
    let mut known = BTreeMap::new();
    let mut place = |reference: &mut Reference| {
        let Some((rule, text)) = reference.rule.zip(texts.get(&reference.file)) else {
            return;
        };
        let key = (reference.file.clone(), reference.line, reference.list, rule);
        let line = known
            .entry(key)
            .or_insert_with(|| weft_api::item_line(text, reference.line, reference.list, rule));
        reference.line = *line;
    };
    let considered = answer.considered.iter_mut();
    considered.for_each(|considered| place(&mut considered.resource));
    let rest = [
        answer.decided_by.as_mut(),
        answer
            .route
            .as_mut()
            .and_then(|route| route.resource.as_mut()),
    ];
    rest.into_iter().flatten().for_each(place);
}
