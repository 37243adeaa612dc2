//! Receiving: records, frames, and what they mean.

use std::{
    ops::Range,
    rc::Rc,
    task::{Context, Poll},
};

use super::{Core, End, Session, Stream};
use crate::{
    Error,
    http2::{
        Code, Frame, Http2Error, Setting, kind, put_head, put_u32_frame, read_request, read_status,
    },
    tls::{HEAD, content, record_length},
};

/// Pieces of DATA of one tunnel, found one behind the other and passed on together.
#[derive(Default)]
struct Gathered {
    stream: Option<Rc<Stream>>,
    pieces: Vec<Range<usize>>,
}

impl Session {
    /// Deals with what came before this connection took over.
    pub(super) fn begin(self: &Rc<Self>) -> Result<(), Error> {
        let core = &mut *self.core.borrow_mut();
        let early = std::mem::take(&mut core.early);
        let mut gathered = Gathered::default();
        self.frames(core, &early, 0..early.len(), &mut gathered)?;
        self.deliver(core, &early, &mut gathered);
        let mut records = std::mem::take(&mut core.partial);
        self.records(core, &mut records)
    }

    /// Reads once, and acts on every whole record.
    pub(super) fn poll_receive(self: &Rc<Self>, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        let buffer = &mut *self.buffers.receive();
        let core = &mut *self.core.borrow_mut();
        let have = core.partial.len();
        buffer[..have].copy_from_slice(&core.partial);
        let count = match self.socket.poll_receive(cx, &mut buffer[have..]) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(count) => count?,
        };
        if count == 0 {
            return Err(Error::Closed);
        }
        core.heard = self.buffers.now();
        core.partial.clear();
        self.records(core, &mut buffer[..have + count])?;
        self.flush_core(core, None)?;
        Ok(Poll::Ready(()))
    }

    fn records(self: &Rc<Self>, core: &mut Core, buffer: &mut [u8]) -> Result<(), Error> {
        let (mut at, mut gathered) = (0, Gathered::default());
        let result = loop {
            let length = match record_length(&buffer[at..]) {
                Ok(Some(length)) if at + length <= buffer.len() => length,
                Ok(_) => break Ok(()),
                Err(error) => break Err(error),
            };
            let acted = self.record(core, buffer, at..at + length, &mut gathered);
            if let Err(error) = acted {
                break Err(error);
            }
            at += length;
        };
        // Also before an error: what the peer sent before it counts.
        self.deliver(core, buffer, &mut gathered);
        result?;
        core.partial.extend_from_slice(&buffer[at..]);
        if core.partial.is_empty() {
            core.partial = Vec::new();
        }
        Ok(())
    }

    fn record(
        self: &Rc<Self>,
        core: &mut Core,
        buffer: &mut [u8],
        at: Range<usize>,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        let (content, length) = core.opener.open(&mut buffer[at.clone()])?;
        let plain = at.start + HEAD..at.start + HEAD + length;
        match content {
            content::DATA => self.frames(core, buffer, plain, gathered),
            content::HANDSHAKE => core.messages(&buffer[plain]),
            content::ALERT => match &buffer[plain] {
                // close_notify, and user_canceled before it.
                [_, 0] => Err(Error::Closed),
                [_, 90] => Ok(()),
                [_, alert] => Err(rustls::Error::AlertReceived((*alert).into()).into()),
                _ => Err(Error::Record),
            },
            _ => Err(Error::Record),
        }
    }

    fn frames(
        self: &Rc<Self>,
        core: &mut Core,
        buffer: &[u8],
        plain: Range<usize>,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        let mut input = &buffer[plain.clone()];
        core.expect_preface(&mut input)?;
        while let Some(frame) = core.reader.next(&mut input)? {
            if !core.settled && !matches!(frame, Frame::Settings(_)) {
                return Err(Http2Error::protocol("no SETTINGS at the beginning").into());
            }
            match frame {
                Frame::Data { stream, bytes, end } => {
                    let end_of_piece = plain.end - input.len();
                    let piece = end_of_piece - bytes.len()..end_of_piece;
                    self.data(core, buffer, stream, piece, end, gathered)?;
                }
                Frame::DataHead {
                    stream,
                    flow,
                    padding,
                } => {
                    self.data_head(core, stream, flow, padding)?;
                }
                Frame::Headers { stream, block, end } => {
                    self.deliver(core, buffer, gathered);
                    self.headers(core, stream, &block, end)?;
                }
                other => {
                    self.deliver(core, buffer, gathered);
                    self.other(core, other)?;
                }
            }
        }
        Ok(())
    }

    fn data_head(&self, core: &mut Core, id: u32, flow: u32, padding: u32) -> Result<(), Error> {
        core.receive_window -= i64::from(flow);
        if core.receive_window < 0 {
            let reason = "more than the connection's window";
            return Err(Http2Error::new(Code::FLOW_CONTROL, reason).into());
        }
        self.must_have_been(core, id)?;
        let stream = core.streams.get(&id).cloned();
        self.credit_in(core, stream.as_deref(), padding as usize);
        if let Some(stream) = stream {
            if stream.is_remote_ended() {
                self.break_stream(core, id, Code::STREAM_CLOSED);
            } else if !stream.receive(flow) {
                self.break_stream(core, id, Code::FLOW_CONTROL);
            }
        }
        Ok(())
    }

    fn data(
        &self,
        core: &mut Core,
        buffer: &[u8],
        id: u32,
        piece: Range<usize>,
        end: bool,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        if gathered.stream.as_ref().is_none_or(|it| it.id != id) {
            self.deliver(core, buffer, gathered);
            gathered.stream = core.streams.get(&id).cloned();
        }
        if gathered.stream.is_none() {
            // A tunnel that has ended: its bytes are nobody's, but took their part of the window.
            self.credit_in(core, None, piece.len());
        }
        if piece.is_empty() && !end {
            core.cheap(self.buffers.now(), "empty frames")?;
        }
        if !piece.is_empty() {
            gathered.pieces.push(piece);
        }
        if end {
            let stream = gathered.stream.clone();
            self.deliver(core, buffer, gathered);
            if let Some(stream) = stream {
                stream.end_remote();
            }
        }
        Ok(())
    }

    fn deliver(&self, core: &mut Core, buffer: &[u8], gathered: &mut Gathered) {
        if let Some(stream) = gathered.stream.take()
            && !gathered.pieces.is_empty()
        {
            let passed = stream.deliver(buffer, &gathered.pieces);
            self.credit_in(core, Some(&stream), passed);
        }
        gathered.pieces.clear();
    }

    fn headers(
        self: &Rc<Self>,
        core: &mut Core,
        id: u32,
        block: &[u8],
        end: bool,
    ) -> Result<(), Error> {
        let Some(on_request) = &self.on_request else {
            return self.response(core, id, block, end);
        };
        let head = read_request(&mut core.hpack, block)?;
        if id.is_multiple_of(2) {
            return Err(Http2Error::protocol("a request on a stream of the server").into());
        }
        if id <= core.last_of_peer {
            let known = core.streams.get(&id).cloned();
            return self.trailers(core, known, end);
        }
        core.last_of_peer = id;
        if core.leaving || core.streams.len() >= self.limits.streams {
            put_u32_frame(
                &mut core.control,
                kind::RST_STREAM,
                id,
                Code::REFUSED_STREAM.0,
            );
            return core.cheap(self.buffers.now(), "requests that are refused");
        }
        let stream = self.insert(core, id);
        if end {
            stream.end_remote();
        }
        on_request(self, stream, head);
        Ok(())
    }

    fn response(&self, core: &mut Core, id: u32, block: &[u8], end: bool) -> Result<(), Error> {
        let status = read_status(&mut core.hpack, block)?;
        self.must_have_been(core, id)?;
        let Some(stream) = core.streams.get(&id).cloned() else {
            return Ok(());
        };
        if stream.status() != 0 {
            return self.trailers(core, Some(stream), end);
        }
        match status {
            Some(100..=199) if !end => return Ok(()),
            Some(status @ 200..) => {
                if end {
                    stream.end_remote();
                }
                stream.answered(status);
            }
            _ => self.break_stream(core, id, Code::PROTOCOL),
        }
        Ok(())
    }

    /// Trailers say nothing to a tunnel, but may end it.
    fn trailers(
        &self,
        core: &mut Core,
        stream: Option<Rc<Stream>>,
        end: bool,
    ) -> Result<(), Error> {
        match stream {
            Some(stream) if stream.is_remote_ended() || !end => {
                self.break_stream(core, stream.id, Code::PROTOCOL);
            }
            Some(stream) => drop(stream.end_remote()),
            None => core.cheap(self.buffers.now(), "headers of tunnels that have ended")?,
        }
        Ok(())
    }

    fn other(&self, core: &mut Core, frame: Frame<'_>) -> Result<(), Error> {
        let now = self.buffers.now();
        match frame {
            Frame::Settings(settings) => {
                core.cheap(now, "SETTINGS")?;
                for setting in settings {
                    core.apply(setting)?;
                }
                core.settled = true;
                // ACK.
                put_head(&mut core.control, 0, kind::SETTINGS, 1, 0);
                core.unblock();
            }
            Frame::Ping { ack: true, .. } => core.pinged = None,
            Frame::Ping { payload, .. } => {
                core.cheap(now, "PING")?;
                put_head(&mut core.control, 8, kind::PING, 1, 0);
                core.control.extend_from_slice(&payload);
            }
            Frame::Reset { stream: id, code } => {
                self.must_have_been(core, id)?;
                if let Some(stream) = core.streams.remove(&id) {
                    // Requests taken back before they were answered: a known way to keep a server busy.
                    if self.on_request.is_some() && stream.status() == 0 {
                        core.cheap(now, "requests taken back")?;
                    }
                    stream.finish(match code {
                        Code::REFUSED_STREAM => End::Refused,
                        code => End::Reset(code),
                    });
                    self.gone(core);
                }
            }
            Frame::GoAway { last, .. } => {
                core.peer_leaving = true;
                if self.on_request.is_none() {
                    core.refuse_after(last);
                    self.gone(core);
                }
            }
            Frame::WindowUpdate {
                stream: 0,
                increment,
            } => {
                core.send_window += i64::from(increment);
                if core.send_window > i64::from(i32::MAX) {
                    let reason = "the connection's window overflows";
                    return Err(Http2Error::new(Code::FLOW_CONTROL, reason).into());
                }
                core.unblock();
            }
            Frame::WindowUpdate {
                stream: id,
                increment,
            } => {
                self.must_have_been(core, id)?;
                let stream = core.streams.get(&id);
                if stream.is_some_and(|it| !it.grow_send_window(i64::from(increment))) {
                    self.break_stream(core, id, Code::FLOW_CONTROL);
                }
            }
            Frame::Broken { stream, code } => self.break_stream(core, stream, code),
            _ => core.cheap(now, "frames that mean nothing")?,
        }
        Ok(())
    }

    /// An error of one tunnel: it ends, the connection goes on.
    fn break_stream(&self, core: &mut Core, id: u32, code: Code) {
        put_u32_frame(&mut core.control, kind::RST_STREAM, id, code.0);
        if let Some(stream) = core.streams.remove(&id) {
            stream.finish(End::Reset(code));
            self.gone(core);
        }
    }

    /// Refuses frames on streams nobody has opened (RFC 9113, section 5.1, idle).
    fn must_have_been(&self, core: &Core, id: u32) -> Result<(), Error> {
        let ours = !id.is_multiple_of(2) && self.on_request.is_none();
        let theirs = !id.is_multiple_of(2) && self.on_request.is_some();
        if ours && id < core.next || theirs && id <= core.last_of_peer {
            return Ok(());
        }
        Err(Http2Error::protocol("a frame on a stream that is idle").into())
    }
}

impl Core {
    fn expect_preface(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        let count = self.preface.len().min(input.len());
        let (expected, rest) = self.preface.split_at(count);
        if expected != &input[..count] {
            return Err(Error::Protocol);
        }
        self.preface = rest;
        *input = &input[count..];
        Ok(())
    }

    fn apply(&mut self, setting: Setting) -> Result<(), Error> {
        match setting.identifier {
            Setting::INITIAL_WINDOW_SIZE => {
                let grown = i64::from(setting.value) - self.peer_stream_window;
                self.peer_stream_window = i64::from(setting.value);
                let fits = |stream: &Rc<Stream>| stream.grow_send_window(grown);
                if !self.streams.values().all(fits) {
                    let reason = "a stream's window overflows";
                    return Err(Http2Error::new(Code::FLOW_CONTROL, reason).into());
                }
            }
            Setting::MAX_CONCURRENT_STREAMS => self.peer_streams = setting.value as usize,
            // Our frames never exceed the least that a peer must take, our blocks use no table.
            _ => {}
        }
        Ok(())
    }

    /// The peer will not act on younger tunnels than this.
    fn refuse_after(&mut self, last: u32) {
        self.streams.retain(|id, stream| {
            if *id > last {
                stream.finish(End::Refused);
            }
            *id <= last
        });
    }

    /// Counts a frame that costs us something and brings nothing.
    fn cheap(&mut self, now: tokio::time::Instant, reason: &'static str) -> Result<(), Error> {
        if self.flood.admit(now) {
            return Ok(());
        }
        Err(Http2Error::calm(reason).into())
    }

    /// Messages of TLS after the handshake: tickets and new keys.
    fn messages(&mut self, bytes: &[u8]) -> Result<(), Error> {
        const TICKET: u8 = 4;
        const KEY_UPDATE: u8 = 24;
        const MAX_MESSAGE: usize = 65_536;
        self.handshake.extend_from_slice(bytes);
        while let Some([kind, a, b, c]) = self.handshake.first_chunk::<4>().copied() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if length > MAX_MESSAGE {
                return Err(Error::Record);
            }
            let Some(payload) = self.handshake.get(4..4 + length) else {
                return Ok(());
            };
            match (kind, payload) {
                (TICKET, payload) => self.keys.ticket(payload)?,
                (KEY_UPDATE, [ask @ 0..=1]) => {
                    let asked = *ask == 1;
                    self.opener = self.keys.next_opener()?;
                    if asked {
                        let mut sealed = Vec::new();
                        self.renew_sealer(&mut sealed)?;
                        self.out.push(&sealed);
                        self.wake();
                    }
                }
                _ => return Err(Error::Record),
            }
            self.handshake.drain(..4 + length);
            let now = self.heard;
            self.cheap(now, "messages of TLS")?;
        }
        if self.handshake.is_empty() {
            self.handshake = Vec::new();
        }
        Ok(())
    }
}
