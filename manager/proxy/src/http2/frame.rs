//! Frames as values, and as bytes to send.

use super::Code;

/// What a client says first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame's head.
pub(crate) const HEAD: usize = 9;

/// Frame types (RFC 9113, section 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags; some share a bit.
pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// One entry of SETTINGS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// RFC 9113, section 6.5.2.
    pub identifier: u16,
    /// Its value, already checked against that section's ranges.
    pub value: u32,
}

impl Setting {
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// What the reader found.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A DATA frame begins. Its pieces follow.
    DataHead {
        /// Never zero.
        stream: u32,
        /// Bytes it takes from the flow control windows, padding included.
        flow: u32,
        /// How many of those carry nothing.
        padding: u32,
    },
    /// A piece of the DATA frame that began last.
    Data {
        /// Never zero.
        stream: u32,
        /// May be empty.
        bytes: &'a [u8],
        /// The last byte that the peer sends on this stream was in here or before.
        end: bool,
    },
    /// A whole header block, continuations included.
    Headers {
        /// Never zero.
        stream: u32,
        /// For the decoder, which must see every block.
        block: Vec<u8>,
        /// Nothing follows on this stream.
        end: bool,
    },
    /// SETTINGS, to be acknowledged.
    Settings(Vec<Setting>),
    /// Ours were taken.
    SettingsAck,
    /// PING, or the answer to ours.
    Ping {
        /// It is the answer.
        ack: bool,
        /// To be sent back.
        payload: [u8; 8],
    },
    /// RST_STREAM.
    Reset {
        /// Never zero.
        stream: u32,
        /// Why.
        code: Code,
    },
    /// The peer takes no more streams.
    GoAway {
        /// The last stream it may have acted on.
        last: u32,
        /// Why.
        code: Code,
    },
    /// More may be sent.
    WindowUpdate {
        /// Zero for the connection.
        stream: u32,
        /// Never zero.
        increment: u32,
    },
    /// An error of one stream; the connection goes on.
    Broken {
        /// Never zero.
        stream: u32,
        /// What to reset it with.
        code: Code,
    },
    /// PRIORITY, or a type we do not know.
    Ignored,
}

/// The nine bytes before a payload.
pub(crate) fn head(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEAD] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

pub(crate) fn put_head(into: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    into.extend_from_slice(&head(length, kind, flags, stream));
}

/// RST_STREAM and WINDOW_UPDATE: frames with one number.
pub(crate) fn put_u32_frame(into: &mut Vec<u8>, kind: u8, stream: u32, value: u32) {
    put_head(into, 4, kind, 0, stream);
    into.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_settings(into: &mut Vec<u8>, settings: &[(u16, u32)]) {
    put_head(into, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (identifier, value) in settings {
        into.extend_from_slice(&identifier.to_be_bytes());
        into.extend_from_slice(&value.to_be_bytes());
    }
}

/// HEADERS, and CONTINUATION where a block exceeds the smallest frame size a peer must take.
pub(crate) fn put_headers(into: &mut Vec<u8>, stream: u32, block: &[u8], end: bool) {
    const SMALLEST: usize = 16_384;
    let mut pieces = block.chunks(SMALLEST).peekable();
    let (mut kind, mut flags) = (kind::HEADERS, if end { flag::END_STREAM } else { 0 });
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= flag::END_HEADERS;
        }
        put_head(into, piece.len(), kind, flags, stream);
        into.extend_from_slice(piece);
        (kind, flags) = (kind::CONTINUATION, 0);
    }
}
