//! Links: one per hook, pinned, and replaced atomically at an upgrade.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use weft_abi::names::programs;

use crate::{
    Cgroup, Error, Maps, enrol,
    object::Programs,
    pins::{BpfDir, link_name, remove_version},
    sys,
};

/// A place where a program is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook {
    /// What the hook is called, as libbpf names sections.
    pub name: &'static str,
    /// The program that is attached there.
    pub program: &'static str,
    /// `enum bpf_attach_type`.
    pub(crate) attach_type: u32,
}

/// The hooks on the cgroup, in the order of attachment: what counts and what translates back comes
/// before what sends connections elsewhere.
pub const CGROUP_HOOKS: [Hook; 9] = [
    hook("sockops", programs::SOCKOPS, 3),
    hook("cgroup/getpeername4", programs::GETPEERNAME4, 29),
    hook("cgroup/getpeername6", programs::GETPEERNAME6, 30),
    hook("cgroup/recvmsg4", programs::RECVMSG4, 19),
    hook("cgroup/recvmsg6", programs::RECVMSG6, 20),
    hook("cgroup/sendmsg4", programs::SENDMSG4, 14),
    hook("cgroup/sendmsg6", programs::SENDMSG6, 15),
    hook("cgroup/connect4", programs::CONNECT4, 10),
    hook("cgroup/connect6", programs::CONNECT6, 11),
];

/// The hooks on each named interface.
pub const TC_HOOKS: [Hook; 2] = [
    hook("tcx/egress", programs::TC_EGRESS, 47),
    hook("tcx/ingress", programs::TC_INGRESS, 46),
];

const fn hook(name: &'static str, program: &'static str, attach_type: u32) -> Hook {
    Hook {
        name,
        program,
        attach_type,
    }
}

/// What attaching did, by the names of links.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttachReport {
    /// Links made.
    pub created: Vec<String>,
    /// Links whose program was replaced.
    pub replaced: Vec<String>,
    /// Links removed: to interfaces no longer named, or of other ABI versions.
    pub removed: Vec<String>,
}

/// Attaches `programs` everywhere, and removes every other link pinned in `pins`.
pub(crate) fn attach(
    pins: &BpfDir,
    programs: &Programs,
    cgroup: &Cgroup,
    interfaces: &[String],
    maps: &Maps,
) -> Result<AttachReport, Error> {
    // All that can be wrong with the request is, before anything changes.
    let indices: Vec<u32> = interfaces
        .iter()
        .map(|interface| interface_index(interface))
        .collect::<Result<_, _>>()?;
    let mut attachments = Attachments {
        pins,
        programs,
        maps,
        others: pins.other_versions()?,
        report: AttachReport::default(),
    };
    let mut wanted = BTreeSet::new();
    for hook in CGROUP_HOOKS {
        let target = Target::Cgroup {
            fd: cgroup.fd(),
            id: cgroup.id(),
        };
        wanted.insert(attachments.ensure(hook, &link_name(hook.program, None), target)?);
    }
    for (interface, index) in interfaces.iter().zip(indices) {
        for hook in TC_HOOKS {
            let name = link_name(hook.program, Some(interface));
            wanted.insert(attachments.ensure(hook, &name, Target::Interface(index))?);
        }
    }
    wanted.extend(attachments.adopt_namespaces()?);
    attachments.remove_others(&wanted)?;
    Ok(attachments.report)
}

/// What a link is attached to.
#[derive(Clone, Copy)]
enum Target<'a> {
    Cgroup {
        fd: BorrowedFd<'a>,
        id: u64,
    },
    /// Index in the current network namespace.
    Interface(u32),
}

impl Target<'_> {
    fn is_of(self, link: BorrowedFd<'_>) -> bool {
        sys::link::info(link).is_ok_and(|info| match self {
            Self::Cgroup { id, .. } => info.cgroup() == Some(id),
            Self::Interface(index) => info.interface() == Some(index),
        })
    }

    fn attach(self, program: BorrowedFd<'_>, attach_type: u32) -> std::io::Result<OwnedFd> {
        match self {
            Self::Cgroup { fd, .. } => sys::link::create_on_cgroup(program, fd, attach_type),
            Self::Interface(index) => sys::link::create_on_interface(program, index, attach_type),
        }
    }
}

struct Attachments<'a> {
    pins: &'a BpfDir,
    programs: &'a Programs,
    maps: &'a Maps,
    /// Directories of other ABI versions.
    others: Vec<PathBuf>,
    report: AttachReport,
}

impl Attachments<'_> {
    /// Makes the link of this name run the new program; answers the name.
    fn ensure(&mut self, hook: Hook, name: &str, target: Target<'_>) -> Result<String, Error> {
        let program = self.programs.get(hook.program);
        let program = program
            .ok_or(Error::NoProgram {
                program: hook.program,
            })?
            .as_fd();
        let path = self.pins.link(name);
        if self.replace(&path, target, program) || self.adopt(name, &path, target, program)? {
            self.report.replaced.push(name.to_owned());
        } else {
            let link = target
                .attach(program, hook.attach_type)
                .map_err(Error::bpf("attach", format!("{} to {}", name, hook.name)))?;
            pin(&link, &path)?;
            self.report.created.push(name.to_owned());
        }
        Ok(name.to_owned())
    }

    /// Replaces the program of the link pinned at `path`. False when there is none, or it is of no
    /// use: its cgroup or interface is gone or another one.
    fn replace(&self, path: &Path, target: Target<'_>, program: BorrowedFd<'_>) -> bool {
        sys::object::open(path).is_ok_and(|link| {
            target.is_of(link.as_fd()) && sys::link::update(link.as_fd(), program).is_ok()
        })
    }

    /// Takes over the link of this name from another ABI version, so that no connection meets two
    /// programs or none.
    fn adopt(
        &self,
        name: &str,
        path: &Path,
        target: Target<'_>,
        program: BorrowedFd<'_>,
    ) -> Result<bool, Error> {
        for other in &self.others {
            let old = other.join("links").join(name);
            if self.replace(&old, target, program) {
                let link = sys::object::open(&old).map_err(Error::bpf("open link", name))?;
                pin(&link, path)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the program to the namespaces that are enrolled; answers their links.
    fn adopt_namespaces(&mut self) -> Result<Vec<String>, Error> {
        let adopted = enrol::adopt(self.pins, &self.others, self.programs, self.maps)?;
        self.report
            .replaced
            .extend(adopted.replaced.iter().cloned());
        self.report.removed.extend(adopted.removed);
        Ok(adopted.replaced)
    }

    fn remove_others(&mut self, wanted: &BTreeSet<String>) -> Result<(), Error> {
        for name in self.pins.link_names()? {
            if !wanted.contains(&name) {
                let path = self.pins.link(&name);
                fs::remove_file(&path).map_err(Error::file("unpin", &path))?;
                self.report.removed.push(name);
            }
        }
        for other in &self.others {
            remove_version(other)?;
            self.report.removed.push(other.display().to_string());
        }
        Ok(())
    }
}

/// Pins a link, in place of what is pinned there.
pub(crate) fn pin(link: &OwnedFd, path: &Path) -> Result<(), Error> {
    let mut new = path.as_os_str().to_owned();
    new.push("~");
    let new = PathBuf::from(new);
    // Left by a manager killed between the two steps below.
    drop(fs::remove_file(&new));
    sys::object::pin(link.as_fd(), &new).map_err(Error::file("pin", &new))?;
    fs::rename(&new, path).map_err(Error::file("pin", path))
}

/// The index of an interface of the current network namespace.
fn interface_index(interface: &str) -> Result<u32, Error> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
    let index = || {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        netdevice::name_to_index(&socket, interface)
    };
    index().map_err(|cause| Error::NoInterface {
        interface: interface.to_owned(),
        cause: cause.into(),
    })
}
