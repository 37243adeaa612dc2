//! Numbers that outlive the process: of identities, and of rule sets.
//!
//! A number never gets another meaning: events and counters name them long after.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::RegistryError;

const FORMAT: u32 = 1;

/// Set ids that are given out between two changes of the names.
const SET_BLOCK: u32 = 1 << 10;

/// Which number an identity has, and which set ids have been used.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct MeshNames {
    numbers: BTreeMap<Arc<str>, u32>,
    principals: BTreeMap<u32, Arc<str>>,
    next_set: u32,
    /// All set ids given out so far are below this.
    set_ceiling: u32,
    revision: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Document {
    format: u32,
    set_ceiling: u32,
    identities: Vec<Line>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Line {
    id: u32,
    principal: Arc<str>,
}

impl MeshNames {
    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// When the text is no such thing, of another format, or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, RegistryError> {
        let document: Document = serde_json::from_str(text)?;
        Self::try_from(document)
    }

    /// The names as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers only")
    }

    /// Changes whenever there is something new to save.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The principal (an identity without `spiffe://`) with a number.
    pub fn principal(&self, number: u32) -> Option<&Arc<str>> {
        self.principals.get(&number)
    }

    /// The number of a principal that has one.
    pub fn number(&self, principal: &str) -> Option<u32> {
        self.numbers.get(principal).copied()
    }

    /// All numbered principals in ascending number.
    pub fn principals(&self) -> impl Iterator<Item = (u32, &Arc<str>)> {
        self.principals.iter().map(|(id, name)| (*id, name))
    }

    /// The number of a principal, a new one if need be. Never 0 or `u32::MAX`, which mean others.
    pub(super) fn name(&mut self, principal: &str) -> u32 {
        if let Some(number) = self.number(principal) {
            return number;
        }
        let last = self.principals.last_key_value();
        let number = last.map_or(1, |(last, _)| last + 1);
        let principal: Arc<str> = principal.into();
        self.principals.insert(number, Arc::clone(&principal));
        self.numbers.insert(principal, number);
        self.revision += 1;
        number
    }

    /// A set id that no set ever had; never 0.
    pub(super) fn next_set(&mut self) -> u32 {
        let id = self.next_set.max(1);
        self.next_set = id + 1;
        if id >= self.set_ceiling {
            self.set_ceiling = id.saturating_add(SET_BLOCK);
            self.revision += 1;
        }
        id
    }

    /// From now on set ids are above this one.
    pub(super) fn skip_set(&mut self, id: u32) {
        self.next_set = self.next_set.max(id.saturating_add(1));
    }
}

impl From<MeshNames> for Document {
    fn from(names: MeshNames) -> Self {
        let lines = names.principals.iter().map(|(id, principal)| Line {
            id: *id,
            principal: Arc::clone(principal),
        });
        Self {
            format: FORMAT,
            set_ceiling: names.set_ceiling,
            identities: lines.collect(),
        }
    }
}

impl TryFrom<Document> for MeshNames {
    type Error = RegistryError;

    fn try_from(document: Document) -> Result<Self, RegistryError> {
        if document.format != FORMAT {
            return Err(RegistryError::Format {
                found: document.format,
                expected: FORMAT,
            });
        }
        let mut names = Self {
            next_set: document.set_ceiling,
            set_ceiling: document.set_ceiling,
            ..Self::default()
        };
        for Line { id, principal } in document.identities {
            // The last number means others, the one before is kept free for a next one.
            let is_free = id != 0 && id < u32::MAX - 1;
            let twice = names
                .principals
                .insert(id, Arc::clone(&principal))
                .is_some()
                || names.numbers.insert(principal, id).is_some();
            if twice || !is_free {
                let what = "identity";
                return Err(RegistryError::Ambiguous { what, id });
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_used_sets_outlive_the_process() {
        let mut names = MeshNames::default();
        assert_eq!(
            (names.name("a"), names.name("b"), names.name("a")),
            (1, 2, 1)
        );
        let first = names.next_set();
        let mut read = MeshNames::from_json(&names.to_json()).unwrap();
        assert_eq!(read.number("b"), Some(2));
        assert_eq!(read.name("c"), 3);
        assert!(read.next_set() > first);
    }

    #[test]
    fn names_that_contradict_themselves_are_refused() {
        let text =
            |lines: &str| format!(r#"{{"format": 1, "set_ceiling": 1, "identities": [{lines}]}}"#);
        for lines in [
            r#"{"id": 0, "principal": "a"}"#,
            r#"{"id": 1, "principal": "a"}, {"id": 1, "principal": "b"}"#,
            r#"{"id": 1, "principal": "a"}, {"id": 2, "principal": "a"}"#,
            r#"{"id": 4294967295, "principal": "a"}"#,
        ] {
            let read = MeshNames::from_json(&text(lines));
            assert!(
                matches!(read, Err(RegistryError::Ambiguous { .. })),
                "{lines}"
            );
        }
    }
}
