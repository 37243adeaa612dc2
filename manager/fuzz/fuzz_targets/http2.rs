//! No bytes of a peer make the readers of frames and header blocks panic or hold more than their
//! limits, and where the bytes are cut makes no difference.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_proxy::{Decoder, Frame, Reader};

const MAX_FRAME: usize = 1 << 20;
const MAX_HEADERS: usize = 16_384;

/// What was read, with pieces of DATA put together, up to an error.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Vec<u8>) {
    let mut reader = Reader::new(MAX_FRAME, MAX_HEADERS);
    let mut decoder = Decoder::new(MAX_HEADERS);
    let (mut seen, mut data) = (Vec::new(), Vec::new());
    for mut input in pieces {
        loop {
            match reader.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Frame::Data { bytes, end, .. })) => {
                    data.extend_from_slice(bytes);
                    if end {
                        seen.push("end".to_owned());
                    }
                }
                Ok(Some(Frame::Headers { block, .. })) => {
                    assert!(block.len() <= MAX_HEADERS);
                    let mut size = 0;
                    let decoded = decoder.decode(&block, |name, value| size += name.len() + value.len());
                    assert!(size <= MAX_HEADERS);
                    if let Err(error) = decoded {
                        seen.push(error.to_string());
                        return (seen, data);
                    }
                    seen.push(format!("{size} bytes of fields"));
                }
                Ok(Some(frame)) => seen.push(format!("{frame:?}")),
                Err(error) => {
                    seen.push(error.to_string());
                    return (seen, data);
                }
            }
        }
    }
    (seen, data)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let whole = read(std::iter::once(bytes));
    assert_eq!(read(bytes.chunks(usize::from(cut) + 1)), whole);
});
