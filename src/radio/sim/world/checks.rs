//! What is checked whenever the timeline waits or shows something.

use super::super::super::{
    status::Skew,
    time::Time,
    timeline::{Clocks, Snapshot, Why},
    trouble,
};
use super::super::{audience::Version, observer::ROUNDING};
use super::{RETRY, SECOND, World};

impl World {
    /// Where the visible list ends.
    pub(super) fn visible_end(&self) -> Option<i64> {
        self.observer.visible.map(|visible| self.observer.at(visible.last).media_end())
    }

    pub(super) fn check_wait(&mut self, until: Time, why: Why, clocks: Clocks) {
        assert!(until > clocks.station, "a wait that is over");
        let busy = self.life().out.is_some();
        assert_eq!(why == Why::Busy, busy, "the timeline waits for what is not out, or not for what is");
        if why != Why::Air {
            assert!(until.since(clocks.station).0 <= RETRY, "a wait of more than a second");
        }
        match why {
            Why::Air => self.check_full(until, clocks),
            Why::Busy => {}
            Why::Unproved => self.check_unproved(until, clocks),
            Why::Retry => {
                let failed = self.life().failed.expect("a retry of nothing");
                assert!(clocks.station.since(failed).0 <= RETRY, "an idle retry");
            }
            Why::Nothing => assert!(self.expect.next().is_none(), "silence although there is something to air"),
        }
    }

    /// A list waits only while nothing of its chain is durable, and no longer than its numbers take.
    fn check_unproved(&self, until: Time, clocks: Clocks) {
        assert!(!self.config.rules.receipts_required && !self.proved, "a list waits although its numbers are durable");
        let given = self.observer.next_seq() - self.observer.base();
        assert!(until.since(self.observer.began).0 * 8 <= (given + 8) * SECOND, "a list of {given} waits too long");
        assert!(until > clocks.station);
    }

    /// Idle: the whole look-ahead is visible, and the wait ends when it is short again.
    pub(super) fn check_full(&mut self, until: Time, clocks: Clocks) {
        let end = self.visible_end().expect("idle without a list");
        assert_eq!(self.observer.visible.map(|visible| visible.last + 1), Some(self.observer.next_seq()), "not shown");
        let look_ahead = self.config.rules.look_ahead() as i64;
        let missing = self.observer.media_now(clocks.station) + look_ahead - end;
        assert!(missing <= ROUNDING, "idle although {missing} samples of the look-ahead are missing (L1)");
        let late = self.observer.media_now(until) + look_ahead - end;
        assert!(late <= i64::from(self.config.rules.rate) / 1_000, "sleeps {late} samples too long (L1)");
        self.check_told(clocks);
    }

    /// Faults have just stopped: as soon as the look-ahead is short there is another segment within 2·TD (L1).
    pub(super) fn check_heals(&mut self) {
        let (rules, before) = (self.config.rules.clone(), self.observer.next_seq());
        let short = self
            .visible_end()
            .map_or(0, |end| end - self.observer.media_now(self.clocks().station) - rules.look_ahead() as i64);
        let due = short.max(0) as u64 / u64::from(rules.rate) + 2 * u64::from(rules.segment_seconds);
        self.run(due);
        let visible = self.observer.visible.map_or(0, |visible| visible.last);
        assert!(self.observer.next_seq() > before && visible >= before, "no new segment within 2·TD (L1)");
    }

    /// How the dates stand to the clock when a list becomes visible.
    pub(super) fn tell_of_clock(&mut self, snapshot: &Snapshot, clocks: Clocks) {
        let last = &snapshot.segments[snapshot.segments.len() - 1];
        let now = self.observer.media_now(clocks.station);
        let on_air = self.observer.on_air(now);
        let (end, rate) = (self.observer.at(last.media_seq), i64::from(self.config.rules.rate));
        let skew = |dated: i64| (now + dated - self.observer.position(clocks.wall)) * 1_000 / rate;
        let skew = Skew { pdt_skew_ms: skew(on_air.air - on_air.media), next_pdt_skew_ms: skew(end.air - end.media) };
        let asked = self.observer.reanchoring;
        self.tell(Some(trouble::of_clock(skew, self.config.rules.skew(), asked)));
    }

    /// Faults are over for a minute, and another segment is on air since: health is green again but for dates that are
    /// ahead, which wait for an operator, or follow the clock with the next item (L3).
    pub(super) fn check_green(&mut self) {
        let off = |world: &Self| world.skew_millis().unsigned_abs() + 1_000 > world.config.rules.skew().0 / 1_000;
        if self.troubles.contains_key("clock") && !off(self) {
            // What was told with the last list: the next one comes within a segment.
            self.run(2 * u64::from(self.config.rules.segment_seconds));
        }
        let mut open = self.troubles.clone();
        open.retain(|topic, _| *topic != "clock" || !off(self));
        assert!(open.is_empty(), "health is not green a minute after all is well: {open:?} (L3)");
    }

    /// The network has just come back: within a minute the name points to the list of now (L4).
    pub(in super::super) fn check_named(&mut self) {
        let Some(visible) = self.observer.visible else { return };
        self.names.return_at(self.now);
        (0..12).for_each(|_| self.run(5));
        let public = self.names.public_end();
        let named = public >= Some(visible.last) || self.names.is_hidden();
        assert!(named, "the name is at {public:?}, {} was listed a minute ago (L4)", visible.last);
    }

    /// The batch before this one is visible.
    pub(super) fn check_all_shown(&mut self) {
        let Some(visible) = self.observer.visible else { return };
        let hidden = self.observer.next_seq() - (visible.last + 1);
        assert_eq!(hidden, 0, "{hidden} segments are on the timeline and not shown");
    }

    /// A list that was just made is short by no more than the time that it took to make it.
    pub(super) fn check_short(&mut self, version: Version) {
        let ((count, making), more) = (self.life().batch, self.life().more);
        let short = version.now + self.config.rules.look_ahead() as i64 - version.end;
        let whole = count > 0 && count < 64 && more && self.life().failed.is_none();
        assert!(!whole || short <= making + ROUNDING, "a new list is {short} short (L1)");
    }

    pub(super) fn count_action(&mut self) {
        let second = self.now / SECOND;
        let acts = if self.acts.0 == second { self.acts.1 + 1 } else { 1 };
        self.acts = (second, acts);
        let rules = &self.config.rules;
        // Between two lists there are up to 64 failures, and each of these may cost a batch that is read again.
        let most = 6_000 + 8 * u64::from(rules.segment_seconds * (rules.look_ahead + rules.window_size));
        assert!(acts <= most, "{acts} actions within a second: and no list: a livelock");
    }

    /// What the timeline tells of itself: what is on air, how far its dates are off, and when its list began.
    fn check_told(&mut self, clocks: Clocks) {
        let now = self.observer.media_now(clocks.station);
        let (on_air, first) = (self.observer.on_air(now).clone(), self.observer.visible.expect("it is idle").first);
        let timeline = &self.life.as_ref().expect("the process runs").timeline;
        let told = timeline.on_air(clocks).expect("something is on air");
        let off = told.air_samples - on_air.air;
        let between = (now - on_air.media).min(on_air.media_end() - now) <= ROUNDING;
        assert!(off == 0 || between, "another segment is on air");
        let dated = now + on_air.air - on_air.media;
        let skew = (dated - self.observer.position(clocks.wall)) * 1_000 / i64::from(self.config.rules.rate);
        assert!(off != 0 || (timeline.skew_millis(clocks) - skew).abs() <= 1, "the dates are {skew} ms ahead");
        let from = self.observer.position(clocks.station) - (now - self.observer.at(first).media);
        assert!((timeline.listed_from() - from).abs() <= ROUNDING, "the list began elsewhere");
    }
}
