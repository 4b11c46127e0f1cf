//! Taking away what no entry needs any more.

use std::{collections::HashSet, fs};

use super::{
    Error,
    item::{chunk_names, read_meta},
    publish::read_manifest,
};
use crate::{
    disk::{self, Disk, Store},
    radio::segment::chunk_name,
};

/// Removes items that the manifest does not list, and chunks that no listed item has.
///
/// Does nothing where an item cannot be read: its chunks would seem to be nobody's.
pub(super) fn prune(store: &Store, disk: &Disk) -> Result<(), Error> {
    let Some(manifest) = read_manifest(store) else { return Ok(()) };
    let mut needed = HashSet::new();
    for item in manifest.items() {
        let Some(meta) = read_meta(store, &item.id) else {
            tracing::warn!(id = item.id, "an item cannot be read, so nothing is pruned; run setup --repair");
            return Ok(());
        };
        let segments = meta.renditions.iter().flat_map(|rendition| &rendition.segments);
        needed.extend(segments.map(|segment| chunk_name(&segment.cid)));
    }
    for id in item_ids(store)? {
        if manifest.item(&id).is_none() {
            disk.remove_folder(&store.item(&id))?;
        }
    }
    for name in chunk_names(store)?.difference(&needed) {
        disk.remove(&store.chunk(name))?;
    }
    Ok(())
}

/// The names of all folders of items.
fn item_ids(store: &Store) -> Result<Vec<String>, Error> {
    let failed = |source| disk::Error::Io { what: "list", path: store.items(), source };
    let listing = fs::read_dir(store.items()).map_err(failed)?;
    Ok(listing.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}
