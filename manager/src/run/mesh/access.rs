//! The access log: what the proxy tells, and the kernel of connections it carried itself, written by
//! a thread of its own so that no connection waits for a disk.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use weft_abi::{ConnectionEvent, EventKind, PolicyEvent};
use weft_admin::DenialReport;
use weft_identity::SpiffeId;
use weft_proxy::{Connection, Flag, Observer, Record};
use weft_telemetry::{AccessEnd, AccessLine, Direction, LineFormat};

use super::view::View;
use crate::run::Shared;

/// Lines that may wait for the disk.
const WAITING: usize = 8192;

/// Takes what the proxy tells.
pub(crate) struct AccessLog {
    lines: Option<SyncSender<AccessLine>>,
    view: Arc<View>,
    /// Lines that found no room.
    dropped: AtomicU64,
}

impl AccessLog {
    /// Writes to a file, appended to; `-` is standard output; without one, nowhere.
    pub(crate) fn open(
        path: Option<&Path>,
        format: LineFormat,
        shared: &Shared,
    ) -> anyhow::Result<Self> {
        let view = Arc::clone(&shared.engine().mesh_side.view);
        let lines = path.map(|path| start(path, format)).transpose()?;
        Ok(Self {
            lines,
            view,
            dropped: AtomicU64::new(0),
        })
    }

    /// Whether there is a log.
    pub(super) fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    fn end(&self, addr: SocketAddr, identity: Option<&SpiffeId>) -> AccessEnd {
        let instance = self.view.instance(addr.ip());
        AccessEnd {
            addr: Some(addr),
            workload: instance.as_ref().map(|one| Arc::clone(&one.name)),
            namespace: instance.as_ref().map(|one| Arc::clone(&one.namespace)),
            identity: identity.map(|identity| identity.to_string().into()),
        }
    }

    /// Writes down a connection that the kernel carried itself. `principal` is the client's, when the
    /// server knew it by identity.
    pub(super) fn kernel(
        &self,
        event: &ConnectionEvent,
        principal: Option<&str>,
        service: Option<Arc<str>>,
    ) {
        let at = |address: weft_abi::Address, port| SocketAddr::new(address.into(), port);
        let destination = at(event.destination, event.destination_port);
        let error = (event.error != 0).then(|| io::Error::from_raw_os_error(event.error));
        let mut src = self.end(at(event.source, event.source_port), None);
        src.identity = principal.map(|principal| format!("spiffe://{principal}").into());
        let mut dst = self.end(destination, None);
        if principal.is_some() {
            let instance = self.view.instance(destination.ip());
            dst.identity =
                instance.map(|it| format!("spiffe://{}", it.identity.principal()).into());
        }
        let (direction, sent, received) = match event.kind {
            EventKind::SERVED => (Direction::Inbound, event.received, event.sent),
            _ => (Direction::Outbound, event.sent, event.received),
        };
        self.write(AccessLine {
            time: now(),
            src,
            dst,
            hbone_addr: None,
            service,
            direction,
            bytes_sent: sent,
            bytes_recv: received,
            duration: Duration::from_nanos(event.duration),
            policy: None,
            response_flags: if error.is_some() { "CONNECT" } else { "-" },
            error: error.map(|error| error.to_string().into()),
        });
    }

    /// Writes down a connection that the kernel refused.
    pub(super) fn refusal(&self, event: &PolicyEvent, report: &DenialReport) {
        let at = |address: weft_abi::Address, port| SocketAddr::new(address.into(), port);
        let mut src = self.end(at(event.source, event.source_port), None);
        src.identity = report.src.identity.as_deref().map(Arc::from);
        // In `connect` a socket has no port yet.
        let direction = match event.source_port {
            0 => Direction::Outbound,
            _ => Direction::Inbound,
        };
        let is_policy = matches!(event.kind, EventKind::DENIED | EventKind::PLAINTEXT);
        self.write(AccessLine {
            time: now(),
            src,
            dst: self.end(at(event.destination, event.destination_port), None),
            hbone_addr: None,
            service: None,
            direction,
            bytes_sent: 0,
            bytes_recv: 0,
            duration: Duration::ZERO,
            policy: is_policy.then(|| report.reason.as_str().into()),
            response_flags: match event.kind {
                EventKind::NOT_READY => Flag::NotReady.as_str(),
                _ => Flag::Denied.as_str(),
            },
            error: Some(format!("refused: {}", report.reason).into()),
        });
    }

    fn write(&self, line: AccessLine) {
        let Some(lines) = &self.lines else {
            return;
        };
        if let Err(TrySendError::Full(_)) = lines.try_send(line) {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!("the access log cannot keep up: {dropped} lines dropped so far");
            }
        }
    }

    /// What the proxy refused without asking policy.
    fn refused(&self, record: &Record, cause: &str) -> DenialReport {
        let Connection {
            source,
            source_identity,
            destination,
            destination_identity,
            ..
        } = &record.connection;
        let identity = |id: &Option<SpiffeId>| id.as_ref().map(ToString::to_string);
        let mut report = DenialReport {
            cause: cause.to_owned(),
            enforced: true,
            layer: "l4".to_owned(),
            hop: "proxy".to_owned(),
            reason: record.error.as_deref().unwrap_or_default().to_owned(),
            ..DenialReport::default()
        };
        report.src = self.view.end(*source, identity(source_identity));
        report.dst = self.view.end(*destination, identity(destination_identity));
        report
    }

    fn line(&self, record: &Record) -> AccessLine {
        let connection = &record.connection;
        let (direction, sent, received) = match connection.direction {
            weft_proxy::Direction::Outbound => (Direction::Outbound, record.sent, record.received),
            // Upstream of the server's node is the application.
            weft_proxy::Direction::Inbound => (Direction::Inbound, record.received, record.sent),
        };
        AccessLine {
            time: now(),
            src: self.end(connection.source, connection.source_identity.as_ref()),
            dst: self.end(
                connection.destination,
                connection.destination_identity.as_ref(),
            ),
            hbone_addr: connection.hbone,
            service: None,
            direction,
            bytes_sent: sent,
            bytes_recv: received,
            duration: record.duration,
            error: record.error.clone(),
            policy: (record.flag == Flag::Denied)
                .then(|| record.error.clone())
                .flatten(),
            response_flags: record.flag.as_str(),
        }
    }
}

impl Observer for AccessLog {
    fn opened(&self, _connection: &Connection) {}

    fn closed(&self, record: &Record) {
        let cause = match record.flag {
            Flag::Revoked => Some("revoked"),
            Flag::NotReady => Some("not_ready"),
            _ => None,
        };
        if let Some(cause) = cause {
            self.view.tell(self.refused(record, cause));
        }
        if self.is_kept() {
            self.write(self.line(record));
        }
    }
}

/// Since 1970.
fn now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

fn start(path: &Path, format: LineFormat) -> anyhow::Result<SyncSender<AccessLine>> {
    let mut out: Box<dyn Write + Send> = if path == Path::new("-") {
        Box::new(io::stdout())
    } else {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Box::new(file.with_context(|| format!("cannot write the access log {}", path.display()))?)
    };
    let (sender, lines) = sync_channel::<AccessLine>(WAITING);
    std::thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || {
            for line in lines {
                let text = line.render(format) + "\n";
                if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                    return tracing::error!("cannot write the access log any more: {error}");
                }
            }
        })
        .context("cannot start the access log's thread")?;
    Ok(sender)
}
