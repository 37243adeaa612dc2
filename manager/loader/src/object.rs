//! The embedded kernel object: its maps made or reopened at their pins, its programs loaded.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    programs::{Program, ProgramError},
};
use weft_abi::names::{maps, programs, settings};
use weft_lower::Capacity;

use crate::{
    Error,
    attach::{CGROUP_HOOKS, TC_HOOKS},
    btf,
    pins::BpfDir,
    sockets,
};

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/objects.rs"));
}

/// The iterator programs walk socket storage.
const ITERATED: &str = "bpf_sk_storage_map";

/// Programs by name. They stay loaded as long as they are held here, attached or used.
pub(crate) type Programs = BTreeMap<&'static str, OwnedFd>;

/// Makes or reopens the maps at their pins and loads all programs.
pub(crate) fn load(
    pins: &BpfDir,
    capacity: &Capacity,
    trace: bool,
) -> Result<(Ebpf, Programs), Error> {
    let object = if trace {
        embedded::TRACE
    } else {
        embedded::DEFAULT
    };
    if object.is_empty() {
        return Err(Error::NotBuilt);
    }
    let btf = Btf::from_sys_fs().map_err(|cause| Error::Btf {
        cause: Box::new(cause),
    })?;
    let offsets = btf::offsets(Path::new(btf::KERNEL_TYPES))?;
    let mut loader = EbpfLoader::new();
    loader.btf(Some(&btf));
    for offset in &offsets {
        loader.override_global(offset.setting, &offset.bytes, false);
    }
    let host = sockets::own_netns_cookie()?;
    loader.override_global(settings::HOST_NETNS, &host, true);
    for name in maps::ALL {
        loader.map_pin_path(name, pins.map(name));
    }
    for (name, entries) in sizes(capacity) {
        loader.map_max_entries(name, entries);
    }
    let mut ebpf = loader.load(object).map_err(|cause| Error::Object {
        cause: Box::new(cause),
    })?;
    let programs = load_programs(&mut ebpf, &btf)?;
    Ok((ebpf, programs))
}

/// The sizes of the maps whose size is asked for.
pub(crate) fn sizes(capacity: &Capacity) -> [(&'static str, u32); 7] {
    [
        (maps::SERVICES, capacity.services),
        // Pool ids begin at 1.
        (maps::SERVICE_STATE, capacity.services.saturating_add(1)),
        (maps::BACKENDS, capacity.backends),
        (maps::BACKEND_STATE, capacity.backends),
        (maps::SLOTS, capacity.slots),
        (maps::WORKLOADS, capacity.workloads),
        (maps::PEERS, capacity.workloads),
    ]
}

fn load_programs(ebpf: &mut Ebpf, btf: &Btf) -> Result<Programs, Error> {
    let hooks = CGROUP_HOOKS
        .iter()
        .chain(&TC_HOOKS)
        .map(|hook| hook.program);
    let mut loaded = Programs::new();
    for name in hooks.chain([
        programs::SK_LOOKUP,
        programs::SK_UNREADY,
        programs::ITER_SOCKETS,
    ]) {
        let program = ebpf
            .program_mut(name)
            .ok_or(Error::NoProgram { program: name })?;
        let refused = |cause: ProgramError| Error::Program {
            program: name,
            cause: Box::new(cause),
        };
        load_program(program, btf)
            .ok_or(Error::NoProgram { program: name })?
            .map_err(refused)?;
        let fd = program.fd().map_err(refused)?.as_fd().try_clone_to_owned();
        loaded.insert(name, fd.map_err(Error::bpf("keep program", name))?);
    }
    Ok(loaded)
}

/// Loads a program; `None` when it is of a type we have none of.
fn load_program(program: &mut Program, btf: &Btf) -> Option<Result<(), ProgramError>> {
    /// The verifier gives up with `EAGAIN` when a signal comes meanwhile (`do_check` in
    /// kernel/bpf/verifier.c); libbpf tries as often.
    const ATTEMPTS: usize = 5;
    let mut result = Ok(());
    for _ in 0..ATTEMPTS {
        result = match program {
            Program::CgroupSockAddr(program) => program.load(),
            Program::SockOps(program) => program.load(),
            Program::SkLookup(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            Program::Iter(program) => program.load(ITERATED, btf),
            _ => return None,
        };
        match &result {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == ErrorKind::WouldBlock => {}
            _ => break,
        }
    }
    Some(result)
}
