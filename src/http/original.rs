//! `/audio/<id>/original`: the recording that an item was made from, byte for byte, where the operator publishes them.
//!
//! An item is named by the hash of its recording. So a file is read once before any of it is sent, and what is sent is that
//! recording and no other, whatever lies in its place by now.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    os::unix::{ffi::OsStringExt, fs::FileExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header, request::Parts as Head},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
    time::timeout,
};

use super::{entity::Entity, kind, refusal::Refusal, vod::IMMUTABLE};
use crate::{
    disk::{self, Stamp, Store},
    radio::{
        manifest::{self, Manifest, Meta, meta},
        playlist::unspell,
        segment::is_short_name,
    },
};

/// So many files are known to be whole at a time.
const KNOWN_MAX: usize = 4_096;
/// How long a request waits while other files are read.
const TURN_MAX: Duration = Duration::from_secs(10);
/// Bytes that are read at a time.
const PIECE_BYTES: u64 = 256 << 10;

/// The recordings of a station.
#[derive(Clone, Debug)]
pub struct Originals {
    dir: PathBuf,
    /// Files that were read, the oldest first.
    known: Arc<Mutex<VecDeque<Known>>>,
    /// Held by who looks for a file that is not known and reads it. The others wait without a thread: those that do what
    /// blocks are few, and the air needs some.
    reading: Arc<Semaphore>,
    patience: Duration,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    id: String,
    path: PathBuf,
    stamp: Stamp,
    /// Whether it is the recording of that item.
    is_it: bool,
}

/// A recording that is there.
#[derive(Debug)]
struct Found {
    file: File,
    name: String,
    length: u64,
}

impl Originals {
    /// Those of the station in this folder, to which the paths of entries are relative.
    pub fn of(dir: PathBuf) -> Self {
        Self { dir, known: Arc::default(), reading: Arc::new(Semaphore::new(1)), patience: TURN_MAX }
    }

    /// The recording of an item of one of these folders, if it is still there.
    async fn find(self, stores: Arc<[Store]>, id: String) -> Result<Option<Found>, Refusal> {
        let broken = |error: JoinError| Refusal::Failed(error.to_string());
        let (known, item, items) = (self.clone(), id.clone(), stores.clone());
        let there = move || (known.again(&item), items.iter().any(|store| store.meta(&item).is_file()));
        match spawn_blocking(there).await.map_err(broken)? {
            (Some(found), _) => return Ok(Some(found)),
            (None, false) => return Ok(None),
            (None, true) => {}
        }
        let turn = timeout(self.patience, self.reading.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(Refusal::Busy)?;
        // The turn ends with the work, also when whoever asked has hung up.
        let search = move || {
            let found = self.search(&stores, &id);
            drop(turn);
            found
        };
        spawn_blocking(search).await.map_err(broken)?
    }

    /// The same, if its file is known. Blocking.
    fn again(&self, id: &str) -> Option<Found> {
        let known: Vec<Known> = self.known().iter().filter(|known| known.is_it && known.id == id).cloned().collect();
        known.into_iter().find_map(|known| {
            let (file, stamp) = open(&known.path).ok()??;
            (stamp == known.stamp).then(|| found(file, &known.path, stamp))
        })
    }

    /// Blocking.
    fn search(&self, stores: &[Store], id: &str) -> Result<Option<Found>, Refusal> {
        for store in stores {
            let Some(meta) = read(&store.meta(id), meta::LONGEST)?.and_then(|text| Meta::parse(&text).ok()) else {
                continue;
            };
            let index = read(&store.manifest(), manifest::LONGEST)?.and_then(|text| Manifest::parse(&text).ok());
            let entries = index.iter().flat_map(Manifest::entries).filter(|entry| entry.id == id);
            for path in entries.map(|entry| self.dir.join(OsString::from_vec(unspell(&entry.path)))) {
                let found = self.examine(&path, id, &meta.source.sha256);
                match found.map_err(|error| Refusal::Failed(format!("{}: {error}", path.display())))? {
                    Some(found) => return Ok(Some(found)),
                    None => continue,
                }
            }
        }
        Ok(None)
    }

    fn examine(&self, path: &Path, id: &str, sha256: &str) -> io::Result<Option<Found>> {
        let Some((mut file, stamp)) = open(path)? else { return Ok(None) };
        let seen = |known: &&Known| known.id == id && known.path == path && known.stamp == stamp;
        let known = self.known().iter().find(seen).map(|known| known.is_it);
        let is_it = match known {
            Some(is_it) => is_it,
            None => {
                let is_it = data_encoding::HEXLOWER.encode(&digest(&mut file)?) == sha256;
                // Not written to while it was read, or nobody knows what it is.
                if Stamp::of(&file.metadata()?) != stamp {
                    return Ok(None);
                }
                self.note(Known { id: id.to_owned(), path: path.to_owned(), stamp, is_it });
                is_it
            }
        };
        Ok(is_it.then(|| found(file, path, stamp)))
    }

    fn note(&self, file: Known) {
        let mut known = self.known();
        known.push_back(file);
        if known.len() > KNOWN_MAX {
            known.pop_front();
        }
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file, if it is one.
fn open(path: &Path) -> io::Result<Option<(File, Stamp)>> {
    // Looked at before it is opened: a pipe would never come.
    match fs::metadata(path) {
        Ok(told) if told.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    Ok(Some((file, stamp)))
}

fn found(file: File, path: &Path, stamp: Stamp) -> Found {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Found { file, name, length: stamp.size() }
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
    let found = originals.find(stores, id.to_owned()).await?.ok_or(Refusal::NotHere)?;
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
            spawn_blocking(piece).await.map_err(io::Error::other)?
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
        let examine = || originals.examine(&path, ID, &sha256).unwrap().map(|found| (found.name, found.length));
        let again = || originals.again(ID).map(|found| (found.name, found.length));
        let there = Some(("a.mp3".to_owned(), 13));
        assert_eq!(again(), None);
        assert_eq!((examine(), again(), examine()), (there.clone(), there.clone(), there.clone()));
        assert_eq!(originals.known().len(), 1, "it was read once");
        fs::write(&path, b"another one..").unwrap();
        assert_eq!((again(), examine(), examine()), (None, None, None));
        assert_eq!(originals.known().len(), 2, "it was read once, too");
        fs::write(&path, b"the recording").unwrap();
        assert_eq!((again(), examine(), again()), (None, there.clone(), there));
        fs::remove_file(&path).unwrap();
        assert_eq!((again(), examine()), (None, None));
        fs::create_dir(&path).unwrap();
        assert_eq!((again(), examine()), (None, None));
    }

    #[tokio::test]
    async fn who_asks_while_another_file_is_read_waits_without_a_thread_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let originals = Originals { patience: Duration::from_millis(10), ..Originals::of(dir.path().into()) };
        let turn = originals.reading.clone().acquire_owned().await.unwrap();
        let store = Store::new(dir.path());
        fs::create_dir_all(store.item(ID)).unwrap();
        let ask = || originals.clone().find(Arc::from([store.clone()]), ID.to_owned());
        assert!(matches!(ask().await, Ok(None)), "what there is not is said at once");
        fs::write(store.meta(ID), "{}").unwrap();
        assert!(matches!(ask().await, Err(Refusal::Busy)));
        drop(turn);
        assert!(matches!(ask().await, Ok(None)));
    }
}
