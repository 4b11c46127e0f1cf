//! A station in a folder of its own, with recordings to order.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use ipfs_radio::{
    audio::{self, Block, Cores, Encoded, Part, Settings, Source, Stream},
    config,
    disk::{Disk, Fuse, Layout},
    radio::{
        manifest::{Manifest, Meta},
        playlist,
        time::{Span, Time},
    },
    setup::{self, Aired, Error, Job, Options, Report, Tools},
};

/// Long after every file was written.
pub(crate) const LATE: Time = Time(4_102_444_800_000_000);

/// Lets go of what is gone.
pub(crate) const PRUNE: Options = Options {
    reorder: false,
    prune: true,
    dry_run: false,
    repair: false,
    suspects: Vec::new(),
    first_samples: 0,
    station_constants: None,
    new_epoch: false,
};

/// What the tests want unless they want something else: short segments.
pub(crate) fn job() -> Job {
    let settings = Settings {
        segment_seconds: 1,
        rate: 44_100,
        channels: 2,
        bitrates: vec![64_000],
        loudness_target: Some(-16.0),
        reference: audio::Reference::Track,
        peak_ceiling: -1.5,
        trim_silence: false,
        fade_ms: 0,
    };
    Job { source: "music".into(), jingles: Some("jingles".into()), cycle: 2, jingle_offset: 0.0, settings, jobs: 2 }
}

pub(crate) fn with_settings(change: impl FnOnce(&mut Settings)) -> Job {
    let mut job = job();
    change(&mut job.settings);
    job
}

/// A station's folder that is gone when it is dropped.
pub(crate) struct Station {
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
    pub(crate) layout: Layout,
    encodes: AtomicUsize,
    pub(crate) stop: AtomicBool,
    /// Runs before each encode.
    pub(crate) before_encode: Mutex<Option<Box<dyn Fn() + Send>>>,
    pub(crate) told: Mutex<Vec<String>>,
    /// What the end of the ledger names, if it can be read.
    pub(crate) aired: Mutex<Option<Aired>>,
    pub(crate) now: fn() -> Time,
}

impl Station {
    pub(crate) fn empty() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let station = Self::at(temporary.path());
        Self { _temporary: Some(temporary), ..station }
    }

    /// The station in a folder that is somebody else's to remove.
    pub(crate) fn at(folder: &Path) -> Self {
        Self {
            layout: Layout::new(folder),
            folder: folder.to_owned(),
            _temporary: None,
            encodes: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            before_encode: Mutex::default(),
            told: Mutex::default(),
            aired: Mutex::new(Some(Aired::default())),
            now: || LATE,
        }
    }

    /// Three tracks and two jingles.
    pub(crate) fn with_music() -> Self {
        let station = Self::empty();
        for (path, hertz, millis) in [
            ("music/1.wav", 220, 1_900),
            ("music/2.wav", 330, 1_400),
            ("music/10.wav", 440, 2_600),
            ("jingles/1.wav", 880, 1_100),
            ("jingles/2.wav", 990, 1_200),
        ] {
            station.record(path, hertz, millis);
        }
        station
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Puts a tone there.
    pub(crate) fn record(&self, path: &str, hertz: u32, millis: u32) {
        self.write(path, &wav(hertz, millis));
    }

    pub(crate) fn record_bytes(&self, path: &[u8], hertz: u32, millis: u32) {
        let path = self.folder.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, wav(hertz, millis)).unwrap();
    }

    /// A run that must succeed.
    pub(crate) fn run(&self, job: &Job) -> Report {
        self.try_run(job, &Options::default()).unwrap()
    }

    pub(crate) fn try_run(&self, job: &Job, options: &Options) -> Result<Report, Error> {
        self.with_tools(Disk::default(), |tools| setup::run(&self.layout, job, options, tools, &self.stop))
    }

    /// Puts files on demand.
    pub(crate) fn split(&self, job: &Job, files: &[PathBuf]) -> Result<setup::Split, Error> {
        let options = Options::default();
        self.with_tools(Disk::default(), |tools| setup::split(&self.layout, job, &options, files, tools, &self.stop))
    }

    /// A run that goes through `fuse`, jobs one by one.
    pub(crate) fn run_with_fuse(&self, fuse: &Arc<Fuse>, job: &Job) -> Result<Report, Error> {
        let (disk, options) = (Disk::with_fuse(Arc::clone(fuse)), Options::default());
        self.with_tools(disk, |tools| setup::run(&self.layout, job, &options, tools, &self.stop))
    }

    /// Renders the generator's pieces, of each the first second.
    pub(crate) fn generate(&self, seed: u64, job: &Job, options: &Options) -> Result<Report, Error> {
        self.with_tools(Disk::default(), |tools| {
            setup::generated(&self.layout, &Job { cycle: 3, ..job.clone() }, options, seed, tools, &self.stop)
        })
    }

    fn with_tools<T>(&self, disk: Disk, work: impl FnOnce(&Tools<'_>) -> T) -> T {
        let encode = |source: &dyn Source,
                      settings: &Settings,
                      cores: &Cores,
                      stop: &AtomicBool,
                      sink: &mut dyn FnMut(Part) -> io::Result<()>|
         -> Result<Encoded, audio::Error> {
            self.count_encode();
            if let Some(before) = &*self.before_encode.lock().unwrap() {
                before();
            }
            audio::encode(&Beginning(source), settings, cores, stop, sink)
        };
        let tell = |progress: &setup::Progress<'_>| self.told.lock().unwrap().push(format!("{progress:?}"));
        let overrides = |file: &Path| config::overrides(file).map_err(|error| error.to_string());
        let aired = || self.aired.lock().unwrap().clone();
        let retention = Span::seconds(3_600);
        let (encode, overrides, aired) = (&encode, &overrides, &aired);
        let tools = Tools { disk, encode, overrides, retention, aired, made: &|_| {}, now: &self.now, tell: &tell };
        work(&tools)
    }

    pub(crate) fn count_encode(&self) {
        self.encodes.fetch_add(1, Ordering::SeqCst);
    }

    /// How many encodes were begun so far.
    pub(crate) fn encodes(&self) -> usize {
        self.encodes.load(Ordering::SeqCst)
    }

    pub(crate) fn manifest(&self) -> Manifest {
        Manifest::parse(&fs::read(self.layout.processed().manifest()).unwrap()).unwrap()
    }

    pub(crate) fn meta(&self, id: &str) -> Meta {
        Meta::parse(&fs::read(self.layout.processed().meta(id)).unwrap()).unwrap()
    }

    /// What airs.
    pub(crate) fn order(&self) -> Vec<String> {
        let bytes = fs::read(self.layout.processed().playlist()).unwrap();
        let order = playlist::parse("playlist.m3u", &bytes, &self.manifest()).unwrap();
        assert_eq!(order.skipped, []);
        order.paths
    }

    /// Every file of the station but the lock with its stamp.
    pub(crate) fn files_with_times(&self) -> BTreeMap<PathBuf, [i64; 4]> {
        let mut stamps = stamps(&self.folder);
        stamps.remove(&self.layout.processed().lock());
        stamps
    }
}

/// Every file below with its inode, the time of its last change in seconds and nanoseconds, and its size.
pub(crate) fn stamps(folder: &Path) -> BTreeMap<PathBuf, [i64; 4]> {
    let stamp = |path: PathBuf| {
        let found = fs::metadata(&path).unwrap();
        (path, [found.ino() as i64, found.mtime(), found.mtime_nsec(), found.size() as i64])
    };
    files(folder).into_iter().map(stamp).collect()
}

/// The first five seconds of a source: enough for every recording here, and of the generator's pieces the beginning.
struct Beginning<'a>(&'a dyn Source);

struct BeginningStream<'a> {
    stream: Box<dyn Stream + 'a>,
    left: usize,
}

impl Source for Beginning<'_> {
    fn open(&self) -> Result<Box<dyn Stream + '_>, audio::Error> {
        Ok(Box::new(BeginningStream { stream: self.0.open()?, left: 2 * 5 * 44_100 }))
    }
}

impl Stream for BeginningStream<'_> {
    fn next(&mut self) -> Result<Option<Block>, audio::Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut block = self.stream.next()?;
        if let Some(block) = &mut block {
            block.samples.truncate(self.left);
            self.left -= block.samples.len();
        }
        Ok(block)
    }

    fn warnings(&self) -> Vec<String> {
        self.stream.warnings()
    }
}

/// Every file below with its bytes, locks aside.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let relative = |path: PathBuf| (path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
    files(root).into_iter().filter(|path| !path.ends_with(".lock")).map(relative).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

/// A tone with a beat, mono, 16 bit, 44.1 kHz.
pub(crate) fn wav(hertz: u32, millis: u32) -> Vec<u8> {
    let tone = |at: u32| {
        let phase = f64::from(at) * f64::from(hertz) / 44_100.0 * std::f64::consts::TAU;
        let beat = 0.4 + 0.3 * (f64::from(at) / 9_000.0).sin();
        (phase.sin() * beat * 20_000.0) as i16
    };
    let count = 44_100 * u64::from(millis) / 1_000;
    wav_of((0..count as u32).map(tone))
}

/// Mono, 16 bit, 44.1 kHz.
pub(crate) fn wav_of(samples: impl ExactSizeIterator<Item = i16>) -> Vec<u8> {
    let count = samples.len() as u32;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + count * 2).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(44_100u32.to_le_bytes());
    bytes.extend(88_200u32.to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((count * 2).to_le_bytes());
    bytes.extend(samples.flat_map(i16::to_le_bytes));
    bytes
}
