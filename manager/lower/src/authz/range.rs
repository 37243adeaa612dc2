//! Address ranges as prefixes of one space, in which IPv4 is `::ffff:0:0/96`.

use std::net::{IpAddr, Ipv6Addr};

use weft_abi::Address;
use weft_model::policy::AddressRange;

/// A prefix of IPv6 space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Prefix {
    /// Bits that count, at most 128.
    pub(crate) length: u8,
    /// The others are 0.
    bits: u128,
}

/// First bits of every IPv4 address in IPv6 space.
const V4: u128 = 0xffff << 32;

impl Prefix {
    /// Every address.
    pub(crate) const ALL: Self = Self { length: 0, bits: 0 };

    /// Every IPv4 address.
    pub(crate) const ALL_V4: Self = Self {
        length: 96,
        bits: V4,
    };

    fn new(length: u8, bits: u128) -> Self {
        let kept = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        Self {
            length,
            bits: bits & kept,
        }
    }

    /// What a range means, as [`AddressRange::contains`] reads it.
    pub(crate) fn of(range: &AddressRange) -> Self {
        let length = range.prefix_length;
        match range.address.to_canonical() {
            IpAddr::V4(v4) => {
                let length = if range.address.is_ipv6() {
                    length.saturating_sub(96)
                } else {
                    length
                };
                Self::new(96 + length.min(32), V4 | u128::from(v4.to_bits()))
            }
            IpAddr::V6(v6) => Self::new(length.min(128), v6.to_bits()),
        }
    }

    /// The first bits of an address, as many as `length` says.
    pub(crate) fn around(address: IpAddr, length: u8) -> Self {
        let bits = match address.to_canonical() {
            IpAddr::V4(v4) => V4 | u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        Self::new(length, bits)
    }

    /// Its bits as an address.
    pub(crate) fn address(self) -> Address {
        Address::v6(Ipv6Addr::from_bits(self.bits).octets())
    }

    /// Whether all addresses of `other` are in this range. A range of IPv6 has none of IPv4, though
    /// its bits may lie around them.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.is_v4() == other.is_v4() && self.surrounds(other)
    }

    /// Whether the bits of `other` begin with these.
    pub(crate) fn surrounds(self, other: Self) -> bool {
        other.length >= self.length && Self::new(self.length, other.bits) == self
    }

    fn is_v4(self) -> bool {
        Self::ALL_V4.surrounds(self)
    }
}
