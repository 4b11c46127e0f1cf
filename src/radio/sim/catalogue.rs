//! What the simulated station may play: items of every shape, and orders of them as operators leave them.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{
    super::{
        cue::Chapter,
        programme::{Entry, Order},
        segment::{Cover, Item, Kind, RAW, Rung, Segment, cid_of},
    },
    chance::Chance,
};

/// What the items of a world are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Some seconds to some minutes.
    Songs,
    /// Shorter than one segment, down to half a second.
    Shorts,
    /// Three hours each.
    Long,
    /// All of these.
    Mixed,
}

#[derive(Debug)]
pub(super) struct Catalogue {
    items: Vec<Arc<Item>>,
}

const SECONDS: usize = 44_100 / 1_024;

impl Catalogue {
    pub(super) fn new(chance: &mut Chance, rate: u32, segment_seconds: u32, count: usize, shape: Shape) -> Self {
        let longest = segment_seconds as usize * rate as usize / 1_024;
        let items = (0..count).map(|index| {
            let shape = if shape == Shape::Mixed && index < 3 {
                [Shape::Songs, Shape::Shorts, Shape::Songs][index]
            } else if shape == Shape::Mixed {
                chance.pick(&[Shape::Songs, Shape::Songs, Shape::Songs, Shape::Shorts, Shape::Long])
            } else {
                shape
            };
            let frames = match shape {
                Shape::Shorts => chance.between(22, longest as u64) as usize,
                Shape::Long => 3 * 3_600 * SECONDS + chance.below(900),
                Shape::Songs | Shape::Mixed => (5 + chance.below(300)) * SECONDS + chance.below(SECONDS),
            };
            Arc::new(item(index, frames, longest))
        });
        let mut items: Vec<Arc<Item>> = items.collect();
        if shape == Shape::Mixed && count > 4 {
            // Made for a station with longer segments.
            items[4] = Arc::new(item(4, 10 * longest, 2 * longest));
        }
        Self { items }
    }

    /// Paths of entries: each item has two.
    pub(super) fn paths(&self) -> usize {
        2 * self.items.len()
    }

    /// What stands at a path; every ninth is a jingle.
    pub(super) fn entry(&self, path: usize) -> Entry {
        let index = path % self.items.len();
        let kind = if index % 9 == 8 { Kind::Jingle } else { Kind::Track };
        Entry { path: format!("music/{path}.mp3"), kind, id: self.items[index].id.clone() }
    }

    pub(super) fn item(&self, id: &str) -> Arc<Item> {
        self.items.iter().find(|item| item.id == id).expect("an entry names an item").clone()
    }

    /// The order of these paths.
    pub(super) fn order(&self, paths: &[usize]) -> Arc<Order> {
        let entries: Vec<Entry> = paths.iter().map(|path| self.entry(*path)).collect();
        let text: String = entries.iter().map(|entry| format!("{}\n", entry.path)).collect();
        Arc::new(Order { sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes())), entries })
    }

    /// A first order.
    pub(super) fn some(&self, chance: &mut Chance) -> Vec<usize> {
        let length = chance.pick(&[1, 2, 3, 10, 30]);
        (0..length).map(|_| chance.below(self.paths())).collect()
    }

    /// One edit, as an operator may make it.
    pub(super) fn edit(&self, paths: &[usize], chance: &mut Chance) -> Vec<usize> {
        let mut paths = paths.to_vec();
        if paths.is_empty() {
            return self.some(chance);
        }
        let at = chance.below(paths.len());
        match chance.below(9) {
            0 | 1 => paths.insert(at, chance.below(self.paths())),
            2 | 3 => drop(paths.remove(at)),
            4 => {
                let moved = paths.remove(at);
                paths.insert(chance.below(paths.len() + 1), moved);
            }
            5 => paths.clear(),
            6 => paths = self.some(chance),
            7 => paths = vec![paths[at]; chance.between(1, 6) as usize],
            _ => paths.extend_from_within(..at),
        }
        paths.truncate(60);
        paths
    }
}

/// An item of `frames` AAC frames, cut into equal parts of at most `longest` frames (contract §6).
pub(super) fn item(index: usize, frames: usize, longest: usize) -> Item {
    let parts = frames.div_ceil(longest);
    let cut = |part: usize| frames * part / parts;
    let segment = |part: usize| {
        let text = format!("item {index} part {part}");
        let samples = ((cut(part + 1) - cut(part)) * 1_024) as u32;
        Segment { cid: cid_of(RAW, text.as_bytes()), samples, bytes: samples / 3 }
    };
    let samples = frames as u64 * 1_024;
    // Some are long mixes, and some of these begin with what has no title of its own.
    let chapter = |number: u64| Chapter {
        at: samples * number / 5 + (index as u64 % 3) * 100,
        title: format!("Chapter {number} of {index}"),
        artist: if number.is_multiple_of(2) { String::new() } else { "Somebody".into() },
    };
    let chapters = if index % 4 == 2 { (0..5).map(chapter).collect() } else { Vec::new() };
    let odd = ["", "\"quoted\"", "line\nbreak", "naïve ☃ 𝄞", "a, b=c"][index % 5];
    Item {
        id: format!("{index:032x}"),
        title: format!("Title {index} {odd}"),
        artist: if index.is_multiple_of(3) { String::new() } else { format!("Artist {index}") },
        album: if index.is_multiple_of(2) { String::new() } else { "Album".into() },
        isrc: String::new(),
        cover: index
            .is_multiple_of(3)
            .then(|| Cover { cid: cid_of(RAW, format!("picture {index}").as_bytes()), bytes: 9 }),
        segments: (0..parts).map(segment).collect(),
        rungs: Vec::new(),
        chapters,
    }
}

/// What setup may be told to make beside the default rendition. The settings change while the station is on air.
pub(super) const LADDERS: [&[u32]; 4] = [&[], &[64_000, 192_000], &[64_000], &[32_000, 192_000]];

/// The item as it was made with one of [`LADDERS`]; some are older and have no other rendition, or fewer.
pub(super) fn laddered(item: &Arc<Item>, ladder: usize) -> Arc<Item> {
    let made = usize::from(item.id.as_bytes()[31]) + item.segments.len();
    let bitrates = if made % 5 == 1 { &[] } else { LADDERS[ladder] };
    let bitrates = if made % 5 == 2 { &bitrates[..bitrates.len().min(1)] } else { bitrates };
    let rung = |segment: &Segment, bitrate: u32| {
        let cid = cid_of(RAW, format!("{} {bitrate}", segment.cid).as_bytes());
        Rung { bitrate, cid, bytes: segment.samples / 300_000 * bitrate }
    };
    let of = |segment| bitrates.iter().map(|bitrate| rung(segment, *bitrate)).collect();
    let rungs = if bitrates.is_empty() { Vec::new() } else { item.segments.iter().map(of).collect() };
    Arc::new(Item { rungs, ..Item::clone(item) })
}

/// The filler: three generated pieces.
pub(super) fn filler_item(index: usize, longest: usize) -> Arc<Item> {
    Arc::new(Item { id: format!("f{index:031x}"), ..item(1_000 + index, [22, 300, 2_000][index % 3], longest) })
}

/// The order of the filler: those of its three pieces that have been rendered, as bits.
pub(super) fn filler(rendered: u64) -> Arc<Order> {
    let entry = |index| Entry { path: format!("generated/{index}"), kind: Kind::Filler, id: format!("f{index:031x}") };
    let pieces = (0..3).filter(|index| rendered >> index & 1 == 1);
    Arc::new(Order { sha256: format!("{rendered:0>64}"), entries: pieces.map(entry).collect() })
}
