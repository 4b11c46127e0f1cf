//! A peer that behaves: it asks who has a block, takes it and says that it has it, as a gateway does.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use cid::Cid;
use futures::{AsyncWriteExt, StreamExt};
use libp2p::Stream;
use libp2p_stream::IncomingStreams;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout, timeout_at},
};

use super::caller::Caller;
use crate::ipfs::{
    Error,
    node::exchange::wire::{self, Answer, PROTOCOL, Want},
};

/// What did not come for so long is asked for again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a message may take to be sent.
const SEND: Duration = Duration::from_secs(10);
/// Answers that may wait to be looked at.
const WAITING: usize = 4;

/// A block and how long it took from the first question.
pub(super) struct Fetched {
    pub(super) cid: Cid,
    pub(super) bytes: Bytes,
    pub(super) took: Duration,
}

/// A peer connected to one other.
#[derive(Debug)]
pub(super) struct Reader {
    caller: Caller,
    out: Stream,
    answers: mpsc::Receiver<Answer>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Connects to the peer at `address`, which ends in `/p2p/<peer id>`.
    pub(super) async fn connect(address: &str, limit: Duration) -> Result<Self, Error> {
        let (mut caller, incoming) = Caller::call(address, 1, limit).await?;
        let out = caller.open(PROTOCOL).await?;
        let (tell, answers) = mpsc::channel(WAITING);
        Ok(Self { caller, out, answers, task: tokio::spawn(listen(incoming, tell)) })
    }

    /// Whether the other is still there, as far as is known.
    pub(super) fn is_connected(&self) -> bool {
        self.caller.connections() > 0
    }

    /// Fetches blocks; they hash to their names. What has not come when `limit` ends is missing.
    pub(super) async fn fetch(&mut self, cids: &[Cid], limit: Duration) -> Result<Vec<Fetched>, Error> {
        let begun = Instant::now();
        let mut wanted: HashSet<Cid> = cids.iter().copied().collect();
        let (mut fetched, mut ask) = (Vec::new(), Want::Have);
        let mut again = begun;
        // What was late for the last question.
        while self.answers.try_recv().is_ok() {}
        while !wanted.is_empty() && begun.elapsed() < limit {
            if again.elapsed() >= AGAIN || again == begun {
                self.send(wanted.iter().map(|cid| (*cid, ask)).collect()).await?;
                (again, ask) = (Instant::now(), Want::Block);
            }
            let answer = match timeout_at((again + AGAIN).min(begun + limit), self.answers.recv()).await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Err(Error::Network("the other has hung up".into())),
                Err(_) => continue,
            };
            let here = answer.presences.iter().filter(|(cid, has)| *has && wanted.contains(cid));
            let mut next: Vec<_> = here.map(|(cid, _)| (*cid, Want::Block)).collect();
            for (cid, bytes) in answer.blocks {
                if wanted.remove(&cid) {
                    fetched.push(Fetched { cid, bytes, took: begun.elapsed() });
                    next.push((cid, Want::Cancel));
                }
            }
            self.send(next).await?;
        }
        Ok(fetched)
    }

    async fn send(&mut self, entries: Vec<(Cid, Want)>) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let message = wire::wants(entries);
        let sent = async {
            self.out.write_all(&message).await?;
            self.out.flush().await
        };
        let sent = timeout(SEND, sent).await.map_err(|_| Error::Network("the other does not read".into()))?;
        sent.map_err(|error| Error::Network(error.to_string()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads every stream that the other opens.
async fn listen(mut incoming: IncomingStreams, tell: mpsc::Sender<Answer>) {
    let mut streams = JoinSet::new();
    while let Some((_, mut stream)) = incoming.next().await {
        let tell = tell.clone();
        streams.spawn(async move {
            while let Ok(Some(message)) = wire::next(&mut stream).await {
                let Ok(answer) = wire::answer(&message) else { return };
                if tell.send(answer).await.is_err() {
                    return;
                }
            }
        });
    }
}
