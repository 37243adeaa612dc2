//! Lines that the programs of the trace object log.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use crate::Error;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceLine {
    /// `ERROR` … `TRACE`.
    pub level: log::Level,
    /// Source file and line of the program, as far as they are known.
    pub place: String,
    /// What it says.
    pub message: String,
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.level, self.place, self.message)
    }
}

/// The log of the programs. Readable when there are lines; [`TraceLog::drain`] it before waiting
/// again.
pub struct TraceLog {
    logger: EbpfLogger<Collector>,
    lines: Lines,
}

type Lines = Arc<Mutex<Vec<TraceLine>>>;

impl TraceLog {
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let lines = Lines::default();
        let collector = Collector(Arc::clone(&lines));
        let logger =
            EbpfLogger::init_with_logger(ebpf, collector).map_err(|cause| Error::Trace {
                cause: Box::new(cause),
            })?;
        Ok(Self { logger, lines })
    }

    /// The lines since the last call.
    pub fn drain(&mut self) -> Vec<TraceLine> {
        self.logger.flush();
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for TraceLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceLog")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}

impl AsFd for TraceLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.logger.as_fd()
    }
}

impl AsRawFd for TraceLog {
    fn as_raw_fd(&self) -> RawFd {
        self.logger.as_raw_fd()
    }
}

/// Where aya-log puts the lines.
struct Collector(Lines);

impl Log for Collector {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let place = match (record.file(), record.line()) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            _ => record.target().to_owned(),
        };
        let line = TraceLine {
            level: record.level(),
            place,
            message: record.args().to_string(),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    fn flush(&self) {}
}
