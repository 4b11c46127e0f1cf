//! Names on their way to the routers that are asked over HTTP: beside the DHT, each router and name for itself, one put in
//! flight, newest wins. A router that is slow or dead holds up nobody but itself.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_util::task::AbortOnDropHandle;

use super::{publisher::Which, tasks::Tasks};
use crate::ipfs::{Record, Router};

/// The pause after a first failure; it doubles up to [`MAX_PAUSE`], a third of what a list with the default rules reaches
/// ahead: a router may be the only way to the names.
const PAUSE: Duration = Duration::from_secs(12);
const MAX_PAUSE: Duration = Duration::from_secs(96);

/// How a put to a router ended.
#[derive(Debug)]
pub(super) struct Routed {
    /// Which router, by its place in the configuration.
    pub(super) router: usize,
    pub(super) which: Which,
    pub(super) sequence: u64,
    pub(super) outcome: Result<Duration, String>,
}

/// The lanes to all routers. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Lanes {
    stream: watch::Sender<Option<Record>>,
    station: watch::Sender<Option<Record>>,
    _running: Vec<AbortOnDropHandle<()>>,
}

impl Lanes {
    /// Opens a lane for each name to each router; `ended` hears how each put ended.
    pub(super) fn open(routers: &[Router], tasks: &Tasks, ended: &mpsc::Sender<Routed>) -> Self {
        let (stream, station) = (watch::Sender::new(None), watch::Sender::new(None));
        let mut running = Vec::new();
        for (index, router) in routers.iter().enumerate() {
            for (which, records) in [(Which::Stream, &stream), (Which::Station, &station)] {
                let lane = lane(router.clone(), index, which, records.subscribe(), ended.clone());
                running.push(AbortOnDropHandle::new(tasks.spawn("putting records to a router", lane)));
            }
        }
        Self { stream, station, _running: running }
    }

    /// Puts this record next, in place of one that still waits.
    pub(super) fn put(&self, which: Which, record: Record) {
        match which {
            Which::Stream => self.stream.send_replace(Some(record)),
            Which::Station => self.station.send_replace(Some(record)),
        };
    }
}

async fn lane(
    router: Router,
    index: usize,
    which: Which,
    mut records: watch::Receiver<Option<Record>>,
    ended: mpsc::Sender<Routed>,
) {
    let mut failures = 0;
    while records.changed().await.is_ok() {
        let Some(record) = records.borrow_and_update().clone() else { continue };
        let outcome = router.put(&record).await.map_err(|error| error.to_string());
        let well = outcome.is_ok();
        let routed = Routed { router: index, which, sequence: record.view().sequence, outcome };
        if ended.send(routed).await.is_err() {
            return;
        }
        if well {
            failures = 0;
        } else {
            time::sleep(PAUSE.saturating_mul(1 << failures.min(16)).min(MAX_PAUSE)).await;
            failures += 1;
            records.mark_changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::{
        ipfs::{
            Key, View,
            lab::{HttpRouter, Mode, Wire},
        },
        radio::time::{Span, Time},
    };

    const BOUND: Duration = Duration::from_secs(60);

    fn record(key: &Key, sequence: u64) -> Record {
        let value = "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".to_owned();
        let (validity, ttl) = (Time::from_millis(4_000_000_000_000), Span::seconds(60));
        Record::sign(key, &View { value, sequence, validity, ttl, numbers: None }).unwrap()
    }

    async fn next(routed: &mut mpsc::Receiver<Routed>) -> Routed {
        timeout(BOUND, routed.recv()).await.expect("it hangs").unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_router_that_hangs_holds_up_no_other_and_the_newest_wins() {
        let (well, slow) = (HttpRouter::start().await.unwrap(), HttpRouter::start().await.unwrap());
        let wire = Wire::to(slow.local()).await.unwrap();
        wire.set(Mode::Hang);
        let routers = Router::check(&[well.url(), format!("http://{}", wire.local())]).unwrap();
        let (ended, mut routed) = mpsc::channel(8);
        let (lanes, key) = (Lanes::open(&routers, &Tasks::default(), &ended), Key::generate());
        for sequence in 1..=5 {
            lanes.put(Which::Stream, record(&key, sequence));
            let ended = next(&mut routed).await;
            assert_eq!((ended.router, ended.which, ended.sequence), (0, Which::Stream, sequence));
            assert!(ended.outcome.is_ok(), "{ended:?}");
            // A lane that has not begun takes the newest at once.
            timeout(BOUND, wire.called()).await.expect("nobody calls");
        }
        wire.set(Mode::Good);
        let (first, second) = (next(&mut routed).await, next(&mut routed).await);
        assert_eq!((first.router, first.sequence, second.router, second.sequence), (1, 1, 1, 5));
        assert_eq!((slow.puts(), slow.record(key.name())), (2, Some(record(&key, 5))));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_router_that_refuses_is_asked_again_with_the_newest() {
        let router = HttpRouter::start().await.unwrap();
        let (ended, mut routed) = mpsc::channel(8);
        let lanes = Lanes::open(&Router::check(&[router.url()]).unwrap(), &Tasks::default(), &ended);
        let key = Key::generate();
        router.answer(crate::ipfs::lab::Answers::Status(503));
        lanes.put(Which::Station, record(&key, 1));
        let refused = next(&mut routed).await;
        assert!(refused.outcome.is_err() && refused.which == Which::Station, "{refused:?}");
        router.answer(crate::ipfs::lab::Answers::Well);
        lanes.put(Which::Station, record(&key, 2));
        assert_eq!(next(&mut routed).await.sequence, 2);
        assert_eq!(router.record(key.name()), Some(record(&key, 2)));
    }
}
