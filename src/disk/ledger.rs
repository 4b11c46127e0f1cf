//! The folder of files in which the ledger lies, and the ledger as a book.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
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
    file: File,
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

    fn opened(&self, file: File) -> Box<dyn volume::File> {
        Box::new(Open { file, fuse: self.fuse.clone() })
    }
}

impl Volume for Folder {
    fn make(&self) -> Result<(), Fault> {
        Ok(fs::create_dir_all(&self.dir)?)
    }

    fn list(&self) -> Result<Vec<String>, Fault> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
        names.collect()
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Fault> {
        Ok(beginning(&self.dir.join(name), limit)?)
    }

    fn create(&self, name: &str) -> Result<Box<dyn volume::File>, Fault> {
        self.fuse.step()?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        Ok(self.opened(options.open(self.dir.join(name))?))
    }

    fn open(&self, name: &str) -> Result<Box<dyn volume::File>, Fault> {
        Ok(self.opened(OpenOptions::new().write(true).open(self.dir.join(name))?))
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
        Ok(aside)
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.clone() } else { self.dir.join(name) }
    }

    fn warn(&self, trouble: &str) {
        tracing::warn!(dir = %self.dir.display(), "{trouble}");
    }
}

impl volume::File for Open {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Fault> {
        self.fuse.step()?;
        Ok(self.file.write_all_at(bytes, offset)?)
    }

    fn set_len(&self, bytes: u64) -> Result<(), Fault> {
        Ok(self.file.set_len(bytes)?)
    }

    fn allocate(&self, bytes: u64) {
        let _ = rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, bytes);
    }

    fn sync_data(&self) -> Result<(), Fault> {
        self.fuse.step()?;
        Ok(self.file.sync_data()?)
    }

    fn sync_all(&self) -> Result<(), Fault> {
        Ok(self.file.sync_all()?)
    }
}

/// The first `limit` bytes of a file, or all of it.
fn beginning(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The first lines of a file, as far as they can be read.
fn head(path: &Path) -> String {
    String::from_utf8_lossy(&beginning(path, read::HEAD_BYTES).unwrap_or_default()).into_owned()
}

/// A whole file.
fn load(path: &Path) -> Result<Vec<u8>, Error> {
    let text = beginning(path, read::READ_BYTES_MAX + 1).map_err(io_error(path))?;
    read::within(&text).map_err(|reason| Error::Damaged { path: path.into(), line: 1, reason })?;
    Ok(text)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path, source: source.into() }
}

#[cfg(test)]
mod tests;
