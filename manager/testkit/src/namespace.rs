//! One network namespace, named in `/run/netns` so that `nsenter` and `ip -n` reach it.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace of our own; dropping it removes its name.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl Namespace {
    /// Makes a namespace with only a loopback interface, up. Needs root.
    pub(crate) fn create(name: &str) -> Result<Self> {
        ip(&["netns", "add", name])?;
        let file = File::open(path(name)).with_context(|| format!("open namespace {name}"))?;
        let namespace = Self {
            name: name.to_owned(),
            file,
            v4: None,
            v6: None,
        };
        namespace.ip(&["link", "set", "lo", "up"])?;
        // Addresses are usable at once: no duplicate address detection.
        namespace.sysctl("net/ipv6/conf/all/accept_dad", "0")?;
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        Ok(namespace)
    }

    /// Name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path that `nsenter --net=` takes.
    pub fn path(&self) -> PathBuf {
        path(&self.name)
    }

    /// Its IPv4 address on the rig's switch.
    ///
    /// # Panics
    /// When the namespace is not on the switch (made by `Rig::namespace`).
    pub fn v4(&self) -> Ipv4Addr {
        self.v4.expect("a host of the rig's switch has an address")
    }

    /// Its IPv6 address on the rig's switch.
    ///
    /// # Panics
    /// When the namespace is not on the switch (made by `Rig::namespace`).
    pub fn v6(&self) -> Ipv6Addr {
        self.v6.expect("a host of the rig's switch has an address")
    }

    /// The command a person types to look around inside.
    pub fn nsenter(&self) -> String {
        format!("nsenter --net={}", self.path().display())
    }

    /// Runs `ip -n NAME ARGS`.
    pub fn ip(&self, args: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name.as_str()], args].concat())
    }

    /// Adds an address, as `10.0.0.1/24`, to an interface.
    pub fn address(&self, device: &str, cidr: &str) -> Result<()> {
        let mut args = vec!["addr", "add", cidr, "dev", device];
        if cidr.contains(':') {
            args.push("nodad");
        }
        self.ip(&args)
    }

    /// Adds a route. A default route is refused: nothing may leave the rig.
    pub fn route(&self, destination: &str, via: IpAddr) -> Result<()> {
        if matches!(destination, "default" | "0.0.0.0/0" | "::/0") {
            bail!("the rig has no default routes; name the prefix that is needed");
        }
        let family = if via.is_ipv6() { "-6" } else { "-4" };
        self.ip(&[family, "route", "add", destination, "via", &via.to_string()])
    }

    /// Lets the namespace forward packets between its interfaces, both families.
    pub fn forward(&self) -> Result<()> {
        self.sysctl("net/ipv4/ip_forward", "1")?;
        self.sysctl("net/ipv6/conf/all/forwarding", "1")
    }

    /// Writes one setting, named as the path below `/proc/sys`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{name}");
        self.enter(|| std::fs::write(&path, value))?
            .with_context(|| format!("write {value} to {path} in {}", self.name))
    }

    /// Runs `f` on a thread inside the namespace. Sockets made there stay inside it, whoever uses
    /// them later. Panics of `f` go on in the caller.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.move_here()?;
                Ok(f())
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread into the namespace, for good.
    pub(crate) fn move_here(&self) -> Result<()> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("enter namespace {}", self.name))
    }

    pub(crate) fn on_switch(&mut self, v4: Ipv4Addr, v6: Ipv6Addr) {
        self.v4 = Some(v4);
        self.v6 = Some(v6);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing to do about a failure while dropping; `sweep` finds what stays.
        drop(ip(&["netns", "del", &self.name]));
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Runs `ip ARGS`.
///
/// # Errors
/// With what `ip` said, when it is missing or fails.
pub(crate) fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .context("run ip (package iproute2)")?;
    if !output.status.success() {
        bail!(
            "ip {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
