//! Weights as numbers of slots, spread evenly.

/// Slots that a weighted list has at most, but for one slot each for the very light.
pub const MAX_SLOTS: u64 = 1024;

/// How many slots each weight gets: the smallest numbers with the same proportions, scaled down
/// when they add up to more than [`MAX_SLOTS`]. A weight above 0 gets at least one; when all are
/// 0 all get one.
pub fn shares(weights: &[u32]) -> Vec<u32> {
    let divisor = weights
        .iter()
        .fold(0, |divisor, weight| gcd(divisor, *weight));
    if divisor == 0 {
        return vec![1; weights.len()];
    }
    let total: u64 = weights
        .iter()
        .map(|weight| u64::from(weight / divisor))
        .sum();
    let scale = |weight: u32| {
        let weight = u64::from(weight / divisor);
        if total <= MAX_SLOTS || weight == 0 {
            return weight;
        }
        ((weight * MAX_SLOTS + total / 2) / total).max(1)
    };
    let fits = "at most the weight it comes from";
    weights
        .iter()
        .map(|weight| u32::try_from(scale(*weight)).expect(fits))
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Positions `0..shares.len()`, each as often as its share and as evenly spread as can be: the
/// k-th turn of a share s is due at (2k + 1) / 2s of the round, and turns are taken as they fall
/// due. This is what smooth weighted round robin (as in nginx) does turn by turn, without its
/// pass over all members for every turn.
pub fn interleave(shares: &[u32]) -> Vec<usize> {
    let turns = |(position, share): (usize, &u32)| {
        let share = u64::from(*share);
        (0..share).map(move |turn| (2 * turn + 1, share, position))
    };
    let mut due: Vec<(u64, u64, usize)> = shares.iter().enumerate().flat_map(turns).collect();
    due.sort_unstable_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
    due.into_iter().map(|(_, _, position)| position).collect()
}
