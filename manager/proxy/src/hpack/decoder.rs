//! From a header block to fields.

use super::{
    huffman,
    table::{Dynamic, OVERHEAD},
};

/// Why a header block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// The peer's and our state may differ from now on: the connection is lost.
    #[error("malformed header block")]
    Malformed,
    /// The fields are more than we promised to take.
    #[error("header list too large")]
    TooLarge,
}

use HpackError::{Malformed, TooLarge};

/// The size of the dynamic table that a peer may use: HTTP/2's default.
pub(crate) const TABLE_SIZE: usize = 4096;

/// Reads header blocks of one connection, in their order.
pub struct Decoder {
    table: Dynamic,
    /// What name, value and overhead of all fields of a block may come to.
    max_list: usize,
}

impl Decoder {
    /// A decoder for a new connection, whose blocks hold at most `max_list` bytes of fields, counted
    /// as in RFC 9113, section 10.5.1.
    pub fn new(max_list: usize) -> Self {
        Self {
            table: Dynamic::new(TABLE_SIZE),
            max_list,
        }
    }

    /// Calls `field` with each name and value of a whole block.
    ///
    /// # Errors
    /// When the block is malformed or holds more than allowed; the connection must then end.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        let (mut list, mut begun) = (0, false);
        let (mut name, mut value) = (Vec::new(), Vec::new());
        while let Some(first) = block.first().copied() {
            name.clear();
            value.clear();
            let mut remember = false;
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    let entry = self.table.entry(index).ok_or(Malformed)?;
                    name.extend_from_slice(entry.0);
                    value.extend_from_slice(entry.1);
                }
                0x20..0x40 => {
                    // RFC 7541, section 4.2: only at the beginning of a block.
                    let size = integer(&mut block, 5)?;
                    if begun || size > TABLE_SIZE {
                        return Err(Malformed);
                    }
                    self.table.resize(size);
                    continue;
                }
                _ => {
                    remember = first & 0x40 != 0;
                    match integer(&mut block, if remember { 6 } else { 4 })? {
                        0 => self.string(&mut block, &mut name)?,
                        index => {
                            let entry = self.table.entry(index).ok_or(Malformed)?;
                            name.extend_from_slice(entry.0);
                        }
                    }
                    self.string(&mut block, &mut value)?;
                }
            }
            begun = true;
            list += name.len() + value.len() + OVERHEAD;
            if list > self.max_list {
                return Err(TooLarge);
            }
            if remember {
                self.table.insert(&name, &value);
            }
            field(&name, &value);
        }
        Ok(())
    }

    fn string(&self, block: &mut &[u8], into: &mut Vec<u8>) -> Result<(), HpackError> {
        let coded = block.first().ok_or(Malformed)? & 0x80 != 0;
        let length = integer(block, 7)?;
        let (bytes, rest) = block.split_at_checked(length).ok_or(Malformed)?;
        *block = rest;
        // Five bits, the shortest code, make a byte.
        if length > self.max_list {
            return Err(TooLarge);
        }
        if coded {
            return huffman::decode(bytes, into).ok_or(Malformed);
        }
        into.extend_from_slice(bytes);
        Ok(())
    }
}

/// An integer behind a prefix of some bits (RFC 7541, section 5.1), below 2^28.
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    let (first, mut rest) = block.split_first().ok_or(Malformed)?;
    let full = (1usize << prefix) - 1;
    let mut value = *first as usize & full;
    if value == full {
        for shift in 0.. {
            let (byte, after) = rest.split_first().ok_or(Malformed)?;
            rest = after;
            if shift == 4 {
                return Err(Malformed);
            }
            value += (*byte as usize & 0x7f) << (7 * shift);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, HpackError> {
        let mut fields = Vec::new();
        decoder.decode(block, |name, value| {
            fields.push(format!(
                "{}: {}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            ));
        })?;
        Ok(fields)
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: Vec<u8> = hex.bytes().filter(|it| *it != b' ').collect();
        let pair = |it: &[u8]| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap();
        hex.chunks(2).map(pair).collect()
    }

    /// RFC 7541, section C.4: three requests on one connection, Huffman coded.
    #[test]
    fn decodes_the_requests_of_the_rfc() {
        let mut decoder = Decoder::new(16384);
        let first = decode(
            &mut decoder,
            &bytes("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"),
        );
        assert_eq!(
            first.unwrap(),
            [
                ":method: GET",
                ":scheme: http",
                ":path: /",
                ":authority: www.example.com"
            ]
        );
        let second = decode(&mut decoder, &bytes("8286 84be 5886 a8eb 1064 9cbf"));
        assert_eq!(
            second.unwrap()[3..],
            [":authority: www.example.com", "cache-control: no-cache"]
        );
        let third = bytes("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
        assert_eq!(
            decode(&mut decoder, &third).unwrap()[1..],
            [
                ":scheme: https",
                ":path: /index.html",
                ":authority: www.example.com",
                "custom-key: custom-value"
            ]
        );
    }

    #[test]
    fn the_table_forgets_what_no_longer_fits() {
        let mut decoder = Decoder::new(1 << 20);
        let large = [&[0x40, 1, b'a', 0x7f, 0xd9, 0x1e][..], &[b'x'; 4056]].concat();
        let literal = [0x40, 1, b'b', 1, b'c'];
        assert_eq!(decode(&mut decoder, &large).unwrap().len(), 1);
        assert_eq!(decode(&mut decoder, &[0xbe]).unwrap().len(), 1);
        decode(&mut decoder, &literal).unwrap();
        assert_eq!(decode(&mut decoder, &[0xbe]).unwrap(), ["b: c"]);
        assert_eq!(decode(&mut decoder, &[0xbf]), Err(Malformed), "evicted");
    }

    #[test]
    fn refuses_what_the_rfc_forbids() {
        let cases: [(&str, &[u8]); 6] = [
            ("index zero", &[0x80]),
            ("an index beyond the table", &[0xff, 0x7f]),
            (
                "an endless integer",
                &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            ),
            ("a string beyond the block", &[0x40, 5, b'a']),
            ("a table larger than ours", &[0x3f, 0xe2, 0x1f]),
            ("a resize after a field", &[0x82, 0x20]),
        ];
        for (what, block) in cases {
            assert_eq!(
                decode(&mut Decoder::new(16384), block),
                Err(Malformed),
                "{what}"
            );
        }
    }

    #[test]
    fn a_list_that_is_too_long_is_refused() {
        let block = [0x82].repeat(400);
        assert_eq!(decode(&mut Decoder::new(16384), &block), Err(TooLarge));
        assert!(decode(&mut Decoder::new(32768), &block).is_ok());
    }
}
