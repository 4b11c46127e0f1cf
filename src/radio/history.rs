//! The past, read back from receipts: where the timeline goes on after a restart.

use std::sync::Arc;

use super::{
    aired::{Aired, Axis, Run},
    coarse::{Group, Groups},
    ladder::Ladder,
    programme::Begun,
    receipt::{Body, Receipt, SegmentBody},
    segment::{Cover, Item, Kind, Segment},
    time::{Span, Time},
    timeline::{self, First},
};

/// How far back the ledger is read at least: further than any list reaches, and than the longest item before it began.
pub const BACK: Span = Span::seconds(48 * 3_600);
/// How far a new chain of numbers begins above the last one that is known of the old one: a list has fewer segments, and
/// so many are not on air while the ledger cannot be written.
pub const ABOVE: u64 = 10_000;
/// So many numbers a second such a chain begins higher yet, counted since the last segment of which a receipt is known: a
/// chain of which no receipt was ever durable, and so nothing is known, may lie between. No chain gives them faster
/// before it has a receipt.
pub const NUMBERS_PER_SECOND: u64 = 8;
/// Discontinuities rise by no more: each costs those who listen time with every list (see [`First::disc_seq`]). So many are
/// reached after 27 hours.
const DISCONTINUITIES_MAX: u64 = 800_000;

/// Where a timeline ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The dates.
    pub axis: Axis,
    /// The segments of the last list, in order.
    pub listed: Vec<Aired>,
    /// The groups of the coarse list.
    pub groups: Groups,
    /// The rungs beside the default one.
    pub ladder: Ladder,
    /// The number of the next segment.
    pub next_seq: u64,
    /// Discontinuities so far.
    pub next_disc: u64,
    /// What was begun last.
    pub begun: Begun,
}

impl Position {
    /// The item that had begun and not ended: the run whose list of segments tells how it goes on.
    pub fn unfinished(&self) -> Option<&Arc<Run>> {
        self.listed.last().filter(|last| last.part < last.run.parts.saturating_sub(1)).map(|last| &last.run)
    }

    /// Whether a timeline can go on from here: says in words what no list may have (docs: hls §9).
    pub fn check(&self) -> Result<(), String> {
        timeline::check_listed(self.listed.iter(), &self.axis)
    }

    /// The item of [`Position::unfinished`] with segments whose lengths add up to what its receipt says. When things air
    /// follows from lengths alone, so neither its file nor the list of its segments is needed. None of more segments than
    /// any item has.
    pub fn unfinished_by_length(&self) -> Option<Item> {
        let run = self.unfinished().filter(|run| run.parts as usize <= timeline::PARTS_MAX)?;
        let last = self.listed.last()?;
        let rest = u64::try_from(run.air_end() - last.air_end()).ok()?;
        let left = u64::from(run.parts - (last.part + 1));
        let share =
            |part: u64| Segment { samples: (rest * (part + 1) / left - rest * part / left) as u32, ..last.segment };
        let heard = std::iter::repeat_n(last.segment, last.part as usize + 1);
        Some(run.item(heard.chain((0..left).map(share)).collect(), Vec::new()))
    }
}

/// Receipts folded into what they amount to.
#[derive(Clone, Debug, Default)]
pub struct History {
    axis: Option<Axis>,
    listed: Vec<Aired>,
    groups: Groups,
    ladder: Ladder,
    /// The run that was started last: none of its segments may be durable, if a crash came between.
    started: Option<Arc<Run>>,
    /// The run of the last segment.
    run: Option<Arc<Run>>,
    begun: Begun,
    reserved: u64,
    order: Option<String>,
    last_seq: Option<u64>,
    last_disc: Option<u64>,
    /// When the receipt of the last number was written.
    last_at: Time,
}

/// A segment that has aired: what retention needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its block, or the block of a segment list.
    pub cid: cid::Cid,
    /// The blocks of its other renditions with their sizes.
    pub rungs: Vec<(cid::Cid, u64)>,
    /// The picture of its item, if it has one.
    pub cover: Option<Cover>,
    /// The end of its air time.
    pub until: Time,
    /// The group of the coarse list that ended before it, if one did.
    pub group: Option<Arc<Group>>,
}

impl History {
    /// Takes the next receipt. Gives the blocks that it keeps, if any.
    pub fn take(&mut self, receipt: &Receipt) -> Option<Kept> {
        self.saw(receipt);
        match &receipt.body {
            Body::LedgerOpen(constants) => {
                let axis = Axis::from_constants(constants).or(self.axis);
                if axis != self.axis {
                    self.listed.clear(); // Other dates: another chain.
                    self.groups = Groups::default();
                    self.ladder = Ladder::default();
                    self.axis = axis;
                }
                None
            }
            Body::ItemStarted(body) => {
                let run = Arc::new(Run::from_body(body));
                let until = self.axis.map(|axis| axis.date(run.air_end()));
                let (cid, cover) = (run.list.0, run.cover);
                self.started = Some(run);
                until.map(|until| Kept { cid, rungs: Vec::new(), cover, until, group: None })
            }
            Body::Segment(body) => {
                let axis = self.axis?;
                let until = axis.date(body.air_samples + body.samples as i64);
                // An item has begun when a segment of it is durable: a crash may come before that.
                let begun = Some((body.entry.clone(), body.position as usize));
                if body.item_kind == Kind::Filler {
                    self.begun.filler = begun;
                } else {
                    self.begun.entry = begun;
                }
                self.run = self.run_of(body);
                // The beginning of the first item may lie further back than what was read.
                let aired = self.run.clone().map(|run| Aired::from_body(body, run));
                let group = aired.as_ref().and_then(|aired| self.groups.take(aired, &axis));
                aired.iter().for_each(|aired| self.ladder.take(aired, &axis));
                aired.into_iter().for_each(|aired| self.list(aired));
                let rungs = body.renditions.iter().map(|rung| (rung.cid.0, rung.byte_count)).collect();
                let cover = self.run.as_ref().and_then(|run| run.cover);
                Some(Kept { cid: body.cid.0, rungs, cover, until, group })
            }
            Body::OrderAccepted { order, .. } => {
                self.order = Some(order.clone());
                None
            }
            Body::IpnsReserved { .. }
            | Body::ClockStep { .. }
            | Body::CatalogChanged { .. }
            | Body::KeyRotated { .. }
            | Body::Checkpoint(_)
            | Body::Repair { .. } => None,
        }
    }

    /// Takes note of the numbers that a receipt tells, wherever it stands.
    pub fn saw(&mut self, receipt: &Receipt) {
        match &receipt.body {
            Body::Segment(body) => {
                if self.last_seq <= Some(body.media_seq) {
                    self.last_at = receipt.produced_at;
                }
                self.last_seq = self.last_seq.max(Some(body.media_seq));
                self.last_disc = self.last_disc.max(Some(body.disc_seq));
            }
            Body::IpnsReserved { until } => self.reserved = self.reserved.max(*until),
            _ => {}
        }
    }

    /// Whether the number of a segment was seen.
    pub const fn has_numbers(&self) -> bool {
        self.last_seq.is_some()
    }

    /// Whether a number of each kind was seen.
    pub const fn knows_numbers(&self) -> bool {
        self.last_seq.is_some() && self.reserved > 0
    }

    /// From where a timeline counts that goes on from none of these receipts: above all that they tell, and above what
    /// was on air without one, before now too. Of a ledger without a segment nothing was.
    pub fn above(&self, now: Time) -> First {
        let since = NUMBERS_PER_SECOND * now.since(self.last_at).0 / 1_000_000;
        let above = |last: Option<u64>, more: u64| last.map_or(0, |last| last + ABOVE + more);
        First {
            media_seq: above(self.last_seq, since).max(now.millis() / 1_000),
            disc_seq: above(self.last_disc, since.min(DISCONTINUITIES_MAX)),
        }
    }

    /// The same where nothing is left of the receipts that there may have been since `since`, when the first number of all
    /// was the date, in seconds.
    pub fn above_lost(since: Time, now: Time) -> First {
        let (last_seq, last_disc) = (Some(since.millis() / 1_000), Some(0));
        Self { last_seq, last_disc, last_at: since, ..Self::default() }.above(now)
    }

    /// The run of the next segment. One that was started at a segment that goes on without a discontinuity never came
    /// to be; of one whose first receipts could not be written the start is kept all the same.
    fn run_of(&mut self, body: &SegmentBody) -> Option<Arc<Run>> {
        let before = self.run.take().filter(|_| !body.disc);
        let started = self.started.take().filter(|run| run.begins_at_or_before(body));
        started.or(before)
    }

    fn list(&mut self, aired: Aired) {
        if self.listed.last().is_some_and(|last| last.media_seq + 1 != aired.media_seq) {
            self.listed.clear(); // A new chain after a damaged one: numbers went on from a floor.
        }
        let gone = self.listed.iter().take_while(|old| old.media_seq < aired.first_seq).count();
        self.listed.drain(..gone);
        self.listed.push(aired);
    }

    /// The dates of the station.
    pub fn axis(&self) -> Option<&Axis> {
        self.axis.as_ref()
    }

    /// The largest IPNS sequence that may have been used.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// SHA-256 of the order that was accepted last.
    pub fn order(&self) -> Option<&str> {
        self.order.as_deref()
    }

    /// Where the timeline goes on, if there was one.
    pub fn position(self) -> Option<Position> {
        let last = self.listed.last()?;
        Some(Position {
            axis: self.axis?,
            next_seq: last.media_seq + 1,
            next_disc: last.disc_seq,
            begun: self.begun,
            listed: self.listed,
            groups: self.groups,
            ladder: self.ladder,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{
        receipt::{CidText, GENESIS},
        segment::{RAW, cid_of},
        time::Span,
    };

    const AXIS: Axis = Axis { epoch: 1, anchor: Time(0), rate: 44_100, target_seconds: 6 };
    const SEGMENT_SAMPLES: u64 = 264_192;

    fn run(media_seq: u64, part: u32) -> Arc<Run> {
        Arc::new(Run {
            media_seq,
            air_samples: (media_seq * SEGMENT_SAMPLES) as i64,
            samples: 4 * SEGMENT_SAMPLES,
            item: "item".into(),
            entry: "music/one.mp3".into(),
            kind: Kind::Track,
            title: "One".into(),
            artist: String::new(),
            album: String::new(),
            isrc: String::new(),
            cover: None,
            list: CidText(cid_of(RAW, b"list")),
            part,
            parts: 4,
            order: "order".into(),
            position: 0,
            chapters: Vec::new(),
        })
    }

    fn segment(media_seq: u64, part: u32, run: &Arc<Run>) -> Body {
        let aired = Aired {
            media_seq,
            disc: run.media_seq == media_seq,
            disc_seq: 1,
            air_samples: (media_seq * SEGMENT_SAMPLES) as i64,
            segment: Segment { cid: cid_of(RAW, &[part as u8]), samples: SEGMENT_SAMPLES as u32, bytes: 90_000 },
            rungs: Vec::new(),
            part,
            run: run.clone(),
            first_seq: 5,
            group_seq: 5,
            group_end: 5,
        };
        aired.body(&AXIS)
    }

    fn read(bodies: impl IntoIterator<Item = Body>) -> Position {
        let mut history = History::default();
        for (seq, body) in (0..).zip(bodies) {
            let (prev, key_id, node_id) = (GENESIS.into(), "r1".into(), "node".into());
            history.take(&Receipt { seq, prev, key_id, node_id, stream: "main".into(), produced_at: Time(0), body });
        }
        history.position().unwrap()
    }

    #[test]
    fn a_run_whose_first_receipts_are_lost_is_that_of_what_follows() {
        let (begun, later) = (run(5, 0), run(9, 0));
        let opened = Body::LedgerOpen(AXIS.constants());
        let position = read([opened, begun.body(), segment(5, 0, &begun), later.body(), segment(11, 2, &later)]);
        assert_eq!(position.listed.iter().map(|aired| aired.run.media_seq).collect::<Vec<_>>(), [9]);
        assert_eq!(position.unfinished(), Some(&later));
    }

    #[test]
    fn a_run_that_a_crash_left_without_a_segment_is_none() {
        let (begun, never) = (run(5, 0), run(7, 2));
        let bodies = [
            Body::LedgerOpen(AXIS.constants()),
            begun.body(),
            segment(5, 0, &begun),
            segment(6, 1, &begun),
            never.body(),
            Body::LedgerOpen(AXIS.constants()),
            segment(7, 2, &begun),
        ];
        let position = read(bodies);
        assert_eq!(position.listed.iter().map(|aired| aired.run.media_seq).collect::<Vec<_>>(), [5; 3]);
        assert_eq!(position.unfinished(), Some(&begun));
    }

    #[test]
    fn numbers_begin_above_what_may_have_aired_since() {
        let mut history = History::default();
        assert!(!history.has_numbers());
        let (prev, key_id, node_id, body) = (GENESIS.into(), "r1".into(), "node".into(), segment(5, 0, &run(5, 0)));
        let at = |seconds: u64| Time(0).plus(Span::seconds(seconds));
        history.saw(&Receipt { seq: 0, prev, key_id, node_id, stream: "main".into(), produced_at: at(100), body });
        assert!(history.has_numbers());
        let same = First { media_seq: 5 + ABOVE, disc_seq: 1 + ABOVE };
        assert_eq!(history.above(at(100)), same);
        assert_eq!(history.above(at(7)), same, "the clock was set back");
        let later = history.above(at(160));
        assert_eq!(later.media_seq, same.media_seq + 60 * NUMBERS_PER_SECOND);
        assert!((same.disc_seq..=same.disc_seq + DISCONTINUITIES_MAX).contains(&later.disc_seq));
    }

    #[test]
    fn numbers_begin_above_all_that_may_have_aired_where_nothing_is_left_of_it() {
        let day = |days: u64| Time::from_millis(1_700_000_000_000).plus(Span::seconds(days * 86_400));
        let seconds = |time: Time| time.millis() / 1_000;
        for days in [0, 1, 30, 3_650] {
            let lost = History::above_lost(day(0), day(days));
            assert!(lost.media_seq >= seconds(day(0)) + ABOVE + days * 86_400 * NUMBERS_PER_SECOND, "{lost:?}");
            assert!(lost.media_seq >= seconds(day(days)), "{lost:?}");
            assert!(lost.media_seq <= seconds(day(days)) + ABOVE + days * 86_400 * NUMBERS_PER_SECOND, "{lost:?}");
            let most = (days * 86_400 * NUMBERS_PER_SECOND).min(DISCONTINUITIES_MAX);
            assert_eq!(lost.disc_seq, ABOVE + most, "after {days} days");
        }
        // The clock was set back since.
        assert_eq!(History::above_lost(day(9), day(0)).disc_seq, ABOVE);
    }

    #[test]
    fn an_item_that_began_ends_when_its_receipt_says() {
        let begun = Run { samples: 4 * SEGMENT_SAMPLES + 1_023, parts: 7, ..Run::clone(&run(5, 0)) };
        let begun = Arc::new(begun);
        let opened = Body::LedgerOpen(AXIS.constants());
        let position = read([opened, begun.body(), segment(5, 0, &begun), segment(6, 1, &begun)]);
        let item = position.unfinished_by_length().unwrap();
        assert_eq!((item.segments.len(), item.samples()), (7, begun.samples));
    }

    #[test]
    fn an_item_of_more_segments_than_any_has_is_not_gone_on_with() {
        for parts in [timeline::PARTS_MAX as u32 + 1, u32::MAX] {
            let begun = Arc::new(Run { parts, ..Run::clone(&run(5, 0)) });
            let position = read([Body::LedgerOpen(AXIS.constants()), begun.body(), segment(5, 0, &begun)]);
            assert_eq!((position.unfinished(), position.unfinished_by_length()), (Some(&begun), None));
        }
    }

    #[test]
    fn what_was_read_is_told() {
        let mut history = History::default();
        let now = Time::from_millis(1_700_000_000_000);
        assert_eq!(history.above(now), First { media_seq: 1_700_000_000, disc_seq: 0 });
        let begun = run(5, 0);
        let mut bodies = vec![
            Body::LedgerOpen(AXIS.constants()),
            Body::OrderAccepted { order: "order".into(), entries: 1 },
            begun.body(),
        ];
        bodies.extend((0..4).map(|part| segment(5 + u64::from(part), part, &begun)));
        let mut kept = None;
        for (seq, body) in (0..).zip(bodies) {
            let (prev, key_id, node_id) = (GENESIS.into(), "r1".into(), "node".into());
            let receipt = Receipt { seq, prev, key_id, node_id, stream: "main".into(), produced_at: Time(0), body };
            kept = history.take(&receipt);
        }
        assert_eq!((history.axis(), history.order()), (Some(&AXIS), Some("order")));
        assert_eq!(kept.unwrap().until, AXIS.date(9 * SEGMENT_SAMPLES as i64));
        assert!(history.has_numbers() && !history.knows_numbers());
        history.reserved = 1;
        assert!(history.knows_numbers());
        let position = history.position().unwrap();
        assert_eq!(position.unfinished(), None, "all of it has aired");
        assert_eq!(position.begun, Begun { entry: Some(("music/one.mp3".into(), 0)), filler: None });
    }
}
