//! Named interfaces that are deleted and made again: their hooks go with them.

use std::{io, time::Duration};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use weft_loader::Plane;

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The named interfaces by what they are, not by name: one made again has another index.
pub(crate) struct Uplinks {
    names: Vec<String>,
    /// As of the last time the programs were attached; none when one of them is missing.
    attached: Option<Vec<u32>>,
    next: Duration,
}

impl Uplinks {
    /// The interfaces the programs have just been attached to.
    pub(crate) fn attached(names: &[String]) -> Self {
        Self {
            attached: indices(names).ok(),
            names: names.to_owned(),
            next: Duration::ZERO,
        }
    }

    /// Attaches the programs again when an interface was made anew.
    pub(crate) fn look(&mut self, plane: &Plane, now: Duration) {
        if self.names.is_empty() || now < self.next {
            return;
        }
        self.next = now + LOOK;
        let Ok(found) = indices(&self.names) else {
            if self.attached.take().is_some() {
                tracing::warn!("a named interface is gone; waiting for it to come back");
            }
            return;
        };
        if self.attached.as_ref() == Some(&found) {
            return;
        }
        match plane.attach() {
            Ok(report) => {
                let made = report.created.join(", ");
                tracing::info!("attached to interfaces made anew: {made}");
                self.attached = Some(found);
            }
            Err(error) => tracing::error!("cannot attach to interfaces made anew: {error}"),
        }
    }
}

fn indices(names: &[String]) -> io::Result<Vec<u32>> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let index = |name: &String| Ok(netdevice::name_to_index(&socket, name)?);
    names.iter().map(index).collect()
}
