//! Checkpoints: what a ledger held at some moment, signed so that anybody can check it.
//!
//! Receipts are signed with a secret, so only the station can check them. A checkpoint is the root of the Merkle tree
//! over all lines so far in a note that is signed with the station's key, which is its name (C2SP signed-note and
//! tlog-checkpoint: <https://c2sp.org/tlog-checkpoint>). It is written into the ledger with all that is needed to go
//! on from it, so that neither a start nor a proof has to read what is older than the last one.

use std::{fmt, ops::Range};

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    merkle::{self, Hash, Peaks, Subtrees},
    quote::quote,
    receipt::link,
    time::{Span, Time},
};

/// There is a checkpoint at least every so many receipts.
pub const EVERY_RECEIPTS: u64 = 600;
/// There is a checkpoint with the first receipt that is so much later than the last one.
pub const EVERY: Span = Span::seconds(3_600);
/// No note is longer, in bytes.
pub const NOTE_BYTES_MAX: usize = 2_048;
/// How the line of a signature begins (C2SP signed-note).
const SIGNATURE: &str = "\u{2014} ";
/// Signatures that are looked at.
const SIGNATURES_MAX: usize = 16;
/// The signature algorithm of a note: Ed25519.
const ED25519: u8 = 0x01;
/// How many hex digits of its first line's hash tell a ledger from others of the station.
const LEDGER_DIGITS: usize = 16;

/// Who signs checkpoints.
pub trait Notary: fmt::Debug + Send + Sync {
    /// The station name, `k51…`.
    fn station(&self) -> String;
    /// Its Ed25519 public key.
    fn public(&self) -> [u8; 32];
    /// The Ed25519 signature of a message.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

/// A checkpoint as it is published: `origin`, size, root; an empty line; signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which ledger: `ipns/<station name>/ledger/<16 hex digits of the SHA-256 of its first line>`.
    pub origin: String,
    /// How many lines it had.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// Key name and what was said under it: 4 bytes of key hash and the signature.
    signatures: Vec<(String, Vec<u8>)>,
}

/// The receipt of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointBody {
    /// The signed note.
    pub note: String,
    /// How many lines it is about: all those before this one.
    pub size: u64,
    /// The roots of the complete subtrees of the tree, the largest first, hex.
    pub peaks: Vec<String>,
    /// The size of the checkpoint before; 0 if there was none.
    pub since: u64,
    /// The proof that this tree begins with that one (RFC 6962 §2.1.2), hex.
    pub consistency: Vec<String>,
}

/// Why a note is none, or not of this station.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not the form of a checkpoint.
    #[error("not a checkpoint: {0}")]
    Form(&'static str),
    /// Nobody signed it who should have.
    #[error("the checkpoint is not signed by {0}")]
    Unsigned(String),
    /// It is of a ledger whose name says nothing of a station.
    #[error("the origin {0:?} is not ipns/<station name>/ledger/<id>")]
    Origin(String),
}

impl Note {
    /// Reads a signed note.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(Error::Form("it is longer than 2048 bytes"));
        }
        let (said, signed) = text.split_once("\n\n").ok_or(Error::Form("no empty line before the signatures"))?;
        let [origin, size, root] = said.split('\n').collect::<Vec<_>>()[..] else {
            return Err(Error::Form("it has not three lines"));
        };
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let root = BASE64.decode(root.as_bytes()).ok().and_then(|root| Hash::try_from(root).ok());
        let mut signatures = Vec::new();
        for line in signed.strip_suffix('\n').ok_or(Error::Form("no newline at its end"))?.split('\n') {
            let parts = line.strip_prefix(SIGNATURE).and_then(|line| line.split_once(' '));
            let (name, encoded) = parts.ok_or(Error::Form("a line of a signature is none"))?;
            let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| Error::Form("a signature is not base64"))?;
            signatures.push((name.to_owned(), bytes));
        }
        if signatures.len() > SIGNATURES_MAX || origin.is_empty() {
            return Err(Error::Form("too many signatures, or no origin"));
        }
        Ok(Self {
            origin: origin.into(),
            size: number.ok_or(Error::Form("its size is not a number"))?,
            root: root.ok_or(Error::Form("its root is not 32 bytes in base64"))?,
            signatures,
        })
    }

    /// Signs a checkpoint. Gives the text.
    pub fn sign(origin: &str, tree: &Peaks, notary: &dyn Notary) -> String {
        let said = said(origin, tree.size(), &tree.root());
        let mut signature = key_hash(origin, &notary.public()).to_vec();
        signature.extend(notary.sign(said.as_bytes()));
        format!("{said}\n{SIGNATURE}{origin} {}\n", BASE64.encode(&signature))
    }

    /// The station whose ledger this is, by its origin.
    pub fn station(&self) -> Result<&str, Error> {
        let name = self.origin.strip_prefix("ipns/").and_then(|rest| rest.split_once("/ledger/"));
        name.map(|(station, _)| station).ok_or_else(|| Error::Origin(quote(&self.origin)))
    }

    /// Checks the signature under the origin's name by this public key; `verify` takes a message and a signature.
    pub fn check(&self, public: &[u8; 32], verify: impl Fn(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let said = said(&self.origin, self.size, &self.root);
        let hash = key_hash(&self.origin, public);
        let good = |(name, bytes): &(String, Vec<u8>)| {
            *name == self.origin
                && bytes.strip_prefix(&hash).is_some_and(|signature| verify(said.as_bytes(), signature))
        };
        if self.signatures.iter().any(good) { Ok(()) } else { Err(Error::Unsigned(quote(&self.origin))) }
    }
}

/// What is signed.
fn said(origin: &str, size: u64, root: &Hash) -> String {
    format!("{origin}\n{size}\n{}\n", BASE64.encode(root))
}

/// The first four bytes of SHA-256 over name, newline, algorithm and public key (C2SP signed-note).
fn key_hash(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(public).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

impl CheckpointBody {
    /// The tree that it is about, if its peaks are one of that size.
    pub fn tree(&self) -> Option<Peaks> {
        Peaks::new(self.size, hashes(&self.peaks)?)
    }

    /// The nodes of its proof.
    pub fn proof(&self) -> Option<Vec<Hash>> {
        hashes(&self.consistency)
    }
}

/// Hashes as receipts and proofs write them.
pub fn hex(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| HEXLOWER.encode(hash)).collect()
}

fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    let hash = |text: &String| HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| Hash::try_from(bytes).ok());
    texts.iter().take(merkle::PROOF_MAX + 1).map(hash).collect()
}

/// The tree over a ledger as it grows.
#[derive(Clone, Debug, Default)]
pub struct Log {
    tree: Peaks,
    /// The hash of the first line, as the origin has it.
    id: String,
    /// The tree at the last checkpoint.
    marked: Peaks,
    /// The date of the last checkpoint's receipt.
    at: Option<Time>,
    /// The leaves since then, where the proof of the next checkpoint needs them.
    fresh: Vec<Hash>,
}

impl Log {
    /// How many lines there are.
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root over all lines so far.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Whether `origin` names a ledger that begins as this one.
    pub fn is_of(&self, origin: &str) -> bool {
        origin.rsplit('/').next() == Some(&self.id)
    }

    /// Goes on from the receipt of a checkpoint, which was written at `at`, without what was before it. The receipt's
    /// own line is the next one. `None` if it is not whole.
    pub fn at(body: &CheckpointBody, at: Time) -> Option<Self> {
        let note = Note::parse(&body.note).ok()?;
        let tree = body.tree().filter(|tree| tree.root() == note.root && body.size == note.size)?;
        let id = note.origin.rsplit('/').next()?.to_owned();
        Some(Self { marked: tree.clone(), tree, id, at: Some(at), fresh: Vec::new() })
    }

    /// Takes the next line.
    pub fn push(&mut self, line: &str) {
        if self.tree.size() == 0 {
            self.id = link(line)[..LEDGER_DIGITS].to_owned();
        }
        let leaf = merkle::leaf(line.as_bytes());
        self.tree.push(leaf);
        if self.marked.size() > 0 {
            self.fresh.push(leaf);
        }
    }

    /// Takes note of the receipt of a checkpoint that comes next.
    pub fn mark(&mut self, at: Time) {
        self.marked = self.tree.clone();
        self.at = Some(at);
        self.fresh.clear();
    }

    /// Whether the next line is to be a checkpoint. What opens a ledger comes first: its constants, and a repair.
    pub fn due(&self, now: Time) -> bool {
        let late = self.at.is_none_or(|at| now.since(at) >= EVERY);
        self.size() > 1 && (late || self.size() - self.marked.size() >= EVERY_RECEIPTS)
    }

    /// The receipt of a checkpoint over all lines so far.
    pub fn checkpoint(&self, notary: &dyn Notary) -> CheckpointBody {
        let origin = format!("ipns/{}/ledger/{}", notary.station(), self.id);
        let ranges = merkle::consistency(self.marked.size(), self.tree.size());
        let proof: Vec<Hash> = ranges.into_iter().map(|range| self.subtree(range)).collect();
        CheckpointBody {
            note: Note::sign(&origin, &self.tree, notary),
            size: self.tree.size(),
            peaks: hex(self.tree.hashes()),
            since: self.marked.size(),
            consistency: hex(&proof),
        }
    }

    /// The root of a subtree that a consistency proof names: a peak of the last checkpoint, or all behind it.
    fn subtree(&self, range: Range<u64>) -> Hash {
        self.marked.peak(&range).unwrap_or_else(|| {
            let before = self.marked.size();
            let (start, end) = (range.start.saturating_sub(before) as usize, (range.end - before) as usize);
            let mut tree = Peaks::default();
            self.fresh[start..end].iter().for_each(|leaf| tree.push(*leaf));
            tree.root()
        })
    }
}

/// A proof that anybody can check, as `receipts prove` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Proof {
    /// A line is the one at `index` of the ledger that the checkpoint is about (RFC 6962 §2.1.1).
    Inclusion {
        /// The version of this format.
        v: u64,
        /// The line without its newline.
        line: String,
        /// Its place, from 0: the `seq` of its receipt.
        index: u64,
        /// The nodes, hex, from the leaf upwards.
        proof: Vec<String>,
        /// The signed note.
        checkpoint: String,
    },
    /// The ledger of a checkpoint begins with that of an older one (RFC 6962 §2.1.2).
    Consistency {
        /// The version of this format.
        v: u64,
        /// The signed note of the older one.
        older: String,
        /// The nodes, hex.
        proof: Vec<String>,
        /// The signed note.
        checkpoint: String,
    },
}

/// Makes a proof from one pass over the lines of a ledger.
#[derive(Debug)]
pub struct Prover {
    subtrees: Subtrees,
    tree: Peaks,
    note: Note,
}

impl Prover {
    /// That the line `index` is in the ledger of `note`.
    pub fn inclusion(index: u64, note: Note) -> Self {
        Self { subtrees: Subtrees::new(merkle::inclusion(index, note.size)), tree: Peaks::default(), note }
    }

    /// That the ledger of `note` begins with that of `older`.
    pub fn consistency(older: &Note, note: Note) -> Self {
        Self { subtrees: Subtrees::new(merkle::consistency(older.size, note.size)), tree: Peaks::default(), note }
    }

    /// Takes the next line, from the first of the ledger on. False when no more are needed.
    pub fn push(&mut self, line: &[u8]) -> bool {
        if self.tree.size() >= self.note.size {
            return false;
        }
        let leaf = merkle::leaf(line);
        self.subtrees.push(leaf);
        self.tree.push(leaf);
        true
    }

    /// The nodes, hex. Says in words why there is no proof.
    pub fn nodes(&self) -> Result<Vec<String>, String> {
        let (have, size) = (self.tree.size(), self.note.size);
        if have < size {
            return Err(format!("the ledger has {have} receipts, the checkpoint counts {size}: its tail was cut off"));
        }
        if self.tree.root() != self.note.root {
            return Err(format!("the first {size} receipts are not those of the checkpoint"));
        }
        Ok(hex(&self.subtrees.roots().unwrap_or_default()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
