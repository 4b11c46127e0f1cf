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
    disk::ledger::Folder,
    radio::{
        checkpoint::CheckpointBody,
        ledger::{Error, Ledger, Signer},
        receipt::Body,
    },
};

/// Batches that may wait to be written.
const QUEUE_MAX: usize = 16;

/// A handle to the writer. Cheap to clone; the thread ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    bodies: Vec<Body>,
    done: oneshot::Sender<Result<(), String>>,
}

/// The ledger, begun with the first batch if there is none.
#[derive(Debug)]
pub(super) struct Desk {
    /// Open, if there was one.
    pub(super) ledger: Option<Ledger>,
    /// Where it lies.
    pub(super) dir: PathBuf,
    /// By whom it is signed.
    pub(super) signer: Signer,
    /// The constants of a timeline that begins now: they go ahead of its first receipts.
    pub(super) constants: Arc<OnceLock<Body>>,
    /// What is to be said first of all.
    pub(super) preface: Vec<Body>,
    /// Where the keys are: they may be rotated while the station is on air.
    pub(super) keys: PathBuf,
    /// When their file was written last, and its length.
    pub(super) seen: Option<(SystemTime, u64)>,
    /// Hears of every new checkpoint.
    pub(super) checkpoints: watch::Sender<Vec<CheckpointBody>>,
}

impl Desk {
    fn append(&mut self, bodies: &[Body]) -> Result<(), String> {
        let now = clock::wall();
        self.look_at_keys();
        let constants = self.constants.get();
        let fresh = self.ledger.is_none() && constants.is_some();
        if self.ledger.is_none() {
            let (folder, signer) = (Arc::new(Folder::new(&self.dir)), self.signer.clone());
            self.ledger = match constants {
                Some(constants) => Some(Ledger::create(folder, signer, constants.clone()).map_err(words)?),
                // It could be read at start and not be written: by now perhaps it can.
                None => Ledger::open(folder, signer, now, &mut |_| {}).map_err(words)?.0,
            };
        }
        let Some(ledger) = &mut self.ledger else { return Err(format!("{}: no receipts", self.dir.display())) };
        // A new ledger opens with its constants by itself.
        let another_epoch = constants.filter(|_| !fresh);
        let batch: Vec<Body> = another_epoch.into_iter().chain(&self.preface).chain(bodies).cloned().collect();
        ledger.append(&batch, now).map_err(words)?;
        self.preface.clear();
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
            if !self.ledger.as_mut().is_none_or(|ledger| ledger.set_keys(keys.clone())) {
                return Err("the key that signs now is not among them".into());
            }
            self.signer.keys = keys;
            Ok(())
        });
        if let Err(why) = taken {
            tracing::warn!("{}: the keys stay as they are: {why}", file.display());
        }
    }

    /// Tells of the checkpoints, if there is another one.
    pub(super) fn tell(&self) {
        let Some(known) = self.ledger.as_ref().map(Ledger::checkpoints) else { return };
        self.checkpoints.send_if_modified(|told| {
            let other = told.last().map(|last| last.size) != known.back().map(|last| last.size);
            if other {
                *told = known.iter().cloned().collect();
            }
            other
        });
    }
}

fn words(error: Error) -> String {
    error.to_string()
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(mut desk: Desk) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
        desk.tell();
        thread::Builder::new().name("ledger".into()).spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                // Nobody waits for the answer any more only when the station stops.
                let _ = job.done.send(desk.append(&job.bodies));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Appends receipts; on success they are durable.
    pub(super) async fn append(&self, bodies: Vec<Body>) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let gone = || "the ledger's writer has ended".to_string();
        self.jobs.send(Job { bodies, done }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
