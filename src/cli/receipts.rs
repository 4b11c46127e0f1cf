//! `receipts`: reads the ledger, also while the station is on air, and writes nothing into it.

use std::{
    collections::HashSet,
    io::{self, BufWriter, Write},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail};
use cid::Cid;
use clap::{ArgGroup, Args, Subcommand};

use super::{DISK, FAILED, OK, is_unread, say};
use crate::{
    disk::{
        self, Layout,
        ledger::book::{Book, Place, Verdict, Wanted, airs, seq},
    },
    ipfs::{Name, store::block_file},
    radio::{
        audit::{Audit, Begin, Means, Seen},
        checkpoint::{NOTE_BYTES_MAX, Note},
        receipt::{Body, SigningKey, Unverified},
        segment::{chunk_name, is_of},
        time::Time,
    },
    streamer::Identity,
};

mod prove;

/// Nothing is wrong but that the last receipt was not finished.
const TORN: u8 = 2;
/// Receipts are signed by a key that is not at hand.
const KEY_MISSING: u8 = 3;
/// How often a ledger that does not hold is looked at while it is being written.
const LOOKS: u32 = 2;
/// No block is larger, in bytes.
const BLOCK_BYTES_MAX: u64 = 2 << 20;
/// Blocks of which is remembered that they were looked at.
const LOOKED_AT_MAX: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check every receipt: form, signature, chain, and that what they tell can have been on air.
    Verify(Verify),
    /// Print one receipt.
    #[command(group = ArgGroup::new("one").required(true).args(SELECTORS))]
    Get(Which),
    /// Print the receipts of a range; `receipts verify FILE` checks such a copy.
    Extract {
        #[command(flatten)]
        range: Range,
    },
    /// Print a proof that anybody can check with the station's name alone (scripts/verify-receipt).
    Prove(prove::Options),
}

#[derive(Debug, Args)]
struct Verify {
    /// Copies of receipts to be checked instead of the ledger, in their order.
    files: Vec<PathBuf>,
    #[command(flatten)]
    range: Range,
    /// A checkpoint that the ledger must agree with: a file, or the CID of one that the station has.
    #[arg(long, value_name = "FILE|CID")]
    checkpoint: Vec<String>,
    /// Also check the blocks of the segments, as far as they are still kept.
    #[arg(long)]
    blocks: bool,
}

#[derive(Debug, Args)]
struct Range {
    /// The first receipt: its number, or what was on air at this time (2026-11-21T09:18:04.893Z).
    #[arg(long, value_name = "NUMBER|TIME")]
    from: Option<Bound>,
    /// The last receipt.
    #[arg(long, value_name = "NUMBER|TIME")]
    to: Option<Bound>,
}

/// The arguments of [`Which`], of which one is given.
const SELECTORS: [&str; 4] = ["seq", "media_seq", "cid", "at"];

#[derive(Debug, Args)]
struct Which {
    /// The number of the receipt.
    #[arg(long, value_name = "NUMBER")]
    seq: Option<u64>,
    /// The media sequence of a segment.
    #[arg(long, value_name = "NUMBER")]
    media_seq: Option<u64>,
    /// The block of a segment; the last time that it aired.
    #[arg(long)]
    cid: Option<Cid>,
    /// The segment on air at this time (2026-11-21T09:18:04.893Z).
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Time>,
}

/// A number or a time.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Seq(u64),
    At(Time),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self::Seq).or_else(|_| time(text).map(Self::At))
    }
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "write a time as 2026-11-21T09:18:04.893Z".into())
}

/// Runs one of the commands.
pub(super) fn run(dir: &Path, options: Options) -> anyhow::Result<u8> {
    let layout = Layout::new(std::path::absolute(dir)?);
    match options.action {
        Action::Verify(options) => verify(&layout, &options),
        Action::Get(which) => get(&layout, &which),
        Action::Extract { range } => extract(&layout, &range),
        Action::Prove(options) => prove::run(&layout, &options),
    }
}

fn verify(layout: &Layout, options: &Verify) -> anyhow::Result<u8> {
    let copies = !options.files.is_empty();
    let book = if copies { Book::of(options.files.clone()) } else { Book::open(&layout.ledger())? };
    let keys = Identity::receipt_keys(&layout.keys())?;
    let wanted = options.checkpoint.iter().map(|name| Ok(note(layout, name)?.0));
    let wanted = wanted.collect::<anyhow::Result<Vec<_>>>()?;
    if book.is_empty() && wanted.is_empty() {
        say(&format!("{}: there are no receipts", layout.ledger().display()));
        return Ok(DISK);
    }
    let range = options.range.numbers(&book)?;
    let begin = if copies || *range.start() > 0 { Begin::Anywhere } else { Begin::Genesis };
    let (means, mut tries) = (Means { keys: &keys, signed: &signed }, 0);
    let (verdict, mut audit, blocks) = loop {
        let mut audit = Audit::new(means, begin, wanted.clone());
        let mut blocks = Blocks::new(layout);
        let verdict = book.audit(&mut audit, range.clone(), &mut |receipt| match &receipt.body {
            Body::Segment(segment) if options.blocks => {
                let rungs = segment.renditions.iter().map(|rendition| &rendition.cid);
                std::iter::once(&segment.cid).chain(rungs).try_for_each(|cid| blocks.look_at(&cid.0))
            }
            _ => Ok(()),
        })?;
        tries += 1;
        // What is being written may be read in pieces. Damage is still there at a second look.
        let uncertain = matches!(verdict, Verdict::Broken(..)) && !copies && disk::is_held(&layout.state_lock());
        if tries == LOOKS || !uncertain {
            break (verdict, audit, blocks);
        }
    };
    blocks.failed.map_or(Ok(()), Err)?;
    let torn = match verdict {
        Verdict::Broken(place, why) => {
            say(&format!("{place}: {why}"));
            return Ok(FAILED);
        }
        Verdict::Torn(place, bytes) if !is_being_written(layout, &book, &place, copies)? => Some((place, bytes)),
        Verdict::Torn(..) | Verdict::Whole => None,
    };
    if let Err(why) = audit.end() {
        say(&book.end()?.map_or_else(|| why.clone(), |end| format!("{end}: {why}")));
        return Ok(FAILED);
    }
    if audit.seen().receipts == 0 && wanted.is_empty() {
        bail!("there are no receipts in this range");
    }
    say(&tell(audit.seen()));
    if options.blocks {
        say(&format!("{} blocks hold, {} are no longer kept", blocks.here, blocks.gone));
    }
    if let Some((place, bytes)) = &torn {
        say(&format!("{place}: {bytes} bytes of a receipt that was not finished; the next start cuts them off"));
    }
    Ok(match (audit.seen().unsigned.is_some(), torn.is_some()) {
        (true, _) => KEY_MISSING,
        (false, true) => TORN,
        (false, false) => OK,
    })
}

/// Whether the line that has no end is one that the station writes just now: it is on air, or has finished the line since.
fn is_being_written(layout: &Layout, book: &Book, torn: &Place, copies: bool) -> anyhow::Result<bool> {
    if copies {
        return Ok(false);
    }
    if disk::is_held(&layout.state_lock()) {
        return Ok(true);
    }
    Ok(book.end()?.is_some_and(|end| end.path == torn.path && end.line >= torn.line))
}

fn tell(seen: &Seen) -> String {
    let Seen { receipts, numbers, segments, checkpoints, unproved, late, unsigned } = seen;
    let which = numbers.map_or_else(String::new, |(first, last)| format!(" ({first} to {last})"));
    let mut told = format!("{receipts} receipts{which}, {segments} segments, {checkpoints} checkpoints: all hold");
    if *unproved > 0 {
        told += &format!("\n{unproved} numbers on air have no receipt: the ledger could not be written then");
    }
    if *late > 0 {
        told += &format!("\n{late} segments were listed before their receipt: the ledger could not be written then");
    }
    if let Some((id, count)) = unsigned {
        told += &format!("\nthe signatures of {count} receipts were not checked: the key {id:?} is not at hand");
    }
    told
}

fn get(layout: &Layout, which: &Which) -> anyhow::Result<u8> {
    let keys = Identity::receipt_keys(&layout.keys())?;
    let place = which.find(&Book::open(&layout.ledger())?)?;
    let code = check(&place, &keys)?;
    say(&place.text);
    Ok(code)
}

/// Checks one receipt by itself.
fn check(place: &Place, keys: &[SigningKey]) -> anyhow::Result<u8> {
    let read = Unverified::read(&place.text).with_context(|| place.to_string())?;
    let Some(key) = keys.iter().find(|key| key.id() == read.key_id()) else {
        tracing::warn!("its signature was not checked: the key {:?} is not at hand", read.key_id());
        return Ok(KEY_MISSING);
    };
    read.verify(key).with_context(|| place.to_string())?;
    Ok(OK)
}

fn extract(layout: &Layout, range: &Range) -> anyhow::Result<u8> {
    let book = Book::open(&layout.ledger())?;
    let keys = Identity::receipt_keys(&layout.keys())?;
    let mut audit = Audit::new(Means { keys: &keys, signed: &signed }, Begin::Anywhere, Vec::new());
    let mut out = BufWriter::new(io::stdout().lock());
    let mut stopped: anyhow::Result<()> = Ok(());
    book.lines(range.numbers(&book)?, &mut |line| {
        let held = audit.line(line, false).map_err(|finding| {
            let number = seq(line).map_or_else(String::new, |number| format!(" {number}"));
            anyhow::anyhow!("receipt{number}: {}; `receipts verify` names its place", finding.reason)
        });
        stopped = held.and_then(|_| Ok(out.write_all(line).and_then(|()| out.write_all(b"\n"))?));
        stopped.is_ok()
    })?;
    match stopped.and_then(|()| Ok(out.flush()?)) {
        Err(error) if error.downcast_ref().is_some_and(is_unread) => return Ok(OK),
        written => written?,
    }
    if audit.seen().receipts == 0 {
        bail!("there are no receipts in this range");
    }
    Ok(if audit.seen().unsigned.is_some() { KEY_MISSING } else { OK })
}

impl Which {
    /// What is looked for, in words.
    fn wanted(&self) -> Wanted {
        match (self.seq, self.media_seq, self.cid, self.at) {
            (Some(seq), ..) => Wanted::Seq(seq),
            (_, Some(seq), ..) => Wanted::MediaSeq(seq),
            (.., Some(cid), _) => Wanted::Cid(cid),
            (.., at) => Wanted::At(at.unwrap_or_default()),
        }
    }

    fn find(&self, book: &Book) -> anyhow::Result<Place> {
        let wanted = self.wanted();
        let place = book.find(&wanted)?;
        let place = place.filter(|place| match wanted {
            Wanted::At(time) => airs(&place.text).is_some_and(|(_, end)| time < end),
            _ => true,
        });
        place.with_context(|| match wanted {
            Wanted::Seq(seq) => format!("there is no receipt {seq}"),
            Wanted::MediaSeq(seq) => format!("no receipt tells of a segment {seq}"),
            Wanted::Cid(cid) => format!("no receipt tells that {cid} aired"),
            Wanted::At(time) => format!("no receipt tells of anything on air at {time}"),
            Wanted::Checkpoint => "there is no checkpoint yet".into(),
        })
    }
}

impl Range {
    /// The numbers of the receipts; times are those at which segments air.
    fn numbers(&self, book: &Book) -> anyhow::Result<RangeInclusive<u64>> {
        let on_air = |time: Time| -> anyhow::Result<Option<(u64, bool)>> {
            let Some(place) = book.find(&Wanted::At(time))? else { return Ok(None) };
            let within = airs(&place.text).is_some_and(|(_, end)| time < end);
            Ok(seq(place.text.as_bytes()).map(|seq| (seq, within)))
        };
        let from = match self.from {
            None => 0,
            Some(Bound::Seq(seq)) => seq,
            Some(Bound::At(time)) => on_air(time)?.map_or(0, |(seq, within)| seq + u64::from(!within)),
        };
        let to = match self.to {
            None => u64::MAX,
            Some(Bound::Seq(seq)) => seq,
            Some(Bound::At(time)) => match on_air(time)? {
                Some((seq, _)) => seq,
                None => bail!("no receipt tells of anything on air until {time}"),
            },
        };
        if from > to {
            bail!("the range ends before it begins: {from} to {to}");
        }
        Ok(from..=to)
    }
}

/// Reads a checkpoint and checks that the station of its origin signed it. Gives its text, too.
fn note(layout: &Layout, name: &str) -> anyhow::Result<(Note, String)> {
    let path = match Cid::from_str(name) {
        Ok(cid) if !Path::new(name).exists() => block_file(&layout.repo(), &cid),
        _ => PathBuf::from(name),
    };
    let bytes = disk::read(&path, NOTE_BYTES_MAX as u64)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
    let note = Note::parse(&text).with_context(|| path.display().to_string())?;
    signed(&note).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
    Ok((note, text))
}

/// Whether the station that its origin names signed a note: an IPNS name holds the key.
fn signed(note: &Note) -> Result<(), String> {
    let station = note.station().map_err(|error| error.to_string())?;
    let name: Name = station.parse().map_err(|error: crate::ipfs::Error| error.to_string())?;
    note.check(&name.public(), |message, signature| name.verify(message, signature)).map_err(|error| error.to_string())
}

/// The blocks of the segments, where they may still lie.
struct Blocks<'l> {
    layout: &'l Layout,
    looked_at: HashSet<Cid>,
    here: u64,
    gone: u64,
    failed: Option<anyhow::Error>,
}

impl<'l> Blocks<'l> {
    fn new(layout: &'l Layout) -> Self {
        Self { layout, looked_at: HashSet::new(), here: 0, gone: 0, failed: None }
    }

    /// Reads a block wherever it lies. In words, if it is another one.
    fn look_at(&mut self, cid: &Cid) -> Result<(), String> {
        if self.looked_at.len() >= LOOKED_AT_MAX {
            self.looked_at.clear();
        }
        if !self.looked_at.insert(*cid) {
            return Ok(());
        }
        let (name, mut found) = (chunk_name(cid), false);
        let stores = [self.layout.processed(), self.layout.generated()].map(|store| store.chunk(&name));
        for path in stores.into_iter().chain([block_file(&self.layout.repo(), cid)]) {
            match disk::read_if_there(&path, BLOCK_BYTES_MAX) {
                Ok(None) => {}
                Ok(Some(bytes)) if is_of(cid, &bytes) => found = true,
                Ok(Some(_)) => return Err(format!("{} is not the block that aired", path.display())),
                Err(error) => {
                    self.failed.get_or_insert_with(|| error.into());
                }
            }
        }
        *(if found { &mut self.here } else { &mut self.gone }) += 1;
        Ok(())
    }
}
