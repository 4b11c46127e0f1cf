//! Recordings that are there twice, in the same bytes or in others.

use std::collections::{HashMap, HashSet};

use super::{TOLD_MAX, audio::Fingerprint, publish::read_manifest};
use crate::{
    disk::{self, Layout, Store},
    radio::{
        manifest::{Entry, Manifest},
        time::Span,
    },
};

/// Longest fingerprint that is read, in bytes.
const LONGEST: u64 = 64 << 10;
/// Copies differ in length by no more than this.
const LONGER: Span = Span::seconds(5);

/// Two entries that sound alike, by path.
pub type Pair = (String, String);

/// All entries that sound alike.
pub fn copies(layout: &Layout) -> Vec<Pair> {
    let store = layout.processed();
    let Some(manifest) = read_manifest(&store) else { return Vec::new() };
    let mut pairs = find(&store, &manifest, |_| true);
    pairs.extend(same(&manifest, |_| true));
    pairs.sort();
    pairs
}

/// A sentence for each copy that there is of items that were just `made`, and for each entry that has come since `old` with
/// the bytes of another.
pub(super) fn notices(store: &Store, made: &HashSet<String>, old: Option<&Manifest>) -> Vec<String> {
    let Some(manifest) = read_manifest(store) else { return Vec::new() };
    let known: HashSet<&str> = old.iter().flat_map(|old| old.entries()).map(|entry| entry.path.as_str()).collect();
    let alike = if made.is_empty() { Vec::new() } else { find(store, &manifest, |id| made.contains(id)) };
    let alike = alike.into_iter().map(|(one, other)| format!("`{one}` sounds like `{other}`: is it there twice?"));
    let same = same(&manifest, |entry| !known.contains(entry.path.as_str())).into_iter();
    let same = same.map(|(one, other)| format!("`{one}` has the same bytes as `{other}`: is it there twice?"));
    let mut told: Vec<String> = alike.chain(same).collect();
    let more = told.len().saturating_sub(TOLD_MAX);
    told.truncate(TOLD_MAX);
    told.extend((more > 0).then(|| format!("{more} more pairs that sound alike: `setup --report` names all")));
    told
}

/// Entries that play the same item, each with the first that does, of those pairs in which `asked` names one.
fn same(manifest: &Manifest, asked: impl Fn(&Entry) -> bool) -> Vec<Pair> {
    let mut first: HashMap<&str, &Entry> = HashMap::new();
    let mut pairs = Vec::new();
    for entry in manifest.entries() {
        let one = *first.entry(entry.id.as_str()).or_insert(entry);
        if one.path != entry.path && (asked(one) || asked(entry)) {
            pairs.push((one.path.clone(), entry.path.clone()));
        }
    }
    pairs
}

/// The copies that a manifest has of those of its items that `asked` names. No pair is told twice.
fn find(store: &Store, manifest: &Manifest, asked: impl Fn(&str) -> bool) -> Vec<Pair> {
    let mut seen = HashSet::new();
    let once: Vec<&Entry> = manifest.entries().iter().filter(|entry| seen.insert(entry.id.as_str())).collect();
    let (wanted, others): (Vec<&Entry>, Vec<&Entry>) = once.into_iter().partition(|entry| asked(&entry.id));
    let wanted: Vec<Heard> = wanted.into_iter().filter_map(|entry| Heard::of(store, manifest, entry)).collect();
    let mut by_key: HashMap<u32, Vec<usize>> = HashMap::new();
    for (index, heard) in wanted.iter().enumerate() {
        heard.fingerprint.keys().into_iter().for_each(|key| by_key.entry(key).or_default().push(index));
    }
    let mut pairs = Vec::new();
    let mut compare = |other: &Heard, until: usize| {
        let alike = candidates(&by_key, &other.fingerprint).into_iter().filter(|index| *index < until);
        let alike = alike.filter(|index| wanted[*index].sounds_like(other));
        pairs.extend(alike.map(|index| (wanted[index].path.clone(), other.path.clone())));
    };
    wanted.iter().enumerate().for_each(|(index, heard)| compare(heard, index));
    let others = others.into_iter().filter_map(|entry| Heard::of(store, manifest, entry));
    others.for_each(|other| compare(&other, wanted.len()));
    pairs.sort();
    pairs
}

/// Those that have enough in common with a fingerprint to be looked at.
fn candidates(by_key: &HashMap<u32, Vec<usize>>, fingerprint: &Fingerprint) -> Vec<usize> {
    let mut in_common: HashMap<usize, usize> = HashMap::new();
    for index in fingerprint.keys().iter().filter_map(|key| by_key.get(key)).flatten() {
        *in_common.entry(*index).or_default() += 1;
    }
    in_common.into_iter().filter(|(_, count)| Fingerprint::is_hint(*count)).map(|(index, _)| index).collect()
}

/// What is known of the sound of an entry.
struct Heard {
    path: String,
    length: Span,
    fingerprint: Fingerprint,
}

impl Heard {
    fn of(store: &Store, manifest: &Manifest, entry: &Entry) -> Option<Self> {
        let line = manifest.item(&entry.id)?;
        let bytes = disk::read_if_there(&store.fingerprint(&entry.id), LONGEST).ok().flatten()?;
        let fingerprint = Fingerprint::from_bytes(&bytes);
        Some(Self { path: entry.path.clone(), length: Span::of_samples(line.samples, line.rate), fingerprint })
    }

    fn sounds_like(&self, other: &Self) -> bool {
        self.length.0.abs_diff(other.length.0) <= LONGER.0 && self.fingerprint.sounds_like(&other.fingerprint)
    }
}
