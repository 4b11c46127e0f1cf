//! One process at a time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
    process,
};

use super::{Error, Result};

/// Longest text that is read from a lock file, in bytes.
const LONGEST: u64 = 32;

/// A lock that is held until it is dropped, or its process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock at once or tells who holds it. The folder must be there; the file stays.
    pub fn take(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(Error::io("lock", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: path.to_owned(), pid: written(&file) }),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
        // Over what was there, which needs no room on a full disk.
        let note = format!("{}\n", process::id());
        let noted = file.write_all(note.as_bytes()).and_then(|()| file.set_len(note.len() as u64));
        noted.map_err(Error::io("lock", path))?;
        Ok(Self { file })
    }
}

/// Whether some process holds the lock. Looks for a moment only, and takes nothing away from who holds it.
pub fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    let _ = file.unlock();
    held
}

/// Unlocks by word and not only by closing: a child that another thread is just starting has the file open, too.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The process that wrote its number into the file.
fn written(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_held_once_and_free_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let held = Lock::take(&path).unwrap();
        let busy = Lock::take(&path).unwrap_err();
        assert!(matches!(busy, Error::Busy { pid: Some(pid), .. } if pid == process::id()), "{busy}");
        assert!(busy.to_string().contains("held by another process"));
        assert!(is_held(&path) && !is_held(&folder.path().join("none")));
        drop(held);
        assert!(!is_held(&path));
        Lock::take(&path).unwrap();
    }
}
