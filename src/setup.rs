//! Folders with recordings in, `processed/` out.
//!
//! Every item is made once: it is named by the bytes of its recording, and its `meta.json`, written last, says with
//! which settings it was made. Whatever is interrupted is found again and completed; the result is the same to the
//! byte. The sources are never written to.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    audio::{self, Cores, Encoded, Part, Source, excerpt},
    disk::{self, Disk, Layout, Lock, Store},
    radio::{
        manifest::{self, Meta, Pipeline},
        time::{Span, Time},
    },
};

pub use audition::{AuditionError, audition};
pub use check::{Damage, check};
pub use duplicates::{Pair, copies};
pub use garbage::Aired;
pub use generated::generated;
pub use overrides::Overrides;
pub use progress::{Progress, Teller};
pub use quality::{Quality, qualities};
pub use report::{OrderFate, Report, Skipped};
pub use split::{Recorded, Split, split};
pub use workload::Amount;

mod audition;
mod check;
mod desk;
mod duplicates;
mod files;
mod garbage;
mod generated;
mod item;
mod listened;
mod listing;
mod overrides;
mod pool;
mod progress;
mod publish;
mod quality;
mod recipe;
mod report;
mod split;
mod stat_cache;
mod walk;
mod workload;

/// The version of the chain from recording to segment. A change of anything that changes bytes raises it.
pub const PIPELINE_VERSION: u32 = 4;
/// So many copies that have come, and entries that leave, are named.
const TOLD_MAX: usize = 20;

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The folder with the tracks, absolute or relative to the station's folder.
    pub source: PathBuf,
    /// The folder with the jingles, or none for a programme without jingles.
    pub jingles: Option<PathBuf>,
    /// How many tracks play between two jingles.
    pub cycle: usize,
    /// How much louder than the tracks the jingles are, in LU; negative for quieter.
    pub jingle_offset: f64,
    /// What shapes the bytes of the segments.
    pub settings: audio::Settings,
    /// How many recordings are encoded at once.
    pub jobs: usize,
}

/// How it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Put the generated order on air even if the one that airs was edited.
    pub reorder: bool,
    /// Let entries go although their folder is missing or empty or most of them would go; remove what nobody needs at once.
    pub prune: bool,
    /// Only tell what would be done. Nothing is written.
    pub dry_run: bool,
    /// Verify every segment first and make anew what is damaged.
    pub repair: bool,
    /// Ids of items of which every segment is verified first, and that are made anew if they are damaged.
    pub suspects: Vec<String>,
    /// How much audio makes the first publishable result, in samples per channel: look-ahead and 60 s.
    pub first_samples: u64,
    /// Segment duration in seconds and sample rate of a station that has been on air.
    pub station_constants: Option<(u32, u32)>,
    /// Change them nevertheless.
    pub new_epoch: bool,
}

/// Hands each segment of a source to a sink: [`audio::encode`], or a stand-in that counts.
pub type Encode<'a> = dyn Fn(
        &dyn Source,
        &audio::Settings,
        &Cores,
        &AtomicBool,
        &mut dyn FnMut(Part) -> io::Result<()>,
    ) -> Result<Encoded, audio::Error>
    + Sync
    + 'a;

/// What setup works with.
#[derive(Clone)]
pub struct Tools<'a> {
    /// The way to write.
    pub disk: Disk,
    /// The encoder.
    pub encode: &'a Encode<'a>,
    /// Reads the file beside a recording; the error says in words what cannot stand there.
    pub overrides: &'a (dyn Fn(&Path) -> Result<Overrides, String> + Sync),
    /// How long what has aired is kept.
    pub retention: Span,
    /// What the end of the ledger names; nothing where it cannot be read.
    pub aired: &'a (dyn Fn() -> Option<Aired> + Sync),
    /// Is told of each item before it counts as made; perhaps again, after a crash.
    pub made: &'a (dyn Fn(&Meta) + Sync),
    /// The wall clock.
    pub now: &'a (dyn Fn() -> Time + Sync),
    /// Is told what happens, on the threads on which it happens.
    pub tell: &'a (dyn Fn(&Progress<'_>) + Sync),
}

impl std::fmt::Debug for Tools<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").field("disk", &self.disk).finish_non_exhaustive()
    }
}

/// Why setup could not do its work at all. A recording that cannot be used is no error but in the [`Report`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk refused, or another setup is at work.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// A constant of the station would change.
    #[error(
        "`{key}` is {wanted}, but this station has been on air with {constant}: write {constant}, or run \
         `ipfs-radio setup --new-epoch` and restart it (its names stay)"
    )]
    Constant {
        /// The key in setup.toml.
        key: &'static str,
        /// What is configured.
        wanted: u32,
        /// What the station was started with.
        constant: u32,
    },
    /// There are more recordings than a manifest can list.
    #[error("{} holds more than {limit} recordings; make the folder smaller", folder.display())]
    TooMany {
        /// Which folder.
        folder: PathBuf,
        /// The most there may be.
        limit: usize,
    },
    /// What was made does not make a manifest.
    #[error("the manifest would not be valid: {0}")]
    Manifest(#[source] manifest::Error),
    /// Recordings cannot be added to a manifest that is not there.
    #[error("{} is missing or damaged, and the running order goes by it: run `ipfs-radio setup` first", path.display())]
    NoManifest {
        /// The manifest.
        path: PathBuf,
    },
    /// The generator has nothing for these settings.
    #[error("no music can be generated: {0}")]
    Generator(#[from] audio::synth::Error),
    /// Two segments share a short name and differ.
    #[error(
        "chunk {name} is there with other bytes that have the same short name; remove its file and run setup again"
    )]
    Collision {
        /// The short name.
        name: String,
    },
}

impl Error {
    /// The exit code of a command that ends with it (contract §8).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Disk(disk::Error::Busy { .. }) => 75,
            Self::Disk(_) => 4,
            Self::Constant { .. } | Self::Generator(_) => 78,
            Self::TooMany { .. } | Self::Manifest(_) | Self::NoManifest { .. } | Self::Collision { .. } => 1,
        }
    }
}

/// Makes every item that is not there yet and puts the programme together.
///
/// Holds `processed/.lock` meanwhile. Results are published as soon as `first_samples` are ready, then every 30 s, and
/// at the end. When `stop` is set it ends within a moment, and the next run goes on from there.
pub fn run(
    layout: &Layout,
    job: &Job,
    options: &Options,
    tools: &Tools<'_>,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    check_constants(job, options)?;
    let store = layout.processed();
    if options.dry_run {
        return files::plan(layout, job, options, tools, stop);
    }
    let _lock = open_store(layout, &store, tools)?;
    files::make(layout, job, options, tools, stop)
}

/// Makes the folders, takes the lock, and clears away what a killed process left half written.
fn open_store(layout: &Layout, store: &Store, tools: &Tools<'_>) -> Result<Lock, Error> {
    tools.disk.create_folder(&store.chunks())?;
    tools.disk.create_folder(&store.items())?;
    layout.create_state()?;
    let lock = Lock::take(&store.lock())?;
    disk::sweep(store.root())?;
    Ok(lock)
}

fn check_constants(job: &Job, options: &Options) -> Result<(), Error> {
    let Some((seconds, rate)) = options.station_constants.filter(|_| !options.new_epoch) else { return Ok(()) };
    let same = |key, wanted: u32, constant: u32| {
        if wanted == constant { Ok(()) } else { Err(Error::Constant { key, wanted, constant }) }
    };
    same("audio.segment_duration", job.settings.segment_seconds, seconds)?;
    same("audio.sample_rate", job.settings.rate, rate)
}

/// What makes the segments: encoder, version, and a fingerprint of all settings that shape bytes.
pub fn pipeline(settings: &audio::Settings) -> Pipeline {
    pipeline_of(settings, &excerpt::Part::default())
}

/// The same for a part of a recording.
fn pipeline_of(settings: &audio::Settings, part: &excerpt::Part) -> Pipeline {
    let audio::Settings {
        segment_seconds,
        rate,
        channels,
        bitrates,
        loudness_target,
        reference,
        peak_ceiling,
        trim_silence,
        fade_ms,
    } = settings;
    let mut text = format!(
        "segment_seconds={segment_seconds} rate={rate} channels={channels} bitrates={bitrates:?} \
         loudness_target={loudness_target:?} reference={reference:?} peak_ceiling={peak_ceiling:?} trim_silence={trim_silence} fade_ms={fade_ms}"
    );
    if *part != excerpt::Part::default() {
        let excerpt::Part { from, until, gain_db } = part;
        text.push_str(&format!(" from={from:?} until={until:?} gain_db={gain_db:?}"));
    }
    Pipeline {
        encoder: "fdk-aac".into(),
        version: PIPELINE_VERSION,
        settings: crate::radio::segment::short_name(text.as_bytes()),
    }
}

fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
