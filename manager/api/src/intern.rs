//! One copy of each name, however many endpoints carry it.

use std::{collections::BTreeSet, sync::Arc};

/// Names seen so far.
#[derive(Clone, Default, Debug)]
pub(crate) struct Interner {
    names: BTreeSet<Arc<str>>,
    /// Consecutive endpoints mostly repeat the same few names.
    recent: [Option<Arc<str>>; 4],
    turn: usize,
    pruned: usize,
}

impl Interner {
    /// The shared copy of `name`.
    pub(crate) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(recent) = self
            .recent
            .iter()
            .flatten()
            .find(|recent| ***recent == *name)
        {
            return Arc::clone(recent);
        }
        let shared = match self.names.get(name) {
            Some(shared) => Arc::clone(shared),
            None => {
                let shared = Arc::from(name);
                self.names.insert(Arc::clone(&shared));
                shared
            }
        };
        self.turn = (self.turn + 1) % self.recent.len();
        self.recent[self.turn] = Some(Arc::clone(&shared));
        shared
    }

    /// Forgets names nobody holds any more, when there are enough to be worth a pass.
    pub(crate) fn prune(&mut self) {
        if self.names.len() > 1024 + 2 * self.pruned {
            self.recent = Default::default();
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.pruned = self.names.len();
        }
    }
}
