//! From a stream of bytes, cut anywhere, to frames. DATA goes through piece by piece without a copy;
//! everything else is gathered, within limits.

use super::{
    Code, Http2Error,
    frame::{Frame, HEAD, Setting, flag, kind},
};

/// What may be gathered of a frame that is not DATA, and of a block of headers.
const LARGEST_GATHERED: usize = 16_384;

/// Reads one direction of one connection.
pub struct Reader {
    state: State,
    max_frame: usize,
    max_block: usize,
    /// The block of headers that CONTINUATION must go on with.
    block: Option<Block>,
}

struct Block {
    stream: u32,
    end: bool,
    bytes: Vec<u8>,
    /// Frames it took so far.
    frames: usize,
}

#[derive(Clone, Copy, Default)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

enum State {
    /// Bytes of the head so far.
    Head([u8; HEAD], usize),
    /// DATA whose length of padding is still to come.
    Padding(Head),
    /// DATA under way: bytes of it and of its padding that are still to come.
    Data(Head, usize, usize),
    /// Another frame, and its payload so far.
    Payload(Head, Vec<u8>),
}

impl Reader {
    /// A reader of frames of at most `max_frame` bytes and of header blocks of at most `max_block`.
    pub fn new(max_frame: usize, max_block: usize) -> Self {
        Self {
            state: State::Head([0; HEAD], 0),
            max_frame,
            max_block,
            block: None,
        }
    }

    /// The next frame or piece; `None` when `input` is used up, which it then is.
    ///
    /// # Errors
    /// When the peer broke the protocol in a way that ends the connection.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Http2Error> {
        loop {
            match &mut self.state {
                State::Head(bytes, have) => {
                    let taken = take(input, HEAD - *have);
                    bytes[*have..*have + taken.len()].copy_from_slice(taken);
                    *have += taken.len();
                    if *have < HEAD {
                        return Ok(None);
                    }
                    let head = Head::new(bytes);
                    if let Some(frame) = self.begin(head)? {
                        return Ok(Some(frame));
                    }
                }
                State::Padding(head) => {
                    let head = *head;
                    let Some(padding) = take(input, 1).first().copied() else {
                        return Ok(None);
                    };
                    return self.begin_data(head, usize::from(padding) + 1).map(Some);
                }
                State::Data(head, left, padding) => {
                    let head = *head;
                    if *left > 0 || *padding == 0 {
                        let bytes = take(input, *left);
                        *left -= bytes.len();
                        let whole = *left == 0 && *padding == 0;
                        if bytes.is_empty() && !whole {
                            return Ok(None);
                        }
                        if whole {
                            self.state = State::Head([0; HEAD], 0);
                        }
                        let end = whole && head.has(flag::END_STREAM);
                        let stream = head.stream;
                        return Ok(Some(Frame::Data { stream, bytes, end }));
                    }
                    *padding -= take(input, *padding).len();
                    if *padding > 0 {
                        return Ok(None);
                    }
                    // The piece that may end the stream comes after the padding, empty.
                }
                State::Payload(head, payload) => {
                    let taken = take(input, head.length - payload.len());
                    payload.extend_from_slice(taken);
                    if payload.len() < head.length {
                        return Ok(None);
                    }
                    let (head, payload) = (*head, std::mem::take(payload));
                    self.state = State::Head([0; HEAD], 0);
                    if let Some(frame) = self.whole(head, payload)? {
                        return Ok(Some(frame));
                    }
                }
            }
        }
    }

    fn begin(&mut self, head: Head) -> Result<Option<Frame<'static>>, Http2Error> {
        if head.length > self.max_frame {
            return Err(Http2Error::new(Code::FRAME_SIZE, "a frame above our limit"));
        }
        let continues = head.kind == kind::CONTINUATION;
        match &self.block {
            Some(block) if !continues || block.stream != head.stream => {
                return Err(Http2Error::protocol("a header block interrupted"));
            }
            None if continues => {
                return Err(Http2Error::protocol("CONTINUATION of nothing"));
            }
            _ => {}
        }
        let on_stream = head.stream != 0;
        let place = match head.kind {
            kind::DATA | kind::HEADERS | kind::PRIORITY | kind::RST_STREAM => on_stream,
            kind::SETTINGS | kind::PING | kind::GOAWAY => !on_stream,
            // Clients and servers alike refuse it: we never enable push.
            kind::PUSH_PROMISE => false,
            _ => true,
        };
        if !place {
            return Err(Http2Error::protocol("a frame where it may not be"));
        }
        if head.kind == kind::DATA {
            if !head.has(flag::PADDED) {
                return self.begin_data(head, 0).map(Some);
            }
            if head.length == 0 {
                return Err(Http2Error::new(Code::FRAME_SIZE, "padding without room"));
            }
            self.state = State::Padding(head);
            return Ok(None);
        }
        if head.length > LARGEST_GATHERED {
            return Err(Http2Error::calm("a frame too large to be gathered"));
        }
        self.state = State::Payload(head, Vec::new());
        Ok(None)
    }

    fn begin_data(&mut self, head: Head, padding: usize) -> Result<Frame<'static>, Http2Error> {
        let Some(left) = head.length.checked_sub(padding) else {
            return Err(Http2Error::protocol("padding longer than its frame"));
        };
        self.state = State::Data(head, left, padding.saturating_sub(1));
        Ok(Frame::DataHead {
            stream: head.stream,
            flow: head.length as u32,
            padding: padding as u32,
        })
    }

    fn whole(
        &mut self,
        head: Head,
        payload: Vec<u8>,
    ) -> Result<Option<Frame<'static>>, Http2Error> {
        let stream = head.stream;
        let size = |right: bool| {
            let error = Http2Error::new(Code::FRAME_SIZE, "a frame of the wrong size");
            right.then_some(()).ok_or(error)
        };
        let number = |at: usize| {
            let bytes = payload.get(at..at + 4).and_then(|it| it.try_into().ok());
            u32::from_be_bytes(bytes.unwrap_or_default())
        };
        let frame = match head.kind {
            kind::HEADERS => return self.headers(head, payload),
            kind::CONTINUATION => return self.continuation(head, &payload),
            kind::PRIORITY if payload.len() != 5 => {
                let code = Code::FRAME_SIZE;
                Frame::Broken { stream, code }
            }
            kind::RST_STREAM => {
                size(payload.len() == 4)?;
                let code = Code(number(0));
                Frame::Reset { stream, code }
            }
            kind::SETTINGS if head.has(flag::ACK) => {
                size(payload.is_empty())?;
                Frame::SettingsAck
            }
            kind::SETTINGS => {
                size(payload.len().is_multiple_of(6))?;
                let settings = payload.chunks_exact(6).map(setting);
                Frame::Settings(settings.collect::<Result<_, _>>()?)
            }
            kind::PING => {
                let sized = payload.as_slice().try_into();
                let Ok(payload) = sized else {
                    return Err(Http2Error::new(
                        Code::FRAME_SIZE,
                        "a PING of the wrong size",
                    ));
                };
                let ack = head.has(flag::ACK);
                Frame::Ping { ack, payload }
            }
            kind::GOAWAY => {
                size(payload.len() >= 8)?;
                let (last, code) = (number(0) & MAX_STREAM, Code(number(4)));
                Frame::GoAway { last, code }
            }
            kind::WINDOW_UPDATE => {
                size(payload.len() == 4)?;
                match (number(0) & MAX_STREAM, stream) {
                    (0, 0) => return Err(Http2Error::protocol("a window grown by nothing")),
                    (0, _) => {
                        let code = Code::PROTOCOL;
                        Frame::Broken { stream, code }
                    }
                    (increment, _) => Frame::WindowUpdate { stream, increment },
                }
            }
            _ => Frame::Ignored,
        };
        Ok(Some(frame))
    }

    fn headers(
        &mut self,
        head: Head,
        payload: Vec<u8>,
    ) -> Result<Option<Frame<'static>>, Http2Error> {
        let error = Http2Error::protocol("padding longer than its frame");
        let (mut from, mut padding) = (0, 0);
        if head.has(flag::PADDED) {
            padding = usize::from(*payload.first().ok_or(error)?);
            from += 1;
        }
        if head.has(flag::PRIORITY) {
            from += 5;
        }
        let until = payload.len().checked_sub(padding).ok_or(error)?;
        let bytes = payload.get(from..until).ok_or(error)?.to_vec();
        self.block = Some(Block {
            stream: head.stream,
            end: head.has(flag::END_STREAM),
            bytes,
            frames: 1,
        });
        self.end_of_block(head)
    }

    fn continuation(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Frame<'static>>, Http2Error> {
        if let Some(block) = &mut self.block {
            block.bytes.extend_from_slice(payload);
            block.frames += 1;
            // Sixteen pieces of a block that may have one frame's worth are no accident.
            if block.frames > 16 {
                return Err(Http2Error::calm("a header block in too many pieces"));
            }
        }
        self.end_of_block(head)
    }

    fn end_of_block(&mut self, head: Head) -> Result<Option<Frame<'static>>, Http2Error> {
        let large = |block: &Block| block.bytes.len() > self.max_block;
        if self.block.as_ref().is_some_and(large) {
            return Err(Http2Error::calm("a header block above our limit"));
        }
        if !head.has(flag::END_HEADERS) {
            return Ok(None);
        }
        Ok(self.block.take().map(|block| Frame::Headers {
            stream: block.stream,
            block: block.bytes,
            end: block.end,
        }))
    }
}

const MAX_STREAM: u32 = 0x7fff_ffff;

impl Head {
    fn new(bytes: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & MAX_STREAM,
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn setting(bytes: &[u8]) -> Result<Setting, Http2Error> {
    let [a, b, c, d, e, f] = bytes.try_into().unwrap_or_default();
    let setting = Setting {
        identifier: u16::from_be_bytes([a, b]),
        value: u32::from_be_bytes([c, d, e, f]),
    };
    match (setting.identifier, setting.value) {
        (Setting::ENABLE_PUSH, 2..) => Err(Http2Error::protocol("ENABLE_PUSH out of range")),
        (Setting::INITIAL_WINDOW_SIZE, 0x8000_0000..) => Err(Http2Error::new(
            Code::FLOW_CONTROL,
            "INITIAL_WINDOW_SIZE out of range",
        )),
        (Setting::MAX_FRAME_SIZE, ..16_384 | 16_777_216..) => {
            Err(Http2Error::protocol("MAX_FRAME_SIZE out of range"))
        }
        _ => Ok(setting),
    }
}

fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests;
