//! Removes everything, and makes sure that it is gone.

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    BpfDir, Error, Lock,
    sys::{
        self,
        object::{Kind, by_id},
    },
};

/// How often, and how long in between, the kernel is asked whether something is gone. It frees
/// links and programs from a work queue.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// What was removed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Links, and with them attachments.
    pub links: usize,
    /// Programs.
    pub programs: usize,
    /// Maps.
    pub maps: usize,
}

/// Detaches all programs of the installation in `state`, removes its maps, its bpffs and its
/// files, and waits until the kernel has let go of them. Nothing installed is no error.
///
/// # Errors
/// [`Error::Held`] while a manager runs, [`Error::Left`] when something is held by another
/// process, [`Error::File`].
pub fn uninstall(state: &Path) -> Result<Report, Error> {
    if !state.exists() {
        return Ok(Report::default());
    }
    let lock = Lock::acquire(state)?;
    let objects = match BpfDir::find(state)? {
        Some(pins) => {
            let objects = Objects::pinned(&pins)?;
            pins.remove()?;
            objects
        }
        None => {
            remove_empty(&state.join("bpf"))?;
            Objects::default()
        }
    };
    lock.remove()?;
    remove_empty(state)?;
    objects.wait()?;
    Ok(objects.report())
}

/// Kernel objects by kind and id, with a name for messages.
#[derive(Default)]
struct Objects(BTreeSet<(Kind, u32, String)>);

impl Objects {
    /// What is pinned, the programs behind links, and the maps behind programs.
    fn pinned(pins: &BpfDir) -> Result<Self, Error> {
        let mut objects = Self::default();
        let paths = pins.all_pins()?;
        for path in &paths.links {
            objects
                .add_link(path)
                .map_err(Error::file("open link", path))?;
        }
        for path in &paths.maps {
            objects
                .add_map(path)
                .map_err(Error::file("open map", path))?;
        }
        Ok(objects)
    }

    fn add_link(&mut self, path: &Path) -> io::Result<()> {
        let link = sys::link::info(sys::object::open(path)?.as_fd())?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.0.insert((Kind::Link, link.id, name));
        let Some(program) = by_id(Kind::Program, link.program)? else {
            return Ok(());
        };
        let name = sys::object::program_info(program.as_fd())?.name();
        self.0.insert((Kind::Program, link.program, name));
        for id in sys::object::program_maps(program.as_fd())? {
            if let Some(map) = by_id(Kind::Map, id)? {
                self.insert_map(&map)?;
            }
        }
        Ok(())
    }

    fn add_map(&mut self, path: &Path) -> io::Result<()> {
        self.insert_map(&sys::object::open(path)?)
    }

    fn insert_map(&mut self, map: &OwnedFd) -> io::Result<()> {
        let info = sys::object::map_info(map.as_fd())?;
        self.0.insert((Kind::Map, info.id, info.name()));
        Ok(())
    }

    fn wait(&self) -> Result<(), Error> {
        let mut left = self.left();
        for _ in 0..TRIES {
            if left.is_empty() {
                return Ok(());
            }
            thread::sleep(PAUSE);
            left = self.left();
        }
        Err(Error::Left { left })
    }

    fn left(&self) -> Vec<String> {
        let alive = |kind, id| !matches!(by_id(kind, id), Ok(None));
        let left = self.0.iter().filter(|(kind, id, _)| alive(*kind, *id));
        left.map(|(kind, id, name)| format!("{} {name} (id {id})", label(*kind)))
            .collect()
    }

    fn report(&self) -> Report {
        let count = |wanted| self.0.iter().filter(|(kind, ..)| *kind == wanted).count();
        Report {
            links: count(Kind::Link),
            programs: count(Kind::Program),
            maps: count(Kind::Map),
        }
    }
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Program => "program",
        Kind::Map => "map",
        Kind::Link => "link",
    }
}

/// Removes a directory unless somebody keeps other things in it.
fn remove_empty(path: &Path) -> Result<(), Error> {
    match fs::remove_dir(path) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}
