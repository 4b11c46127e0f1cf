//! One station in a world that fails it: clocks, store, ledger, operators, crashes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use cid::Cid;

use super::super::{
    programme::Order,
    receipt::{Body, CidText, RenditionBody},
    rules::Rules,
    segment::{Item, Rung},
    time::{Span, Time},
    timeline::{Action, Clocks, Event, Snapshot, Timeline, UNRECORDED_MAX},
    trouble,
};
use super::{
    audience::{Audience, Version},
    blocks::Blocks,
    catalogue::{self, Catalogue, Shape},
    chance::Chance,
    expect::Expect,
    names::Names,
    observer::{Moment, Observer, ROUNDING, hash},
    paper::{Paper, Records},
    volume::{FAILURES, Failure},
};

mod checks;
mod faults;
mod restart;

pub(super) use faults::{DOWNTIMES, Fault, STEPS, any_step, some_step};

/// What a world is like.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) seed: u64,
    pub(super) rules: Rules,
    pub(super) shape: Shape,
    pub(super) items: usize,
    /// How long the store, the ledger and a look-up take on average, in microseconds.
    pub(super) latency: u64,
    /// The mean time between two faults, in seconds.
    pub(super) fault_seconds: u64,
    pub(super) faults: &'static [Fault],
    /// One in so many actions meets a crash.
    pub(super) crash_one_in: u64,
    /// For how many seconds a station that crashed stays down: one of these, or not at all.
    pub(super) downtimes: &'static [u64],
    /// One in so many lists is rendered and read back.
    pub(super) read_one_in: u64,
    /// Whether there is a filler from the beginning.
    pub(super) filler: bool,
    pub(super) paper: Paper,
    /// Which of the ladders items are made with at first; with none of them they never have another rendition.
    pub(super) ladder: usize,
}

pub(super) const SECOND: u64 = 1_000_000;
/// A look-up, a write or a wait that failed is left alone for this long.
const RETRY: u64 = SECOND;

#[derive(Debug)]
struct Out {
    done: u64,
    action: Action,
}

/// One run of the process.
#[derive(Debug)]
struct Life {
    timeline: Timeline,
    born: u64,
    /// The wall clock when it was born.
    base: u64,
    suspended: u64,
    out: Option<Out>,
    wake: u64,
    /// When the batch at hand was begun, by the station clock.
    cycle: Option<Time>,
    /// Whether a clock was touched since.
    touched: bool,
    /// When something failed last.
    failed: Option<Time>,
    /// The other renditions of each segment of the batch at hand that are stored.
    rungs: Vec<Vec<Rung>>,
    /// The size of the batch that went on air last, and for how long it was in the making, in samples.
    batch: (usize, i64),
    /// Whether there was more to plan when the batch at hand was planned.
    more: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) config: Config,
    chance: Chance,
    /// Real time in microseconds since 1970.
    now: u64,
    wall_offset: i64,
    life: Option<Life>,
    catalogue: Catalogue,
    paths: Vec<usize>,
    order: Arc<Order>,
    filler: Option<Arc<Order>>,
    pub(super) blocks: Blocks,
    lists: HashMap<Cid, String>,
    /// The items as they were made with each ladder.
    made: HashMap<(String, usize), Arc<Item>>,
    /// Which ladder items are made with.
    pub(super) ladder: usize,
    /// Other renditions that could not be had when they were to be stored.
    pub(super) stood_in: u64,
    bad: HashSet<Cid>,
    pub(super) records: Records,
    pub(super) observer: Observer,
    expect: Expect,
    pub(super) audience: Audience,
    pub(super) names: Names,
    next_fault: u64,
    storm_until: u64,
    store_down_until: u64,
    ledger_down_until: u64,
    /// How it fails then.
    ledger_fails: Failure,
    /// Whether a receipt of the chain of numbers at hand is durable.
    proved: bool,
    /// What health would tell.
    troubles: BTreeMap<&'static str, String>,
    /// Whether a chain was visible, since the last receipt of a segment, of which none is durable.
    unproved_seen: bool,
    /// Whether the wall clock was set back since.
    set_back: bool,
    /// How often numbers may have been given twice, since nothing told of the first time, not even the clock.
    pub(super) untold: u64,
    /// The station clock when the process was killed.
    killed_at: Option<Time>,
    fetch_down_until: u64,
    orders_due: Vec<String>,
    /// Actions in the simulated second at hand, since the last list that went on.
    acts: (u64, u64),
    pub(super) crashes: u64,
    /// All that was seen, hashed: two runs of a seed are the same run.
    pub(super) seen: u64,
    tracing: bool,
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        let mut chance = Chance::new(config.seed);
        let (rate, seconds) = (config.rules.rate, config.rules.segment_seconds);
        let catalogue = Catalogue::new(&mut chance, rate, seconds, config.items, config.shape);
        let paths = catalogue.some(&mut chance);
        let now = 1_795_252_684_893_000 + chance.next() % (1_000 * SECOND);
        let mut world = Self {
            order: catalogue.order(&paths),
            filler: config.filler.then(|| catalogue::filler(7)),
            observer: Observer::new(config.rules.clone()),
            blocks: Blocks::new(&config.rules),
            records: Records::new(config.paper, config.rules.receipts_required, config.seed),
            chance,
            now,
            wall_offset: 0,
            life: None,
            catalogue,
            paths,
            lists: HashMap::new(),
            made: HashMap::new(),
            ladder: config.ladder,
            stood_in: 0,
            bad: HashSet::new(),
            expect: Expect::default(),
            audience: Audience::default(),
            names: Names::new(),
            config,
            next_fault: 0,
            storm_until: 0,
            store_down_until: 0,
            ledger_down_until: 0,
            ledger_fails: FAILURES[0],
            proved: false,
            troubles: BTreeMap::new(),
            unproved_seen: false,
            set_back: false,
            untold: 0,
            killed_at: None,
            fetch_down_until: 0,
            orders_due: Vec::new(),
            acts: (0, 0),
            crashes: 0,
            seen: 0,
            tracing: std::env::var_os("SIM_TRACE").is_some(),
        };
        world.schedule_fault();
        world.start();
        world
    }

    /// How far the dates of what is on air are ahead of the wall clock, in milliseconds.
    pub(super) fn skew_millis(&self) -> i64 {
        self.life.as_ref().expect("the process runs").timeline.skew_millis(self.clocks())
    }

    /// In how many bytes all that the timeline keeps can be told.
    pub(super) fn kept(&self) -> usize {
        format!("{:?}", self.life.as_ref().expect("the process runs").timeline).len()
    }

    /// Lets so much real time pass.
    pub(super) fn run(&mut self, seconds: u64) {
        let until = self.now + seconds * SECOND;
        while self.now < until {
            let life = self.life.as_ref().expect("a station that crashed was started again");
            let next = life.out.as_ref().map_or(life.wake, |out| out.done).min(self.next_fault).min(until);
            self.now = self.now.max(next);
            if self.now >= self.next_fault {
                self.fault();
                self.schedule_fault();
            }
            let life = self.life.as_ref().expect("a station that crashed was started again");
            if life.out.as_ref().is_some_and(|out| out.done <= self.now) {
                self.complete();
            }
            self.drive();
            self.publish();
        }
    }

    /// The names follow what is visible.
    fn publish(&mut self) {
        let (now, wall) = (self.now, self.wall());
        self.turn_disk();
        let records = &mut self.records;
        let mut refused = None;
        self.names.step(now, wall, &mut self.chance, |reservation| {
            let done = records.append(&[reservation], wall);
            refused = done.as_ref().err().cloned().or_else(|| refused.take());
            done.is_ok()
        });
        self.tell(refused.map(|why| ("ledger", Some(why))));
    }

    /// Health is told of a trouble, or that it is over.
    fn tell(&mut self, told: Option<trouble::Told>) {
        match told {
            Some((topic, Some(why))) => drop(self.troubles.insert(topic, why)),
            Some((topic, None)) => drop(self.troubles.remove(topic)),
            None => {}
        }
    }

    /// The disk fails for as long as it is to.
    fn turn_disk(&mut self) {
        let down = self.now < self.ledger_down_until;
        self.records.disk.set_down(down.then_some(self.ledger_fails));
    }

    fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("the process runs")
    }

    fn clocks(&self) -> Clocks {
        let life = self.life.as_ref().expect("the process runs");
        let station = Time(life.base + (self.now - life.born) - life.suspended);
        Clocks { station, wall: self.wall() }
    }

    fn wall(&self) -> Time {
        Time(self.now.saturating_add_signed(self.wall_offset))
    }

    fn samples(&self, micros: u64) -> i64 {
        (u128::from(micros) * u128::from(self.config.rules.rate) / 1_000_000) as i64
    }

    /// Does what the timeline asks for until it waits.
    fn drive(&mut self) {
        loop {
            let clocks = self.clocks();
            let action = self.life().timeline.poll(clocks);
            self.tell(trouble::of_action(&action));
            self.trace(|| format!("{} {action:?}", self.observer.media_now(clocks.station)));
            if let Action::Wait(until, why) = action {
                self.check_wait(until, why, clocks);
                let wait = until.0 - clocks.station.0;
                self.life().wake = self.now + wait;
                return;
            }
            self.count_action();
            if let Action::Show(snapshot) = action {
                self.show(&snapshot, clocks);
                continue;
            }
            assert!(self.life().out.is_none(), "two actions are out");
            if self.chance.one_in(self.config.crash_one_in) {
                return self.crash(Some(action));
            }
            self.begin(action, clocks);
        }
    }

    fn begin(&mut self, action: Action, clocks: Clocks) {
        match &action {
            Action::Fetch(slot) => self.expect.check_fetch(slot),
            Action::Store(segments, rungs, _) => {
                assert!(segments.len() <= 64, "a batch of {}", segments.len());
                self.expect.check_store(segments, rungs);
                self.check_all_shown();
                let more = self.expect.next().is_some();
                self.life().more = more;
            }
            Action::Record(bodies) => assert!(!bodies.is_empty()),
            Action::Show(_) | Action::Wait(..) => {}
        }
        let took = self.latency();
        let now = self.now;
        let life = self.life();
        if life.cycle.is_none() {
            (life.cycle, life.touched) = (Some(clocks.station), false);
        }
        life.out = Some(Out { done: now + took, action });
    }

    fn latency(&mut self) -> u64 {
        if self.now < self.storm_until { 10 * SECOND } else { self.chance.around(self.config.latency) }
    }

    /// The action that was out has ended: the timeline is told.
    fn complete(&mut self) {
        let Some(Out { action, .. }) = self.life().out.take() else { return };
        let clocks = self.clocks();
        let event = match action {
            Action::Fetch(slot) => self.fetch(slot),
            Action::Store(segments, rungs, lists) => {
                let cids: Vec<Cid> = segments.iter().map(|segment| segment.cid).collect();
                self.store(&cids, rungs, lists)
            }
            Action::Record(bodies) => self.record(&bodies, clocks),
            Action::Show(_) | Action::Wait(..) => unreachable!("nothing to be done"),
        };
        let longest = self.config.rules.target();
        let failed = match &event {
            Event::Fetched(_, item) => item.segments.iter().any(|segment| u64::from(segment.samples) > longest),
            Event::NotFetched(..) | Event::NotStored(_) | Event::NotRecorded(_) | Event::Missing(..) => true,
            _ => false,
        };
        if failed {
            self.life().failed = Some(clocks.station);
        }
        self.tell(trouble::of_event(&event));
        self.life().timeline.handle(event, clocks);
        self.observer.reanchoring &= self.life().timeline.is_reanchoring();
    }

    fn fetch(&mut self, slot: super::super::programme::Slot) -> Event {
        let longest = self.config.rules.target();
        let segment_frames = (longest / 1_024) as usize;
        let filler = slot.entry.id.strip_prefix('f').and_then(|index| usize::from_str_radix(index, 16).ok());
        let item = match filler {
            Some(index) => catalogue::filler_item(index, segment_frames),
            None => self.made(&slot.entry.id),
        };
        if self.now < self.fetch_down_until && (filler.is_none() || self.chance.one_in(3)) {
            self.expect.fetched(&slot, None, longest);
            return Event::NotFetched(slot, "not to be had".into());
        }
        self.expect.fetched(&slot, Some(&item), longest);
        Event::Fetched(slot, item)
    }

    /// The item as it is made with the settings of now.
    fn made(&mut self, id: &str) -> Arc<Item> {
        let (catalogue, ladder) = (&self.catalogue, self.ladder);
        let made = || catalogue::laddered(&catalogue.item(id), ladder);
        self.made.entry((id.into(), ladder)).or_insert_with(made).clone()
    }

    fn store(&mut self, segments: &[Cid], rungs: Vec<(usize, Rung)>, lists: Vec<(CidText, String)>) -> Event {
        if self.now < self.store_down_until {
            return Event::NotStored("no space".into());
        }
        self.lists.extend(lists.into_iter().map(|(cid, text)| (cid.0, text)));
        let bad = segments.iter().position(|cid| self.bad.contains(cid));
        let station = self.clocks().station;
        self.blocks.store(&segments[..bad.unwrap_or(segments.len())], station);
        let (lost, had): (Vec<_>, Vec<_>) = rungs.into_iter().partition(|(_, rung)| self.bad.contains(&rung.cid));
        let had: Vec<_> = had.into_iter().filter(|(index, _)| bad.is_none_or(|bad| *index < bad)).collect();
        self.blocks.store(&had.iter().map(|(_, rung)| rung.cid).collect::<Vec<_>>(), station);
        let of = |index| had.iter().filter(|(at, _)| *at == index).map(|(_, rung)| *rung).collect();
        self.life().rungs = (0..segments.len()).map(of).collect();
        let Some(bad) = bad else {
            self.stood_in += lost.len() as u64;
            return if lost.is_empty() { Event::Stored } else { Event::StoredWithout(lost) };
        };
        self.observer.excused += self.expect.missing(bad);
        Event::Missing(bad, "the block is gone".into())
    }

    fn record(&mut self, bodies: &[Body], clocks: Clocks) -> Event {
        self.turn_disk();
        let wall = self.wall();
        let refused = self.records.append(bodies, wall).err();
        if let Some(why) = refused.as_ref().filter(|_| self.config.rules.receipts_required) {
            return Event::NotRecorded(why.clone());
        }
        let (known, down) = (self.known(bodies), refused.is_some());
        if !down {
            (self.proved, self.unproved_seen, self.set_back) = (true, false, false);
            self.observer.check_late(bodies);
            self.observer.written(&bodies[..known]);
            self.orders_due.retain(|due| !bodies.iter().any(|body| accepts(body, due)));
        } else {
            let kept: Vec<&Body> = bodies.iter().filter(|body| !matches!(body, Body::CatalogChanged { .. })).collect();
            let lost = &kept[..kept.len().saturating_sub(UNRECORDED_MAX)];
            self.orders_due.retain(|due| !lost.iter().any(|body| accepts(body, due)));
        }
        let begun = self.life().cycle.take().unwrap_or(clocks.station);
        let moment = Moment { clocks, making: self.samples(clocks.station.since(begun).0), calm: !self.life().touched };
        self.observer.record(&bodies[known..], !down, moment);
        let segments = bodies[known..].iter().filter_map(|body| match body {
            Body::Segment(segment) => Some(&segment.renditions),
            _ => None,
        });
        let count = segments.clone().count();
        assert!(
            segments.eq(self.life().rungs.iter().map(|rungs| renditions(rungs)).collect::<Vec<_>>().iter()),
            "renditions"
        );
        self.expect.recorded(count);
        self.life().batch = (count, moment.making);
        self.seen = hash(&(self.seen, self.now, self.records.told(), &refused));
        refused.map_or(Event::Recorded, Event::NotRecorded)
    }

    /// How many of these receipts are written late: their segments are on air already.
    fn known(&self, bodies: &[Body]) -> usize {
        let Some(last) = self.observer.last().map(|_| self.observer.next_seq() - 1) else { return 0 };
        let is_last = |body: &Body| matches!(body, Body::Segment(body) if body.media_seq == last);
        bodies.iter().rposition(is_last).map_or(0, |at| at + 1)
    }

    fn show(&mut self, snapshot: &Snapshot, clocks: Clocks) {
        let read = self.chance.one_in(self.config.read_one_in);
        let before = self.observer.visible.map(|visible| visible.last);
        self.observer.show(snapshot, &self.blocks.stored, clocks.station, read);
        let (first, last) = (&snapshot.segments[0], &snapshot.segments[snapshot.segments.len() - 1]);
        if before.is_none_or(|before| before < last.media_seq) {
            self.acts.1 = 0;
        }
        let version = Version {
            at: self.samples(self.now),
            now: self.observer.media_now(clocks.station),
            first: self.observer.at(first.media_seq).media,
            end: self.observer.at(last.media_seq).media_end(),
            hold_back: snapshot.hold_back_seconds as i64 * i64::from(snapshot.axis.rate),
        };
        self.seen = hash(&(self.seen, self.now, version.first, version.end, self.observer.visible.map(|one| one.text)));
        self.tell_of_clock(snapshot, clocks);
        self.keep_blocks(snapshot, clocks.station);
        self.names.shown((first.media_seq, last.media_seq));
        self.check_short(version);
        self.audience.shown(version, &self.config.rules, &mut self.chance);
    }

    /// What is listed is kept, and some of what is over goes.
    fn keep_blocks(&mut self, snapshot: &Snapshot, station: Time) {
        let (now, rate, observer) = (self.observer.media_now(station), self.config.rules.rate, &self.observer);
        let list = snapshot.segments.iter().map(|aired| {
            let ends = observer.at(aired.media_seq).media_end() - now;
            let ago = Span::of_samples(ends.unsigned_abs(), rate);
            let off_air = if ends < 0 { station.minus(ago) } else { station.plus(ago) };
            (aired.media_seq, aired.all().map(|segment| segment.cid).collect(), off_air)
        });
        self.blocks.show(list, station, self.now);
        self.blocks.let_go(station, self.now);
    }

    /// Tells what happens, if the environment asks for it.
    #[expect(clippy::print_stderr, reason = "asked for to look into one seed")]
    fn trace(&self, what: impl Fn() -> String) {
        if self.tracing {
            let clocks = self.clocks();
            eprintln!("{} {} {}", clocks.station, clocks.wall, what().chars().take(300).collect::<String>());
        }
    }

    /// Faults are over, and nothing takes longer than items last: everything that was accepted is in the ledger, and the air goes on.
    pub(super) fn settle(&mut self) {
        (self.config.faults, self.config.crash_one_in) = (&[], 0);
        self.config.latency = self.config.latency.min(SECOND / 50);
        self.bad.clear();
        (self.store_down_until, self.ledger_down_until, self.fetch_down_until, self.storm_until) = (0, 0, 0, 0);
        let soon = self.now + SECOND;
        self.life().out.iter_mut().for_each(|out| out.done = out.done.min(soon));
        if self.filler.is_none() {
            self.set_filler();
        }
        let rules = self.config.rules.clone();
        self.check_heals();
        self.check_named();
        self.check_green();
        let ahead = self.visible_end().map_or(0, |end| end - self.observer.media_now(self.clocks().station));
        let ahead = ahead.max(rules.look_ahead() as i64).unsigned_abs() / u64::from(rules.rate);
        self.run(ahead + 60);
        assert!(self.orders_due.is_empty(), "an accepted order has no receipt: {:?}", self.orders_due);
        let (before, clocks) = (self.observer.next_seq(), self.clocks());
        self.run(10 * u64::from(rules.segment_seconds));
        let after = self.clocks();
        assert!(self.observer.next_seq() > before, "off air");
        let moved = self.observer.media_now(after.station) - self.observer.media_now(clocks.station);
        let ran = self.samples(after.station.since(clocks.station).0);
        assert!((moved - ran).abs() <= ROUNDING, "the air does not run with the station clock");
        self.run(20 * 60);
        let public = self.names.public_end().expect("the name was put");
        assert!(public > before, "the name stays behind: {public}");
        self.check_green();
        self.records.check_whole();
    }
}

/// What a receipt must say of these.
pub(super) fn renditions(rungs: &[Rung]) -> Vec<RenditionBody> {
    let hex = |cid: &Cid| cid.hash().digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let one = |rung: &Rung| RenditionBody {
        bitrate: rung.bitrate.into(),
        cid: CidText(rung.cid),
        sha256: hex(&rung.cid),
        byte_count: rung.bytes.into(),
    };
    rungs.iter().map(one).collect()
}

fn accepts(body: &Body, due: &str) -> bool {
    matches!(body, Body::OrderAccepted { order, .. } if order == due)
}
