//! Labels and label selectors.

use std::sync::Arc;

/// Labels in ascending key, compact. As a selector: all of them must be there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    pub(crate) fn new(labels: impl Iterator<Item = (Arc<str>, Arc<str>)>) -> Self {
        let mut labels: Vec<_> = labels.collect();
        labels.sort();
        Self(labels.into_boxed_slice())
    }

    /// The value of a label.
    pub fn value(&self, key: &str) -> Option<&Arc<str>> {
        let at = self.0.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these labels, as a selector, choose an object with `labels`. An empty selector
    /// chooses nothing, as in a Service.
    pub fn select(&self, labels: &Self) -> bool {
        !self.0.is_empty()
            && self
                .0
                .iter()
                .all(|(key, value)| labels.value(key) == Some(value))
    }

    /// Pairs in ascending key.
    pub fn iter(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.0.iter()
    }
}

impl FromIterator<(Arc<str>, Arc<str>)> for Labels {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, Arc<str>)>>(labels: T) -> Self {
        Self::new(labels.into_iter())
    }
}
