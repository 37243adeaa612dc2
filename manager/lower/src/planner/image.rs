//! What the maps hold, as far as the planner wrote or adopted it. Writes are differences to this.

use std::collections::BTreeMap;

use weft_abi::{Address, Backend, Service, ServiceKey, Slot};
use weft_model::ServiceName;

use super::steps::Steps;

/// An entry of `SERVICES`.
#[derive(Debug)]
pub(super) struct Frontend {
    pub(super) service: Service,
    /// Nobody owns an entry between adoption and the first full plan, and one that is about to
    /// be deleted.
    pub(super) owner: Option<ServiceName>,
}

/// Slots that may lie between two changed ones and still be written with them: one write of a few
/// more slots is cheaper than two.
const GAP: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) services: BTreeMap<ServiceKey, Frontend>,
    pub(super) workloads: BTreeMap<Address, u32>,
    slots: Vec<Slot>,
    backends: Vec<Backend>,
}

impl Image {
    pub(super) fn backend(&self, index: u32) -> Backend {
        let found = self.backends.get(position(index));
        found.copied().unwrap_or_default()
    }

    pub(super) fn put_backend(&mut self, index: u32, backend: Backend) {
        *entry(&mut self.backends, index) = backend;
    }

    /// Indexes that are not zero, ascending.
    pub(super) fn backends(&self) -> impl Iterator<Item = (u32, &Backend)> {
        let numbered = (0..).zip(&self.backends);
        numbered.filter(|(_, backend)| **backend != Backend::default())
    }

    pub(super) fn slot(&self, index: u32) -> Slot {
        let found = self.slots.get(position(index));
        found.copied().unwrap_or_default()
    }

    pub(super) fn put_slots(&mut self, slots: Vec<Slot>) {
        self.slots = slots;
    }

    /// Writes those of `backends` that differ from what is there, in runs.
    pub(super) fn write_slots(
        &mut self,
        first: u32,
        service: u32,
        backends: &[u32],
        steps: &mut Steps,
    ) {
        let Some(last) = backends.len().checked_sub(1) else {
            return;
        };
        // Makes room for the whole range at once.
        entry(
            &mut self.slots,
            first + u32::try_from(last).expect("slot numbers have 32 bits"),
        );
        let range = &mut self.slots[position(first)..][..backends.len()];
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (at, (slot, backend)) in range.iter_mut().zip(backends).enumerate() {
            let wanted = Slot {
                backend: *backend,
                service,
            };
            if *slot == wanted {
                continue;
            }
            *slot = wanted;
            match runs.last_mut() {
                Some((_, end)) if at - *end <= GAP => *end = at + 1,
                _ => runs.push((at, at + 1)),
            }
        }
        for (start, end) in runs {
            let offset = u32::try_from(start).expect("slot numbers have 32 bits");
            steps.slots(first + offset, range[start..end].to_vec());
        }
    }
}

fn entry<T: Clone + Default>(entries: &mut Vec<T>, index: u32) -> &mut T {
    let index = position(index);
    if index >= entries.len() {
        entries.resize(index + 1, T::default());
    }
    &mut entries[index]
}

fn position(index: u32) -> usize {
    usize::try_from(index).expect("32 bits fit")
}
