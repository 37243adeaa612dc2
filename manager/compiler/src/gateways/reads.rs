//! What a verdict looked up.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use weft_api::{Kind, ObjectKey};

/// Something that was looked up, found or not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Read {
    /// One object.
    Object(ObjectKey),
    /// All objects of a kind in a namespace.
    All(Kind, Arc<str>),
}

/// What was looked up so far.
#[derive(Debug, Default)]
pub(super) struct Reads(RefCell<BTreeSet<Read>>);

impl Reads {
    pub(super) fn note(&self, read: Read) {
        self.0.borrow_mut().insert(read);
    }

    pub(super) fn into_inner(self) -> BTreeSet<Read> {
        self.0.into_inner()
    }
}
