//! Sending: frames of our own, and what applications say.

use std::{
    io::IoSliceMut,
    rc::Rc,
    task::{Context, Poll},
};

use super::{Core, MAX_WAITING, Session, Stream};
use crate::{
    Error,
    buffers::MAX_BURST,
    http2::{Http2Error, kind, put_head},
    tls::{HEAD, MAX_PLAIN, RECORD, TAIL, content},
};

/// Length of a frame's head.
const FRAME: usize = 9;
/// Frames that wait, up to this length, share a record with what an application says.
const SHARED: usize = 8_192;
/// What an application says waits for others' when it is not more than this.
const SMALL: usize = 2_048;

impl Session {
    /// Sends our own frames, and what waited before them. With a context it waits for room.
    pub(super) fn flush(&self, cx: Option<&mut Context<'_>>) -> Result<(), Error> {
        let core = &mut *self.core.borrow_mut();
        self.flush_core(core, cx)
    }

    pub(super) fn flush_core(
        &self,
        core: &mut Core,
        cx: Option<&mut Context<'_>>,
    ) -> Result<(), Error> {
        if core.closed.is_some() {
            return Ok(());
        }
        if !core.control.is_empty() {
            let frames = std::mem::take(&mut core.control);
            let mut sealed = Vec::with_capacity(frames.len() + HEAD + TAIL);
            core.seal(content::DATA, &frames, &mut sealed)?;
            let mut sent = 0;
            if core.out.is_empty() {
                sent = self.socket.send(&sealed)?;
            }
            if sent < sealed.len() {
                core.out.push(&sealed[sent..]);
                core.wake();
            }
            if core.out.bytes().len() > MAX_WAITING {
                return Err(Http2Error::calm("answers pile up: the peer does not read").into());
            }
        }
        let Some(cx) = cx else { return Ok(()) };
        let waited = !core.out.is_empty();
        while !core.out.is_empty() {
            match self.socket.poll_send(cx, core.out.bytes()) {
                Poll::Ready(sent) => core.out.consume(sent?),
                Poll::Pending => return Ok(()),
            }
        }
        if waited {
            let rest = std::mem::take(&mut core.out);
            self.buffers.take_back(rest);
            core.unblock();
        }
        Ok(())
    }

    pub(super) fn flush_or_fail(&self) {
        let flushed = self.flush(None);
        if let Err(error) = flushed {
            self.fail(error);
        }
    }

    /// Sends the frames that wait once the tasks that are ready now have had their turn: many tunnels
    /// share a record, a system call and a wake-up of the peer.
    pub(crate) fn flush_soon(&self) {
        let core = self.core.borrow();
        if !core.control.is_empty() {
            core.wake();
        }
    }

    /// Makes room for what an application says.
    fn prepare(&self, core: &mut Core) -> Result<(), Error> {
        if core.sealer.is_worn() {
            let mut message = Vec::new();
            core.renew_sealer(&mut message)?;
            core.out.push(&message);
            core.wake();
        }
        if core.control.len() > SHARED {
            self.flush_core(core, None)?;
        }
        Ok(())
    }

    /// Reads from the application straight into records, seals them there and sends them; a little is
    /// left to `flush_soon`. Answers how many bytes; none when the application has finished.
    ///
    /// # Errors
    /// The inner error is the application's socket's.
    pub(crate) fn poll_forward(
        &self,
        stream: &Rc<Stream>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<std::io::Result<usize>, Error>> {
        let core = &mut *self.core.borrow_mut();
        let Some(app) = stream.app() else {
            return Poll::Pending;
        };
        if core.closed.is_some() {
            return Poll::Ready(Err(Error::Closed));
        }
        let prepared = self.prepare(core);
        if let Err(error) = prepared {
            return Poll::Ready(Err(error));
        }
        let window = core.send_window.min(stream.send_window());
        if !core.out.is_empty() || window <= 0 {
            // A tunnel whose own window is used up is woken when that grows.
            if stream.send_window() > 0 && stream.block() {
                core.blocked.push(stream.clone());
            }
            return Poll::Pending;
        }
        let most = stream.burst(self.buffers.burst());
        let plan = Plan::new(core.control.len(), window as usize, most);
        let mut buffer = self.buffers.take();
        buffer[HEAD..HEAD + plan.shared].copy_from_slice(&core.control);
        let count = match plan.read(app, cx, &mut buffer) {
            Poll::Ready(Ok(count)) if count > 0 => count,
            other => {
                self.buffers.give(buffer);
                return other.map(Ok);
            }
        };
        stream.learn(plan.slots, plan.room, count);
        core.send_window -= count as i64;
        stream.shrink_send_window(count);
        if count <= SMALL {
            let start = plan.start(0);
            put_head(&mut core.control, count, kind::DATA, 0, stream.id);
            let bytes = &buffer[start..start + count];
            core.control.extend_from_slice(bytes);
            core.wake();
            self.buffers.give(buffer);
            return Poll::Ready(Ok(Ok(count)));
        }
        core.control.clear();
        let sent = plan
            .seal(core, stream.id, count, &mut buffer)
            .and_then(|total| Ok((total, self.socket.send(&buffer[..total])?)));
        match sent {
            Ok((total, sent)) if sent < total => {
                core.out = self.buffers.keep(buffer, sent, total);
                core.wake();
            }
            Ok(_) => self.buffers.give(buffer),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(Ok(count)))
    }
}

/// Where in a buffer of records the application's bytes go.
struct Plan {
    /// Bytes of our own frames at the beginning of the first record.
    shared: usize,
    slots: usize,
    /// How much may be read.
    room: usize,
}

impl Plan {
    fn new(shared: usize, window: usize, most: usize) -> Self {
        let whole = |slots: usize| slots * (MAX_PLAIN - FRAME) - shared;
        let slots = (1..most)
            .find(|slots| whole(*slots) >= window)
            .unwrap_or(most);
        let room = whole(slots).min(window);
        Self {
            shared,
            slots,
            room,
        }
    }

    /// Where the bytes begin in a record.
    fn start(&self, slot: usize) -> usize {
        HEAD + FRAME + if slot == 0 { self.shared } else { 0 }
    }

    /// How many fit in there.
    fn length(&self, slot: usize) -> usize {
        HEAD + MAX_PLAIN - self.start(slot)
    }

    fn read(
        &self,
        app: &crate::socket::Socket,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.slots == 1 {
            let start = self.start(0);
            return app.poll_receive(cx, &mut buffer[start..start + self.room]);
        }
        let mut slices = [const { None }; MAX_BURST];
        let mut left = self.room;
        for (slot, record) in buffer.chunks_mut(RECORD).take(self.slots).enumerate() {
            let start = self.start(slot);
            let length = self.length(slot).min(left);
            slices[slot] = Some(IoSliceMut::new(&mut record[start..start + length]));
            left -= length;
        }
        let mut slices = slices.map(|it| it.unwrap_or_else(|| IoSliceMut::new(&mut [])));
        app.poll_receive_vectored(cx, &mut slices[..self.slots], self.room)
    }

    /// Makes records of what was read; they lie one behind the other. Answers their length.
    fn seal(
        &self,
        core: &mut Core,
        stream: u32,
        count: usize,
        buffer: &mut [u8],
    ) -> Result<usize, Error> {
        let (mut left, mut total) = (count, 0);
        for (slot, record) in buffer.chunks_mut(RECORD).enumerate() {
            if left == 0 {
                break;
            }
            let (start, length) = (self.start(slot), self.length(slot).min(left));
            let head = crate::http2::head(length, kind::DATA, 0, stream);
            record[start - FRAME..start].copy_from_slice(&head);
            let end = start + length + TAIL;
            core.sealer.seal(content::DATA, &mut record[..end])?;
            total += end;
            left -= length;
        }
        Ok(total)
    }
}

impl Core {
    /// Seals, with new keys first when the old ones have seen enough.
    fn seal(&mut self, content: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.sealer.is_worn() {
            self.renew_sealer(out)?;
        }
        self.sealer.append(content, plain, out)
    }

    /// Tells the peer of new keys, and uses them.
    pub(super) fn renew_sealer(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        // KeyUpdate, not asking for the peer's (RFC 8446, section 4.6.3).
        self.sealer
            .append(content::HANDSHAKE, &[24, 0, 0, 1, 0], out)?;
        self.sealer = self.keys.next_sealer()?;
        Ok(())
    }
}
