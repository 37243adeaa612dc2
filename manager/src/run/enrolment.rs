//! Which workloads run in which network namespaces: from the command line, and from a directory that
//! `weft enrol` writes to, so that enrolment works and lasts while no manager runs.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::args::mesh::{Claim, WorkloadName};

/// Below the state directory: a file per workload, `NAMESPACE_NAME`, holding a path.
pub(crate) const DIRECTORY: &str = "enrolled";

/// A claim whose namespace is open.
#[derive(Clone, Debug)]
pub(crate) struct Enrolled {
    pub(crate) claim: Claim,
    /// Keeps the namespace alive.
    pub(crate) netns: Arc<OwnedFd>,
    /// `SO_NETNS_COOKIE`.
    pub(crate) cookie: u64,
}

/// A namespace as its file shows it: device and inode.
type Stamp = (u64, u64);

/// All enrolments, with what is wrong with some.
#[derive(Debug)]
pub(crate) struct Enrolments {
    directory: PathBuf,
    given: Vec<Claim>,
    open: BTreeMap<WorkloadName, (Stamp, Enrolled)>,
    failed: BTreeMap<WorkloadName, (Claim, String)>,
}

/// What changed since the last look.
#[derive(Debug, Default)]
pub(crate) struct EnrolmentChange {
    /// New, or in another namespace than before.
    pub(crate) begun: Vec<Enrolled>,
    /// Gone, or in another namespace now: cookies of the former ones.
    pub(crate) ended: Vec<Enrolled>,
}

impl EnrolmentChange {
    pub(crate) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.ended.is_empty()
    }
}

impl Enrolments {
    /// Knows the command line's.
    pub(crate) fn new(state: &Path, given: Vec<Claim>) -> Self {
        Self {
            directory: state.join(DIRECTORY),
            given,
            open: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Looks at the directory and at the namespaces.
    pub(crate) fn look(&mut self) -> EnrolmentChange {
        let mut claims: BTreeMap<WorkloadName, Claim> = listed(&self.directory)
            .into_iter()
            .chain(self.given.iter().cloned())
            .map(|claim| (claim.name.clone(), claim))
            .collect();
        let mut change = EnrolmentChange::default();
        self.failed.clear();
        let mut kept = BTreeMap::new();
        for (name, (stamp, enrolled)) in std::mem::take(&mut self.open) {
            let same = claims
                .get(&name)
                .is_some_and(|claim| stamp_of(&claim.netns).is_ok_and(|now| now == stamp));
            if same {
                claims.remove(&name);
                kept.insert(name, (stamp, enrolled));
            } else {
                change.ended.push(enrolled);
            }
        }
        self.open = kept;
        for (name, claim) in claims {
            match self.begin(&claim) {
                Ok((stamp, enrolled)) => {
                    change.begun.push(enrolled.clone());
                    self.open.insert(name, (stamp, enrolled));
                }
                Err(error) => {
                    self.failed.insert(name, (claim, error));
                }
            }
        }
        change
    }

    fn begin(&self, claim: &Claim) -> Result<(Stamp, Enrolled), String> {
        let shown = claim.netns.display();
        let missing = |error: io::Error| format!("network namespace {shown}: {error}");
        let file = File::open(&claim.netns).map_err(missing)?;
        let metadata = file.metadata().map_err(missing)?;
        let stamp = (metadata.dev(), metadata.ino());
        if stamp_of(Path::new("/proc/self/ns/net")).is_ok_and(|own| own == stamp) {
            return Err(format!(
                "{shown} is the network namespace of the node itself, which is shared by many: \
                 its processes are not enrolled"
            ));
        }
        if let Some((_, other)) = self.open.values().find(|(known, _)| *known == stamp) {
            return Err(format!(
                "network namespace {shown} is that of {} already; one namespace is one workload",
                other.claim.name
            ));
        }
        let netns = OwnedFd::from(file);
        let cookie = weft_loader::netns_cookie(netns.as_fd()).map_err(|error| error.to_string())?;
        let enrolled = Enrolled {
            claim: claim.clone(),
            netns: Arc::new(netns),
            cookie,
        };
        Ok((stamp, enrolled))
    }

    /// Those in force.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Enrolled> {
        self.open.values().map(|(_, enrolled)| enrolled)
    }

    /// Those that cannot be, and why.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (&Claim, &str)> {
        self.failed
            .values()
            .map(|(claim, why)| (claim, why.as_str()))
    }
}

/// Writes an enrolment down for the manager of this state directory.
pub(crate) fn write(state: &Path, claim: &Claim) -> io::Result<()> {
    let directory = state.join(DIRECTORY);
    fs::create_dir_all(&directory)?;
    let path = directory.join(file_name(&claim.name));
    let draft = directory.join(format!(".{}", file_name(&claim.name)));
    let netns = std::path::absolute(&claim.netns)?;
    fs::write(&draft, netns.as_os_str().as_encoded_bytes())?;
    fs::rename(draft, path)
}

/// Takes it back; false when there was none.
pub(crate) fn remove(state: &Path, name: &WorkloadName) -> io::Result<bool> {
    match fs::remove_file(state.join(DIRECTORY).join(file_name(name))) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Names have no underscore.
fn file_name(name: &WorkloadName) -> String {
    format!("{}_{}", name.namespace, name.name)
}

fn listed(directory: &Path) -> Vec<Claim> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let claims = entries.filter_map(|entry| {
        let file_name = entry.file_name().into_string().ok()?;
        let name = file_name.replacen('_', "/", 1).parse().ok()?;
        let netns = fs::read_to_string(entry.path()).ok()?;
        Some(Claim {
            name,
            netns: PathBuf::from(netns.trim_end()),
        })
    });
    claims.collect()
}

fn stamp_of(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
