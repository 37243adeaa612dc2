//! Maglev tables (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer",
//! NSDI 2016, section 3.4), with weights as Envoy adds them: in each round a backend takes a turn
//! only as often as its share of the heaviest one allows.
//!
//! A table depends on nothing but addresses, ports and weights, so all nodes agree on it, also
//! after a restart.

use weft_abi::Address;

use super::Member;

/// Primes just below powers of two, so that a table fills its region; the last is the default of
/// Envoy and of the paper.
const SIZES: [u32; 9] = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65537];

/// Slots per backend that keep the difference between backends near one per cent (section 5.3 of
/// the paper).
pub const SLOTS_PER_BACKEND: usize = 100;

/// The table size for a number of backends: what the resource names, raised to the next prime
/// (only a prime size gives every backend a full permutation), else the smallest of a fixed list
/// that has room for [`SLOTS_PER_BACKEND`], at most 65537.
pub fn size(named: Option<u32>, backends: usize) -> u32 {
    if let Some(named) = named {
        return next_prime(named.max(2));
    }
    let wanted = backends.saturating_mul(SLOTS_PER_BACKEND);
    let [.., largest] = SIZES;
    SIZES
        .into_iter()
        .find(|size| usize::try_from(*size).is_ok_and(|size| size >= wanted))
        .unwrap_or(largest)
}

fn next_prime(from: u32) -> u32 {
    // A divisor is at most 65535, the root of the largest number of 32 bits.
    let prime = |n: u32| {
        (2..=65535)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
    };
    (from..u32::MAX).find(|n| prime(*n)).unwrap_or(65537)
}

/// The table: backend indexes, `size` of them. `members` in ascending address and port, `shares`
/// beside them, one above 0 at least; `size` is a prime.
pub fn table(members: &[Member], shares: &[u32], size: u32) -> Vec<u32> {
    let heaviest = shares.iter().copied().max().unwrap_or(0);
    let mut turns: Vec<Turn> = members
        .iter()
        .zip(shares)
        .filter(|(_, share)| **share > 0)
        .map(|(member, share)| Turn::new(member, *share, size))
        .collect();
    let mut table = vec![0; usize::try_from(size).expect("32 bits fit")];
    let mut filled = 0;
    // Index 0 is never a backend, so it marks a free slot. A heaviest member takes a turn in
    // every round, so rounds come to an end.
    while filled < table.len() && heaviest > 0 {
        for turn in &mut turns {
            if !turn.is_due(heaviest) {
                continue;
            }
            let slot = turn.next_free(&table);
            table[slot] = turn.index;
            filled += 1;
            if filled == table.len() {
                break;
            }
        }
    }
    table
}

/// One member's walk through its permutation of the table.
struct Turn {
    index: u32,
    share: u64,
    credit: u64,
    position: u64,
    skip: u64,
    size: u64,
}

impl Turn {
    fn new(member: &Member, share: u32, size: u32) -> Self {
        let (first, second) = hashes(member.address, member.port);
        let size = u64::from(size);
        Self {
            index: member.index,
            share: u64::from(share),
            credit: 0,
            position: first % size,
            skip: second % (size - 1) + 1,
            size,
        }
    }

    /// Whether the member takes a turn in this round: `share` times in `heaviest` rounds.
    fn is_due(&mut self, heaviest: u32) -> bool {
        self.credit += self.share;
        let due = self.credit >= u64::from(heaviest);
        if due {
            self.credit -= u64::from(heaviest);
        }
        due
    }

    fn next_free(&mut self, table: &[u32]) -> usize {
        loop {
            let slot = usize::try_from(self.position).expect("less than the table size");
            self.position = (self.position + self.skip) % self.size;
            if table[slot] == 0 {
                return slot;
            }
        }
    }
}

/// Two independent hashes of an endpoint. Fixed for ever: nodes of different versions must agree.
fn hashes(address: Address, port: u16) -> (u64, u64) {
    let bits = u128::from_be_bytes(address.bytes);
    let low = u64::try_from(bits & u128::from(u64::MAX)).expect("masked to 64 bits");
    let high = u64::try_from(bits >> 64).expect("shifted to 64 bits");
    let absorb = |seed: u64| {
        [high, low, u64::from(port)]
            .into_iter()
            .fold(seed, |state, word| mix(state ^ word))
    };
    (absorb(0x9e37_79b9_7f4a_7c15), absorb(0xd1b5_4a32_d192_ed03))
}

/// The finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014).
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
