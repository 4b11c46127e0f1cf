//! File changes, settled: notice that something changed, wait until it has stopped changing, tell once.
//!
//! Notifications only say *when* to look; what is there is always read anew, and callers look from time to time even
//! if nothing is heard, so a lost notification costs time and nothing else.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind};
use tokio::{sync::Notify, time};

/// How often a watcher tells even though nothing was heard.
const RESCAN: Duration = Duration::from_secs(60);
/// Settling ends after this long even if changes go on.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// A watcher of some folders.
#[derive(Debug)]
pub struct Watch {
    dirty: Arc<Notify>,
    settle: Duration,
    watcher: Option<RecommendedWatcher>,
    wanted: Vec<(PathBuf, RecursiveMode)>,
    watched: Vec<PathBuf>,
}

impl Watch {
    /// Watches `folders`, with everything below where the flag says so. A folder that is not there yet is watched as
    /// soon as it is. A change is told when nothing has happened for `settle`.
    pub fn new(folders: &[(&Path, bool)], settle: Duration) -> Self {
        let dirty = Arc::new(Notify::new());
        let flag = dirty.clone();
        // The callback only raises a flag: a slow one would lose events.
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let read_only = |kind| matches!(kind, EventKind::Access(what) if what != AccessKind::Close(notify::event::AccessMode::Write));
            if !event.is_ok_and(|event| read_only(event.kind)) {
                flag.notify_one();
            }
        });
        let watcher = watcher.inspect_err(|error| tracing::warn!(%error, "files are only looked at every minute")).ok();
        let mode = |below| if below { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let wanted = folders.iter().map(|(path, below)| (path.to_path_buf(), mode(*below))).collect();
        let mut watch = Self { dirty, settle, watcher, wanted, watched: Vec::new() };
        watch.attach();
        watch
    }

    fn attach(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        self.watched.retain(|path| path.is_dir());
        for (path, mode) in &self.wanted {
            if !self.watched.contains(path) && path.is_dir() && watcher.watch(path, *mode).is_ok() {
                self.watched.push(path.clone());
            }
        }
    }

    /// Waits for the next settled change, or for the next time to look anyway.
    pub async fn changed(&mut self) {
        self.attach();
        if time::timeout(RESCAN, self.dirty.notified()).await.is_err() {
            return;
        }
        let settled = async { while time::timeout(self.settle, self.dirty.notified()).await.is_ok() {} };
        // An endless copy must not keep the station from what is already there.
        let _ = time::timeout(SETTLE_MAX, settled).await;
    }
}
