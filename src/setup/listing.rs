//! What goes into the manifest and into the running order.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use super::audio;
use crate::radio::{
    manifest::{Entry, ItemLine, Manifest},
    playlist::unspell,
    rotation::{natural, rotate},
    segment::Kind,
};

/// Entries and the items they play.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Listing {
    entries: BTreeMap<String, Entry>,
    items: HashMap<String, ItemLine>,
}

impl Listing {
    /// Lists an item that is ready.
    pub(super) fn add_item(&mut self, line: ItemLine) {
        self.items.insert(line.id.clone(), line);
    }

    /// Lists an entry.
    pub(super) fn add_entry(&mut self, entry: Entry) {
        self.entries.insert(entry.path.clone(), entry);
    }

    /// Lists an entry of an older manifest, unless its path is listed already.
    pub(super) fn keep(&mut self, entry: &Entry, old: &Manifest) {
        let Some(line) = old.item(&entry.id) else { return };
        if self.entries.contains_key(&entry.path) {
            return;
        }
        self.items.entry(line.id.clone()).or_insert_with(|| line.clone());
        self.add_entry(entry.clone());
    }

    pub(super) fn entry(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    pub(super) fn item(&self, id: &str) -> Option<&ItemLine> {
        self.items.get(id)
    }

    /// Only the entries whose item is listed.
    pub(super) fn playable(mut self) -> Self {
        self.entries.retain(|_, entry| self.items.contains_key(&entry.id));
        self
    }

    /// The length of one round in samples per channel, were every entry on once.
    pub(super) fn samples(&self) -> u64 {
        let on_air = self.entries.values().filter(|entry| entry.kind != Kind::Vod);
        on_air.filter_map(|entry| self.items.get(&entry.id)).map(|line| line.samples).sum()
    }

    /// Whether there is anything that can air.
    pub(super) fn airs(&self) -> bool {
        self.entries.values().any(|entry| entry.kind != Kind::Vod)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The running order: tracks and jingles in their natural order, in rotation.
    pub(super) fn order(&self, cycle: usize) -> Vec<Entry> {
        let of = |kind: Kind| {
            let mut entries: Vec<_> = self.entries.values().filter(|entry| entry.kind == kind).collect();
            entries.sort_by(|a, b| natural(&a.path, &b.path));
            entries
        };
        rotate(&of(Kind::Track), &of(Kind::Jingle), cycle).into_iter().cloned().collect()
    }

    /// The entries and exactly the items they play; what has no title is called like its file, the one that airs first.
    pub(super) fn into_parts(self) -> (Vec<Entry>, Vec<ItemLine>) {
        let mut items = self.items;
        let mut played = Vec::new();
        let (on_demand, on_air): (Vec<_>, Vec<_>) = self.entries.values().partition(|entry| entry.kind == Kind::Vod);
        for entry in on_air.into_iter().chain(on_demand) {
            let Some(mut line) = items.remove(&entry.id) else { continue };
            if line.title.is_empty() {
                line.title = stem(&entry.path);
            }
            played.push(line);
        }
        (self.entries.into_values().collect(), played)
    }
}

/// The name of a file without folders and ending, on one line.
fn stem(path: &str) -> String {
    let bytes = unspell(path);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let stem = Path::new(&text).file_stem().unwrap_or_default().to_string_lossy();
    stem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether an item that was made with other settings can still air with these: same rate, no longer segments.
pub(super) fn fits(line: &ItemLine, settings: &audio::Settings) -> bool {
    let longest = line.renditions.first().map_or(u64::MAX, |r| line.samples.div_ceil(u64::from(r.segments.max(1))));
    line.rate == settings.rate && longest <= u64::from(settings.segment_seconds) * u64::from(settings.rate)
}

/// What an older manifest listed and the new listing would not.
pub(super) struct Leaving {
    /// The entries that would leave.
    pub(super) entries: Vec<Entry>,
    /// Whether more than half of the items would leave.
    pub(super) too_many: bool,
}

/// Compares: an item leaves when neither it nor any file in its place is listed any more. Entries that are not `missed`
/// do not count.
pub(super) fn leaving(old: &Manifest, new: &Listing, missed: impl Fn(&Entry) -> bool) -> Leaving {
    let gone = |entry: &&Entry| new.entry(&entry.path).is_none();
    let counts = |entry: &&Entry| entry.kind != Kind::Vod && missed(entry);
    let entries: Vec<Entry> = old.entries().iter().filter(gone).cloned().collect();
    let all: HashSet<&str> = old.entries().iter().filter(counts).map(|entry| entry.id.as_str()).collect();
    let replaced: HashSet<&str> =
        old.entries().iter().filter(counts).filter(|entry| !gone(entry)).map(|entry| entry.id.as_str()).collect();
    let lost = all.iter().filter(|id| !replaced.contains(*id) && new.item(id).is_none()).count();
    Leaving { entries, too_many: 2 * lost > all.len() }
}
