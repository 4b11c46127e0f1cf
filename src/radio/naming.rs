//! When an IPNS record is made and put: one put in flight per name, newest wins, sequences that never go back
//! (contract §3).
//!
//! Same shape as the timeline: say what is wanted, do what [`Naming::poll`] asks, report how it ended. Nothing here
//! is awaited by the air.

use cid::Cid;

use super::time::{Span, Time};

/// How names are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamingRules {
    /// The least time between two puts of a name.
    pub interval: Span,
    /// How long a record is valid.
    pub lifetime: Span,
}

/// What is to be done for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameAction {
    /// Make durable that sequences up to this one may be used, then say [`Naming::reserved`] or [`Naming::unreserved`].
    Reserve(u64),
    /// Sign a record of this value and sequence and put it, then say [`Naming::ended`].
    Put {
        /// What the name is to point to.
        value: Cid,
        /// The sequence of the record.
        sequence: u64,
    },
    /// Nothing before this time unless another value is wanted.
    Wait(Time),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Nothing,
    Reserving,
    Putting { value: Cid },
}

/// How many sequences are reserved at once: ten minutes of them, as they count milliseconds.
const RESERVE: u64 = 600_000;
/// A reservation is made again after this time, so that a start that reads the newest receipts finds one.
const RENEW: Span = Span::seconds(12 * 3_600);
/// A wait when there is nothing to wait for.
const IDLE: Span = Span::seconds(3_600);

/// One IPNS name of the station.
#[derive(Clone, Debug)]
pub struct Naming {
    rules: NamingRules,
    wanted: Option<Cid>,
    published: Option<(Cid, Time)>,
    out: Out,
    not_before: Time,
    last_sequence: u64,
    reserved: u64,
    /// When it was reserved, or asked to be.
    reserved_at: Option<Time>,
    /// Whether the next put does without a reservation.
    spared: bool,
    halted: bool,
}

impl Naming {
    /// A name whose sequences so far are at most `used`.
    pub const fn new(rules: NamingRules, used: u64) -> Self {
        Self {
            rules,
            wanted: None,
            published: None,
            out: Out::Nothing,
            not_before: Time(0),
            last_sequence: used,
            reserved: used,
            reserved_at: None,
            spared: false,
            halted: false,
        }
    }

    /// What the name shall point to from now on.
    pub const fn want(&mut self, value: Cid) {
        self.wanted = Some(value);
    }

    /// Sequences up to `used` are taken: somebody has seen them.
    pub fn raise(&mut self, used: u64) {
        self.last_sequence = self.last_sequence.max(used);
    }

    /// Somebody has read a record of this sequence from others. False if it is not ours, since it is higher than any of
    /// ours: then another node has the same key.
    pub const fn is_ours(&self, sequence: u64) -> bool {
        sequence <= self.last_sequence
    }

    /// Nothing is put any more.
    pub const fn halt(&mut self) {
        self.halted = true;
    }

    /// That sequences may be used is durable up to `until`.
    pub fn reserved(&mut self, until: u64) {
        if self.out == Out::Reserving {
            self.out = Out::Nothing;
        }
        self.reserved = self.reserved.max(until);
    }

    /// Nothing could be reserved. The put at hand does without, since silence would be worse; the next one asks again, so
    /// that a restart knows of all sequences as soon as anything is durable.
    pub fn unreserved(&mut self) {
        if self.out == Out::Reserving {
            (self.out, self.spared) = (Out::Nothing, true);
        }
    }

    /// A put has ended, well or not. Whatever is newest is put next; a failure is tried again after the interval.
    pub fn ended(&mut self, well: bool, now: Time) {
        if let Out::Putting { value } = self.out
            && well
        {
            self.published = Some((value, now));
        }
        self.out = Out::Nothing;
    }

    /// The largest sequence used so far.
    pub const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// What is to be done next at wall time `now`.
    pub fn poll(&mut self, now: Time) -> NameAction {
        let Some(value) = self.wanted else { return NameAction::Wait(now.plus(IDLE)) };
        if self.halted || self.out != Out::Nothing {
            return NameAction::Wait(now.plus(IDLE));
        }
        // A wall clock that went back must not silence the name for longer than one interval.
        self.not_before = self.not_before.min(now.plus(self.rules.interval));
        let due = match self.published {
            Some((same, at)) if same == value => at.plus(Span(self.rules.lifetime.0 / 2)).max(self.not_before),
            _ => self.not_before,
        };
        if now < due {
            return NameAction::Wait(due);
        }
        let sequence = (self.last_sequence + 1).max(now.millis());
        let fresh = self.reserved_at.is_some_and(|at| at <= now && now < at.plus(RENEW));
        if (sequence > self.reserved || !fresh) && !self.spared {
            (self.out, self.reserved_at) = (Out::Reserving, Some(now));
            return NameAction::Reserve(sequence + RESERVE);
        }
        (self.last_sequence, self.spared) = (sequence, false);
        self.not_before = now.plus(self.rules.interval);
        self.out = Out::Putting { value };
        NameAction::Put { value, sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    const RULES: NamingRules = NamingRules { interval: Span::seconds(12), lifetime: Span::seconds(7_200) };

    fn at(seconds: u64) -> Time {
        Time::from_millis(1_000_000_000 + seconds * 1_000)
    }

    fn put(naming: &mut Naming, now: Time) -> (Cid, u64) {
        let mut action = naming.poll(now);
        if let NameAction::Reserve(until) = action {
            naming.reserved(until);
            action = naming.poll(now);
        }
        let NameAction::Put { value, sequence } = action else { panic!("{action:?}") };
        (value, sequence)
    }

    #[test]
    fn the_newest_value_wins_and_puts_keep_their_distance() {
        let values: Vec<Cid> = (0..4_u8).map(|n| cid_of(RAW, &[n])).collect();
        let mut naming = Naming::new(RULES, 0);
        assert!(matches!(naming.poll(at(0)), NameAction::Wait(_)));
        naming.want(values[0]);
        let (value, first) = put(&mut naming, at(0));
        assert_eq!((value, first), (values[0], at(0).millis()));
        naming.want(values[1]);
        assert!(matches!(naming.poll(at(60)), NameAction::Wait(_)), "one put in flight");
        naming.want(values[2]);
        naming.ended(true, at(61));
        let (value, second) = put(&mut naming, at(61));
        assert_eq!(value, values[2]);
        assert!(second > first);
        naming.ended(false, at(62));
        naming.want(values[3]);
        assert_eq!(naming.poll(at(63)), NameAction::Wait(at(73)));
        assert_eq!(put(&mut naming, at(73)).0, values[3]);
    }

    #[test]
    fn an_unchanged_value_is_put_again_before_its_record_ends() {
        let value = cid_of(RAW, b"list");
        let mut naming = Naming::new(RULES, 0);
        naming.want(value);
        put(&mut naming, at(0));
        naming.ended(true, at(1));
        assert_eq!(naming.poll(at(2)), NameAction::Wait(at(3_601)));
        assert_eq!(put(&mut naming, at(3_601)).0, value);
    }

    #[test]
    fn sequences_never_go_back() {
        let mut naming = Naming::new(RULES, at(5_000).millis());
        naming.want(cid_of(RAW, b"1"));
        let (_, first) = put(&mut naming, at(0));
        assert_eq!(first, at(5_000).millis() + 1, "a clock that went back does not matter");
        naming.ended(true, at(1));
        naming.want(cid_of(RAW, b"2"));
        let (_, second) = put(&mut naming, at(20));
        assert_eq!(second, first + 1);
        naming.raise(first);
        assert_eq!(naming.last_sequence(), second);
        naming.raise(second + 10);
        naming.ended(true, at(21));
        naming.want(cid_of(RAW, b"3"));
        assert_eq!(put(&mut naming, at(40)).1, second + 11);
    }

    #[test]
    fn a_higher_sequence_than_ours_is_somebody_elses_and_a_name_that_is_halted_rests() {
        let mut naming = Naming::new(RULES, 7);
        assert!(naming.is_ours(7) && !naming.is_ours(8));
        naming.want(cid_of(RAW, b"1"));
        let (_, sequence) = put(&mut naming, at(0));
        assert!(naming.is_ours(sequence) && !naming.is_ours(sequence + 1));
        naming.ended(true, at(1));
        naming.want(cid_of(RAW, b"2"));
        naming.halt();
        assert!(matches!(naming.poll(at(1_000)), NameAction::Wait(_)));
    }

    #[test]
    fn nothing_is_put_before_its_sequence_is_reserved() {
        let mut naming = Naming::new(RULES, 0);
        naming.want(cid_of(RAW, b"1"));
        let NameAction::Reserve(until) = naming.poll(at(0)) else { panic!() };
        assert!(until >= at(0).millis());
        assert!(matches!(naming.poll(at(1)), NameAction::Wait(_)));
        naming.reserved(until);
        assert!(matches!(naming.poll(at(1)), NameAction::Put { sequence, .. } if sequence <= until));
        let mut naming = Naming::new(RULES, 0);
        naming.want(cid_of(RAW, b"1"));
        assert!(matches!(naming.poll(at(0)), NameAction::Reserve(_)));
        naming.reserved(at(1).millis());
        let last = at(1).millis();
        assert!(
            matches!(naming.poll(at(1)), NameAction::Put { sequence, .. } if sequence == last),
            "also the last one"
        );
    }

    /// Sequences are far ahead of the clock, and none has to be reserved for years.
    #[test]
    fn a_reservation_is_made_again_before_a_start_reads_no_further_back() {
        let mut naming = Naming::new(RULES, at(1_000_000_000).millis());
        for (hours, reserves) in [(0, true), (3, false), (11, false), (13, true), (24, false), (25, true)] {
            naming.want(cid_of(RAW, &[hours]));
            let now = at(u64::from(hours) * 3_600);
            let mut action = naming.poll(now);
            assert_eq!(matches!(action, NameAction::Reserve(_)), reserves, "after {hours} hours: {action:?}");
            if let NameAction::Reserve(until) = action {
                naming.reserved(until);
                action = naming.poll(now);
            }
            assert!(matches!(action, NameAction::Put { .. }), "{action:?}");
            naming.ended(true, now);
        }
        naming.want(cid_of(RAW, b"back"));
        assert!(matches!(naming.poll(at(20 * 3_600)), NameAction::Wait(_)));
        assert!(matches!(naming.poll(at(20 * 3_600 + 20)), NameAction::Reserve(_)), "the clock went back");
    }

    #[test]
    fn a_put_without_a_reservation_is_an_exception_each_time() {
        let mut naming = Naming::new(RULES, 0);
        naming.want(cid_of(RAW, b"1"));
        for seconds in [0, 20] {
            assert!(matches!(naming.poll(at(seconds)), NameAction::Reserve(_)));
            naming.unreserved();
            assert!(matches!(naming.poll(at(seconds)), NameAction::Put { .. }));
            naming.ended(false, at(seconds + 1));
        }
    }
}
