//! The station on air: an imperative shell around [`crate::radio::timeline`].
//!
//! One loop asks the timeline what to do and does it; one task makes lists visible and publishes names; one thread
//! writes the ledger; setup runs in a child process. They are joined by channels, and the loop waits for none of them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task, time,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    ahead::{Seen, Upcoming, look_ahead},
    air::Shown,
    catalog::Catalog,
    child::Rendering,
    notes::Notes,
    reanchor::Wish,
    shelf::Shelf,
    supply::{Soundness, Supply},
    tasks::{Tasks, blocking},
    writer::Writer,
};
use crate::{
    clock, disk,
    ipfs::{Blocks, Node, Records},
    radio::{
        programme::Order,
        receipt::Body,
        rules::Rules,
        segment::{Item, Rung},
        status::OnAir,
        tempo::Tempo,
        time::{Span, Time},
        timeline::{Action, Event, Timeline},
        trouble,
    },
    watch::Watch,
};

mod ahead;
mod air;
mod catalog;
mod checkpoints;
mod child;
mod covers;
pub mod identity;
mod indexer;
mod keeper;
mod lanes;
mod notes;
mod numbers;
mod offer;
mod past;
pub mod preview;
mod publisher;
pub mod reanchor;
mod repairs;
mod settings;
mod shelf;
mod start;
mod steward;
mod supply;
mod tasks;
mod witness;
mod writer;

pub use identity::Identity;
pub use keeper::Tended;
pub use settings::Settings;
pub use start::start;

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

/// What a running station gives to the listener port.
#[derive(Debug)]
pub struct Station {
    /// The blocks that may be served.
    pub store: Tended,
    /// The peer.
    pub node: Node,
    /// The air; `None` before the first list.
    pub on_air: watch::Receiver<Option<Arc<OnAir>>>,
    /// The IPNS records.
    pub records: watch::Receiver<Records>,
    /// What keeps it on air: ends after the stop signal.
    pub running: task::JoinHandle<anyhow::Result<()>>,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ill {
    /// Whether something of it airs all the same.
    airs: bool,
    why: String,
}

/// The same, and since when it is known.
#[derive(Clone, Debug)]
struct Failing {
    ill: Ill,
    since: Time,
}

/// Since when it is known that something is wrong with an entry.
fn since(failing: &BTreeMap<String, Failing>, path: &str) -> Option<Time> {
    failing.get(path).map(|failing| failing.since)
}

/// The loop and what it works with.
struct Streamer {
    clock: clock::System,
    /// `None` before there is anything to air on a station that has never been on air.
    timeline: Option<Timeline>,
    /// How to begin one.
    fresh: start::Fresh,
    head_start: u64,
    supply: Supply,
    accepted_order: PathBuf,
    /// Whether an order was ever accepted.
    had_order: bool,
    sequence_state: PathBuf,
    /// What it is to hold.
    projection: watch::Sender<String>,
    order: Option<Arc<Order>>,
    filler: Option<Arc<Order>>,
    shelf: Shelf,
    /// How long blocks are kept from being stored until it is known how long they are to be kept.
    keep_lists: Span,
    writer: Writer,
    notes: Notes,
    tasks: Tasks,
    /// Whether the disk keeps up.
    tempo: Tempo,
    shows: watch::Sender<Option<Shown>>,
    rendering: watch::Receiver<Rendering>,
    written: Arc<Notify>,
    /// Entries of which something is wrong, and what.
    failing: BTreeMap<String, Failing>,
    /// What is to be looked at before it is its turn.
    upcoming: watch::Sender<Vec<Upcoming>>,
    /// Whether the dates are to be those of the wall clock.
    reanchor: Wish,
}

impl Streamer {
    /// Runs until `stop`.
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let (events, mut happened) = mpsc::channel(EVENTS_MAX);
        let catalogs = [self.supply.processed.clone(), self.supply.generated.clone()];
        let mut watch = Watch::new(&catalogs.each_ref().map(|catalog| (catalog.root(), false)), SETTLE).await;
        let written = self.written.clone();
        let (found, mut orders) = mpsc::channel(1);
        let (accepted, rendering) = (self.accepted_order.clone(), self.rendering.clone());
        let reading = read_orders(catalogs, accepted, written.clone(), rendering, found);
        let _reading = AbortOnDropHandle::new(self.tasks.spawn("reading the order", reading));
        let watching = async move {
            loop {
                watch.changed().await;
                written.notify_one();
            }
        };
        let _watching = AbortOnDropHandle::new(self.tasks.spawn("watching the folder", watching));
        let (seeing, mut seen) = mpsc::channel(1);
        let looking = look_ahead(self.supply.clone(), self.clock, self.upcoming.subscribe(), seeing.clone());
        let _looking = AbortOnDropHandle::new(self.tasks.spawn("looking ahead", looking));
        let projecting = project(self.sequence_state.clone(), self.projection.subscribe(), self.notes.clone());
        let _projecting = AbortOnDropHandle::new(self.tasks.spawn("writing the sequence state", projecting));
        let mut wished = self.reanchor.watch(&self.tasks);
        loop {
            let nap = self.drain(&events, &seeing);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(event) = happened.recv() => self.handle(event),
                () = time::sleep(nap) => {}
                Some(read) = orders.recv() => self.take(read),
                Some(seen) = seen.recv() => self.seen(seen),
                Some(()) = wished.recv() => self.handle(Event::Reanchor),
            }
        }
    }

    /// Does what the timeline asks for until it waits. Gives the time to wait.
    fn drain(&mut self, events: &mpsc::Sender<Event>, seeing: &mpsc::Sender<Seen>) -> Duration {
        let Some(timeline) = &mut self.timeline else { return Duration::from_micros(NAP_MAX.0) };
        loop {
            let now = self.clock.now();
            let action = timeline.poll(now);
            trouble::of_action(&action).into_iter().for_each(|told| self.notes.told(told));
            match action {
                Action::Wait(until, _) => {
                    tell_tempo(&self.notes, &mut self.tempo, timeline.rules(), now.station);
                    return self.clock.until(until.min(now.station.plus(NAP_MAX)));
                }
                Action::Show(snapshot) => {
                    let shown = Shown { snapshot, from: timeline.listed_from() };
                    let (skew, allowed) = (shown.skew(now).unwrap_or_default(), timeline.rules().skew());
                    self.notes.told(trouble::of_clock(skew, allowed, timeline.is_reanchoring()));
                    self.shows.send_replace(Some(shown));
                    self.projection.send_replace(projection(timeline, now.wall));
                }
                Action::Fetch(slot) => {
                    let (supply, events, seeing) = (self.supply.clone(), events.clone(), seeing.clone());
                    let fails = |path: &str| since(&self.failing, path);
                    tell(&self.upcoming, ahead::upcoming(timeline, self.order.as_deref(), fails));
                    self.tasks.spawn("fetching an item", async move {
                        let (event, seen) = supply.fetch(slot).await;
                        let _ = events.send(event).await;
                        let _ = seeing.send(seen).await;
                    });
                }
                Action::Store(segments, rungs, lists) => {
                    let samples = segments.iter().map(|segment| u64::from(segment.samples)).sum();
                    self.tempo.begins(now.station, Span::of_samples(samples, timeline.rules().rate));
                    let (supply, events, shelf) = (self.supply.clone(), events.clone(), self.shelf.clone());
                    let until = now.station.plus(self.keep_lists);
                    self.tasks.spawn("storing segments", async move {
                        let cids = segments.iter().map(|segment| segment.cid).chain(lists.iter().map(|(cid, _)| cid.0));
                        shelf.keep(cids.chain(rungs.iter().map(|(_, rung)| rung.cid)), until).await;
                        let event = supply.put(segments, rungs, lists).await;
                        let _ = events.send(event).await;
                    });
                }
                Action::Record(bodies) => {
                    self.tempo.begins(now.station, Span(0));
                    let (writer, events) = (self.writer.clone(), events.clone());
                    self.tasks.spawn("writing receipts", async move {
                        let event = record(writer, bodies).await;
                        let _ = events.send(event).await;
                    });
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        if let Event::Stored
        | Event::StoredWithout(_)
        | Event::NotStored(_)
        | Event::Missing(..)
        | Event::Recorded
        | Event::NotRecorded(_) = &event
        {
            self.tempo.ends(self.clock.now().station);
        }
        match &event {
            Event::Missing(index, why) => {
                let entry = self.timeline.as_ref().and_then(|timeline| timeline.planned_entry(*index)).cloned();
                if let Some(entry) = entry {
                    let hint = self.supply.repairs.want(Supply::place(&entry), &entry.id);
                    self.fails(&entry.path, Ill { airs: true, why: format!("breaks off: {why}; {hint}") });
                }
            }
            Event::StoredWithout(lost) => self.stand_ins(lost),
            Event::Fetched(slot, item) => tracing::info!(entry = %slot.entry.path, title = %item.title, "fetched"),
            _ => {}
        }
        trouble::of_event(&event).into_iter().for_each(|told| self.notes.told(told));
        if matches!(event, Event::Reanchor) {
            self.reanchor.is_open(true);
        }
        // A timeline that has not begun will be dated by the clock in any case.
        let open = self.timeline.as_mut().is_some_and(|timeline| {
            timeline.handle(event, self.clock.now());
            timeline.is_reanchoring()
        });
        self.reanchor.is_open(open);
    }

    /// Says of which entries the default rendition stands in for others, and has these made anew.
    fn stand_ins(&mut self, lost: &[(usize, Rung)]) {
        for (index, rung) in lost {
            let entry = self.timeline.as_ref().and_then(|timeline| timeline.planned_entry(*index)).cloned();
            let Some(entry) = entry else { continue };
            let hint = self.supply.repairs.want(Supply::place(&entry), &entry.id);
            let why = format!("airs in places without its rendition of {} b/s: a chunk is lost; {hint}", rung.bitrate);
            self.fails(&entry.path, Ill { airs: true, why });
        }
    }

    fn fails(&mut self, path: &str, ill: Ill) {
        if self.failing.len() < FAILING_MAX || self.failing.contains_key(path) {
            // What fails already is looked at now and then, whatever more is found of it.
            let since = self.failing.get(path).map_or_else(|| self.clock.now().station, |known| known.since);
            self.failing.insert(path.to_owned(), Failing { ill, since });
        }
        self.tell_failing();
        self.tell_upcoming();
    }

    fn tell_upcoming(&self) {
        let Some(timeline) = &self.timeline else { return };
        let fails = |path: &str| since(&self.failing, path);
        tell(&self.upcoming, ahead::upcoming(timeline, self.order.as_deref(), fails));
    }

    /// What was found of an entry when its turn came or before.
    fn seen(&mut self, seen: Seen) {
        let refusal = seen.item.as_ref().zip(self.timeline.as_ref());
        let refusal = refusal.and_then(|(item, timeline)| timeline.refusal(item));
        let cannot = |why: &str| Ill { airs: false, why: format!("cannot air: {why}") };
        let ill = match (refusal, seen.soundness) {
            (Some(why), _) => cannot(why),
            (None, Soundness::Lost(why)) => cannot(&why),
            (None, Soundness::Ailing(why)) => Ill { airs: true, why: format!("is damaged: {why}") },
            (None, Soundness::Whole) => {
                if self.failing.remove(&seen.path).is_some() {
                    self.tell_failing();
                    self.tell_upcoming();
                }
                return;
            }
        };
        self.fails(&seen.path, ill);
    }

    /// Hands on what is new. A bad edit changes nothing but the health.
    fn take(&mut self, read: Read) {
        match read.saved {
            Some(Ok(())) => self.notes.clear("accepted order"),
            Some(Err(error)) => self.notes.raise("accepted order", format!("{error}; nothing on air depends on it")),
            None => {}
        }
        if let Some(order) = self.accepted(read.order)
            && self.order.as_ref() != Some(&order)
        {
            tracing::info!(entries = order.entries.len(), sha256 = %order.sha256, "order accepted");
            self.failing.retain(|path, _| order.entries.iter().any(|entry| entry.path == *path));
            self.tell_failing();
            self.order = Some(order.clone());
            self.had_order = true;
            if !self.begin() {
                self.handle(Event::Order(order));
            }
            self.tell_upcoming();
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
                self.supply.repairs.index_mended();
                if loaded.skipped.is_empty() {
                    self.notes.clear("order");
                } else {
                    let file = self.supply.processed.root().join("playlist.m3u");
                    self.notes.raise("order", format!("{}: {}", file.display(), loaded.skipped.join("; ")));
                }
                Some(Arc::new(loaded.order))
            }
            // A station that never had an order airs its filler, and all is well.
            Err(catalog::Error::Nothing(_)) if !self.had_order => None,
            Err(error) => {
                let airs = if self.order.is_some() { "the last accepted order plays on" } else { "the filler airs" };
                let mends = matches!(error, catalog::Error::Nothing(_) | catalog::Error::Manifest(..));
                let hint = if mends { self.supply.repairs.want_index() } else { "" };
                self.notes.raise("order", [&*format!("{error}; {airs}"), hint].join("; ").trim_end_matches("; "));
                None
            }
        }
    }

    /// Says with which entries something is wrong at present.
    fn tell_failing(&self) {
        if self.failing.is_empty() {
            return self.notes.clear("programme");
        }
        let shown = self.failing.iter().take(FAILING_SHOWN);
        let mut lines: Vec<String> = shown.map(|(path, failing)| format!("{path} {}", failing.ill.why)).collect();
        if self.failing.len() > FAILING_SHOWN {
            lines.push(format!("and {} more", self.failing.len() - FAILING_SHOWN));
        }
        let fails = |path: &String| self.failing.get(path).is_some_and(|failing| !failing.ill.airs);
        if self.order.as_ref().is_some_and(|order| order.entries.iter().all(|entry| fails(&entry.path))) {
            lines.push("nothing of the order can air: the filler airs until something can".into());
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
    /// Whether it lies in `state/` as well; nothing where there is none.
    saved: Option<Result<(), disk::Error>>,
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
        let read = blocking(move || {
            let order = processed.load();
            let saved = match &order {
                Ok(loaded) if loaded.order.sha256 != known => Some(disk::replace(&path, &loaded.text)),
                Ok(_) => Some(Ok(())),
                Err(_) => None,
            };
            Read { order, saved, filler: generated.load().ok(), rendering: now_rendering }
        });
        let Some(read) = read.await else { return };
        if let (Ok(loaded), Some(Ok(()))) = (&read.order, &read.saved) {
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

/// Tells what comes next if it is other than before.
fn tell(upcoming: &watch::Sender<Vec<Upcoming>>, ahead: Vec<Upcoming>) {
    upcoming.send_if_modified(|told| {
        let other = *told != ahead;
        *told = ahead;
        other
    });
}

/// Says whether the disk is too slow.
fn tell_tempo(notes: &Notes, tempo: &mut Tempo, rules: &Rules, now: Time) {
    if !tempo.is_slow(now) {
        return notes.clear("slow disk");
    }
    let (allowed, ahead) = (tempo.least().0 as f64 / 1e6, rules.look_ahead * rules.segment_seconds);
    notes.raise(
        "slow disk",
        format!(
            "segments or receipts take more than {allowed} s to become durable; listeners hear it when the {ahead} s that are \
             listed ahead are used up; see what else writes to the disk of state/, or move the station to a faster one"
        ),
    );
}

async fn record(writer: Writer, bodies: Vec<Body>) -> Event {
    match writer.append(bodies).await {
        Ok(()) => Event::Recorded,
        Err(why) => Event::NotRecorded(why),
    }
}

/// What `sequence_state.json` holds: for people to read, never read back.
fn projection(timeline: &Timeline, wall: Time) -> String {
    let last = timeline.last();
    let text = serde_json::json!({
        "media_sequence": last.map(|aired| aired.media_seq),
        "discontinuity_sequence": last.map(|aired| aired.disc_seq),
        "position": last.map(|aired| aired.run.position),
        "entry": last.map(|aired| aired.run.entry.clone()),
        "timestamp": wall.to_string(),
    });
    format!("{text}\n")
}

/// Writes it, the newest one: a slow disk misses some.
async fn project(path: PathBuf, mut projection: watch::Receiver<String>, notes: Notes) {
    while projection.changed().await.is_ok() {
        let (path, text) = (path.clone(), projection.borrow_and_update().clone());
        match blocking(move || disk::replace(&path, text.as_bytes())).await {
            Some(Ok(())) => notes.clear("projections"),
            Some(Err(error)) => notes.raise("projections", format!("{error}; nothing on air depends on it")),
            None => return,
        }
    }
}

/// Reads the item that had begun from the list of its segments in the repo, whatever happened to `processed/`; where the
/// repo has lost it, from there, if it is what it was.
async fn unfinished(supply: &Supply, run: &crate::radio::aired::Run) -> Option<Arc<Item>> {
    let text = match supply.store.get(run.list.0).await {
        Ok(Some(text)) => text,
        Ok(None) | Err(_) => supply.segment_list(run).await.ok()?,
    };
    let (segments, rungs) = crate::radio::aired::parse_segment_list(std::str::from_utf8(&text).ok()?)?;
    Some(Arc::new(run.item(segments, rungs)))
}
