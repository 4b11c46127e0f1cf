//! A mirror: a peer without the keys of a station that fetches, verifies, pins and serves what the station publishes.
//!
//! An imperative shell around [`crate::radio::follow`]: one loop asks it what to do and does it in tasks; nothing here
//! decides what is asked again or what is shown. What listeners get comes from memory and the block store alone.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use cid::Cid;
use tokio::{
    sync::watch,
    task::{self, JoinSet},
    time,
};
use tokio_util::sync::CancellationToken;

use self::{
    gather::{Gatherer, List, Root},
    kept::Kept,
};
use crate::{
    clock,
    disk::{self, Layout, Lock},
    ipfs::{Key, Name, Node, Options, Records, Router, Store},
    radio::{
        follow::{Action, Event, Fault, Follow, Found, Said, Saved, Shelf, ShelfRules, Trouble, Which},
        status::{LastPublish, OnAir},
        time::{Span, Time},
    },
};

mod gather;
pub mod kept;
mod names;
mod show;
mod state;
mod tell;
#[cfg(test)]
mod tests;
pub use state::{Refused, check_folder};

/// How often the status is looked over.
const TICK: Duration = Duration::from_secs(1);
/// The most that is kept of what is no longer served.
const KEPT_BYTES_MAX: u64 = 8 << 30;

/// What a mirror is run by.
#[derive(Debug)]
pub struct Settings {
    /// Its folder.
    pub layout: Layout,
    /// The station that is followed.
    pub station: Name,
    /// Checked addresses of the peer.
    pub peer: Options,
    /// Routers that are asked beside the DHT, and given records.
    pub routers: Vec<Router>,
    /// How long segments are kept after they left the station's root.
    pub keep_segments: Span,
    /// How long lists and roots are kept.
    pub keep_lists: Span,
    /// Where it can be heard, for the status; `{stream}` stands for the stream name.
    pub gateways: Vec<String>,
}

/// What a running mirror gives to the listener port.
#[derive(Debug)]
pub struct Mirror {
    /// The blocks that may be served: verified parts of what the station has published.
    pub blocks: Kept<Store>,
    /// The peer id.
    pub peer: String,
    /// Who is mirrored; `None` before both names are verified.
    pub told: watch::Receiver<Option<Told>>,
    /// What is on air; `None` before both names are verified.
    pub on_air: watch::Receiver<Option<Arc<OnAir>>>,
    /// The last verified IPNS records.
    pub records: watch::Receiver<Records>,
    /// `ok`, or all that is wrong.
    pub health: watch::Receiver<String>,
    /// What keeps it running: ends after the stop signal.
    pub running: task::JoinHandle<anyhow::Result<()>>,
}

/// Who is mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the station is called.
    pub title: String,
    /// Its stream name.
    pub stream: String,
}

/// What a task came back with.
enum Done {
    Event(Event),
    Put(Which, Result<LastPublish, String>),
    Root(Result<Root, Fault>),
    List(Result<List, Fault>),
}

struct Work {
    clock: clock::System,
    settings: Settings,
    follow: Follow,
    state: PathBuf,
    store: Store,
    node: Node,
    shelf: Arc<Mutex<Shelf>>,
    /// The newest root and list that were found good, and those that are shown.
    newest: (Option<Arc<Root>>, Option<Arc<List>>),
    shown: Option<(Arc<Root>, Arc<List>)>,
    tasks: JoinSet<Done>,
    gathering: bool,
    /// Lists and roots that are provided still, with the time until which.
    leaving: VecDeque<(Cid, Time)>,
    swept: Option<Time>,
    told: watch::Sender<Option<Told>>,
    on_air: watch::Sender<Option<Arc<OnAir>>>,
    records: watch::Sender<Records>,
    health: watch::Sender<String>,
    /// The last record that was put again.
    last_put: Option<LastPublish>,
    /// What was wrong at the last look.
    troubles: Vec<Trouble>,
}

/// Starts a mirror; it runs until `stop`, and holds `lock` as long.
pub async fn start(settings: Settings, lock: Lock, stop: CancellationToken) -> anyhow::Result<Mirror> {
    let layout = &settings.layout;
    let clock = clock::System::start();
    let state = layout.follow();
    let saved = state::load(&state, settings.station)?;
    let (root, list) = state::verified(&state, &saved, settings.station)?;
    let identity = Key::load_or_create(&layout.peer_key(), true)?;
    let repo = layout.repo();
    let store = Store::open(&repo).await.with_context(|| format!("{}: the repo cannot be opened", repo.display()))?;
    let node = Node::start(settings.peer.clone(), &identity, &store).await?;
    let rules = ShelfRules {
        keep_segments: settings.keep_segments,
        keep_lists: settings.keep_lists,
        bytes_max: KEPT_BYTES_MAX,
    };
    let shelf = Arc::new(Mutex::new(Shelf::new(rules)));
    let (told, telling) = watch::channel(None);
    let (on_air, heard) = watch::channel(None);
    let (records, verified) = watch::channel(Records::default());
    let (health, well) = watch::channel(format!("looking for {}", settings.station));
    let mut work = Work {
        clock,
        follow: Follow::new(&saved, root, list, clock.now().station),
        state,
        store: store.clone(),
        node: node.clone(),
        shelf: shelf.clone(),
        newest: (None, None),
        shown: None,
        tasks: JoinSet::new(),
        gathering: false,
        leaving: VecDeque::new(),
        swept: None,
        told,
        on_air,
        records,
        health,
        last_put: None,
        troubles: Vec::new(),
        settings,
    };
    let ended = store.clone();
    let running = task::spawn(async move {
        let outcome = tokio::select! {
            outcome = work.run(stop) => outcome,
            () = node.ended() => Err(anyhow::anyhow!("the peer was broken off by a bug, please report it")),
            () = ended.ended() => Err(anyhow::anyhow!("the block store was broken off by a bug, please report it")),
        };
        work.tasks.shutdown().await;
        work.node.stop().await;
        work.store.close().await;
        drop(lock);
        outcome
    });
    let (blocks, peer) = (Kept::new(store, shelf), identity.peer_id());
    Ok(Mirror { blocks, peer, told: telling, on_air: heard, records: verified, health: well, running })
}

impl Work {
    async fn run(&mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let nap = self.drain().await;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(done) = self.tasks.join_next() => self.done(done.context("a task of the mirror failed")?),
                () = time::sleep(nap) => {}
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    /// Does what is to be done until there is nothing. Gives the time to wait.
    async fn drain(&mut self) -> Duration {
        loop {
            match self.follow.poll(self.clock.now()) {
                Action::Wait(until) => {
                    let soon = self.clock.now().station.plus(Span(TICK.as_micros() as u64));
                    return self.clock.until(until.min(soon));
                }
                Action::Ask(which) => self.ask(which),
                Action::Gather(which, said) => self.gather(which, &said),
                Action::Save(saved) => self.save(saved),
                Action::Show => self.show().await,
                Action::Put(which, said) => self.put(which, said),
            }
        }
    }

    fn name(&self, which: Which) -> Result<Name, String> {
        match which {
            Which::Station => Ok(self.settings.station),
            Which::Stream => {
                let name = self.follow.stream_name().ok_or("no root has told the stream name")?;
                name.parse().map_err(|error: crate::ipfs::Error| error.to_string())
            }
        }
    }

    fn ask(&mut self, which: Which) {
        let (node, routers, name) = (self.node.clone(), self.settings.routers.clone(), self.name(which));
        self.tasks.spawn(async move {
            let heard = match name {
                Ok(name) => names::resolve(&node, &routers, name).await,
                Err(why) => Err(why),
            };
            Done::Event(match heard {
                Ok(record) => Event::Heard(which, record.as_ref().map(state::said)),
                Err(why) => Event::Unheard(which, why),
            })
        });
    }

    fn gather(&mut self, which: Which, said: &Said) {
        self.gathering = true;
        let gatherer = Gatherer {
            station: self.settings.station.to_string(),
            blocks: self.store.clone(),
            network: self.node.clone(),
            shelf: self.shelf.clone(),
            clock: self.clock,
        };
        let (block, value) = (said.block(), said.value.clone());
        let root = self.newest.0.clone();
        self.tasks.spawn(async move {
            let nothing = || Fault::Wrong(format!("it points to {value:?}, not to a block"));
            match (which, block) {
                (Which::Station, None) => Done::Root(Err(nothing())),
                (Which::Stream, None) => Done::List(Err(nothing())),
                (Which::Station, Some(cid)) => Done::Root(gatherer.root(cid).await),
                (Which::Stream, Some(cid)) => Done::List(match root {
                    Some(root) => gatherer.list(cid, &root).await,
                    None => Err(Fault::Ahead),
                }),
            }
        });
    }

    fn save(&mut self, saved: Saved) {
        let path = self.state.clone();
        self.tasks.spawn(async move {
            let wrote = task::spawn_blocking(move || disk::replace(&path, saved.write().as_bytes())).await;
            let outcome = wrote.map_err(|error| error.to_string()).and_then(|wrote| wrote.map_err(|e| e.to_string()));
            Done::Event(Event::Saved(outcome))
        });
    }

    fn put(&mut self, which: Which, said: Said) {
        let (node, routers, name) = (self.node.clone(), self.settings.routers.clone(), self.name(which));
        self.tasks.spawn(async move {
            let put = match name {
                Ok(name) => names::put(&node, &routers, name, &said).await,
                Err(why) => Err(why),
            };
            Done::Put(which, put)
        });
    }

    fn done(&mut self, done: Done) {
        let event = match done {
            Done::Event(event) => event,
            Done::Put(which, put) => {
                let well = put.is_ok();
                match put {
                    Ok(done) => {
                        tracing::info!(%which, sequence = done.sequence, seconds = done.seconds, "put again");
                        self.last_put = Some(done);
                    }
                    Err(why) => tracing::info!(%which, why, "not put again"),
                }
                Event::Put(which, well)
            }
            Done::Root(Ok(root)) => {
                self.gathering = false;
                let found = Found { list: root.listing.extent(), stream: Some(root.about.stream.clone()) };
                let root = Arc::new(root);
                self.follow.handle(Event::Gathered(Which::Station, Ok(found)), self.clock.now());
                if self.follow.newest(Which::Station).and_then(Said::block) == Some(root.cid) {
                    self.newest.0 = Some(root);
                }
                return;
            }
            Done::List(Ok(list)) => {
                self.gathering = false;
                let found = Found { list: list.listing.extent(), stream: None };
                let list = Arc::new(list);
                self.follow.handle(Event::Gathered(Which::Stream, Ok(found)), self.clock.now());
                if self.follow.newest(Which::Stream).and_then(Said::block) == Some(list.cid) {
                    self.newest.1 = Some(list);
                }
                return;
            }
            Done::Root(Err(fault)) => {
                self.gathering = false;
                tracing::info!(%fault, "no new root");
                Event::Gathered(Which::Station, Err(fault))
            }
            Done::List(Err(fault)) => {
                self.gathering = false;
                tracing::info!(%fault, "no new list");
                Event::Gathered(Which::Stream, Err(fault))
            }
        };
        self.follow.handle(event, self.clock.now());
    }
}
