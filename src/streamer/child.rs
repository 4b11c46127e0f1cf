//! Setup beside the air: a child process of the same binary, niced, so that encoding cannot disturb the station.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    sync::{Notify, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use super::notes::Notes;
use crate::{radio::status::SetupProgress, watch::Watch};

/// How long files must lie still before setup looks at them.
const SETTLE: Duration = Duration::from_secs(2);
/// How long to wait when another process holds `processed/.lock`, or files were still being copied.
const AGAIN: Duration = Duration::from_secs(10);
/// The exit code that says so (contract §8).
const BUSY: i32 = 75;
/// The exit code of a setup that skipped some files.
const PARTIAL: i32 = 3;
/// Longest line of progress that is read.
const LINE_BYTES_MAX: usize = 4 << 10;

/// What the children work on.
#[derive(Clone, Debug)]
pub(super) struct Children {
    pub(super) binary: PathBuf,
    pub(super) dir: PathBuf,
    /// Folders whose settled change starts setup; none: only at start.
    pub(super) sources: Vec<PathBuf>,
    /// Whether setup is run at all.
    pub(super) setup: bool,
    pub(super) auto_setup: bool,
    /// Whether the children stand back: not before there is something on air.
    pub(super) nice: bool,
    pub(super) notes: Notes,
    pub(super) progress: Arc<watch::Sender<SetupProgress>>,
    /// Whether the generator's pieces are still to come.
    pub(super) rendering: watch::Sender<bool>,
    /// Raised when a child has written something.
    pub(super) written: Arc<Notify>,
}

impl Children {
    /// Runs setup now, the generator when it is wanted, and setup again whenever sources change.
    ///
    /// `silent`: there is neither an order nor music, so the generator comes first.
    pub(super) async fn run(self, silent: bool, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work(silent) => {}
        }
    }

    async fn work(mut self, silent: bool) {
        if silent {
            self.generate().await;
            self.nice = true;
        }
        if !self.setup {
            if !silent {
                self.generate().await;
            }
            return;
        }
        // Watched from before the first run, so that nothing that is added while it runs is missed.
        let folders: Vec<(&Path, bool)> = self.sources.iter().map(|path| (path.as_path(), true)).collect();
        let mut watch = Watch::new(&folders, SETTLE);
        self.set_up().await;
        self.nice = true;
        if !silent {
            self.generate().await;
        }
        if !self.auto_setup {
            return;
        }
        loop {
            watch.changed().await;
            self.set_up().await;
        }
    }

    /// Runs setup until it has not been kept out by another process.
    async fn set_up(&self) {
        loop {
            let Some(status) = self.child(&["setup"]).await else { return };
            match status.code() {
                Some(0) => self.notes.clear("setup"),
                Some(PARTIAL) => {
                    self.notes.raise("setup", "some files were skipped: run `ipfs-radio setup` to see which")
                }
                Some(BUSY) => {
                    time::sleep(AGAIN).await;
                    continue;
                }
                _ => self.notes.raise("setup", format!("setup failed ({status}): run `ipfs-radio setup` to see why")),
            }
            return;
        }
    }

    async fn generate(&self) {
        let status = self.child(&["setup", "--generated"]).await;
        self.rendering.send_replace(false);
        let Some(status) = status else { return };
        if status.success() {
            self.notes.clear("generator");
        } else {
            self.notes.raise("generator", format!("the built-in pieces cannot be rendered ({status})"));
        }
    }

    async fn child(&self, arguments: &[&str]) -> Option<ExitStatus> {
        let mut command = Command::new(&self.binary);
        command.arg("--dir").arg(&self.dir).args(arguments).arg("--child");
        command.args(self.nice.then_some("--nice"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                self.notes.raise("setup", format!("setup cannot be started: {error}"));
                return None;
            }
        };
        if let Some(output) = child.stdout.take() {
            self.follow(output).await;
        }
        let status = child.wait().await.ok();
        let word = match status.and_then(|status| status.code()) {
            Some(0) => "done",
            Some(PARTIAL) => "partial",
            _ => "failed",
        };
        self.progress.send_modify(|progress| progress.state = word.into());
        self.written.notify_one();
        status
    }

    /// Reads the child's progress: lines `<done> <total>`, and `written` when there is something new to air.
    async fn follow(&self, output: tokio::process::ChildStdout) {
        let mut lines = BufReader::with_capacity(LINE_BYTES_MAX, output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line == "written" {
                self.written.notify_one();
                continue;
            }
            let Some((done, total)) = line.split_once(' ') else { continue };
            if let (Ok(done), Ok(total)) = (done.parse(), total.parse()) {
                self.progress.send_replace(SetupProgress { state: "running".into(), done, total });
            }
        }
    }
}
