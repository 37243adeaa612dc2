//! A workload on this node, and sockets of its namespace.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use tokio::task::AbortHandle;
use weft_identity::SpiffeId;

use crate::namespace::{self, Home};

/// A workload to be carried.
#[derive(Debug)]
pub struct Workload {
    /// The cookie of its network namespace.
    pub key: u64,
    /// Who it is.
    pub identity: SpiffeId,
    /// Its network namespace.
    pub netns: OwnedFd,
    /// Its addresses, the first of each family being what peers are told.
    pub addresses: Vec<IpAddr>,
    /// For messages: namespace and name.
    pub name: String,
    /// The value of the `baggage` header that peers get, if any.
    pub baggage: Option<String>,
}

/// A workload as one thread has it.
pub(crate) struct Member {
    pub(crate) workload: Arc<Workload>,
    stock: [RefCell<Stock>; 2],
    gone: Cell<bool>,
    listening: RefCell<Vec<AbortHandle>>,
}

/// Sockets made ahead.
#[derive(Default)]
struct Stock {
    sockets: Vec<OwnedFd>,
    /// How many were made the last time.
    batch: usize,
}

/// Most sockets made at once.
const BATCH: usize = 16;

impl Member {
    pub(crate) fn new(workload: Arc<Workload>) -> Self {
        Self {
            workload,
            stock: Default::default(),
            gone: Cell::new(false),
            listening: RefCell::default(),
        }
    }

    pub(crate) fn key(&self) -> u64 {
        self.workload.key
    }

    /// The address of the family of `like` that stands for the workload.
    pub(crate) fn address(&self, like: &SocketAddr) -> Option<IpAddr> {
        let mut addresses = self.workload.addresses.iter();
        addresses.find(|it| it.is_ipv4() == like.is_ipv4()).copied()
    }

    /// A socket in the workload's namespace, for a connection to `to`.
    pub(crate) fn socket(&self, home: &Home, to: &SocketAddr) -> io::Result<OwnedFd> {
        let stock = &mut *self.stock[usize::from(to.is_ipv6())].borrow_mut();
        if let Some(socket) = stock.sockets.pop() {
            return Ok(socket);
        }
        // Workloads that dial much enter their namespace seldom; those that do not hold few sockets.
        stock.batch = (stock.batch * 2).clamp(1, BATCH);
        home.inside(self.workload.netns.as_fd(), || {
            for _ in 1..stock.batch {
                stock.sockets.push(namespace::socket(to.is_ipv6())?);
            }
            namespace::socket(to.is_ipv6())
        })
    }

    pub(crate) fn listens(&self, task: AbortHandle) {
        self.listening.borrow_mut().push(task);
    }

    /// Accepts no more.
    pub(crate) fn stop_listening(&self) {
        for task in self.listening.take() {
            task.abort();
        }
    }

    pub(crate) fn leave(&self) {
        self.gone.set(true);
        self.stop_listening();
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }
}
