//! Which blocks a file of the ledger tells of: a projection beside the ledger, made by the station when the file is full
//! and by who asks whenever it is missing or of another file. A disk that refuses it only costs time.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{head, io_error, load};
use crate::{
    disk,
    radio::{ledger::Error, lines::Lines},
};

/// Length of the file and hash of its first lines, in bytes.
const HEADER: usize = 8 + 32;
/// A block, by the first bytes of the SHA-256 of its name. Two of them may share these; the file tells them apart.
const ENTRY: usize = 8;
/// More than the segments of a file can take, in bytes.
const INDEX_BYTES_MAX: u64 = 1 << 20;

/// What stands before a name; in a text the quotes would be escaped.
const KEY: &str = "\"cid\":\"";

/// Whether a file that is written no more may tell of the block of this name.
pub(super) fn may_tell_of(path: &Path, cid: &str) -> Result<bool, Error> {
    let known = complete(path)?;
    let (entries, _) = known[HEADER..].as_chunks::<ENTRY>();
    Ok(entries.binary_search(&entry(cid)).is_ok())
}

/// The index of a file that is written no more, made where it is missing.
pub(super) fn complete(path: &Path) -> Result<Vec<u8>, Error> {
    let (index, header) = (place(path), header(path)?);
    let known = disk::read_if_there(&index, INDEX_BYTES_MAX).ok().flatten();
    let known = known.filter(|known| known.starts_with(&header) && (known.len() - HEADER).is_multiple_of(ENTRY));
    if let Some(known) = known {
        return Ok(known);
    }
    let made = make(path, header)?;
    let folder = index.parent().map(fs::create_dir_all);
    let saved = folder.is_some_and(|made| made.is_ok()) && disk::replace(&index, &made).is_ok();
    tracing::debug!(saved, index = %index.display(), "indexed");
    Ok(made)
}

/// `ledger.index/000001.cids` beside `ledger/000001.jsonl`.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(path).with_extension("index");
    folder.join(path.file_name().unwrap_or_default()).with_extension("cids")
}

fn header(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = fs::metadata(path).map_err(io_error(path))?.len();
    let head = Sha256::digest(head(path).as_bytes());
    Ok([&bytes.to_le_bytes()[..], &head].concat())
}

fn make(path: &Path, header: Vec<u8>) -> Result<Vec<u8>, Error> {
    let text = load(path)?;
    let told = Lines::of(&text).whole.into_iter().filter_map(|line| std::str::from_utf8(line).ok());
    let mut entries: Vec<[u8; ENTRY]> = told.flat_map(cids).map(entry).collect();
    entries.sort_unstable();
    entries.dedup();
    Ok([header, entries.concat()].concat())
}

/// The names in a line: of a segment, and of its other renditions.
fn cids(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(KEY).filter_map(|(at, key)| line[at + key.len()..].split('"').next())
}

fn entry(cid: &str) -> [u8; ENTRY] {
    let hash = Sha256::digest(cid.as_bytes());
    std::array::from_fn(|at| hash[at])
}
