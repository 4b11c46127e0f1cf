//! What airs when: the state machine at the heart of the station.
//!
//! Feed it events and the time, and do what it asks for until it says [`Action::Wait`]. Every action but `Show` and
//! `Wait` ends as exactly one event. At most one action is out at a time, and the order of actions is the promise:
//! a segment's block is stored, pinned and verified, then its receipt is durable, then a list may name it.
//!
//! Two axes: *media* counts samples that air, without gaps, and is what scheduling runs on; *air* adds the jumps that
//! outages and clock steps force, and is what dates are made of. They differ by `gap`, which only an operator makes smaller.

use std::{collections::VecDeque, sync::Arc};

use super::{
    aired::{Aired, Axis, Run},
    coarse::{self, Groups},
    history::NUMBERS_PER_SECOND,
    ladder::{Ladder, RUNGS_MAX},
    programme::{Entry, Order, Place, Programme, Slot},
    receipt::{Body, CidText},
    rules::Rules,
    segment::{Item, Kind, Rung, Segment},
    time::{Span, Time},
};

mod intake;
mod notes;
mod plan;
mod resume;
mod standing;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use notes::UNRECORDED_MAX;
use notes::{Notes, mark_late, newest};

/// The clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Station time: the wall clock at start plus the monotonic clock since. Scheduling runs on it.
    pub station: Time,
    /// The wall clock. It only dates what airs.
    pub wall: Time,
}

/// What has happened outside.
#[derive(Clone, Debug)]
pub enum Event {
    /// Another running order was accepted; it holds from the next item on.
    Order(Arc<Order>),
    /// The generator's pieces, aired when the order has nothing to air.
    Filler(Arc<Order>),
    /// The operator wants the dates to be those of the wall clock again, also where they have to go back for it.
    Reanchor,
    /// The item of a slot was read.
    Fetched(Slot, Arc<Item>),
    /// The item of a slot cannot be had, and why.
    NotFetched(Slot, String),
    /// All blocks are stored, pinned and verified.
    Stored,
    /// All blocks are but those of these other renditions, which cannot be had: the default one stands in for each.
    StoredWithout(Vec<(usize, Rung)>),
    /// The segment at this index of the action cannot be had: its item is left at this point.
    Missing(usize, String),
    /// The store cannot be written at present.
    NotStored(String),
    /// All receipts are durable.
    Recorded,
    /// The ledger cannot be written.
    NotRecorded(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read the item of this slot.
    Fetch(Slot),
    /// Store, pin and verify these segments, their other renditions, each with the index of its segment, and segment
    /// lists.
    Store(Vec<Segment>, Vec<(usize, Rung)>, Vec<(CidText, String)>),
    /// Append these receipts and sync them.
    Record(Vec<Body>),
    /// Make this list visible and publish it.
    Show(Arc<Snapshot>),
    /// Nothing to do before this station time unless something happens.
    Wait(Time, Why),
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The look-ahead is full.
    Air,
    /// An action is out.
    Busy,
    /// Something failed and is tried again.
    Retry,
    /// There is nothing to air: no order, no filler.
    Nothing,
    /// No receipt of this chain of numbers is durable, and they are given no faster than the next one leaves room for.
    Unproved,
}

/// From where a station counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// The number of the first segment.
    pub media_seq: u64,
    /// Discontinuities before it. Small where it can be: hls.js walks an array of that length with each list (about 32 ns
    /// an entry, measured with 1.7.4).
    pub disc_seq: u64,
}

/// The window at one moment: everything a list is rendered from.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The dates.
    pub axis: Axis,
    /// `HOLD-BACK` in seconds.
    pub hold_back_seconds: u64,
    /// The listed segments.
    pub segments: Vec<Aired>,
    /// The groups of the coarse list.
    pub groups: Groups,
    /// The rungs beside the default one.
    pub ladder: Ladder,
}

#[derive(Clone, Debug)]
enum Phase {
    /// To be done at this station time or later.
    Todo(Op, Time),
    /// Asked for; ends as an event.
    Out,
    /// Asked for; ends as an event that names the slot.
    Fetching(Slot),
}

/// The steps of putting a batch on air, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Plan,
    Store,
    Record,
}

impl Phase {
    const fn at_once(op: Op) -> Self {
        Self::Todo(op, Time(0))
    }
}

/// The item being put on air.
#[derive(Clone, Debug)]
struct Current {
    slot: Slot,
    /// Where the programme stood before it.
    place: Arc<Place>,
    item: Arc<Item>,
    next_part: usize,
    /// The run on air, once its first segment is planned.
    run: Option<Arc<Run>>,
}

/// Segments planned in one go: bounds the batch that a restart after an outage stores and records at once.
const BATCH_MAX: usize = 64;
/// How long a failed store or ledger is left alone. The look-ahead is what such waits live on.
const RETRY: Span = Span::seconds(1);
/// Segments of one item: the list of them is one block of at most 2 MiB, with up to 80 bytes for each.
pub const PARTS_MAX: usize = 25_000;
/// Items that may fail in a row before the timeline pauses for [`RETRY`].
const FAILURES_MAX: u32 = 64;

/// The timeline of one station.
#[derive(Clone, Debug)]
pub struct Timeline {
    rules: Rules,
    axis: Axis,
    programme: Programme,
    current: Option<Current>,
    /// Frozen segments from the first listed one on.
    listed: VecDeque<Aired>,
    /// Frozen segments in groups.
    groups: Groups,
    /// The rungs of frozen segments.
    ladder: Ladder,
    /// Planned, not yet frozen.
    planned: Vec<Aired>,
    /// Slots of the planned segments and what was before them, so that a missing block can be stepped over.
    planned_from: Vec<(Slot, Arc<Place>)>,
    /// Segment lists to be stored with the planned segments.
    lists: Vec<(CidText, String)>,
    /// Receipts that go into the ledger ahead of the planned segments.
    notes: Notes,
    /// The receipts that are being written.
    recording: Vec<Body>,
    /// Receipts that could not be written and go on air without; tried again with the next batch, as late ones.
    unrecorded: Vec<Body>,
    next_seq: u64,
    next_disc: u64,
    /// End of what is planned, on the media axis.
    media_end: u64,
    /// Air minus media at the end of what is planned.
    gap: i64,
    /// Air position by the station clock minus media position now: fixed while the station runs, but for outages.
    offset: i64,
    break_next: bool,
    /// Whether the dates are to be those of the wall clock from the next item on.
    reanchor: bool,
    phase: Phase,
    show: bool,
    /// Whether there has been a list.
    started: bool,
    failures: u32,
    /// When its numbers began, and with which, as long as no receipt tells of them.
    unproved: Option<(Time, u64)>,
    /// `HOLD-BACK` in seconds.
    hold_back_seconds: u64,
}

impl Timeline {
    /// A station that has never been on air: its first segment is dated 3·TD before now and has the number `first`.
    pub fn new(rules: Rules, epoch: u64, first: First, clocks: Clocks) -> Self {
        let anchor = clocks.wall.minus(Span::seconds(3 * u64::from(rules.target_seconds())));
        let anchor = Time::from_millis(anchor.millis());
        let axis = Axis { epoch, anchor, rate: rules.rate, target_seconds: rules.target_seconds() };
        let offset = axis.position(clocks.station) - rules.lateness() as i64;
        let timeline = Self::at(rules, axis, Programme::default(), first.media_seq, first.disc_seq, offset);
        Self { unproved: Some((clocks.station, first.media_seq)), ..timeline }
    }

    fn at(rules: Rules, axis: Axis, programme: Programme, next_seq: u64, next_disc: u64, offset: i64) -> Self {
        Self {
            hold_back_seconds: rules.hold_back_seconds(),
            rules,
            axis,
            programme,
            current: None,
            listed: VecDeque::new(),
            groups: Groups::default(),
            ladder: Ladder::default(),
            planned: Vec::new(),
            planned_from: Vec::new(),
            lists: Vec::new(),
            notes: Notes::default(),
            recording: Vec::new(),
            unrecorded: Vec::new(),
            next_seq,
            next_disc,
            media_end: 0,
            gap: 0,
            offset,
            break_next: false,
            reanchor: false,
            phase: Phase::at_once(Op::Plan),
            show: false,
            started: false,
            failures: 0,
            unproved: None,
        }
    }

    /// The dates of this station.
    pub fn axis(&self) -> &Axis {
        &self.axis
    }

    /// What the station is built by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The entry that the planned segment at `index` is of: the one that [`Event::Missing`] names.
    pub fn planned_entry(&self, index: usize) -> Option<&Entry> {
        self.planned_from.get(index).map(|(slot, _)| &slot.entry)
    }

    /// What may be fetched next: so many entries of the order, and a quarter as many of the filler.
    pub fn ahead(&self, count: usize) -> Vec<Slot> {
        self.programme.ahead(count)
    }

    /// The last segment that is frozen.
    pub fn last(&self) -> Option<&Aired> {
        self.listed.back()
    }

    /// The media position of now.
    fn media_now(&self, clocks: Clocks) -> i64 {
        self.axis.position(clocks.station) - self.offset
    }

    /// How many samples of the look-ahead are not planned yet.
    fn overdue(&self, clocks: Clocks) -> i64 {
        self.media_now(clocks) + self.rules.look_ahead() as i64 - self.media_end as i64
    }

    fn listed_end(&self) -> u64 {
        self.media_end - self.planned.iter().map(|aired| u64::from(aired.segment.samples)).sum::<u64>()
    }

    fn media_of(&self, of: &Aired) -> u64 {
        let later = self.listed.iter().rev().take_while(|aired| aired.media_seq >= of.media_seq);
        self.listed_end() - later.map(|aired| u64::from(aired.segment.samples)).sum::<u64>()
    }

    /// Whether an order with entries, or a filler, is there to be aired.
    #[cfg(test)]
    pub fn has_programme(&self) -> bool {
        self.current.is_some() || self.programme.next().is_some()
    }

    /// Takes note of what has happened.
    pub fn handle(&mut self, event: Event, clocks: Clocks) {
        match event {
            Event::Order(order) => {
                let entries = order.entries.len() as u64;
                self.notes.add(self.next_seq, Body::OrderAccepted { order: order.sha256.clone(), entries });
                self.programme.accept(order);
            }
            Event::Filler(filler) => self.programme.fill_with(filler),
            Event::Reanchor => self.reanchor = true,
            Event::Fetched(slot, item) => self.fetched(slot, item, clocks),
            Event::NotFetched(slot, reason) => self.not_fetched(slot, reason, clocks),
            Event::Stored => self.phase = Phase::at_once(Op::Record),
            Event::StoredWithout(lost) => {
                for (index, lost) in lost {
                    let planned = self.planned.get_mut(index);
                    planned.into_iter().for_each(|aired| aired.rungs.retain(|rung| *rung != lost));
                }
                self.phase = Phase::at_once(Op::Record);
            }
            Event::Missing(index, reason) => self.missing(index, reason, clocks),
            Event::NotStored(_) => self.phase = Phase::Todo(Op::Store, clocks.station.plus(RETRY)),
            Event::NotRecorded(_) if self.rules.receipts_required => {
                self.phase = Phase::Todo(Op::Record, clocks.station.plus(RETRY));
            }
            Event::NotRecorded(_) => {
                self.unrecorded = newest(std::mem::take(&mut self.recording));
                self.freeze(clocks);
            }
            Event::Recorded => {
                self.unproved = None;
                self.unrecorded.clear();
                self.freeze(clocks);
            }
        }
    }

    fn fetched(&mut self, slot: Slot, item: Arc<Item>, clocks: Clocks) {
        if !matches!(&self.phase, Phase::Fetching(wanted) if *wanted == slot) {
            return;
        }
        self.phase = Phase::at_once(Op::Plan);
        if self.programme.next().as_ref() != Some(&slot) {
            return; // Another order was accepted meanwhile.
        }
        if let Some(reason) = self.refusal(&item) {
            self.programme.skip(&slot);
            return self.failed(slot, reason.into(), clocks);
        }
        let item = self.without_surplus(item);
        let place = Arc::new(self.programme.place());
        self.programme.begin(&slot);
        self.current = Some(Current { slot, place, item, next_part: 0, run: None });
        self.break_next = true;
    }

    fn not_fetched(&mut self, slot: Slot, reason: String, clocks: Clocks) {
        if !matches!(&self.phase, Phase::Fetching(wanted) if *wanted == slot) {
            return;
        }
        self.phase = Phase::at_once(Op::Plan);
        if self.programme.next().as_ref() == Some(&slot) {
            self.programme.skip(&slot);
            self.failed(slot, reason, clocks);
        }
    }

    /// An item cannot air. After many in a row there is a pause, with what is planned on air before it.
    fn failed(&mut self, slot: Slot, reason: String, clocks: Clocks) {
        self.notes.add(self.next_seq, Body::CatalogChanged { entry: slot.entry.path, item: slot.entry.id, reason });
        self.failures += 1;
        if self.failures < FAILURES_MAX {
            return;
        }
        self.failures = 0;
        let pause = Phase::Todo(Op::Plan, clocks.station.plus(RETRY));
        self.phase = if self.planned.is_empty() { pause } else { Phase::at_once(Op::Store) };
    }

    /// A planned block is not to be had: what was planned from it on is given up, and play goes on behind its item.
    fn missing(&mut self, index: usize, reason: String, clocks: Clocks) {
        self.phase = Phase::at_once(Op::Plan);
        let Some((slot, place)) = self.planned_from.get(index).cloned() else { return };
        // A jump that was planned with them stays: it comes at the next segment, which begins an item.
        for aired in self.planned.drain(index..).rev() {
            self.media_end -= u64::from(aired.segment.samples);
            self.next_seq = aired.media_seq;
            self.next_disc = aired.disc_seq - u64::from(aired.disc);
        }
        self.planned_from.truncate(index);
        let planned = &self.planned;
        self.lists.retain(|(cid, _)| planned.iter().any(|aired| aired.run.list == *cid));
        self.notes.fall_back(self.next_seq);
        self.current = None;
        self.programme.break_off(&slot, Place::clone(&place));
        self.failed(slot, reason, clocks);
    }

    /// What was planned is on the timeline for good.
    fn freeze(&mut self, clocks: Clocks) {
        self.phase = Phase::at_once(Op::Plan);
        // What was noted while the receipts were being written goes with the next ones.
        self.notes.written(self.planned.last().map_or(0, |last| last.media_seq));
        self.recording.clear();
        self.lists.clear();
        self.planned_from.clear();
        self.failures = 0;
        if self.planned.iter().any(|aired| aired.run.kind != Kind::Filler) {
            self.programme.aired();
        }
        for aired in &self.planned {
            self.groups.take(aired, &self.axis);
            self.ladder.take(aired, &self.axis);
        }
        self.listed.extend(self.planned.drain(..));
        let first = self.listed.back().map_or(0, |last| last.first_seq);
        while self.listed.front().is_some_and(|aired| aired.media_seq < first) {
            self.listed.pop_front();
        }
        // A first list holds the whole look-ahead; from then on whatever is there is shown.
        self.started |= self.overdue(clocks) <= 0;
        self.show |= self.started;
        self.check_listed();
    }

    /// What is to be done next.
    pub fn poll(&mut self, clocks: Clocks) -> Action {
        match &self.phase {
            Phase::Fetching(_) | Phase::Out => return Action::Wait(clocks.station.plus(RETRY), Why::Busy),
            Phase::Todo(_, at) if *at > clocks.station => return Action::Wait(*at, Why::Retry),
            Phase::Todo(Op::Store, _) => return self.store(),
            Phase::Todo(Op::Record, _) => return self.record(),
            Phase::Todo(Op::Plan, _) => {}
        }
        if self.show {
            if let Some(until) = self.unproved_until().filter(|until| *until > clocks.station) {
                return Action::Wait(until.min(clocks.station.plus(RETRY)), Why::Unproved);
            }
            self.show = false;
            mark_late(&mut self.unrecorded);
            return Action::Show(self.snapshot());
        }
        while self.overdue(clocks) > 0 && self.planned.len() < BATCH_MAX {
            if self.current.as_ref().is_none_or(|current| current.next_part >= current.item.segments.len()) {
                self.current = None;
                let Some(slot) = self.programme.next() else { break };
                self.phase = Phase::Fetching(slot.clone());
                return Action::Fetch(slot);
            }
            self.plan(clocks);
        }
        if !self.planned.is_empty() {
            return self.store();
        }
        let overdue = self.overdue(clocks);
        if overdue > 0 {
            return Action::Wait(clocks.station.plus(RETRY), Why::Nothing);
        }
        // The first moment at which the look-ahead is short again; one sample is more than a microsecond.
        let due = Span::of_samples((1 - overdue) as u64, self.axis.rate);
        Action::Wait(clocks.station.plus(Span(due.0.max(1))), Why::Air)
    }

    /// When the numbers of the list may be seen, if no receipt tells of any: what follows a crash counts on from the last
    /// receipt by time alone.
    fn unproved_until(&self) -> Option<Time> {
        let ((began, first), last) = self.unproved.zip(self.listed.back())?;
        let given = last.media_seq + 1 - first;
        Some(began.plus(Span::millis((given * 1_000).div_ceil(NUMBERS_PER_SECOND))))
    }

    fn store(&mut self) -> Action {
        self.phase = Phase::Out;
        let segments = self.planned.iter().map(|aired| aired.segment).collect();
        let rungs = self.planned.iter().enumerate();
        let rungs = rungs.flat_map(|(index, aired)| aired.rungs.iter().map(move |rung| (index, *rung))).collect();
        Action::Store(segments, rungs, self.lists.clone())
    }

    fn record(&mut self) -> Action {
        self.phase = Phase::Out;
        let mut bodies = self.unrecorded.clone();
        for (at, aired) in self.planned.iter().enumerate() {
            bodies.extend(self.notes.ahead_of(aired.media_seq, at == 0).cloned());
            if aired.media_seq == aired.run.media_seq {
                bodies.push(aired.run.body());
            }
            bodies.push(aired.body(&self.axis));
        }
        self.recording.clone_from(&bodies);
        Action::Record(bodies)
    }

    /// The window as it stands.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            axis: self.axis,
            hold_back_seconds: self.hold_back_seconds,
            segments: self.listed.iter().cloned().collect(),
            groups: self.groups.clone(),
            ladder: self.ladder.clone(),
        })
    }

    /// Asserted in release: a list that breaks an invariant must never be seen.
    fn check_listed(&self) {
        let checked = check_listed(self.listed.iter(), &self.axis);
        assert!(checked.is_ok(), "{checked:?}");
    }
}

/// The invariants of a list (docs: hls §9). Says in words which of them these segments break.
pub(super) fn check_listed<'a>(listed: impl Iterator<Item = &'a Aired> + Clone, axis: &Axis) -> Result<(), String> {
    let holds = |holds: bool, at: &Aired, what: &str| {
        if holds { Ok(()) } else { Err(format!("segment {}: {what}", at.media_seq)) }
    };
    let longest = u64::from(axis.target_seconds) * u64::from(axis.rate);
    for (one, next) in listed.clone().zip(listed.clone().skip(1)) {
        holds(next.media_seq == one.media_seq + 1, next, "media sequence has a hole")?;
        holds(next.disc_seq == one.disc_seq + u64::from(next.disc), next, "discontinuity sequence is off")?;
        let contiguous = next.air_samples == one.air_end();
        // As an operator asked for, where an item begins.
        let back = next.disc && next.part == 0;
        holds(next.air_samples >= one.air_end() || back, next, "air time goes backward")?;
        holds(contiguous || next.disc, next, "a date jumps without a discontinuity")?;
        holds(next.disc == (next.run.media_seq == next.media_seq), next, "a run begins without a discontinuity")?;
        holds(next.first_seq >= one.first_seq, next, "the list would go back")?;
        let group_seq = one.group_seq + u64::from(coarse::begins(next.disc, next.part, axis));
        let counted = one.group_seq == 0 || next.group_seq == group_seq;
        holds(counted, next, "groups of the coarse list are miscounted")?;
        holds(next.group_end >= one.group_end, next, "the coarse list would go back")?;
    }
    let mut listed = listed;
    listed.try_for_each(|aired| {
        let distinct = aired.rungs.len() <= RUNGS_MAX && intake::are_distinct(&aired.rungs);
        holds(distinct, aired, "its renditions are too many, or two are of one bit rate")?;
        holds(u64::from(aired.segment.samples) <= longest, aired, "it exceeds the target duration")
    })
}
