//! Where one file is dealt with: named by its bytes, and made into an item unless it is one.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    thread,
    time::Duration,
};

use super::{
    Error, Progress, Skipped, Tools,
    item::{Bench, Failure, Titles, Work, described},
    overrides::{ByItem, Overrides},
    stat_cache::{StatCache, sha256_of},
    stopped,
    walk::{Found, spelled},
    workload::{Amount, Step, Workload},
};
use crate::{
    audio::{self, decode},
    disk::{self, Layout, Stamp},
    radio::{
        cue,
        manifest::{ItemLine, Meta},
        segment::{Kind, short_name},
        time::{Span, Time},
    },
};

/// A file that was written to more recently may still be being copied.
const SETTLE: Span = Span::seconds(2);
/// How often a file that settles is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What became of one file.
pub(super) enum Outcome {
    /// Its item is there; `encoded` if it was made just now.
    Item { line: ItemLine, encoded: bool },
    /// It has the same bytes as a file that another thread deals with.
    Same { id: String },
    /// It is left out: so it is written beside it.
    Excluded,
    /// It cannot become an item.
    Failed { id: Option<String>, failure: Failure },
}

impl Outcome {
    /// How long what was encoded just now plays.
    fn encoded(&self) -> Span {
        match self {
            Self::Item { line, encoded: true } => Span::of_samples(line.samples, line.rate),
            _ => Span(0),
        }
    }
}

/// What the threads share.
pub(super) struct Desk<'a> {
    bench: Bench<'a>,
    cache: Mutex<StatCache>,
    /// The items that some thread deals with or has dealt with.
    claimed: Mutex<HashSet<String>>,
    /// The items that jingles play, where these are made otherwise than tracks.
    jingles: Mutex<HashSet<String>>,
    /// What is written beside recordings.
    overrides: Mutex<ByItem>,
    /// By path, what is wrong with what is written beside it, in words.
    mistaken: Mutex<HashMap<String, String>>,
    /// The paths that are left out.
    excluded: Mutex<HashSet<String>>,
    /// By item, what its cue sheet says; nothing where it makes no sense: then all stays as it is.
    sheets: Mutex<HashMap<String, Option<Titles>>>,
    workload: Mutex<Workload>,
    tools: &'a Tools<'a>,
    stop: &'a AtomicBool,
    /// Whether items are made or only counted.
    encode: bool,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        bench: Bench<'a>,
        layout: &Layout,
        tools: &'a Tools<'a>,
        stop: &'a AtomicBool,
        encode: bool,
    ) -> Self {
        let cache = Mutex::new(StatCache::load(&layout.stat_cache()));
        Self {
            bench,
            cache,
            claimed: Mutex::default(),
            jingles: Mutex::default(),
            overrides: Mutex::default(),
            mistaken: Mutex::default(),
            excluded: Mutex::default(),
            sheets: Mutex::default(),
            workload: Mutex::default(),
            tools,
            stop,
            encode,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        stopped(self.stop)
    }

    /// Names the jingles first where these are made otherwise than tracks: bytes that are both are made as a jingle,
    /// whichever file comes first.
    pub(super) fn note_jingles(&self, files: &[Found]) {
        if self.bench.makes_all_alike() {
            return;
        }
        let jingles = files.iter().filter(|found| found.kind == Kind::Jingle);
        let ids = jingles.filter_map(|found| self.name(found).ok()).map(|(_, sha256)| sha256[..32].to_owned());
        locked(&self.jingles).extend(ids);
    }

    /// The same for items that are known already.
    pub(super) fn note_jingle_ids(&self, ids: impl Iterator<Item = String>) {
        locked(&self.jingles).extend(ids);
    }

    /// Reads what is written beside these files. Bytes that are there several times are one item, for which the first
    /// file's words hold, whichever file comes first.
    pub(super) fn note_overrides(&self, files: &[Found]) {
        for found in files {
            let Some(beside) = &found.overrides else { continue };
            let noted = match (self.tools.overrides)(beside) {
                Ok(overrides) if overrides.exclude => {
                    locked(&self.excluded).insert(found.path.clone());
                    Ok(())
                }
                Ok(overrides) => match self.name(found) {
                    Ok((_, sha256)) => locked(&self.overrides).note(&sha256[..32], &found.path, overrides),
                    Err(_) => Ok(()), // It is told when its turn comes.
                },
                Err(words) => Err(words),
            };
            if let Err(words) = noted {
                locked(&self.mistaken).insert(found.path.clone(), words);
            }
        }
    }

    /// Reads the cue sheets beside these files. Gives those that make no sense.
    pub(super) fn note_cue_sheets(&self, dir: &Path, files: &[Found]) -> Vec<Skipped> {
        let mut faults = Vec::new();
        for found in files {
            let Some(file) = &found.cue_sheet else { continue };
            let titles = titles_of(file, &found.file).inspect_err(|why| {
                faults.push(Skipped { path: spelled(dir, file), why: why.clone() });
            });
            if let Ok((_, sha256)) = self.name(found) {
                locked(&self.sheets).entry(sha256[..32].to_owned()).or_insert_with(|| titles.ok());
            }
        }
        faults
    }

    /// Reckons with what of these files seems to be new: what was not read before, or has no item, or all of it where
    /// items are made `otherwise` than those that are there.
    pub(super) fn note_work(&self, files: &[Found], otherwise: bool) {
        let (cache, excluded, mut workload) = (locked(&self.cache), locked(&self.excluded), locked(&self.workload));
        for found in files.iter().filter(|found| !excluded.contains(&found.path)) {
            let Ok(stamp) = Stamp::at(&found.file) else { continue };
            let known = cache.get(&found.path, &stamp);
            if otherwise || !known.is_some_and(|sha256| self.bench.seems_ready(&sha256[..32])) {
                workload.expect(&found.path, stamp.size());
            }
        }
    }

    /// How much is encoded, and how much there is to encode.
    pub(super) fn amount(&self) -> Amount {
        locked(&self.workload).amount()
    }

    fn kind_of(&self, id: &str) -> Kind {
        if locked(&self.jingles).contains(id) { Kind::Jingle } else { Kind::Track }
    }

    /// Names the file and sees to it that its item is there.
    pub(super) fn deal_with(&self, found: &Found) -> Outcome {
        let outcome = self.outcome(found);
        locked(&self.workload).end(&found.path, outcome.encoded());
        outcome
    }

    fn outcome(&self, found: &Found) -> Outcome {
        if self.is_stopped() {
            return Outcome::Failed { id: None, failure: Failure::Stopped };
        }
        if locked(&self.excluded).contains(&found.path) {
            return Outcome::Excluded;
        }
        // What is there of it stays as it is: nobody knows what was meant.
        if let Some(words) = locked(&self.mistaken).get(&found.path) {
            return Outcome::Failed { id: None, failure: Failure::Unreadable(words.clone()) };
        }
        let (stamp, sha256) = match self.name(found) {
            Ok(named) => named,
            Err(failure) => return Outcome::Failed { id: None, failure },
        };
        let id = sha256[..32].to_owned();
        if !locked(&self.claimed).insert(id.clone()) {
            return Outcome::Same { id };
        }
        let overrides = locked(&self.overrides).of(&id);
        let renamed = |mut line: ItemLine| {
            overrides.rename(&mut line);
            line
        };
        if let Some(meta) = self.bench.ready(&id, self.kind_of(&id), &overrides) {
            let understood = self.understood(found, meta, &overrides);
            return match understood.and_then(|meta| self.retitled(found, meta, &overrides)) {
                Ok(meta) => Outcome::Item { line: renamed(meta.line()), encoded: false },
                Err(failure) => Outcome::Failed { id: Some(id), failure },
            };
        }
        match self.encode_file(found, &id, sha256, stamp, &overrides) {
            Ok(line) => Outcome::Item { line: renamed(line), encoded: true },
            // What is wrong with a file that is being written to says nothing of it.
            Err(Failure::Bad(_) | Failure::Unreadable(_)) if !is_still(found, stamp) => {
                Outcome::Failed { id: Some(id), failure: Failure::Changing }
            }
            Err(failure) => Outcome::Failed { id: Some(id), failure },
        }
    }

    /// The stamp of the settled file and the SHA-256 of its bytes in hex.
    fn name(&self, found: &Found) -> Result<(Stamp, String), Failure> {
        let stamp = self.settled(found)?;
        if let Some(known) = locked(&self.cache).get(&found.path, &stamp) {
            return Ok((stamp, known.to_owned()));
        }
        let unreadable = |error: std::io::Error| Failure::Unreadable(error.to_string());
        let sha256 = sha256_of(&found.file, self.stop).map_err(unreadable)?.ok_or(Failure::Stopped)?;
        if Stamp::at(&found.file).map_err(unreadable)? != stamp {
            return Err(Failure::Changing);
        }
        locked(&self.cache).insert(found.path.clone(), stamp, sha256.clone());
        Ok((stamp, sha256))
    }

    /// Waits a moment for a file that has just been written. One that is dated in the future counts as settled.
    fn settled(&self, found: &Found) -> Result<Stamp, Failure> {
        let mut waited = Duration::ZERO;
        loop {
            let stamp = Stamp::at(&found.file).map_err(|error| Failure::Unreadable(error.to_string()))?;
            if is_settled(stamp.modified(), (self.tools.now)()) {
                return Ok(stamp);
            }
            if stopped(self.stop) {
                return Err(Failure::Stopped);
            }
            if waited > Duration::from_micros(SETTLE.0) {
                return Err(Failure::Changing);
            }
            thread::sleep(LOOK);
            waited += LOOK;
        }
    }

    /// The item with the texts of its recording as they are read now, where those that it was made with look wrong.
    fn understood(&self, found: &Found, meta: Meta, overrides: &Overrides) -> Result<Meta, Failure> {
        if !self.encode || !texts_of(&meta).any(decode::looks_wrong) {
            return Ok(meta);
        }
        match decode::probe(&found.file) {
            Ok(probe) => self.bench.retag(meta, probe, overrides.cue_in),
            Err(_) => Ok(meta),
        }
    }

    /// The item with the chapters of the cue sheet that is there now, or of the recording where there is none any more.
    fn retitled(&self, found: &Found, meta: Meta, overrides: &Overrides) -> Result<Meta, Failure> {
        let sheet = locked(&self.sheets).get(&meta.id).cloned();
        let titles = match sheet {
            Some(None) => return Ok(meta),
            Some(Some(titles)) if titles.sheet == meta.cue_sheet => return Ok(meta),
            None if meta.cue_sheet.is_empty() => return Ok(meta),
            Some(Some(titles)) => titles,
            None => Titles::of_recording(decode::probe(&found.file).map_or_else(|_| vec![], |probe| probe.marks)),
        };
        if self.encode { self.bench.retitle(meta, titles, overrides.cue_in) } else { Ok(meta) }
    }

    fn encode_file(
        &self,
        found: &Found,
        id: &str,
        sha256: String,
        stamp: Stamp,
        overrides: &Overrides,
    ) -> Result<ItemLine, Failure> {
        let mut probe = decode::probe(&found.file).map_err(|error| Failure::Bad(error.to_string()))?;
        let sheet = locked(&self.sheets).get(id).cloned().flatten();
        let titles = sheet.unwrap_or_else(|| Titles::of_recording(std::mem::take(&mut probe.marks)));
        let declared = overrides.part_of(declared(&probe));
        let stated = self.bench.stated(&probe.tags);
        let (tags, cover, origin) = described(probe, sha256, stamp.size());
        if !self.encode {
            return Ok(unmade(id));
        }
        locked(&self.workload).begin(&found.path, stamp.size(), declared);
        (self.tools.tell)(&Progress::Encoding { path: &found.path });
        let advance = |step: Step| {
            let amount = locked(&self.workload).advance(&found.path, step);
            if let Some(amount) = amount {
                (self.tools.tell)(&Progress::Advanced { amount });
            }
        };
        let source = decode::File { path: found.file.clone() };
        let unchanged = || is_still(found, stamp);
        let kind = self.kind_of(id);
        let unchanged: &dyn Fn() -> bool = &unchanged;
        let (id, source, made) = (id.to_owned(), &source, self.tools.made);
        let advance: &(dyn Fn(Step) + Sync) = &advance;
        let work = Work { id, kind, overrides, source, titles, tags, cover, origin, stated, unchanged, made, advance };
        let made = self.bench.make(work, self.stop).map_err(|failure| match failure {
            // What was there stays, as with every mistake in what is written beside a recording.
            Failure::Bad(why) if overrides.is_part() => {
                Failure::Unreadable(format!("{why} (between the cues that are written beside it)"))
            }
            other => other,
        })?;
        Ok(made.line())
    }

    /// Remembers what was read of these files, and nothing of others.
    pub(super) fn remember_only(&self, layout: &Layout, files: &[Found]) -> Result<(), Error> {
        let paths: HashSet<&str> = files.iter().map(|found| found.path.as_str()).collect();
        if !paths.is_empty() {
            locked(&self.cache).retain(|path| paths.contains(path));
        }
        self.remember(layout)
    }

    /// Remembers what was read.
    pub(super) fn remember(&self, layout: &Layout) -> Result<(), Error> {
        Ok(locked(&self.cache).save(&self.tools.disk, &layout.stat_cache())?)
    }
}

/// How long a recording declares to play, at most as long as any may; zero where it declares nothing.
fn declared(probe: &decode::Probe) -> Span {
    let length = probe.declared_samples.zip(probe.rate).map(|(samples, rate)| Span::of_samples(samples, rate));
    length.unwrap_or_default().min(Span::seconds(audio::LONGEST))
}

/// What an item is called, and what is inside it.
fn texts_of(meta: &Meta) -> impl Iterator<Item = &str> {
    let titles = meta.chapters.iter().flat_map(|chapter| [&chapter.title, &chapter.artist]);
    [&meta.tags.title, &meta.tags.artist, &meta.tags.album].into_iter().chain(titles).map(String::as_str)
}

/// What the cue sheet `file` says of `recording`.
fn titles_of(file: &Path, recording: &Path) -> Result<Titles, String> {
    let bytes = disk::read(file, cue::LONGEST).map_err(|error| error.to_string())?;
    let text = decode::text_of(bytes);
    let name = recording.file_name().unwrap_or_default().to_string_lossy();
    let marks = cue::parse(&text, &name).map_err(|fault| fault.to_string())?;
    Ok(Titles { sheet: short_name(text.as_bytes()), marks })
}

/// Whether a file is what it was.
fn is_still(found: &Found, stamp: Stamp) -> bool {
    Stamp::at(&found.file).is_ok_and(|now| now == stamp)
}

fn is_settled(modified: Time, now: Time) -> bool {
    now.since(modified) >= SETTLE || modified.since(now) > SETTLE
}

/// Stands for an item that a dry run does not make.
fn unmade(id: &str) -> ItemLine {
    ItemLine {
        id: id.to_owned(),
        samples: 0,
        rate: 1,
        renditions: Vec::new(),
        title: String::new(),
        artist: String::new(),
        album: String::new(),
        year: None,
        isrc: String::new(),
        cover: None,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
