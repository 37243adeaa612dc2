//! Which slots are free: a buddy allocator (Knowlton 1965), so that regions of very different
//! sizes come and go without leaving holes nobody can use.

use std::collections::BTreeSet;

/// A run of `1 << order` slots that starts at a multiple of its length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Region {
    pub(super) first: u32,
    order: u32,
}

impl Region {
    /// Slots it has room for.
    pub(super) fn capacity(self) -> u32 {
        1 << self.order
    }

    fn end(self) -> u32 {
        self.first + self.capacity()
    }
}

/// Orders above this do not occur: a region then has 2^31 slots, more than a map can have.
const MAX_ORDER: u32 = 30;

#[derive(Debug)]
pub(super) struct Regions {
    /// Free blocks by order.
    free: [BTreeSet<u32>; (MAX_ORDER + 1) as usize],
    used: u32,
    limit: u32,
}

impl Regions {
    /// Slots from `first` to `limit`.
    pub(super) fn new(first: u32, limit: u32) -> Self {
        let limit = limit.min(1 << (MAX_ORDER + 1));
        let mut regions = Self {
            free: std::array::from_fn(|_| BTreeSet::new()),
            used: 0,
            limit,
        };
        for block in blocks(first, limit) {
            regions.insert(block);
        }
        regions
    }

    /// A region for `slots` slots, at least one.
    pub(super) fn take(&mut self, slots: u32) -> Option<Region> {
        let order = order_of(slots)?;
        let found = (order..=MAX_ORDER).find(|order| !self.free[index(*order)].is_empty())?;
        let first = *self.free[index(found)].first()?;
        self.carve(Region { first, order }, found);
        Some(Region { first, order })
    }

    /// Takes a certain region of at least `slots` slots; `None` when `first` does not start one or
    /// a part of it is taken or out of range.
    pub(super) fn reserve(&mut self, first: u32, slots: u32) -> Option<Region> {
        let order = order_of(slots)?;
        let region = Region { first, order };
        if !first.is_multiple_of(region.capacity()) {
            return None;
        }
        let found = (order..=MAX_ORDER)
            .find(|order| self.free[index(*order)].contains(&(first >> order << order)))?;
        self.carve(region, found);
        Some(region)
    }

    /// Takes all that is free of a range that no region describes.
    pub(super) fn reserve_range(&mut self, first: u32, slots: u32) -> Vec<Region> {
        let end = first.saturating_add(slots).min(self.limit);
        (first..end)
            .filter_map(|slot| self.reserve(slot, 1))
            .collect()
    }

    /// Gives a region back.
    pub(super) fn give_back(&mut self, region: Region) {
        self.used -= region.capacity();
        let mut region = region;
        while region.order < MAX_ORDER {
            let buddy = region.first ^ region.capacity();
            if !self.free[index(region.order)].remove(&buddy) {
                break;
            }
            region = Region {
                first: region.first.min(buddy),
                order: region.order + 1,
            };
        }
        self.insert(region);
    }

    /// Slots in use or in quarantine.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Takes `region` out of the free block of order `from` that contains it.
    fn carve(&mut self, region: Region, from: u32) {
        self.used += region.capacity();
        let mut block = Region {
            first: region.first >> from << from,
            order: from,
        };
        self.free[index(from)].remove(&block.first);
        while block.order > region.order {
            block.order -= 1;
            let upper = block.first + block.capacity();
            if region.first < upper {
                self.free[index(block.order)].insert(upper);
            } else {
                self.free[index(block.order)].insert(block.first);
                block.first = upper;
            }
        }
    }

    fn insert(&mut self, block: Region) {
        self.free[index(block.order)].insert(block.first);
    }
}

/// The largest aligned blocks from `first` to `limit`.
fn blocks(first: u32, limit: u32) -> impl Iterator<Item = Region> {
    let block = move |first: u32| {
        let room = limit.checked_sub(first).filter(|room| *room > 0)?;
        let order = first.trailing_zeros().min(room.ilog2()).min(MAX_ORDER);
        Some(Region { first, order })
    };
    std::iter::successors(block(first), move |last| block(last.end()))
}

fn order_of(slots: u32) -> Option<u32> {
    let order = slots.max(1).checked_next_power_of_two()?.trailing_zeros();
    (order <= MAX_ORDER).then_some(order)
}

fn index(order: u32) -> usize {
    usize::try_from(order).expect("at most 30")
}

#[cfg(test)]
mod tests {
    use super::Regions;

    #[test]
    fn regions_are_aligned_disjoint_and_come_back_whole() {
        let mut regions = Regions::new(1, 1000);
        let taken: Vec<_> = [1, 100, 3, 64, 200, 7]
            .into_iter()
            .map(|slots| regions.take(slots).unwrap())
            .collect();
        for (position, region) in taken.iter().enumerate() {
            assert_eq!(region.first % region.capacity(), 0);
            assert!(region.first >= 1 && region.end() <= 1000);
            for other in &taken[..position] {
                assert!(region.end() <= other.first || other.end() <= region.first);
            }
        }
        for region in taken {
            regions.give_back(region);
        }
        assert_eq!(regions.used(), 0);
        assert_eq!(regions.free, Regions::new(1, 1000).free);
    }

    #[test]
    fn a_reserved_region_is_not_given_out_again() {
        let mut regions = Regions::new(1, 64);
        let reserved = regions.reserve(32, 5).unwrap();
        assert_eq!((reserved.first, reserved.capacity()), (32, 8));
        assert_eq!(regions.reserve(36, 1), None, "inside the first");
        assert_eq!(regions.reserve(33, 2), None, "not a multiple of its length");
        assert_eq!(regions.reserve(64, 1), None, "out of range");
        while let Some(region) = regions.take(1) {
            assert!(!(32..40).contains(&region.first));
        }
        assert_eq!(regions.used(), 63);
    }
}
