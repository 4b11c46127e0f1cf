//! Receipts: what the station did, written down before anybody can see it (contract §5).
//!
//! The ledger is the write-ahead log of the timeline and its as-run log in one. A line on disk is
//! `{"r":<canonical JSON>,"sig":"<64 hex>"}`; the signature is HMAC-SHA256 over a label and the canonical receipt,
//! and `prev` is the SHA-256 of the line before, so that a line can neither be changed nor taken out unseen.

use std::{fmt, str::FromStr};

use cid::Cid;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    canonical::{self, canonical},
    checkpoint::CheckpointBody,
    cue::Chapter,
    quote::{quote, told},
    segment::Kind,
    time::Time,
};

/// The version of the receipt format.
pub const VERSION: u64 = 1;
/// `prev` of the first receipt of a chain.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const LABEL: &[u8] = b"ipfs-radio/receipt/v1\n";
/// What is hashed ahead of a key's id and the key for its check value.
const CHECK_LABEL: &[u8] = b"ipfs-radio/receipt-key-check/v1\n";
/// The length of a check value in bytes: enough to tell of damage, and of no use to who guesses.
const CHECK_BYTES: usize = 4;

/// A CID as text, for receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CidText(pub Cid);

impl TryFrom<String> for CidText {
    type Error = cid::Error;

    fn try_from(text: String) -> Result<Self, cid::Error> {
        Cid::from_str(&text).map(Self)
    }
}

impl From<CidText> for String {
    fn from(text: CidText) -> Self {
        text.0.to_string()
    }
}

/// The constants of a station, fixed when its ledger is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constants {
    /// Counts the lives of a station whose segment duration or rate was changed.
    pub epoch: u64,
    /// The date of `air_samples` 0, RFC 3339.
    pub anchor: String,
    /// Target duration in seconds.
    pub target_duration: u64,
    /// Samples per second.
    pub rate: u64,
}

/// A segment in another rendition than the default one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenditionBody {
    /// Bits per second as configured.
    pub bitrate: u64,
    /// The block that holds it.
    pub cid: CidText,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Its size.
    pub byte_count: u64,
}

/// A segment of the station that goes on air.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentBody {
    /// Its number on air.
    pub media_seq: u64,
    /// Whether a discontinuity precedes it.
    pub disc: bool,
    /// How many discontinuities there have been, its own included.
    pub disc_seq: u64,
    /// See [`Constants::epoch`].
    pub epoch: u64,
    /// When it airs, in samples since the anchor; negative before it.
    pub air_samples: i64,
    /// When it airs, RFC 3339.
    pub pdt: String,
    /// Its length in samples.
    pub samples: u64,
    /// Samples per second.
    pub rate: u64,
    /// The block that holds it.
    pub cid: CidText,
    /// SHA-256 of its bytes, hex.
    pub sha256_audio: String,
    /// Its size.
    pub byte_count: u64,
    /// `aac`.
    pub codec: String,
    /// Id of its item.
    pub item: String,
    /// Path of its entry.
    pub entry: String,
    /// Track, jingle or filler.
    pub item_kind: Kind,
    /// Its index in the item.
    pub part: u64,
    /// How many segments the item has.
    pub parts: u64,
    /// SHA-256 of the accepted order, hex.
    pub order: String,
    /// Index of the entry in that order.
    pub position: u64,
    /// Title of the item.
    pub title: String,
    /// Artist of the item.
    pub artist: String,
    /// The number of the first segment in the list that this segment completes.
    pub first_seq: u64,
    /// The number of its group in `live-60.m3u8`; 0 where none was counted.
    #[serde(default)]
    pub group_seq: u64,
    /// The number behind the last group in the `live-60.m3u8` that belongs to that list.
    #[serde(default)]
    pub group_end: u64,
    /// The same in other renditions; absent where there is only the default one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renditions: Vec<RenditionBody>,
    /// Whether a list named it before this receipt could be made durable; absent where none did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// The picture of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverBody {
    /// The block that holds it.
    pub cid: CidText,
    /// Its size.
    pub byte_count: u64,
}

/// An item that begins to air, or goes on after an outage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedBody {
    /// Number of its first segment; also names its `EXT-X-DATERANGE`.
    pub media_seq: u64,
    /// When it begins, in samples since the anchor; negative before it.
    pub air_samples: i64,
    /// The block that lists its segments.
    pub list: CidText,
    /// Id of the item.
    pub item: String,
    /// Path of its entry.
    pub entry: String,
    /// Track, jingle or filler.
    pub item_kind: Kind,
    /// Title.
    pub title: String,
    /// Artist, may be empty.
    pub artist: String,
    /// Album, may be empty.
    pub album: String,
    /// ISRC, may be empty.
    pub isrc: String,
    /// Its picture; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cover: Option<CoverBody>,
    /// Index of the first segment that airs.
    pub part: u64,
    /// How many segments the item has.
    pub parts: u64,
    /// What there is to air, in samples.
    pub samples: u64,
    /// SHA-256 of the accepted order, hex.
    pub order: String,
    /// Index of the entry in that order.
    pub position: u64,
    /// Where titles change in what there is to air; absent where there is one for all of it, else the first is at 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chapters: Vec<Chapter>,
}

/// What a receipt is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// A file of the ledger begins; the station's constants.
    LedgerOpen(Constants),
    /// A segment goes on air.
    Segment(Box<SegmentBody>),
    /// An item begins.
    ItemStarted(Box<StartedBody>),
    /// Another running order holds from the next item on.
    OrderAccepted {
        /// SHA-256 of its text, hex.
        order: String,
        /// How many entries it has.
        entries: u64,
    },
    /// The dates jump by so many samples, at the next segment.
    ClockStep {
        /// The jump: forward, or back (negative), which only an operator asks for.
        samples: i64,
        /// `outage`, `skew` or `reanchor`.
        reason: String,
    },
    /// IPNS sequences up to this one may have been used.
    IpnsReserved {
        /// The largest of them.
        until: u64,
    },
    /// An item could not air.
    CatalogChanged {
        /// Path of its entry.
        entry: String,
        /// Id of the item.
        item: String,
        /// Why.
        reason: String,
    },
    /// From the next receipt on another key signs.
    KeyRotated {
        /// Its id.
        to: String,
    },
    /// All receipts so far, signed so that anybody can check it.
    Checkpoint(Box<CheckpointBody>),
    /// A new chain follows a damaged one.
    Repair {
        /// What was wrong.
        reason: String,
    },
}

impl Body {
    /// Whether the dates go back with it.
    pub const fn goes_back(&self) -> bool {
        matches!(self, Self::ClockStep { samples: ..0, .. })
    }
}

/// A receipt with its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its number in the chain.
    pub seq: u64,
    /// SHA-256 of the line before, hex.
    pub prev: String,
    /// Which key signed it.
    pub key_id: String,
    /// Which node wrote it: its peer id.
    pub node_id: String,
    /// Which stream it is about.
    pub stream: String,
    /// When it was written.
    pub produced_at: Time,
    /// What it is about.
    pub body: Body,
}

/// A signing key of receipts, derived from a master secret.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    mac: Hmac<Sha256>,
    check: [u8; CHECK_BYTES],
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Derives the key for receipts from the master secret called `id`.
    pub fn derive(id: &str, master: &[u8]) -> Self {
        let mut outer = hmac(master);
        outer.update(b"receipt");
        let key = outer.finalize().into_bytes();
        let hash = Sha256::new().chain_update(CHECK_LABEL).chain_update(id).chain_update(b"\n").chain_update(key);
        let hash = hash.finalize();
        Self { id: id.into(), mac: hmac(&key), check: std::array::from_fn(|at| hash[at]) }
    }

    /// Its check value, hex: written down beside the secret, it tells when one of the two, or the id, is damaged.
    pub fn check(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.check)
    }

    /// Whether it is the same key: the same id, and the same secret.
    pub fn is(&self, other: &Self) -> bool {
        (&self.id, self.check) == (&other.id, other.check)
    }

    /// The name of the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn with(&self, receipt: &str) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(LABEL);
        mac.update(receipt.as_bytes());
        mac
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Why a line is not a receipt of this chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a line of the shape `{"r":…,"sig":"…"}`, or with unknown content.
    #[error("not a receipt: {0}")]
    Shape(String),
    /// A value that has no canonical form.
    #[error(transparent)]
    Canonical(#[from] canonical::Error),
    /// The stored bytes are not the canonical ones.
    #[error("the receipt is not stored in its canonical form")]
    NotCanonical,
    /// The signature is wrong.
    #[error("the signature does not fit")]
    Signature,
    /// Signed by a key that is not at hand.
    #[error("signed by the key {0:?}, which is not at hand")]
    Key(String),
    /// It does not follow the line before.
    #[error("the chain is broken: {0}")]
    Chain(String),
}

impl Receipt {
    fn to_value(&self) -> Value {
        let body = serde_json::to_value(&self.body).expect("a body is made of strings, integers and booleans");
        let mut fields = match body {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.insert("v".into(), VERSION.into());
        fields.insert("seq".into(), self.seq.into());
        fields.insert("prev".into(), self.prev.clone().into());
        fields.insert("key_id".into(), self.key_id.clone().into());
        fields.insert("node_id".into(), self.node_id.clone().into());
        fields.insert("stream".into(), self.stream.clone().into());
        fields.insert("produced_at".into(), self.produced_at.to_string().into());
        Value::Object(fields)
    }

    fn from_value(value: Value) -> Result<Self, Error> {
        let text = |key: &str| match value.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(Error::Shape(format!("no {key:?}"))),
        };
        if value.get("v") != Some(&VERSION.into()) {
            return Err(Error::Shape(format!("its version is not {VERSION}")));
        }
        let produced_at = Time::parse(&text("produced_at")?);
        Ok(Self {
            seq: value.get("seq").and_then(Value::as_u64).ok_or_else(|| Error::Shape("no \"seq\"".into()))?,
            prev: text("prev")?,
            key_id: text("key_id")?,
            node_id: text("node_id")?,
            stream: text("stream")?,
            produced_at: produced_at.ok_or_else(|| Error::Shape("\"produced_at\" is not a date".into()))?,
            body: body(value).map_err(|e| Error::Shape(told(&e)))?,
        })
    }

    /// The line without its newline.
    pub fn sign(&self, key: &SigningKey) -> Result<String, Error> {
        let receipt = canonical(&self.to_value())?;
        let signature = data_encoding::HEXLOWER.encode(&key.with(&receipt).finalize().into_bytes());
        Ok(format!("{{\"r\":{receipt},\"sig\":\"{signature}\"}}"))
    }

    /// Reads a line without its newline, and checks its form and its signature with the key that `key` finds.
    pub fn read<'k>(line: &str, key: impl Fn(&str) -> Option<&'k SigningKey>) -> Result<Self, Error> {
        let read = Unverified::read(line)?;
        let key = key(read.key_id()).ok_or_else(|| Error::Key(quote(read.key_id())))?;
        read.verify(key)
    }
}

/// What a receipt is about. Nearly all are of two kinds, which are read without the copy that serde makes of a tagged enum.
fn body(value: Value) -> serde_json::Result<Body> {
    match value.get("kind").and_then(Value::as_str) {
        Some("segment") => serde_json::from_value(value).map(Body::Segment),
        Some("item_started") => serde_json::from_value(value).map(Body::ItemStarted),
        _ => serde_json::from_value(value),
    }
}

/// A receipt whose form was checked, and not its signature.
#[derive(Debug)]
pub struct Unverified<'l> {
    stored: &'l str,
    signature: Vec<u8>,
    receipt: Receipt,
}

impl<'l> Unverified<'l> {
    /// Reads a line without its newline, and checks its form.
    pub fn read(line: &'l str) -> Result<Self, Error> {
        let shape = || Error::Shape("it is not {\"r\":…,\"sig\":\"…\"}".into());
        let inner = line.strip_prefix("{\"r\":").and_then(|rest| rest.strip_suffix("\"}")).ok_or_else(shape)?;
        let (stored, signature) = inner.rsplit_once(",\"sig\":\"").ok_or_else(shape)?;
        let signature = data_encoding::HEXLOWER.decode(signature.as_bytes()).map_err(|_| shape())?;
        let value: Value = serde_json::from_str(stored).map_err(|e| Error::Shape(told(&e)))?;
        if canonical(&value)? != stored {
            return Err(Error::NotCanonical);
        }
        Ok(Self { stored, signature, receipt: Receipt::from_value(value)? })
    }

    /// Which key is said to have signed it.
    pub fn key_id(&self) -> &str {
        &self.receipt.key_id
    }

    /// Checks the signature.
    pub fn verify(self, key: &SigningKey) -> Result<Receipt, Error> {
        key.with(self.stored).verify_slice(&self.signature).map_err(|_| Error::Signature)?;
        Ok(self.receipt)
    }

    /// What it says, whoever may have written it.
    pub fn unchecked(self) -> Receipt {
        self.receipt
    }
}

/// SHA-256 of a line, as the next line's `prev` has it.
pub fn link(line: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(line.as_bytes()))
}

#[cfg(test)]
impl StartedBody {
    /// For tests: the whole of a track without chapters, the first item on air.
    pub(in crate::radio) fn whole(parts: u64, samples: u64) -> Self {
        Self {
            media_seq: 5_000,
            air_samples: 0,
            list: CidText(super::segment::cid_of(super::segment::RAW, b"list")),
            item: "item".into(),
            entry: "music/a.mp3".into(),
            item_kind: Kind::Track,
            title: "A".into(),
            artist: String::new(),
            album: String::new(),
            isrc: String::new(),
            cover: None,
            part: 0,
            parts,
            samples,
            order: "o".into(),
            position: 0,
            chapters: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            seq: 7,
            prev: GENESIS.into(),
            key_id: "r1".into(),
            node_id: "12D3KooW".into(),
            stream: "main".into(),
            produced_at: Time::from_millis(1_795_252_684_893),
            body: Body::OrderAccepted { order: "ab".repeat(32), entries: 3 },
        }
    }

    #[test]
    fn a_receipt_has_one_spelling_and_one_signature() {
        let key = SigningKey::derive("r1", b"a master secret of some length..");
        let line = receipt().sign(&key).unwrap();
        // The same line comes from Python's json, hmac and hashlib.
        let expected = concat!(
            r#"{"r":{"entries":3,"key_id":"r1","kind":"order_accepted","node_id":"12D3KooW","order":"#,
            r#""abababababababababababababababababababababababababababababababab","prev":"#,
            r#""0000000000000000000000000000000000000000000000000000000000000000","produced_at":"#,
            r#""2026-11-21T09:18:04.893Z","seq":7,"stream":"main","v":1},"sig":"#,
            r#""853c17885562cd1e38dc50194e2266c29d498c200e68411e0fc3dbbe0c1eee06"}"#
        );
        assert_eq!(line, expected);
        assert_eq!(Receipt::read(&line, |id| (id == "r1").then_some(&key)).unwrap(), receipt());
        assert_eq!(key.check(), "a9049bb6");
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let key = SigningKey::derive("r1", b"secret");
        let line = receipt().sign(&key).unwrap().into_bytes();
        for at in 0..line.len() {
            for change in [1, 0x20, 0x80] {
                let mut bytes = line.clone();
                bytes[at] ^= change;
                let Ok(text) = String::from_utf8(bytes) else { continue };
                assert!(Receipt::read(&text, |_| Some(&key)).is_err(), "byte {at} ^ {change}: {text}");
            }
        }
        let strange = SigningKey::derive("r1", b"another");
        let line = String::from_utf8(line).unwrap();
        assert_eq!(Receipt::read(&line, |_| Some(&strange)), Err(Error::Signature));
        assert_eq!(Receipt::read(&line, |_| None), Err(Error::Key("r1".into())));
    }

    #[test]
    fn dates_go_back_with_a_jump_of_less_than_nothing() {
        let step = |samples| Body::ClockStep { samples, reason: "reanchor".into() }.goes_back();
        assert_eq!([-1, 0, 1].map(step), [true, false, false]);
        assert!(!receipt().body.goes_back());
    }
}
