//! Files that are never seen half written, and where they lie.
//!
//! Everything that is kept is written beside its place, made durable, and renamed over it: whoever reads sees the old
//! content or the new one, also after a crash.

use std::{
    fs::{self, DirEntry, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use ballast::Ballast;
pub use fuse::Fuse;
pub use layout::{Layout, Store, create_private_folder};
pub use lock::{Lock, is_held};
pub use stamp::Stamp;

mod ballast;
mod fuse;
mod layout;
pub mod ledger;
mod lock;
mod stamp;

/// How names of files that are being written begin.
const TEMPORARY: &str = ".tmp-";
/// With what mode a file is made: what the umask leaves of it, or nothing for others.
const PUBLIC: u32 = 0o666;
const PRIVATE: u32 = 0o600;

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot {what} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something that is no file is in the place of one.
    #[error("cannot read {}: it is not a regular file; move it away", path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
    },
    /// The file is longer than anything of its kind.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// Another process works there.
    #[error("{} is held by another process{}; wait until it is done or end it", path.display(), holder(*pid))]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, if it can be told.
        pid: Option<u32>,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// What to do about it, where that can be told.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => "; free up space on its file system",
        io::ErrorKind::QuotaExceeded => "; free up space, or have the quota raised",
        io::ErrorKind::ReadOnlyFilesystem => "; its file system must be writable",
        io::ErrorKind::PermissionDenied => "; see who owns it",
        io::ErrorKind::IsADirectory => "; move it away",
        _ => "",
    }
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// Whether something that is no file is in the place of one.
    pub fn is_no_file(&self) -> bool {
        matches!(self, Self::NoFile { .. })
            || matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::IsADirectory)
    }

    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The same fault for those who know only [`io::Error`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::NoFile { .. } => io::ErrorKind::InvalidInput,
            Error::TooLong { .. } => io::ErrorKind::FileTooLarge,
            Error::Busy { .. } => io::ErrorKind::ResourceBusy,
        };
        Self::new(kind, error)
    }
}

/// What this room returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Replaces the content of a file at once and durably: temp in the same folder, fsync, rename, fsync of the folder.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    Disk::default().replace(path, bytes)
}

/// Writes a file that only its owner may read: never there half, never replaced once it is there.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let disk = Disk::default();
    let temporary = disk.write_beside(path, bytes, PRIVATE)?;
    let placed = fs::hard_link(&temporary, path);
    disk.give_up(&temporary);
    placed.map_err(Error::io("create", path))?;
    disk.sync_folder(parent(path))
}

/// The whole file, if it is a file and not longer than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let found = fs::metadata(path).map_err(Error::io("read", path))?;
    if !found.is_file() {
        return Err(Error::NoFile { path: path.to_owned() });
    }
    let mut bytes = Vec::with_capacity(found.len().min(limit) as usize);
    let file = File::open(path).map_err(Error::io("read", path))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// The whole file, or nothing if there is none.
pub fn read_if_there(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    match read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what a killed process left half written in this folder; a missing folder is clean. Returns how many.
///
/// Only for folders whose lock is held: a living writer's file looks the same.
pub fn sweep(folder: &Path) -> Result<usize> {
    sweep_and_list(folder, |_, _| ())
}

/// The same, and shows each file that stays, with its name.
pub fn sweep_and_list(folder: &Path, mut stays: impl FnMut(&str, &DirEntry)) -> Result<usize> {
    sweep_if(folder, |name, file| {
        let stale = is_temporary(name);
        if !stale {
            stays(name, file);
        }
        stale
    })
}

/// Shows each file in a folder, with its name; a folder that is not there is empty.
pub fn list(folder: &Path, mut show: impl FnMut(&str, &DirEntry)) -> Result<()> {
    sweep_if(folder, |name, file| {
        show(name, file);
        false
    })?;
    Ok(())
}

/// Removes what a killed writer of this one file left half written beside it. Returns how many.
///
/// Only for files that have one writer at a time.
pub fn sweep_beside(path: &Path) -> Result<usize> {
    let name = name_of(path);
    sweep_if(parent(path), |temporary, _| is_temporary(temporary) && temporary.ends_with(&format!("-{name}")))
}

fn sweep_if(folder: &Path, mut stale: impl FnMut(&str, &DirEntry) -> bool) -> Result<usize> {
    let listing = match fs::read_dir(folder) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other.map_err(Error::io("list", folder))?,
    };
    let mut swept = 0;
    for entry in listing {
        let entry = entry.map_err(Error::io("list", folder))?;
        if stale(&entry.file_name().to_string_lossy(), &entry) {
            fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Whether a file of this name is being written, or was when its writer was killed.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// The way to write. Cheap to clone.
///
/// With a [`Fuse`] it fails when it is told to, and does not wait for the hardware: a fuse stands for a killed process,
/// and what that has written is there without a sync.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    fuse: Option<Arc<Fuse>>,
}

static COUNTER: AtomicU64 = AtomicU64::new(0);

impl Disk {
    /// A disk whose every step goes through `fuse`.
    pub fn with_fuse(fuse: Arc<Fuse>) -> Self {
        Self { fuse: Some(fuse) }
    }

    /// See [`replace`].
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.place(path, bytes)?;
        self.sync_folder(parent(path))
    }

    /// Like [`replace`], but the name itself is durable only after [`Disk::sync_folder`].
    pub fn place(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = self.write_beside(path, bytes, PUBLIC)?;
        let renamed = self.step().and_then(|()| fs::rename(&temporary, path));
        renamed.map_err(|error| {
            self.give_up(&temporary);
            Error::io("replace", path)(error)
        })
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, folder: &Path) -> Result<()> {
        let sync = || self.sync(&File::open(folder)?);
        sync().map_err(Error::io("sync", folder))
    }

    /// Makes a folder and those above it.
    pub fn create_folder(&self, folder: &Path) -> Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let missing = missing(folder);
        self.step().and_then(|()| fs::create_dir_all(folder)).map_err(Error::io("create", folder))?;
        missing.into_iter().try_for_each(|made| self.sync_folder(parent(made)))
    }

    /// Removes a file; one that is not there is removed.
    pub fn remove(&self, path: &Path) -> Result<()> {
        missing_is_fine(self.step().and_then(|()| fs::remove_file(path))).map_err(Error::io("remove", path))
    }

    /// Removes a folder with everything in it; one that is not there is removed.
    pub fn remove_folder(&self, path: &Path) -> Result<()> {
        missing_is_fine(self.step().and_then(|()| fs::remove_dir_all(path))).map_err(Error::io("remove", path))
    }

    fn write_beside(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf> {
        let (temporary, mut file) = self.create_beside(path, mode)?;
        let write = match self.step() {
            Ok(()) => file.write_all(bytes),
            Err(blown) => file.write_all(&bytes[..bytes.len() / 2]).and(Err(blown)),
        };
        let written = write.and_then(|()| self.sync(&file));
        match written {
            Ok(()) => Ok(temporary),
            Err(error) => {
                self.give_up(&temporary);
                Err(Error::io("write", path)(error))
            }
        }
    }

    fn create_beside(&self, path: &Path, mode: u32) -> Result<(PathBuf, File)> {
        self.step().map_err(Error::io("write", path))?;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let temporary = parent(path).join(format!("{TEMPORARY}{}-{number}-{}", process::id(), name_of(path)));
            match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary) {
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|file| (temporary, file)).map_err(Error::io("write", path)),
            }
        }
    }

    /// Takes the half-written file away, unless the process counts as killed.
    fn give_up(&self, temporary: &Path) {
        if self.step().is_ok() {
            let _ = fs::remove_file(temporary);
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        match &self.fuse {
            Some(fuse) => fuse.step(),
            None => file.sync_all(),
        }
    }

    fn step(&self) -> io::Result<()> {
        self.fuse.as_ref().map_or(Ok(()), |fuse| fuse.step())
    }
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The folder and those above it that are not there.
fn missing(folder: &Path) -> Vec<&Path> {
    folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect()
}

/// The folder that a path is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn killed_at_any_step_shows_the_old_content_or_the_new() {
        for steps in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a");
            replace(&path, b"old!").unwrap();
            let done = Disk::with_fuse(Arc::new(Fuse::killed_after(steps))).replace(&path, b"new!");
            let seen = read(&path, 4).unwrap();
            assert!(seen == b"old!" || seen == b"new!", "after {steps} steps");
            sweep(folder.path()).unwrap();
            assert_eq!(names(folder.path()), ["a"]);
            if done.is_ok() {
                assert_eq!((steps, &*seen), (5, &b"new!"[..]));
                return;
            }
        }
    }

    #[test]
    fn a_single_fault_is_told_and_cleaned_up() {
        for step in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a");
            let disk = Disk::with_fuse(Arc::new(Fuse::fails_once_after(step, io::ErrorKind::StorageFull)));
            let told = disk.replace(&path, b"new!").unwrap_err().to_string();
            assert!(told.contains("/a"), "{told}");
            assert_eq!(names(folder.path()), [""; 0], "step {step}");
            disk.replace(&path, b"new!").unwrap();
        }
    }

    #[test]
    fn reads_no_more_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, b"1234").unwrap();
        assert!(matches!(read(&path, 3), Err(Error::TooLong { limit: 3, .. })));
        assert!(read(folder.path(), 3).unwrap_err().to_string().contains("not a regular file"));
        assert!(read(&folder.path().join("none"), 3).unwrap_err().is_missing());
        assert_eq!(read_if_there(&folder.path().join("none"), 3).unwrap(), None);
    }

    #[test]
    fn sweeps_only_what_was_half_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".tmp-1-2", ".hidden", "a.tmp"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        assert_eq!(sweep(folder.path()).unwrap(), 1);
        assert_eq!(names(folder.path()), [".hidden", "a.tmp"]);
        for name in [".tmp-1-2-a", ".tmp-1-3-b", "a"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        assert_eq!(sweep_beside(&folder.path().join("a")).unwrap(), 1);
        assert_eq!(names(folder.path()), [".hidden", ".tmp-1-3-b", "a", "a.tmp"]);
        assert_eq!(sweep(&folder.path().join("none")).unwrap(), 0);
    }
}
