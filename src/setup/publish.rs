//! Manifest first, then the running order, and never over somebody's edit (contract §1).

use std::{collections::HashSet, path::Path};

use super::{Error, listing::Listing, report::OrderFate};
use crate::{
    disk::{self, Disk, Store},
    radio::{
        manifest::{self, Entry, Manifest, Pipeline},
        playlist,
        segment::Kind,
    },
};

/// Writes the programme of one store.
pub(super) struct Publisher<'a> {
    pub(super) store: &'a Store,
    pub(super) disk: &'a Disk,
    pub(super) pipeline: Pipeline,
    pub(super) cycle: usize,
    /// Put the generated order on air even if the one that airs was edited.
    pub(super) reorder: bool,
}

impl Publisher<'_> {
    /// Makes `listing` what airs.
    ///
    /// While entries leave, the manifest holds them until the order without them is written, so that no reader finds
    /// an order whose entries are gone. An order counts as edited if it is neither the generated one nor the one that
    /// the manifest announces: so a crash between any two writes is not taken for an edit. `before` is the manifest
    /// from which on entries count as new.
    pub(super) fn publish(&self, listing: Listing, before: Option<&Manifest>) -> Result<OrderFate, Error> {
        let current = read_manifest(self.store);
        let nothing_airs = !listing.airs();
        let (manifest, order) = self.compose(listing.clone())?;
        let on_air = disk::read_if_there(&self.store.playlist(), playlist::LONGEST)?;
        let generated = disk::read_if_there(&self.store.generated_order(), playlist::LONGEST)?;
        if nothing_airs && on_air.is_none() {
            self.write(&self.store.manifest(), &manifest.to_bytes())?;
            return Ok(OrderFate::None);
        }
        let edited = !self.reorder && is_edited(on_air.as_deref(), generated.as_deref(), current.as_ref());

        let fate = match on_air {
            Some(text) if edited => compared(&text, &manifest, before),
            Some(text) if text == order.as_bytes() => OrderFate::Unchanged,
            _ => OrderFate::Written,
        };
        if !edited {
            let both = current.and_then(|current| with_leaving(&current, listing, &manifest));
            self.write(&self.store.manifest(), &both.as_ref().unwrap_or(&manifest).to_bytes())?;
            self.write(&self.store.playlist(), order.as_bytes())?;
        }
        self.write(&self.store.generated_order(), order.as_bytes())?;
        self.write(&self.store.manifest(), &manifest.to_bytes())?;
        Ok(fate)
    }

    /// The manifest and the order of a listing.
    fn compose(&self, listing: Listing) -> Result<(Manifest, String), Error> {
        let order = listing.order(self.cycle);
        let (entries, items) = listing.into_parts();
        let manifest = Manifest::new(self.pipeline.clone(), String::new(), entries, items).map_err(Error::Manifest)?;
        let text = playlist::print(&order, &manifest);
        let sha256 = sha256_hex(text.as_bytes());
        Ok((manifest.with_order_sha256(sha256), text))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        write_changed(self.disk, path, bytes)
    }
}

/// Writes only what is not there already, so that a run without changes wakes nobody.
pub(super) fn write_changed(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let there = disk::read_if_there(path, manifest::LONGEST).ok().flatten();
    if there.is_some_and(|there| there == bytes) {
        return Ok(());
    }
    Ok(disk.replace(path, bytes)?)
}

/// The manifest of a store; nothing if it is missing or damaged.
pub(super) fn read_manifest(store: &Store) -> Option<Manifest> {
    load_manifest(store).inspect_err(|error| tracing::warn!(error, "the manifest is damaged; it is made anew")).ok()?
}

/// The manifest of a store, if there is one; what is wrong with it, in words, where it cannot be used.
pub(super) fn load_manifest(store: &Store) -> Result<Option<Manifest>, String> {
    let bytes = disk::read_if_there(&store.manifest(), manifest::LONGEST).map_err(|error| error.to_string())?;
    bytes.map(|bytes| Manifest::parse(&bytes).map_err(|error| error.to_string())).transpose()
}

fn is_edited(on_air: Option<&[u8]>, generated: Option<&[u8]>, current: Option<&Manifest>) -> bool {
    let Some(on_air) = on_air else { return false };
    let announced = || current.is_some_and(|manifest| manifest.order_sha256() == sha256_hex(on_air));
    Some(on_air) != generated && !announced()
}

/// The new manifest with what leaves; `None` if nothing does.
fn with_leaving(current: &Manifest, mut listing: Listing, new: &Manifest) -> Option<Manifest> {
    let before = listing.len();
    current.entries().iter().for_each(|entry| listing.keep(entry, current));
    if listing.len() == before {
        return None;
    }
    let (entries, items) = listing.into_parts();
    Manifest::new(new.pipeline().clone(), new.order_sha256().to_owned(), entries, items).ok()
}

/// What is new and what is gone beside an edited order.
fn compared(on_air: &[u8], manifest: &Manifest, before: Option<&Manifest>) -> OrderFate {
    let (named, gone) = match playlist::parse("playlist.m3u", on_air, manifest) {
        Ok(order) => (order.paths, order.skipped.iter().map(ToString::to_string).collect()),
        Err(refused) => (Vec::new(), vec![refused.to_string()]),
    };
    let named: HashSet<&str> = named.iter().map(String::as_str).collect();
    let was_there = |path: &str| before.is_some_and(|before| before.entry(path).is_some());
    let is_new =
        |entry: &&Entry| entry.kind != Kind::Vod && !named.contains(entry.path.as_str()) && !was_there(&entry.path);
    OrderFate::Edited { new: manifest.entries().iter().filter(is_new).map(|entry| entry.path.clone()).collect(), gone }
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}
