//! Ctrl-C must not end the process before it has cleaned up.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Whether somebody asked the demo to end.
#[derive(Clone)]
pub(super) struct Interrupt {
    set: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP are only noted.
    pub(super) fn watch() -> Result<Self> {
        let set = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register(signal, Arc::clone(&set)).context("watch for Ctrl-C")?;
        }
        Ok(Self { set })
    }

    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    /// Forgets it: the end it asked for has come.
    pub(super) fn clear(&self) {
        self.set.store(false, Ordering::Relaxed);
    }
}
