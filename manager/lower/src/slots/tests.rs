use std::{collections::BTreeMap, net::Ipv4Addr};

use proptest::prelude::*;
use weft_abi::Address;
use weft_model::Balancing;

use super::{Member, fill, maglev, weighted};

fn member(index: u32, weight: u32) -> Member {
    Member {
        index,
        weight,
        address: Address::v4(Ipv4Addr::from_bits(0x0a00_0000 + index).octets()),
        port: 8080,
    }
}

fn members(n: u32) -> Vec<Member> {
    (2..n + 2).map(|index| member(index, 1)).collect()
}

fn count(slots: &[u32]) -> BTreeMap<u32, usize> {
    slots.iter().fold(BTreeMap::new(), |mut counts, index| {
        *counts.entry(*index).or_default() += 1;
        counts
    })
}

#[test]
fn equal_weights_give_one_slot_each_and_keep_what_is_there() {
    let equal = |members: &[Member], current: &[u32]| fill(Balancing::RoundRobin, members, current);
    assert_eq!(equal(&members(3), &[]), [2, 3, 4]);
    assert_eq!(equal(&members(3), &[4, 2]), [4, 2, 3], "append");
    let without_2 = [member(3, 7), member(4, 7), member(5, 7)];
    assert_eq!(
        equal(&without_2, &[2, 3, 4, 5]),
        [5, 3, 4],
        "the last fills the gap"
    );
    assert_eq!(equal(&members(2), &[2, 3, 2, 2]), [2, 3], "weighted before");
    assert!(equal(&[], &[2, 3]).is_empty(), "nobody left");
}

#[test]
fn unequal_weights_are_spread_evenly() {
    let weights = [member(2, 50), member(3, 10), member(4, 10)];
    let slots = fill(Balancing::RoundRobin, &weights, &[]);
    assert_eq!(slots, [2, 2, 2, 3, 4, 2, 2]);
    let slots = fill(Balancing::Random, &[member(2, 2), member(3, 1)], &[]);
    assert_eq!(slots, [2, 3, 2]);
}

#[test]
fn weights_are_scaled_to_a_thousand_slots_without_losing_anyone() {
    let shares = weighted::shares(&[1_000_000, 1, 499_999, 0]);
    assert_eq!(shares, [683, 1, 341, 0]);
    assert_eq!(weighted::shares(&[0, 0]), [1, 1]);
    assert_eq!(weighted::shares(&[u32::MAX; 3]), [1, 1, 1]);
}

#[test]
fn table_sizes_follow_the_resource_or_the_number_of_backends() {
    assert_eq!(maglev::size(None, 1), 251);
    assert_eq!(maglev::size(None, 3), 509);
    assert_eq!(maglev::size(None, 100), 16381);
    assert_eq!(maglev::size(None, 5000), 65537);
    assert_eq!(maglev::size(Some(997), 5000), 997);
    assert_eq!(maglev::size(Some(1000), 3), 1009, "raised to a prime");
    assert_eq!(maglev::size(Some(0), 3), 2);
    assert_eq!(
        maglev::size(Some(4_294_967_292), 3),
        65537,
        "no prime above"
    );
}

#[test]
fn a_table_does_not_depend_on_indexes() {
    let other: Vec<Member> = members(7)
        .into_iter()
        .map(|member| Member {
            index: member.index * 1000,
            ..member
        })
        .collect();
    let table = maglev::table(&members(7), &[1; 7], 1021);
    let times: Vec<u32> = table.iter().map(|index| index * 1000).collect();
    assert_eq!(maglev::table(&other, &[1; 7], 1021), times);
}

/// Nodes of different versions must agree, so these never change.
#[test]
fn a_table_is_the_same_for_ever() {
    let table = maglev::table(&members(3), &[1; 3], 13);
    assert_eq!(table, PINNED);
}

const PINNED: [u32; 13] = [4, 4, 3, 2, 4, 2, 3, 3, 4, 2, 2, 2, 3];

#[test]
fn shares_of_a_table_differ_by_two_per_cent_at_most() {
    let table = maglev::table(&members(100), &[1; 100], 16381);
    for slots in count(&table).into_values() {
        assert!((161..=167).contains(&slots), "{slots}");
    }
}

#[test]
fn a_table_follows_weights() {
    let weights = [member(2, 3), member(3, 1), member(4, 0)];
    let slots = fill(
        Balancing::SourceHash {
            table_size: Some(1009),
        },
        &weights,
        &[],
    );
    let counts = count(&slots);
    assert!((755..=759).contains(&counts[&2]), "{counts:?}");
    assert!(!counts.contains_key(&4));
}

#[test]
fn removing_one_of_n_moves_its_keys_and_few_others() {
    for n in [5, 20, 100] {
        let all = members(n);
        let size = maglev::size(None, all.len());
        let shares = vec![1; all.len()];
        let before = maglev::table(&all, &shares, size);
        let rest: Vec<_> = all
            .iter()
            .copied()
            .filter(|member| member.index != 4)
            .collect();
        let after = maglev::table(&rest, &shares[1..], size);
        let pairs = || before.iter().zip(&after);
        let lost = pairs().filter(|(before, _)| **before == 4).count();
        let others = pairs().filter(|(b, a)| **b != 4 && a != b).count();
        let expected = before.len() / usize::try_from(n).unwrap();
        assert!(
            lost.abs_diff(expected) <= expected / 20 + 1,
            "{lost} of {expected}"
        );
        // Figure 12 of the paper: a few per cent move besides.
        assert!(
            others * 100 <= before.len() * 5,
            "{others} of {} besides",
            before.len()
        );
    }
}

proptest! {
    #[test]
    fn every_weight_above_zero_has_its_share_of_slots(
        weights in proptest::collection::vec(0_u32..5000, 1..40),
    ) {
        let members: Vec<_> = (2..).zip(&weights).map(|(index, w)| member(index, *w)).collect();
        let counts = count(&fill(Balancing::LeastConnections, &members, &[]));
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let slots = counts.values().sum::<usize>();
        prop_assert!(slots <= 1024 + weights.len());
        for member in &members {
            let got = counts.get(&member.index).copied().unwrap_or(0);
            if total == 0 {
                prop_assert_eq!(got, 1);
            } else if member.weight == 0 {
                prop_assert_eq!(got, 0);
            } else {
                let exact = f64::from(member.weight) / total as f64 * slots as f64;
                prop_assert!(got >= 1 && (got as f64 - exact).abs() <= 2.0 + exact * 0.05);
            }
        }
    }

    #[test]
    fn an_edit_of_an_equal_list_writes_no_more_than_it_must(
        before in proptest::collection::btree_set(2_u32..60, 0..40),
        after in proptest::collection::btree_set(2_u32..60, 0..40),
    ) {
        let list = |set: &std::collections::BTreeSet<u32>| -> Vec<Member> {
            set.iter().map(|index| member(*index, 1)).collect()
        };
        let old = fill(Balancing::RoundRobin, &list(&before), &[]);
        let new = fill(Balancing::RoundRobin, &list(&after), &old);
        let mut sorted = new.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, after.iter().copied().collect::<Vec<_>>());
        let written = new.iter().enumerate().filter(|(at, index)| old.get(*at) != Some(index));
        let changed = before.symmetric_difference(&after).count();
        prop_assert!(written.count() <= changed);
    }

    #[test]
    fn every_slot_of_a_table_is_a_member(
        weights in proptest::collection::vec(0_u32..100, 1..30),
        size in 2_u32..600,
    ) {
        let members: Vec<_> = (2..).zip(&weights).map(|(index, w)| member(index, *w)).collect();
        let table = fill(Balancing::SourceHash { table_size: Some(size) }, &members, &[]);
        prop_assert_eq!(table.len(), maglev::size(Some(size), members.len()) as usize);
        prop_assert!(table.iter().all(|index| members.iter().any(|m| m.index == *index)));
    }
}
