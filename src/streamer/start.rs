//! Getting on air: the past is read from the ledger, the peer is started, and everything is joined.

use std::{
    collections::{BTreeMap, VecDeque},
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
    Station, Streamer,
    air::Shown,
    catalog::Catalog,
    child::{Children, Rendering, expects_music, is_silent},
    indexer::Indexer,
    keeper::{Keeper, Tended},
    notes::Notes,
    numbers,
    past::{Past, another_epoch, recall, resumed, rules_of},
    publisher::{Held, Named, Publisher, Which},
    reanchor::Wish,
    repairs::Repairs,
    settings::{Settings, idle},
    shelf::Shelf,
    steward::Steward,
    supply::Supply,
    tasks::Tasks,
    witness::{self, Sequences, Witness},
    writer::{Pen, Writer},
};
use crate::{
    clock,
    disk::{Layout, Lock, ledger::Folder},
    ipfs::{Key, Node, Records, Store},
    radio::{
        checkpoint::CheckpointBody,
        echo::Echo,
        ledger::{Signer, desk::Desk},
        naming::{Naming, NamingRules},
        receipt::Body,
        retention::Keep,
        rules::{HEAD_START, Rules},
        status::{OnAir, SetupProgress},
        tempo::Tempo,
        time::Span,
        timeline::{Clocks, First, Timeline},
    },
};

/// How long the network is asked for what it knows of the station's names.
pub(super) const LOOKUP: Duration = Duration::from_secs(10);
/// Reports of what others see that may wait for the publisher.
const REPORTS_MAX: usize = 16;

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
    let silent = is_silent(settings.layout.clone()).await;
    let expects_music = settings.setup && expects_music(settings.sources.clone()).await;
    let witness = settings.witness(&base.node);
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
        projection: watch::Sender::default(),
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
    let patience = settings.patience();
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
        frame: settings.frame(base.epoch),
        status: settings.status(),
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

fn named(key: Key, rules: NamingRules, used: u64, patience: Option<Span>) -> Named {
    let echo = patience.map(|patience| Echo::new(patience, witness::ASKING));
    Named { key: Arc::new(key), naming: Naming::new(rules, used), echo }
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
