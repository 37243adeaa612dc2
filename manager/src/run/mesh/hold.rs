//! Workloads that are not known yet: their connections wait, where that is asked for, and go on when
//! policy is in the maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd,
    time::Duration,
};

use weft_loader::Hold;
use weft_proxy::Proxy;

use super::MeshSide;
use crate::run::enrolment::Enrolled;

/// Connections of workloads that are not ready wait.
pub(super) struct Holding {
    /// How long, at most.
    pub(super) timeout: Duration,
    /// Those to them, until this is dropped.
    _arrivals: Hold,
}

impl MeshSide {
    /// Makes connections of workloads that are not ready wait, those they open so long at most.
    pub(crate) fn hold(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let served = self.plane.cgroup().path();
        anyhow::ensure!(
            self.serves_process("self"),
            "--hold: weft opens held connections for the workloads, so it must itself run in the \
             cgroup that it serves, {}, or below it",
            served.display()
        );
        self.hold = Some(Holding {
            timeout,
            _arrivals: self.plane.hold()?,
        });
        Ok(())
    }

    /// After the writes: namespaces whose workload became known, or is not known any more, get the
    /// hook that is for them, and those that are not enrolled any more get none. What waited goes on.
    /// When not all is `written`, nothing is opened: the plan is not what the maps hold. Called again
    /// it tries what failed.
    pub(crate) fn settle(&mut self, written: bool) {
        let mut gone: BTreeSet<u64> = self.hooked.keys().copied().collect();
        for one in self.enrolments.open() {
            let cookie = one.cookie;
            gone.remove(&cookie);
            let is_ready = self.is_ready(cookie);
            if is_ready && !written {
                continue;
            }
            let attached = self.hooked.get(&cookie);
            if attached.is_some_and(|attached| *attached != Some(is_ready)) {
                match self.plane.enrol(one.netns.as_fd(), cookie, is_ready) {
                    Ok(()) => drop(self.hooked.insert(cookie, Some(is_ready))),
                    Err(error) => {
                        tracing::error!("cannot replace the hook of {}: {error}", one.claim.name);
                        continue;
                    }
                }
            }
            if is_ready
                && let Some(proxy) = &self.proxy
                && self.rooms.remove(&cookie).is_some()
            {
                proxy.release(cookie);
            }
        }
        for cookie in gone {
            match self.plane.unenrol(cookie) {
                Ok(_) => drop(self.hooked.remove(&cookie)),
                Err(error) => tracing::error!("cannot take the hook out of a namespace: {error}"),
            }
            if let (Some(proxy), Some(_)) = (&self.proxy, self.rooms.remove(&cookie)) {
                proxy.remove(cookie);
            }
        }
    }
}

/// Lets the connections of a workload wait that nobody knows yet. True when they can.
pub(super) fn open_room(
    proxy: &Proxy,
    enrolled: &Enrolled,
    rooms: &mut BTreeMap<u64, u16>,
) -> bool {
    let netns = enrolled.netns.try_clone();
    match netns.and_then(|netns| proxy.hold(enrolled.cookie, netns)) {
        Ok(port) => {
            rooms.insert(enrolled.cookie, port);
            true
        }
        Err(error) => {
            tracing::warn!(
                "connections of {} are refused until it is known: {error}",
                enrolled.claim.name
            );
            false
        }
    }
}
