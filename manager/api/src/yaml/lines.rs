//! Lines of field paths, by reading a document once more.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

use super::Document;
use crate::path::{FieldPath, Segment};

/// The line of the file where each path is written, or of its nearest parent that is.
pub(crate) fn lines(document: &Document<'_>, paths: &[&FieldPath]) -> Vec<u32> {
    let first = document.first_line();
    let mut found = vec![first; paths.len()];
    let mut wanted = Wanted::default();
    for (id, path) in paths.iter().enumerate() {
        wanted.add(id, &path.0);
    }
    let mut walk = Walk {
        open: Vec::new(),
        started: false,
    };
    for event in Parser::new_from_str(document.text) {
        // What was read before a fault still has its lines.
        let Ok((event, span)) = event else { break };
        let line = document.file_line(span.start.line());
        walk.take(&event, &wanted, &mut |ids| {
            ids.iter().for_each(|id| found[*id] = line);
        });
    }
    found
}

/// The paths in question as a tree.
#[derive(Default)]
struct Wanted {
    /// Every path that passes here.
    ids: Vec<usize>,
    below: BTreeMap<Segment, Self>,
}

impl Wanted {
    fn add(&mut self, id: usize, path: &[Segment]) {
        let mut at = self;
        for segment in path {
            at = at.below.entry(segment.clone()).or_default();
            at.ids.push(id);
        }
    }
}

struct Walk<'w> {
    open: Vec<Frame<'w>>,
    started: bool,
}

struct Frame<'w> {
    /// `None` inside a part nobody asks about.
    wanted: Option<&'w Wanted>,
    kind: FrameKind,
    /// What the next value is, when it is asked about.
    next: Option<&'w Wanted>,
}

enum FrameKind {
    Sequence { index: usize },
    Mapping { has_key: bool },
}

impl<'w> Walk<'w> {
    fn take(&mut self, event: &Event<'_>, root: &'w Wanted, found: &mut impl FnMut(&[usize])) {
        match event {
            Event::Scalar(text, ..) if self.key(text, found) => {}
            Event::Alias(_) if self.key("", found) => {}
            Event::Scalar(..) | Event::Alias(_) => drop(self.value(root, found)),
            Event::SequenceStart(..) => {
                let wanted = self.value(root, found);
                let kind = FrameKind::Sequence { index: 0 };
                self.open.push(Frame {
                    wanted,
                    kind,
                    next: None,
                });
            }
            Event::MappingStart(..) => {
                let wanted = self.value(root, found);
                let kind = FrameKind::Mapping { has_key: false };
                self.open.push(Frame {
                    wanted,
                    kind,
                    next: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => drop(self.open.pop()),
            _ => {}
        }
    }

    /// Takes a scalar as a key if one is due.
    fn key(&mut self, text: &str, found: &mut impl FnMut(&[usize])) -> bool {
        let Some(Frame {
            wanted,
            kind: FrameKind::Mapping { has_key },
            next,
        }) = self.open.last_mut()
        else {
            return false;
        };
        if *has_key {
            return false;
        }
        *has_key = true;
        *next = wanted.and_then(|wanted| wanted.below.get(&Segment::Key(text.into())));
        if let Some(next) = next {
            found(&next.ids);
        }
        true
    }

    /// Enters a value: which of the paths in question it is on.
    fn value(&mut self, root: &'w Wanted, found: &mut impl FnMut(&[usize])) -> Option<&'w Wanted> {
        let Some(Frame { wanted, kind, next }) = self.open.last_mut() else {
            return (!std::mem::replace(&mut self.started, true)).then_some(root);
        };
        match kind {
            FrameKind::Mapping { has_key } => {
                *has_key = false;
                next.take()
            }
            FrameKind::Sequence { index } => {
                let item = wanted.and_then(|wanted| wanted.below.get(&Segment::Index(*index)));
                *index += 1;
                if let Some(item) = item {
                    found(&item.ids);
                }
                item
            }
        }
    }
}
