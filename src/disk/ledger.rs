//! The folder of files in which the ledger lies, and the ledger as a book.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Seek},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Fuse;
use crate::radio::ledger::{
    Error, read,
    volume::{self, Fault, Volume},
};

pub mod book;
mod index;

/// A folder of files on a real disk.
#[derive(Clone, Debug)]
pub struct Folder {
    dir: PathBuf,
    fuse: Arc<Fuse>,
}

/// A file of it.
#[derive(Debug)]
struct Open {
    /// Another one with the same content where somebody has removed it.
    file: Mutex<File>,
    path: PathBuf,
    fuse: Arc<Fuse>,
}

impl Folder {
    /// The ledger in `dir`, which need not be there.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), fuse: Arc::new(Fuse::never()) }
    }

    /// Lets all that is written go through `fuse`, so that a test can let it fail.
    pub fn with_fuse(self, fuse: Arc<Fuse>) -> Self {
        Self { fuse, ..self }
    }

    fn sync_parent(&self) -> io::Result<()> {
        File::open(super::parent(&self.dir))?.sync_all()
    }

    fn opened(&self, file: File, path: PathBuf) -> Box<dyn volume::File> {
        Box::new(Open { file: Mutex::new(file), path, fuse: self.fuse.clone() })
    }
}

impl Volume for Folder {
    fn make(&self) -> Result<(), Fault> {
        fs::create_dir_all(&self.dir)?;
        Ok(self.sync_parent()?)
    }

    fn list(&self) -> Result<Vec<String>, Fault> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let name = |entry: io::Result<fs::DirEntry>| -> Result<String, Fault> {
            Ok(entry?.file_name().into_string().unwrap_or_default())
        };
        entries.map(name).collect()
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Fault> {
        Ok(beginning(&self.dir.join(name), limit)?)
    }

    fn create(&self, name: &str) -> Result<Box<dyn volume::File>, Fault> {
        self.fuse.step()?;
        let path = self.dir.join(name);
        let create = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let created = match create() {
            Err(known) if known.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path).and_then(|()| create())
            }
            created => created,
        };
        Ok(self.opened(created?, path))
    }

    fn open(&self, name: &str) -> Result<Box<dyn volume::File>, Fault> {
        let path = self.dir.join(name);
        // What a process was writing anew when it was killed.
        let _ = fs::remove_file(beside(&path));
        let open = || OpenOptions::new().read(true).write(true).open(&path);
        let opened = match open() {
            Err(closed) if closed.kind() == io::ErrorKind::PermissionDenied => {
                fs::set_permissions(&path, Permissions::from_mode(0o600)).and_then(|()| open())
            }
            opened => opened,
        };
        Ok(self.opened(opened?, path))
    }

    fn remove(&self, name: &str) -> Result<(), Fault> {
        Ok(fs::remove_file(self.dir.join(name))?)
    }

    fn protect(&self, name: &str) -> Result<(), Fault> {
        Ok(fs::set_permissions(self.dir.join(name), Permissions::from_mode(0o444))?)
    }

    fn sync(&self) -> Result<(), Fault> {
        self.fuse.step()?;
        Ok(File::open(&self.dir)?.sync_all()?)
    }

    fn set_aside(&self, name: &str) -> Result<PathBuf, Fault> {
        let aside = self.dir.with_file_name(name);
        fs::rename(&self.dir, &aside)?;
        // Where this fails, the folder that takes its place is made durable or is not.
        let _ = self.sync_parent();
        Ok(aside)
    }

    fn asides(&self) -> Result<Vec<Box<dyn Volume>>, Fault> {
        let beginning = format!("{}.damaged-", self.dir.file_name().unwrap_or_default().to_string_lossy());
        let mut found: Vec<Box<dyn Volume>> = Vec::new();
        super::list(super::parent(&self.dir), |name, _| {
            if name.starts_with(&beginning) {
                found.push(Box::new(Self::new(self.dir.with_file_name(name))));
            }
        })?;
        Ok(found)
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.clone() } else { self.dir.join(name) }
    }

    fn warn(&self, trouble: &str) {
        tracing::warn!(dir = %self.dir.display(), "{trouble}");
    }
}

impl Open {
    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the file lies where it is looked for: one that was removed is written anew, as long as it is open. What
    /// somebody has put in its place is moved beside it. Where nobody can look, or the whole station was moved, what is
    /// written goes where the file is.
    fn keep_in_place(&self, file: &mut File) -> io::Result<()> {
        let here = file.metadata()?;
        let other = match fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (here.dev(), here.ino()) => return Ok(()),
            Ok(there) => Some(self.path.with_extension(format!("jsonl.other-{}", there.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "nobody can see whether the receipts are in their place");
                return Ok(());
            }
        };
        let folder = super::parent(&self.path);
        if !folder.is_dir() && DirBuilder::new().mode(0o700).create(folder).is_err() {
            return Ok(());
        }
        let anew = self.written_anew(file)?;
        if let Some(other) = other {
            fs::rename(&self.path, &other)?;
            tracing::warn!(other = %other.display(), "another file lay in the place of the receipts");
        }
        fs::rename(beside(&self.path), &self.path)?;
        File::open(folder)?.sync_all()?;
        File::open(super::parent(folder))?.sync_all()?;
        *file = anew;
        tracing::warn!(path = %self.path.display(), "the file of the receipts was removed; it is written anew");
        Ok(())
    }

    /// A durable copy, under another name until all of it is there: what is cut off is damage.
    fn written_anew(&self, file: &mut File) -> io::Result<File> {
        let path = beside(&self.path);
        let mut copy = || {
            let mut anew =
                OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.rewind()?;
            io::copy(file, &mut anew)?;
            anew.sync_all()?;
            Ok(anew)
        };
        copy().inspect_err(|_| _ = fs::remove_file(&path))
    }
}

/// Where a file lies that is being written anew.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("anew")
}

impl volume::File for Open {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Fault> {
        self.fuse.step()?;
        let mut file = self.file();
        self.keep_in_place(&mut file)?;
        Ok(file.write_all_at(bytes, offset)?)
    }

    fn set_len(&self, bytes: u64) -> Result<(), Fault> {
        Ok(self.file().set_len(bytes)?)
    }

    fn allocate(&self, bytes: u64) {
        let _ = rustix::fs::fallocate(&*self.file(), rustix::fs::FallocateFlags::empty(), 0, bytes);
    }

    fn sync_data(&self) -> Result<(), Fault> {
        self.fuse.step()?;
        Ok(self.file().sync_data()?)
    }

    fn sync_all(&self) -> Result<(), Fault> {
        Ok(self.file().sync_all()?)
    }
}

/// The first `limit` bytes of a file, or all of it.
fn beginning(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_beginning(path, limit, &mut bytes)?;
    Ok(bytes)
}

/// The same, in place of what is in `bytes`.
fn read_beginning(path: &Path, limit: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let file = File::open(path)?;
    // One byte more than there is: a file that is whole shows its end without more room.
    let length = file.metadata()?.len().min(limit);
    bytes.clear();
    bytes.reserve(length as usize + 1);
    file.take(limit).read_to_end(bytes)?;
    Ok(())
}

/// The first lines of a file, as far as they can be read.
fn head(path: &Path) -> String {
    String::from_utf8_lossy(&beginning(path, read::HEAD_BYTES).unwrap_or_default()).into_owned()
}

/// A whole file.
fn load(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    load_into(path, &mut text)?;
    Ok(text)
}

/// The same, in place of what is in `text`: room for megabytes is made once.
fn load_into(path: &Path, text: &mut Vec<u8>) -> Result<(), Error> {
    read_beginning(path, read::READ_BYTES_MAX + 1, text).map_err(io_error(path))?;
    read::within(text).map_err(|reason| Error::Damaged { path: path.into(), line: 1, reason })
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path, source: source.into() }
}

#[cfg(test)]
mod tests;
