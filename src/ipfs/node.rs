//! The node in the network: a swarm of our own in a task of its own, and a handle to it.

use std::{fmt, sync::Arc, time::Duration};

use cid::Cid;
use tokio::{
    sync::{Mutex, Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use super::{Error, Key, Name, Options, Record, Store};

pub(super) mod exchange;
mod fetch;
mod findable;
mod limits;
mod probe;
mod provides;
mod reach;
mod reaching;
mod redial;
mod relays;
mod stranger;
pub(super) mod swarm;
mod task;
#[cfg(test)]
mod tests;

pub use fetch::{MAX_FETCHED, MAX_PROVIDERS};
pub use findable::Findable;
pub(super) use limits::Most;
use provides::Due;
pub use provides::Provided;
pub use reach::{Proof, Reach};
use task::{Command, Task};

/// Commands that may wait for the task; it takes each in microseconds.
const WAITING_COMMANDS: usize = 256;
/// Answers to a look-up that may wait to be read; the DHT asks 20 peers.
const WAITING_RECORDS: usize = 64;
/// How long a stop may take.
const STOP: Duration = Duration::from_secs(2);

/// A running peer. Cheap to clone; it stops when the last clone is gone.
#[derive(Clone)]
pub struct Node {
    id: String,
    put_limit: Duration,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    store: Store,
    wanted: Arc<Semaphore>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// How the peer stands in the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Where it listens, with its peer id.
    pub listening: Vec<String>,
    /// Where it was to listen and cannot, and why.
    pub not_listening: Vec<String>,
    /// Under which addresses others reach it, with what speaks for each.
    pub reach: Vec<Reach>,
    /// Peers that are connected.
    pub peers: usize,
    /// Connected peers that serve the DHT.
    pub dht_peers: usize,
    /// Whether the DHT has been at hand within the last half minute: idle connections come and go.
    pub dht_at_hand: bool,
    /// How far the providing is.
    pub provided: Provided,
}

/// A record that the DHT has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its sequence.
    pub sequence: u64,
    /// How long the put took.
    pub took: Duration,
}

impl Node {
    /// Starts a peer that serves the blocks of `store`. It listens before this returns; an address that does not work
    /// stands in the status and is no error: what the peer does, others need not call it for.
    pub async fn start(options: Options, identity: &Key, store: &Store) -> Result<Self, Error> {
        let mut swarm = swarm::build(identity.pair(), store.repo(), &options)?;
        swarm.behaviour_mut().bitswap.tell(store.care().clone(), store.refused().clone());
        let (listeners, not_listening) = swarm::listen(&mut swarm, &options.listen);
        let (commands, waiting) = mpsc::channel(WAITING_COMMANDS);
        let (tell, status) = watch::channel(Status::default());
        let mut task = Task::new(swarm, waiting, tell, &options, not_listening);
        task.settle(listeners).await;
        let task = Arc::new(Mutex::new(Some(tokio::spawn(task.run()))));
        let (id, put_limit) = (identity.peer_id(), options.put_limit);
        let wanted = Arc::new(Semaphore::new(fetch::MAX_WANTED));
        Ok(Self { id, put_limit, commands, status, store: store.clone(), wanted, task })
    }

    /// The peer id, `12D3KooW…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Tells of every change of [`Node::status`].
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Tells the DHT that these blocks are here, before all others: names point to them. A few at a time, again when it
    /// fails, until [`Node::stop_providing`]. Returns as soon as they are in the queue.
    pub async fn provide(&self, cids: Vec<Cid>) -> Result<(), Error> {
        self.order(Command::Provide(cids.into_iter().map(|cid| (cid, Due::Now)).collect())).await
    }

    /// Tells the DHT of blocks before they air, which is so long from now: the one that airs next comes first. Otherwise
    /// as [`Node::provide`].
    pub async fn provide_before(&self, airing: Vec<(Cid, Duration)>) -> Result<(), Error> {
        let now = Instant::now();
        let due = |(cid, airs): (Cid, Duration)| (cid, Due::At(now + airs));
        self.order(Command::Provide(airing.into_iter().map(due).collect())).await
    }

    /// Says no more that these blocks are here. What the DHT knows it forgets by itself, within two days.
    pub async fn stop_providing(&self, cids: Vec<Cid>) -> Result<(), Error> {
        self.order(Command::StopProviding(cids)).await
    }

    /// Sends blocks that were just put to the connected peers that have asked for them.
    pub async fn notify_new_blocks(&self, cids: Vec<Cid>) -> Result<(), Error> {
        self.order(Command::NotifyNewBlocks(cids)).await
    }

    /// Puts a record into the DHT. Fails at once when no peer of the DHT is known and at the latest after the limit
    /// of the options (60 s). Tries once: what to do next is the caller's.
    pub async fn publish(&self, record: &Record) -> Result<Published, Error> {
        let begun = Instant::now();
        let (reply, answer) = oneshot::channel();
        self.order(Command::Publish { record: record.clone(), reply }).await?;
        let Ok(answer) = timeout(self.put_limit, answer).await else {
            return Err(Error::Network(format!("the DHT took no record within {:?}", self.put_limit)));
        };
        answer.map_err(|_| Error::Stopped)??;
        Ok(Published { sequence: record.view().sequence, took: begun.elapsed() })
    }

    /// The newest record of `name` that the DHT holds, verified but perhaps expired; what has been found when `limit`
    /// ends. `None`: peers were asked and none has it. An error: nobody could be asked. Waits within `limit` for a
    /// first peer of the DHT.
    pub async fn lookup(&self, name: Name, limit: Duration) -> Result<Option<Record>, Error> {
        let end = Instant::now() + limit;
        self.dht_before(end).await?;
        let (replies, mut found) = mpsc::channel(WAITING_RECORDS);
        self.order(Command::Lookup { name, replies }).await?;
        let mut newest: Option<Record> = None;
        while let Ok(Some(found)) = timeout_at(end, found.recv()).await {
            match found.and_then(|bytes| Record::open(name, bytes)) {
                Ok(record) if newest.as_ref().is_none_or(|newest| record.is_newer_than(newest)) => {
                    newest = Some(record);
                }
                Ok(_) => {}
                Err(error @ Error::Network(_)) if newest.is_none() => return Err(error),
                Err(error) => tracing::debug!(%name, %error, "a peer answered with no valid record"),
            }
        }
        Ok(newest)
    }

    /// Closes every connection and ends every task, within two seconds.
    pub async fn stop(&self) {
        let Some(mut task) = self.task.lock().await.take() else { return };
        let asked = self.commands.send_timeout(Command::Stop, STOP / 2).await;
        if asked.is_err() || timeout(STOP / 2, &mut task).await.is_err() {
            tracing::warn!("the peer did not stop in time and is cut off");
            task.abort();
        }
    }

    /// Waits until the peer's task has ended; that is a bug if nobody has called [`Node::stop`].
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    /// Waits for a first peer of the DHT.
    async fn dht_before(&self, end: Instant) -> Result<(), Error> {
        let mut status = self.status.clone();
        match timeout_at(end, status.wait_for(|status| status.dht_peers > 0)).await {
            Err(_) => Err(Error::Network("no peer of the DHT is connected".into())),
            Ok(Err(_)) => Err(Error::Stopped),
            Ok(Ok(_)) => Ok(()),
        }
    }

    async fn order(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| Error::Stopped)
    }
}

impl Status {
    /// Every address of the peer, those of the world first.
    pub fn addresses(&self) -> Vec<String> {
        let own = self.listening.iter().filter(|address| self.reach.iter().all(|reach| reach.address != **address));
        self.reach.iter().map(|reach| &reach.address).chain(own).cloned().collect()
    }

    /// Whether others can find it, when they do or do not tell of its blocks: see [`Node::is_told_of`].
    pub fn findable(&self, told_of: bool) -> Findable {
        Findable::of(&self.reach, self.dht_at_hand, told_of)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id).finish_non_exhaustive()
    }
}
