//! An authority's files.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use weft_identity::{Authority, PluginFiles, Serial};

use crate::run::stamp::Stamp;

/// How long an authority that nobody asked for is valid.
const BUILT_IN: Duration = Duration::from_secs(3650 * 86_400);

/// The files of an authority.
const FILES: [&str; 4] = [
    "ca-cert.pem",
    "ca-key.pem",
    "root-cert.pem",
    "cert-chain.pem",
];

/// Of each file that is there.
type Stamps = [Option<Stamp>; FILES.len()];

/// An authority, read again when its files change: a root is replaced by adding the new one to
/// `root-cert.pem`, then putting the new authority in place, then taking the old root away. Roots
/// travel with certificates: before each next step every certificate must have been renewed.
pub(crate) struct Office {
    dir: PathBuf,
    held: Mutex<(Stamps, Arc<Authority>)>,
}

impl Office {
    /// The authority of a directory.
    ///
    /// # Errors
    /// When a file is missing or wrong.
    pub(crate) fn open(dir: &Path, now: SystemTime) -> Result<Self> {
        let stamp = stamps(dir);
        let authority = Arc::new(load(dir, now)?);
        Ok(Self {
            dir: dir.to_owned(),
            held: Mutex::new((stamp, authority)),
        })
    }

    /// As the files are now; while they do not fit each other, as they last did.
    pub(crate) fn authority(&self) -> Arc<Authority> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamps(&self.dir);
        if stamp != held.0 {
            match load(&self.dir, SystemTime::now()) {
                Ok(authority) => {
                    tracing::info!("the authority in {} has changed", self.dir.display());
                    held.1 = Arc::new(authority);
                }
                Err(error) => tracing::warn!("{error:#}; the authority read before signs on"),
            }
            held.0 = stamp;
        }
        Arc::clone(&held.1)
    }
}

fn stamps(dir: &Path) -> Stamps {
    FILES.map(|name| Stamp::of(&dir.join(name)))
}

/// Reads the authority of a directory.
pub(crate) fn load(dir: &Path, now: SystemTime) -> Result<Authority> {
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read(&path).with_context(|| {
            format!(
                "cannot read {}; `weft ca init --dir {}` makes an authority",
                path.display(),
                dir.display()
            )
        })
    };
    let chain = dir.join("cert-chain.pem");
    let files = PluginFiles {
        ca_cert: read("ca-cert.pem")?,
        ca_key: read("ca-key.pem")?,
        root_cert: read("root-cert.pem")?,
        cert_chain: if chain.exists() {
            read("cert-chain.pem")?
        } else {
            Vec::new()
        },
    };
    Authority::load(&files, now).with_context(|| format!("no authority in {}", dir.display()))
}

/// Writes an authority into a directory that has none.
pub(crate) fn create(dir: &Path, authority: &Authority) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))?;
    for name in ["ca-cert.pem", "ca-key.pem", "root-cert.pem"] {
        ensure!(
            !dir.join(name).exists(),
            "{} is there already; an authority is never overwritten",
            dir.join(name).display()
        );
    }
    let files = authority.files();
    // The certificate comes last: a start that finds it finds everything.
    write(dir, "ca-key.pem", 0o600, &files.ca_key)?;
    write(dir, "root-cert.pem", 0o644, &files.root_cert)?;
    write(dir, "cert-chain.pem", 0o644, &files.cert_chain)?;
    write(dir, "ca-cert.pem", 0o644, &files.ca_cert)
}

/// The authority of a directory, made at first use.
pub(crate) fn open_or_create(dir: &Path, trust_domain: &str, now: SystemTime) -> Result<Office> {
    if dir.join("ca-cert.pem").exists() {
        return Office::open(dir, now);
    }
    // What an interrupted start left: a key that never signed.
    for name in ["ca-key.pem", "root-cert.pem", "cert-chain.pem"] {
        drop(fs::remove_file(dir.join(name)));
    }
    let authority = Authority::create(trust_domain, BUILT_IN, now, serial()?)?;
    create(dir, &authority)?;
    tracing::info!(
        "made a certificate authority for {trust_domain} in {}",
        dir.display()
    );
    Office::open(dir, now)
}

/// A random serial number.
pub(crate) fn serial() -> Result<Serial> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .ok()
        .context("the system has no randomness")?;
    Ok(Serial::new(bytes))
}

/// A random number from 0 to 1.
pub(crate) fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Spreading is a courtesy; without randomness all come at once.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

fn write(dir: &Path, name: &str, mode: u32, text: &[u8]) -> Result<()> {
    let path = dir.join(name);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&path);
    file.and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    })
    .with_context(|| format!("cannot write {}", path.display()))
}

/// Puts a file in the place of another, so that readers see the one or the other, and a crash leaves
/// one of them whole.
pub(crate) fn replace(dir: &Path, name: &str, mode: u32, text: &[u8]) -> Result<()> {
    let draft = format!("{name}.new");
    // What an interrupted write left.
    drop(fs::remove_file(dir.join(&draft)));
    write(dir, &draft, mode, text)?;
    fs::rename(dir.join(&draft), dir.join(name))
        .and_then(|()| fs::File::open(dir)?.sync_all())
        .with_context(|| format!("cannot replace {}", dir.join(name).display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("weft-store-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        dir
    }

    #[test]
    fn the_built_in_authority_is_made_once_and_is_for_its_owner_only() {
        let dir = folder("once");
        let now = SystemTime::now();
        let first = open_or_create(&dir, "mesh.a", now).expect("made");
        let second = open_or_create(&dir, "mesh.a", now).expect("read");
        assert_eq!(
            first.authority().certificate(),
            second.authority().certificate()
        );
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join("ca-key.pem")), 0o600);
        create(&dir, &first.authority()).expect_err("never overwritten");
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn a_start_that_was_interrupted_is_made_good() {
        let dir = folder("half");
        fs::create_dir_all(&dir).expect("folder");
        fs::write(dir.join("ca-key.pem"), "half").expect("file");
        open_or_create(&dir, "mesh.a", SystemTime::now()).expect("made");
        fs::remove_dir_all(&dir).expect("removed");
    }
}
