//! Field paths such as `spec.ports[0].port`.

use std::fmt;

/// One step of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Segment {
    /// A key of a mapping.
    Key(Box<str>),
    /// An index of a sequence, from 0.
    Index(usize),
}

/// An owned path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct FieldPath(pub(crate) Vec<Segment>);

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if !is_plain(key) => write!(f, "[{key}]")?,
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Label keys contain dots and slashes; brackets keep their paths readable.
fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A path under construction: borrows its parent, so walking a large object allocates nothing.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// A field of the object itself.
    pub(crate) const fn top(key: &'a str) -> Self {
        Self {
            parent: None,
            step: Step::Key(key),
        }
    }

    /// A key below this path.
    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    /// An item below this path.
    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Index(index),
        }
    }
}

impl From<At<'_>> for FieldPath {
    fn from(at: At<'_>) -> Self {
        let mut segments = Vec::new();
        let mut next = Some(&at);
        while let Some(At { parent, step }) = next {
            segments.push(match step {
                Step::Key(key) => Segment::Key((*key).into()),
                Step::Index(index) => Segment::Index(*index),
            });
            next = *parent;
        }
        segments.reverse();
        Self(segments)
    }
}
