//! Applies steps to the maps: strictly in order, runs of one kind in batches.

use std::{collections::BTreeMap, io};

use aya::Pod;
use weft_lower::MapOp;

use crate::{Maps, Table};

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Entries written or removed, by map.
    pub writes: BTreeMap<&'static str, u64>,
}

/// The step that could not be applied. Those before it were, those after it were not.
#[derive(Debug, thiserror::Error)]
#[error("step {op}: map {map}: {fault}")]
pub struct ApplyError {
    /// Index of the step.
    pub op: usize,
    /// The map.
    pub map: &'static str,
    /// Why.
    pub fault: ApplyFault,
}

/// Why a step could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFault {
    /// The map has no room, or the index is beyond its end.
    #[error("full with {capacity} entries; uninstall, and run again with room for more")]
    Full {
        /// Its size.
        capacity: u32,
    },
    /// Anything else.
    #[error("{0}")]
    Kernel(io::Error),
}

/// Applies `ops` in order.
pub(crate) fn apply(maps: &Maps, ops: &[MapOp]) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let mut next = 0;
    while let Some(op) = ops.get(next) {
        let kind = std::mem::discriminant(op);
        let length = ops[next..]
            .iter()
            .take_while(|op| std::mem::discriminant(*op) == kind)
            .count();
        let run = Run {
            first: next,
            ops: &ops[next..next + length],
        };
        run.apply(maps, &mut applied)?;
        next += length;
    }
    Ok(applied)
}

/// Steps of one kind, one after the other.
struct Run<'a> {
    /// Index of the first one among all.
    first: usize,
    ops: &'a [MapOp],
}

impl Run<'_> {
    fn apply(&self, maps: &Maps, applied: &mut Applied) -> Result<(), ApplyError> {
        // One entry per step; `PutSlots` alone has many.
        macro_rules! put {
            ($table:ident, $step:ident) => {
                self.put(&maps.$table, applied, |op, out| {
                    if let MapOp::$step(key, value) = op {
                        out(*key, *value);
                    }
                })
            };
        }
        macro_rules! delete {
            ($table:ident, $step:ident) => {
                self.delete(&maps.$table, applied, |op| match op {
                    MapOp::$step(key) => Some(key),
                    _ => None,
                })
            };
        }
        match &self.ops[0] {
            MapOp::PutBackendState(..) => put!(backend_state, PutBackendState),
            MapOp::PutBackend(..) => put!(backends, PutBackend),
            MapOp::PutSlots(..) => self.put(&maps.slots, applied, |op, out| {
                if let MapOp::PutSlots(first, slots) = op {
                    // An index past `u32::MAX` stays there, and the kernel refuses it as too large.
                    slots
                        .iter()
                        .zip(0u32..)
                        .for_each(|(slot, n)| out(first.saturating_add(n), *slot));
                }
            }),
            MapOp::PutService(..) => put!(services, PutService),
            MapOp::DeleteService(_) => delete!(services, DeleteService),
            MapOp::PutWorkload(..) => put!(workloads, PutWorkload),
            MapOp::DeleteWorkload(_) => delete!(workloads, DeleteWorkload),
            MapOp::PutEnrolment(..) => put!(enrolled, PutEnrolment),
            MapOp::DeleteEnrolment(_) => delete!(enrolled, DeleteEnrolment),
            MapOp::PutPeer(..) => put!(peers, PutPeer),
            MapOp::DeletePeer(_) => delete!(peers, DeletePeer),
            MapOp::PutPortMode(..) => put!(port_modes, PutPortMode),
            MapOp::DeletePortMode(_) => delete!(port_modes, DeletePortMode),
            MapOp::PutExcluded(..) => put!(excluded, PutExcluded),
            MapOp::DeleteExcluded(_) => delete!(excluded, DeleteExcluded),
            MapOp::PutSet(..) => self.put(&maps.sets, applied, |op, out| {
                if let MapOp::PutSet(set, rules) = op {
                    out(*set, **rules);
                }
            }),
            MapOp::DeleteSet(_) => delete!(sets, DeleteSet),
            MapOp::PutSetIdentity(..) => put!(set_identities, PutSetIdentity),
            MapOp::DeleteSetIdentity(_) => delete!(set_identities, DeleteSetIdentity),
            MapOp::PutSetSource(..) => put!(set_sources, PutSetSource),
            MapOp::DeleteSetSource(_) => delete!(set_sources, DeleteSetSource),
            MapOp::PutSetPort(..) => put!(set_ports, PutSetPort),
            MapOp::DeleteSetPort(_) => delete!(set_ports, DeleteSetPort),
            MapOp::PutClientLimit(..) => put!(client_limits, PutClientLimit),
            MapOp::DeleteClientLimit(_) => delete!(client_limits, DeleteClientLimit),
        }
    }

    /// Writes the entries that `each` makes of each step.
    fn put<K: Pod, V: Pod>(
        &self,
        table: &Table<K, V>,
        applied: &mut Applied,
        each: impl Fn(&MapOp, &mut dyn FnMut(K, V)),
    ) -> Result<(), ApplyError> {
        let mut keys = Vec::with_capacity(self.ops.len());
        let mut values = Vec::with_capacity(self.ops.len());
        // For each step the number of entries up to and with it.
        let mut ends = Vec::with_capacity(self.ops.len());
        for op in self.ops {
            each(op, &mut |key, value| {
                keys.push(key);
                values.push(value);
            });
            ends.push(keys.len());
        }
        let result = table.put_all(&keys, &values);
        let done = result
            .as_ref()
            .map_or_else(|(done, _)| *done, |()| keys.len());
        *applied.writes.entry(table.name()).or_default() += done as u64;
        result.map_err(|(done, error)| {
            let op = self.first + ends.partition_point(|end| *end <= done);
            ApplyError {
                op,
                map: table.name(),
                fault: fault(error, table.capacity()),
            }
        })
    }

    fn delete<K: Pod, V: Pod>(
        &self,
        table: &Table<K, V>,
        applied: &mut Applied,
        each: impl Fn(&MapOp) -> Option<&K>,
    ) -> Result<(), ApplyError> {
        for (index, key) in self.ops.iter().filter_map(each).enumerate() {
            // One that is not there is what was asked for.
            table.delete(key).map_err(|error| ApplyError {
                op: self.first + index,
                map: table.name(),
                fault: ApplyFault::Kernel(error),
            })?;
            *applied.writes.entry(table.name()).or_default() += 1;
        }
        Ok(())
    }
}

fn fault(error: io::Error, capacity: u32) -> ApplyFault {
    match error.raw_os_error() {
        Some(libc::E2BIG | libc::ENOSPC | libc::ENOMEM) => ApplyFault::Full { capacity },
        _ => ApplyFault::Kernel(error),
    }
}
