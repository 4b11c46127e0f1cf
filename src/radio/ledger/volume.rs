//! What a ledger needs of a disk.

use std::{error, fmt, path::PathBuf};

use super::FILE_BYTES_MAX;

/// Why a disk refused, in its own words.
pub type Fault = Box<dyn error::Error + Send + Sync>;

/// The folder in which a ledger lies. Durable means: there after the power failed.
pub trait Volume: fmt::Debug + Send + Sync {
    /// Makes the folder, durably, if it is not there.
    fn make(&self) -> Result<(), Fault>;
    /// The names of what lies in it, in any order; none where there is no folder.
    fn list(&self) -> Result<Vec<String>, Fault>;
    /// The first `limit` bytes of a file, or all of it.
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Fault>;
    /// An empty file for writing, which only its owner may read, in the place of any that has this name. Its name is
    /// durable after [`Volume::sync`].
    fn create(&self, name: &str) -> Result<Box<dyn File>, Fault>;
    /// A file that is there, for writing; one that was closed to it is opened to it again.
    fn open(&self, name: &str) -> Result<Box<dyn File>, Fault>;
    /// Removes a file.
    fn remove(&self, name: &str) -> Result<(), Fault>;
    /// Closes a file to writing.
    fn protect(&self, name: &str) -> Result<(), Fault>;
    /// Makes the names in the folder durable.
    fn sync(&self) -> Result<(), Fault>;
    /// Gives the folder this name beside its place, where no folder remains. Tells where it lies.
    fn set_aside(&self, name: &str) -> Result<PathBuf, Fault>;
    /// The folders that were set aside.
    fn asides(&self) -> Result<Vec<Box<dyn Volume>>, Fault>;
    /// What to call a file in messages; the folder itself where `name` is empty.
    fn path(&self, name: &str) -> PathBuf;
    /// Takes note of a trouble that stops nothing.
    fn warn(&self, trouble: &str);
    /// The size in bytes at which a file is sealed and the next one begins.
    fn room(&self) -> u64 {
        FILE_BYTES_MAX
    }
}

/// A file that is open for writing.
pub trait File: fmt::Debug + Send + Sync {
    /// Writes all of these bytes at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Fault>;
    /// Sets its length in bytes.
    fn set_len(&self, bytes: u64) -> Result<(), Fault>;
    /// Reserves room for so many bytes, if the file system can.
    fn allocate(&self, bytes: u64);
    /// Makes what was written durable. After an error it is not known what is, and a second call does not tell.
    fn sync_data(&self) -> Result<(), Fault>;
    /// The same, with all that belongs to the file.
    fn sync_all(&self) -> Result<(), Fault>;
}
