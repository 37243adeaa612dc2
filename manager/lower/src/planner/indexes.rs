//! Which backend indexes are free.

use std::collections::BTreeSet;

use crate::canary::CANARY_BACKEND;

/// Gives out indexes, the lowest first, so that dumps stay short.
#[derive(Debug)]
pub(super) struct Indexes {
    /// Free below `next`.
    free: BTreeSet<u32>,
    /// Lowest index that was never given out.
    next: u32,
    limit: u32,
}

impl Indexes {
    /// Indexes below `limit`, without 0 (no backend) and the canary's.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            free: BTreeSet::new(),
            next: CANARY_BACKEND + 1,
            limit,
        }
    }

    /// Takes out of what is free all of `used`, which is in ascending order.
    pub(super) fn adopt(&mut self, used: impl Iterator<Item = u32>) {
        for index in used.filter(|index| *index > CANARY_BACKEND) {
            self.free.extend(self.next..index);
            self.next = self.next.max(index + 1);
            self.free.remove(&index);
        }
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        self.free.pop_first().or_else(|| {
            let index = self.next;
            (index < self.limit).then(|| {
                self.next += 1;
                index
            })
        })
    }

    pub(super) fn give_back(&mut self, index: u32) {
        self.free.insert(index);
    }

    /// How many are in use or in quarantine.
    pub(super) fn used(&self) -> u32 {
        let free = u32::try_from(self.free.len()).expect("a subset of 32-bit numbers");
        self.next - (CANARY_BACKEND + 1) - free
    }
}
