//! Is everything that the manifest promises there, to the byte?

use std::{collections::HashSet, fmt};

use super::{
    Error, Options,
    garbage::stems,
    item::{LONGEST_EXTRA, examine, read_meta},
    publish::load_manifest,
};
use crate::{
    disk::{self, Layout, Store},
    radio::{
        manifest::{ItemLine, Manifest, Meta},
        playlist,
        segment::{Kind, is_of},
    },
};

/// Of so many entries that play a damaged item the paths are told.
const PATHS_TOLD: usize = 5;

/// Something that is not as it is promised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The id of the item; empty where it is no item that is damaged.
    pub id: String,
    /// The paths of the entries that play it.
    pub paths: Vec<String>,
    /// What is wrong, in words.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.id.is_empty() {
            return f.write_str(&self.what);
        }
        let told = self.paths.iter().take(PATHS_TOLD).cloned().collect::<Vec<_>>().join(", ");
        let more = match self.paths.len().saturating_sub(PATHS_TOLD) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        write!(f, "{told}{more} (item {}): {}", self.id, self.what)
    }
}

/// Verifies the manifest, the running order, and every segment, list and picture of every item against its hash. Reads
/// all of that; writes nothing.
///
/// An empty answer means that all is well, or that nothing was made yet.
pub fn check(layout: &Layout) -> Result<Vec<Damage>, Error> {
    let store = layout.processed();
    let manifest = match load_manifest(&store) {
        Ok(Some(manifest)) => manifest,
        Ok(None) if !was_made(layout, &store)? => return Ok(Vec::new()),
        Ok(None) => return Ok(vec![no_manifest(&store, "is missing")]),
        Err(why) => return Ok(vec![no_manifest(&store, &format!("is damaged: {why}"))]),
    };
    let mut damages: Vec<Damage> = examine_order(&store, &manifest).into_iter().collect();
    for line in manifest.items() {
        let paths = || manifest.entries().iter().filter(|entry| entry.id == line.id).map(|entry| entry.path.clone());
        let wrong = examine_item(&store, line);
        damages.extend(wrong.into_iter().map(|what| Damage { id: line.id.clone(), paths: paths().collect(), what }));
    }
    Ok(damages)
}

/// Whether anything was ever made: something is left of it, or an order of it has aired.
fn was_made(layout: &Layout, store: &Store) -> Result<bool, Error> {
    Ok(layout.accepted_order().exists() || store.playlist().exists() || !stems(&store.items(), "")?.is_empty())
}

/// Without the manifest nobody knows what belongs to it, so nothing else is told.
fn no_manifest(store: &Store, what: &str) -> Damage {
    let what = format!(
        "{} {what}; `ipfs-radio setup` makes it anew from the recordings, and what was put on demand has to be split again",
        store.manifest().display()
    );
    Damage { what, ..Damage::default() }
}

/// What is wrong with the order that airs. One that names what is no longer there can still be used.
fn examine_order(store: &Store, manifest: &Manifest) -> Option<Damage> {
    let path = store.playlist();
    let what = match disk::read_if_there(&path, playlist::LONGEST) {
        Ok(Some(bytes)) => {
            let refused = playlist::parse(&path.display().to_string(), &bytes, manifest).err()?;
            format!("{refused}; or run `ipfs-radio setup --reorder`, which writes the generated order")
        }
        Ok(None) if manifest.entries().iter().all(|entry| entry.kind == Kind::Vod) => return None,
        Ok(None) => format!("{} is missing; `ipfs-radio setup` writes it anew", path.display()),
        Err(error) => format!("{error}; remove it, and `ipfs-radio setup` writes it anew"),
    };
    Some(Damage { what, ..Damage::default() })
}

/// The ids of the items that are damaged, of those that are to be verified. Without a manifest a repair verifies all that
/// are there: setup takes them over.
pub(super) fn suspects(store: &Store, options: &Options) -> Result<HashSet<String>, Error> {
    if !options.repair && options.suspects.is_empty() {
        return Ok(HashSet::new());
    }
    let named: HashSet<&String> = options.suspects.iter().collect();
    let is_damaged = |id: &String| read_meta(store, id).is_none_or(|meta| !examine_made(store, &meta).is_empty());
    Ok(match load_manifest(store).ok().flatten() {
        Some(manifest) => {
            let looked_at = manifest.items().iter().filter(|line| options.repair || named.contains(&line.id));
            looked_at.filter(|line| !examine_item(store, line).is_empty()).map(|line| line.id.clone()).collect()
        }
        None => {
            let all = stems(&store.items(), "")?;
            all.into_iter().filter(|id| options.repair || named.contains(id)).filter(is_damaged).collect()
        }
    })
}

fn examine_item(store: &Store, line: &ItemLine) -> Vec<String> {
    let Some(meta) = read_meta(store, &line.id) else { return vec!["meta.json is missing or damaged".into()] };
    let streams: Vec<_> = line.renditions.iter().map(|rendition| &rendition.stream).collect();
    if meta.samples != line.samples || !meta.streams.iter().eq(streams) {
        return vec!["meta.json and the manifest do not agree".into()];
    }
    examine_made(store, &meta)
}

fn examine_made(store: &Store, meta: &Meta) -> Vec<String> {
    let segments = meta.renditions.iter().flat_map(|rendition| &rendition.segments);
    let mut wrong: Vec<String> = segments.filter_map(|segment| examine(store, segment)).collect();
    for (rendition, stream) in meta.renditions.iter().zip(&meta.streams) {
        let there = disk::read(&store.stream(&meta.id, stream), LONGEST_EXTRA).unwrap_or_default();
        if there != rendition.list(meta.rate).as_bytes() {
            wrong.push(format!("list {stream} is missing or damaged"));
        }
    }
    wrong.extend(examine_cover(store, meta));
    wrong
}

fn examine_cover(store: &Store, meta: &Meta) -> Option<String> {
    let cid = meta.tags.cover?;
    let there = disk::read(&store.cover(&meta.id), LONGEST_EXTRA).unwrap_or_default();
    (!is_of(&cid, &there)).then(|| "the picture is missing or damaged".to_owned())
}
