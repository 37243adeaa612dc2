//! From chosen endpoints to the slots of a pool.
//!
//! Slot lists are lists of backend indexes; the kernel picks a position. Equal weights give each
//! backend one slot, unequal weights give more slots to some ([`weighted`]), and a hash of the
//! client picks a position of a Maglev table ([`maglev`]).

pub mod weighted;

pub mod maglev;

use weft_abi::Address;
use weft_model::Balancing;

/// A backend that takes new connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Index into `BACKENDS`.
    pub index: u32,
    /// Its share relative to its siblings; all 0 counts as all equal.
    pub weight: u32,
    /// Where connections go.
    pub address: Address,
    /// Port, host order.
    pub port: u16,
}

/// The slots for `members` (in ascending address and port), given the slots the pool has now.
/// Empty when there are no members.
pub fn fill(balancing: Balancing, members: &[Member], current: &[u32]) -> Vec<u32> {
    if members.is_empty() {
        return Vec::new();
    }
    let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
    let shares = weighted::shares(&weights);
    if let Balancing::SourceHash { table_size } = balancing {
        return maglev::table(members, &shares, maglev::size(table_size, members.len()));
    }
    if shares.iter().all(|share| *share == 1) {
        return one_each(members, current);
    }
    let order = weighted::interleave(&shares);
    order
        .iter()
        .map(|position| members[*position].index)
        .collect()
}

/// One slot per member. What stays keeps its slot, a gap is filled from the end, what is new goes
/// to the end: few slots are written and turns in progress stay fair.
fn one_each(members: &[Member], current: &[u32]) -> Vec<u32> {
    let mut missing: Vec<u32> = members.iter().map(|member| member.index).collect();
    missing.sort_unstable();
    let mut slots = current.to_vec();
    let mut taken = vec![false; missing.len()];
    let mut position = 0;
    while let Some(index) = slots.get(position) {
        match missing.binary_search(index) {
            Ok(found) if !taken[found] => {
                taken[found] = true;
                position += 1;
            }
            // Gone, or a second slot of a list that was weighted before.
            _ => drop(slots.swap_remove(position)),
        }
    }
    let placed = |index: u32| {
        let found = missing
            .binary_search(&index)
            .expect("every member is listed");
        taken[found]
    };
    let fresh = members.iter().map(|member| member.index);
    slots.extend(fresh.filter(|index| !placed(*index)));
    slots
}

#[cfg(test)]
mod tests;
