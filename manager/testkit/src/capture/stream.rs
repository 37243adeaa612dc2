//! TCP streams put together from packets, and whether they are TLS.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{Frame, Transport};

/// One direction of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stream {
    /// Who sent it.
    pub source: SocketAddr,
    /// Who received it.
    pub destination: SocketAddr,
    /// Whether its beginning was captured.
    pub is_from_start: bool,
    /// Its bytes, up to the first that is missing.
    pub bytes: Vec<u8>,
    /// Bytes behind a gap.
    pub behind_gap: usize,
}

impl Stream {
    /// Number of whole TLS records (RFC 8446 5.1) that it consists of; the last may be cut.
    ///
    /// # Errors
    /// With the offset and the bytes of what is no record.
    pub fn tls_records(&self) -> Result<usize, String> {
        let (mut at, mut records) = (0, 0);
        while let Some(header) = self.bytes.get(at..at + 5) {
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            // Change cipher spec, alert, handshake, application data; every version since 1.0
            // calls itself 3.x there.
            let is_record =
                (20..=23).contains(&header[0]) && header[1] == 3 && length <= 16_384 + 256;
            if !is_record {
                return Err(format!(
                    "offset {at} of {}: {header:02x?}",
                    self.bytes.len()
                ));
            }
            at += 5 + length;
            if at <= self.bytes.len() {
                records += 1;
            }
        }
        Ok(records)
    }
}

/// One port of a host, so that a port used twice makes two streams.
type Key = (SocketAddr, SocketAddr, u32);

pub(super) fn assemble(frames: &[Frame]) -> Vec<Stream> {
    let mut current: BTreeMap<(SocketAddr, SocketAddr), Key> = BTreeMap::new();
    let mut pieces: BTreeMap<Key, Vec<(u32, &Frame)>> = BTreeMap::new();
    let mut order: Vec<(Key, bool)> = Vec::new();
    for frame in frames {
        let Transport::Tcp { sequence, is_syn } = frame.transport else {
            continue;
        };
        let pair = (frame.source, frame.destination);
        let start = if is_syn {
            sequence.wrapping_add(1)
        } else {
            sequence
        };
        if is_syn && current.get(&pair).is_none_or(|key| key.2 != start)
            || !current.contains_key(&pair)
        {
            let key = (pair.0, pair.1, start);
            current.insert(pair, key);
            order.push((key, is_syn));
        }
        if !frame.payload.is_empty()
            && let Some(key) = current.get(&pair)
        {
            let offset = start.wrapping_sub(key.2);
            pieces.entry(*key).or_default().push((offset, frame));
        }
    }
    let streams = order.into_iter().map(|(key, is_from_start)| {
        let pieces = pieces.remove(&key).unwrap_or_default();
        join(key, is_from_start, pieces)
    });
    streams.collect()
}

fn join(key: Key, is_from_start: bool, mut pieces: Vec<(u32, &Frame)>) -> Stream {
    pieces.sort_by_key(|(offset, _)| *offset);
    let mut stream = Stream {
        source: key.0,
        destination: key.1,
        is_from_start,
        bytes: Vec::new(),
        behind_gap: 0,
    };
    for (offset, frame) in pieces {
        let (offset, have) = (offset as usize, stream.bytes.len());
        if offset > have {
            stream.behind_gap += frame.payload.len();
        } else if let Some(fresh) = frame.payload.get(have - offset..) {
            stream.bytes.extend_from_slice(fresh);
        }
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: u32, is_syn: bool, payload: &[u8]) -> Frame {
        Frame {
            source: "10.81.1.10:4000".parse().unwrap(),
            destination: "10.81.2.10:15008".parse().unwrap(),
            transport: Transport::Tcp { sequence, is_syn },
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn segments_out_of_order_and_sent_twice_make_one_stream() {
        let frames = [
            frame(u32::MAX, true, b""),
            frame(3, false, b"def"),
            frame(0, false, b"abc"),
            frame(0, false, b"abcd"),
        ];
        let streams = assemble(&frames);
        assert_eq!(streams.len(), 1);
        assert_eq!(streams[0].bytes, b"abcdef");
        assert!(streams[0].is_from_start);
    }

    #[test]
    fn a_port_used_again_is_another_stream() {
        let frames = [
            frame(10, true, b""),
            frame(11, false, b"one"),
            frame(900, true, b""),
            frame(901, false, b"two"),
        ];
        let bytes: Vec<Vec<u8>> = assemble(&frames).into_iter().map(|s| s.bytes).collect();
        assert_eq!(bytes, [b"one", b"two"]);
    }

    #[test]
    fn text_is_no_tls_and_a_gap_is_told() {
        let text = assemble(&[frame(0, true, b""), frame(1, false, b"GET / HTTP/1.1\r\n")]);
        assert!(text[0].tls_records().is_err());
        let record = [23, 3, 3, 0, 2, 9, 9];
        let tls = assemble(&[frame(0, true, b""), frame(1, false, &record)]);
        assert_eq!(tls[0].tls_records(), Ok(1));
        let gap = assemble(&[frame(0, true, b""), frame(5, false, &record)]);
        assert_eq!(gap[0].behind_gap, 7);
    }
}
