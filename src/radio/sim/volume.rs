//! A simulated disk: files whose writes are lost, torn and reordered by a crash until they are synced, and calls that
//! fail on order.
//!
//! A crash keeps each sector that was not synced or loses it, whatever came before or after it; the last one that is
//! kept may be torn at any byte. Names that were not synced come or go one by one. After a sync that failed some of
//! what was written counts as clean: it can still be read, or is gone at once, and no later sync makes it durable.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use super::super::{
    audit::{Audit, Begin, Means, Outcome, Page, page as page_of},
    checkpoint::tests::Seal,
    ledger::{
        read::continues,
        volume::{self, Fault},
    },
    receipt::SigningKey,
};
pub(in super::super) use super::chance::Chance;

/// What a disk writes at once or not at all, in bytes.
const SECTOR: u64 = 512;
/// Folders that were set aside and are still there.
const ASIDES_MAX: usize = 4;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Failure {
    #[error("ENOSPC")]
    NoSpace,
    #[error("EIO")]
    Io,
    #[error("EMFILE")]
    TooManyFiles,
    /// A part is written, and no more.
    #[error("a short write")]
    Short,
    #[error("ENOENT")]
    Missing,
    /// The process is no more.
    #[error("killed")]
    Killed,
}

pub(in super::super) const FAILURES: [Failure; 4] =
    [Failure::NoSpace, Failure::Io, Failure::TooManyFiles, Failure::Short];

/// Something that is not durable yet.
#[derive(Clone, Debug)]
enum Pending {
    Write { at: u64, bytes: Vec<u8> },
    Length(u64),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What is read.
    now: Vec<u8>,
    /// What is there after a crash that keeps nothing of what is pending.
    durable: Vec<u8>,
    pending: Vec<Pending>,
    /// Whether a sync failed, so that what is read may differ from what is durable although nothing is pending.
    lossy: bool,
    protected: bool,
}

#[derive(Clone, Debug)]
struct State {
    chance: Chance,
    inodes: BTreeMap<u64, Inode>,
    made: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Names that came (with their inode) or went since the folder was synced.
    renamed: Vec<(String, Option<u64>)>,
    calls: u64,
    /// The call with this number fails.
    fails_at: Option<(u64, Failure)>,
    /// All calls that write fail.
    down: Option<Failure>,
    /// What the last call was that failed.
    failed: Option<&'static str>,
    /// After so many more calls nothing happens any more.
    lives: Option<u64>,
    warnings: Vec<String>,
    /// The last folders that were set aside.
    aside: Vec<Disk>,
    set_asides: usize,
}

/// A folder on it. Clones are the same folder.
#[derive(Clone, Debug)]
pub(in super::super) struct Disk {
    state: Arc<Mutex<State>>,
    room: u64,
}

#[derive(Debug)]
struct Open {
    disk: Disk,
    inode: u64,
}

impl Disk {
    /// An empty one whose files are sealed when they have this size in bytes.
    pub(in super::super) fn new(room: u64, seed: u64) -> Self {
        let state = State {
            chance: Chance::new(seed),
            inodes: BTreeMap::new(),
            made: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renamed: Vec::new(),
            calls: 0,
            fails_at: None,
            down: None,
            failed: None,
            lives: None,
            warnings: Vec::new(),
            aside: Vec::new(),
            set_asides: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), room }
    }

    /// The same disk once more, apart from this one.
    pub(in super::super) fn copy(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().clone())), room: self.room }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Until it is told otherwise, all that writes fails like this.
    pub(in super::super) fn set_down(&self, down: Option<Failure>) {
        self.state().down = down;
    }

    /// The call number `at`, from now on, fails.
    pub(in super::super) fn fail_at(&self, at: u64, failure: Failure) {
        let mut state = self.state();
        state.fails_at = Some((state.calls + at, failure));
    }

    /// No call fails any more.
    pub(in super::super) fn heal(&self) {
        let mut state = self.state();
        (state.fails_at, state.down) = (None, None);
    }

    /// After so many more calls nothing that this process does has an effect.
    pub(in super::super) fn kill_after(&self, calls: u64) {
        self.state().lives = Some(calls);
    }

    /// Another process follows; what was not synced is still there.
    pub(in super::super) fn end_process(&self) {
        self.state().lives = None;
    }

    /// All that is there.
    pub(in super::super) fn content(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(name, inode)| (name.clone(), state.inodes[inode].now.clone())).collect()
    }

    /// Audits the ledger that is there, up to the first file that is not whole.
    pub(in super::super) fn audited(&self, keys: &[SigningKey], begin: Begin) -> Outcome {
        let mut audit = Audit::new(Means { keys, signed: &Seal::signed }, begin, Vec::new());
        let files: Vec<Vec<u8>> = self.content().into_values().collect();
        for (at, text) in files.iter().enumerate() {
            let until = files.get(at + 1).and_then(|next| continues(&String::from_utf8_lossy(next)));
            let page = Page { text, opens: true, ends: at + 1 == files.len(), until: until.as_deref() };
            let outcome = page_of(&mut audit, page, &mut |_| Ok(()));
            if outcome != Outcome::Whole {
                return outcome;
            }
        }
        Outcome::Whole
    }

    /// How many calls there were that can fail, and what the last one was that did.
    pub(in super::super) fn calls(&self) -> (u64, Option<&'static str>) {
        let state = self.state();
        (state.calls, state.failed)
    }

    /// What was told of, since it was asked for last.
    pub(in super::super) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.state().warnings)
    }

    /// How often the folder was set aside.
    pub(in super::super) fn set_asides(&self) -> usize {
        self.state().set_asides
    }

    /// The power fails: what was not synced is there in part, in whatever order.
    pub(in super::super) fn crash(&self, chance: &mut Chance) {
        let mut state = self.state();
        let State { inodes, names, durable_names, renamed, .. } = &mut *state;
        *names = std::mem::take(durable_names);
        for (name, inode) in renamed.drain(..) {
            match inode {
                _ if chance.one_in(2) => {}
                Some(inode) => drop(names.insert(name, inode)),
                None => drop(names.remove(&name)),
            }
        }
        durable_names.clone_from(names);
        inodes.retain(|inode, _| names.values().any(|named| named == inode));
        inodes.values_mut().for_each(|inode| inode.crash(chance));
    }

    /// Turns one bit of what is there. False if there is nothing.
    pub(in super::super) fn rot(&self, chance: &mut Chance) -> bool {
        let mut state = self.state();
        let State { inodes, names, .. } = &mut *state;
        let named: Vec<u64> = names.values().copied().collect();
        let Some(inode) = (!named.is_empty()).then(|| chance.pick(&named)).and_then(|inode| inodes.get_mut(&inode))
        else {
            return false;
        };
        let written = inode.now.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        if written == 0 || inode.differs() {
            return false;
        }
        let (at, bit) = (chance.below(written), 1 << chance.below(7));
        inode.now[at] ^= bit;
        inode.durable[at] ^= bit;
        true
    }

    /// Removes the oldest files until the others have no more bytes than this, as somebody may who archives them.
    pub(in super::super) fn keep(&self, bytes: usize) {
        let mut state = self.state();
        let mut all: usize = state.inodes.values().map(|inode| inode.now.len()).sum();
        while all > bytes {
            let Some((name, inode)) = state.names.pop_first() else { return };
            state.durable_names.remove(&name);
            state.renamed.retain(|(renamed, _)| *renamed != name);
            all -= state.inodes.remove(&inode).map_or(0, |inode| inode.now.len());
        }
    }

    /// Puts these bytes there, durably.
    pub(in super::super) fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.names.get(name).copied().unwrap_or_else(|| state.link(name));
        let protected = state.inodes[&inode].protected;
        state
            .inodes
            .insert(inode, Inode { now: bytes.to_vec(), durable: bytes.to_vec(), protected, ..Inode::default() });
        state.durable_names = state.names.clone();
        state.renamed.clear();
    }
}

impl State {
    /// A call that may fail.
    fn call(&mut self, what: &'static str, writes: bool) -> Result<(), Failure> {
        if let Some(lives) = &mut self.lives {
            *lives = lives.checked_sub(1).ok_or(Failure::Killed)?;
        }
        let number = self.calls;
        self.calls += 1;
        let once = self.fails_at.filter(|(at, _)| *at == number).map(|(_, failure)| failure);
        let failure = once.or_else(|| self.down.filter(|_| writes));
        self.failed = failure.map(|_| what).or(self.failed);
        failure.map_or(Ok(()), Err)
    }

    fn link(&mut self, name: &str) -> u64 {
        self.made += 1;
        self.names.insert(name.into(), self.made);
        self.renamed.push((name.into(), Some(self.made)));
        self.inodes.insert(self.made, Inode::default());
        self.made
    }

    fn find(&self, name: &str) -> Result<u64, Failure> {
        self.names.get(name).copied().ok_or(Failure::Missing)
    }
}

impl Inode {
    fn change(&mut self, pending: Pending) {
        apply(&mut self.now, &pending);
        self.pending.push(pending);
    }

    const fn differs(&self) -> bool {
        self.lossy || !self.pending.is_empty()
    }

    fn sync(&mut self) {
        self.pending.drain(..).for_each(|pending| apply(&mut self.durable, &pending));
        self.lossy = self.lossy && self.durable != self.now;
    }

    /// A sync failed: some of it is durable, some waits for another sync, some is taken for clean.
    fn sync_in_part(&mut self, chance: &mut Chance) {
        if !self.differs() {
            return;
        }
        self.lossy = true;
        let waits = chance.one_in(2);
        for pending in std::mem::take(&mut self.pending) {
            match chance.below(3) {
                0 => apply(&mut self.durable, &pending),
                1 if waits => self.pending.push(pending),
                _ => {}
            }
        }
        if chance.one_in(2) {
            self.now.clone_from(&self.durable);
            self.pending.iter().for_each(|pending| apply(&mut self.now, pending));
        }
    }

    fn crash(&mut self, chance: &mut Chance) {
        if !self.differs() {
            return;
        }
        let durable = &mut self.durable;
        let all = chance.one_in(4);
        for pending in self.pending.drain(..) {
            match pending {
                pending if all => apply(durable, &pending),
                Pending::Length(_) if chance.one_in(2) => {}
                Pending::Length(_) => apply(durable, &pending),
                Pending::Write { at, bytes } => {
                    survive(at, &bytes, chance).iter().for_each(|part| apply(durable, part));
                }
            }
        }
        self.now.clone_from(durable);
        self.lossy = false;
    }
}

/// What a crash leaves of a write: a beginning that ends anywhere, or some of its sectors of which the last may be torn.
fn survive(at: u64, bytes: &[u8], chance: &mut Chance) -> Vec<Pending> {
    let end = at + bytes.len() as u64;
    let part =
        |from: u64, to: u64| Pending::Write { at: from, bytes: bytes[(from - at) as usize..(to - at) as usize].into() };
    if chance.one_in(2) {
        return vec![part(at, at + chance.below(bytes.len() + 1) as u64)];
    }
    let (mut parts, mut from) = (Vec::new(), at);
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        if chance.one_in(2) {
            parts.push((from, to));
        }
        from = to;
    }
    if let Some((from, to)) = parts.last_mut()
        && chance.one_in(2)
    {
        *to = *from + 1 + chance.below((*to - *from) as usize) as u64;
    }
    parts.into_iter().map(|(from, to)| part(from, to)).collect()
}

fn apply(content: &mut Vec<u8>, pending: &Pending) {
    match pending {
        Pending::Length(bytes) => content.resize(*bytes as usize, 0),
        Pending::Write { at, bytes } => {
            let (at, end) = (*at as usize, *at as usize + bytes.len());
            content.resize(content.len().max(end), 0);
            content[at..end].copy_from_slice(bytes);
        }
    }
}

impl volume::Volume for Disk {
    fn make(&self) -> Result<(), Fault> {
        Ok(self.state().call("make", true)?)
    }

    fn list(&self) -> Result<Vec<String>, Fault> {
        let mut state = self.state();
        state.call("list", false)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Fault> {
        let mut state = self.state();
        state.call("read", false)?;
        let now = &state.inodes[&state.find(name)?].now;
        Ok(now[..now.len().min(limit as usize)].to_vec())
    }

    fn create(&self, name: &str) -> Result<Box<dyn volume::File>, Fault> {
        let mut state = self.state();
        state.call("create", true)?;
        let inode = state.link(name);
        Ok(Box::new(Open { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn volume::File>, Fault> {
        let mut state = self.state();
        state.call("open", false)?;
        let inode = state.find(name)?;
        state.inodes.entry(inode).and_modify(|inode| inode.protected = false);
        Ok(Box::new(Open { disk: self.clone(), inode }))
    }

    fn remove(&self, name: &str) -> Result<(), Fault> {
        let mut state = self.state();
        state.call("remove", true)?;
        state.find(name)?;
        state.names.remove(name);
        state.renamed.push((name.into(), None));
        Ok(())
    }

    fn protect(&self, name: &str) -> Result<(), Fault> {
        let mut state = self.state();
        state.call("protect", true)?;
        let inode = state.find(name)?;
        state.inodes.entry(inode).and_modify(|inode| inode.protected = true);
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        let mut state = self.state();
        state.call("sync the folder", true)?;
        let State { durable_names, renamed, .. } = &mut *state;
        for (name, inode) in renamed.drain(..) {
            match inode {
                Some(inode) => drop(durable_names.insert(name, inode)),
                None => drop(durable_names.remove(&name)),
            }
        }
        Ok(())
    }

    fn set_aside(&self, name: &str) -> Result<PathBuf, Fault> {
        let mut state = self.state();
        state.call("set aside", true)?;
        let aside = Self::new(self.room, 0);
        let State { names, inodes, .. } = &mut *state;
        for (name, inode) in std::mem::take(names) {
            let bytes = inodes.remove(&inode).map_or_else(Vec::new, |inode| inode.now);
            aside.put(&name, &bytes);
        }
        state.inodes.clear();
        state.durable_names.clear();
        state.renamed.clear();
        state.set_asides += 1;
        if aside.state().names.is_empty() {
            return Ok(PathBuf::from(name)); // Nothing is in it that anybody could want back.
        }
        if state.aside.len() >= ASIDES_MAX {
            state.aside.remove(0);
        }
        state.aside.push(aside);
        Ok(name.into())
    }

    fn asides(&self) -> Result<Vec<Box<dyn volume::Volume>>, Fault> {
        let mut state = self.state();
        state.call("find what was set aside", false)?;
        Ok(state.aside.iter().map(|aside| Box::new(aside.clone()) as Box<dyn volume::Volume>).collect())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("ledger").join(name)
    }

    fn warn(&self, trouble: &str) {
        self.state().warnings.push(trouble.into());
    }

    fn room(&self) -> u64 {
        self.room
    }
}

impl Open {
    /// Does something with the file, if the call does not fail.
    fn call(&self, what: &'static str, done: impl FnOnce(&mut Inode)) -> Result<(), Fault> {
        let mut state = self.disk.state();
        state.call(what, true)?;
        state.inodes.get_mut(&self.inode).map(done);
        Ok(())
    }
}

impl volume::File for Open {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Fault> {
        let mut state = self.disk.state();
        let end = offset + bytes.len() as u64;
        let allocated = state.inodes.get(&self.inode).is_some_and(|inode| end <= inode.now.len() as u64);
        // A disk that is full has room left where it was reserved.
        let new = state.down != Some(Failure::NoSpace) || !allocated;
        let called = state.call("write", new);
        let taken = match called {
            Ok(()) => bytes.len(),
            Err(Failure::Short) => bytes.len() / 2,
            Err(_) => 0,
        };
        // A file that was set aside takes everything.
        if let Some(inode) = state.inodes.get_mut(&self.inode).filter(|_| taken > 0) {
            inode.change(Pending::Write { at: offset, bytes: bytes[..taken].into() });
        }
        Ok(called?)
    }

    fn set_len(&self, bytes: u64) -> Result<(), Fault> {
        self.call("set the length", |inode| inode.change(Pending::Length(bytes)))
    }

    fn allocate(&self, bytes: u64) {
        let _ = self.call("allocate", |inode| inode.change(Pending::Length(bytes.max(inode.now.len() as u64))));
    }

    fn sync_data(&self) -> Result<(), Fault> {
        let mut state = self.disk.state();
        let full = state.down == Some(Failure::NoSpace);
        let called = state.call("sync", !full);
        let State { inodes, chance, .. } = &mut *state;
        if let Some(inode) = inodes.get_mut(&self.inode) {
            match called {
                Ok(()) => inode.sync(),
                Err(Failure::Killed) => {}
                Err(_) => inode.sync_in_part(chance),
            }
        }
        Ok(called?)
    }

    fn sync_all(&self) -> Result<(), Fault> {
        self.sync_data()
    }
}
