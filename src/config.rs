//! The two files that configure a station: raw TOML in, checked values out.
//!
//! A missing file means all defaults. Anything that is not understood is refused with the file, the line, the column
//! and what to write instead: a typing error never changes what a station does without a word.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

pub use fault::Fault;
pub use key::{Key, Takes};
pub use overrides::{KEYS as OVERRIDE_KEYS, overrides};
pub use setup::{KEYS as SETUP_KEYS, Setup};
pub use streaming::{KEYS as STREAMING_KEYS, Receipts, Streaming};

mod fault;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod key;
mod overrides;
mod setup;
mod streaming;
mod sums;

/// Longest configuration file that is read, in bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is there and cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is too long to be a configuration.
    #[error("{} is longer than {LONGEST_FILE} bytes; it should hold settings only", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// Something in the file is not right.
    #[error("{0}")]
    Fault(Box<Fault>),
}

/// The text of the file, or nothing if there is no such file.
fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(other) => return Err(failed(other)),
        Ok(found) if found.len() > LONGEST_FILE => return Err(Error::TooLong { path: path.to_owned() }),
        Ok(_) => {}
    }
    decoded(path, fs::read(path).map_err(failed)?)
}

/// The text of a file that holds these bytes.
fn decoded(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| Error::Fault(Box::new(Fault::of_bytes(path, &error))))
}

/// A file that is being read: its name for messages, its text for carets.
#[derive(Clone, Copy)]
struct Text<'a> {
    name: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    /// Reads the file into its raw form; `keys` are those the file may hold.
    fn raw<T: serde::de::DeserializeOwned>(&self, keys: &[Key]) -> Result<T, Error> {
        toml::from_str(self.text).map_err(|error| Error::Fault(Box::new(Fault::of_toml(*self, &error, keys))))
    }

    /// The value at `span` is not what `key` takes.
    fn refuse(&self, key: &Key, span: Range<usize>) -> Error {
        Error::Fault(Box::new(Fault::of_key(*self, key, span)))
    }

    /// The value at `span` has the right form and yet cannot be used, for this `reason`.
    fn refuse_because(&self, key: &Key, span: Range<usize>, reason: &str) -> Error {
        Error::Fault(Box::new(Fault::of_value(*self, key, span, reason)))
    }
}
