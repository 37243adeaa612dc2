use super::*;
use crate::http2::frame::{head, put_headers, put_settings};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&head(payload.len(), kind, flags, stream)[..], payload].concat()
}

fn read(bytes: &[u8]) -> Result<Vec<String>, Http2Error> {
    let mut reader = Reader::new(1 << 20, 16_384);
    let (mut input, mut seen) = (bytes, Vec::new());
    while let Some(frame) = reader.next(&mut input)? {
        seen.push(format!("{frame:?}"));
    }
    assert!(input.is_empty());
    Ok(seen)
}

/// What is read, with pieces of DATA put together: independent of where the input was cut.
fn joined(bytes: &[u8], cut: usize) -> (Vec<String>, Vec<u8>) {
    let mut reader = Reader::new(1 << 20, 16_384);
    let (mut seen, mut data) = (Vec::new(), Vec::new());
    for mut input in bytes.chunks(cut) {
        while let Some(frame) = reader.next(&mut input).unwrap() {
            match frame {
                Frame::Data { bytes, end, .. } => {
                    data.extend_from_slice(bytes);
                    if end {
                        seen.push("end".to_owned());
                    }
                }
                other => seen.push(format!("{other:?}")),
            }
        }
    }
    (seen, data)
}

#[test]
fn where_the_bytes_are_cut_makes_no_difference() {
    let mut bytes = Vec::new();
    put_settings(&mut bytes, &[(4, 1 << 20), (5, 16_384)]);
    put_headers(&mut bytes, 1, &vec![7; 16_384], false);
    bytes.extend(frame(kind::DATA, 0, 1, &[1; 300]));
    bytes.extend(frame(kind::PING, 0, 0, &[9; 8]));
    bytes.extend(frame(kind::DATA, flag::PADDED, 1, &[3, 5, 6, 0, 0, 0]));
    bytes.extend(frame(kind::DATA, flag::PADDED | flag::END_STREAM, 1, &[0]));
    let whole = joined(&bytes, usize::MAX);
    assert_eq!(whole.1.len(), 302);
    assert_eq!(whole.0.last().unwrap(), "end");
    for cut in [1, 2, 8, 9, 10, 100] {
        assert_eq!(joined(&bytes, cut), whole, "cut at {cut}");
    }
}

#[test]
fn padding_counts_and_carries_nothing() {
    let padded = frame(kind::DATA, flag::PADDED, 1, &[2, b'a', 0, 0]);
    let (seen, data) = joined(&padded, usize::MAX);
    assert_eq!(seen, ["DataHead { stream: 1, flow: 4, padding: 3 }"]);
    assert_eq!(data, b"a");
}

#[test]
fn a_block_may_come_in_pieces() {
    let bytes = [
        frame(kind::HEADERS, flag::END_STREAM, 3, b"ab"),
        frame(kind::CONTINUATION, 0, 3, b"c"),
        frame(kind::CONTINUATION, flag::END_HEADERS, 3, b"d"),
    ];
    let expected = "Headers { stream: 3, block: [97, 98, 99, 100], end: true }";
    assert_eq!(read(&bytes.concat()).unwrap(), [expected]);
}

#[test]
fn breaches_end_the_connection_with_the_right_code() {
    let open = frame(kind::HEADERS, 0, 1, b"a");
    let cases: [(&str, Vec<u8>, Code); 18] = [
        ("DATA on stream 0", frame(0, 0, 0, b""), Code::PROTOCOL),
        ("HEADERS on stream 0", frame(1, 4, 0, b""), Code::PROTOCOL),
        ("SETTINGS on a stream", frame(4, 0, 1, b""), Code::PROTOCOL),
        (
            "SETTINGS of odd size",
            frame(4, 0, 0, b"a"),
            Code::FRAME_SIZE,
        ),
        (
            "an ack with content",
            frame(4, 1, 0, &[0; 6]),
            Code::FRAME_SIZE,
        ),
        (
            "push set to two",
            frame(4, 0, 0, &[0, 2, 0, 0, 0, 2]),
            Code::PROTOCOL,
        ),
        (
            "a huge window",
            frame(4, 0, 0, &[0, 4, 255, 0, 0, 0]),
            Code::FLOW_CONTROL,
        ),
        (
            "a tiny frame size",
            frame(4, 0, 0, &[0, 5, 0, 0, 0, 9]),
            Code::PROTOCOL,
        ),
        ("PUSH_PROMISE", frame(5, 4, 1, &[0; 8]), Code::PROTOCOL),
        ("a short PING", frame(6, 0, 0, &[0; 7]), Code::FRAME_SIZE),
        ("a short GOAWAY", frame(7, 0, 0, &[0; 7]), Code::FRAME_SIZE),
        ("a window by zero", frame(8, 0, 0, &[0; 4]), Code::PROTOCOL),
        ("CONTINUATION alone", frame(9, 4, 1, b""), Code::PROTOCOL),
        (
            "another frame inside",
            [open.clone(), frame(6, 0, 0, &[0; 8])].concat(),
            Code::PROTOCOL,
        ),
        (
            "another stream inside",
            [open.clone(), frame(9, 4, 3, b"")].concat(),
            Code::PROTOCOL,
        ),
        ("too much padding", frame(0, 8, 1, &[9, 0]), Code::PROTOCOL),
        (
            "too many pieces",
            [open, frame(9, 0, 1, b"").repeat(16)].concat(),
            Code::ENHANCE_YOUR_CALM,
        ),
        (
            "a frame too large",
            head((1 << 20) + 1, 0, 0, 1).to_vec(),
            Code::FRAME_SIZE,
        ),
    ];
    for (what, bytes, code) in cases {
        assert_eq!(read(&bytes).map_err(|it| it.code), Err(code), "{what}");
    }
}

#[test]
fn a_breach_of_one_stream_leaves_the_others() {
    let window = frame(kind::WINDOW_UPDATE, 0, 5, &[0; 4]);
    assert_eq!(
        read(&window).unwrap(),
        ["Broken { stream: 5, code: Code(1) }"]
    );
    let priority = frame(kind::PRIORITY, 0, 5, &[0; 4]);
    assert_eq!(
        read(&priority).unwrap(),
        ["Broken { stream: 5, code: Code(6) }"]
    );
    assert_eq!(read(&frame(99, 0, 5, &[0; 4])).unwrap(), ["Ignored"]);
}
