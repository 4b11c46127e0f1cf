//! Is everything that the manifest promises there, to the byte?

use std::collections::HashSet;

use super::{
    Error, Options,
    item::{LONGEST_EXTRA, examine, read_meta},
    publish::read_manifest,
};
use crate::{
    disk::{self, Layout, Store},
    radio::{
        manifest::{ItemLine, Meta},
        segment::is_of,
    },
};

/// Something that is not as the manifest promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The id of the item.
    pub id: String,
    /// The paths of the entries that play it.
    pub paths: Vec<String>,
    /// What is wrong, in words.
    pub what: String,
}

/// Verifies every segment, list and picture of every item against its hash. Reads everything; writes nothing.
///
/// An empty answer means that all is well, or that there is no manifest yet.
pub fn check(layout: &Layout) -> Result<Vec<Damage>, Error> {
    let store = layout.processed();
    let Some(manifest) = read_manifest(&store) else { return Ok(Vec::new()) };
    let mut damages = Vec::new();
    for line in manifest.items() {
        let paths = || manifest.entries().iter().filter(|entry| entry.id == line.id).map(|entry| entry.path.clone());
        let wrong = examine_item(&store, line);
        damages.extend(wrong.into_iter().map(|what| Damage { id: line.id.clone(), paths: paths().collect(), what }));
    }
    Ok(damages)
}

/// The ids of the items that are damaged, of those that are to be verified.
pub(super) fn suspects(store: &Store, options: &Options) -> HashSet<String> {
    let Some(manifest) = read_manifest(store).filter(|_| options.repair || !options.suspects.is_empty()) else {
        return HashSet::new();
    };
    let named: HashSet<&String> = options.suspects.iter().collect();
    let looked_at = manifest.items().iter().filter(|line| options.repair || named.contains(&line.id));
    looked_at.filter(|line| !examine_item(store, line).is_empty()).map(|line| line.id.clone()).collect()
}

fn examine_item(store: &Store, line: &ItemLine) -> Vec<String> {
    let Some(meta) = read_meta(store, &line.id) else { return vec!["meta.json is missing or damaged".into()] };
    let streams: Vec<_> = line.renditions.iter().map(|rendition| &rendition.stream).collect();
    if meta.samples != line.samples || !meta.streams.iter().eq(streams) {
        return vec!["meta.json and the manifest do not agree".into()];
    }
    let segments = meta.renditions.iter().flat_map(|rendition| &rendition.segments);
    let mut wrong: Vec<String> = segments.filter_map(|segment| examine(store, segment)).collect();
    for (rendition, stream) in meta.renditions.iter().zip(&meta.streams) {
        let there = disk::read(&store.stream(&meta.id, stream), LONGEST_EXTRA).unwrap_or_default();
        if there != rendition.list(meta.rate).as_bytes() {
            wrong.push(format!("list {stream} is missing or damaged"));
        }
    }
    wrong.extend(examine_cover(store, &meta));
    wrong
}

fn examine_cover(store: &Store, meta: &Meta) -> Option<String> {
    let cid = meta.tags.cover?;
    let there = disk::read(&store.cover(&meta.id), LONGEST_EXTRA).unwrap_or_default();
    (!is_of(&cid, &there)).then(|| "the picture is missing or damaged".to_owned())
}
