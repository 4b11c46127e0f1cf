//! The ledger as a book that is read: looked up, copied and audited. Nothing here writes, and another process may.

use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use cid::Cid;

use super::{Folder, head, index, load, load_into};
use crate::radio::{
    audit::{self, Audit, Outcome},
    ledger::{Error, read, volume::Volume},
    lines::Lines,
    receipt::Receipt,
    time::{Span, Time},
};

const SEGMENT: &str = r#""kind":"segment""#;
const CHECKPOINT: &str = r#""kind":"checkpoint""#;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The receipt with this number.
    Seq(u64),
    /// The segment with this media sequence.
    MediaSeq(u64),
    /// The last segment that aired this block.
    Cid(Cid),
    /// The last segment that began at this time or before.
    At(Time),
    /// The last checkpoint.
    Checkpoint,
}

/// Where a receipt stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The line itself, without its newline. It was not checked.
    pub text: String,
}

/// File and line, as compilers print them.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// How the receipts hold up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of them hold.
    Whole,
    /// All whole lines hold; behind them is one that was not finished.
    Torn(Place, usize),
    /// Up to this place, and why no further.
    Broken(Place, String),
}

/// The files of a ledger in their order.
#[derive(Clone, Debug)]
pub struct Book {
    files: Vec<PathBuf>,
    /// Whether they are those of a ledger, and not a copy of some receipts.
    ledger: bool,
}

/// What a file tells without being read as a whole.
struct Head {
    seq: Option<u64>,
    media_seq: Option<u64>,
    pdt: Option<Time>,
}

impl Book {
    /// The ledger in `dir`.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let folder = Folder::new(dir);
        let files = read::files(&folder)?.into_iter().map(|(_, name)| folder.path(&name)).collect();
        Ok(Self { files, ledger: true })
    }

    /// Receipts that were copied into files.
    pub const fn of(files: Vec<PathBuf>) -> Self {
        Self { files, ledger: false }
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files that are written no more.
    pub fn full(&self) -> &[PathBuf] {
        self.files.split_last().map_or(&[], |(_, full)| full)
    }

    /// Makes the index of a file of [`Book::full`], if it is missing, by which [`Book::find`] looks blocks up.
    pub fn index(file: &Path) -> Result<(), Error> {
        index::complete(file).map(drop)
    }

    /// Looks a receipt up. Reads the beginning of every file and one or two files whole, more where they begin without a
    /// segment; for a CID an index of each file, which is made if it is missing.
    pub fn find(&self, wanted: &Wanted) -> Result<Option<Place>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::new();
        for at in self.places(wanted).into_iter().rev() {
            // The last file grows; all others are indexed.
            let indexed = self.ledger && at + 1 < self.files.len();
            if let Wanted::Cid(cid) = wanted
                && indexed
                && !index::may_tell_of(&self.files[at], &cid.to_string())?
            {
                continue;
            }
            load_into(&self.files[at], &mut text)?;
            if let Wanted::Cid(cid) = wanted
                && std::str::from_utf8(&text).is_ok_and(|text| !text.contains(&named(cid)))
            {
                continue;
            }
            let lines = Lines::of(&text);
            let found = match wanted {
                Wanted::Seq(seq) => {
                    let at = lines.whole.partition_point(|line| number(line, "seq").is_some_and(|here| here < *seq));
                    lines.whole.get(at).filter(|line| number(line, "seq") == Some(*seq)).map(|_| at)
                }
                Wanted::MediaSeq(seq) => {
                    lines.whole.iter().rposition(|line| number(line, "media_seq") == Some(*seq) && is(line, SEGMENT))
                }
                Wanted::Cid(cid) => {
                    let needle = named(cid);
                    lines.whole.iter().rposition(|line| is(line, &needle) && is(line, SEGMENT))
                }
                Wanted::At(time) => lines
                    .whole
                    .iter()
                    .rposition(|line| begins(line).is_some_and(|begins| begins <= *time) && is(line, SEGMENT)),
                Wanted::Checkpoint => lines.whole.iter().rposition(|line| is(line, CHECKPOINT)),
            };
            if let Some(found) = found {
                let text = String::from_utf8_lossy(lines.whole[found]).into_owned();
                return Ok(Some(Place { path: self.files[at].clone(), line: found + 1, text }));
            }
        }
        Ok(None)
    }

    /// The files in which a receipt may stand, oldest first.
    fn places(&self, wanted: &Wanted) -> Vec<usize> {
        let all = 0..self.files.len();
        let newest = |before: &dyn Fn(&Head) -> Option<bool>| {
            all.clone().rev().find(|at| before(&Head::of(&self.files[*at])) == Some(true)).unwrap_or(0)
        };
        match wanted {
            Wanted::Seq(seq) => {
                let at = newest(&|head| head.seq.map(|first| first <= *seq));
                vec![at]
            }
            Wanted::MediaSeq(seq) => self.stretch(newest(&|head| head.media_seq.map(|first| first <= *seq)), 1),
            // The dates of another epoch may begin before those of the look-ahead that it took the place of.
            Wanted::At(time) => self.stretch(newest(&|head| head.pdt.map(|first| first <= *time)), 2),
            Wanted::Cid(_) | Wanted::Checkpoint => all.collect(),
        }
    }

    /// The file at this place and those behind it, as far as this many tell of segments where they begin. One that does not
    /// may have what the one before it does not have.
    fn stretch(&self, from: usize, telling: usize) -> Vec<usize> {
        let mut told = 0;
        let taken = (from..self.files.len()).take_while(|at| {
            told += usize::from(Head::of(&self.files[*at]).media_seq.is_some());
            told <= telling
        });
        taken.collect()
    }

    /// Shows all lines with numbers within `range`, oldest first, until `visit` gives false.
    pub fn lines(&self, range: RangeInclusive<u64>, visit: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Error> {
        for at in self.from(*range.start()) {
            let text = load(&self.files[at])?;
            let until = self.until(at);
            for line in Lines::of(&text).whole {
                let seq = number(line, "seq").unwrap_or_else(|| *range.start());
                if seq > *range.end() || (seq >= *range.start() && !visit(line)) {
                    return Ok(());
                }
                if until.is_some() && until == std::str::from_utf8(line).ok().map(crate::radio::receipt::link) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Audits the receipts with numbers within `range`; `each` sees every one that holds.
    pub fn audit(
        &self,
        audit: &mut Audit<'_>,
        range: RangeInclusive<u64>,
        each: &mut dyn FnMut(&Receipt) -> Result<(), String>,
    ) -> Result<Verdict, Error> {
        for at in self.from(*range.start()) {
            let text = load(&self.files[at])?;
            let until = self.until(at);
            let lines = Lines::of(&text);
            let skipped =
                lines.whole.iter().take_while(|line| number(line, "seq").is_some_and(|seq| seq < *range.start()));
            let skipped = skipped.count();
            let taken = lines.whole.iter().skip(skipped);
            let taken = taken.take_while(|line| number(line, "seq").is_none_or(|seq| seq <= *range.end())).count();
            let last = skipped + taken < lines.whole.len();
            let offset = |count: usize| lines.whole[..count].iter().map(|line| line.len() + 1).sum::<usize>();
            let stop = if last { offset(skipped + taken) } else { text.len() };
            let page = audit::Page {
                text: &text[offset(skipped)..stop],
                opens: self.ledger && skipped == 0,
                ends: at + 1 == self.files.len(),
                until: until.as_deref(),
            };
            let place = |line: usize| {
                let line = line + skipped;
                let text = lines.whole.get(line - 1).map(|text| String::from_utf8_lossy(text).into_owned());
                Place { path: self.files[at].clone(), line, text: text.unwrap_or_default() }
            };
            match audit::page(audit, page, each) {
                Outcome::Whole if last => return Ok(Verdict::Whole),
                Outcome::Whole => {}
                Outcome::Torn(line, bytes) => return Ok(Verdict::Torn(place(line), bytes)),
                Outcome::Broken(line, reason) => return Ok(Verdict::Broken(place(line), reason)),
            }
        }
        Ok(Verdict::Whole)
    }

    /// The last line of the ledger, as its place.
    pub fn end(&self) -> Result<Option<Place>, Error> {
        let Some(path) = self.files.last() else { return Ok(None) };
        let line = Lines::of(&load(path)?).whole.len();
        Ok(Some(Place { path: path.clone(), line, text: String::new() }))
    }

    /// The files from the one on that holds the receipt `seq`.
    fn from(&self, seq: u64) -> std::ops::Range<usize> {
        let first = if self.ledger && seq > 0 { self.places(&Wanted::Seq(seq))[0] } else { 0 };
        first..self.files.len()
    }

    fn until(&self, at: usize) -> Option<String> {
        self.files.get(at + 1).filter(|_| self.ledger).and_then(|next| read::continues(&head(next)))
    }
}

impl Head {
    fn of(path: &Path) -> Self {
        let head = head(path);
        let segment = head.split_inclusive('\n').find(|line| line.ends_with('\n') && line.contains(SEGMENT));
        Self {
            seq: head.split_once('\n').and_then(|(first, _)| number(first.as_bytes(), "seq")),
            media_seq: segment.and_then(|line| number(line.as_bytes(), "media_seq")),
            pdt: segment.and_then(|line| begins(line.as_bytes())),
        }
    }
}

/// The span of time that a segment's line says it airs.
pub fn airs(line: &str) -> Option<(Time, Time)> {
    let (begins, line) = (begins(line.as_bytes())?, line.as_bytes());
    let rate = u32::try_from(number(line, "rate")?).ok()?;
    Some((begins, begins.plus(Span::of_samples(number(line, "samples")?, rate))))
}

/// The number of a receipt by its line.
pub fn seq(line: &[u8]) -> Option<u64> {
    number(line, "seq")
}

fn begins(line: &[u8]) -> Option<Time> {
    read::field(std::str::from_utf8(line).ok()?, "pdt").and_then(Time::parse)
}

/// How a line names the block of a segment.
fn named(cid: &Cid) -> String {
    format!("\"cid\":\"{cid}\"")
}

fn is(line: &[u8], needle: &str) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| line.contains(needle))
}

fn number(line: &[u8], key: &str) -> Option<u64> {
    read::number_in(std::str::from_utf8(line).ok()?, key)
}
