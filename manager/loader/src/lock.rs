//! One manager per state directory: `STATE/lock`, locked while it runs, holding its pid.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::fs::FlockOperation;

use crate::Error;

/// The lock; dropped, it is free. Only uninstalling removes the file.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// Open as long as the lock is held.
    file: File,
}

impl Lock {
    /// Takes the lock, and writes this process's pid into it.
    ///
    /// # Errors
    /// [`Error::Held`] with the pid of who has it, [`Error::File`].
    pub fn acquire(state: &Path) -> Result<Self, Error> {
        fs::create_dir_all(state).map_err(Error::file("create", state))?;
        let path = path(state);
        let mut file = open(&path)?;
        if !lock_patiently(&file, &path)? {
            let holder = pid(&mut file).map_err(Error::file("read", &path))?;
            return Err(Error::Held { path, holder });
        }
        if !is_at(&file, &path) {
            // Uninstalled between our opening and locking it: the file has no name any more.
            return Self::acquire(state);
        }
        let lock = Self { path, file };
        lock.write_pid().map_err(Error::file("write", &lock.path))?;
        Ok(lock)
    }

    /// The pid of the manager that has the state directory, if one has.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn holder(state: &Path) -> Result<Option<u32>, Error> {
        let path = path(state);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(Error::file("open", &path))?,
        };
        if try_lock(&file, &path)? {
            return Ok(None);
        }
        pid(&mut file).map(Some).map_err(Error::file("read", &path))
    }

    /// Removes the file, at uninstall.
    pub(crate) fn remove(self) -> Result<(), Error> {
        fs::remove_file(&self.path).map_err(Error::file("remove", &self.path))
    }

    fn write_pid(&self) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("lock")
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    file.map_err(Error::file("open", path))
}

fn is_at(file: &File, path: &Path) -> bool {
    let inode = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|data| data.ino());
    inode(fs::metadata(path)).is_some_and(|found| inode(file.metadata()) == Some(found))
}

/// [`Lock::holder`] locks for an instant too, which must not keep a manager from starting.
fn lock_patiently(file: &File, path: &Path) -> Result<bool, Error> {
    for _ in 0..5 {
        if try_lock(file, path)? {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(false)
}

fn try_lock(file: &File, path: &Path) -> Result<bool, Error> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(Error::file("lock", path)(error.into())),
    }
}

/// The pid in the file, 0 when there is none yet.
fn pid(file: &mut File) -> io::Result<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text.trim().parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_told_who_has_it() {
        let state = std::env::temp_dir().join(format!("weft-lock-{}", std::process::id()));
        let lock = Lock::acquire(&state).unwrap();
        let error = Lock::acquire(&state).unwrap_err();
        assert!(matches!(error, Error::Held { holder, .. } if holder == std::process::id()));
        assert_eq!(Lock::holder(&state).unwrap(), Some(std::process::id()));
        drop(lock);
        assert_eq!(Lock::holder(&state).unwrap(), None);
        Lock::acquire(&state).unwrap().remove().unwrap();
        fs::remove_dir(&state).unwrap();
    }
}
