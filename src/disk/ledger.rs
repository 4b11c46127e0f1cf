//! The ledger on disk: append-only files of signed receipts, each batch durable before the call returns.
//!
//! Files are preallocated, so that a full disk does not stop a station that is on air, and sealed when full. After a
//! crash the last line may be torn: it is cut off. Any other damage is an error that names file and line.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Fuse;
use crate::radio::{
    checkpoint::{CheckpointBody, Log, Notary},
    receipt::{self, Body, Constants, GENESIS, Receipt, SigningKey},
    time::Time,
};

pub mod book;
mod index;
mod read;

pub use read::{Found, Tail};

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
    log: Option<Log>,
    checkpoints: VecDeque<CheckpointBody>,
    fuse: Option<Arc<Fuse>>,
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
    path: PathBuf,
    file: File,
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
    Write(io::Error),
    /// It was written, and whether it is durable is not known (fsync(2), "Errors": EIO).
    Sync(io::Error),
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
        let (mut constants, mut log, mut checkpoints) = (None, None, VecDeque::new());
        let (found, tail) = read::walk(dir, &signer, since, &mut |receipt, line| {
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
            log = read::tree(dir)?.filter(|log| log.size() == tail.chain.next_seq);
            if log.is_none() {
                tracing::warn!(dir = %dir.display(), "there are no checkpoints: the first receipts are not here");
            }
        }
        let Tail { number, path, end, chain } = tail;
        let dir = dir.to_path_buf();
        let mut ledger = Self { dir, signer, constants, file: None, number, chain, log, checkpoints, fuse: None };
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
        read::walk(dir, signer, since, &mut |receipt, _| visit(receipt))
    }

    /// The constants that the station goes by now, without reading more than it takes to find them: the last
    /// `ledger_open` that is signed. `None` if there is none. Touches nothing.
    pub fn constants(dir: &Path, signer: &Signer) -> Result<Option<Constants>, Error> {
        read::constants(dir, signer)
    }

    /// Begins a new ledger in `dir`, which must hold none.
    pub fn create(dir: &Path, signer: Signer, constants: Body) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        let chain = Chain { next_seq: 0, prev: GENESIS.into(), key_id: signer.keys[0].id().into() };
        let number = read::files(dir)?.last().map_or(0, |(number, _)| *number);
        let log = signer.notary.is_some().then(Log::default);
        let (dir, checkpoints) = (dir.into(), VecDeque::new());
        Ok(Self { dir, signer, constants, file: None, number, chain, log, checkpoints, fuse: None })
    }

    /// Lets every write and sync go through `fuse`, so that a test can let them fail.
    pub fn with_fuse(mut self, fuse: Arc<Fuse>) -> Self {
        self.fuse = Some(fuse);
        self
    }

    /// Moves a damaged ledger out of the way, for later inspection, and tells where to.
    pub fn quarantine(dir: &Path, now: Time) -> Result<PathBuf, Error> {
        let aside = dir.with_file_name(format!("ledger.damaged-{}", now.millis() / 1_000));
        fs::rename(dir, &aside).map_err(io_error(dir))?;
        Ok(aside)
    }

    /// The newest checkpoints, oldest first; all of them are durable.
    pub const fn checkpoints(&self) -> &VecDeque<CheckpointBody> {
        &self.checkpoints
    }

    /// From the next batch on the first of these keys signs; the receipt that says so is signed by the one before. False,
    /// and nothing changes, if that one is not among them.
    pub fn set_keys(&mut self, keys: Vec<SigningKey>) -> bool {
        let known = keys.iter().any(|key| key.id() == self.chain.key_id);
        if known {
            self.signer.keys = keys;
        }
        known
    }

    /// Appends receipts, a checkpoint ahead of them when one is due, and makes them durable. On an error none of them
    /// counts; the call may be made again.
    pub fn append(&mut self, bodies: &[Body], now: Time) -> Result<(), Error> {
        let full = self.file.as_ref().is_none_or(|file| file.end >= FILE_BYTES_MAX);
        if full {
            self.roll(now)?;
        }
        match self.try_append(bodies, now)? {
            Ok(()) => Ok(()),
            Err(Failure::Write(source)) => Err(self.failed(source)),
            Err(Failure::Sync(source)) => {
                tracing::warn!(%source, "the receipts could not be made durable; another file begins");
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
        let step = || self.fuse.as_ref().map_or(Ok(()), |fuse| fuse.step());
        if let Err(source) = step().and_then(|()| current.file.write_all_at(text.as_bytes(), current.end)) {
            return Ok(Err(Failure::Write(source)));
        }
        if let Err(source) = step().and_then(|()| current.file.sync_data()) {
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
        self.file.as_ref().map_or_else(|| self.dir.clone(), |current| current.path.clone())
    }

    /// A batch was not written: nothing behind the last durable line may stay.
    fn failed(&mut self, source: io::Error) -> Error {
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
        if let Ok(file) = OpenOptions::new().write(true).open(&current.path) {
            seal(&Current { file, ..current });
        }
    }

    /// Seals the file at hand and begins the next one with the station's constants.
    fn roll(&mut self, now: Time) -> Result<(), Error> {
        if let Some(full) = &self.file {
            seal(full);
        }
        let path = self.dir.join(format!("{:06}.jsonl", self.number + 1));
        let mut batch = self.batch(now);
        batch.add(&self.constants)?;
        let Batch { text, chain, log, .. } = batch;
        let step = || self.fuse.as_ref().map_or(Ok(()), |fuse| fuse.step());
        let begun = step().and_then(|()| begin(&path, &text)).and_then(|file| {
            step()?;
            File::open(&self.dir)?.sync_all()?;
            Ok(file)
        });
        let file = begun.map_err(|source| {
            let _ = fs::remove_file(&path);
            Error::Io { path: path.clone(), source }
        })?;
        self.number += 1;
        self.file = Some(Current { path, file, end: text.len() as u64 });
        (self.chain, self.log) = (chain, log);
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

fn begin(path: &Path, text: &str) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    allocate(&file);
    file.write_all_at(text.as_bytes(), 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Cuts off the room that is left in a file and closes it to writing. All its lines are durable already, so a disk that
/// refuses takes nothing away.
fn seal(full: &Current) {
    let sealed = full.file.set_len(full.end).and_then(|()| full.file.sync_all());
    let sealed = sealed.and_then(|()| fs::set_permissions(&full.path, fs::Permissions::from_mode(0o444)));
    if let Err(error) = sealed {
        tracing::warn!(%error, path = %full.path.display(), "a file of the ledger cannot be sealed");
    }
}

/// Reserves the room of a whole file. A file system that cannot do so is no obstacle.
fn allocate(file: &File) {
    let _ = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, FILE_BYTES_MAX);
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path, source }
}

fn damaged(path: &Path, line: usize, reason: String) -> Error {
    Error::Damaged { path: path.into(), line, reason }
}

#[cfg(test)]
mod tests;
