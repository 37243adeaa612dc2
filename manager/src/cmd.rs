//! Operator commands, one file each: ask the manager or read the pins, print, and give an exit code.

pub(crate) mod analyze;
pub(crate) mod ca;
pub(crate) mod convert;
pub(crate) mod denied;
pub(crate) mod doctor;
pub(crate) mod documents;
pub(crate) mod enrol;
pub(crate) mod explain;
pub(crate) mod instance;
pub(crate) mod map;
pub(crate) mod output;
pub(crate) mod policies;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod top;
pub(crate) mod uninstall;
pub(crate) mod validate;
pub(crate) mod why;
pub(crate) mod yaml;

use std::process::ExitCode;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use weft_admin::{Client, ClientError};

/// A negative answer: not found, not ready.
pub(crate) const NEGATIVE: u8 = 1;

/// Nothing could be asked or done.
pub(crate) const FAILED: u8 = 2;

/// The exit code for a command that failed.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let negative = matches!(error.downcast_ref(), Some(ClientError::NotFound { .. }))
        || matches!(error.downcast_ref(), Some(map::MapError::NoEntry { .. }));
    let usage = error
        .downcast_ref::<map::MapError>()
        .is_some_and(map::MapError::is_usage);
    ExitCode::from(if negative {
        NEGATIVE
    } else if usage {
        crate::args::USAGE
    } else {
        FAILED
    })
}

/// Asks a manager, on a runtime of its own.
pub(crate) struct Manager {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Manager {
    /// The manager that `instance` names.
    pub(crate) fn find(instance: &crate::args::Instance) -> anyhow::Result<Self> {
        let state = instance::running(instance.state.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        Ok(Self {
            runtime,
            client: Client::new(&state),
        })
    }

    /// Asks for a report.
    pub(crate) fn fetch<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.runtime.block_on(self.client.fetch(path))
    }
}
