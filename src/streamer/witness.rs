//! What others see of the station: names and blocks are read back through the DHT and through routers, never from this
//! node itself. Nothing waits for it.

use std::time::Duration;

use cid::Cid;
use futures::{StreamExt, future, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::{self, timeout},
};
use tokio_util::sync::CancellationToken;

use super::publisher::Which;
use crate::{
    ipfs::{Error, Name, Node, Record, Router},
    radio::time::Span,
};

/// A check of a block has failed for good after as many in a row.
const FAILURES: u32 = 3;

/// How often others are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The pause between two looks at the names.
    pub(super) names: Duration,
    /// The pause between two looks at a block that others tell of.
    pub(super) blocks: Duration,
    /// The same as long as nobody tells.
    pub(super) untold: Duration,
    /// How long one look may take.
    pub(super) limit: Duration,
}

/// How long two looks at a name may take, with the pauses before them.
pub(super) const ASKING: Span = Span::seconds(120);

impl Pace {
    pub(super) const USUAL: Self = Self {
        names: Duration::from_secs(30),
        blocks: Duration::from_secs(300),
        untold: Duration::from_secs(15),
        limit: Duration::from_secs(30),
    };
}

/// The sequences that were put last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sequences {
    pub(super) stream: u64,
    pub(super) station: u64,
}

impl Sequences {
    pub(super) const fn of(&self, which: Which) -> u64 {
        match which {
            Which::Stream => self.stream,
            Which::Station => self.station,
        }
    }
}

/// What others were seen to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// A record of a name has this sequence; the last one put when they were asked had that one.
    Name { which: Which, seen: u64, put: u64 },
    /// They tell that this node has its blocks, or do not.
    TellOf(bool),
}

/// Who asks others.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub(super) node: Node,
    pub(super) routers: Vec<Router>,
    pub(super) stream: Name,
    pub(super) station: Name,
    /// Whether the DHT is asked.
    pub(super) calls: bool,
    pub(super) pace: Pace,
}

impl Witness {
    /// Asks until `stop`.
    pub(super) async fn run(
        self,
        put: watch::Receiver<Sequences>,
        reports: mpsc::Sender<Report>,
        stop: CancellationToken,
    ) {
        if !self.calls && self.routers.is_empty() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = future::join3(
                self.names(Which::Stream, &put, &reports),
                self.names(Which::Station, &put, &reports),
                self.blocks(&reports),
            ) => {}
        }
    }

    /// The newest record of a name that others have, within `limit`. An error: nobody could be asked.
    pub(super) async fn newest(&self, which: Which, limit: Duration) -> Result<Option<Record>, Error> {
        let name = match which {
            Which::Stream => self.stream,
            Which::Station => self.station,
        };
        let nobody = || Err(Error::Network("there is nobody to ask".into()));
        let late = |_| Err(Error::Network(format!("no answer within {limit:?}")));
        let dht = async { if self.calls { self.node.lookup(name, limit).await } else { nobody() } };
        let ask = |router: &Router| {
            let router = router.clone();
            async move { timeout(limit, router.record(name)).await.unwrap_or_else(late) }
        };
        let (dht, routers) = tokio::join!(dht, future::join_all(self.routers.iter().map(ask)));
        let newer = |best: Option<Record>, record: Record| match best {
            Some(best) if !record.is_newer_than(&best) => Some(best),
            _ => Some(record),
        };
        let mut answer = nobody();
        for found in std::iter::once(dht).chain(routers) {
            answer = match (answer, found) {
                (Ok(best), Ok(Some(record))) => Ok(newer(best, record)),
                (Ok(best), _) => Ok(best),
                (Err(_), found) => found,
            };
        }
        answer
    }

    async fn names(&self, which: Which, put: &watch::Receiver<Sequences>, reports: &mpsc::Sender<Report>) {
        loop {
            time::sleep(self.pace.names).await;
            let put = put.borrow().of(which);
            match self.newest(which, self.pace.limit).await {
                Ok(Some(record)) => {
                    let seen = record.view().sequence;
                    if reports.send(Report::Name { which, seen, put }).await.is_err() {
                        return;
                    }
                }
                Ok(None) => tracing::info!(?which, "nobody who was asked knows the name"),
                Err(error) => tracing::debug!(?which, %error, "the name cannot be read back"),
            }
        }
    }

    async fn blocks(&self, reports: &mpsc::Sender<Report>) {
        let (mut failures, mut status) = (0, self.node.watch());
        loop {
            let Ok(last) = status.wait_for(|status| status.provided.last.is_some()).await.map(|now| now.provided.last)
            else {
                return;
            };
            let told = match last {
                Some(cid) => self.tell_of(cid).await,
                None => false,
            };
            failures = if told { 0 } else { failures + 1 };
            let known = told || failures >= FAILURES;
            if known && reports.send(Report::TellOf(told)).await.is_err() {
                return;
            }
            time::sleep(if told { self.pace.blocks } else { self.pace.untold }).await;
        }
    }

    /// Whether somebody says that this node has `cid`: the first who does is enough.
    async fn tell_of(&self, cid: Cid) -> bool {
        let limit = self.pace.limit;
        let dht = async { self.calls && self.node.is_told_of(cid, limit).await.unwrap_or(false) };
        let ask = |router: &Router| {
            let (router, id) = (router.clone(), self.node.id().to_owned());
            let asked = async move { timeout(limit, router.providers(cid)).await.is_ok_and(|found| says(found, &id)) };
            future::Either::Right(asked)
        };
        let asked = std::iter::once(future::Either::Left(dht)).chain(self.routers.iter().map(ask));
        let mut answers: FuturesUnordered<_> = asked.collect();
        while let Some(told) = answers.next().await {
            if told {
                return true;
            }
        }
        false
    }
}

fn says(found: Result<Vec<String>, Error>, id: &str) -> bool {
    found.is_ok_and(|peers| peers.iter().any(|peer| peer == id))
}

#[cfg(test)]
mod tests;
