//! Names, addresses and durations as Kubernetes and Istio write them.

use std::{net::IpAddr, time::Duration};

/// Transport protocol of a port that is carried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// `trafficDistribution`, or annotation `networking.istio.io/traffic-distribution`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Distribution {
    /// No preference, said outright (`Any`; the annotation only).
    Any,
    /// `PreferSameZone`, or its older name `PreferClose`.
    PreferSameZone,
    /// `PreferSameNode`.
    PreferSameNode,
}

impl Distribution {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "PreferClose" | "PreferSameZone" => Some(Self::PreferSameZone),
            "PreferSameNode" => Some(Self::PreferSameNode),
            _ => None,
        }
    }
}

/// RFC 1123 label: lower-case letters, digits and inner `-`, at most 63.
pub(crate) fn is_label(name: &str) -> bool {
    name.len() <= 63
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && starts_and_ends_alphanumeric(name)
}

/// RFC 1035 label: as [`is_label`], beginning with a letter.
pub(crate) fn is_service_name(name: &str) -> bool {
    is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// RFC 1123 subdomain: labels with dots, at most 253.
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// IANA service name as a named port: letters, digits, single inner `-`, a letter, at most 15.
pub(crate) fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && is_label(name)
        && !name.contains("--")
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Label key: optional subdomain prefix and `/`, then a qualified name.
pub(crate) fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_qualified(name),
        None => is_qualified(key),
    }
}

/// Label value: empty or a qualified name.
pub(crate) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_qualified(value)
}

fn is_qualified(name: &str) -> bool {
    name.len() <= 63
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && starts_and_ends_alphanumeric(name)
}

fn starts_and_ends_alphanumeric(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Istio host: a name of labels in either case and `_`, which may begin with a wildcard label.
pub(crate) fn is_host(host: &str) -> bool {
    let rest = match host.strip_prefix('*') {
        Some("") => return true,
        Some(rest) => match rest.strip_prefix('.') {
            Some(rest) => rest,
            // `*-suffix.example.com` is a wildcard too.
            None => rest.strip_prefix('-').unwrap_or(rest),
        },
        None => host,
    };
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    rest.len() <= 255
        && rest.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// Whether every name a host stands for is one that `outer` stands for; either may begin with a
/// wildcard. Case does not count.
pub(crate) fn is_within(host: &str, outer: &str) -> bool {
    let (host, outer) = (host.to_ascii_lowercase(), outer.to_ascii_lowercase());
    match outer.strip_prefix('*') {
        None => host == outer,
        Some(suffix) => {
            let own = host.strip_prefix('*');
            own.map_or_else(|| host.ends_with(suffix), |own| own.ends_with(suffix))
        }
    }
}

/// Whether two hosts stand for a name both.
pub(crate) fn hosts_overlap(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}

/// What speaks against an address, and how loudly.
pub(crate) enum AddressFault {
    /// Nothing can be sent to it.
    Unusable(&'static str),
    /// Kubernetes refuses it, but on one host it works.
    Unusual(&'static str),
}

/// Judges an address as a destination.
pub(crate) fn address_fault(address: IpAddr) -> Option<AddressFault> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some(AddressFault::Unusable(
            "may not be unspecified (0.0.0.0 or ::)",
        ))
    } else if address.is_multicast() {
        Some(AddressFault::Unusable("may not be a multicast address"))
    } else if address.is_loopback() {
        Some(AddressFault::Unusual(
            "is a loopback address, which Kubernetes refuses",
        ))
    } else if link_local {
        Some(AddressFault::Unusual(
            "is a link-local address, which Kubernetes refuses",
        ))
    } else {
        None
    }
}

/// A duration in Go's notation: `1h30m`, `100ms`, `1.5s`, `0`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        nanos = nanos.checked_add(scaled(number, unit_nanos(unit)?)?)?;
        rest = tail;
    }
    // Go's durations are 63 bits of nanoseconds.
    let nanos = u64::try_from(nanos)
        .ok()
        .filter(|nanos| i64::try_from(*nanos).is_ok())?;
    Some(Duration::from_nanos(nanos))
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // Digits below a nanosecond do not count.
    let fraction = &fraction[..fraction.len().min(18)];
    let part: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole
        .checked_mul(unit)?
        .checked_add(part.checked_mul(unit)? / scale)
}

/// Whether `n` has no divisor but itself; `n` is at most a few million.
pub(crate) fn is_prime(n: u32) -> bool {
    n >= 2
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let millis = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("1.5s"), Some(1_500));
        assert_eq!(millis(".5s"), Some(500));
        assert_eq!(millis("100ms"), Some(100));
        assert_eq!(millis("0"), Some(0));
        for bad in [
            "",
            "5",
            "s",
            "1d",
            "-1s",
            "1..5s",
            "99999999999h",
            "1h ",
            ".",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn hosts_may_begin_with_a_wildcard_only() {
        for good in [
            "reviews",
            "*",
            "*.example.com",
            "a.b.svc.cluster.local",
            "A_b.c",
            "a.",
        ] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a..b", "a.*.b", "-a", "a b", "*.", "http://a"] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn primes_are_told_from_composites() {
        assert!(is_prime(65_537) && is_prime(5_000_011) && is_prime(2));
        assert!(!is_prime(65_536) && !is_prime(1) && !is_prime(0) && !is_prime(49));
    }
}
