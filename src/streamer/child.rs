//! Setup beside the air: a child process of the same binary, niced, so that encoding cannot disturb the station.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
    sync::{Notify, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    catalog::{self, Catalog},
    notes::Notes,
    repairs::{Place, Repairs},
    tasks::blocking,
};
use crate::{disk::Layout, radio::status::SetupProgress, watch::Watch};

/// How long files must lie still before setup looks at them.
const SETTLE: Duration = Duration::from_secs(2);
/// How long to wait when another process holds `processed/.lock`, at first and then: a child of a station that was killed
/// ends at once, an operator's setup when it is done.
const AGAIN_SOON: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(10);
/// How often the generator is begun soon again that another process keeps out.
const KEPT_OUT_MAX: u32 = 2;
/// How long to wait after a setup that has failed, unless sources change before.
const RETRY: Duration = Duration::from_secs(60);
/// How long a station that has nothing to air waits for the first results of setup before the generator begins.
const PATIENCE: Duration = Duration::from_secs(5);
/// The exit code that says so (contract §8).
const BUSY: i32 = 75;
/// The exit code of a setup that skipped some files.
const PARTIAL: i32 = 3;
/// Reasons for which entries stay that are told.
const KEPT_MAX: usize = 8;
/// Longest line of progress, in bytes; a longer one is read in pieces, which tell nothing.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// How deep a source folder is searched for a first file.
const DEPTH_MAX: u32 = 8;
/// How long a first file is searched for.
const SOURCES_MAX: Duration = Duration::from_secs(5);

/// How far the generator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rendering {
    /// It has not been asked: the music may come in time.
    NotAsked,
    /// Its pieces are still to come.
    Begun,
    /// There will be no more pieces.
    Over,
}

/// What the children work on.
#[derive(Clone, Debug)]
pub(super) struct Children {
    pub(super) binary: PathBuf,
    pub(super) dir: PathBuf,
    /// What setup is configured by.
    pub(super) setup_toml: PathBuf,
    /// Folders whose settled change starts setup; none: only at start.
    pub(super) sources: Vec<PathBuf>,
    /// Whether setup is run at all.
    pub(super) setup: bool,
    pub(super) auto_setup: bool,
    /// Whether the children stand back: not before there is something on air.
    pub(super) nice: bool,
    pub(super) notes: Notes,
    /// What is to be made anew.
    pub(super) repairs: Repairs,
    pub(super) progress: Arc<watch::Sender<SetupProgress>>,
    pub(super) rendering: watch::Sender<Rendering>,
    /// Raised when setup has something to air.
    pub(super) published: Arc<Notify>,
    /// Raised when a child has written something.
    pub(super) written: Arc<Notify>,
}

impl Children {
    /// Runs setup now, the generator when it is wanted, and setup again whenever sources change.
    ///
    /// `silent`: there is nothing that could air. Then the generator does not wait for setup to end: without music to come
    /// (`expects_music`) it is first, else it begins beside a setup that has not published anything for a while.
    pub(super) async fn run(self, silent: bool, expects_music: bool, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work(silent, expects_music) => {}
        }
    }

    async fn work(mut self, silent: bool, expects_music: bool) {
        if !self.setup {
            self.generate().await;
            return self.mend_only().await;
        }
        let generator_first = silent && !expects_music;
        if generator_first {
            self.generate().await;
            self.nice = true;
        }
        // Watched from before the first run, so that nothing that is added while it runs is missed.
        let mut places: Vec<(&Path, bool)> = self.sources.iter().map(|path| (path.as_path(), true)).collect();
        places.push((&self.setup_toml, false));
        let mut watch = Watch::new(&places, SETTLE).await;
        let (mut well, mut filled) = if generator_first {
            (self.set_up(true).await, true)
        } else if silent {
            (self.set_up_or_fill().await, true)
        } else {
            (self.set_up(true).await, false)
        };
        self.nice = true;
        // Where there is music nothing waits for the pieces.
        let pieces_are_missing = !filled;
        let filling = async {
            if pieces_are_missing {
                self.generate().await;
            }
        };
        tokio::pin!(filling);
        if !self.auto_setup {
            filling.await;
            return self.mend_only().await;
        }
        loop {
            let retries = !well;
            let changed = async {
                if retries {
                    let _ = time::timeout(RETRY, watch.changed()).await;
                } else {
                    watch.changed().await;
                }
            };
            tokio::select! {
                () = &mut filling, if !filled => filled = true,
                () = changed => well = self.set_up(true).await,
                place = self.repairs.due() => match place {
                    Place::Processed => well = self.set_up(false).await,
                    Place::Generated if filled => self.generate().await,
                    Place::Generated => {
                        (&mut filling).await;
                        filled = true;
                    }
                },
            }
        }
    }

    /// Without setup only the pieces of the generator are made anew.
    async fn mend_only(&self) {
        loop {
            match self.repairs.due().await {
                Place::Generated => self.generate().await,
                Place::Processed => drop(self.repairs.take(Place::Processed, false)),
            }
        }
    }

    /// Runs setup and then the generator, or the generator beside it if there is still nothing to air.
    async fn set_up_or_fill(&self) -> bool {
        let making = self.set_up(true);
        tokio::pin!(making);
        let silence = async {
            if time::timeout(PATIENCE, self.published.notified()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            well = &mut making => {
                self.generate().await;
                well
            }
            () = silence => tokio::join!(&mut making, self.generate()).0,
        }
    }

    /// Runs setup until it has not been kept out by another process, with what is to be made anew. False if it is to be
    /// tried again. `changed`: for recordings that may have changed.
    async fn set_up(&self, changed: bool) -> bool {
        let suspects = self.repairs.take(Place::Processed, changed);
        let well = self.set_up_with(&suspects).await;
        self.repairs.ended();
        well
    }

    async fn set_up_with(&self, suspects: &[String]) -> bool {
        let mut again = AGAIN_SOON;
        loop {
            let Some(status) = self.child("setup", suspects, true).await else {
                self.tell("failed");
                return false;
            };
            let (word, well) = match status.code() {
                Some(0) => {
                    self.notes.clear("setup");
                    ("done", true)
                }
                Some(PARTIAL) => {
                    self.notes.raise("setup", "some files were skipped: run `ipfs-radio setup` to see which");
                    ("partial", true)
                }
                Some(BUSY) => {
                    self.notes.raise("setup", "another process works in `processed/`; setup waits until it is done");
                    self.tell("idle");
                    time::sleep(again).await;
                    again = AGAIN;
                    continue;
                }
                _ => {
                    self.notes.raise("setup", format!("setup failed ({status}): run `ipfs-radio setup` to see why"));
                    ("failed", false)
                }
            };
            self.tell(word);
            return well;
        }
    }

    fn tell(&self, state: &str) {
        self.progress.send_modify(|progress| progress.state = state.into());
    }

    async fn generate(&self) {
        let suspects = self.repairs.take(Place::Generated, false);
        self.rendering.send_replace(Rendering::Begun);
        let mut status = self.child("setup --generated", &suspects, false).await;
        for _ in 0..KEPT_OUT_MAX {
            if status.is_some_and(|status| status.code() == Some(BUSY)) {
                time::sleep(AGAIN_SOON).await;
                status = self.child("setup --generated", &suspects, false).await;
            }
        }
        self.rendering.send_replace(Rendering::Over);
        let well = status.is_some_and(|status| status.success());
        if well {
            self.repairs.pieces_mended();
        } else {
            self.repairs.want_pieces();
        }
        self.repairs.ended();
        match status {
            None => {}
            Some(_) if well => self.notes.clear("generator"),
            Some(status) => self.notes.raise(
                "generator",
                format!("the built-in pieces cannot be rendered ({status}); what there is of them airs, and it is tried again"),
            ),
        }
    }

    /// Runs a child to its end, which verifies the items `suspects`. `sets_up`: it works on the sources, and its progress
    /// is that of setup, as is what it says of entries that stay.
    async fn child(&self, words: &str, suspects: &[String], sets_up: bool) -> Option<ExitStatus> {
        let mut command = Command::new(&self.binary);
        command.arg("--dir").arg(&self.dir).args(words.split(' ')).arg("--child");
        suspects.iter().for_each(|id| {
            command.arg("--suspect").arg(id);
        });
        command.args(self.nice.then_some("--nice"));
        // The child ends when its standard input does, which is when this process ends in whatever way.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let topic = if sets_up { "setup" } else { "generator" };
                self.notes.raise(topic, format!("`ipfs-radio {words}` cannot be started: {error}"));
                return None;
            }
        };
        let alive = child.stdin.take();
        let mut kept = Vec::new();
        if let Some(output) = child.stdout.take() {
            kept = self.follow(output, sets_up).await;
        }
        drop(alive);
        let status = child.wait().await.ok();
        let is_over = status.is_some_and(|status| [Some(0), Some(PARTIAL)].contains(&status.code()));
        // Without looking again nobody would see that it is well.
        match kept.is_empty() {
            false if self.auto_setup => self.notes.raise("sources", kept.join("; ")),
            true if sets_up && is_over => self.notes.clear("sources"),
            _ => {}
        }
        self.written.notify_one();
        status
    }

    /// Reads what the child says: its progress as `<done> <total>`, `written` when there is something new to air, and
    /// `kept <why>` of entries that stay though they are no longer found. Gives these.
    async fn follow(&self, output: tokio::process::ChildStdout, sets_up: bool) -> Vec<String> {
        let mut kept = Vec::new();
        let (mut reader, mut bytes) = (BufReader::new(output), Vec::new());
        while (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            if line == "written" {
                self.written.notify_one();
                if sets_up {
                    self.published.notify_one();
                }
                continue;
            }
            match line.split_once(' ').filter(|_| sets_up) {
                Some(("kept", why)) if kept.len() < KEPT_MAX => kept.push(why.to_owned()),
                Some((done, total)) => {
                    if let (Ok(done), Ok(total)) = (done.parse(), total.parse()) {
                        self.progress.send_replace(SetupProgress { state: "running".into(), done, total });
                    }
                }
                None => {}
            }
        }
        kept
    }
}

/// Whether there is no order that could air.
pub(super) async fn is_silent(layout: Layout) -> bool {
    let order = blocking(move || Catalog::new(layout.processed()).load()).await;
    if let Some(Err(error @ catalog::Error::Disk(_))) = &order {
        tracing::warn!(%error, "the generator begins as if there was no music; the order is read again");
    }
    !matches!(order, Some(Ok(_)))
}

/// Whether there is anything in these folders. One that does not answer in time counts as one with music: the generator
/// does not wait for it for long.
pub(super) async fn expects_music(folders: Vec<PathBuf>) -> bool {
    let looking = blocking(move || folders.iter().any(|folder| has_files(folder, DEPTH_MAX)));
    time::timeout(SOURCES_MAX, looking).await.ok().flatten().unwrap_or(true)
}

/// Whether there is any file in a folder, down to `depth` levels.
fn has_files(folder: &Path, depth: u32) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let path = entry.path();
        !hidden && (path.is_file() || (depth > 0 && path.is_dir() && has_files(&path, depth - 1)))
    })
}
