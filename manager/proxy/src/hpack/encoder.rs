//! From fields to a header block, without Huffman code and without memory: a tunnel's few short
//! fields are not worth either.

use super::table::STATIC;

/// A header block being written.
#[derive(Default)]
pub(crate) struct Encoder {
    block: Vec<u8>,
}

impl Encoder {
    /// Adds a field; a name or a whole field of the static table goes by its index.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        let index = |it: &(&str, &str)| it.0 == name && it.1 == value && !value.is_empty();
        if let Some(found) = STATIC.iter().position(index) {
            self.integer(0x80, 7, found + 1);
            return self;
        }
        // Literal without indexing.
        match STATIC.iter().position(|it| it.0 == name) {
            Some(found) => self.integer(0, 4, found + 1),
            None => {
                self.integer(0, 4, 0);
                self.string(name);
            }
        }
        self.string(value);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.block
    }

    fn string(&mut self, text: &str) {
        self.integer(0, 7, text.len());
        self.block.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, pattern: u8, prefix: u32, value: usize) {
        let full = (1usize << prefix) - 1;
        if value < full {
            self.block.push(pattern | value as u8);
            return;
        }
        self.block.push(pattern | full as u8);
        let mut rest = value - full;
        while rest >= 0x80 {
            self.block.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.block.push(rest as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Decoder;
    use super::*;

    #[test]
    fn what_is_encoded_decodes() {
        let long = "x".repeat(300);
        let fields = [
            (":method", "CONNECT"),
            (":status", "200"),
            (":authority", "10.0.0.1:80"),
            ("forwarded", long.as_str()),
            ("baggage", ""),
        ];
        let mut encoder = Encoder::default();
        for (name, value) in fields {
            encoder = encoder.field(name, value);
        }
        let mut found = Vec::new();
        let block = encoder.finish();
        Decoder::new(16384)
            .decode(&block, |name, value| {
                found.push((name.to_vec(), value.to_vec()));
            })
            .unwrap();
        let expected = fields.map(|(name, value)| (name.into(), value.into()));
        assert_eq!(found, expected);
    }
}
