//! The ledger on disk: append-only files of signed receipts, each batch durable before the call returns.
//!
//! Files are preallocated, so that a full disk does not stop a station that is on air, and sealed when full. After a
//! crash the last line may be torn: it is cut off. Any other damage is an error that names file and line.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::radio::{
    receipt::{self, Body, Constants, GENESIS, Receipt, SigningKey},
    time::Time,
};

/// The size at which a file is sealed and the next one begins.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// How a receipt that opens a ledger is told from others without being parsed: within a text these quotes are escaped.
const LEDGER_OPEN: &str = r#""kind":"ledger_open""#;
/// More than a file may ever hold: a bound on what is read into memory.
const READ_BYTES_MAX: u64 = FILE_BYTES_MAX + (4 << 20);

/// Who signs, and in whose name.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The keys by which receipts may be signed; the first one signs.
    pub keys: Vec<SigningKey>,
    /// The peer id of this node.
    pub node_id: String,
    /// The name of the stream.
    pub stream: String,
}

/// Why a ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// A line is not what was written there.
    #[error("{path}:{line}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A receipt has no canonical form.
    #[error("a receipt cannot be signed: {0}")]
    Sign(#[from] receipt::Error),
}

/// The open ledger. Owned by one writer.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    signer: Signer,
    constants: Body,
    file: Option<Current>,
    number: u32,
    chain: Chain,
}

#[derive(Clone, Debug)]
struct Chain {
    next_seq: u64,
    prev: String,
}

#[derive(Debug)]
struct Current {
    path: PathBuf,
    file: File,
    end: u64,
}

/// Where a ledger ends.
#[derive(Debug)]
pub struct Tail {
    number: u32,
    path: PathBuf,
    end: u64,
    chain: Chain,
}

/// What was found when a ledger was read.
#[derive(Debug, Default)]
pub struct Found {
    /// How many bytes of a torn last line were cut off.
    pub torn_bytes: u64,
    /// The number of receipts that were read.
    pub receipts: u64,
}

impl Ledger {
    /// Opens the ledger in `dir` for writing and shows `visit` every receipt of the files that reach back to `since`,
    /// oldest first. `None` if it holds no receipt yet. A torn last line is cut off.
    pub fn open(
        dir: &Path,
        signer: Signer,
        since: Time,
        visit: &mut dyn FnMut(&Receipt),
    ) -> Result<(Option<Self>, Found), Error> {
        let mut constants = None;
        let (found, tail) = Self::read(dir, &signer, since, &mut |receipt| {
            if matches!(receipt.body, Body::LedgerOpen(_)) {
                constants = Some(receipt.body.clone());
            }
            visit(receipt);
        })?;
        let (Some(tail), Some(constants)) = (tail, constants) else { return Ok((None, found)) };
        let Tail { number, path, end, chain } = tail;
        let mut ledger = Self { dir: dir.into(), signer, constants, file: None, number, chain };
        if end == 0 {
            ledger.number -= 1; // A crash came between the file and its first line: it is begun anew.
            return Ok((Some(ledger), found));
        }
        let file = OpenOptions::new().write(true).open(&path).map_err(io_error(&path))?;
        ledger.file = Some(Current { path, file, end });
        if found.torn_bytes > 0 {
            ledger.cut()?;
        }
        Ok((Some(ledger), found))
    }

    /// Reads without touching anything: what [`Ledger::open`] reads, while another process may be writing.
    pub fn read(
        dir: &Path,
        signer: &Signer,
        since: Time,
        visit: &mut dyn FnMut(&Receipt),
    ) -> Result<(Found, Option<Tail>), Error> {
        let files = files(dir)?;
        let mut found = Found::default();
        let mut chain: Option<Chain> = None;
        let mut last = None;
        let from = files.iter().rposition(|(_, path)| reaches_back(path, since)).unwrap_or(0);
        for (at, (number, path)) in files.iter().enumerate().skip(from) {
            let text = read(path)?;
            let (lines, whole) = whole_lines(&text);
            let torn = text[whole..].iter().rposition(|b| *b != 0).map_or(0, |at| at as u64 + 1);
            if torn > 0 && at + 1 < files.len() {
                return Err(damaged(path, lines.len() + 1, "the file ends within a line".into()));
            }
            for (index, line) in lines.iter().enumerate() {
                let receipt = take(line, signer, &mut chain).map_err(|reason| damaged(path, index + 1, reason))?;
                visit(&receipt);
                found.receipts += 1;
            }
            found.torn_bytes = torn;
            last = Some((*number, path.clone(), whole as u64));
        }
        let tail = last.zip(chain).map(|((number, path, end), chain)| Tail { number, path, end, chain });
        Ok((found, tail))
    }

    /// The constants that the station goes by now, without reading more than it takes to find them: the last
    /// `ledger_open` that is signed. `None` if there is none. Touches nothing.
    pub fn constants(dir: &Path, signer: &Signer) -> Result<Option<Constants>, Error> {
        let key = |id: &str| signer.keys.iter().find(|key| key.id() == id);
        for (_, path) in files(dir)?.iter().rev() {
            let text = match read(path) {
                Err(Error::Damaged { .. }) => continue,
                text => text?,
            };
            let text = String::from_utf8_lossy(&text);
            let opened = text.rmatch_indices(LEDGER_OPEN).find_map(|(at, _)| {
                let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let end = at + text[at..].find('\n')?;
                match Receipt::read(&text[begin..end], key).ok()?.body {
                    Body::LedgerOpen(constants) => Some(constants),
                    _ => None,
                }
            });
            if opened.is_some() {
                return Ok(opened);
            }
        }
        Ok(None)
    }

    /// Begins a new ledger in `dir`, which must hold none.
    pub fn create(dir: &Path, signer: Signer, constants: Body) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        let chain = Chain { next_seq: 0, prev: GENESIS.into() };
        let number = files(dir)?.last().map_or(0, |(number, _)| *number);
        Ok(Self { dir: dir.into(), signer, constants, file: None, number, chain })
    }

    /// Moves a damaged ledger out of the way, for later inspection, and tells where to.
    pub fn quarantine(dir: &Path, now: Time) -> Result<PathBuf, Error> {
        let aside = dir.with_file_name(format!("ledger.damaged-{}", now.millis() / 1_000));
        fs::rename(dir, &aside).map_err(io_error(dir))?;
        Ok(aside)
    }

    /// Appends receipts and makes them durable. On an error none of them counts; the call may be made again.
    pub fn append(&mut self, bodies: &[Body], now: Time) -> Result<(), Error> {
        let full = self.file.as_ref().is_none_or(|file| file.end >= FILE_BYTES_MAX);
        if full {
            self.roll(now)?;
        }
        let (text, chain) = self.lines(bodies, now)?;
        let Some(current) = &mut self.file else { return Ok(()) };
        let written = current.file.write_all_at(text.as_bytes(), current.end).and_then(|()| current.file.sync_data());
        if let Err(source) = written {
            let path = current.path.clone();
            // What a failed sync leaves behind is unknown: nothing behind the last durable line may stay.
            let _ = self.cut();
            return Err(Error::Io { path, source });
        }
        current.end += text.len() as u64;
        self.chain = chain;
        if let Some(constants) = bodies.iter().rfind(|body| matches!(body, Body::LedgerOpen(_))) {
            self.constants = constants.clone();
        }
        Ok(())
    }

    fn lines(&self, bodies: &[Body], now: Time) -> Result<(String, Chain), Error> {
        let key = &self.signer.keys[0];
        let mut chain = self.chain.clone();
        let mut text = String::new();
        for body in bodies {
            let receipt = Receipt {
                seq: chain.next_seq,
                prev: chain.prev,
                key_id: key.id().into(),
                node_id: self.signer.node_id.clone(),
                stream: self.signer.stream.clone(),
                produced_at: now,
                body: body.clone(),
            };
            let line = receipt.sign(key)?;
            chain = Chain { next_seq: receipt.seq + 1, prev: receipt::link(&line) };
            text.push_str(&line);
            text.push('\n');
        }
        Ok((text, chain))
    }

    /// Seals the file at hand and begins the next one with the station's constants.
    fn roll(&mut self, now: Time) -> Result<(), Error> {
        if let Some(full) = &self.file {
            full.file.set_len(full.end).and_then(|()| full.file.sync_all()).map_err(io_error(&full.path))?;
            fs::set_permissions(&full.path, fs::Permissions::from_mode(0o444)).map_err(io_error(&full.path))?;
        }
        let path = self.dir.join(format!("{:06}.jsonl", self.number + 1));
        let (text, chain) = self.lines(std::slice::from_ref(&self.constants), now)?;
        let begun = begin(&path, &text).and_then(|file| {
            File::open(&self.dir)?.sync_all()?;
            Ok(file)
        });
        let file = begun.map_err(|source| {
            let _ = fs::remove_file(&path);
            Error::Io { path: path.clone(), source }
        })?;
        self.number += 1;
        self.file = Some(Current { path, file, end: text.len() as u64 });
        self.chain = chain;
        Ok(())
    }

    /// Cuts the file at the end of its last durable line, and allocates the room behind it again.
    fn cut(&mut self) -> Result<(), Error> {
        let Some(current) = &mut self.file else { return Ok(()) };
        current.file = OpenOptions::new().write(true).open(&current.path).map_err(io_error(&current.path))?;
        current.file.set_len(current.end).map_err(io_error(&current.path))?;
        allocate(&current.file);
        current.file.sync_all().map_err(io_error(&current.path))
    }
}

fn begin(path: &Path, text: &str) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    allocate(&file);
    file.write_all_at(text.as_bytes(), 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Reserves the room of a whole file. A file system that cannot do so is no obstacle.
fn allocate(file: &File) {
    let _ = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, FILE_BYTES_MAX);
}

fn take(line: &[u8], signer: &Signer, chain: &mut Option<Chain>) -> Result<Receipt, String> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_string())?;
    let key = |id: &str| signer.keys.iter().find(|key| key.id() == id);
    let receipt = Receipt::read(line, key).map_err(|error| error.to_string())?;
    if let Some(chain) = chain
        && (receipt.prev != chain.prev || receipt.seq != chain.next_seq)
    {
        return Err("it does not follow the line before it".into());
    }
    *chain = Some(Chain { next_seq: receipt.seq + 1, prev: receipt::link(line) });
    Ok(receipt)
}

/// The lines that end with a newline and hold no NUL, and where they end.
fn whole_lines(text: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut lines = Vec::new();
    let mut end = 0;
    while let Some(length) = text[end..].iter().position(|b| *b == b'\n') {
        let line = &text[end..end + length];
        if line.contains(&0) {
            break;
        }
        lines.push(line);
        end += length + 1;
    }
    (lines, end)
}

/// Whether the file begins before `since`: older ones need not be read.
fn reaches_back(path: &Path, since: Time) -> bool {
    let head = File::open(path).and_then(|file| {
        let mut head = Vec::new();
        file.take(64 << 10).read_to_end(&mut head)?;
        Ok(head)
    });
    let head = head.unwrap_or_default();
    let text = String::from_utf8_lossy(&head);
    let date = text.split_once("\"produced_at\":\"").and_then(|(_, rest)| rest.get(..24)).and_then(Time::parse);
    date.is_some_and(|date| date < since)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(io_error(path))?;
    file.take(READ_BYTES_MAX + 1).read_to_end(&mut text).map_err(io_error(path))?;
    if text.len() as u64 > READ_BYTES_MAX {
        return Err(damaged(path, 1, format!("the file is larger than {READ_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The ledger's files by number.
fn files(dir: &Path) -> Result<Vec<(u32, PathBuf)>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_error(dir))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_suffix(".jsonl").and_then(|stem| stem.parse().ok()) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path, source }
}

fn damaged(path: &Path, line: usize, reason: String) -> Error {
    Error::Damaged { path: path.into(), line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer { keys: vec![SigningKey::derive("r1", b"secret")], node_id: "node".into(), stream: "main".into() }
    }

    fn constants() -> Body {
        let anchor = Time::from_millis(0).to_string();
        Body::LedgerOpen(Constants { epoch: 1, anchor, target_duration: 6, rate: 44_100 })
    }

    fn note(entries: u64) -> Body {
        Body::OrderAccepted { order: "o".into(), entries }
    }

    fn reopened(dir: &Path) -> Result<(Option<Ledger>, Found, Vec<Body>), Error> {
        let mut seen = Vec::new();
        let (ledger, found) = Ledger::open(dir, signer(), Time(0), &mut |receipt| seen.push(receipt.body.clone()))?;
        Ok((ledger, found, seen))
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ledger");
        assert!(reopened(&dir).unwrap().0.is_none());
        let mut ledger = Ledger::create(&dir, signer(), constants()).unwrap();
        ledger.append(&[note(1), note(2)], Time(1_000_000)).unwrap();
        ledger.append(&[note(3)], Time(2_000_000)).unwrap();
        drop(ledger);
        let (ledger, found, seen) = reopened(&dir).unwrap();
        assert_eq!(seen, [constants(), note(1), note(2), note(3)]);
        assert_eq!((found.receipts, found.torn_bytes), (4, 0));
        ledger.unwrap().append(&[note(4)], Time(3_000_000)).unwrap();
        assert_eq!(reopened(&dir).unwrap().2.len(), 5);
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_it_tears() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ledger");
        let mut ledger = Ledger::create(&dir, signer(), constants()).unwrap();
        ledger.append(&[note(1)], Time(1)).unwrap();
        let kept = ledger.file.as_ref().unwrap().end as usize;
        ledger.append(&[note(2)], Time(2)).unwrap();
        let end = ledger.file.as_ref().unwrap().end as usize;
        drop(ledger);
        let path = dir.join("000001.jsonl");
        let whole = fs::read(&path).unwrap();
        for cut in kept..end {
            let mut torn = whole.clone();
            torn[cut..].fill(0);
            fs::write(&path, &torn).unwrap();
            let (ledger, found, seen) = reopened(&dir).unwrap();
            assert_eq!((seen.len(), found.torn_bytes), (2, (cut - kept) as u64), "torn at {cut}");
            ledger.unwrap().append(&[note(9)], Time(3)).unwrap();
            assert_eq!(reopened(&dir).unwrap().2.last(), Some(&note(9)));
        }
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ledger");
        let mut ledger = Ledger::create(&dir, signer(), constants()).unwrap();
        (0..5).for_each(|n| ledger.append(&[note(n)], Time(n)).unwrap());
        let path = dir.join("000001.jsonl");
        let mut bytes = fs::read(&path).unwrap();
        let third = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0 + 20;
        bytes[third] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = reopened(&dir).unwrap_err().to_string();
        assert!(error.contains("000001.jsonl:3:"), "{error}");
        let aside = Ledger::quarantine(&dir, Time::from_millis(5_000)).unwrap();
        assert!(aside.ends_with("ledger.damaged-5") && !dir.exists());
    }

    #[test]
    fn the_constants_are_those_of_the_last_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ledger");
        let found = || Ledger::constants(&dir, &signer()).unwrap().map(|constants| constants.epoch);
        assert_eq!(found(), None);
        let mut ledger = Ledger::create(&dir, signer(), constants()).unwrap();
        ledger.append(&[note(1)], Time(1)).unwrap();
        assert_eq!(found(), Some(1));
        let lie = Body::CatalogChanged {
            entry: "\"kind\":\"ledger_open\"".into(),
            item: String::new(),
            reason: String::new(),
        };
        let anchor = Time::from_millis(0).to_string();
        let second = Body::LedgerOpen(Constants { epoch: 2, anchor, target_duration: 2, rate: 48_000 });
        ledger.append(&[second, note(2), lie], Time(2)).unwrap();
        assert_eq!(found(), Some(2));
        ledger.roll(Time(3)).unwrap();
        assert_eq!(found(), Some(2), "each file tells");
        let path = dir.join("000002.jsonl");
        let forged = fs::read_to_string(&path).unwrap().replace("48000", "44100");
        fs::write(&path, forged).unwrap();
        assert_eq!(found(), Some(2), "the file before it tells");
    }

    #[test]
    fn files_roll_over_and_the_chain_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ledger");
        let mut ledger = Ledger::create(&dir, signer(), constants()).unwrap();
        ledger.append(&[note(1)], Time(1)).unwrap();
        ledger.file.as_mut().unwrap().end = FILE_BYTES_MAX;
        let sealed = ledger.file.as_ref().unwrap().path.clone();
        let real = fs::read(&sealed).unwrap().iter().rposition(|b| *b == b'\n').unwrap() as u64 + 1;
        ledger.file.as_mut().unwrap().end = real;
        ledger.roll(Time(2)).unwrap();
        ledger.append(&[note(2)], Time(3)).unwrap();
        assert_eq!(fs::metadata(&sealed).unwrap().permissions().mode() & 0o777, 0o444);
        let (_, _, seen) = reopened(&dir).unwrap();
        assert_eq!(seen, [constants(), note(1), constants(), note(2)]);
    }
}
