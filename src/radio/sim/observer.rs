//! Keeps everything that was ever frozen or visible and holds each new list against all of it.
//!
//! Nothing here is taken from the core but its outputs: receipts as they are written, snapshots and rendered texts as
//! they become visible. Invariant numbers are those of docs/hls.md §9.

use std::collections::{BTreeSet, HashMap, HashSet};

use cid::Cid;

use super::super::{
    receipt::{Body, RenditionBody, SegmentBody, StartedBody},
    rules::Rules,
    time::Time,
    timeline::{Clocks, Snapshot},
};

mod coarse;
mod ladder;
mod shown;

use coarse::Coarse;
pub(super) use shown::hash;

/// A segment that can never change again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frozen {
    pub(super) cid: Cid,
    pub(super) rungs: Vec<RenditionBody>,
    pub(super) samples: u64,
    pub(super) air: i64,
    pub(super) disc: bool,
    pub(super) disc_seq: u64,
    pub(super) part: u64,
    pub(super) parts: u64,
    pub(super) first_seq: u64,
    pub(super) group_seq: u64,
    pub(super) group_end: u64,
    /// Number of the first segment of its run.
    pub(super) run: u64,
    /// Where it begins when all segments are put end to end.
    pub(super) media: i64,
    durable: bool,
    /// What lists say of it, hashed; 0 until one was read.
    text: u64,
}

impl Frozen {
    pub(super) fn air_end(&self) -> i64 {
        self.air + self.samples as i64
    }

    pub(super) fn media_end(&self) -> i64 {
        self.media + self.samples as i64
    }
}

/// What the world knows at the moment a batch is recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) clocks: Clocks,
    /// For how long the batch was in the making, in samples.
    pub(super) making: i64,
    /// Whether neither clock was touched meanwhile.
    pub(super) calm: bool,
}

#[derive(Debug)]
pub(super) struct Observer {
    pub(super) rules: Rules,
    pub(super) anchor_millis: u64,
    pub(super) epoch: u64,
    frozen: Vec<Frozen>,
    /// Those of them that have no receipt, by their numbers.
    unrecorded: BTreeSet<u64>,
    base: u64,
    runs: HashMap<u64, StartedBody>,
    ranges: HashMap<(u64, usize), String>,
    /// The bit rates of all other renditions that ever were.
    rungs: BTreeSet<u64>,
    /// The first number of which this process knows all, whatever was lost of those before.
    pub(super) lived_from: u64,
    /// Media position of now: at this station time, this position.
    now: (Time, i64),
    /// When this chain of numbers began, by the station clock.
    pub(super) began: Time,
    /// First and last number of the list that is visible, its bytes hashed, and its `HOLD-BACK`.
    pub(super) visible: Option<Visible>,
    /// No number below this one may be given any more.
    floor: u64,
    /// The largest discontinuity sequence of all that are durable, or were ever visible.
    discs: u64,
    coarse: Coarse,
    /// Whether an operator has asked for the dates of the wall clock, and no receipt tells that he got them.
    pub(super) reanchoring: bool,
    /// Items that may break off: the world took a block or a list of segments away.
    pub(super) excused: i64,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visible {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) hold_back_seconds: u64,
    pub(super) text: u64,
}

/// How much was seen, so that a test can tell that it tested something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) segments: u64,
    pub(super) lists: u64,
    pub(super) read: u64,
    pub(super) coarse: u64,
    /// Lists of rungs that were read, and parts of them in which the default rendition stood in.
    pub(super) rungs: u64,
    pub(super) stand_ins: u64,
    pub(super) outages: u64,
    pub(super) skews: u64,
    pub(super) reanchored: u64,
    pub(super) runs: u64,
    pub(super) resumed_runs: u64,
    pub(super) chapters: u64,
    pub(super) broken_off: u64,
    /// Receipts that say that a list named their segment before.
    pub(super) late: u64,
}

/// Rounding of clocks to samples, in samples.
pub(super) const ROUNDING: i64 = 8;

impl Observer {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            anchor_millis: 0,
            epoch: 0,
            frozen: Vec::new(),
            unrecorded: BTreeSet::new(),
            base: 0,
            runs: HashMap::new(),
            ranges: HashMap::new(),
            rungs: BTreeSet::new(),
            lived_from: 0,
            now: (Time(0), 0),
            began: Time(0),
            visible: None,
            floor: 0,
            discs: 0,
            coarse: Coarse::default(),
            reanchoring: false,
            excused: 0,
            counts: Counts::default(),
        }
    }

    /// A chain of numbers begins at or above everything that was ever visible.
    pub(super) fn begin(&mut self, anchor: Time, clocks: Clocks) {
        self.floor = self.floor();
        self.visible = None;
        self.anchor_millis = anchor.millis();
        self.frozen.clear();
        self.unrecorded.clear();
        self.runs.clear();
        self.ranges.clear();
        self.now = (clocks.station, self.lateness());
        self.began = clocks.station;
        self.coarse.begin(self.lateness());
        let dated = clocks.wall.millis() as i64 - 3_000 * i64::from(self.rules.target_seconds());
        assert!((anchor.millis() as i64 - dated).abs() <= 1, "a first list is dated 3·TD before now");
    }

    /// What was visible cannot be known to anybody: numbers may be given twice.
    pub(super) fn forget(&mut self) {
        (self.floor, self.discs) = (0, 0);
        self.coarse.forget();
    }

    /// The first number of this chain.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The lowest number that was never given.
    pub(super) fn floor(&self) -> u64 {
        let visible = self.visible.map_or(0, |visible| visible.last + 1);
        self.next_seq().max(self.floor).max(visible)
    }

    /// The process starts again where these durable segments end (contract §3, restart).
    pub(super) fn resume(&mut self, clocks: Clocks) {
        let Some(last) = self.frozen.last() else { return };
        let wall = self.position(clocks.wall);
        let (last, first) = (last.clone(), self.at(self.listed_from()).clone());
        // The dates that count are those since they went back.
        let goes_back = |seq: &u64| self.at(*seq).air < self.at(*seq - 1).air_end();
        let dated =
            (self.listed_from() + 1..self.next_seq()).rev().find(goes_back).unwrap_or_else(|| self.listed_from());
        let dated = self.at(dated);
        let before = dated.media - (dated.air - wall);
        let media = if wall >= last.air_end() {
            last.media_end() + wall - last.air_end()
        } else if wall >= dated.air {
            let on_air = self.frozen.iter().rev().find(|one| one.air <= wall).expect("the first one airs before");
            on_air.media + (wall - on_air.air).min(on_air.samples as i64)
        } else if before >= first.media {
            before
        } else {
            last.media_end() - self.rules.look_ahead() as i64
        };
        // Before a first list was whole, as much is due as at the first start at least.
        let begins = first.media;
        let whole = last.media_end() - begins >= self.rules.look_ahead() as i64 + self.lateness();
        let media = if whole { media } else { media.max(begins + self.lateness()) };
        self.now = (clocks.station, media);
    }

    /// The first segment that a restart can list: no receipt behind it is lost.
    pub(super) fn listed_from(&self) -> u64 {
        let Some(last) = self.frozen.last() else { return self.base };
        last.first_seq.max(self.unrecorded.last().map_or(self.base, |lost| lost + 1))
    }

    fn lateness(&self) -> i64 {
        3 * self.target()
    }

    fn target(&self) -> i64 {
        i64::from(self.rules.segment_seconds) * i64::from(self.rules.rate)
    }

    /// The samples between the anchor and a date.
    pub(super) fn position(&self, date: Time) -> i64 {
        let micros = i128::from(date.0) - i128::from(self.anchor_millis) * 1_000;
        (micros * i128::from(self.rules.rate)).div_euclid(1_000_000) as i64
    }

    /// Where now lies when all segments are put end to end.
    pub(super) fn media_now(&self, station: Time) -> i64 {
        let since = i128::from(station.0) - i128::from(self.now.0.0);
        self.now.1 + (since * i128::from(self.rules.rate)).div_euclid(1_000_000) as i64
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.base + self.frozen.len() as u64
    }

    /// The segment on air when now is there.
    pub(super) fn on_air(&self, now: i64) -> &Frozen {
        let begun = self.frozen.partition_point(|one| one.media <= now);
        &self.frozen[begun.saturating_sub(1)]
    }

    pub(super) fn last(&self) -> Option<&Frozen> {
        self.frozen.last()
    }

    pub(super) fn at(&self, seq: u64) -> &Frozen {
        let index = seq.checked_sub(self.base).expect("a number below the first one");
        self.frozen.get(index as usize).unwrap_or_else(|| panic!("{seq} was never frozen"))
    }

    /// What the segments from `seq` on are of: the number of their run, and its receipt.
    pub(super) fn runs_from(&self, seq: u64) -> impl Iterator<Item = (u64, &StartedBody)> {
        let from = seq.saturating_sub(self.base) as usize;
        self.frozen[from.min(self.frozen.len())..].iter().map(|one| (one.run, &self.runs[&one.run]))
    }

    /// What the index forgets when a crash takes it: nothing that was visible may be among it.
    pub(super) fn lost_beyond(&mut self, durable: u64) -> bool {
        let visible = self.visible.is_some_and(|visible| visible.last >= durable);
        self.frozen.truncate(durable.saturating_sub(self.base) as usize);
        drop(self.unrecorded.split_off(&durable));
        visible
    }

    /// The number behind the last durable segment.
    pub(super) fn durable_end(&self) -> u64 {
        self.base + self.frozen.iter().rposition(|one| one.durable).map_or(0, |at| at as u64 + 1)
    }

    /// A batch was recorded, or (`durable` false) goes on air without.
    pub(super) fn record(&mut self, bodies: &[Body], durable: bool, moment: Moment) {
        let (mut outage, mut skew, mut outages, mut gap, mut jump_at) = (0, 0, 0, 0, None);
        let mut reanchored = None;
        for body in bodies {
            match body {
                Body::ClockStep { samples, reason } if reason == "outage" => {
                    (outage, outages) = (outage + samples, outages + 1);
                }
                Body::ClockStep { samples, reason } if reason == "reanchor" => {
                    assert!(self.reanchoring, "the dates jump by {samples}, and no operator asked for it");
                    assert!(samples.abs() > 2 * self.target(), "a jump of {samples} for a wall clock within 2·TD");
                    reanchored = Some(samples + reanchored.unwrap_or(0));
                }
                Body::ClockStep { samples, reason } => {
                    assert_eq!(reason, "skew");
                    assert!(*samples > 2 * self.target(), "a jump of {samples} for a wall clock within 2·TD");
                    skew += samples;
                }
                Body::ItemStarted(run) => drop(self.runs.insert(run.media_seq, (**run).clone())),
                Body::Segment(body) => {
                    let before = self.last().map_or(0, Frozen::air_end);
                    self.freeze(body, durable);
                    if body.air_samples != before && gap == 0 {
                        jump_at = Some(body.media_seq);
                    }
                    gap += body.air_samples - before;
                }
                _ => {}
            }
        }
        assert_eq!(gap, outage + skew + reanchored.unwrap_or(0), "the dates jump by what the receipts say");
        self.now.1 -= outage;
        self.reach(moment.clocks.station, outage > 0);
        self.counts.outages += outages;
        self.counts.skews += u64::from(skew > 0);
        self.counts.reanchored += u64::from(reanchored.is_some());
        if outages == 1 && reanchored.is_none() {
            self.check_outage(jump_at, moment);
        }
        self.check_lateness(bodies, moment, skew + reanchored.unwrap_or(0));
    }

    /// A jump for an outage leaves the timeline exactly 3·TD late.
    fn check_outage(&self, jump_at: Option<u64>, moment: Moment) {
        let jump_at = self.at(jump_at.expect("an outage is noted where the dates jump"));
        let late = self.media_now(moment.clocks.station) - jump_at.media;
        let range = self.lateness() - ROUNDING..=self.lateness() + moment.making + ROUNDING;
        assert!(range.contains(&late), "an outage jumps to {late} late, not to one of {range:?}");
    }

    fn check_lateness(&self, bodies: &[Body], moment: Moment, skew: i64) {
        let segments = bodies.iter().filter_map(|body| if let Body::Segment(body) = body { Some(body) } else { None });
        let now = self.media_now(moment.clocks.station);
        let (mut begins, mut anew, mut last) = (false, false, None);
        for body in segments {
            let frozen = self.at(body.media_seq);
            let late = now - frozen.media;
            assert!(late <= self.lateness() + moment.making + ROUNDING, "{} is {late} late", body.media_seq);
            let early = frozen.media - now - self.rules.look_ahead() as i64;
            assert!(early < ROUNDING, "{} is planned {early} beyond the look-ahead", body.media_seq);
            begins |= body.disc;
            anew |= body.disc && body.part == 0;
            last = Some(frozen);
        }
        let Some(last) = last.filter(|_| moment.calm) else { return };
        let behind = self.position(moment.clocks.wall) - (now + last.air - last.media);
        assert!(!begins || behind <= 2 * self.target() + ROUNDING, "the wall stays {behind} ahead of the dates");
        let reanchored = !(anew && self.reanchoring) || behind.abs() <= 2 * self.target() + ROUNDING;
        assert!(reanchored, "the dates stay {behind} behind the wall although an operator wants them to be its own");
        assert!(skew == 0 || behind.abs() <= ROUNDING, "a jump for the wall clock misses it by {behind}");
    }

    /// A crash came at `station` while these were being appended, and they are durable.
    pub(super) fn salvage(&mut self, bodies: &[Body], station: Time) {
        let outage = |body: &Body| match body {
            Body::ClockStep { samples, reason } if reason == "outage" => *samples,
            _ => 0,
        };
        let outage = bodies.iter().map(outage).sum::<i64>();
        self.now.1 -= outage;
        self.reach(station, outage > 0);
        self.written(bodies);
    }

    /// These became durable: those of segments that a list named before say so, and no others.
    pub(super) fn check_late(&mut self, bodies: &[Body]) {
        for body in bodies {
            if let Body::Segment(body) = body {
                let shown = self.visible.is_some_and(|visible| body.media_seq <= visible.last);
                assert_eq!(body.late, shown, "{}: whether its receipt is late", body.media_seq);
                self.counts.late += u64::from(body.late);
            }
        }
    }

    /// These are durable now, whatever was known of them.
    pub(super) fn written(&mut self, bodies: &[Body]) {
        for body in bodies {
            match body {
                Body::ItemStarted(run) => drop(self.runs.insert(run.media_seq, (**run).clone())),
                Body::Segment(body) => self.freeze(body, true),
                _ => {}
            }
        }
    }

    fn freeze(&mut self, body: &SegmentBody, durable: bool) {
        if self.frozen.is_empty() {
            assert!(body.media_seq >= self.floor, "numbers go back from {} to {}", self.floor, body.media_seq);
            self.base = body.media_seq;
        }
        self.rungs.extend(body.renditions.iter().map(|one| one.bitrate));
        let run = self.run_of(body);
        let media = self.last().map_or(0, Frozen::media_end);
        let frozen = Frozen {
            cid: body.cid.0,
            rungs: body.renditions.clone(),
            samples: body.samples,
            air: body.air_samples,
            disc: body.disc,
            disc_seq: body.disc_seq,
            part: body.part,
            parts: body.parts,
            first_seq: body.first_seq,
            group_seq: body.group_seq,
            group_end: body.group_end,
            run,
            media,
            durable,
            text: 0,
        };
        if body.media_seq < self.next_seq() {
            return self.freeze_again(body.media_seq, frozen);
        }
        assert_eq!(body.media_seq, self.next_seq(), "numbers have a hole (10)");
        self.check_next(body, &frozen);
        self.counts.segments += 1;
        if frozen.durable {
            self.discs = self.discs.max(frozen.disc_seq);
        } else {
            self.unrecorded.insert(body.media_seq);
        }
        self.frozen.push(frozen);
        let wanted = self.window_start(body.media_seq);
        assert_eq!(body.first_seq, wanted, "the list that ends with {} begins elsewhere", body.media_seq);
        self.check_grouped(body);
    }

    fn run_of(&self, body: &SegmentBody) -> u64 {
        let last = || self.last().map_or(body.media_seq, |last| last.run);
        if body.disc { body.media_seq } else { last() }
    }

    /// A receipt that could not be written before is now.
    fn freeze_again(&mut self, seq: u64, again: Frozen) {
        let index = (seq - self.base) as usize;
        let old = &mut self.frozen[index];
        assert!(!old.durable, "{seq} has two receipts");
        let same = (old.cid, old.samples, old.air, old.disc, old.disc_seq, old.part, old.first_seq);
        let of = (again.cid, again.samples, again.air, again.disc, again.disc_seq, again.part, again.first_seq);
        assert_eq!((same, &old.rungs), (of, &again.rungs), "the late receipt of {seq} says something else");
        old.durable = true;
        self.unrecorded.remove(&seq);
        self.discs = self.discs.max(old.disc_seq);
    }

    fn check_next(&mut self, body: &SegmentBody, next: &Frozen) {
        assert!(body.samples > 0 && body.samples as i64 <= self.target(), "longer than the target duration (3)");
        self.check_date(body.air_samples, &body.pdt);
        let (rate, epoch) = (u64::from(self.rules.rate), self.epoch);
        assert_eq!((body.rate, body.epoch), (rate, epoch), "constants of the station");
        if body.disc {
            let run = self.runs.get(&body.media_seq).expect("an item begins without its receipt");
            assert_eq!((run.part, run.parts, run.air_samples), (body.part, body.parts, body.air_samples));
            assert_eq!((&run.item, &run.entry, run.position), (&body.item, &body.entry, body.position));
            self.counts.runs += 1;
            self.counts.resumed_runs += u64::from(body.part > 0);
        }
        let Some(last) = self.frozen.last() else {
            assert!(body.disc && body.disc_seq > self.discs, "the first segment of all begins an item");
            return;
        };
        assert_eq!(next.disc_seq, last.disc_seq + u64::from(next.disc), "discontinuities are miscounted (13)");
        let back = self.reanchoring && next.disc && next.part == 0;
        assert!(next.air >= last.air_end() || back, "dates go back (5)");
        assert!(next.disc || next.air == last.air_end(), "dates jump without a discontinuity (5)");
        let goes_on = next.part == last.part + 1 && next.parts == last.parts;
        let same_item = self.runs.get(&last.run).is_none_or(|run| run.item == body.item);
        assert!(next.disc || (goes_on && same_item), "another item begins without a discontinuity (7)");
        let resumes = goes_on && same_item && next.air > last.air_end();
        assert!(next.part == 0 || !next.disc || resumes, "an item begins in its middle");
        if next.disc && !resumes && last.part + 1 < last.parts {
            assert!(self.excused > 0, "an item that had begun does not finish: {} of {}", last.part + 1, last.parts);
            self.excused -= 1;
            self.counts.broken_off += 1;
        }
    }

    /// Contract §3: the list begins with the last segment that ended before now − W, and never goes back.
    fn window_start(&self, last: u64) -> u64 {
        let due = self.at(last).media - self.rules.look_ahead() as i64;
        let from = due - self.rules.window() as i64;
        let mut first = if last > self.base { self.at(last - 1).first_seq.max(self.base) } else { last };
        while first + 1 < last && self.at(first + 1).media_end() < from {
            first += 1;
        }
        first
    }

    /// A list becomes visible. `read` tells whether its text is read too.
    pub(super) fn show(&mut self, snapshot: &Snapshot, stored: &HashSet<Cid>, station: Time, read: bool) {
        let all = read || self.counts.lists.is_multiple_of(8);
        self.check_shown(snapshot, stored, station, all);
        self.check_ladder(snapshot, self.counts.lists.is_multiple_of(64));
        let text = if read { self.read_shown(snapshot) } else { 0 };
        self.check_coarse(snapshot, station, read);
        let (first, last) = (&snapshot.segments[0], &snapshot.segments[snapshot.segments.len() - 1]);
        let hold_back_seconds = snapshot.hold_back_seconds;
        let next = Visible { first: first.media_seq, last: last.media_seq, hold_back_seconds, text };
        if let Some(old) = self.visible {
            assert!(next.first >= old.first, "the list begins earlier than before (10)");
            assert!(next.last >= old.last, "the list ends earlier than before (12)");
            let same = next.last == old.last && next.first >= self.base;
            assert!(!same || next.first == old.first, "two lists end alike and begin differently (1)");
            // A restart may find the same list further ahead of a clock that was set back.
            let same = same && next.hold_back_seconds == old.hold_back_seconds;
            let texts = (next.text, old.text);
            assert!(!same || texts.0 == 0 || texts.1 == 0 || texts.0 == texts.1, "two texts of one state (1)");
        }
        self.visible = Some(next);
        self.discs = self.discs.max(last.disc_seq);
        self.counts.lists += 1;
    }
}
