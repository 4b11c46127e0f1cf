//! File changes, settled: notice that something changed, wait until it has stopped changing, tell once.
//!
//! Notifications only say *when* to look; what is there is always read anew. Every minute the files themselves are looked
//! at, so a lost notification costs time and nothing else.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, Metadata},
    hash::{DefaultHasher, Hash, Hasher},
    mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind};
use tokio::{
    sync::Notify,
    task::{self, JoinHandle},
    time::{self, Instant},
};

/// How often the files are looked at even though nothing was heard.
const RESCAN: Duration = Duration::from_secs(60);
/// All is watched anew no more often.
const RENEW: Duration = Duration::from_secs(600);
/// At every so many looks a watcher tells even if nothing has changed: what could not be read may be readable again.
const TELL_ANYWAY: u32 = 10;
/// Settling ends after this long even if changes go on.
const SETTLE_MAX: Duration = Duration::from_secs(30);
/// The first look is not waited for longer than this.
const FIRST_MAX: Duration = Duration::from_secs(10);
/// Folders in folders that are looked into, and files that are looked at.
const DEPTH_MAX: usize = 64;
const FILES_MAX: usize = 1 << 20;

/// Device and inode of a folder, and when it was made where that is known: inodes are used again.
type Folder = (u64, u64, Option<SystemTime>);

/// A watcher of some files and folders.
#[derive(Debug)]
pub struct Watch {
    dirty: Arc<Notify>,
    settle: Duration,
    rescan: Duration,
    eyes: Arc<Mutex<Eyes>>,
    /// A look whose end was not waited for.
    looking: Option<JoinHandle<u64>>,
    /// What was there when a change was told last.
    told: u64,
    looks: u32,
    /// Something was heard that was not told yet: whoever waited may have been called away.
    heard: bool,
    /// When it is looked, though nothing is heard.
    due: Instant,
}

impl Watch {
    /// Watches `places`, folders with everything below where the flag says so. A folder that is not there yet, or another
    /// one under its path, is watched within a minute; a change of a file that is named itself is seen within a minute. A
    /// change is told when nothing has happened for `settle`.
    ///
    /// A folder that does not answer holds nobody up: it is waited for in a thread of its own.
    pub async fn new(places: &[(&Path, bool)], settle: Duration) -> Self {
        let dirty = Arc::new(Notify::new());
        let eyes = Arc::new(Mutex::new(Eyes::new(places, dirty.clone())));
        let due = Instant::now() + RESCAN;
        let mut watch =
            Self { dirty, settle, rescan: RESCAN, eyes, looking: None, told: 0, looks: 0, heard: false, due };
        match time::timeout(FIRST_MAX, watch.found()).await {
            Ok(found) => watch.told = found,
            Err(_) => tracing::warn!(?places, "it takes long to look at these folders; changes are seen later"),
        }
        watch
    }

    /// Waits for the next settled change, or for the next time to tell anyway. Nothing is lost if the wait is given up.
    pub async fn changed(&mut self) {
        while !self.look().await {}
    }

    /// Waits until something is heard or it is time to look. Whether it is to be told.
    async fn look(&mut self) -> bool {
        if !self.heard {
            self.heard = time::timeout_at(self.due, self.dirty.notified()).await.is_ok();
        }
        if self.heard {
            let settled = async { while time::timeout(self.settle, self.dirty.notified()).await.is_ok() {} };
            // An endless copy must not keep the station from what is already there.
            let _ = time::timeout(SETTLE_MAX, settled).await;
        }
        let found = self.found().await;
        let heard = mem::take(&mut self.heard);
        self.looks += 1;
        self.due = Instant::now() + self.rescan;
        let tell = heard || found != self.told || self.looks >= TELL_ANYWAY;
        if tell {
            (self.told, self.looks) = (found, 0);
        }
        tell
    }

    /// What is there, as a number.
    async fn found(&mut self) -> u64 {
        let eyes = self.eyes.clone();
        let look = move || eyes.lock().unwrap_or_else(PoisonError::into_inner).look();
        let found = self.looking.get_or_insert_with(|| task::spawn_blocking(look)).await;
        self.looking = None;
        found.unwrap_or(!self.told)
    }
}

/// What looks and what hears. All of it blocks.
#[derive(Debug)]
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    /// More happened than could be told: of folders that are new nothing may have been heard, nor of what is in them.
    missed: Arc<AtomicBool>,
    /// When all was watched anew for that. In a large library that is itself more than can be told.
    renewed: Option<Instant>,
    wanted: Vec<(PathBuf, RecursiveMode)>,
    /// The folders that are watched. Under the same path there may be another one by now.
    watched: HashMap<PathBuf, Folder>,
}

impl Eyes {
    /// Raises `dirty` when something is heard.
    fn new(places: &[(&Path, bool)], dirty: Arc<Notify>) -> Self {
        let missed = Arc::new(AtomicBool::new(false));
        let overflow = missed.clone();
        // The callback only raises flags: a slow one would lose events.
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let read_only = |kind| matches!(kind, EventKind::Access(what) if what != AccessKind::Close(notify::event::AccessMode::Write));
            if event.as_ref().is_ok_and(notify::Event::need_rescan) {
                overflow.store(true, Ordering::Relaxed);
            }
            if !event.is_ok_and(|event| read_only(event.kind)) {
                dirty.notify_one();
            }
        });
        let watcher = watcher.inspect_err(|error| tracing::warn!(%error, "files are only looked at every minute")).ok();
        let mode = |below| if below { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let wanted = places.iter().map(|(path, below)| (path.to_path_buf(), mode(*below))).collect();
        Self { watcher, missed, renewed: None, wanted, watched: HashMap::new() }
    }

    /// Watches first and looks then: what comes later is heard.
    fn look(&mut self) -> u64 {
        self.attach();
        fingerprint(&self.wanted)
    }

    /// Watches what is there and is not watched yet.
    fn attach(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let may_renew = self.renewed.is_none_or(|renewed| renewed.elapsed() >= RENEW);
        if may_renew && self.missed.swap(false, Ordering::Relaxed) {
            self.renewed = Some(Instant::now());
            self.watched.clear();
        }
        for (path, mode) in &self.wanted {
            let Some(folder) = fs::metadata(path).ok().filter(Metadata::is_dir) else {
                self.watched.remove(path);
                continue;
            };
            let folder = (folder.dev(), folder.ino(), folder.created().ok());
            if self.watched.get(path) == Some(&folder) {
                continue;
            }
            // Fails where it was not watched.
            let _ = watcher.unwatch(path);
            if watcher.watch(path, *mode).is_ok() {
                self.watched.insert(path.clone(), folder);
            }
        }
    }
}

/// Something that is another if a file has come, gone, or changed.
fn fingerprint(places: &[(PathBuf, RecursiveMode)]) -> u64 {
    let mut look = Look::default();
    for (path, mode) in places {
        let depth = if *mode == RecursiveMode::Recursive { DEPTH_MAX } else { 1 };
        look.at(path, depth);
    }
    look.sum
}

#[derive(Default)]
struct Look {
    sum: u64,
    files: usize,
    /// Device and inode of every folder that was entered: links may lead back.
    entered: HashSet<(u64, u64)>,
}

impl Look {
    fn at(&mut self, path: &Path, depth: usize) {
        self.files += 1;
        if self.files > FILES_MAX {
            return;
        }
        let found = fs::metadata(path).ok();
        // In whatever order a folder lists them, the sum is the same.
        self.sum = self.sum.wrapping_add(stamp(path, found.as_ref()));
        let Some(folder) = found.filter(|found| found.is_dir() && depth > 0) else { return };
        if !self.entered.insert((folder.dev(), folder.ino())) {
            return;
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            self.at(&entry.path(), depth - 1);
        }
    }
}

fn stamp(path: &Path, found: Option<&Metadata>) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let state = found.map(|found| {
        let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
        (found.ino(), found.size(), times)
    });
    state.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Nothing is heard: as on a file system that tells of nothing.
    async fn deaf(places: &[(&Path, bool)]) -> Watch {
        let watch = Watch::new(places, Duration::from_millis(1)).await;
        watch.eyes.lock().unwrap().watcher = None;
        let (rescan, due) = (Duration::from_millis(20), Instant::now());
        Watch { rescan, due, dirty: Arc::default(), ..watch }
    }

    #[tokio::test]
    async fn a_change_is_told_though_who_waited_for_it_was_called_away() {
        let dir = tempfile::tempdir().unwrap();
        let (hour, settle) = (Duration::from_secs(3_600), Duration::from_millis(200));
        let mut watch = Watch { settle, rescan: hour, due: Instant::now() + hour, ..deaf(&[(dir.path(), true)]).await };
        watch.dirty.notify_one();
        assert!(time::timeout(settle / 10, watch.changed()).await.is_err(), "it settles first");
        time::timeout(hour / 100, watch.changed()).await.expect("the change is forgotten");
    }

    #[tokio::test]
    async fn nothing_is_told_while_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/a"), "a").unwrap();
        let mut watch = deaf(&[(dir.path(), true)]).await;
        for look in 1..TELL_ANYWAY {
            assert!(!watch.look().await, "look {look}");
        }
        assert!(watch.look().await, "it is time to tell anyway");
        assert!(!watch.look().await);
    }

    #[tokio::test]
    async fn a_change_that_nobody_heard_of_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (below, file) = (dir.path().join("below"), dir.path().join("setup.toml"));
        let changes: [&dyn Fn(); 5] = [
            &|| fs::create_dir(&below).unwrap(),
            &|| fs::write(below.join("a"), "a").unwrap(),
            &|| fs::write(below.join("a"), "ab").unwrap(),
            &|| fs::write(&file, "cycle").unwrap(),
            &|| fs::remove_file(below.join("a")).unwrap(),
        ];
        let mut watch = deaf(&[(&below, true), (&file, false)]).await;
        for change in changes {
            change();
            assert!(watch.look().await);
            assert!(!watch.look().await);
        }
    }

    /// Whether something that happens now is heard within so many seconds. Forgets what was heard before.
    async fn hears(watch: &Watch, seconds: u64, happens: impl FnOnce()) -> bool {
        while time::timeout(Duration::from_millis(200), watch.dirty.notified()).await.is_ok() {}
        happens();
        time::timeout(Duration::from_secs(seconds), watch.dirty.notified()).await.is_ok()
    }

    #[tokio::test]
    async fn a_folder_that_takes_the_place_of_another_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let music = dir.path().join("music");
        fs::create_dir(&music).unwrap();
        let mut watch = Watch { due: Instant::now(), ..Watch::new(&[(&music, true)], Duration::from_millis(1)).await };
        assert!(hears(&watch, 60, || fs::write(music.join("a"), "a").unwrap()).await);
        let moved = || fs::rename(&music, dir.path().join("old")).unwrap();
        // Here the inode may be the same again.
        let removed = || fs::remove_dir_all(&music).unwrap();
        for goes in [&moved as &dyn Fn(), &removed] {
            goes();
            fs::create_dir(&music).unwrap();
            assert!(!hears(&watch, 1, || fs::write(music.join("b"), "b").unwrap()).await, "this proves nothing");
            watch.due = Instant::now();
            assert!(watch.look().await);
            assert!(hears(&watch, 60, || fs::write(music.join("c"), "c").unwrap()).await);
        }
    }

    #[tokio::test]
    async fn when_not_all_was_told_everything_is_watched_anew() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        let mut watch =
            Watch { due: Instant::now(), ..Watch::new(&[(dir.path(), true)], Duration::from_millis(1)).await };
        watch.eyes.lock().unwrap().watcher.as_mut().unwrap().unwatch(&below).unwrap();
        assert!(!hears(&watch, 1, || fs::write(below.join("a"), "a").unwrap()).await, "this proves nothing");
        watch.eyes.lock().unwrap().missed.store(true, Ordering::Relaxed);
        assert!(watch.look().await);
        assert!(hears(&watch, 60, || fs::write(below.join("b"), "b").unwrap()).await);
        let mut eyes = watch.eyes.lock().unwrap();
        let renewed = eyes.renewed;
        eyes.missed.store(true, Ordering::Relaxed);
        eyes.look();
        assert!(renewed.is_some() && eyes.renewed == renewed, "what watching anew misses is no reason for it");
        eyes.renewed = Instant::now().checked_sub(RENEW);
        eyes.look();
        assert!(eyes.renewed > renewed && !eyes.missed.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_folder_that_does_not_answer_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = deaf(&[(dir.path(), true)]).await;
        let (eyes, (release, released), (hold, held)) = (watch.eyes.clone(), mpsc::channel::<()>(), mpsc::channel());
        let hanging = std::thread::spawn(move || {
            let _eyes = eyes.lock().unwrap();
            hold.send(()).unwrap();
            let _ = released.recv();
        });
        held.recv().unwrap();
        fs::write(dir.path().join("a"), "a").unwrap();
        for _ in 0..3 {
            assert!(time::timeout(Duration::from_millis(50), watch.changed()).await.is_err());
        }
        drop(release);
        hanging.join().unwrap();
        time::timeout(Duration::from_secs(36), watch.changed()).await.expect("the change is forgotten");
        assert_eq!(Arc::strong_count(&watch.eyes), 1, "one look at a time");
    }

    #[test]
    fn links_that_lead_back_are_entered_once() {
        let dir = tempfile::tempdir().unwrap();
        for link in ["a", "b"] {
            std::os::unix::fs::symlink(dir.path(), dir.path().join(link)).unwrap();
        }
        let mut look = Look::default();
        look.at(dir.path(), DEPTH_MAX);
        assert_eq!(look.files, 3);
    }
}
