//! What nobody needs any more: it is dated when that is first seen, and goes after a while.
//!
//! Of each rung only the current stream counts. What an earlier one has beside it, items that no entry plays, and chunks that
//! no item has are retired: they are listed with their date in `processed/retired.json`, and stay where they are. What the end
//! of the ledger names goes under no circumstances: the item on air is finished from what it was when it began.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    Error, Tools,
    item::{LONGEST_EXTRA, chunk_names, read_meta},
    publish::write_changed,
};
use crate::{
    disk::{self, Disk, Store},
    radio::{
        manifest::Manifest,
        segment::{chunk_name, is_short_name},
        time::{Span, Time},
    },
};

/// Everything stays for so long: players hold lists, and caches keep them.
const GRACE: Span = Span::seconds(86_400);
const VERSION: u32 = 1;
/// Longest list of what is retired that is read, in bytes.
const LONGEST: u64 = 256 << 20;

/// What the end of the ledger names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aired {
    /// Ids of items.
    pub items: HashSet<String>,
    /// Short names of chunks.
    pub chunks: HashSet<String>,
}

/// `retired.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Raw {
    v: u32,
    /// Whether something is being made or leaves, so that there may be more.
    pending: bool,
    /// By path in the store, since when it is not needed.
    since: BTreeMap<String, String>,
}

/// What is retired, and whether there may be more.
#[derive(Debug, Default)]
struct Retired {
    pending: bool,
    since: BTreeMap<String, Time>,
}

/// Says that something is about to be made or to leave: a run that is killed then is made up for by the next one.
pub(super) fn announce(store: &Store, disk: &Disk) -> Result<(), Error> {
    let known = Retired::load(store);
    if known.pending { Ok(()) } else { Retired { pending: true, ..known }.save(store, disk) }
}

/// Whether anything may have to be retired, or to go, or has come back: else a run looks at nothing.
pub(super) fn is_due(store: &Store, manifest: &Manifest, keep: Span, now: Time) -> bool {
    let known = Retired::load(store);
    let returned = |path: &str| item_of(path).is_some_and(|id| path == item_path(id) && manifest.item(id).is_some());
    known.pending || known.since.iter().any(|(path, since)| since.plus(keep) <= now || returned(path))
}

/// How long what is retired stays where what has aired is kept for `retention`.
pub(super) fn keep_for(retention: Span) -> Span {
    retention.max(GRACE)
}

/// Dates what nobody needs any more, and removes what was retired `keep` ago or earlier. `manifest` is what airs.
///
/// Does nothing where an item cannot be read (its chunks would seem to be nobody's), and removes nothing where the ledger
/// cannot be. A sentence for the operator in these cases.
pub(super) fn collect(
    store: &Store,
    manifest: &Manifest,
    tools: &Tools<'_>,
    keep: Span,
) -> Result<Option<String>, Error> {
    let now = (tools.now)();
    let Some(scan) = Scan::of(store, manifest)? else {
        let told = "an item cannot be read, so nothing is tidied up; run `ipfs-radio setup --repair`";
        return Ok(Some(told.into()));
    };
    let known = Retired::load(store).since;
    let dated = |path: &String| (path.clone(), known.get(path).map_or(now, |then| now.min(*then)));
    let mut retired = Retired { pending: false, since: scan.garbage.keys().map(dated).collect() };
    let old = |path: &&String| retired.since.get(*path).is_some_and(|then| then.plus(keep) <= now);
    let mut due: Vec<&String> = scan.garbage.keys().filter(old).collect();
    let mut told = None;
    let mut aired = Aired::default();
    if !due.is_empty() {
        match (tools.aired)() {
            Some(named) => aired = named,
            None => {
                due.clear();
                told = Some("the ledger cannot be read, so nothing is removed: something of it may be on air".into());
            }
        }
    }
    due.retain(|path| item_of(path).is_none_or(|id| !aired.items.contains(id)));
    retired.save(store, &tools.disk)?;
    let stays = scan.needed_without(&due, aired.chunks);
    for path in due {
        scan.remove(store, &tools.disk, path, &stays)?;
        retired.since.remove(path);
    }
    retired.save(store, &tools.disk)?;
    Ok(told)
}

/// What there is, and who needs it.
struct Scan {
    /// What nobody needs, by its path, with the chunks that it names.
    garbage: BTreeMap<String, Vec<String>>,
    /// Chunks of current streams.
    needed: HashSet<String>,
}

impl Scan {
    /// Nothing if an item of the manifest cannot be read.
    fn of(store: &Store, manifest: &Manifest) -> Result<Option<Self>, Error> {
        let (mut garbage, mut needed) = (BTreeMap::new(), HashSet::new());
        for line in manifest.items() {
            let Some(meta) = read_meta(store, &line.id) else { return Ok(None) };
            let segments = meta.renditions.iter().flat_map(|rendition| &rendition.segments);
            needed.extend(segments.map(|segment| chunk_name(&segment.cid)));
            for name in stems(&store.streams(&line.id), ".m3u8")? {
                if !meta.streams.contains(&name) {
                    garbage.insert(stream_path(&line.id, &name), named_by(store, &line.id, &name));
                }
            }
        }
        for id in stems(&store.items(), "")?.into_iter().filter(|id| manifest.item(id).is_none()) {
            let lists = stems(&store.streams(&id), ".m3u8")?;
            garbage.insert(item_path(&id), lists.iter().flat_map(|name| named_by(store, &id, name)).collect());
        }
        let named: HashSet<String> = garbage.values().flatten().cloned().collect();
        for name in chunk_names(store)? {
            if is_short_name(&name) && !needed.contains(&name) && !named.contains(&name) {
                garbage.insert(format!("chunks/{name}.ts"), vec![name]);
            }
        }
        Ok(Some(Self { garbage, needed }))
    }

    /// The chunks that stay when `due` goes.
    fn needed_without(&self, due: &[&String], aired: HashSet<String>) -> HashSet<String> {
        let going: HashSet<&String> = due.iter().copied().collect();
        let staying = self.garbage.iter().filter(|(path, _)| !going.contains(path));
        let retired = staying.flat_map(|(_, chunks)| chunks);
        self.needed.iter().chain(retired).cloned().chain(aired).collect()
    }

    /// First what names chunks, then these: no list is without what it names. What a crash leaves between the two is nobody's,
    /// and is found as such.
    fn remove(&self, store: &Store, disk: &Disk, path: &str, stays: &HashSet<String>) -> Result<(), Error> {
        match item_of(path) {
            Some(id) if path == item_path(id) => disk.remove_folder(&store.item(id))?,
            Some(_) => disk.remove(&store.root().join(path))?,
            None => {}
        }
        for name in self.garbage.get(path).into_iter().flatten().filter(|name| !stays.contains(*name)) {
            disk.remove(&store.chunk(name))?;
        }
        Ok(())
    }
}

fn item_path(id: &str) -> String {
    format!("tracks/audio/{id}")
}

fn stream_path(id: &str, name: &str) -> String {
    format!("tracks/audio/{id}/stream/{name}.m3u8")
}

/// The id of the item that a path in the store is of.
fn item_of(path: &str) -> Option<&str> {
    let id = path.strip_prefix("tracks/audio/")?.split('/').next()?;
    Some(id).filter(|id| is_short_name(id))
}

/// The short names in a folder that have this ending; what is called otherwise is not setup's. A missing folder is empty.
pub(super) fn stems(folder: &Path, ending: &str) -> Result<Vec<String>, Error> {
    let mut stems = Vec::new();
    disk::list(folder, |name, _| {
        stems.extend(name.strip_suffix(ending).filter(|stem| is_short_name(stem)).map(str::to_owned));
    })?;
    Ok(stems)
}

/// The chunks that a list names; none where it cannot be read.
fn named_by(store: &Store, id: &str, name: &str) -> Vec<String> {
    let bytes = disk::read_if_there(&store.stream(id, name), LONGEST_EXTRA).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().filter(|line| is_short_name(line)).map(str::to_owned).collect()
}

impl Retired {
    fn load(store: &Store) -> Self {
        let bytes = disk::read_if_there(&store.retired(), LONGEST).ok().flatten().unwrap_or_default();
        let raw = serde_json::from_slice::<Raw>(&bytes).ok().filter(|raw| raw.v == VERSION).unwrap_or_default();
        // What has no date that can be read counts as retired when it is seen next.
        let dated = |(path, since): (String, String)| Some((path, Time::parse(&since)?));
        Self { pending: raw.pending, since: raw.since.into_iter().filter_map(dated).collect() }
    }

    fn save(&self, store: &Store, disk: &Disk) -> Result<(), Error> {
        if !self.pending && self.since.is_empty() {
            return Ok(disk.remove(&store.retired())?);
        }
        let since = self.since.iter().map(|(path, since)| (path.clone(), since.to_string())).collect();
        let raw = Raw { v: VERSION, pending: self.pending, since };
        let mut bytes = serde_json::to_vec_pretty(&raw).expect("texts are always JSON");
        bytes.push(b'\n');
        write_changed(disk, &store.retired(), &bytes)
    }
}
