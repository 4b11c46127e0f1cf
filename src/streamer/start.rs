//! Getting on air: the past is read from the ledger, the peer is started, and everything is joined.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    sync::{Notify, mpsc, watch},
    task,
};
use tokio_util::sync::CancellationToken;

use super::{
    HEAD_START, Station, Streamer,
    air::{Frame, Shown, group_file},
    catalog::{self, Catalog},
    child::{Children, Rendering},
    identity::Identity,
    indexer::Indexer,
    keeper::{Keeper, Tended},
    notes::Notes,
    numbers,
    publisher::{Held, Named, Publisher, Which, hold},
    reanchor::Wish,
    repairs::Repairs,
    shelf::Shelf,
    steward::Steward,
    supply::Supply,
    tasks::Tasks,
    unfinished,
    witness::{self, Pace, Sequences, Witness},
    writer::{Pen, Writer},
};
use crate::{
    clock,
    disk::{self, Layout, Lock, ledger::Folder},
    ipfs::{Key, Node, Options, Records, Router, Store},
    radio::{
        aired::Axis,
        checkpoint::CheckpointBody,
        echo::Echo,
        history::{History, Kept},
        ledger::{
            Signer,
            desk::Desk,
            recall::{Recalled, recall as read_back},
            volume::Volume,
        },
        naming::{Naming, NamingRules},
        receipt::{Body, Receipt},
        retention::{Keep, Retention},
        rules::Rules,
        status::{Network, OnAir, RouterSeen, SetupProgress, Status},
        tempo::Tempo,
        time::Span,
        timeline::{Clocks, First, Timeline},
    },
};

/// How long the network is asked for what it knows of the station's names.
pub(super) const LOOKUP: Duration = Duration::from_secs(10);
/// The least time for which what is told may reach nobody before it is a trouble.
const PATIENCE_MIN: Span = Span::seconds(30);
/// Reports of what others see that may wait for the publisher.
const REPORTS_MAX: usize = 16;
/// Segments of the past that the root's `ipfs/` folder may still hold: far more than a window and ten minutes.
const HELD_MAX: usize = 8_192;
/// How far back the ledger is read at least: further than the longest item began.
const BACK: Span = Span::seconds(48 * 3_600);
/// How deep a source folder is searched for a first file.
const DEPTH_MAX: u32 = 8;

/// What a station is run by.
#[derive(Debug)]
pub struct Settings {
    /// Its folder.
    pub layout: Layout,
    /// Its rules; segment duration and rate hold only for a station without a ledger.
    pub rules: Rules,
    /// Its keys.
    pub identity: Identity,
    /// Whether the keys were there before this start.
    pub known: bool,
    /// What it is called.
    pub name: String,
    /// The listener page of the root directory.
    pub page: String,
    /// Where it can be heard, for the status.
    pub gateways: Vec<String>,
    /// Checked addresses of the peer.
    pub peer: Options,
    /// Whether the peer calls anybody: without it nobody is asked.
    pub calls: bool,
    /// Routers that take names over HTTP, and are asked.
    pub routers: Vec<Router>,
    /// How names are published.
    pub naming: NamingRules,
    /// TTL of the records.
    pub ttl: Span,
    /// How long segments are kept after they aired.
    pub keep_segments: Span,
    /// How long lists and roots are kept.
    pub keep_lists: Span,
    /// Tolerated and needed staleness in seconds, for the status.
    pub staleness_seconds: (f64, f64),
    /// This binary.
    pub binary: PathBuf,
    /// Folders that setup reads.
    pub sources: Vec<PathBuf>,
    /// Whether setup is run beside the air.
    pub setup: bool,
    /// Whether it is run again when sources change.
    pub auto_setup: bool,
}

/// What the network knows of the station's names when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    /// The highest sequence of a record; 0 where there is none.
    pub(super) sequence: u64,
    /// Whether anybody could be asked.
    pub(super) known: bool,
}

/// How to begin a timeline.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    rules: Rules,
    epoch: u64,
    first: First,
    constants: Arc<OnceLock<Body>>,
}

impl Fresh {
    /// Begins it now.
    pub(super) fn timeline(&self, clocks: Clocks) -> Timeline {
        let timeline = Timeline::new(self.rules.clone(), self.epoch, self.first, clocks);
        let _ = self.constants.set(Body::LedgerOpen(timeline.axis().constants()));
        timeline
    }
}

/// What the ledger tells at start.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) found: Recalled,
    /// IPNS sequences above those that the receipts tell of that may have been used.
    pub(super) sequences_above: u64,
    retention: Retention,
    held: VecDeque<Held>,
}

/// What everything at work shares.
struct Base {
    clock: clock::System,
    notes: Notes,
    repairs: Repairs,
    supply: Supply,
    store: Store,
    node: Node,
    writer: Writer,
    /// The newest checkpoints of the ledger.
    told: watch::Receiver<Vec<CheckpointBody>>,
    rules: Rules,
    epoch: u64,
    /// `None` on a station that has never been on air, or begins another epoch.
    timeline: Option<Timeline>,
    fresh: Fresh,
    /// The largest IPNS sequence that may have been used.
    reserved: u64,
    shelf: Shelf,
    held: VecDeque<Held>,
    tasks: Tasks,
}

/// Puts the station on air and keeps it there until `stop`; `lock` is held until it has stopped.
pub async fn start(settings: Settings, lock: Lock, stop: CancellationToken) -> anyhow::Result<Station> {
    let mut base = base(&settings).await?;
    let (shows, shown) = watch::channel(None);
    let (on_air, heard) = watch::channel(None);
    let (records, signed) = watch::channel(Records::default());
    let (progress, progressed) = watch::channel(idle(settings.setup));
    let (rendering, rendered) = watch::channel(Rendering::NotAsked);
    let written = Arc::new(Notify::new());
    let children = Children {
        binary: settings.binary.clone(),
        dir: settings.layout.dir().into(),
        setup_toml: settings.layout.setup_toml(),
        sources: settings.sources.clone(),
        setup: settings.setup,
        auto_setup: settings.auto_setup,
        nice: base.timeline.is_some(),
        notes: base.notes.clone(),
        repairs: base.repairs.clone(),
        progress: Arc::new(progress),
        written: written.clone(),
        rendering,
        published: Arc::default(),
    };
    let silent = is_silent(&settings.layout);
    let expects_music = settings.setup && settings.sources.iter().any(|folder| has_files(folder, DEPTH_MAX));
    let witness = witness(&settings, &base.node);
    let (floors, floor) = watch::channel(None);
    let (reporting, reports) = mpsc::channel(REPORTS_MAX);
    let put = watch::Sender::new(Sequences::default());
    let (store, node, writer, tasks) = (base.store.clone(), base.node.clone(), base.writer.clone(), base.tasks.clone());
    let keeping = shown.clone();
    let streamer = streamer(&settings.layout, &mut base, settings.keep_lists, shows, rendered, written);
    let keeper = Keeper {
        clock: base.clock,
        store: store.clone(),
        node: node.clone(),
        supply: streamer.supply.clone(),
        notes: base.notes.clone(),
    };
    let steward = Steward::new(&settings.layout, base.shelf.clone(), base.notes.clone());
    let indexer = Indexer::new(settings.layout.ledger());
    let publisher = publisher(settings, base, streamer.supply.clone(), progressed, on_air, records, put.clone());
    let running = task::spawn({
        let (store, node) = (store.clone(), node.clone());
        async move {
            let streaming = streamer.run(stop.clone());
            let publishing = publisher.run(shown, floor, reports, stop.clone());
            let making = children.run(silent, expects_music, stop.clone());
            let asking = seen_on_network(&witness, floors, stop.clone());
            let keeping = keeper.run(keeping, stop.clone());
            let saving = steward.run(stop.clone());
            let indexing = indexer.run(stop.clone());
            let watching = witness.clone().run(put.subscribe(), reporting, stop);
            let working =
                async { tokio::join!(streaming, publishing, making, asking, keeping, watching, saving, indexing).0 };
            let outcome = tokio::select! {
                outcome = working => outcome,
                what = tasks.broken() => Err(broken(&what)),
                () = node.ended() => Err(broken("the peer")),
                () = store.ended() => Err(broken("the block store")),
                () = writer.ended() => Err(broken("the ledger's writer")),
            };
            node.stop().await;
            store.close().await;
            drop(lock);
            outcome
        }
    });
    Ok(Station { store: Tended(store), node, on_air: heard, records: signed, running })
}

fn broken(what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what}: broken off by a bug, please report it; another start goes on with what is listed")
}

/// Reads the past, and starts the peer meanwhile.
async fn base(settings: &Settings) -> anyhow::Result<Base> {
    let clock = clock::System::start();
    let notes = Notes::default();
    let layout = &settings.layout;
    let signer = Signer {
        keys: settings.identity.receipts.clone(),
        node_id: settings.identity.peer.peer_id(),
        stream: settings.identity.stream.name().to_string(),
        notary: Some(Arc::new(settings.identity.station.clone())),
    };
    // Lists are kept for as long as anything must be.
    let keep = Keep { least: settings.keep_lists, usual: settings.keep_segments };
    let (ledger, signing) = (layout.ledger(), signer.clone());
    let required = settings.rules.receipts_required;
    let past = task::spawn_blocking(move || recall(&ledger, &signing, keep, required));
    let repo = layout.repo();
    let store = Store::open(&repo).await.with_context(|| format!("{}: the repo cannot be opened", repo.display()))?;
    let node = Node::start(settings.peer.clone(), &settings.identity.peer, &store).await?;
    let mut past = past.await.context("reading the ledger")??;
    let another_epoch = another_epoch(layout, &settings.rules, &past)?;
    let rules = if another_epoch { settings.rules.clone() } else { rules_of(&settings.rules, &past, &notes) };
    let first = numbers::first(settings, &mut past, &node).await;
    // Of a chain that is damaged nobody knows where it ended: another one begins, far above what is known of it.
    let begins_anew = another_epoch || past.found.damage.is_some();
    let constants = Arc::new(OnceLock::new());
    let checkpoints = watch::Sender::new(Vec::new());
    let told = checkpoints.subscribe();
    let writer = writer(&mut past, layout, signer, constants.clone(), checkpoints, &notes)
        .context("the ledger's writer cannot be started")?;
    let reserved = past.found.history.reserved() + past.sequences_above;
    let epoch = past.found.history.axis().map_or(1, |axis| axis.epoch + u64::from(another_epoch));
    let repairs = Repairs::new(clock, settings.setup && settings.auto_setup);
    let supply = Supply {
        processed: Catalog::new(layout.processed()),
        generated: Catalog::new(layout.generated()),
        store: store.clone(),
        rate: rules.rate,
        repairs: repairs.clone(),
    };
    let timeline = if begins_anew { None } else { resumed(past.found.history, &rules, &supply, clock).await };
    let fresh = Fresh { rules: rules.clone(), epoch, first, constants };
    let shelf = Shelf::new(store.clone(), keep, past.retention, layout.adopted());
    let held = past.held;
    Ok(Base {
        clock,
        notes,
        repairs,
        supply,
        store,
        node,
        writer,
        told,
        rules,
        epoch,
        timeline,
        fresh,
        reserved,
        shelf,
        held,
        tasks: Tasks::default(),
    })
}

fn streamer(
    layout: &Layout,
    base: &mut Base,
    keep_lists: Span,
    shows: watch::Sender<Option<Shown>>,
    rendering: watch::Receiver<Rendering>,
    written: Arc<Notify>,
) -> Streamer {
    Streamer {
        clock: base.clock,
        timeline: base.timeline.take(),
        head_start: base.rules.look_ahead() + HEAD_START.to_samples(base.rules.rate),
        fresh: base.fresh.clone(),
        supply: base.supply.clone(),
        accepted_order: layout.accepted_order(),
        had_order: layout.accepted_order().exists(),
        sequence_state: layout.sequence_state(),
        order: None,
        filler: None,
        shelf: base.shelf.clone(),
        keep_lists,
        writer: base.writer.clone(),
        notes: base.notes.clone(),
        tasks: base.tasks.clone(),
        tempo: Tempo::new(base.rules.segment_seconds),
        shows,
        rendering,
        written,
        failing: BTreeMap::new(),
        upcoming: watch::Sender::new(Vec::new()),
        reanchor: Wish::new(layout.reanchor(), base.notes.clone()),
    }
}

fn publisher(
    settings: Settings,
    base: Base,
    supply: Supply,
    setup: watch::Receiver<SetupProgress>,
    on_air: watch::Sender<Option<Arc<OnAir>>>,
    records: watch::Sender<Records>,
    put: watch::Sender<Sequences>,
) -> Publisher {
    let patience = patience(&settings);
    let others = (settings.calls || !settings.routers.is_empty()).then_some(patience);
    Publisher {
        clock: base.clock,
        store: base.store,
        supply,
        node: base.node,
        put,
        writer: base.writer,
        checkpoints: base.told,
        notes: base.notes,
        frame: frame(&settings, base.epoch),
        status: status(&settings),
        routers: settings.routers,
        stream: named(settings.identity.stream, settings.naming, base.reserved, others),
        station: named(settings.identity.station, settings.naming, base.reserved, others),
        held: base.held,
        shelf: base.shelf,
        tasks: base.tasks,
        keep_lists: settings.keep_lists,
        ttl: settings.ttl,
        lifetime: settings.naming.lifetime,
        patience,
        setup,
        on_air,
        records,
    }
}

/// Reads what the ledger tells. Unless receipts are `required`, no ledger keeps the station off the air.
fn recall(dir: &Path, signer: &Signer, keep: Keep, required: bool) -> anyhow::Result<Past> {
    let now = clock::wall();
    let since = now.minus(Span(keep.usual.0.max(BACK.0)));
    let folder: Arc<dyn Volume> = Arc::new(Folder::new(dir));
    let mut past = Past::default();
    let found = read_back(&folder, signer, since, now, required, &mut |receipt, kept| {
        if let Some((kept, axis)) = kept {
            past.keep(receipt, kept, &axis, keep);
        }
        if receipt.body.goes_back() {
            past.retention.keep_at_most(receipt.produced_at.plus(Span(2 * keep.usual.0)));
        }
    });
    past.found = found.context("the ledger cannot be used, and receipts are required")?;
    if past.found.torn_bytes > 0 {
        tracing::warn!(bytes = past.found.torn_bytes, "a torn receipt was cut off");
    }
    let gone = past.held.iter().take_while(|held| held.until.plus(keep.usual) < now).count();
    past.held.drain(..gone);
    Ok(past)
}

impl Past {
    fn keep(&mut self, receipt: &Receipt, kept: Kept, axis: &Axis, keep: Keep) {
        self.retention.keep_aired(kept.cid, kept.until, keep);
        kept.rungs.iter().for_each(|(cid, _)| self.retention.keep_aired(*cid, kept.until, keep));
        kept.cover.iter().for_each(|cover| self.retention.keep_aired(cover.cid, kept.until, keep));
        if let Some(Ok(file)) = kept.group.as_ref().map(|group| group_file(group, axis)) {
            self.retention.keep_aired(file.cid, file.until, keep);
        }
        if let Body::Segment(segment) = &receipt.body {
            let (seq, cid, bytes) = (segment.media_seq, kept.cid, segment.byte_count);
            let (item, cover) = (segment.item.clone(), kept.cover);
            let held = Held { seq, cid, bytes, rungs: kept.rungs, item, cover, until: kept.until };
            hold(&mut self.held, held, axis.date(segment.air_samples));
            if self.held.len() > HELD_MAX {
                self.held.pop_front();
            }
        }
    }
}

/// Whether `setup --new-epoch` has made segments of another duration or rate, with which the station begins anew.
fn another_epoch(layout: &Layout, wanted: &Rules, past: &Past) -> anyhow::Result<bool> {
    let (Some(axis), Some(asked)) = (past.found.history.axis(), layout.asked_epoch()) else { return Ok(false) };
    if (axis.target_seconds, axis.rate) == asked {
        // The epoch it asked for has begun.
        disk::Disk::default().remove(&layout.new_epoch())?;
        return Ok(false);
    }
    Ok(asked == (wanted.segment_seconds, wanted.rate))
}

/// The rules of a station that has a ledger: duration and rate are those it began with.
fn rules_of(wanted: &Rules, past: &Past, notes: &Notes) -> Rules {
    let Some(axis) = past.found.history.axis() else { return wanted.clone() };
    if (axis.target_seconds, axis.rate) != (wanted.segment_seconds, wanted.rate) {
        notes.raise(
            "epoch",
            format!(
                "the station is on air with segments of {} s at {} Hz, setup.toml says {} s at {} Hz; \
                 `ipfs-radio setup --new-epoch` and a restart change that",
                axis.target_seconds, axis.rate, wanted.segment_seconds, wanted.rate
            ),
        );
    }
    Rules { segment_seconds: axis.target_seconds, rate: axis.rate, ..wanted.clone() }
}

fn writer(
    past: &mut Past,
    layout: &Layout,
    signer: Signer,
    constants: Arc<OnceLock<Body>>,
    checkpoints: watch::Sender<Vec<CheckpointBody>>,
    notes: &Notes,
) -> std::io::Result<Writer> {
    let (ledger, damage) = (past.found.ledger.take(), past.found.damage.take());
    if let Some(damage) = &damage {
        notes.raise("receipts", damage.clone());
    }
    if let Some(why) = past.found.unwritable.take() {
        notes.raise("ledger", why);
    }
    let desk = Desk::new(Arc::new(Folder::new(layout.ledger())), signer, ledger, damage);
    Writer::start(Pen { desk, constants, keys: layout.keys(), seen: None, checkpoints })
}

/// The timeline where the ledger ends; `None` if it has no segment.
async fn resumed(history: History, rules: &Rules, supply: &Supply, clock: clock::System) -> Option<Timeline> {
    let position = history.position()?;
    let item = match position.unfinished() {
        Some(run) => unfinished(supply, run).await,
        None => None,
    };
    Some(Timeline::resume(rules.clone(), position, item, clock.now()))
}

fn named(key: Key, rules: NamingRules, used: u64, patience: Option<Span>) -> Named {
    let echo = patience.map(|patience| Echo::new(patience, witness::ASKING));
    Named { key: Arc::new(key), naming: Naming::new(rules, used), echo }
}

/// Others may go on for as long with what they have of the station; short lists give a few puts time all the same.
fn patience(settings: &Settings) -> Span {
    let tolerated = Span::seconds(settings.staleness_seconds.0.max(0.0) as u64);
    tolerated.max(Span(settings.naming.interval.0 * 4)).max(PATIENCE_MIN)
}

fn frame(settings: &Settings, epoch: u64) -> Frame {
    let identity = &settings.identity;
    let station_json = serde_json::json!({
        "name": settings.name,
        "stream": identity.stream.name().to_string(),
        "station": identity.station.name().to_string(),
        "peer": identity.peer.peer_id(),
        "epoch": epoch,
    });
    Frame { page: settings.page.clone(), station_json: format!("{station_json}\n") }
}

fn status(settings: &Settings) -> Status {
    let (tolerated, needed) = settings.staleness_seconds;
    Status {
        station: settings.identity.station.name().to_string(),
        stream: settings.identity.stream.name().to_string(),
        peer: settings.identity.peer.peer_id(),
        addresses: Vec::new(),
        gateways: settings.gateways.clone(),
        findable: false,
        network: Network { routers: settings.routers.iter().map(unasked).collect(), ..Network::default() },
        media_sequence: 0,
        now: None,
        next: None,
        rungs: Vec::new(),
        tolerated_staleness_seconds: tolerated,
        needed_staleness_seconds: needed,
        last_publish: None,
        setup: idle(settings.setup),
        clock: None,
        mirror: None,
        health: "ok".into(),
    }
}

fn idle(setup: bool) -> SetupProgress {
    SetupProgress { state: if setup { "idle" } else { "off" }.into(), done: 0, total: 0 }
}

fn unasked(router: &Router) -> RouterSeen {
    RouterSeen { url: router.url().into(), state: "not asked yet".into() }
}

pub(super) fn witness(settings: &Settings, node: &Node) -> Witness {
    Witness {
        node: node.clone(),
        routers: settings.routers.clone(),
        stream: settings.identity.stream.name(),
        station: settings.identity.station.name(),
        calls: settings.calls,
        pace: Pace::USUAL,
    }
}

/// The highest IPNS sequence that the network knows of the station's names. Names are not published before it is told.
async fn seen_on_network(witness: &Witness, floors: watch::Sender<Option<Floor>>, stop: CancellationToken) {
    let ask = async {
        let (stream, station) =
            tokio::join!(witness.newest(Which::Stream, LOOKUP), witness.newest(Which::Station, LOOKUP));
        let known = stream.is_ok() && station.is_ok();
        let found = [stream, station].into_iter().flatten().flatten();
        Floor { sequence: found.map(|record| record.view().sequence).max().unwrap_or(0), known }
    };
    let floor = tokio::select! {
        floor = ask => floor,
        () = stop.cancelled() => return,
    };
    floors.send_replace(Some(floor));
}

/// Whether there is no order that could air.
fn is_silent(layout: &Layout) -> bool {
    let order = Catalog::new(layout.processed()).load();
    if let Err(error @ catalog::Error::Disk(_)) = &order {
        tracing::warn!(%error, "the generator begins as if there was no music; the order is read again");
    }
    order.is_err()
}

/// Whether there is any file in a folder, down to `depth` levels.
fn has_files(folder: &Path, depth: u32) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let path = entry.path();
        !hidden && (path.is_file() || (depth > 0 && path.is_dir() && has_files(&path, depth - 1)))
    })
}
