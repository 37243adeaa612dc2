//! `consistentHash`.

use super::duration_or_zero;
use crate::{
    Severity,
    decode::Reading,
    kinds::destination_rule::{
        traffic::{HashAlgorithm, HashKey, HashPolicy},
        written::{ConsistentHash, Cookie},
    },
    path::At,
    syntax,
};

/// The largest table Envoy allows.
const MAX_TABLE_SIZE: i64 = 5_000_011;

/// What requests are hashed by, with the size of the Maglev table if there is one.
pub(super) fn consistent_hash(
    written: &ConsistentHash,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> (Option<HashPolicy>, Option<u32>) {
    let keys = usize::from(written.http_header_name.is_some())
        + usize::from(written.http_cookie.is_some())
        + usize::from(written.use_source_ip.is_some())
        + usize::from(written.http_query_parameter_name.is_some());
    let one_of = "httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName";
    cx.require(
        keys <= 1,
        at,
        format_args!("only one of {one_of} may be set"),
    );
    if keys == 0 {
        cx.warn(
            at,
            format_args!("one of {one_of} should be set; the default balancing is used"),
        );
    }
    if written.maglev.is_some() && written.ring_hash.is_some() {
        cx.reject(at, "only one of ringHash and maglev may be set");
    }
    let ring_at = at.key("ringHash");
    let ring = written.ring_hash.as_ref();
    let ring = ring.and_then(|ring| ring.minimum_ring_size);
    let sizes = [
        ring_size(written.minimum_ring_size, at.key("minimumRingSize"), cx),
        ring_size(ring, ring_at.key("minimumRingSize"), cx),
    ];
    let maglev_at = at.key("maglev");
    let size = written.maglev.as_ref().and_then(|maglev| maglev.table_size);
    let table_size = table_size(size, maglev_at.key("tableSize"), cx);
    let algorithm = match written.maglev {
        Some(_) => HashAlgorithm::Maglev {
            table_size: table_size.unwrap_or(65_537),
        },
        None => HashAlgorithm::Ring {
            minimum_size: sizes.into_iter().flatten().next_back().unwrap_or(1024),
        },
    };
    let key = key(written, at, cx);
    (key.map(|key| HashPolicy { key, algorithm }), table_size)
}

fn key(written: &ConsistentHash, at: At<'_>, cx: &mut Reading<'_>) -> Option<HashKey> {
    if let Some(cookie) = &written.http_cookie {
        return cookie_key(cookie, at.key("httpCookie"), cx);
    }
    if let Some(name) = &written.http_header_name {
        return Some(HashKey::Header(name.as_str().into()));
    }
    if let Some(name) = &written.http_query_parameter_name {
        return Some(HashKey::Query(name.as_str().into()));
    }
    (written.use_source_ip == Some(true)).then_some(HashKey::SourceIp)
}

fn cookie_key(cookie: &Cookie, at: At<'_>, cx: &mut Reading<'_>) -> Option<HashKey> {
    let name = cookie.name.as_deref().unwrap_or("");
    cx.require(!name.is_empty(), at, "name required for HttpCookie");
    let ttl = duration_or_zero(cookie.ttl.as_deref(), at.key("ttl"), cx);
    let list = at.key("attributes");
    let mut attributes = Vec::new();
    for (index, attribute) in cookie.attributes.iter().flatten().enumerate() {
        let name = attribute.name.as_deref().unwrap_or("");
        cx.require(
            !name.is_empty(),
            list.index(index),
            "name required for HttpCookie attribute",
        );
        let value = attribute.value.as_deref().unwrap_or("");
        attributes.push((name.into(), value.into()));
    }
    Some(HashKey::Cookie {
        name: name.into(),
        path: cookie.path.as_deref().unwrap_or("").into(),
        ttl,
        attributes,
    })
}

fn ring_size(written: Option<i64>, at: At<'_>, cx: &mut Reading<'_>) -> Option<u64> {
    let size = written?;
    let Ok(size) = u64::try_from(size) else {
        cx.reject(at, "must be non-negative");
        return None;
    };
    let message = "a Maglev table is used instead of a ring, so its size has no effect";
    cx.find(Severity::Info, "not-supported", at.into(), message);
    Some(size)
}

fn table_size(written: Option<i64>, at: At<'_>, cx: &mut Reading<'_>) -> Option<u32> {
    let size = written.filter(|size| *size != 0)?;
    if !(0..=MAX_TABLE_SIZE).contains(&size) {
        cx.reject(
            at,
            format_args!("must be less than or equal to {MAX_TABLE_SIZE}"),
        );
        return None;
    }
    let size = u32::try_from(size).ok()?;
    cx.require(
        syntax::is_prime(size),
        at,
        format_args!("{size} is not a prime number"),
    );
    Some(size)
}
