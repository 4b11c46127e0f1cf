//! What is on disk to be aired: a folder with a manifest, a running order, and the chunks they name.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use cid::Cid;

use crate::{
    disk::{self, Store},
    radio::{
        manifest::{self, Manifest, meta},
        playlist,
        programme::{Entry, Order, Slot},
        segment::{COVER_MAX, Cover, Item, Segment, chunk_name, is_of},
    },
};

/// A folder laid out like `processed/`.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    store: Store,
    /// The manifest of the order that was read last: it says what items are called.
    manifest: Arc<Mutex<Option<Arc<Manifest>>>>,
}

/// A running order that was read, and what was noticed.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) order: Order,
    /// The text it was read from.
    pub(super) text: Vec<u8>,
    /// Lines that name no entry, with their numbers.
    pub(super) skipped: Vec<String>,
    /// The length of one round in samples.
    pub(super) samples: u64,
}

/// Why there is no order.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is nothing to read.
    #[error("{0} is not there")]
    Nothing(PathBuf),
    /// A file cannot be read.
    #[error("{0}")]
    Disk(#[from] disk::Error),
    /// The manifest makes no sense.
    #[error("{0}: {1}")]
    Manifest(PathBuf, manifest::Error),
    /// No line of the order can air.
    #[error(transparent)]
    Refused(#[from] playlist::Refused),
}

/// An item that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) item: Arc<Item>,
    /// Why its picture does not air with it, if it has one that does not.
    pub(super) coverless: Option<String>,
}

/// Why an item cannot air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its file is missing or damaged: it can be made anew from its recording.
    Damaged(String),
    /// It is not for this station.
    Other(String),
}

impl Catalog {
    pub(super) fn new(store: Store) -> Self {
        Self { store, manifest: Arc::default() }
    }

    pub(super) fn root(&self) -> &Path {
        self.store.root()
    }

    /// Reads manifest and order. Blocking.
    pub(super) fn load(&self) -> Result<Loaded, Error> {
        let (manifest_path, order_path) = (self.store.manifest(), self.store.playlist());
        let manifest = disk::read_if_there(&manifest_path, manifest::LONGEST)?
            .ok_or_else(|| Error::Nothing(manifest_path.clone()))?;
        let text =
            disk::read_if_there(&order_path, playlist::LONGEST)?.ok_or_else(|| Error::Nothing(order_path.clone()))?;
        let manifest = Manifest::parse(&manifest).map_err(|error| Error::Manifest(manifest_path, error))?;
        let parsed = playlist::parse(&order_path.display().to_string(), &text, &manifest)?;
        let entries: Vec<Entry> = parsed.paths.iter().filter_map(|path| manifest.entry(path).cloned()).collect();
        let samples = entries.iter().filter_map(|entry| manifest.item(&entry.id)).map(|item| item.samples).sum();
        let mut skipped: Vec<String> = parsed.skipped.iter().map(ToString::to_string).collect();
        if parsed.skipped_count > parsed.skipped.len() {
            skipped.push(format!("and {} more", parsed.skipped_count - parsed.skipped.len()));
        }
        let sha256 = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(&text));
        *self.manifest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(manifest));
        Ok(Loaded { order: Order { sha256, entries }, text, skipped, samples })
    }

    /// Reads the item of a slot; it must have been encoded at `rate`. Blocking.
    pub(super) fn item(&self, slot: &Slot, rate: u32) -> Result<Read, Unfit> {
        let id = &slot.entry.id;
        let plain = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        if !plain {
            return Err(Unfit::Other(format!("{id:?} is not the id of an item")));
        }
        let path = self.store.meta(id);
        let bytes = disk::read_if_there(&path, meta::LONGEST).map_err(|error| Unfit::Damaged(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| Unfit::Damaged(format!("{} is missing", path.display())))?;
        let meta = meta::Meta::parse(&bytes);
        let meta = meta.map_err(|error| Unfit::Damaged(format!("{} is damaged: {error}", path.display())))?;
        if meta.rate != rate {
            let what = format!("it was encoded at {} Hz, the station runs at {rate} Hz", meta.rate);
            return Err(Unfit::Other(what));
        }
        let manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let line = manifest.and_then(|manifest| manifest.item(id).cloned()).unwrap_or_else(|| meta.line());
        let cover =
            meta.tags.cover.map(|cid| self.cover(id, cid).map(|bytes| Cover { cid, bytes: bytes.len() as u32 }));
        let (cover, coverless) = cover.transpose().map_or_else(|why| (None, Some(why)), |cover| (cover, None));
        Ok(Read { item: Arc::new(Item { cover, ..meta.item(&line) }), coverless })
    }

    /// Reads the picture of an item. An error names its file: it is not here, or another one. Blocking.
    pub(super) fn cover(&self, id: &str, cid: Cid) -> Result<Bytes, String> {
        whole(&self.store.cover(id), &cid, COVER_MAX as u64)
    }

    /// Reads the chunk of a segment. An error names its file: it is not here, or not what its name says. Blocking.
    pub(super) fn chunk(&self, segment: &Segment) -> Result<Bytes, String> {
        whole(&self.store.chunk(&chunk_name(&segment.cid)), &segment.cid, u64::from(segment.bytes))
    }
}

/// Reads a file whose bytes have this name and are no more than `most`. Blocking.
fn whole(path: &Path, cid: &Cid, most: u64) -> Result<Bytes, String> {
    let wrong = |what: &str| format!("{} {what}", path.display());
    match disk::read_if_there(path, most) {
        Ok(Some(bytes)) if is_of(cid, &bytes) => Ok(bytes.into()),
        Ok(Some(_)) => Err(wrong("is damaged")),
        Ok(None) => Err(wrong("is missing")),
        // Longer than it may be, or the disk refuses.
        Err(error) => Err(error.to_string()),
    }
}
