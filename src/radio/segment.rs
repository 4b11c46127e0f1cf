//! Items and their segments: what setup makes and the timeline puts on air.

use cid::{Cid, Version};
use multihash::Multihash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cue::Chapter;

/// The multicodec of raw bytes (`0x55`): a segment or a list is one raw block.
pub const RAW: u64 = 0x55;
/// The multicodec of a dag-pb node (`0x70`): a UnixFS directory or file.
pub const DAG_PB: u64 = 0x70;
/// The multicodec of the hash of all blocks.
pub const SHA2_256: u64 = 0x12;

/// The CIDv1 of `bytes` as a block of `codec`, hashed with SHA-256.
pub fn cid_of(codec: u64, bytes: &[u8]) -> Cid {
    let digest = Sha256::digest(bytes);
    let hash = Multihash::wrap(SHA2_256, &digest).expect("32 bytes fit into a multihash of 64");
    Cid::new_v1(codec, hash)
}

/// Whether `bytes` hash to `cid`. False for any hash but SHA-256.
pub fn is_of(cid: &Cid, bytes: &[u8]) -> bool {
    cid.hash().code() == SHA2_256 && cid.hash().digest() == Sha256::digest(bytes).as_slice()
}

/// Whether a CID is one that segments have: version 1, raw, SHA-256.
pub fn is_segment(cid: &Cid) -> bool {
    let hash = cid.hash();
    cid.version() == Version::V1 && cid.codec() == RAW && hash.code() == SHA2_256 && hash.digest().len() == 32
}

/// The short name of a file by its content: the first 32 hex digits of the SHA-256 of `bytes`.
pub fn short_name(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)[..16])
}

/// The short name under which the chunk with this CID lies in `chunks/`: see [`short_name`].
pub fn chunk_name(cid: &Cid) -> String {
    let digest = cid.hash().digest();
    data_encoding::HEXLOWER.encode(&digest[..digest.len().min(16)])
}

/// What a [`chunk_name`] is made of, where there are very many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkKey([u8; 16]);

impl ChunkKey {
    /// Of the chunk with this CID; `None` where its hash is no SHA-256.
    pub fn of(cid: &Cid) -> Option<Self> {
        cid.hash().digest().first_chunk().copied().map(Self)
    }

    /// Of a name; `None` where [`is_short_name`] says no.
    pub fn read(name: &str) -> Option<Self> {
        let mut key = [0; 16];
        let is_name = is_short_name(name) && data_encoding::HEXLOWER.decode_mut(name.as_bytes(), &mut key).is_ok();
        is_name.then_some(Self(key))
    }
}

/// Whether it can be the short name of a file: 32 hex digits in lower case.
pub fn is_short_name(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One encoded segment: about six seconds of AAC in MPEG-TS, one raw block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// The name of its bytes.
    pub cid: Cid,
    /// Its length in samples per channel, a multiple of 1 024.
    pub samples: u32,
    /// Its size in bytes.
    pub bytes: u32,
}

/// The same part of an item in another rendition than the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rung {
    /// The rendition: bits per second as configured.
    pub bitrate: u32,
    /// The name of its bytes.
    pub cid: Cid,
    /// Its size in bytes.
    pub bytes: u32,
}

impl Rung {
    /// As a segment: it is as long as that of the default rendition.
    pub const fn segment(&self, samples: u32) -> Segment {
        Segment { cid: self.cid, samples, bytes: self.bytes }
    }
}

/// The largest picture of an item, in bytes: it travels as one block, and messages of bitswap hold two MiB.
pub const COVER_MAX: usize = (2 << 20) - (4 << 10);

/// The picture of an item: a file that is one raw block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cover {
    /// The name of its bytes.
    pub cid: Cid,
    /// Its size in bytes.
    pub bytes: u32,
}

/// Where a cover is: absolute on path gateways, inside the root's `ipfs/` folder on subdomain gateways.
pub fn cover_uri(cid: Cid) -> String {
    format!("/ipfs/{cid}")
}

/// What an item is on the programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Music.
    Track,
    /// A station identification between tracks.
    Jingle,
    /// What the built-in generator made; airs when nothing else can.
    Filler,
    /// A recording that is there on demand and never airs.
    Vod,
}

impl Kind {
    /// The word used in receipts, manifests and the status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Jingle => "jingle",
            Self::Filler => "filler",
            Self::Vod => "vod",
        }
    }
}

/// One recording, encoded and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The first 32 hex digits of the SHA-256 of its source bytes.
    pub id: String,
    /// What it says it is called; the file's stem where it says nothing.
    pub title: String,
    /// Who plays it; empty where nobody says.
    pub artist: String,
    /// The record it is from; empty where nobody says.
    pub album: String,
    /// ISO 3901 recording code; empty where nobody says.
    pub isrc: String,
    /// Its picture, if it has one.
    pub cover: Option<Cover>,
    /// Its segments in order, at least one, in its default rendition.
    pub segments: Vec<Segment>,
    /// The other renditions of each segment, in order; none where there is only the default one.
    pub rungs: Vec<Vec<Rung>>,
    /// Where titles change inside it, in order; none in an item of one piece.
    pub chapters: Vec<Chapter>,
}

impl Item {
    /// The length of the item in samples per channel.
    pub fn samples(&self) -> u64 {
        self.segments.iter().map(|s| u64::from(s.samples)).sum()
    }

    /// The first `most` other renditions of each segment.
    pub fn first_rungs(&self, most: usize) -> Vec<Vec<Rung>> {
        self.rungs.iter().map(|rungs| rungs[..rungs.len().min(most)].to_vec()).collect()
    }

    /// The other renditions of the segment at `index`.
    pub fn rungs_of(&self, index: usize) -> &[Rung] {
        self.rungs.get(index).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_picture_fills_a_message_of_bitswap_and_leaves_room_for_its_head() {
        let message = 2 * 1_024 * 1_024;
        assert_eq!(message - COVER_MAX, 4_096);
    }

    #[test]
    fn a_block_is_told_by_its_hash() {
        let cid = cid_of(RAW, b"one");
        assert!(is_of(&cid, b"one") && !is_of(&cid, b"two"));
        let other = Multihash::wrap(SHA2_256 + 1, cid.hash().digest()).unwrap();
        assert!(!is_of(&Cid::new_v1(RAW, other), b"one"), "by no hash but SHA-256");
    }

    #[test]
    fn a_chunk_has_one_key_and_a_name_that_is_none_has_none() {
        let cid = cid_of(RAW, b"one");
        let name = chunk_name(&cid);
        assert!(ChunkKey::of(&cid).is_some() && ChunkKey::read(&name) == ChunkKey::of(&cid));
        assert_ne!(ChunkKey::read(&chunk_name(&cid_of(RAW, b"two"))), ChunkKey::of(&cid));
        for other in [&name[1..], &name.to_uppercase(), &name.replace(&name[..1], "x"), &format!("{name}0"), ""] {
            assert_eq!(ChunkKey::read(other), None, "{other}");
        }
    }

    #[test]
    fn an_item_may_air_in_fewer_renditions() {
        let rung = |bitrate: u32| Rung { bitrate, cid: cid_of(RAW, b"rung"), bytes: 1 };
        let rungs = vec![vec![rung(64_000), rung(32_000)], vec![rung(64_000)]];
        let text = String::new;
        let (id, title, artist, album, isrc) = (text(), text(), text(), text(), text());
        let item =
            Item { id, title, artist, album, isrc, cover: None, segments: Vec::new(), rungs, chapters: Vec::new() };
        assert_eq!(item.first_rungs(0), [vec![], vec![]]);
        assert_eq!(item.first_rungs(1), [[rung(64_000)], [rung(64_000)]]);
        assert_eq!(item.first_rungs(9), item.rungs);
        assert_eq!((item.rungs_of(1), item.rungs_of(2)), (&[rung(64_000)][..], &[][..]));
    }
}
