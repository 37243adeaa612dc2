//! Namespaces on one switch, a cgroup, and a directory, all named after this process.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result, ensure};

use crate::{Cgroup, Namespace, Place, cgroup, namespace::ip, weft};

/// A small network of our own: hosts on one switch with `10.77.0.0/16` and `fd77::/64`, and no
/// route to anywhere else. Dropping it removes everything it made.
#[derive(Debug)]
pub struct Rig {
    prefix: String,
    directory: PathBuf,
    switch: Option<Namespace>,
    hosts: u16,
    cgroup: Arc<Cgroup>,
}

impl Rig {
    /// Makes an empty rig after removing what dead processes left.
    ///
    /// # Errors
    /// When not root, or when iproute2 or cgroup v2 is missing.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static SWEPT: std::sync::Once = std::sync::Once::new();
        if let Some(reason) = skip_reason() {
            anyhow::bail!("{reason}");
        }
        SWEPT.call_once(sweep);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("weft-{}-{number}", std::process::id());
        let directory = runtime_directory().join(&prefix);
        fs::create_dir_all(&directory)
            .with_context(|| format!("make directory {}", directory.display()))?;
        Ok(Self {
            cgroup: Arc::new(Cgroup::create(&prefix)?),
            prefix,
            directory,
            switch: None,
            hosts: 0,
        })
    }

    /// A rig, or none after printing why none can be made here. For tests.
    ///
    /// # Panics
    /// When it should be possible and is not.
    #[expect(clippy::print_stdout, reason = "a skipped test says why")]
    pub fn or_skip() -> Option<Self> {
        if let Some(reason) = skip_reason() {
            println!("skipped: {reason}");
            return None;
        }
        Some(Self::new().expect("a rig, as root"))
    }

    /// Makes a namespace with `eth0` on the rig's switch and an address of each family.
    ///
    /// # Errors
    /// When `ip` fails; a name must be short and unused in this rig.
    pub fn host(&mut self, name: &str) -> Result<Arc<Namespace>> {
        let mut host = self.make(name)?;
        if self.switch.is_none() {
            let switch = self.make("switch")?;
            switch.ip(&["link", "add", "br0", "type", "bridge"])?;
            switch.ip(&["link", "set", "br0", "up"])?;
            self.switch = Some(switch);
        }
        let switch = self.switch.as_ref().expect("made above");
        let port = format!("p{}", self.hosts);
        self.link(&host, "eth0", switch, &port)?;
        switch.ip(&["link", "set", &port, "master", "br0"])?;
        let [high, low] = (self.hosts + 10).to_be_bytes();
        self.hosts += 1;
        let v4 = Ipv4Addr::new(10, 77, high, low);
        let v6 = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, u16::from_be_bytes([high, low]));
        host.address("eth0", &format!("{v4}/16"))?;
        host.address("eth0", &format!("{v6}/64"))?;
        host.on_switch(v4, v6);
        Ok(Arc::new(host))
    }

    /// Makes a namespace with nothing but loopback.
    ///
    /// # Errors
    /// When `ip` fails; a name must be unused in this rig.
    pub fn namespace(&mut self, name: &str) -> Result<Arc<Namespace>> {
        Ok(Arc::new(self.make(name)?))
    }

    /// Joins two namespaces by a veth pair, both ends up.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn link(&self, a: &Namespace, a_device: &str, b: &Namespace, b_device: &str) -> Result<()> {
        ip(&[
            "link",
            "add",
            "name",
            a_device,
            "netns",
            a.name(),
            "type",
            "veth",
            "peer",
            "name",
            b_device,
            "netns",
            b.name(),
        ])?;
        a.ip(&["link", "set", a_device, "up"])?;
        b.ip(&["link", "set", b_device, "up"])
    }

    /// The cgroup whose sockets belong to the mesh.
    pub fn cgroup(&self) -> &Arc<Cgroup> {
        &self.cgroup
    }

    /// A second cgroup beside [`Self::cgroup`], at the same depth.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sibling_cgroup(&self, name: &str) -> Result<Arc<Cgroup>> {
        Ok(Arc::new(Cgroup::create(&format!(
            "{}-{name}",
            self.prefix
        ))?))
    }

    /// In the namespace, sockets in the mesh.
    pub fn inside(&self, namespace: &Arc<Namespace>) -> Place {
        Place::inside(namespace, &self.cgroup)
    }

    /// A directory for files of this rig; removed with it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a directory below [`Self::directory`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    fn make(&self, name: &str) -> Result<Namespace> {
        ensure!(
            name.len() <= 32 && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-'),
            "{name:?} is no name for a namespace: use letters, digits and dashes"
        );
        Namespace::create(&format!("{}-{name}", self.prefix))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
        // Goes with its last rig.
        drop(fs::remove_dir(runtime_directory()));
    }
}

/// Why a rig cannot be made here, if so. Tests print it and skip.
pub fn skip_reason() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root: makes network namespaces and cgroups".to_owned());
    }
    if !Path::new("/usr/bin/nsenter").exists() && !Path::new("/bin/nsenter").exists() {
        return Some("needs nsenter (package util-linux)".to_owned());
    }
    if let Err(error) = ip(&["-V"]) {
        return Some(format!("needs ip (package iproute2): {error:#}"));
    }
    cgroup::mount().err().map(|error| format!("{error:#}"))
}

/// Removes what rigs of dead processes left: meshes, processes, namespaces, cgroups, directories.
pub fn sweep() {
    for directory in leftovers(&runtime_directory()) {
        weft::uninstall_below(&directory);
        drop(fs::remove_dir_all(&directory));
        drop(fs::remove_dir(runtime_directory()));
    }
    if let Ok(mount) = cgroup::mount() {
        leftovers(&mount)
            .iter()
            .for_each(|path| cgroup::clear(path));
    }
    for path in leftovers(Path::new("/run/netns")) {
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            drop(ip(&["netns", "del", name]));
        }
    }
}

/// Where rigs keep files: on tmpfs on most machines.
fn runtime_directory() -> PathBuf {
    PathBuf::from("/run/weft-rig")
}

/// Entries named `weft-PID...` of processes that are gone.
fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_prefix("weft-"))
                .and_then(|rest| rest.split('-').next())
                .and_then(|pid| pid.parse::<u32>().ok())
                .is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        })
        .collect()
}
