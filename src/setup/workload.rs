//! How much there is to encode, in seconds of audio, and how much of it is done.

use std::collections::HashMap;

use crate::radio::time::Span;

/// Between two amounts that are told while a recording is encoded.
const TOLD_EVERY: Span = Span::seconds(1);

/// How far it is: in audio, not in recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How much is encoded.
    pub done: Span,
    /// How much there is in all; an estimate as long as not every recording was looked into.
    pub whole: Span,
}

/// What happens to a recording that is being encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Its samples were read up to here, to be measured or to be encoded.
    Read(Span),
    /// So much of it is encoded and stored.
    Stored(Span),
}

/// The recordings that are encoded in this run.
#[derive(Debug, Default)]
pub(super) struct Workload {
    /// By path, the bytes of recordings that seem to be new and whose turn has not come.
    waiting: HashMap<String, u64>,
    waiting_bytes: u64,
    /// By path, what is being encoded.
    running: HashMap<String, Stretch>,
    /// What was encoded: the bytes of the recordings, and how long they play.
    made_bytes: u64,
    made: Span,
}

/// A recording that is being encoded. The survey counts for half of the work.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    bytes: u64,
    declared: Span,
    read: Span,
    stored: Span,
    told: Span,
}

impl Stretch {
    fn plays(&self) -> Span {
        self.declared.max(self.read).max(self.stored)
    }

    fn done(&self) -> Span {
        Span(u64::midpoint(self.read.0, self.stored.0))
    }
}

impl Workload {
    /// A recording seems to be new.
    pub(super) fn expect(&mut self, path: &str, bytes: u64) {
        self.forget(path);
        self.waiting.insert(path.to_owned(), bytes);
        self.waiting_bytes += bytes;
    }

    /// A recording is being encoded that declares to play so long; zero where it declares nothing.
    pub(super) fn begin(&mut self, path: &str, bytes: u64, declared: Span) {
        self.forget(path);
        let stretch = Stretch { bytes, declared, read: Span(0), stored: Span(0), told: Span(0) };
        self.running.insert(path.to_owned(), stretch);
    }

    /// Takes a step. Gives how far it is when it is time to tell.
    pub(super) fn advance(&mut self, path: &str, step: Step) -> Option<Amount> {
        let stretch = self.running.get_mut(path)?;
        match step {
            Step::Read(at) => stretch.read = stretch.read.max(at),
            Step::Stored(more) => stretch.stored.0 += more.0,
        }
        let done = stretch.done();
        if done.0 < stretch.told.0 + TOLD_EVERY.0 {
            return None;
        }
        stretch.told = done;
        Some(self.amount())
    }

    /// A recording is dealt with: so much of it was encoded; nothing where it was ready, or cannot be used.
    pub(super) fn end(&mut self, path: &str, encoded: Span) {
        self.forget(path);
        if let Some(stretch) = self.running.remove(path).filter(|_| encoded > Span(0)) {
            self.made_bytes += stretch.bytes;
            self.made.0 += encoded.0;
        }
    }

    /// How far it is. What waits is taken to play as long for its bytes as what was looked into.
    pub(super) fn amount(&self) -> Amount {
        let (mut bytes, mut known, mut done) = (self.made_bytes, self.made, self.made);
        for stretch in self.running.values() {
            bytes += stretch.bytes;
            known.0 += stretch.plays().0;
            done.0 += stretch.done().0;
        }
        let waiting = u128::from(self.waiting_bytes) * u128::from(known.0) / u128::from(bytes.max(1));
        Amount { done, whole: Span(known.0.saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX))) }
    }

    fn forget(&mut self, path: &str) {
        if let Some(bytes) = self.waiting.remove(path) {
            self.waiting_bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(amount: Amount) -> (u64, u64) {
        (amount.done.0 / 1_000_000, amount.whole.0 / 1_000_000)
    }

    #[test]
    fn a_single_long_recording_shows_how_far_it_is() {
        let mut work = Workload::default();
        let hours = |hours: u64| Span::seconds(3_600 * hours);
        work.expect("mix.mp3", 1_000);
        assert_eq!(work.amount(), Amount::default());
        work.begin("mix.mp3", 1_000, hours(3));
        assert_eq!(seconds(work.amount()), (0, 10_800));
        assert_eq!(work.advance("mix.mp3", Step::Read(Span::millis(1_998))), None, "not told at every step");
        assert_eq!(work.advance("mix.mp3", Step::Read(hours(2))).map(seconds), Some((3_600, 10_800)));
        work.advance("mix.mp3", Step::Read(hours(3)));
        work.advance("mix.mp3", Step::Stored(hours(1)));
        assert_eq!(seconds(work.amount()), (7_200, 10_800), "surveyed, and a third of it stored");
        work.advance("mix.mp3", Step::Read(hours(1)));
        assert_eq!(seconds(work.amount()), (7_200, 10_800), "another pass takes nothing back");
        work.end("mix.mp3", hours(3));
        assert_eq!(seconds(work.amount()), (10_800, 10_800));
    }

    #[test]
    fn what_waits_is_estimated_by_its_bytes() {
        let mut work = Workload::default();
        work.expect("a.mp3", 1_000);
        work.expect("b.mp3", 3_000);
        work.expect("c.mp3", 3_000);
        work.begin("a.mp3", 1_000, Span::seconds(60));
        assert_eq!(seconds(work.amount()), (0, 420));
        work.end("b.mp3", Span(0));
        assert_eq!(seconds(work.amount()), (0, 240), "it was ready");
        work.end("a.mp3", Span::seconds(61));
        work.begin("c.mp3", 3_000, Span::seconds(200));
        assert_eq!(seconds(work.amount()), (61, 261));
        work.end("c.mp3", Span(0));
        assert_eq!(seconds(work.amount()), (61, 61), "it cannot be used");
    }

    #[test]
    fn what_declares_nothing_plays_at_least_as_long_as_was_read() {
        let mut work = Workload::default();
        work.begin("a.webm", 1_000, Span(0));
        assert_eq!(work.amount(), Amount::default());
        work.advance("a.webm", Step::Read(Span::seconds(30)));
        assert_eq!(seconds(work.amount()), (15, 30));
        assert_eq!(work.advance("other", Step::Read(Span::seconds(30))), None);
    }
}
