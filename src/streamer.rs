//! The station on air: an imperative shell around [`crate::radio::timeline`].
//!
//! One loop asks the timeline what to do and does it; one task makes lists visible and publishes names; one thread
//! writes the ledger; setup runs in a child process. They are joined by channels, and the loop waits for none of them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc, watch},
    task, time,
};
use tokio_util::sync::CancellationToken;

use self::{air::Shown, catalog::Catalog, child::Rendering, notes::Notes, shelf::Shelf, writer::Writer};
use crate::{
    clock, disk,
    ipfs::{Blocks, Node, Records, Store},
    radio::{
        programme::{Order, Slot},
        receipt::{Body, CidText},
        segment::{Item, Segment},
        status::OnAir,
        time::{Span, Time},
        timeline::{Action, Event, Timeline, Why},
    },
    watch::Watch,
};

mod air;
mod catalog;
mod checkpoints;
mod child;
pub mod identity;
mod lanes;
mod notes;
mod offer;
pub mod preview;
mod publisher;
mod shelf;
mod start;
mod witness;
mod writer;

pub use identity::Identity;
pub use start::{Settings, start};

/// Events that may wait for the loop; each action ends as one, so there are never more than a few.
const EVENTS_MAX: usize = 64;
/// How long `processed/` must lie still before its order is read.
const SETTLE: Duration = Duration::from_millis(300);
/// The longest sleep of the loop: the wall clock is looked at this often.
const NAP_MAX: Span = Span::seconds(1);
/// Entries that cannot air of which is known why.
const FAILING_MAX: usize = 1_000;
/// So many of them are named in the health.
const FAILING_SHOWN: usize = 5;
/// The filler waits until it reaches this far beyond the look-ahead, as long as it is still being rendered.
const HEAD_START: Span = Span::seconds(60);

/// What a running station gives to the listener port.
#[derive(Debug)]
pub struct Station {
    /// The blocks that may be served.
    pub store: Store,
    /// The peer.
    pub node: Node,
    /// The air; `None` before the first list.
    pub on_air: watch::Receiver<Option<Arc<OnAir>>>,
    /// The IPNS records.
    pub records: watch::Receiver<Records>,
    /// What keeps it on air: ends after the stop signal.
    pub running: task::JoinHandle<anyhow::Result<()>>,
}

/// The loop and what it works with.
struct Streamer {
    clock: clock::System,
    /// `None` before there is anything to air on a station that has never been on air.
    timeline: Option<Timeline>,
    /// How to begin one.
    fresh: start::Fresh,
    rate: u32,
    head_start: u64,
    processed: Catalog,
    generated: Catalog,
    accepted_order: PathBuf,
    sequence_state: PathBuf,
    order: Option<Arc<Order>>,
    filler: Option<Arc<Order>>,
    store: Store,
    shelf: Shelf,
    /// How long blocks are kept from being stored until it is known how long they are to be kept.
    keep_lists: Span,
    writer: Writer,
    notes: Notes,
    shows: watch::Sender<Option<Shown>>,
    rendering: watch::Receiver<Rendering>,
    written: Arc<Notify>,
    /// Entries that could not air when it was their turn, and why.
    failing: BTreeMap<String, String>,
}

impl Streamer {
    /// Runs until `stop`.
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let (events, mut happened) = mpsc::channel(EVENTS_MAX);
        let mut watch = Watch::new(&[(self.processed.root(), false), (self.generated.root(), false)], SETTLE);
        let written = self.written.clone();
        let (found, mut orders) = mpsc::channel(1);
        let catalogs = [self.processed.clone(), self.generated.clone()];
        let (accepted, rendering) = (self.accepted_order.clone(), self.rendering.clone());
        let _reading = AbortOnDrop(task::spawn(read_orders(catalogs, accepted, written.clone(), rendering, found)));
        let _watching = AbortOnDrop(task::spawn(async move {
            loop {
                watch.changed().await;
                written.notify_one();
            }
        }));
        loop {
            let nap = self.drain(&events);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(event) = happened.recv() => self.handle(event),
                () = time::sleep(nap) => {}
                Some(read) = orders.recv() => self.take(read),
            }
        }
    }

    /// Does what the timeline asks for until it waits. Gives the time to wait.
    fn drain(&mut self, events: &mpsc::Sender<Event>) -> Duration {
        let Some(timeline) = &mut self.timeline else { return Duration::from_micros(NAP_MAX.0) };
        loop {
            let now = self.clock.now();
            match timeline.poll(now) {
                Action::Wait(until, why) => {
                    if why == Why::Nothing {
                        self.notes.raise("air", "there is nothing to air: no entry of the order can, and no filler");
                    }
                    return self.clock.until(until.min(now.station.plus(NAP_MAX)));
                }
                Action::Show(snapshot) => {
                    self.notes.clear("air");
                    self.shows.send_replace(Some(Shown { snapshot, from: timeline.listed_from() }));
                    project(&self.sequence_state, timeline, now.wall);
                    let skew = timeline.skew_millis(now);
                    let late = timeline.rules().skew().0 as i64 / 1_000;
                    if skew.abs() > late {
                        let seconds = skew / 1_000;
                        self.notes.raise("clock", format!("the dates on air are {seconds} s ahead of the wall clock"));
                    } else {
                        self.notes.clear("clock");
                    }
                }
                Action::Fetch(slot) => {
                    let catalogs = [self.processed.clone(), self.generated.clone()];
                    let (events, rate) = (events.clone(), self.rate);
                    task::spawn_blocking(move || {
                        let _ = events.blocking_send(fetch(&catalogs, slot, rate));
                    });
                }
                Action::Store(segments, lists) => {
                    let catalogs = [self.processed.clone(), self.generated.clone()];
                    let (store, events, shelf) = (self.store.clone(), events.clone(), self.shelf.clone());
                    let until = now.station.plus(self.keep_lists);
                    task::spawn(async move {
                        let cids = segments.iter().map(|segment| segment.cid).chain(lists.iter().map(|(cid, _)| cid.0));
                        shelf.keep(cids, until).await;
                        let event = put(store, catalogs, segments, lists).await;
                        let _ = events.send(event).await;
                    });
                }
                Action::Record(bodies) => {
                    let (writer, events) = (self.writer.clone(), events.clone());
                    task::spawn(async move {
                        let event = record(writer, bodies).await;
                        let _ = events.send(event).await;
                    });
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match &event {
            Event::NotFetched(slot, why) => self.fails(&slot.entry.path.clone(), why.clone()),
            Event::Missing(index, why) => {
                let path = self.timeline.as_ref().and_then(|timeline| timeline.planned_entry(*index)).map(String::from);
                self.fails(&path.unwrap_or_default(), format!("it breaks off, {why}"));
            }
            Event::NotStored(why) => self.notes.raise("repo", format!("segments cannot be stored: {why}")),
            Event::Stored => self.notes.clear("repo"),
            Event::NotRecorded(why) => self.notes.raise("ledger", why.clone()),
            Event::Recorded => self.notes.clear("ledger"),
            Event::Fetched(slot, item) => match self.timeline.as_ref().and_then(|timeline| timeline.refusal(item)) {
                Some(why) => self.fails(&slot.entry.path.clone(), why.into()),
                None => {
                    tracing::info!(entry = %slot.entry.path, title = %item.title, "next");
                    if self.failing.remove(&slot.entry.path).is_some() {
                        self.tell_failing();
                    }
                }
            },
            Event::Order(_) | Event::Filler(_) => {}
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.handle(event, self.clock.now());
        }
    }

    fn fails(&mut self, path: &str, why: String) {
        if self.failing.len() < FAILING_MAX || self.failing.contains_key(path) {
            self.failing.insert(path.to_owned(), why);
        }
        self.tell_failing();
    }

    /// Hands on what is new. A bad edit changes nothing but the health.
    fn take(&mut self, read: Read) {
        if let Some(order) = self.accepted(read.order)
            && self.order.as_ref() != Some(&order)
        {
            if let Err(error) = read.saved {
                self.notes.raise("order", format!("the accepted order cannot be saved: {error}"));
            }
            tracing::info!(entries = order.entries.len(), sha256 = %order.sha256, "order accepted");
            self.failing.retain(|path, _| order.entries.iter().any(|entry| entry.path == *path));
            self.tell_failing();
            self.order = Some(order.clone());
            if !self.begin() {
                self.handle(Event::Order(order));
            }
        }
        let Some(loaded) = read.filler else { return };
        if read.rendering != Rendering::Over && loaded.samples < self.head_start {
            return;
        }
        let filler = Arc::new(loaded.order);
        let known = self.filler.replace(filler.clone()).is_some_and(|before| before == filler);
        // A station with music of its own does not begin with the filler while the music may come in time.
        let may_begin = self.order.is_some() || read.rendering != Rendering::NotAsked;
        if !(may_begin && self.begin() || known) {
            self.handle(Event::Filler(filler));
        }
    }

    fn accepted(&mut self, order: Result<catalog::Loaded, catalog::Error>) -> Option<Arc<Order>> {
        match order {
            Ok(loaded) => {
                if loaded.skipped.is_empty() {
                    self.notes.clear("order");
                } else {
                    let file = self.processed.root().join("playlist.m3u");
                    self.notes.raise("order", format!("{}: {}", file.display(), loaded.skipped.join("; ")));
                }
                Some(Arc::new(loaded.order))
            }
            Err(catalog::Error::Nothing) => None,
            Err(error) => {
                let airs = if self.order.is_some() { "the last accepted order plays on" } else { "the filler airs" };
                self.notes.raise("order", format!("{error}; {airs}"));
                None
            }
        }
    }

    /// Says which entries cannot air at present.
    fn tell_failing(&self) {
        if self.failing.is_empty() {
            return self.notes.clear("programme");
        }
        let shown = self.failing.iter().take(FAILING_SHOWN);
        let mut lines: Vec<String> = shown.map(|(path, why)| format!("{path} cannot air: {why}")).collect();
        if self.failing.len() > FAILING_SHOWN {
            lines.push(format!("and {} more", self.failing.len() - FAILING_SHOWN));
        }
        self.notes.raise("programme", lines.join("; "));
    }

    /// Begins the timeline of a station that has never been on air, with all that there is to air. False if it has one.
    fn begin(&mut self) -> bool {
        if self.timeline.is_some() {
            return false;
        }
        let mut timeline = self.fresh.timeline(self.clock.now());
        for event in self.order.clone().map(Event::Order).into_iter().chain(self.filler.clone().map(Event::Filler)) {
            timeline.handle(event, self.clock.now());
        }
        self.timeline = Some(timeline);
        true
    }
}

/// What lies on disk to be aired.
#[derive(Debug)]
struct Read {
    order: Result<catalog::Loaded, catalog::Error>,
    /// Whether an order that is another one was kept for later starts.
    saved: Result<(), disk::Error>,
    filler: Option<catalog::Loaded>,
    /// How far the filler is.
    rendering: Rendering,
}

/// Reads both orders whenever something was written, apart from the air: a disk takes as long as it likes.
async fn read_orders(
    [processed, generated]: [Catalog; 2],
    accepted_order: PathBuf,
    written: Arc<Notify>,
    mut rendering: watch::Receiver<Rendering>,
    found: mpsc::Sender<Read>,
) {
    let mut saved_sha256 = String::new();
    loop {
        let now_rendering = *rendering.borrow_and_update();
        let (processed, generated, path) = (processed.clone(), generated.clone(), accepted_order.clone());
        let known = saved_sha256.clone();
        let read = task::spawn_blocking(move || {
            let order = processed.load();
            let saved = match &order {
                Ok(loaded) if loaded.order.sha256 != known => disk::replace(&path, &loaded.text),
                _ => Ok(()),
            };
            Read { order, saved, filler: generated.load().ok(), rendering: now_rendering }
        });
        let Ok(read) = read.await else { return };
        if let (Ok(loaded), Ok(())) = (&read.order, &read.saved) {
            saved_sha256.clone_from(&loaded.order.sha256);
        }
        if found.send(read).await.is_err() {
            return;
        }
        let rendered = async {
            if rendering.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = written.notified() => {}
            () = rendered => {}
        }
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn fetch(catalogs: &[Catalog; 2], slot: Slot, rate: u32) -> Event {
    let [processed, generated] = catalogs;
    let filler = slot.entry.kind == crate::radio::segment::Kind::Filler;
    let catalog = if filler { generated } else { processed };
    match catalog.item(&slot, rate) {
        Ok(item) => Event::Fetched(slot, item),
        Err(why) => Event::NotFetched(slot, why),
    }
}

/// Stores, pins and verifies segments and lists: from `processed/`, from the generator's folder, or if they are gone
/// from there, as they lie in the repo.
async fn put(store: Store, catalogs: [Catalog; 2], segments: Vec<Segment>, lists: Vec<(CidText, String)>) -> Event {
    let mut blocks: Vec<(cid::Cid, Bytes)> = lists.into_iter().map(|(cid, text)| (cid.0, text.into())).collect();
    for (index, segment) in segments.into_iter().enumerate() {
        let places = catalogs.clone();
        let read = move || places.iter().find_map(|catalog| catalog.chunk(&segment));
        let found = match task::spawn_blocking(read).await {
            Ok(Some(bytes)) => Some(bytes),
            _ => store.get(segment.cid).await.ok().flatten(),
        };
        let Some(bytes) = found else {
            return Event::Missing(index, format!("the chunk of {} is missing or damaged", segment.cid));
        };
        blocks.push((segment.cid, bytes));
    }
    match store.put(blocks).await {
        Ok(()) => Event::Stored,
        Err(error) => Event::NotStored(error.to_string()),
    }
}

async fn record(writer: Writer, bodies: Vec<Body>) -> Event {
    match writer.append(bodies).await {
        Ok(()) => Event::Recorded,
        Err(why) => Event::NotRecorded(why),
    }
}

/// Writes `sequence_state.json`: for people to read, never read back.
fn project(path: &std::path::Path, timeline: &Timeline, wall: Time) {
    let last = timeline.last();
    let text = serde_json::json!({
        "media_sequence": last.map(|aired| aired.media_seq),
        "discontinuity_sequence": last.map(|aired| aired.disc_seq),
        "position": last.map(|aired| aired.run.position),
        "entry": last.map(|aired| aired.run.entry.clone()),
        "timestamp": wall.to_string(),
    });
    let (path, text) = (path.to_path_buf(), format!("{text}\n"));
    task::spawn_blocking(move || {
        if let Err(error) = disk::replace(&path, text.as_bytes()) {
            tracing::debug!(%error, "sequence_state.json");
        }
    });
}

/// Reads the item that had begun from the list of its segments in the repo, whatever happened to `processed/`.
async fn unfinished(store: &Store, run: &crate::radio::aired::Run) -> Option<Arc<Item>> {
    let text = store.get(run.list.0).await.ok().flatten()?;
    let segments = crate::radio::aired::parse_segment_list(std::str::from_utf8(&text).ok()?)?;
    Some(Arc::new(run.item(segments)))
}
