//! Sees to it that every block of the list and of what has just left it is in the repo, whole and pinned: looks at each
//! every few minutes, and at once at one that somebody was asked for in vain. What is lost is put again from the chunks,
//! or fetched back from peers that have it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::{
    air::{Shown, group_file},
    notes::Notes,
    publisher::TAIL,
    supply::Supply,
};
use crate::{
    clock,
    ipfs::{Blocks, Error, Node, Store},
    radio::{
        aired::{Aired, Run},
        segment::Segment,
        time::{Span, Time},
    },
};

/// How often each block is looked at. Spread out, so that it costs next to nothing.
const ROUND: Span = Span::seconds(300);
/// The pause between two looks, at most: the list is looked at so often.
const PAUSE_MAX: Span = Span::seconds(6);
/// The file of a new group and a picture are stored beside the list that tells of them, within this time.
const STORED: Span = Span::seconds(30);
/// A block that could not be had is tried again after so long, if somebody asks for it.
const AGAIN: Span = Span::seconds(30);
/// How long peers may take for a block.
const FETCH: Duration = Duration::from_secs(20);
/// So many lost blocks are named in the health.
const LOST_SHOWN: usize = 3;

/// Where the bytes of a block come from.
#[derive(Clone, Debug)]
enum Source {
    /// A segment, from its chunk.
    Chunk(Segment, u64, Arc<Run>),
    /// The list of the segments of an item.
    Item(Arc<Run>),
    /// The picture of an item.
    Cover(Arc<Run>),
    /// The file of a group.
    Node(Bytes, u64),
}

/// A block that must be here between these station times.
#[derive(Clone, Debug)]
struct Kept {
    source: Source,
    from: Time,
    until: Time,
}

/// What the keeper works with.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) clock: clock::System,
    pub(super) store: Store,
    pub(super) node: Node,
    pub(super) supply: Supply,
    pub(super) notes: Notes,
}

impl Keeper {
    /// Runs until `stop`.
    pub(super) async fn run(self, mut shows: watch::Receiver<Option<Shown>>, stop: CancellationToken) {
        let mut round =
            Round { keeper: self, kept: BTreeMap::new(), next: None, tried: HashMap::new(), lost: BTreeMap::new() };
        let care = round.keeper.store.care().clone();
        let mut due = round.due();
        loop {
            // A list that comes meanwhile puts nothing off.
            let pause = round.keeper.clock.until(due);
            tokio::select! {
                () = stop.cancelled() => return,
                changed = shows.changed() => {
                    let Ok(()) = changed else { return };
                    let shown = shows.borrow_and_update().clone();
                    shown.iter().for_each(|shown| round.take(shown));
                }
                cid = care.next() => {
                    round.asked_for(cid).await;
                    care.ended(&cid);
                }
                () = time::sleep(pause) => {
                    round.look().await;
                    due = round.due();
                }
            }
        }
    }
}

/// One round after the other.
struct Round {
    keeper: Keeper,
    kept: BTreeMap<Cid, Kept>,
    /// The block that was looked at last.
    next: Option<Cid>,
    /// When a block was tried last in vain.
    tried: HashMap<Cid, Time>,
    /// What nobody has, in words.
    lost: BTreeMap<Cid, String>,
}

impl Round {
    fn now(&self) -> Time {
        self.keeper.clock.now().station
    }

    /// When the next block is to be looked at.
    fn due(&self) -> Time {
        let share = ROUND.0 / self.kept.len().max(1) as u64;
        self.now().plus(Span(share.min(PAUSE_MAX.0)))
    }

    /// Keeps what a list names, and lets go of what no list has named for a while.
    fn take(&mut self, shown: &Shown) {
        let until = self.now().plus(TAIL);
        for aired in &shown.snapshot.segments {
            let Aired { media_seq, run, .. } = aired;
            for segment in aired.all() {
                self.keep(segment.cid, until, || Source::Chunk(segment, *media_seq, run.clone()));
            }
            self.keep(run.list.0, until, || Source::Item(run.clone()));
            if let Some(cover) = run.cover {
                self.keep(cover.cid, until, || Source::Cover(run.clone()));
            }
        }
        for group in shown.snapshot.groups.all() {
            // A group that cannot be encoded was told of when it was to be stored.
            if let Some((cid, bytes)) = group_file(group, &shown.snapshot.axis).ok().and_then(|file| file.node) {
                self.keep(cid, until, || Source::Node(bytes, group.seq));
            }
        }
        let now = self.now();
        self.kept.retain(|_, kept| kept.until > now);
        self.tried.retain(|_, at| at.plus(ROUND) > now);
        let kept = &self.kept;
        let before = self.lost.len();
        self.lost.retain(|cid, _| kept.contains_key(cid));
        if self.lost.len() < before {
            self.tell();
        }
        self.keeper.store.care().want(self.kept.keys().copied().collect::<HashSet<Cid>>());
    }

    fn keep(&mut self, cid: Cid, until: Time, source: impl FnOnce() -> Source) {
        let now = self.now();
        let fresh = || {
            let source = source();
            let beside = matches!(source, Source::Node(..) | Source::Cover(_));
            let from = if beside { now.plus(STORED) } else { now };
            Kept { source, from, until }
        };
        self.kept.entry(cid).or_insert_with(fresh).until = until;
    }

    /// Looks at the next block.
    async fn look(&mut self) {
        let behind = self.next.and_then(|last| self.kept.range(last..).nth(usize::from(self.kept.contains_key(&last))));
        let Some(cid) = behind.or_else(|| self.kept.first_key_value()).map(|(cid, _)| *cid) else { return };
        self.next = Some(cid);
        if self.kept.get(&cid).is_some_and(|kept| kept.from <= self.now()) {
            self.see_to(cid).await;
        }
    }

    /// Somebody was asked for this block, and it is not here.
    async fn asked_for(&mut self, cid: Cid) {
        if self.tried.get(&cid).is_none_or(|at| at.plus(AGAIN) <= self.now()) {
            self.see_to(cid).await;
        }
    }

    async fn see_to(&mut self, cid: Cid) {
        let Some(kept) = self.kept.get(&cid).cloned() else { return };
        let well = match self.keeper.store.is_kept(&cid).await {
            Ok(true) => Ok(()),
            Ok(false) => self.keeper.mend(cid, &kept.source).await,
            Err(error) => Err(error.to_string()),
        };
        match well {
            Ok(()) => {
                self.tried.remove(&cid);
                if self.lost.remove(&cid).is_some() {
                    self.tell();
                }
            }
            Err(why) => {
                self.tried.insert(cid, self.now());
                self.lost.insert(cid, format!("{} ({cid}) is lost: {why}", kept.source.words()));
                self.tell();
            }
        }
    }

    fn tell(&self) {
        if self.lost.is_empty() {
            return self.keeper.notes.clear("blocks");
        }
        let mut lines: Vec<String> = self.lost.values().take(LOST_SHOWN).cloned().collect();
        if self.lost.len() > LOST_SHOWN {
            lines.push(format!("and {} more", self.lost.len() - LOST_SHOWN));
        }
        self.keeper.notes.raise("blocks", lines.join("; "));
    }
}

impl Keeper {
    /// Puts a block again that is not here as it should be. What is damaged was deleted by the look at it: the repo leaves
    /// a file alone that is there.
    async fn mend(&self, cid: Cid, source: &Source) -> Result<(), String> {
        let (bytes, from) = match self.own(cid, source).await {
            Ok(bytes) => (bytes, "our own files"),
            Err(why) => (self.fetch_back(cid).await.map_err(|others| format!("{why}; {others}"))?, "a peer"),
        };
        self.store.put(vec![(cid, bytes)]).await.map_err(|error| error.to_string())?;
        tracing::warn!(%cid, what = source.words(), from, "a block was lost and is put again");
        // A node that has stopped tells nobody; the station stops with it.
        let _ = self.node.notify_new_blocks(vec![cid]).await;
        Ok(())
    }

    async fn own(&self, cid: Cid, source: &Source) -> Result<Bytes, String> {
        match source {
            Source::Chunk(segment, ..) => self.supply.chunk(*segment).await,
            Source::Item(run) => self.supply.segment_list(run).await,
            Source::Cover(run) => self.supply.cover(run.item.clone(), cid).await,
            Source::Node(bytes, _) => Ok(bytes.clone()),
        }
    }

    async fn fetch_back(&self, cid: Cid) -> Result<Bytes, String> {
        if self.node.status().peers == 0 {
            return Err("no peer is connected that might have it".into());
        }
        let fetched = self.node.fetch(&[cid], FETCH).await.map_err(|error: Error| error.to_string())?;
        let came = fetched.into_iter().find(|(came, _)| *came == cid);
        came.map(|(_, bytes)| bytes).ok_or_else(|| "no peer has it".into())
    }
}

impl Source {
    fn words(&self) -> String {
        match self {
            Self::Chunk(_, number, run) => format!("segment {number} of {}", run.entry),
            Self::Item(run) => format!("the list of the segments of {}", run.entry),
            Self::Cover(run) => format!("the picture of {}", run.entry),
            Self::Node(_, number) => format!("group {number} of live-60.m3u8"),
        }
    }
}

/// The blocks as listeners read them: one that must be here and is not is seen to before the answer.
#[derive(Clone, Debug)]
pub struct Tended(pub Store);

/// How long a reader waits for a block that is being mended.
const PATIENCE: Duration = Duration::from_secs(25);

impl Blocks for Tended {
    async fn put(&self, blocks: Vec<(Cid, Bytes)>) -> Result<(), Error> {
        self.0.put(blocks).await
    }

    async fn get(&self, cid: Cid) -> Result<Option<Bytes>, Error> {
        let got = self.0.get(cid).await;
        if matches!(got, Ok(Some(_)) | Err(Error::Store(_))) || !self.0.care().missed(&cid) {
            return got;
        }
        match time::timeout(PATIENCE, self.0.care().attempted(&cid)).await {
            Ok(()) => self.0.get(cid).await,
            Err(_) => got,
        }
    }

    async fn remove(&self, cids: Vec<Cid>) -> Result<(), Error> {
        self.0.remove(cids).await
    }
}
