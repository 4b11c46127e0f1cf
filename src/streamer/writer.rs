//! The one writer of the ledger: a thread of its own, because a sync may take as long as the disk likes.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    clock,
    disk::ledger::{Error, Ledger, Signer},
    radio::receipt::Body,
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

/// The ledger, or what is needed to begin it with the first receipt.
#[derive(Debug)]
pub(super) enum Desk {
    /// It is open.
    Open(Box<Ledger>),
    /// It is begun with the first batch.
    Begin {
        /// Where.
        dir: PathBuf,
        /// By whom.
        signer: Signer,
        /// With which constants; known once the timeline has begun.
        constants: Arc<OnceLock<Body>>,
        /// What is to be said first.
        preface: Vec<Body>,
    },
}

impl Desk {
    fn append(&mut self, bodies: &[Body]) -> Result<(), Error> {
        let now = clock::wall();
        if let Self::Begin { dir, signer, constants, preface } = self {
            let Some(constants) = constants.get() else { return Ok(()) };
            let mut ledger = Ledger::create(dir, signer.clone(), constants.clone())?;
            let first: Vec<Body> = preface.iter().chain(bodies).cloned().collect();
            ledger.append(&first, now)?;
            *self = Self::Open(Box::new(ledger));
            return Ok(());
        }
        match self {
            Self::Open(ledger) => ledger.append(bodies, now),
            Self::Begin { .. } => Ok(()),
        }
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(mut desk: Desk) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
        thread::Builder::new().name("ledger".into()).spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                // Nobody waits for the answer any more only when the station stops.
                let _ = job.done.send(desk.append(&job.bodies).map_err(|error| error.to_string()));
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
