//! The kernel plane of one manager.
//!
//! [`Plane::open`] makes or reopens the maps and loads the programs, attached to nothing. The
//! manager then fills the maps and calls [`Plane::attach`]: a new installation starts to balance
//! when all is known, and an upgraded one goes on with its old programs until then.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use weft_abi::{
    Address, SocketRecord,
    names::{maps, programs},
};
use weft_lower::{Capacity, MapOp};

use crate::{
    Applied, ApplyError, AttachReport, BpfDir, Cgroup, Error, Events, Maps, TraceLog, apply,
    attach, cgroup,
    enrol::{self, EnrolledNamespace},
    hold::Hold,
    iterate,
    object::{self, Programs},
    sys,
};

/// What to open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The state directory; pins go to `bpf` in it.
    pub state: PathBuf,
    /// The cgroup whose sockets are served: a path below a cgroup v2 mount, or relative to its
    /// root. `/` is the root.
    pub cgroup: PathBuf,
    /// Interfaces of the current network namespace that traffic from outside arrives on.
    pub interfaces: Vec<String>,
    /// Sizes of maps that do not exist yet.
    pub capacity: Capacity,
    /// Load the object whose programs log.
    pub trace: bool,
}

/// The loaded programs and their maps.
#[derive(Debug)]
pub struct Plane {
    pins: BpfDir,
    cgroup: Cgroup,
    interfaces: Vec<String>,
    programs: Programs,
    maps: Maps,
}

/// What opening found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpenReport {
    /// Maps were there already, with what an earlier manager wrote.
    pub adopted: bool,
    /// Maps that keep another size than the one asked for.
    pub sizes: Vec<SizeMismatch>,
    /// The pins are in a mount namespace of this process's own: they, and with them all programs,
    /// go when its last process ends.
    pub private_mounts: bool,
}

/// A map that has another size than the one asked for. It keeps it until the next uninstall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeMismatch {
    /// Its name.
    pub map: &'static str,
    /// Entries it can hold.
    pub actual: u32,
    /// Entries asked for.
    pub wanted: u32,
}

/// One program of this plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramStats {
    /// Its name.
    pub program: &'static str,
    /// Its id in the kernel.
    pub id: u32,
    /// Times it ran while statistics were enabled.
    pub runs: u64,
    /// Nanoseconds it ran then.
    pub nanoseconds: u64,
    /// Instructions the verifier looked at.
    pub verified_instructions: u32,
}

/// Statistics are enabled, for all programs of the machine, until this is dropped.
#[derive(Debug)]
#[must_use = "dropping this disables statistics"]
pub struct StatsGuard {
    _enabled: OwnedFd,
}

impl Plane {
    /// Makes or reopens the maps and loads the programs; attaches nothing. With
    /// [`Options::trace`] the third answer is what they log.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another weft serves the cgroup, [`Error::Program`] with the
    /// verifier's log, and what else [`Error`] lists.
    pub fn open(options: Options) -> Result<(Self, OpenReport, Option<TraceLog>), Error> {
        let cgroup = Cgroup::resolve(&options.cgroup)?;
        let fresh = BpfDir::find(&options.state)?.is_none();
        let pins = BpfDir::create(&options.state)?;
        let opened = Self::open_at(pins.clone(), cgroup, options);
        if opened.is_err() && fresh {
            // A failed first start leaves nothing; what it failed with is what counts.
            drop(pins.remove());
        }
        opened
    }

    fn open_at(
        pins: BpfDir,
        cgroup: Cgroup,
        options: Options,
    ) -> Result<(Self, OpenReport, Option<TraceLog>), Error> {
        cgroup::refuse_other_weft(&cgroup, &pins)?;
        let adopted = pins.map(maps::SERVICES).exists();
        let (mut ebpf, programs) = object::load(&pins, &options.capacity, options.trace)?;
        let trace = options
            .trace
            .then(|| TraceLog::open(&mut ebpf))
            .transpose()?;
        let maps = Maps::open(&pins)?;
        let report = OpenReport {
            adopted,
            sizes: size_mismatches(&maps, &options.capacity),
            private_mounts: private_mounts(),
        };
        drop(ebpf);
        sys::give_back_memory();
        let interfaces = options.interfaces;
        let plane = Self {
            pins,
            cgroup,
            interfaces,
            programs,
            maps,
        };
        Ok((plane, report, trace))
    }

    /// Attaches the programs, in place of those an earlier manager attached, and removes links
    /// that are not wanted any more. Afterwards there is exactly one program of ours per hook.
    /// Can be called again, for instance after an interface was made anew.
    ///
    /// # Errors
    /// [`Error::Bpf`] and [`Error::NoInterface`]; what was attached by then stays.
    pub fn attach(&self) -> Result<AttachReport, Error> {
        attach::attach(
            &self.pins,
            &self.programs,
            &self.cgroup,
            &self.interfaces,
            &self.maps,
        )
    }

    /// Attaches the program that lets connections in, in a network namespace with this cookie (see
    /// [`crate::netns_cookie`]), in place of one that is there already. For a namespace that is ready
    /// what it does is said by `ENROLLED` and `PEERS`, and without entries there it lets all in; for
    /// one that is not it lets nothing in.
    ///
    /// # Errors
    /// [`Error::Bpf`] and [`Error::File`].
    pub fn enrol(
        &self,
        namespace: BorrowedFd<'_>,
        cookie: u64,
        is_ready: bool,
    ) -> Result<(), Error> {
        let program = self.program(enrol::program(is_ready))?;
        enrol::enrol(&self.pins, program, namespace, cookie)
    }

    /// Makes connections to workloads that are not ready wait, which are refused otherwise, until what
    /// is returned is dropped: their SYNs are dropped, and the client's kernel sends them again.
    ///
    /// # Errors
    /// [`Error::Bpf`] and [`Error::Socket`].
    pub fn hold(&self) -> Result<Hold, Error> {
        Hold::begin(self.maps.hold.as_fd())
    }

    /// Detaches it, and forgets who the clients of the namespace were; false when it was not
    /// attached. Comes after the steps that take the workload out of the maps.
    ///
    /// # Errors
    /// [`Error::Bpf`] and [`Error::File`].
    pub fn unenrol(&self, cookie: u64) -> Result<bool, Error> {
        let was = enrol::unenrol(&self.pins, cookie)?;
        self.maps.forget_clients(cookie)?;
        Ok(was)
    }

    /// The namespaces that are enrolled, by this or an earlier manager.
    ///
    /// # Errors
    /// [`Error::Bpf`] and [`Error::File`].
    pub fn enrolled(&self) -> Result<Vec<EnrolledNamespace>, Error> {
        enrol::enrolled(&self.pins)
    }

    /// Applies steps to the maps, strictly in order.
    ///
    /// # Errors
    /// The step that could not be applied; those before it were, those after it were not.
    pub fn apply(&self, ops: &[MapOp]) -> Result<Applied, ApplyError> {
        apply::apply(&self.maps, ops)
    }

    /// The maps.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The pin directory.
    pub fn pins(&self) -> &BpfDir {
        &self.pins
    }

    /// The cgroup served.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The events the programs report. One reader at a time: two would share them.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn events(&self) -> Result<Events, Error> {
        Events::open(&self.pins)
    }

    /// All sockets of pools. As a side effect the kernel adds what live connections have sent and
    /// received so far to `EDGES`.
    ///
    /// # Errors
    /// [`Error::Bpf`] and [`Error::Malformed`].
    pub fn sockets(&self) -> Result<Vec<SocketRecord>, Error> {
        let program = self.program(programs::ITER_SOCKETS)?;
        iterate::sockets(program, self.maps.sockets.as_fd())
    }

    /// Says what this node masquerades as on its uplinks. Without an address traffic of that
    /// family is not masqueraded.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn set_node_addresses(
        &self,
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
    ) -> Result<(), Error> {
        let v4 = v4.map_or_else(Address::default, |v4| Address::v4(v4.octets()));
        let v6 = v6.map_or_else(Address::default, |v6| Address::v6(v6.octets()));
        let addresses = &self.maps.node_address;
        addresses
            .put(&0, &v4)
            .and_then(|()| addresses.put(&1, &v6))
            .map_err(Error::bpf("write map", maps::NODE_ADDRESS))
    }

    /// The programs, and how long they ran while statistics were enabled.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn program_stats(&self) -> Result<Vec<ProgramStats>, Error> {
        let stats = |(program, fd): (&&'static str, &OwnedFd)| {
            let info = sys::object::program_info(fd.as_fd())
                .map_err(Error::bpf("describe program", *program))?;
            Ok(ProgramStats {
                program,
                id: info.id,
                runs: info.runs,
                nanoseconds: info.run_time,
                verified_instructions: info.verified_instructions,
            })
        };
        self.programs.iter().map(stats).collect()
    }

    /// A program, for running it on test input.
    ///
    /// # Errors
    /// [`Error::NoProgram`].
    pub fn program(&self, name: &'static str) -> Result<BorrowedFd<'_>, Error> {
        let program = self
            .programs
            .get(name)
            .ok_or(Error::NoProgram { program: name })?;
        Ok(program.as_fd())
    }
}

/// Makes the kernel measure the run time of all programs (some nanoseconds per run) until the
/// guard is dropped.
///
/// # Errors
/// [`Error::Bpf`].
pub fn enable_stats() -> Result<StatsGuard, Error> {
    let enabled =
        sys::object::enable_stats().map_err(Error::bpf("enable", "program statistics"))?;
    Ok(StatsGuard { _enabled: enabled })
}

fn size_mismatches(maps: &Maps, capacity: &Capacity) -> Vec<SizeMismatch> {
    let actual = [
        maps.services.capacity(),
        maps.service_state.capacity(),
        maps.backends.capacity(),
        maps.backend_state.capacity(),
        maps.slots.capacity(),
        maps.workloads.capacity(),
        maps.peers.capacity(),
    ];
    object::sizes(capacity)
        .into_iter()
        .zip(actual)
        .filter(|((_, wanted), actual)| wanted != actual)
        .map(|((map, wanted), actual)| SizeMismatch {
            map,
            actual,
            wanted,
        })
        .collect()
}

/// Whether this process has another mount namespace than the machine's first process. Not known
/// counts as no.
fn private_mounts() -> bool {
    let namespace = |pid| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    namespace("1").is_some_and(|first| namespace("self") != Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So that the manager can hand them to threads of its own.
    #[test]
    fn planes_can_be_shared_and_readers_be_sent() {
        fn shared<T: Send + Sync>() {}
        fn sent<T: Send>() {}
        shared::<Plane>();
        sent::<Events>();
        sent::<TraceLog>();
    }
}
