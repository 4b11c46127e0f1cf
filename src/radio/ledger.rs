//! The ledger: append-only files of signed receipts, each batch durable before the call returns.
//!
//! Files are preallocated, so that a full disk does not stop a station that is on air, and sealed when full. After a
//! crash the last line may be torn: it is cut off. Any other damage is an error that names file and line.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use super::{
    checkpoint::{CheckpointBody, Log, Notary},
    receipt::{self, Body, Constants, GENESIS, Receipt, SigningKey},
    time::Time,
};

pub mod desk;
mod estranged;
mod reach;
pub mod read;
pub mod recall;
pub mod volume;

pub use read::{Found, Tail};
use volume::{Fault, File, Volume};

/// The size at which a file is sealed and the next one begins.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// The newest checkpoints, which are published.
pub const CHECKPOINTS_MAX: usize = 48;

/// Who signs, and in whose name.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The keys by which receipts may be signed; the first one signs.
    pub keys: Vec<SigningKey>,
    /// The peer id of this node.
    pub node_id: String,
    /// The name of the stream.
    pub stream: String,
    /// Who signs checkpoints; without one there are none.
    pub notary: Option<Arc<dyn Notary>>,
}

impl Signer {
    /// One that checks what these keys signed, and writes nothing.
    pub const fn reader(keys: Vec<SigningKey>) -> Self {
        Self { keys, node_id: String::new(), stream: String::new(), notary: None }
    }

    fn key(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.id() == id)
    }
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
        source: Fault,
    },
    /// What is there cannot be read.
    #[error("{path}: {source}")]
    Unread {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: Fault,
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
    /// Nothing is wrong with the lines but that they cannot be checked with the keys at hand.
    #[error("{path}:{line}: {reason}; restore that file from a backup, or move {ledger} away to begin another chain")]
    Key {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Which key it is, and what is wrong with it.
        reason: String,
        /// The folder of the ledger.
        ledger: PathBuf,
    },
    /// All lines hold, and they tell of what never was on air.
    #[error("{path}: {reason}")]
    Unusable {
        /// The ledger.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No station has been on air.
    #[error("{path}: there is no ledger yet")]
    NotBegun {
        /// Where it would be.
        path: PathBuf,
    },
    /// A receipt has no canonical form.
    #[error("a receipt cannot be signed: {0}")]
    Sign(#[from] receipt::Error),
}

/// The open ledger. Owned by one writer.
#[derive(Debug)]
pub struct Ledger {
    volume: Arc<dyn Volume>,
    signer: Signer,
    constants: Body,
    file: Option<Current>,
    number: u32,
    chain: Chain,
    log: Option<Log>,
    checkpoints: VecDeque<CheckpointBody>,
}

#[derive(Clone, Debug)]
struct Chain {
    next_seq: u64,
    prev: String,
    /// The key that signs next.
    key_id: String,
}

#[derive(Debug)]
struct Current {
    name: String,
    file: Box<dyn File>,
    end: u64,
}

/// Lines that are not durable yet, and what is known behind them.
struct Batch<'s> {
    signer: &'s Signer,
    now: Time,
    text: String,
    chain: Chain,
    log: Option<Log>,
    checkpoint: Option<CheckpointBody>,
}

/// How a batch did not become durable.
enum Failure {
    /// It was not written; what is durable is known.
    Write(Fault),
    /// It was written, and whether it is durable is not known (fsync(2), "Errors": EIO).
    Sync(Fault),
}

impl Ledger {
    /// Opens the ledger for writing and shows `visit` every receipt of the files that reach back to `since`,
    /// oldest first. `None` if it holds no receipt yet. A torn last line is cut off.
    pub fn open(
        volume: Arc<dyn Volume>,
        signer: Signer,
        since: Time,
        visit: &mut dyn FnMut(&Receipt),
    ) -> Result<(Option<Self>, Found), Error> {
        let (mut constants, mut log, mut checkpoints) = (None, None, VecDeque::new());
        let (found, tail) = read::walk(&*volume, &signer, since, &mut |receipt, line| {
            if let Body::LedgerOpen(_) = receipt.body {
                constants = Some(receipt.body.clone());
            }
            if let Body::Checkpoint(body) = &receipt.body {
                log = Log::at(body, receipt.produced_at).or_else(|| log.take());
                remember(&mut checkpoints, (**body).clone());
            }
            if receipt.seq == 0 {
                log = Some(Log::default());
            }
            if let Some(log) = &mut log {
                log.push(line);
            }
            visit(receipt);
        })?;
        let (Some(tail), Some(constants)) = (tail, constants) else { return Ok((None, found)) };
        if signer.notary.is_none() {
            log = None;
        } else if log.is_none() {
            log = read::tree(&*volume)?.filter(|log| log.size() == tail.chain.next_seq);
            if log.is_none() {
                volume.warn("there are no checkpoints: the first receipts are not here");
            }
        }
        let Tail { number, name, end, chain, batch, unbegun } = tail;
        let mut ledger = Self { volume, signer, constants, file: None, number, chain, log, checkpoints };
        if let Some(Err(error)) = unbegun.map(|unbegun| ledger.volume.remove(&unbegun)) {
            ledger.volume.warn(&format!("an empty file stays until it is begun anew: {error}"));
        }
        ledger.take_up(name, end, &batch, found.torn_bytes > 0)?;
        Ok((Some(ledger), found))
    }

    /// Goes on in a file that was read. What a process left that was killed may be in memory only, and after a sync that
    /// failed it may be there and taken for durable: the last batch is written once more.
    fn take_up(&mut self, name: String, end: u64, batch: &[u8], torn: bool) -> Result<(), Error> {
        let file = self.volume.open(&name).map_err(refused(&*self.volume, &name))?;
        let written = file.write_at(batch, end - batch.len() as u64).and_then(|()| file.sync_all());
        written.map_err(refused(&*self.volume, &name))?;
        self.volume.sync().map_err(refused(&*self.volume, ""))?;
        self.file = Some(Current { name, file, end });
        if torn { self.cut() } else { Ok(()) }
    }

    /// Reads without touching anything: what [`Ledger::open`] reads, while another process may be writing.
    pub fn read(
        volume: &dyn Volume,
        signer: &Signer,
        since: Time,
        visit: &mut dyn FnMut(&Receipt),
    ) -> Result<(Found, Option<Tail>), Error> {
        read::walk(volume, signer, since, &mut |receipt, _| visit(receipt))
    }

    /// The constants that the station goes by now, without reading more than it takes to find them: the last
    /// `ledger_open` that is signed. `None` if there is none. Touches nothing.
    pub fn constants(volume: &dyn Volume, signer: &Signer) -> Result<Option<Constants>, Error> {
        read::constants(volume, signer)
    }

    /// Begins a new ledger, where there must be none.
    pub fn create(volume: Arc<dyn Volume>, signer: Signer, constants: Body) -> Result<Self, Error> {
        volume.make().map_err(refused(&*volume, ""))?;
        let chain = Chain { next_seq: 0, prev: GENESIS.into(), key_id: signer.keys[0].id().into() };
        let files = read::begun(&*volume).map(|begun| begun.files).or_else(|_| read::files(&*volume))?;
        let number = files.last().map_or(0, |(number, _)| *number);
        let log = signer.notary.is_some().then(Log::default);
        Ok(Self { volume, signer, constants, file: None, number, chain, log, checkpoints: VecDeque::new() })
    }

    /// Moves a damaged ledger out of the way, for later inspection, and tells where to.
    pub fn quarantine(volume: &dyn Volume, now: Time) -> Result<PathBuf, Error> {
        volume.set_aside(&format!("ledger.damaged-{}", now.millis() / 1_000)).map_err(refused(volume, ""))
    }

    /// The newest checkpoints, oldest first; all of them are durable.
    pub const fn checkpoints(&self) -> &VecDeque<CheckpointBody> {
        &self.checkpoints
    }

    /// How many receipts there are; all of them are durable.
    pub const fn size(&self) -> u64 {
        self.chain.next_seq
    }

    /// From the next batch on the first of these keys signs; the receipt that says so is signed by the one before. False,
    /// and nothing changes, if that one is not among them, or another one under its id.
    pub fn set_keys(&mut self, keys: Vec<SigningKey>) -> bool {
        let signs = self.signer.key(&self.chain.key_id);
        let known = signs.is_some_and(|signs| keys.iter().any(|key| key.is(signs)));
        if known {
            self.signer.keys = keys;
        }
        known
    }

    /// Appends receipts, a checkpoint ahead of them when one is due, and makes them durable. On an error none of them
    /// counts; the call may be made again.
    pub fn append(&mut self, bodies: &[Body], now: Time) -> Result<(), Error> {
        let full = self.file.as_ref().is_none_or(|file| file.end >= self.volume.room());
        if full {
            self.roll(now)?;
        }
        match self.try_append(bodies, now)? {
            Ok(()) => Ok(()),
            Err(Failure::Write(source)) => Err(self.failed(source)),
            Err(Failure::Sync(source)) => {
                self.volume.warn(&format!("the receipts could not be made durable, another file begins: {source}"));
                self.give_up();
                self.roll(now)?;
                match self.try_append(bodies, now)? {
                    Ok(()) => Ok(()),
                    Err(Failure::Write(source)) => Err(self.failed(source)),
                    Err(Failure::Sync(source)) => {
                        let error = Error::Io { path: self.path(), source };
                        self.give_up();
                        Err(error)
                    }
                }
            }
        }
    }

    fn try_append(&mut self, bodies: &[Body], now: Time) -> Result<Result<(), Failure>, Error> {
        let mut batch = self.batch(now);
        batch.open()?;
        bodies.iter().try_for_each(|body| batch.add(body))?;
        let Batch { text, chain, log, checkpoint, .. } = batch;
        let Some(current) = &mut self.file else { return Ok(Ok(())) };
        if let Err(source) = current.file.write_at(text.as_bytes(), current.end) {
            return Ok(Err(Failure::Write(source)));
        }
        if let Err(source) = current.file.sync_data() {
            return Ok(Err(Failure::Sync(source)));
        }
        current.end += text.len() as u64;
        (self.chain, self.log) = (chain, log);
        if let Some(checkpoint) = checkpoint {
            remember(&mut self.checkpoints, checkpoint);
        }
        if let Some(constants) = bodies.iter().rfind(|body| matches!(body, Body::LedgerOpen(_))) {
            self.constants = constants.clone();
        }
        Ok(Ok(()))
    }

    fn batch(&self, now: Time) -> Batch<'_> {
        let (chain, log) = (self.chain.clone(), self.log.clone());
        Batch { signer: &self.signer, now, text: String::new(), chain, log, checkpoint: None }
    }

    fn path(&self) -> PathBuf {
        self.volume.path(self.file.as_ref().map_or("", |current| &current.name))
    }

    /// A batch was not written: nothing behind the last durable line may stay.
    fn failed(&mut self, source: Fault) -> Error {
        let path = self.path();
        if self.cut().is_err() {
            self.give_up();
        }
        Error::Io { path, source }
    }

    /// Leaves the file at hand for good: what is behind its last durable line is not known, and the file that follows
    /// tells that it does not count. A second sync would tell nothing: it may succeed without having written anything.
    fn give_up(&mut self) {
        let Some(current) = self.file.take() else { return };
        drop(current.file);
        if let Ok(file) = self.volume.open(&current.name) {
            self.seal(&Current { file, ..current });
        }
    }

    /// Begins the next file with the station's constants and seals the one at hand.
    pub(crate) fn roll(&mut self, now: Time) -> Result<(), Error> {
        let name = format!("{:06}.jsonl", self.number + 1);
        let mut batch = self.batch(now);
        batch.add(&self.constants)?;
        let Batch { text, chain, log, .. } = batch;
        let begun = self.begin(&name, &text).and_then(|file| self.volume.sync().map(|()| file));
        let file = begun.map_err(|source| {
            let _ = self.volume.remove(&name);
            Error::Io { path: self.volume.path(&name), source }
        })?;
        self.number += 1;
        let full = self.file.replace(Current { name, file, end: text.len() as u64 });
        full.iter().for_each(|full| self.seal(full));
        (self.chain, self.log) = (chain, log);
        Ok(())
    }

    /// Cuts the file at the end of its last durable line, and allocates the room behind it again.
    fn cut(&mut self) -> Result<(), Error> {
        let Some(current) = &mut self.file else { return Ok(()) };
        let cut = self.volume.open(&current.name).and_then(|file| {
            current.file = file;
            current.file.set_len(current.end)?;
            current.file.allocate(self.volume.room());
            current.file.sync_all()
        });
        cut.map_err(refused(&*self.volume, &current.name))
    }

    fn begin(&self, name: &str, text: &str) -> Result<Box<dyn File>, Fault> {
        let file = self.volume.create(name)?;
        file.allocate(self.volume.room());
        file.write_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        Ok(file)
    }

    /// Cuts off the room that is left in a file and closes it to writing. All its lines are durable already, so a disk
    /// that refuses takes nothing away.
    fn seal(&self, full: &Current) {
        let sealed = full.file.set_len(full.end).and_then(|()| full.file.sync_all());
        if let Err(error) = sealed.and_then(|()| self.volume.protect(&full.name)) {
            self.volume.warn(&format!("{} cannot be sealed: {error}", self.volume.path(&full.name).display()));
        }
    }
}

impl Batch<'_> {
    /// What goes ahead of the receipts at hand: a change of keys, and a checkpoint if one is due.
    fn open(&mut self) -> Result<(), receipt::Error> {
        if let Some(active) = self.signer.keys.first().filter(|key| key.id() != self.chain.key_id) {
            self.add(&Body::KeyRotated { to: active.id().into() })?;
            self.chain.key_id = active.id().into();
        }
        let Some((notary, log)) = self.signer.notary.as_ref().zip(self.log.as_mut()) else { return Ok(()) };
        if !log.due(self.now) {
            return Ok(());
        }
        let body = log.checkpoint(&**notary);
        log.mark(self.now);
        self.add(&Body::Checkpoint(Box::new(body.clone())))?;
        self.checkpoint = Some(body);
        Ok(())
    }

    fn add(&mut self, body: &Body) -> Result<(), receipt::Error> {
        let id = &self.chain.key_id;
        let key = self.signer.key(id).ok_or_else(|| receipt::Error::Key(id.clone()))?;
        let receipt = Receipt {
            seq: self.chain.next_seq,
            prev: self.chain.prev.clone(),
            key_id: id.clone(),
            node_id: self.signer.node_id.clone(),
            stream: self.signer.stream.clone(),
            produced_at: self.now,
            body: body.clone(),
        };
        let line = receipt.sign(key)?;
        if let Some(log) = &mut self.log {
            log.push(&line);
        }
        (self.chain.next_seq, self.chain.prev) = (receipt.seq + 1, receipt::link(&line));
        self.text.push_str(&line);
        self.text.push('\n');
        Ok(())
    }
}

fn remember(checkpoints: &mut VecDeque<CheckpointBody>, body: CheckpointBody) {
    if checkpoints.len() >= CHECKPOINTS_MAX {
        checkpoints.pop_front();
    }
    checkpoints.push_back(body);
}

fn refused(volume: &dyn Volume, name: &str) -> impl FnOnce(Fault) -> Error + use<> {
    let path = volume.path(name);
    move |source| Error::Io { path, source }
}

/// What tests look at.
#[cfg(test)]
impl Ledger {
    /// The number of the next receipt, and the hash of the line before it.
    pub(crate) fn tail(&self) -> (u64, String) {
        (self.chain.next_seq, self.chain.prev.clone())
    }
}

/// What tests of the files look at.
#[cfg(all(test, feature = "edges"))]
impl Ledger {
    pub(crate) const fn next_seq(&self) -> u64 {
        self.chain.next_seq
    }

    pub(crate) fn log(&self) -> &Log {
        self.log.as_ref().expect("it keeps a log")
    }
}

#[cfg(test)]
mod tests;
