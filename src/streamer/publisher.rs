//! Makes lists visible: stores them with the root around them, hands them to the listener port, and keeps the two
//! names pointing at the newest. Nothing here can delay the timeline: it only ever sees the latest snapshot.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use cid::Cid;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    air::{Frame, GroupFile, Rendered, Shown, group_files, render},
    checkpoints::{Folder, folder},
    covers::Covers,
    lanes::{Lanes, Routed},
    notes::Notes,
    offer::Offer,
    shelf::Shelf,
    start::Floor,
    supply::Supply,
    tasks::Tasks,
    witness::{Report, Sequences},
    writer::Writer,
};
use crate::{
    clock,
    ipfs::{Blocks, Key, Node, Numbers, Record, Records, Router, Store, View},
    radio::{
        checkpoint::CheckpointBody,
        echo::Echo,
        ladder,
        naming::{NameAction, Naming},
        receipt::Body,
        segment::Cover,
        status::{OnAir, SetupProgress, Status},
        time::{Span, Time},
    },
};

mod seen;

/// How often the status is looked over.
const TICK: Duration = Duration::from_secs(1);
/// How long a segment stays in the root's `ipfs/` folder after it left the list.
pub(super) const TAIL: Span = Span::seconds(600);

/// Which of the two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Stream,
    Station,
}

/// One of the station's names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) key: Arc<Key>,
    pub(super) naming: Naming,
    /// Whether it reaches others; `None` where there are none.
    pub(super) echo: Option<Echo>,
}

/// What the publisher is told by the tasks it starts.
#[derive(Debug)]
enum Ended {
    Reserved { until: u64, well: bool },
    Put { which: Which, value: Cid, sequence: u64, outcome: Result<Duration, String> },
    Stored { folder: Folder, outcome: Result<(), String> },
    Cover { cid: Cid, outcome: Result<(), String> },
}

/// A segment in the root's `ipfs/` folder.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) seq: u64,
    pub(super) cid: Cid,
    pub(super) bytes: u64,
    /// Its other renditions with their sizes.
    pub(super) rungs: Vec<(Cid, u64)>,
    /// The id of its item.
    pub(super) item: String,
    /// The picture of its item, if it has one.
    pub(super) cover: Option<Cover>,
    /// The end of its air time, as the newest of them are dated.
    pub(super) until: Time,
}

/// Appends a segment that airs at `starts`, if it is another one. Where dates go back for it, those before it go along.
pub(super) fn hold(held: &mut VecDeque<Held>, next: Held, starts: Time) {
    if held.back().is_some_and(|last| last.seq >= next.seq) {
        return;
    }
    let back = held.back().map_or_else(Span::default, |last| last.until.since(starts));
    held.iter_mut().filter(|_| back > Span::default()).for_each(|one| one.until = one.until.minus(back));
    held.push_back(next);
}

/// What a publisher is made of.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) clock: clock::System,
    pub(super) store: Store,
    pub(super) supply: Supply,
    pub(super) node: Node,
    pub(super) routers: Vec<Router>,
    pub(super) put: watch::Sender<Sequences>,
    pub(super) writer: Writer,
    pub(super) checkpoints: watch::Receiver<Vec<CheckpointBody>>,
    pub(super) notes: Notes,
    pub(super) frame: Frame,
    pub(super) stream: Named,
    pub(super) station: Named,
    pub(super) held: VecDeque<Held>,
    pub(super) shelf: Shelf,
    pub(super) tasks: Tasks,
    pub(super) keep_lists: Span,
    pub(super) ttl: Span,
    pub(super) lifetime: Span,
    /// How long what is told may reach nobody before it is a trouble.
    pub(super) patience: Span,
    pub(super) status: Status,
    pub(super) setup: watch::Receiver<SetupProgress>,
    pub(super) on_air: watch::Sender<Option<Arc<OnAir>>>,
    pub(super) records: watch::Sender<Records>,
}

struct Work {
    publisher: Publisher,
    shown: Option<Shown>,
    rendered: Option<Rendered>,
    last_seq: u64,
    /// The newest group of the coarse list whose file is stored and provided.
    last_group: u64,
    /// The root's `ipfs/` folder: names with their sizes, sorted.
    folder: Vec<(Cid, u64)>,
    /// The root's `ledger/` folder, once it is stored.
    ledger: Option<Folder>,
    /// Which of its blocks was looked at last, and the look.
    looked: usize,
    looking: Option<JoinHandle<()>>,
    covers: Covers,
    offer: Offer,
    ended: mpsc::Sender<Ended>,
    lanes: Lanes,
    routed: Sequences,
    told_of: bool,
    /// Since when others who were asked do not tell of a block.
    untold_since: Option<Time>,
    names_open: bool,
    /// Whether anybody could be asked what sequences were used before.
    floor_known: bool,
    adopted: bool,
}

impl Publisher {
    /// Runs until `stop`. Names are published once `floor` is there: the highest sequences that the network knows.
    /// `reports` tells what others see.
    pub(super) async fn run(
        self,
        mut shows: watch::Receiver<Option<Shown>>,
        mut floor: watch::Receiver<Option<Floor>>,
        mut reports: mpsc::Receiver<Report>,
        stop: CancellationToken,
    ) {
        let (ended, mut endings) = mpsc::channel(8);
        let (routed, mut routings) = mpsc::channel(8);
        let lanes = Lanes::open(&self.routers, &self.tasks, &routed);
        let mut checkpoints = self.checkpoints.clone();
        checkpoints.mark_changed();
        let mut work = Work {
            publisher: self,
            shown: None,
            rendered: None,
            last_seq: 0,
            last_group: 0,
            folder: Vec::new(),
            ledger: None,
            looked: 0,
            looking: None,
            covers: Covers::default(),
            offer: Offer::default(),
            ended,
            lanes,
            routed: Sequences::default(),
            told_of: false,
            untold_since: None,
            names_open: false,
            floor_known: false,
            adopted: false,
        };
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = shows.changed() => {
                    let Ok(()) = changed else { return };
                    let shown = shows.borrow_and_update().clone();
                    if let Some(shown) = shown {
                        work.show(shown).await;
                    }
                }
                Some(ended) = endings.recv() => work.ended(ended),
                Some(routed) = routings.recv() => work.routed(routed),
                Some(report) = reports.recv() => work.seen(report),
                // Behind the first list, which must not wait for them.
                Ok(()) = checkpoints.changed(), if work.shown.is_some() => {
                    let known = checkpoints.borrow_and_update().clone();
                    work.store_checkpoints(&known).await;
                }
                Ok(()) = floor.changed(), if !work.names_open => {
                    let floor = *floor.borrow_and_update();
                    work.open_names(floor);
                }
                _ = tick.tick() => work.tick().await,
            }
            work.poll_names();
        }
    }
}

impl Work {
    async fn show(&mut self, shown: Shown) {
        let now = self.publisher.clock.now().station;
        let groups = match group_files(&shown.snapshot) {
            Ok(groups) => groups,
            Err(error) => return self.publisher.notes.raise("root", error.to_string()),
        };
        self.take_over(&shown, &groups).await;
        let (frame, ledger) = (&self.publisher.frame, self.ledger.as_ref());
        let rendered = match render(&shown, &groups, &self.folder, frame, ledger.map(|ledger| &ledger.entry), now) {
            Ok(Some(rendered)) => rendered,
            Ok(None) => return,
            Err(error) => return self.publisher.notes.raise("root", error.to_string()),
        };
        self.publisher.notes.clear("root");
        let cids: Vec<Cid> = rendered.blocks.iter().map(|(cid, _)| *cid).collect();
        let fresh: Vec<GroupFile> = groups.into_iter().filter(|group| group.seq > self.last_group).collect();
        let nodes = fresh.iter().filter_map(|group| group.node.clone());
        match self.publisher.store.put(rendered.blocks.iter().cloned().chain(nodes).collect()).await {
            Ok(()) => {
                self.publisher.notes.clear("store");
                self.keep_groups(&shown, &fresh).await;
                let until = now.plus(self.publisher.keep_lists);
                let ledger = self.ledger.iter().flat_map(Folder::cids);
                self.publisher.shelf.keep(cids.iter().copied().chain(ledger), until).await;
                self.publisher.stream.naming.want(rendered.list_cid);
                self.publisher.station.naming.want(rendered.root_cid);
                let _ = self.publisher.node.notify_new_blocks(cids).await;
            }
            // The own gateway has the list in memory and goes on; the names stay where they are.
            Err(error) => self.publisher.notes.raise("store", format!("a list cannot be stored: {error}")),
        }
        let last = shown.snapshot.segments.last().map_or(0, |last| last.media_seq);
        tracing::info!(last, list = %rendered.list_cid, "list");
        self.shown = Some(shown);
        self.rendered = Some(rendered);
        self.refresh();
    }

    /// Keeps what is new on the list, tells of it before it airs, and lets go of what left the folder.
    async fn take_over(&mut self, shown: &Shown, groups: &[GroupFile]) {
        let clock = self.publisher.clock;
        let axis = shown.snapshot.axis;
        self.keep_listed().await;
        let mut fresh = Vec::new();
        let known = self.last_seq;
        for (aired, off_air) in shown.ends().filter(|(aired, _)| aired.media_seq > known) {
            let cid = aired.segment.cid;
            let rest = (aired.run.air_end() - aired.air_end()).max(0);
            let run_ends = off_air.plus(Span::of_samples(rest as u64, axis.rate));
            self.publisher.shelf.keep_aired(aired.all().map(|segment| segment.cid), off_air).await;
            let cover = aired.run.cover;
            let of_run = [aired.run.list.0].into_iter().chain(cover.map(|cover| cover.cid));
            self.publisher.shelf.keep_aired(of_run, run_ends).await;
            let (seq, bytes, until) = (aired.media_seq, aired.segment.bytes.into(), axis.date(aired.air_end()));
            let rungs = aired.rungs.iter().map(|rung| (rung.cid, rung.bytes.into())).collect();
            let held = Held { seq, cid, bytes, rungs, item: aired.run.item.clone(), cover, until };
            hold(&mut self.publisher.held, held, axis.date(aired.air_samples));
            let airs = clock.until(off_air.minus(Span::of_samples(aired.segment.samples.into(), axis.rate)));
            fresh.push((cid, airs));
            // Other renditions only once all default ones are told of, where the DHT takes no more in that time.
            let later = airs + Duration::from_secs(shown.snapshot.hold_back_seconds);
            fresh.extend(aired.rungs.iter().map(|rung| (rung.cid, later)));
            fresh.extend(cover.filter(|_| aired.disc).map(|cover| (cover.cid, later)));
            self.last_seq = aired.media_seq;
        }
        let first = shown.snapshot.segments.first().map_or(0, |first| first.media_seq);
        let oldest = self.publisher.held.iter().find(|held| held.seq >= first).map_or(Time(0), |held| held.until);
        while self.publisher.held.front().is_some_and(|held| held.until.plus(TAIL) < oldest) {
            self.publisher.held.pop_front();
        }
        let held = self.publisher.held.iter();
        let asked = self.covers.take(held.clone());
        self.store_covers(asked);
        let covers = held.clone().filter_map(|held| held.cover).filter(|cover| self.covers.has(cover));
        let covers: Vec<(Cid, u64)> = covers.map(|cover| (cover.cid, cover.bytes.into())).collect();
        let segments = held.flat_map(|held| std::iter::once((held.cid, held.bytes)).chain(held.rungs.iter().copied()));
        let mut folder: Vec<(Cid, u64)> =
            segments.chain(groups.iter().map(|group| (group.cid, group.tsize))).chain(covers).collect();
        folder.sort_unstable();
        folder.dedup();
        let stays = |cid: &Cid| folder.binary_search_by_key(cid, |(cid, _)| *cid).is_ok();
        let gone = self.folder.iter().map(|(cid, _)| *cid).filter(|cid| !stays(cid)).collect();
        self.folder = folder;
        self.keep_listed().await;
        // A node that has stopped provides nothing; the station stops with it.
        let _ = self.publisher.node.provide_before(fresh).await;
        let _ = self.publisher.node.stop_providing(gone).await;
    }

    /// What is listed is kept as long as the list that names it: it may be long past, where the air stood still.
    async fn keep_listed(&mut self) {
        let until = self.publisher.clock.now().station.plus(self.publisher.keep_lists);
        let listed: Vec<Cid> = self.folder.iter().map(|(cid, _)| *cid).collect();
        self.publisher.shelf.keep(listed, until).await;
    }

    /// Keeps and provides the files of groups that are stored now, minutes before the coarse list names them.
    async fn keep_groups(&mut self, shown: &Shown, fresh: &[GroupFile]) {
        let Some(last) = fresh.last() else { return };
        self.last_group = last.seq;
        for group in fresh {
            self.publisher.shelf.keep_aired([group.cid], shown.off_air(group.run, group.until)).await;
        }
        let cids: Vec<Cid> = fresh.iter().filter(|group| group.node.is_some()).map(|group| group.cid).collect();
        let _ = self.publisher.node.notify_new_blocks(cids.clone()).await;
        let _ = self.publisher.node.provide(cids).await;
    }

    /// Stores pictures apart from the lists, one after the other; the next root has those that are there.
    fn store_covers(&self, asked: Vec<(String, Cover)>) {
        if asked.is_empty() {
            return;
        }
        let (store, supply, ended) = (self.publisher.store.clone(), self.publisher.supply.clone(), self.ended.clone());
        self.publisher.tasks.spawn("storing pictures", async move {
            for (item, Cover { cid, .. }) in asked {
                let outcome = match supply.cover(item, cid).await {
                    Ok(bytes) => store.put(vec![(cid, bytes)]).await.map_err(|error| error.to_string()),
                    // An item that has left its folder: its picture is where it was put when it was on air.
                    Err(why) => store.get(cid).await.ok().flatten().map(|_| ()).ok_or(why),
                };
                let _ = ended.send(Ended::Cover { cid, outcome }).await;
            }
        });
    }

    /// Stores the root's `ledger/` folder apart from the lists; the next root has it as soon as it is there.
    async fn store_checkpoints(&mut self, known: &[CheckpointBody]) {
        let folder = match folder(known) {
            Ok(Some(folder)) => folder,
            Ok(None) => return,
            Err(error) => return self.publisher.notes.raise("checkpoints", error.to_string()),
        };
        self.publisher.notes.clear("checkpoints");
        let until = self.publisher.clock.now().station.plus(self.publisher.keep_lists);
        self.publisher.shelf.keep(folder.cids(), until).await;
        let (store, ended) = (self.publisher.store.clone(), self.ended.clone());
        self.publisher.tasks.spawn("storing checkpoints", async move {
            let outcome = store.put(folder.blocks.clone()).await.map_err(|error| error.to_string());
            let _ = ended.send(Ended::Stored { folder, outcome }).await;
        });
    }

    async fn tick(&mut self) {
        // Behind the first list, which must not wait for it.
        if !self.adopted && self.shown.is_some() {
            self.adopted = true;
            // Blocks of former runs that no receipt tells of (lists and roots, or what a crash left) go when lists go. So
            // does what receipts tell of: when it was listed last follows from none of them.
            let until = self.publisher.clock.now().station.plus(self.publisher.keep_lists);
            drop(self.publisher.shelf.adopt(until).await);
        }
        self.keep_listed().await;
        self.look_at_checkpoints();
        let now = self.publisher.clock.now().station;
        self.publisher.shelf.let_go(now).await;
        let _ = self.publisher.node.stop_providing(self.offer.past(now)).await;
        self.refresh();
    }

    /// Puts back a block of the root's `ledger/` folder that was lost: looks at one after the other.
    fn look_at_checkpoints(&mut self) {
        let is_looking = self.looking.as_ref().is_some_and(|looking| !looking.is_finished());
        let Some(folder) = self.ledger.as_ref().filter(|_| !is_looking) else { return };
        self.looked += 1;
        let (cid, bytes) = folder.blocks[self.looked % folder.blocks.len()].clone();
        let store = self.publisher.store.clone();
        self.looking = Some(self.publisher.tasks.spawn("looking at checkpoints", async move {
            if !matches!(store.is_kept(&cid).await, Ok(true))
                && let Err(error) = store.put(vec![(cid, bytes)]).await
            {
                tracing::warn!(%cid, %error, "a block of the ledger's folder is lost");
            }
        }));
    }

    /// Tells the listener port how things stand, if they stand otherwise than before.
    fn refresh(&mut self) {
        let (Some(shown), Some(rendered)) = (&self.shown, &self.rendered) else { return };
        let clocks = self.publisher.clock.now();
        let now = clocks.station;
        let peer = self.publisher.node.status();
        if peer.not_listening.is_empty() {
            self.publisher.notes.clear("peer");
        } else {
            let where_and_why = peer.not_listening.join("; ");
            self.publisher
                .notes
                .raise("peer", format!("nobody can call: {where_and_why}; free the port, or change peer.listen"));
        }
        self.tell_of_silence(now);
        let (current, next) = shown.now_and_next(now);
        let status = &mut self.publisher.status;
        status.addresses = peer.addresses();
        status.findable = peer.describe(&mut status.network, self.told_of);
        status.media_sequence = shown.media_sequence(now);
        (status.now, status.next) = (current, next);
        status.rungs = ladder::shown(&shown.snapshot);
        status.clock = shown.skew(clocks);
        status.setup = self.publisher.setup.borrow().clone();
        status.health = self.publisher.notes.text();
        let air = OnAir {
            list: rendered.list.clone(),
            list_cid: rendered.list_cid,
            root_cid: rendered.root_cid,
            now_json: shown.now_json(now),
            status: status.clone(),
            ledger: Some(self.publisher.writer.told()),
        };
        self.publisher.on_air.send_if_modified(|before| {
            let same = before.as_ref().is_some_and(|before| {
                before.list_cid == air.list_cid
                    && before.root_cid == air.root_cid
                    && before.status == air.status
                    && before.ledger == air.ledger
            });
            if !same {
                *before = Some(Arc::new(air));
            }
            !same
        });
    }

    fn open_names(&mut self, floor: Option<Floor>) {
        let Some(floor) = floor else { return };
        (self.names_open, self.floor_known) = (true, floor.known);
        for named in [&mut self.publisher.stream, &mut self.publisher.station] {
            named.naming.raise(floor.sequence);
        }
    }

    fn poll_names(&mut self) {
        if !self.names_open {
            return;
        }
        for which in [Which::Stream, Which::Station] {
            let now = clock::wall();
            let action = self.named(which).naming.poll(now);
            match action {
                NameAction::Wait(_) => {}
                NameAction::Reserve(until) => self.reserve(until),
                NameAction::Put { value, sequence } => self.put(which, value, sequence, now),
            }
        }
    }

    fn named(&mut self, which: Which) -> &mut Named {
        match which {
            Which::Stream => &mut self.publisher.stream,
            Which::Station => &mut self.publisher.station,
        }
    }

    fn reserve(&self, until: u64) {
        let (writer, ended) = (self.publisher.writer.clone(), self.ended.clone());
        self.publisher.tasks.spawn("reserving sequences", async move {
            let well = writer.append(vec![Body::IpnsReserved { until }]).await.is_ok();
            let _ = ended.send(Ended::Reserved { until, well }).await;
        });
    }

    fn put(&mut self, which: Which, value: Cid, sequence: u64, now: Time) {
        let first = self.shown.as_ref().and_then(|shown| shown.snapshot.segments.first());
        let numbers = first.map(|first| Numbers {
            media_sequence: first.media_seq,
            discontinuity_sequence: first.disc_seq - u64::from(first.disc),
        });
        let view = View {
            value: format!("/ipfs/{value}"),
            sequence,
            validity: now.plus(self.publisher.lifetime),
            ttl: self.publisher.ttl,
            numbers,
        };
        let record = match Record::sign(&self.named(which).key, &view) {
            Ok(record) => record,
            Err(error) => {
                self.publisher.notes.raise("names", error.to_string());
                return self.named(which).naming.ended(false, now);
            }
        };
        self.publisher.records.send_modify(|records| match which {
            Which::Stream => records.stream = Some(record.bytes().clone()),
            Which::Station => records.station = Some(record.bytes().clone()),
        });
        self.lanes.put(which, record.clone());
        let begun = self.publisher.clock.now().station;
        if let Some(echo) = &mut self.named(which).echo {
            echo.put(begun);
        }
        let (node, ended) = (self.publisher.node.clone(), self.ended.clone());
        self.publisher.tasks.spawn("putting a record", async move {
            let _ = node.provide(vec![value]).await;
            let outcome = node.publish(&record).await.map(|done| done.took).map_err(|error| error.to_string());
            let _ = ended.send(Ended::Put { which, value, sequence, outcome }).await;
        });
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Reserved { until, well } => {
                let namings = [&mut self.publisher.stream.naming, &mut self.publisher.station.naming];
                if well {
                    namings.into_iter().for_each(|naming| naming.reserved(until));
                } else {
                    self.publisher.notes.raise("ledger", "IPNS sequences cannot be reserved");
                    namings.into_iter().for_each(Naming::unreserved);
                }
            }
            Ended::Stored { folder, outcome: Ok(()) } => self.ledger = Some(folder),
            // The next one comes within the hour and has this one with it.
            Ended::Stored { outcome: Err(error), .. } => tracing::warn!(%error, "checkpoints cannot be stored"),
            Ended::Cover { cid, outcome } => {
                if let Err(error) = &outcome {
                    tracing::warn!(%cid, error, "an item airs without its picture");
                }
                self.covers.ended(cid, outcome.is_ok());
            }
            Ended::Put { which, value, sequence, outcome } => {
                self.offer.named(value, self.publisher.clock.now().station);
                let now = clock::wall();
                let well = outcome.is_ok() || self.routed.of(which) >= sequence;
                self.named(which).naming.ended(well, now);
                match outcome {
                    Ok(took) => self.published(which, sequence, took, "dht"),
                    Err(error) => tracing::info!(?which, sequence, %error, "not put into the DHT"),
                }
            }
        }
    }
}
