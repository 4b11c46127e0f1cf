//! The station on air: an imperative shell around [`crate::radio::timeline`].
//!
//! One loop asks the timeline what to do and does it; one task makes lists visible and publishes names; one thread
//! writes the ledger; setup runs in a child process. They are joined by channels, and the loop waits for none of them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc, watch},
    task, time,
};
use tokio_util::sync::CancellationToken;

use self::{air::Shown, catalog::Catalog, child::Rendering, notes::Notes, writer::Writer};
use crate::{
    clock, disk,
    ipfs::{Blocks, Node, Records, Store},
    radio::{
        programme::{Order, Slot},
        receipt::{Body, CidText},
        segment::{Item, Segment},
        status::OnAir,
        time::{Span, Time},
        timeline::{Action, Event, Timeline},
    },
    watch::Watch,
};

mod air;
mod catalog;
mod child;
pub mod identity;
mod notes;
pub mod preview;
mod publisher;
mod start;
mod writer;

pub use identity::Identity;
pub use start::{Settings, start};

/// Events that may wait for the loop; each action ends as one, so there are never more than a few.
const EVENTS_MAX: usize = 64;
/// How long `processed/` must lie still before its order is read.
const SETTLE: Duration = Duration::from_millis(300);
/// The longest sleep of the loop: the wall clock is looked at this often.
const NAP_MAX: Span = Span::seconds(1);
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
    writer: Writer,
    notes: Notes,
    shows: watch::Sender<Option<Shown>>,
    rendering: watch::Receiver<Rendering>,
    written: Arc<Notify>,
}

impl Streamer {
    /// Runs until `stop`.
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let (events, mut happened) = mpsc::channel(EVENTS_MAX);
        let mut watch = Watch::new(&[(self.processed.root(), false), (self.generated.root(), false)], SETTLE);
        let (written, mut rendering) = (self.written.clone(), self.rendering.clone());
        let watching = task::spawn({
            let written = written.clone();
            async move {
                loop {
                    watch.changed().await;
                    written.notify_one();
                }
            }
        });
        let _watching = AbortOnDrop(watching);
        self.read_orders().await;
        loop {
            let nap = self.drain(&events);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(event) = happened.recv() => self.handle(event),
                () = time::sleep(nap) => {}
                () = written.notified() => self.read_orders().await,
                Ok(()) = rendering.changed() => self.read_orders().await,
            }
        }
    }

    /// Does what the timeline asks for until it waits. Gives the time to wait.
    fn drain(&mut self, events: &mpsc::Sender<Event>) -> Duration {
        let Some(timeline) = &mut self.timeline else { return Duration::from_micros(NAP_MAX.0) };
        loop {
            let now = self.clock.now();
            match timeline.poll(now) {
                Action::Wait(until, _) => return self.clock.until(until.min(now.station.plus(NAP_MAX))),
                Action::Show(snapshot) => {
                    self.shows.send_replace(Some(Shown { snapshot, from: timeline.listed_from() }));
                    project(&self.sequence_state, timeline, now.wall);
                    let skew = timeline.skew_millis(now);
                    let late = timeline.rules().skew().0 as i64 / 1_000;
                    if skew.abs() > late {
                        self.notes.raise("clock", format!("the dates on air are {skew} ms ahead of the wall clock"));
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
                    let (store, events) = (self.store.clone(), events.clone());
                    task::spawn(async move {
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
            Event::NotFetched(slot, why) => {
                self.notes.raise("programme", format!("{} cannot air and is skipped: {why}", slot.entry.path));
            }
            Event::Missing(_, why) => self.notes.raise("programme", format!("an item breaks off: {why}")),
            Event::NotStored(why) => self.notes.raise("repo", format!("segments cannot be stored: {why}")),
            Event::Stored => self.notes.clear("repo"),
            Event::NotRecorded(why) => self.notes.raise("ledger", why.clone()),
            Event::Recorded => self.notes.clear("ledger"),
            Event::Fetched(slot, item) => {
                tracing::info!(entry = %slot.entry.path, title = %item.title, "next");
            }
            Event::Order(_) | Event::Filler(_) => {}
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.handle(event, self.clock.now());
        }
    }

    /// Reads both orders and hands on what is new. A bad edit changes nothing but the health.
    async fn read_orders(&mut self) {
        if let Some((order, text)) = self.read_order().await
            && self.order.as_ref() != Some(&order)
        {
            let path = self.accepted_order.clone();
            let saved = task::spawn_blocking(move || disk::replace(&path, &text)).await;
            if let Ok(Err(error)) = saved {
                self.notes.raise("order", format!("the accepted order cannot be saved: {error}"));
            }
            tracing::info!(entries = order.entries.len(), sha256 = %order.sha256, "order accepted");
            self.order = Some(order.clone());
            self.begin();
            self.handle(Event::Order(order));
        }
        let catalog = self.generated.clone();
        let Ok(Ok(loaded)) = task::spawn_blocking(move || catalog.load()).await else { return };
        let filler = Arc::new(loaded.order);
        let rendering = *self.rendering.borrow();
        if rendering != Rendering::Over && loaded.samples < self.head_start {
            return;
        }
        let known = self.filler.replace(filler.clone()).is_some_and(|before| before == filler);
        // A station with music of its own does not begin with the filler while the music may come in time.
        if self.order.is_some() || rendering != Rendering::NotAsked {
            self.begin();
        }
        if !known {
            self.handle(Event::Filler(filler));
        }
    }

    async fn read_order(&mut self) -> Option<(Arc<Order>, Vec<u8>)> {
        let catalog = self.processed.clone();
        let loaded = task::spawn_blocking(move || catalog.load()).await.ok()?;
        match loaded {
            Ok(loaded) => {
                if loaded.skipped.is_empty() {
                    self.notes.clear("order");
                } else {
                    let file = self.processed.root().join("playlist.m3u");
                    self.notes.raise("order", format!("{}: {}", file.display(), loaded.skipped.join("; ")));
                }
                Some((Arc::new(loaded.order), loaded.text))
            }
            Err(catalog::Error::Nothing) => None,
            Err(error) => {
                self.notes.raise("order", format!("{error}; the last accepted order plays on"));
                None
            }
        }
    }

    /// Begins the timeline of a station that has never been on air.
    fn begin(&mut self) {
        if self.timeline.is_some() {
            return;
        }
        let mut timeline = self.fresh.timeline(self.clock.now());
        for event in self.order.clone().map(Event::Order).into_iter().chain(self.filler.clone().map(Event::Filler)) {
            timeline.handle(event, self.clock.now());
        }
        self.timeline = Some(timeline);
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
    Some(Arc::new(Item {
        id: run.item.clone(),
        title: run.title.clone(),
        artist: run.artist.clone(),
        album: run.album.clone(),
        isrc: run.isrc.clone(),
        segments,
    }))
}
