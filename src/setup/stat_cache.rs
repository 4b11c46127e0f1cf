//! What setup knows of the files it has read: who has not changed need not be read again.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Read},
    path::Path,
    sync::atomic::AtomicBool,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::stopped;
use crate::disk::{self, Disk, Stamp};

const VERSION: u32 = 2;
/// Longest cache that is read, in bytes.
const LONGEST: u64 = 256 << 20;
/// How much of a file is read at once, in bytes.
const BLOCK: usize = 1 << 20;

/// The cache: by path, the stamp and the SHA-256 of the file's bytes in hex.
#[derive(Debug, Default)]
pub(super) struct StatCache {
    known: HashMap<String, Line>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    stamp: Stamp,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Raw {
    v: u32,
    files: BTreeMap<String, Line>,
}

impl StatCache {
    /// Reads the cache; one that is missing or damaged is empty.
    pub(super) fn load(path: &Path) -> Self {
        let bytes = disk::read_if_there(path, LONGEST).ok().flatten().unwrap_or_default();
        match serde_json::from_slice::<Raw>(&bytes) {
            Ok(raw) if raw.v == VERSION => Self { known: raw.files.into_iter().collect() },
            _ => Self::default(),
        }
    }

    /// Writes the cache.
    pub(super) fn save(&self, disk: &Disk, path: &Path) -> disk::Result<()> {
        let files = self.known.iter().map(|(path, line)| (path.clone(), line.clone())).collect();
        let bytes = serde_json::to_vec(&Raw { v: VERSION, files }).expect("text keys and numbers are always JSON");
        if disk::read_if_there(path, LONGEST).ok().flatten().is_some_and(|there| there == bytes) {
            return Ok(());
        }
        disk.replace(path, &bytes)
    }

    /// The hash of the file at `path`, if it has not changed since.
    pub(super) fn get(&self, path: &str, stamp: &Stamp) -> Option<&str> {
        self.known.get(path).filter(|line| line.stamp == *stamp).map(|line| line.sha256.as_str())
    }

    pub(super) fn insert(&mut self, path: String, stamp: Stamp, sha256: String) {
        self.known.insert(path, Line { stamp, sha256 });
    }

    /// Forgets all files but these.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.known.retain(|path, _| keep(path));
    }
}

/// The SHA-256 of a file's bytes in hex; `None` when stopped.
pub(super) fn sha256_of(file: &Path, stop: &AtomicBool) -> io::Result<Option<String>> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        if stopped(stop) {
            return Ok(None);
        }
        match file.read(&mut block)? {
            0 => return Ok(Some(data_encoding::HEXLOWER.encode(&hash.finalize()))),
            read => hash.update(&block[..read]),
        }
    }
}
