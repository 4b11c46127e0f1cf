//! The one writer of the ledger: a thread of its own, because a sync may take as long as the disk likes.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread,
    time::SystemTime,
};

use tokio::sync::{mpsc, oneshot, watch};

use super::Identity;
use crate::{
    clock,
    radio::{checkpoint::CheckpointBody, ledger::desk::Desk, metrics::Ledgered, receipt::Body},
};

/// Batches that may wait to be written.
const QUEUE_MAX: usize = 16;

/// A handle to the writer. Cheap to clone; the thread ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    told: watch::Receiver<Ledgered>,
}

#[derive(Debug)]
struct Job {
    bodies: Vec<Body>,
    done: oneshot::Sender<Result<(), String>>,
}

/// Who writes, and what is looked at before.
#[derive(Debug)]
pub(super) struct Pen {
    pub(super) desk: Desk,
    /// The constants of a timeline that begins now: they go ahead of its first receipts.
    pub(super) constants: Arc<OnceLock<Body>>,
    /// Where the keys are: they may be rotated while the station is on air.
    pub(super) keys: PathBuf,
    /// When their file was written last, and its length.
    pub(super) seen: Option<(SystemTime, u64)>,
    /// Hears of every new checkpoint.
    pub(super) checkpoints: watch::Sender<Vec<CheckpointBody>>,
}

impl Pen {
    fn append(&mut self, bodies: &[Body]) -> Result<(), String> {
        self.look_at_keys();
        self.desk.append(self.constants.get(), bodies, clock::wall()).map_err(|error| error.to_string())?;
        self.constants = Arc::default();
        self.tell();
        Ok(())
    }

    /// Takes other keys as soon as they are there. A file that cannot be read changes nothing.
    fn look_at_keys(&mut self) {
        let file = self.keys.join(Identity::RECEIPT_KEYS);
        let seen = fs::metadata(&file).and_then(|found| Ok((found.modified()?, found.len()))).ok();
        if seen.is_none() || seen == self.seen {
            return;
        }
        self.seen = seen;
        let taken = Identity::receipt_keys(&self.keys).map_err(|error| error.to_string()).and_then(|keys| {
            let known = self.desk.set_keys(keys);
            if known { Ok(()) } else { Err("the key that signs now is not among them".to_owned()) }
        });
        if let Err(why) = taken {
            tracing::warn!("{}: the keys stay as they are: {why}", file.display());
        }
    }

    /// Tells of the checkpoints, if there is another one.
    pub(super) fn tell(&self) {
        let Some(known) = self.desk.checkpoints() else { return };
        self.checkpoints.send_if_modified(|told| {
            let other = told.last().map(|last| last.size) != known.back().map(|last| last.size);
            if other {
                *told = known.iter().cloned().collect();
            }
            other
        });
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(mut pen: Pen) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
        pen.tell();
        let (tell, told) = watch::channel(Ledgered { receipts: pen.desk.size(), ..Ledgered::default() });
        let clock = clock::System::start();
        thread::Builder::new().name("ledger".into()).spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                let begun = clock.now().station;
                let outcome = pen.append(&job.bodies);
                tell.send_modify(|told| {
                    told.receipts = pen.desk.size();
                    match &outcome {
                        Ok(()) => told.appended.add(clock.now().station.since(begun)),
                        Err(_) => told.failed += 1,
                    }
                });
                // Nobody waits for the answer any more only when the station stops.
                let _ = job.done.send(outcome);
            }
        })?;
        Ok(Self { jobs, told })
    }

    /// What is known of the ledger.
    pub(super) fn told(&self) -> Ledgered {
        self.told.borrow().clone()
    }

    /// Waits until the thread has ended: while this is here, it has broken.
    pub(super) async fn ended(&self) {
        self.jobs.closed().await;
    }

    /// Appends receipts; on success they are durable.
    pub(super) async fn append(&self, bodies: Vec<Body>) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let gone = || "the ledger's writer has ended".to_string();
        self.jobs.send(Job { bodies, done }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
