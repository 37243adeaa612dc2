//! Connections to peers' proxies, kept for further tunnels. One thread's own.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use weft_identity::SpiffeId;

use crate::{Error, session::Session};

/// Connections by workload, which stands for the identity they prove, and address.
#[derive(Default)]
pub(crate) struct Pool {
    entries: RefCell<HashMap<(u64, SocketAddr), Rc<Entry>>>,
}

#[derive(Default)]
pub(crate) struct Entry {
    sessions: RefCell<Vec<Rc<Session>>>,
    /// Held while connecting, so that many connections at once lead to one handshake.
    connecting: tokio::sync::Mutex<()>,
    attempts: Cell<u64>,
    /// The last failure, and which attempt it was.
    failure: RefCell<Option<(u64, Arc<Error>)>>,
}

impl Pool {
    /// A connection with room whose peer is one of `expected`; made by `connect` if there is none.
    pub(crate) async fn session(
        &self,
        workload: u64,
        proxy: SocketAddr,
        expected: &[SpiffeId],
        connect: impl AsyncFnOnce() -> Result<Rc<Session>, Error>,
    ) -> Result<Rc<Session>, Error> {
        let entry = self
            .entries
            .borrow_mut()
            .entry((workload, proxy))
            .or_default()
            .clone();
        if let Some(session) = entry.find(expected) {
            return Ok(session);
        }
        let seen = entry.attempts.get();
        let _connecting = entry.connecting.lock().await;
        if let Some(session) = entry.find(expected) {
            return Ok(session);
        }
        // An attempt that began after we came to wait failed: ours would too.
        if let Some((attempt, error)) = &*entry.failure.borrow()
            && *attempt > seen
        {
            return Err(Error::Shared(error.clone()));
        }
        let attempt = entry.attempts.get() + 1;
        entry.attempts.set(attempt);
        match connect().await {
            Ok(session) => {
                entry.sessions.borrow_mut().push(session.clone());
                Ok(session)
            }
            Err(error) => {
                let error = Arc::new(error);
                *entry.failure.borrow_mut() = Some((attempt, error.clone()));
                Err(Error::Shared(error))
            }
        }
    }

    /// Drops what has ended.
    pub(crate) fn tidy(&self) {
        self.entries.borrow_mut().retain(|_, entry| {
            entry.sessions.borrow_mut().retain(|it| it.is_open());
            !entry.sessions.borrow().is_empty() || Rc::strong_count(entry) > 1
        });
    }

    /// Drops a workload's connections; tunnels in them go on.
    pub(crate) fn forget(&self, workload: u64) {
        self.entries
            .borrow_mut()
            .retain(|(key, _), _| *key != workload);
    }
}

impl Entry {
    fn find(&self, expected: &[SpiffeId]) -> Option<Rc<Session>> {
        let mut sessions = self.sessions.borrow_mut();
        // An address may get a new owner: a connection to the old one takes no more tunnels.
        sessions.retain(|it| {
            let right = is_expected(&it.identity, expected);
            if !right {
                it.leave();
            }
            right && it.is_open()
        });
        sessions.iter().find(|it| it.has_room()).cloned()
    }
}

/// Whether a peer is who it should be; nobody is when nobody is named.
pub(crate) fn is_expected(peer: &SpiffeId, expected: &[SpiffeId]) -> bool {
    expected.contains(peer)
}
