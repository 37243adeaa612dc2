//! Carrying bytes: between an application and a tunnel, and between two sockets where there is none.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::{
    Error,
    buffers::{Buffers, Rest},
    http2::Code,
    session::{End, Session, Stream},
    socket::Socket,
};

/// Reads before other tasks get their turn.
const TURNS: usize = 4;

/// Carries a tunnel until both sides have finished.
///
/// # Errors
/// When it ended early; the application's connection is then reset, and the peer's side too.
pub(crate) async fn tunnel(session: &Rc<Session>, stream: &Rc<Stream>) -> Result<(), Error> {
    let unfinished = Unfinished(session, stream);
    let result = std::future::poll_fn(|cx| poll_tunnel(session, stream, cx)).await;
    std::mem::forget(unfinished);
    let result = result.map_err(|error| match error {
        Error::Closed => session.reason(),
        other => other,
    });
    match &result {
        Ok(()) => session.forget(stream),
        Err(error) => {
            if let Some(app) = stream.app() {
                app.abort_on_close();
            }
            // RFC 9113, section 8.5: a connection that was reset is CONNECT_ERROR.
            let code = match error {
                Error::Cut => Code::CONNECT,
                _ => Code::CANCEL,
            };
            session.reset(stream, code);
        }
    }
    result
}

/// A tunnel whose task ends by a panic must not leave two applications waiting for each other.
struct Unfinished<'a>(&'a Session, &'a Stream);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(app) = self.1.app() {
            app.abort_on_close();
        }
        self.0.reset(self.1, Code::INTERNAL);
    }
}

fn poll_tunnel(
    session: &Session,
    stream: &Rc<Stream>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    stream.set_waker(cx);
    if let Some(end) = stream.ended_early() {
        return Poll::Ready(Err(end.into()));
    }
    let Some(drained) = stream.poll_drain(cx) else {
        return Poll::Ready(Err(Error::Cut));
    };
    if drained > 0 {
        session.credit(stream, drained);
    }
    let mut turns = 0;
    while !stream.is_local_ended() {
        if turns == TURNS {
            cx.waker().wake_by_ref();
            break;
        }
        turns += 1;
        match session.poll_forward(stream, cx) {
            Poll::Pending => break,
            Poll::Ready(Err(error)) => {
                session.fail(error);
                return Poll::Ready(Err(Error::Closed));
            }
            Poll::Ready(Ok(Err(_))) => return Poll::Ready(Err(Error::Cut)),
            Poll::Ready(Ok(Ok(0))) => session.end(stream),
            Poll::Ready(Ok(Ok(count))) => stream.up.set(stream.up.get() + count as u64),
        }
    }
    if drained > 0 {
        session.flush_soon();
    }
    if stream.is_done() {
        return Poll::Ready(Ok(()));
    }
    Poll::Pending
}

impl From<End> for Error {
    fn from(end: End) -> Self {
        match end {
            End::Reset(code) => Self::Reset(code),
            End::Refused => Self::Refused,
            End::Closed => Self::Closed,
            End::Cut => Self::Leaving,
        }
    }
}

/// Two sockets, joined.
pub(crate) struct Pair {
    client: Socket,
    server: Socket,
    up: Lane,
    down: Lane,
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// One direction.
#[derive(Default)]
struct Lane {
    rest: RefCell<Rest>,
    ended: Cell<bool>,
    count: Cell<u64>,
}

impl Pair {
    pub(crate) fn new(client: Socket, server: Socket) -> Self {
        Self {
            client,
            server,
            up: Lane::default(),
            down: Lane::default(),
            cut: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// Bytes so far, from the client and to it.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.up.count.get(), self.down.count.get())
    }

    /// Ends it early.
    pub(crate) fn cut(&self) {
        self.cut.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Carries bytes until both sides have finished.
    ///
    /// # Errors
    /// When it ended early; both connections are then reset.
    pub(crate) async fn carry(&self, buffers: &Buffers) -> Result<(), Error> {
        let result = std::future::poll_fn(|cx| self.poll(buffers, cx)).await;
        if result.is_err() {
            self.client.abort_on_close();
            self.server.abort_on_close();
        }
        for lane in [&self.up, &self.down] {
            buffers.take_back(lane.rest.take());
        }
        result
    }

    fn poll(&self, buffers: &Buffers, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        if self.cut.get() {
            return Poll::Ready(Err(Error::Leaving));
        }
        let up = self.up.poll(&self.client, &self.server, buffers, cx);
        let down = self.down.poll(&self.server, &self.client, buffers, cx);
        match (up, down) {
            (Ok(true), Ok(true)) => Poll::Ready(Ok(())),
            (Ok(_), Ok(_)) => Poll::Pending,
            _ => Poll::Ready(Err(Error::Cut)),
        }
    }
}

impl Lane {
    /// True when this direction has ended.
    fn poll(
        &self,
        from: &Socket,
        to: &Socket,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        for _ in 0..TURNS {
            if self.ended.get() {
                return Ok(true);
            }
            let rest = &mut *self.rest.borrow_mut();
            while !rest.is_empty() {
                match to.poll_send(cx, rest.bytes()) {
                    Poll::Ready(sent) => rest.consume(sent?),
                    Poll::Pending => return Ok(false),
                }
            }
            buffers.take_back(std::mem::take(rest));
            let mut buffer = buffers.take();
            match from.poll_receive(cx, &mut buffer) {
                Poll::Ready(Ok(0)) => {
                    buffers.give(buffer);
                    to.finish();
                    self.ended.set(true);
                }
                Poll::Ready(Ok(count)) => {
                    self.count.set(self.count.get() + count as u64);
                    let sent = to.send(&buffer[..count])?;
                    if sent < count {
                        *rest = buffers.keep(buffer, sent, count);
                    } else {
                        buffers.give(buffer);
                    }
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    buffers.give(buffer);
                    return Ok(false);
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(false)
    }
}
