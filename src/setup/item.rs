//! One item: encoded, cut, stored, and marked as done.

use std::{
    collections::HashSet,
    fs::{self, DirEntry},
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use cid::Cid;

use super::{
    Encode, Error, Job, Overrides, Tools, audio, garbage,
    listened::Listened,
    quality::{flaws, loudness},
    recipe::Recipe,
    workload::Step,
};
use crate::{
    audio::{
        Cores, Encoded, Part, Source,
        decode::{self, Probe},
        excerpt::Excerpt,
    },
    disk::{self, Disk, Store},
    radio::{
        cue::{self, Mark},
        manifest::{
            Meta,
            meta::{self, Origin, Rendition, Tags},
        },
        segment::{COVER_MAX, ChunkKey, Kind, RAW, Segment, chunk_name, cid_of, is_of},
        time::Span,
    },
};

/// Longest file in `chunks/` that is read, in bytes.
pub(super) const LONGEST_CHUNK: u64 = 16 << 20;
/// Of so many chunks a run that looks whether all is there looks at the sizes as well, which takes a tenth of a second.
const SIZED_MAX: usize = 50_000;
/// Longest picture or VOD list that is read, in bytes.
pub(super) const LONGEST_EXTRA: u64 = 16 << 20;

/// One recording that is to become an item.
pub(super) struct Work<'a> {
    /// The id of the item.
    pub(super) id: String,
    /// Whether it is at the level of tracks or of jingles.
    pub(super) kind: Kind,
    /// What holds for it alone.
    pub(super) overrides: &'a Overrides,
    pub(super) source: &'a dyn Source,
    pub(super) titles: Titles,
    pub(super) tags: Tags,
    pub(super) cover: Option<Vec<u8>>,
    pub(super) origin: Origin,
    /// Its loudness in LUFS as its tags state it.
    pub(super) stated: Option<f64>,
    /// Whether the recording is still what it was when it was named.
    pub(super) unchanged: &'a dyn Fn() -> bool,
    /// Is told of the item before it counts as made.
    pub(super) made: &'a dyn Fn(&Meta),
    /// Is told how far it is.
    pub(super) advance: &'a (dyn Fn(Step) + Sync),
}

/// What plays from where on in a recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Titles {
    /// The short name of the cue sheet that says so; empty where the recording itself does.
    pub(super) sheet: String,
    pub(super) marks: Vec<Mark>,
}

impl Titles {
    pub(super) const fn of_recording(marks: Vec<Mark>) -> Self {
        Self { sheet: String::new(), marks }
    }
}

/// Why there is no item.
#[derive(Debug)]
pub(super) enum Failure {
    /// The recording cannot be used.
    Bad(String),
    /// The recording cannot be read.
    Unreadable(String),
    /// The recording is being written to.
    Changing,
    /// The work was asked to stop.
    Stopped,
    /// The result cannot be kept.
    Fatal(Error),
}

impl From<disk::Error> for Failure {
    fn from(error: disk::Error) -> Self {
        if error.is_no_file() { Self::Unreadable(error.to_string()) } else { Self::Fatal(error.into()) }
    }
}

/// Where items are made.
pub(super) struct Bench<'a> {
    pub(super) store: &'a Store,
    pub(super) disk: &'a Disk,
    tracks: Recipe,
    jingles: Recipe,
    pub(super) encode: &'a Encode<'a>,
    /// What may encode at a time, of all items.
    cores: Cores,
    chunks: Chunks,
    /// Items that were found damaged and are made anew.
    suspects: HashSet<String>,
    /// Whether anything was made.
    makes: AtomicBool,
}

impl<'a> Bench<'a> {
    /// Finds these chunks there.
    pub(super) fn new(
        store: &'a Store,
        tools: &'a Tools<'a>,
        job: &Job,
        settings: &audio::Settings,
        suspects: HashSet<String>,
        chunks: Chunks,
    ) -> Self {
        let (tracks, jingles) = (Recipe::new(settings, 0.0), Recipe::new(settings, job.jingle_offset));
        let (disk, encode, cores, makes) = (&tools.disk, tools.encode, Cores::new(job.jobs), AtomicBool::new(false));
        Self { store, disk, tracks, jingles, encode, cores, chunks, suspects, makes }
    }

    /// Whether a jingle is made like a track.
    pub(super) fn makes_all_alike(&self) -> bool {
        self.tracks.pipeline == self.jingles.pipeline
    }

    /// The loudness in LUFS that the tags of a recording state, be it gone by or not.
    pub(super) fn stated(&self, tags: &decode::Tags) -> Option<f64> {
        tags.loudness(self.tracks.settings.reference)
    }

    fn recipe(&self, kind: Kind, overrides: &Overrides) -> Recipe {
        let usual = if kind == Kind::Jingle { &self.jingles } else { &self.tracks };
        usual.with(overrides)
    }

    /// Whether there is an item that is not known to be damaged. Cheap: nothing of it is read.
    pub(super) fn seems_ready(&self, id: &str) -> bool {
        !self.suspects.contains(id) && self.store.meta(id).is_file()
    }

    /// The item, if it was made with these settings and nothing of it is missing.
    pub(super) fn ready(&self, id: &str, kind: Kind, overrides: &Overrides) -> Option<Meta> {
        if self.suspects.contains(id) {
            return None;
        }
        let meta = read_meta(self.store, id).filter(|meta| meta.pipeline == self.recipe(kind, overrides).pipeline)?;
        let has = |segment: &Segment| self.chunks.has(self.store, segment);
        let listed = |stream: &String| self.store.stream(id, stream).is_file();
        let whole = meta.renditions.iter().flat_map(|rendition| &rendition.segments).all(has)
            && meta.streams.iter().all(listed)
            && (meta.tags.cover.is_none() || self.store.cover(id).is_file());
        whole.then_some(meta)
    }

    /// Makes the item. `meta.json` is written last: what has none is not an item.
    pub(super) fn make(&self, work: Work<'_>, stop: &AtomicBool) -> Result<Meta, Failure> {
        if !self.makes.swap(true, Ordering::Relaxed) {
            garbage::announce(self.store, self.disk).map_err(Failure::Fatal)?;
        }
        self.disk.create_folder(&self.store.streams(&work.id))?;
        disk::sweep(&self.store.item(&work.id))?;
        disk::sweep(&self.store.streams(&work.id))?;
        let Recipe { settings, part, pipeline } = self.recipe(work.kind, work.overrides);
        let excerpt = Excerpt { source: work.source, part };
        let source = Listened { source: &excerpt, heard: &|at| (work.advance)(Step::Read(at)) };
        let encoded = self.encode(&source, &settings, stop, work.advance)?;
        let (Encoded { mastered, lead, fingerprint, .. }, renditions) = encoded;
        if !(work.unchanged)() {
            return Err(Failure::Changing);
        }
        self.disk.sync_folder(&self.store.chunks())?;
        let mut tags = work.tags;
        tags.cover = self.keep_cover(&work.id, work.cover)?;
        for rendition in &renditions {
            let list = rendition.list(settings.rate);
            self.disk.place(&self.store.stream(&work.id, &rendition.stream(settings.rate)), list.as_bytes())?;
        }
        self.disk.sync_folder(&self.store.streams(&work.id))?;
        self.disk.place(&self.store.fingerprint(&work.id), &fingerprint.to_bytes())?;
        let mut meta = Meta::new(
            work.id,
            pipeline,
            settings.rate,
            settings.channels,
            tags,
            work.origin,
            loudness(&mastered.levels, work.stated),
            flaws(&mastered.flaws),
            mastered.warnings,
            renditions,
        )
        .map_err(|error| Failure::Bad(error.to_string()))?;
        meta.lead = lead;
        entitle(&mut meta, work.titles, work.overrides.cue_in);
        (work.made)(&meta);
        self.disk.replace(&self.store.meta(&meta.id), &meta.to_bytes())?;
        Ok(meta)
    }

    /// Gives an item that was made of a recording from `from` on other chapters.
    pub(super) fn retitle(&self, mut meta: Meta, titles: Titles, from: Span) -> Result<Meta, Failure> {
        entitle(&mut meta, titles, from);
        self.disk.replace(&self.store.meta(&meta.id), &meta.to_bytes())?;
        Ok(meta)
    }

    /// Gives an item that was made of a recording from `from` on the texts that are read of it now.
    pub(super) fn retag(&self, meta: Meta, mut probe: Probe, from: Span) -> Result<Meta, Failure> {
        let mut read = meta.clone();
        if meta.cue_sheet.is_empty() {
            entitle(&mut read, Titles::of_recording(std::mem::take(&mut probe.marks)), from);
        }
        let (tags, _, _) = described(probe, String::new(), 0);
        read.tags = Tags { cover: read.tags.cover, ..tags };
        if read != meta {
            self.disk.replace(&self.store.meta(&read.id), &read.to_bytes())?;
        }
        Ok(read)
    }

    fn encode(
        &self,
        source: &dyn Source,
        settings: &audio::Settings,
        stop: &AtomicBool,
        advance: &dyn Fn(Step),
    ) -> Result<(Encoded, Vec<Rendition>), Failure> {
        let empty = |bitrate: &u32| Rendition { bitrate: *bitrate, segments: Vec::new() };
        let mut renditions: Vec<_> = settings.bitrates.iter().map(empty).collect();
        let mut fatal = None;
        let mut keep = |part: Part| {
            let segment = self.keep_part(&part).map_err(|error| {
                let told = io::Error::other(error.to_string());
                fatal = Some(error);
                told
            })?;
            let rendition = renditions.get_mut(part.rung).ok_or_else(|| io::Error::other("a rung nobody asked for"))?;
            rendition.segments.push(segment);
            if part.rung == 0 {
                advance(Step::Stored(Span::of_samples(part.samples.into(), settings.rate)));
            }
            Ok(())
        };
        let encoded = (self.encode)(source, settings, &self.cores, stop, &mut keep);
        match (encoded, fatal) {
            (Ok(encoded), _) => Ok((encoded, renditions)),
            (Err(_), Some(Error::Disk(error))) => Err(error.into()),
            (Err(_), Some(error)) => Err(Failure::Fatal(error)),
            (Err(audio::Error::Stopped), _) => Err(Failure::Stopped),
            (Err(error @ audio::Error::Read(_)), _) => Err(Failure::Unreadable(error.to_string())),
            (Err(error), _) => Err(Failure::Bad(error.to_string())),
        }
    }

    /// Stores a segment, unless the very same bytes are there already.
    fn keep_part(&self, part: &Part) -> Result<Segment, Error> {
        let cid = cid_of(RAW, &part.bytes);
        let name = chunk_name(&cid);
        let path = self.store.chunk(&name);
        match disk::read_if_there(&path, LONGEST_CHUNK) {
            Ok(Some(there)) if there == part.bytes => {}
            Ok(Some(there)) if chunk_name(&cid_of(RAW, &there)) == name => return Err(Error::Collision { name }),
            Err(error) if !error.is_no_file() => return Err(error.into()),
            Ok(Some(_)) | Err(_) => {
                tracing::warn!(chunk = name, "chunk is damaged; writing it anew");
                self.disk.place(&path, &part.bytes)?;
            }
            Ok(None) => self.disk.place(&path, &part.bytes)?,
        }
        Ok(Segment { cid, samples: part.samples, bytes: part.bytes.len() as u32 })
    }

    fn keep_cover(&self, id: &str, cover: Option<Vec<u8>>) -> Result<Option<Cid>, Failure> {
        if let Some(large) = cover.as_ref().map(Vec::len).filter(|bytes| *bytes > COVER_MAX) {
            tracing::warn!(item = id, bytes = large, "its picture has more than {COVER_MAX} bytes and does not air");
        }
        let Some(bytes) = cover.filter(|bytes| bytes.len() <= COVER_MAX) else {
            self.disk.remove(&self.store.cover(id))?;
            return Ok(None);
        };
        self.disk.place(&self.store.cover(id), &bytes)?;
        Ok(Some(cid_of(RAW, &bytes)))
    }
}

/// The chunks that were there when it was looked.
pub(super) struct Chunks {
    there: HashSet<ChunkKey>,
    /// Of how many more the size is compared.
    left: AtomicUsize,
}

impl Chunks {
    /// Takes away what a killed process left half written among them.
    pub(super) fn swept(store: &Store) -> Result<Self, Error> {
        let mut there = HashSet::new();
        disk::sweep_and_list(&store.chunks(), |name, file| there.extend(key(name, file)))?;
        Ok(Self { there, left: SIZED_MAX.into() })
    }

    /// Touches nothing.
    pub(super) fn listed(store: &Store) -> Result<Self, Error> {
        let mut there = HashSet::new();
        disk::list(&store.chunks(), |name, file| there.extend(key(name, file)))?;
        Ok(Self { there, left: SIZED_MAX.into() })
    }

    /// Whether the chunk of a segment is there, and as large as it should be.
    fn has(&self, store: &Store, segment: &Segment) -> bool {
        if !ChunkKey::of(&segment.cid).is_some_and(|key| self.there.contains(&key)) {
            return false;
        }
        let less = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            return true;
        }
        let told = fs::metadata(store.chunk(&chunk_name(&segment.cid)));
        told.is_ok_and(|told| told.is_file() && told.len() == u64::from(segment.bytes))
    }
}

/// Which chunk a file is, if it is one, or a link to one.
fn key(name: &str, file: &DirEntry) -> Option<ChunkKey> {
    file.file_type().ok().filter(|kind| kind.is_file() || kind.is_symlink())?;
    ChunkKey::read(name.strip_suffix(".ts")?)
}

fn entitle(meta: &mut Meta, titles: Titles, from: Span) {
    meta.chapters = cue::chapters(&titles.marks, from, meta.lead, meta.rate, meta.samples);
    meta.cue_sheet = titles.sheet;
}

/// What is known of an item; nothing if it is missing, damaged or of another version.
pub(super) fn read_meta(store: &Store, id: &str) -> Option<Meta> {
    let bytes = disk::read_if_there(&store.meta(id), meta::LONGEST).ok().flatten()?;
    Meta::parse(&bytes).ok().filter(|meta| meta.id == id)
}

/// The short names of all chunks that are there.
pub(super) fn chunk_names(store: &Store) -> Result<HashSet<String>, Error> {
    let mut names = HashSet::new();
    disk::list(&store.chunks(), |name, _| names.extend(name.strip_suffix(".ts").map(str::to_owned)))?;
    Ok(names)
}

/// Whether the chunk is there with the right bytes; what is wrong, in words, if not.
pub(super) fn examine(store: &Store, segment: &Segment) -> Option<String> {
    let name = chunk_name(&segment.cid);
    match disk::read_if_there(&store.chunk(&name), LONGEST_CHUNK) {
        Ok(Some(bytes)) if is_of(&segment.cid, &bytes) && bytes.len() == segment.bytes as usize => None,
        Ok(Some(_)) => Some(format!("chunk {name} does not hash to its name")),
        Ok(None) => Some(format!("chunk {name} is missing")),
        Err(error) => Some(error.to_string()),
    }
}

/// The tags and the picture of a recording, and what it says of its format.
pub(super) fn described(probe: Probe, sha256: String, bytes: u64) -> (Tags, Option<Vec<u8>>, Origin) {
    let tags = Tags {
        title: probe.tags.title.unwrap_or_default(),
        artist: probe.tags.artist.unwrap_or_default(),
        album: probe.tags.album.unwrap_or_default(),
        year: probe.tags.year,
        isrc: probe.tags.isrc.unwrap_or_default(),
        cover: None,
    };
    let origin = Origin {
        sha256,
        bytes,
        container: probe.container,
        codec: probe.codec,
        rate: probe.rate,
        channels: probe.channels,
    };
    (tags, probe.tags.cover.map(|cover| cover.bytes), origin)
}
