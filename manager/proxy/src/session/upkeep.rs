//! What happens when nothing happens: timeouts, and leaving.

use super::{Core, End, Session};
use crate::{
    Error,
    http2::{Code, kind, put_head},
};

impl Session {
    /// Once a second.
    pub(crate) fn tick(&self) {
        let now = self.buffers.now();
        let due = {
            let core = &mut *self.core.borrow_mut();
            if core.closed.is_some() {
                return;
            }
            self.due(core, now)
        };
        match due {
            Some(error) => self.fail(error),
            None => self.flush_or_fail(),
        }
    }

    fn due(&self, core: &mut Core, now: tokio::time::Instant) -> Option<Error> {
        let since = |then| now.saturating_duration_since(then);
        if !core.settled {
            let after = self.limits.handshake;
            let what = "exchanging HTTP/2 settings";
            return (since(core.began) > after).then_some(Error::Timeout { what, after });
        }
        if now >= core.proven_until && !core.leaving {
            core.leaving = true;
            core.put_goaway(Code::NO_ERROR);
        }
        if core.streams.is_empty() {
            let over =
                core.leaving || core.peer_leaving || since(core.idle_since) > self.limits.idle;
            return over.then_some(Error::Closed);
        }
        let after = self.limits.keepalive;
        match core.pinged {
            Some(then) if since(then) > after => {
                let what = "asking whether the peer is still there";
                return Some(Error::Timeout { what, after });
            }
            None if since(core.heard) > after => {
                put_head(&mut core.control, 8, kind::PING, 0, 0);
                core.control.extend_from_slice(b"are you?");
                core.pinged = Some(now);
            }
            _ => {}
        }
        None
    }

    /// Takes no more tunnels; closes when the last has ended.
    pub(crate) fn leave(&self) {
        {
            let core = &mut *self.core.borrow_mut();
            if core.closed.is_some() || core.leaving {
                return;
            }
            core.leaving = true;
            core.put_goaway(Code::NO_ERROR);
        }
        self.tick();
    }

    /// Ends all tunnels and the connection.
    pub(crate) fn cut(&self) {
        for stream in self.core.borrow().streams.values() {
            stream.finish(End::Cut);
        }
        self.fail(Error::Leaving);
    }
}
