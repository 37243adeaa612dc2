//! What a CONNECT says, and what its answer does.

use std::net::{IpAddr, SocketAddr};

use crate::hpack::{Decoder, HpackError};

/// The fields of a request that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// `:method`.
    pub(crate) method: Vec<u8>,
    /// `:authority`.
    pub(crate) authority: Vec<u8>,
    /// The value of the last `forwarded`.
    pub(crate) forwarded: Vec<u8>,
    /// A field that a CONNECT must not have, or one given twice (RFC 9113, section 8.5).
    pub(crate) malformed: bool,
}

/// Reads a block as a request.
pub(crate) fn read_request(decoder: &mut Decoder, block: &[u8]) -> Result<Head, HpackError> {
    let mut head = Head::default();
    let (mut regular, mut methods, mut authorities) = (false, 0, 0);
    decoder.decode(block, |name, value| {
        // Pseudo-header fields come first (RFC 9113, section 8.3).
        let pseudo = name.first() == Some(&b':');
        head.malformed |= pseudo && regular || name.iter().any(u8::is_ascii_uppercase);
        regular |= !pseudo;
        match name {
            b":method" => {
                head.method = value.to_vec();
                methods += 1;
            }
            b":authority" => {
                head.authority = value.to_vec();
                authorities += 1;
            }
            b"forwarded" => head.forwarded = value.to_vec(),
            _ => head.malformed |= pseudo,
        }
    })?;
    head.malformed |= methods != 1 || authorities != 1;
    Ok(head)
}

/// Reads a block as a response: its status, when it has a valid one.
pub(crate) fn read_status(decoder: &mut Decoder, block: &[u8]) -> Result<Option<u16>, HpackError> {
    let mut status = None;
    decoder.decode(block, |name, value| {
        if name == b":status" && value.len() == 3 {
            let text = std::str::from_utf8(value).ok();
            status = text.and_then(|it| it.parse().ok());
        }
    })?;
    Ok(status)
}

impl Head {
    /// Address and port of the authority. Names are for gateways; we are none.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        let address: SocketAddr = std::str::from_utf8(&self.authority).ok()?.parse().ok()?;
        let whole = address.port() != 0;
        whole.then(|| SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The port of the client, from `forwarded: for=ADDRESS:PORT`, when it names that address.
    pub(crate) fn client_port(&self, address: IpAddr) -> Option<u16> {
        let text = std::str::from_utf8(&self.forwarded).ok()?;
        let mut pairs = text.split([';', ',']).map(str::trim);
        let value = pairs.find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.eq_ignore_ascii_case("for").then_some(value)
        })?;
        let client: SocketAddr = value.trim_matches('"').parse().ok()?;
        (client.ip().to_canonical() == address).then(|| client.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::Encoder;

    fn read(fields: &[(&str, &str)]) -> Head {
        let block = fields
            .iter()
            .fold(Encoder::default(), |it, (n, v)| it.field(n, v));
        read_request(&mut Decoder::new(16384), &block.finish()).unwrap()
    }

    #[test]
    fn takes_address_and_port_from_the_authority() {
        let cases = [
            ("10.0.0.1:80", Some("10.0.0.1:80")),
            ("[fd00::1]:443", Some("[fd00::1]:443")),
            ("[::ffff:10.0.0.1]:80", Some("10.0.0.1:80")),
            ("10.0.0.1", None),
            ("10.0.0.1:0", None),
            ("10.0.0.1:99999", None),
            ("shop.default.svc:80", None),
            ("", None),
        ];
        for (authority, expected) in cases {
            let head = read(&[(":method", "CONNECT"), (":authority", authority)]);
            let expected = expected.map(|it| it.parse().unwrap());
            assert_eq!(head.destination(), expected, "{authority}");
        }
    }

    #[test]
    fn believes_the_port_of_the_same_address_only() {
        let client = "10.0.0.9".parse().unwrap();
        let cases = [
            ("for=10.0.0.9:4711", Some(4711)),
            ("by=x; for=\"10.0.0.9:4711\";host=h", Some(4711)),
            ("for=10.0.0.8:4711", None),
            ("for=\"[fd00::1]:4711\"", None),
            ("for=unknown", None),
        ];
        for (forwarded, expected) in cases {
            let head = read(&[(":method", "CONNECT"), ("forwarded", forwarded)]);
            assert_eq!(head.client_port(client), expected, "{forwarded}");
        }
    }

    #[test]
    fn notices_what_a_connect_must_not_have() {
        let good = [(":method", "CONNECT"), (":authority", "10.0.0.1:80")];
        assert!(!read(&good).malformed);
        let bad: [&[(&str, &str)]; 4] = [
            &[(":path", "/")],
            &[(":scheme", "https")],
            &[(":authority", "10.0.0.2:80")],
            &[("x", "y"), (":method", "CONNECT")],
        ];
        for more in bad {
            assert!(read(&[&good, more].concat()).malformed, "{more:?}");
        }
    }
}
