//! One tunnel: its windows, what waits for the application, and how it ended.

use std::{
    cell::{Cell, OnceCell, RefCell},
    io::{self, IoSlice},
    ops::Range,
    task::{Context, Poll, Waker},
};

use crate::{buffers::Rest, http2::Code, socket::Socket};

/// A tunnel that ended before both sides had finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By RST_STREAM.
    Reset(Code),
    /// The peer did not act on it and will not.
    Refused,
    /// With the connection.
    Closed,
    /// By us: policy changed, or the workload left.
    Cut,
}

/// One tunnel.
pub(crate) struct Stream {
    pub(crate) id: u32,
    app: OnceCell<Socket>,
    send_window: Cell<i64>,
    receive_window: Cell<i64>,
    uncredited: Cell<u32>,
    /// Bytes for the application that its socket did not take.
    pending: RefCell<Rest>,
    status: Cell<u16>,
    local_ended: Cell<bool>,
    remote_ended: Cell<bool>,
    app_finished: Cell<bool>,
    app_failed: Cell<bool>,
    end: Cell<Option<End>>,
    blocked: Cell<bool>,
    burst: Cell<u8>,
    waker: RefCell<Option<Waker>>,
    /// Bytes from the application to the peer.
    pub(crate) up: Cell<u64>,
    /// Bytes from the peer to the application.
    pub(crate) down: Cell<u64>,
}

impl Stream {
    pub(super) fn new(id: u32, send_window: i64, receive_window: i64) -> Self {
        Self {
            id,
            app: OnceCell::new(),
            send_window: Cell::new(send_window),
            receive_window: Cell::new(receive_window),
            uncredited: Cell::new(0),
            pending: RefCell::default(),
            status: Cell::new(0),
            local_ended: Cell::new(false),
            remote_ended: Cell::new(false),
            app_finished: Cell::new(false),
            app_failed: Cell::new(false),
            end: Cell::new(None),
            blocked: Cell::new(false),
            burst: Cell::new(1),
            waker: RefCell::new(None),
            up: Cell::new(0),
            down: Cell::new(0),
        }
    }

    /// Gives the tunnel its end on this side.
    pub(crate) fn attach(&self, app: Socket) {
        self.app.set(app).ok();
    }

    pub(crate) fn app(&self) -> Option<&Socket> {
        self.app.get()
    }

    /// Waits for the answer to CONNECT.
    pub(crate) fn poll_status(&self, cx: &Context<'_>) -> Poll<Result<u16, End>> {
        self.set_waker(cx);
        match (self.status.get(), self.end.get()) {
            (0, Some(end)) => Poll::Ready(Err(end)),
            (0, None) => Poll::Pending,
            (status, _) => Poll::Ready(Ok(status)),
        }
    }

    /// Waits until the tunnel ends early.
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Poll<End> {
        self.set_waker(cx);
        self.end.get().map_or(Poll::Pending, Poll::Ready)
    }

    pub(crate) fn set_waker(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(old) => old.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Hands what waits to the application; answers how much, `None` when its socket has failed.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) -> Option<usize> {
        if self.app_failed.get() {
            return None;
        }
        let (Some(app), mut pending) = (self.app.get(), self.pending.borrow_mut()) else {
            return Some(0);
        };
        let mut drained = 0;
        while !pending.is_empty() {
            match app.poll_send(cx, pending.bytes()) {
                Poll::Ready(Ok(count)) => {
                    pending.consume(count);
                    drained += count;
                }
                Poll::Ready(Err(_)) => return None,
                Poll::Pending => break,
            }
        }
        drop(pending);
        self.finish_app();
        Some(drained)
    }

    /// Drops what waits for the application; answers how many bytes.
    pub(super) fn discard(&self) -> usize {
        self.pending.take().bytes().len()
    }

    /// Passes on the peer's end once everything before it is with the application.
    fn finish_app(&self) {
        let drained = self.pending.borrow().is_empty();
        if self.remote_ended.get()
            && drained
            && !self.app_finished.get()
            && let Some(app) = self.app.get()
        {
            app.finish();
            self.app_finished.set(true);
        }
    }

    /// Nothing is left to do in either direction.
    pub(crate) fn is_done(&self) -> bool {
        self.local_ended.get() && self.app_finished.get()
    }

    pub(crate) fn is_local_ended(&self) -> bool {
        self.local_ended.get()
    }

    pub(crate) fn ended_early(&self) -> Option<End> {
        self.end.get()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    pub(super) fn end_local(&self) {
        self.local_ended.set(true);
    }

    pub(super) fn answered(&self, status: u16) {
        self.status.set(status);
        if status != 200 {
            self.local_ended.set(true);
        }
        self.wake();
    }

    pub(super) fn status(&self) -> u16 {
        self.status.get()
    }

    /// The peer sends no more. False when it had said so before.
    pub(super) fn end_remote(&self) -> bool {
        let first = !self.remote_ended.replace(true);
        self.finish_app();
        self.wake();
        first
    }

    pub(super) fn is_remote_ended(&self) -> bool {
        self.remote_ended.get()
    }

    /// Ends the tunnel early. What a peer sent before its own end is still passed on.
    pub(crate) fn finish(&self, end: End) {
        let only_ours = matches!(end, End::Reset(_)) && self.remote_ended.get();
        if only_ours {
            self.local_ended.set(true);
        } else if self.end.get().is_none() {
            self.end.set(Some(end));
        }
        self.wake();
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn unblock(&self) {
        self.blocked.set(false);
        self.wake();
    }

    /// True when it was not blocked before.
    pub(super) fn block(&self) -> bool {
        !self.blocked.replace(true)
    }

    pub(super) fn send_window(&self) -> i64 {
        self.send_window.get()
    }

    pub(super) fn shrink_send_window(&self, count: usize) {
        self.send_window.set(self.send_window.get() - count as i64);
    }

    /// False when it exceeds what a window may be.
    pub(super) fn grow_send_window(&self, count: i64) -> bool {
        let window = self.send_window.get() + count;
        self.send_window.set(window);
        if window > 0 && window <= count.max(0) {
            self.wake();
        }
        window <= i64::from(i32::MAX)
    }

    /// False when the peer sent more than it may.
    pub(super) fn receive(&self, flow: u32) -> bool {
        let window = self.receive_window.get() - i64::from(flow);
        self.receive_window.set(window);
        window >= 0
    }

    /// By how much the peer's window grows, when that is worth a frame.
    pub(super) fn credit(&self, count: u32, worth: u32) -> Option<u32> {
        let uncredited = self.uncredited.get() + count;
        self.uncredited.set(uncredited);
        if uncredited < worth || self.remote_ended.get() {
            return None;
        }
        self.uncredited.set(0);
        let window = self.receive_window.get() + i64::from(uncredited);
        self.receive_window.set(window);
        Some(uncredited)
    }

    /// Passes on pieces of `buffer`, straight when nothing waits before them. Answers how many bytes
    /// are dealt with; the others wait.
    pub(super) fn deliver(&self, buffer: &[u8], pieces: &[Range<usize>]) -> usize {
        let total = pieces.iter().map(|it| it.len()).sum();
        self.down.set(self.down.get() + total as u64);
        if self.app_failed.get() {
            return total;
        }
        let mut pending = self.pending.borrow_mut();
        let mut passed = 0;
        if pending.is_empty()
            && let Some(app) = self.app.get()
        {
            match send(app, buffer, pieces) {
                Ok(count) => passed = count,
                Err(_) => {
                    self.app_failed.set(true);
                    self.wake();
                    return total;
                }
            }
        }
        if passed < total {
            let mut skip = passed;
            for piece in pieces {
                let bytes = &buffer[piece.clone()];
                pending.push(&bytes[skip.min(bytes.len())..]);
                skip = skip.saturating_sub(bytes.len());
            }
            self.wake();
        }
        passed
    }

    /// How many records to read at once: as many as were filled lately.
    pub(super) fn burst(&self, most: usize) -> usize {
        usize::from(self.burst.get()).min(most)
    }

    pub(super) fn learn(&self, slots: usize, room: usize, count: usize) {
        if count == room {
            self.burst.set((slots * 2).min(255) as u8);
        } else if count < room / 2 {
            self.burst.set((slots / 2).max(1) as u8);
        }
    }
}

fn send(app: &Socket, buffer: &[u8], pieces: &[Range<usize>]) -> io::Result<usize> {
    /// More go in the next call.
    const VECTOR: usize = 32;
    if let [only] = pieces {
        return app.send(&buffer[only.clone()]);
    }
    let mut sent = 0;
    for some in pieces.chunks(VECTOR) {
        let mut slices = [IoSlice::new(&[]); VECTOR];
        let mut total = 0;
        for (slice, piece) in slices.iter_mut().zip(some) {
            *slice = IoSlice::new(&buffer[piece.clone()]);
            total += piece.len();
        }
        let count = app.send_vectored(&slices[..some.len()])?;
        sent += count;
        if count < total {
            break;
        }
    }
    Ok(sent)
}
