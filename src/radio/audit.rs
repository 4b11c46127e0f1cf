//! The audit of a ledger: whether its lines are the ones that the station wrote, all of them and in their order.
//!
//! A line at a time: canonical form, signature, chain and number; the rules of the air; the tree over all lines at
//! every checkpoint. The first line that breaks any of it is the finding. Nothing but the last line is held, so a
//! ledger may be of any length.

use std::{collections::BTreeMap, fmt};

use super::{
    checkpoint::{CheckpointBody, Log, Note},
    lines::{Lines, Rest},
    merkle::{self, Hash},
    quote::quote,
    receipt::{Body, GENESIS, Receipt, SigningKey, Unverified, link},
};

pub(super) mod airing;

use airing::Airing;

/// What an audit goes by.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// All keys that ever signed.
    pub keys: &'a [SigningKey],
    /// Says in words why a note is not signed by the station of its origin.
    pub signed: &'a dyn Fn(&Note) -> Result<(), String>,
}

/// Where the lines that are shown begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the first line of the ledger.
    Genesis,
    /// Anywhere: what the first line says of the one before is taken as it is.
    Anywhere,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Receipts that hold.
    pub receipts: u64,
    /// The number of the first and of the last.
    pub numbers: Option<(u64, u64)>,
    /// Segments among them.
    pub segments: u64,
    /// Checkpoints among them.
    pub checkpoints: u64,
    /// Numbers on air without a receipt: the ledger could not be written, and receipts were not required.
    pub unproved: u64,
    /// Segments that a list named before their receipt could be made durable.
    pub late: u64,
    /// Receipts whose key is not at hand: all but their signature was checked. The first and how many.
    pub unsigned: Option<(String, u64)>,
}

/// An audit under way.
#[derive(Clone)]
pub struct Audit<'a> {
    means: Means<'a>,
    begin: Begin,
    last: Option<Last>,
    key_id: Option<String>,
    airing: Airing,
    log: Option<Log>,
    marked: Option<(u64, Hash)>,
    origin: Option<String>,
    /// Checkpoints that others have, by size.
    wanted: BTreeMap<u64, Vec<Note>>,
    seen: Seen,
}

/// The line before.
#[derive(Clone)]
struct Last {
    seq: u64,
    link: String,
    /// Whether its key was at hand.
    signed: bool,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is the line before that does not hold.
    pub before: bool,
    /// Why, in words.
    pub reason: String,
}

impl From<String> for Finding {
    fn from(reason: String) -> Self {
        Self { before: false, reason }
    }
}

impl<'a> Audit<'a> {
    /// Begins one. `wanted` are checkpoints that the ledger must agree with; their signatures must have been checked.
    pub fn new(means: Means<'a>, begin: Begin, wanted: Vec<Note>) -> Self {
        let mut by_size: BTreeMap<u64, Vec<Note>> = BTreeMap::new();
        wanted.into_iter().for_each(|note| by_size.entry(note.size).or_default().push(note));
        Self {
            means,
            begin,
            last: None,
            key_id: None,
            airing: Airing::default(),
            log: (begin == Begin::Genesis).then(Log::default),
            marked: None,
            origin: None,
            wanted: by_size,
            seen: Seen::default(),
        }
    }

    /// What was seen so far.
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Takes the next line, without its newline; `opens` where it is the first of a file of the ledger. Gives what it
    /// says.
    pub fn line(&mut self, line: &[u8], opens: bool) -> Result<Receipt, Finding> {
        let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
        let read = Unverified::read(text).map_err(|error| error.to_string())?;
        let key = self.means.keys.iter().find(|key| key.id() == read.key_id());
        let (receipt, signed) = match key {
            Some(key) => (read.verify(key).map_err(|error| error.to_string())?, true),
            None => (read.unchecked(), false),
        };
        self.chain(&receipt)?;
        if opens && !matches!(receipt.body, Body::LedgerOpen(_)) {
            return Err("a file of the ledger begins with ledger_open".to_owned().into());
        }
        self.key(&receipt)?;
        self.seen.unproved += self.airing.take(&receipt.body)?;
        self.agree(receipt.seq)?;
        if let Body::Checkpoint(body) = &receipt.body {
            self.checkpoint(body, &receipt)?;
        }
        if let Some(log) = &mut self.log {
            log.push(text);
        }
        self.last = Some(Last { seq: receipt.seq, link: link(text), signed });
        self.count(&receipt, signed);
        Ok(receipt)
    }

    /// All lines were shown. Says in words what is missing behind the last one.
    pub fn end(&mut self) -> Result<(), String> {
        let size = self.log.as_ref().map(Log::size);
        self.agree(size.unwrap_or_default())?;
        let Some((wanted, _)) = self.wanted.last_key_value() else { return Ok(()) };
        Err(match size {
            Some(size) if size < *wanted => {
                format!("the ledger ends with {size} receipts, and a checkpoint counts {wanted}: its tail was cut off")
            }
            _ => format!("these receipts tell nothing of the first {wanted}, which a checkpoint counts"),
        })
    }

    fn chain(&self, receipt: &Receipt) -> Result<(), Finding> {
        let Some(last) = &self.last else {
            let first = receipt.seq == 0 && receipt.prev == GENESIS;
            if self.begin == Begin::Genesis && !first {
                return Err(
                    format!("the ledger begins with receipt {}: what was before it is missing", receipt.seq).into()
                );
            }
            return Ok(());
        };
        if receipt.prev != last.link {
            let reason = "it does not follow the line before it";
            // Nothing but the chain tells of a change in a line whose key is not at hand.
            return Err(Finding { before: !last.signed, reason: reason.into() });
        }
        if receipt.seq != last.seq + 1 {
            return Err(format!("its number is {}, that of the line before is {}", receipt.seq, last.seq).into());
        }
        Ok(())
    }

    /// Keys change where a receipt says so.
    fn key(&mut self, receipt: &Receipt) -> Result<(), Finding> {
        let expected = self.key_id.get_or_insert_with(|| receipt.key_id.clone());
        if receipt.key_id != *expected {
            return Err(format!(
                "signed by the key {:?}, and {:?} is the one in use",
                quote(&receipt.key_id),
                quote(expected)
            )
            .into());
        }
        if let Body::KeyRotated { to } = &receipt.body {
            if to == expected {
                return Err(format!("the key {:?} follows itself", quote(to)).into());
            }
            self.key_id = Some(to.clone());
        }
        Ok(())
    }

    /// Compares the tree with the checkpoints that count as many lines as there are before this one.
    fn agree(&mut self, size: u64) -> Result<(), String> {
        let Some(log) = self.log.as_ref().filter(|log| log.size() == size) else { return Ok(()) };
        for note in self.wanted.remove(&size).unwrap_or_default() {
            if note.root != log.root() {
                return Err(format!(
                    "the {size} receipts before it are not those of the checkpoint of {}",
                    quote(&note.origin)
                ));
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, body: &CheckpointBody, receipt: &Receipt) -> Result<(), Finding> {
        let note = Note::parse(&body.note).map_err(|error| error.to_string())?;
        (self.means.signed)(&note)?;
        if self.origin.get_or_insert_with(|| note.origin.clone()) != &note.origin {
            return Err(format!("the checkpoint is of another ledger: {}", quote(&note.origin)).into());
        }
        let known = Log::at(body, receipt.produced_at).filter(|_| body.size == receipt.seq);
        let known = known.ok_or_else(|| "the checkpoint does not add up".to_owned())?;
        let log = self.log.get_or_insert(known);
        if (log.size(), log.root()) != (note.size, note.root) || !log.is_of(&note.origin) {
            return Err("the receipts before it are not those of the checkpoint".to_owned().into());
        }
        let here = (note.size, note.root);
        if let Some((size, root)) = &self.marked {
            let proof = body.proof().unwrap_or_default();
            if body.since != *size || !merkle::extends((*size, root), (here.0, &here.1), &proof) {
                return Err("the checkpoint does not follow the one before it".to_owned().into());
            }
        }
        self.marked = Some(here);
        Ok(())
    }

    fn count(&mut self, receipt: &Receipt, signed: bool) {
        let seen = &mut self.seen;
        seen.receipts += 1;
        seen.numbers = Some((seen.numbers.map_or(receipt.seq, |(first, _)| first), receipt.seq));
        seen.segments += u64::from(matches!(receipt.body, Body::Segment(_)));
        seen.checkpoints += u64::from(matches!(receipt.body, Body::Checkpoint(_)));
        seen.late += u64::from(matches!(&receipt.body, Body::Segment(segment) if segment.late));
        if !signed {
            let (_, count) = seen.unsigned.get_or_insert_with(|| (receipt.key_id.clone(), 0));
            *count += 1;
        }
    }
}

impl fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl fmt::Debug for Audit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("begin", &self.begin).field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// How the lines of a file hold up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of them.
    Whole,
    /// All whole ones; behind them are so many bytes of one that was not finished, at this line.
    Torn(usize, usize),
    /// Up to this line, from 1.
    Broken(usize, String),
}

/// Lines of a ledger that lie together, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// The bytes.
    pub text: &'a [u8],
    /// Whether a file of the ledger begins with them.
    pub opens: bool,
    /// Whether there is nothing behind them.
    pub ends: bool,
    /// Lines behind the one with this hash were given up by the station: the next file goes on behind that one.
    pub until: Option<&'a str>,
}

/// Shows an audit the lines of a page, and every receipt that holds to `each`, which may say in words what is wrong.
pub fn page(audit: &mut Audit<'_>, page: Page<'_>, each: &mut dyn FnMut(&Receipt) -> Result<(), String>) -> Outcome {
    let lines = Lines::of(page.text);
    let count = lines.whole.len();
    for (index, line) in lines.whole.iter().enumerate() {
        let held = audit.line(line, page.opens && index == 0);
        if let Err(finding) = held.and_then(|receipt| Ok(each(&receipt)?)) {
            let blamed = index + usize::from(!finding.before);
            return Outcome::Broken(blamed.max(1), finding.reason);
        }
        if audit.last.as_ref().is_some_and(|last| Some(last.link.as_str()) == page.until) {
            return Outcome::Whole;
        }
    }
    match lines.rest {
        Rest::Nothing => Outcome::Whole,
        Rest::Torn(bytes) if page.ends => Outcome::Torn(count + 1, bytes),
        Rest::Torn(_) => Outcome::Broken(count + 1, "the file ends within a line".into()),
        Rest::Damaged => Outcome::Broken(count + 1, "there are zeros in it".into()),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
