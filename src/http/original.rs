//! `/audio/<id>/original`: the recording that an item was made from, byte for byte, where the operator publishes them.
//!
//! An item is named by the hash of its recording. So a file is read once before any of it is sent, and what is sent is that
//! recording and no other, whatever lies in its place by now.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, Read},
    ops::Range,
    os::unix::{
        ffi::OsStringExt,
        fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header, request::Parts as Head},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use sha2::{Digest, Sha256};

use super::{entity::Entity, kind, refusal::Refusal, vod::IMMUTABLE};
use crate::{
    disk::{self, Store},
    radio::{
        manifest::{self, Manifest, Meta, meta},
        playlist::unspell,
        segment::is_short_name,
    },
};

/// So many files are known to be whole at a time.
const KNOWN_MAX: usize = 4_096;
/// Bytes that are read at a time.
const PIECE_BYTES: u64 = 256 << 10;

/// The recordings of a station.
#[derive(Clone, Debug)]
pub struct Originals {
    dir: PathBuf,
    /// Files that were read, the oldest first, with the ids of their items. Held while one is read: one at a time.
    known: Arc<Mutex<VecDeque<(String, Stamp)>>>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([i64; 7]);

impl Stamp {
    fn of(told: &Metadata) -> Self {
        let (device, node, size) = (told.dev() as i64, told.ino() as i64, told.size() as i64);
        Self([device, node, size, told.mtime(), told.mtime_nsec(), told.ctime(), told.ctime_nsec()])
    }
}

/// A recording that is there.
struct Found {
    file: File,
    name: String,
    length: u64,
}

impl Originals {
    /// Those of the station in this folder, to which the paths of entries are relative.
    pub fn of(dir: PathBuf) -> Self {
        Self { dir, known: Arc::default() }
    }

    /// The recording of an item of one of these folders, if it is still there. Blocking.
    fn find(&self, stores: &[Store], id: &str) -> Result<Option<Found>, Refusal> {
        for store in stores {
            let Some(meta) = read(&store.meta(id), meta::LONGEST)?.and_then(|text| Meta::parse(&text).ok()) else {
                continue;
            };
            let index = read(&store.manifest(), manifest::LONGEST)?.and_then(|text| Manifest::parse(&text).ok());
            let entries = index.iter().flat_map(Manifest::entries).filter(|entry| entry.id == id);
            for path in entries.map(|entry| self.dir.join(OsString::from_vec(unspell(&entry.path)))) {
                let found = self.open(&path, id, &meta.source.sha256);
                match found.map_err(|error| Refusal::Failed(format!("{}: {error}", path.display())))? {
                    Some(found) => return Ok(Some(found)),
                    None => continue,
                }
            }
        }
        Ok(None)
    }

    fn open(&self, path: &Path, id: &str, sha256: &str) -> io::Result<Option<Found>> {
        // Looked at before it is opened: a pipe would never come.
        let is_file = match fs::metadata(path) {
            Ok(told) => told.is_file(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !is_file {
            return Ok(None);
        }
        let mut file = File::open(path)?;
        let seen = (id.to_owned(), Stamp::of(&file.metadata()?));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&seen) {
            if data_encoding::HEXLOWER.encode(&digest(&mut file)?) != sha256 {
                return Ok(None);
            }
            known.push_back(seen.clone());
            if known.len() > KNOWN_MAX {
                known.pop_front();
            }
        }
        let told = file.metadata()?;
        // Written to while it was read, or since.
        if Stamp::of(&told) != seen.1 {
            return Ok(None);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Found { file, name, length: told.len() }))
    }
}

fn digest(file: &mut File) -> io::Result<[u8; 32]> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE_BYTES as usize]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&piece[..count]),
        }
    }
}

fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Refusal> {
    disk::read_if_there(path, most).map_err(|error| Refusal::Failed(error.to_string()))
}

/// The item of which a path names the recording.
pub(super) fn wanted(path: &str) -> Option<&str> {
    path.strip_prefix("/audio/")?.strip_suffix("/original").filter(|id| is_short_name(id))
}

/// Answers the route.
pub(super) async fn recording(
    originals: Option<Originals>,
    stores: Arc<[Store]>,
    id: &str,
    head: &Head,
) -> Result<Response, Refusal> {
    let originals = originals.ok_or(Refusal::NotPublished)?;
    let item = id.to_owned();
    let found = tokio::task::spawn_blocking(move || originals.find(&stores, &item)).await;
    let found = found.map_err(|error| Refusal::Failed(error.to_string()))??.ok_or(Refusal::NotHere)?;
    let mut headers = HeaderMap::new();
    let disposition = HeaderValue::try_from(kind::disposition(true, &found.name));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(&found.name)));
    headers.insert(header::CONTENT_DISPOSITION, disposition.map_err(|error| Refusal::Failed(error.to_string()))?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    let file = Arc::new(found.file);
    Ok(Entity::new(id, headers, found.length, Box::new(move |range| body(&file, range))).answer(head))
}

fn body(file: &Arc<File>, range: Range<u64>) -> Body {
    let file = file.clone();
    Body::from_stream(stream::try_unfold(range, move |range| {
        let file = file.clone();
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let piece = move || {
                let mut bytes = vec![0; (range.end - range.start).min(PIECE_BYTES) as usize];
                file.read_exact_at(&mut bytes, range.start)?;
                let rest = range.start + bytes.len() as u64..range.end;
                Ok::<_, io::Error>(Some((Bytes::from(bytes), rest)))
            };
            tokio::task::spawn_blocking(piece).await.map_err(io::Error::other)?
        }
    }))
}

/// What a recording is, by its name.
fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("mp3") => "audio/mpeg",
        Some("flac") => "audio/flac",
        Some("ogg" | "oga" | "opus") => "audio/ogg",
        Some("m4a" | "m4b" | "mp4") => "audio/mp4",
        Some("aac") => "audio/aac",
        Some("wav") => "audio/wav",
        Some("aif" | "aiff") => "audio/aiff",
        Some("mka") => "audio/x-matroska",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_path_names_an_item_or_nothing() {
        assert_eq!(wanted(&format!("/audio/{ID}/original")), Some(ID));
        for other in
            [format!("/audio/{ID}/original/"), format!("/audio/../{ID}/original"), format!("/audio/{ID}x/original")]
        {
            assert_eq!(wanted(&other), None, "{other}");
        }
    }

    #[test]
    fn a_file_is_the_recording_as_long_as_it_has_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp3");
        fs::write(&path, b"the recording").unwrap();
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(b"the recording"));
        let originals = Originals::of(dir.path().into());
        let open = || originals.open(&path, ID, &sha256).unwrap().map(|found| (found.name, found.length));
        let there = Some(("a.mp3".to_owned(), 13));
        assert_eq!((open(), open()), (there.clone(), there.clone()));
        assert_eq!(originals.known.lock().unwrap().len(), 1, "it was read once");
        fs::write(&path, b"another one..").unwrap();
        assert_eq!(open(), None);
        fs::write(&path, b"the recording").unwrap();
        assert_eq!(open(), there);
        fs::remove_file(&path).unwrap();
        assert_eq!(open(), None);
        fs::create_dir(&path).unwrap();
        assert_eq!(open(), None);
    }
}
