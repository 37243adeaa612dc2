//! The Huffman code of RFC 7541, appendix B. It is canonical: among codes of one length, codes go up
//! with the symbol; so the lengths alone define it.

/// Bits of the code of each byte. The 257th symbol, end of string, has thirty bits, all set.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
];

const LONGEST: usize = 30;
const SHORTEST: usize = 5;

/// What a canonical code needs: per length the first code and where its symbols begin.
struct Code {
    /// The first code of this length.
    first: [u32; LONGEST + 1],
    /// How many codes of this length there are.
    count: [u32; LONGEST + 1],
    /// Where they begin in `symbols`.
    start: [usize; LONGEST + 1],
    /// Bytes by length, then by value.
    symbols: [u8; 256],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut made = Code {
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        start: [0; LONGEST + 1],
        symbols: [0; 256],
    };
    let (mut length, mut next, mut placed) = (1, 0u32, 0);
    while length <= LONGEST {
        next <<= 1;
        made.first[length] = next;
        made.start[length] = placed;
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                made.symbols[placed] = byte as u8;
                placed += 1;
                next += 1;
                made.count[length] += 1;
            }
            byte += 1;
        }
        length += 1;
    }
    made
}

/// Appends what `coded` stands for; `None` when it is no whole string of this code: end of string
/// inside, padding of a byte or more, or padding other than set bits (RFC 7541, section 5.2).
pub(super) fn decode(coded: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let (mut bits, mut held): (u64, usize) = (0, 0);
    let mut bytes = coded.iter();
    loop {
        while held <= 56 {
            let Some(byte) = bytes.next() else { break };
            bits |= u64::from(*byte) << (56 - held);
            held += 8;
        }
        let Some((symbol, length)) = symbol(bits).filter(|(_, length)| *length <= held) else {
            // Less than a byte, and its bits set.
            return (held < 8 && bits.leading_ones() as usize >= held).then_some(());
        };
        into.push(symbol);
        bits <<= length;
        held -= length;
    }
}

/// The byte whose code begins these bits, with the code's length.
fn symbol(bits: u64) -> Option<(u8, usize)> {
    for length in SHORTEST..=LONGEST {
        let code = (bits >> (64 - length)) as u32;
        let offset = code.wrapping_sub(CODE.first[length]);
        if offset < CODE.count[length] {
            return Some((CODE.symbols[CODE.start[length] + offset as usize], length));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(plain: &[u8]) -> Vec<u8> {
        let (mut coded, mut bits, mut held) = (Vec::new(), 0u64, 0);
        for byte in plain {
            let length = LENGTHS[*byte as usize] as usize;
            let rank = (0..*byte).filter(|it| LENGTHS[*it as usize] as usize == length);
            let code = CODE.first[length] + rank.count() as u32;
            bits = bits << length | u64::from(code);
            held += length;
            while held >= 8 {
                coded.push((bits >> (held - 8)) as u8);
                held -= 8;
            }
        }
        if held > 0 {
            coded.push((bits << (8 - held)) as u8 | (0xff >> held));
        }
        coded
    }

    #[test]
    fn decodes_the_examples_of_the_rfc() {
        let mut plain = Vec::new();
        let coded = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        decode(&coded, &mut plain).unwrap();
        assert_eq!(plain, b"www.example.com");
    }

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        let mut plain = Vec::new();
        decode(&encode(&all), &mut plain).unwrap();
        assert_eq!(plain, all);
    }

    #[test]
    fn refuses_wrong_padding_and_end_of_string() {
        let mut plain = Vec::new();
        assert!(decode(&[0b0001_1000], &mut plain).is_none(), "zero padding");
        assert!(decode(&[0b0001_1111, 0xff], &mut plain).is_none(), "a byte");
        for length in [4, 8, 9] {
            let coded = &[0xff; 9][..length];
            assert!(decode(coded, &mut plain).is_none(), "end of string");
        }
        assert!(decode(&[], &mut plain).is_some());
    }
}
