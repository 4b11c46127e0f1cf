//! Room on the file system, and a file that holds some of it for bad times.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use super::{Disk, Error, Result, parent};
use crate::radio::room::{BALLAST_BYTES, Look};

/// Zeros that are written at once where room cannot be reserved without.
const PIECE_BYTES: usize = 1 << 20;

/// The file that is removed when the disk is full.
#[derive(Clone, Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// The one at `path`, which need not be there.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Looks at the disk that it lies on.
    pub fn look(&self) -> Result<Look> {
        let folder = parent(&self.path);
        let found = rustix::fs::statvfs(folder).map_err(|why| Error::io("look at", folder)(why.into()))?;
        Ok(Look {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            // Some file systems count no names.
            names_left: found.f_files == 0 || found.f_favail > 0,
            laid: self.is_laid(),
        })
    }

    fn is_laid(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.len() == BALLAST_BYTES)
    }

    /// Takes the room. On an error it takes none.
    pub fn lay(&self) -> Result<()> {
        Disk::default().remove(&self.path)?;
        let laid = self.create().and_then(|file| fill(&file));
        laid.map_err(|why| {
            let _ = fs::remove_file(&self.path);
            Error::io("lay", &self.path)(why)
        })
    }

    /// Gives the room back.
    pub fn release(&self) -> Result<()> {
        Disk::default().remove(&self.path)
    }

    fn create(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)
    }
}

fn fill(mut file: &File) -> io::Result<()> {
    let none = rustix::fs::FallocateFlags::empty();
    match rustix::fs::fallocate(file, none, 0, BALLAST_BYTES) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let piece = vec![0; PIECE_BYTES];
            (0..BALLAST_BYTES / PIECE_BYTES as u64).try_for_each(|_| file.write_all(&piece))
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_takes_room_and_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ballast");
        let ballast = Ballast::new(path.clone());
        assert!(!ballast.look().unwrap().laid);
        // One that a crash left half laid.
        fs::write(&path, b"half").unwrap();
        assert!(!ballast.look().unwrap().laid);
        ballast.lay().unwrap();
        let look = ballast.look().unwrap();
        assert!(look.laid && look.names_left && look.free_bytes > 0);
        assert!(fs::metadata(&path).unwrap().blocks() * 512 >= BALLAST_BYTES);
        ballast.release().unwrap();
        ballast.release().unwrap();
        assert!(!path.exists() && !ballast.look().unwrap().laid);
    }

    #[test]
    fn where_there_is_no_folder_the_error_names_it() {
        let ballast = Ballast::new("/nowhere/at/all/ballast".into());
        assert!(ballast.look().unwrap_err().to_string().contains("/nowhere/at/all"));
        assert!(ballast.lay().unwrap_err().to_string().contains("/nowhere/at/all/ballast"));
    }
}
