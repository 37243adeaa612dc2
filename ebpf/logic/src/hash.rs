//! Hashing of clients and flows.

use weft_abi::Address;

/// Mixes two words (the finaliser of MurmurHash3, public domain, on their combination).
#[inline(always)]
pub const fn mix(a: u64, b: u64) -> u64 {
    let mut h = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// Hash of an address, the same on every node and in every run.
#[inline(always)]
pub const fn address(address: &Address) -> u64 {
    let [a, b, c, d] = address.words();
    mix(
        (u32::from_be(a) as u64) << 32 | u32::from_be(b) as u64,
        (u32::from_be(c) as u64) << 32 | u32::from_be(d) as u64,
    )
}

/// Scales a random word to `0..bound` (Lemire's multiply-shift); 0 when `bound` is 0.
#[inline(always)]
pub const fn scale(random: u32, bound: u32) -> u32 {
    ((random as u64 * bound as u64) >> 32) as u32
}
