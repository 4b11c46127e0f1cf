//! Whether the disk keeps pace with the air.

use super::time::{Span, Time};

/// A disk that was too slow counts as slow for so long.
const HOLD: Span = Span::seconds(60);
/// What a busy host may take for anything, in milliseconds.
const BUSY_MILLIS: u64 = 2_000;
/// What is stored at once may take this part of its own sound.
const SHARE: u64 = 8;

/// Watches what was asked of the disk.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    /// What anything may take.
    least: Span,
    /// Since when the disk is at something, and what that may take.
    at: Option<(Time, Span)>,
    slow_until: Time,
}

impl Tempo {
    /// A disk that may take half a segment of `segment_seconds` for one.
    pub fn new(segment_seconds: u32) -> Self {
        Self { least: Span::millis((u64::from(segment_seconds) * 500).max(BUSY_MILLIS)), at: None, slow_until: Time(0) }
    }

    /// What a segment may take.
    pub const fn least(&self) -> Span {
        self.least
    }

    /// The disk is asked for something with so much sound.
    pub fn begins(&mut self, now: Time, sound: Span) {
        self.at = Some((now, Span(sound.0 / SHARE).max(self.least)));
    }

    /// It has answered.
    pub fn ends(&mut self, now: Time) {
        self.is_slow(now);
        self.at = None;
    }

    /// Whether it is, or was a moment ago, slower than it may be.
    pub fn is_slow(&mut self, now: Time) -> bool {
        if self.at.is_some_and(|(since, may)| now.since(since) > may) {
            self.slow_until = now.plus(HOLD);
        }
        now < self.slow_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time(0).plus(Span::millis(millis))
    }

    #[test]
    fn a_disk_is_slow_while_it_takes_too_long_and_for_a_while_behind_that() {
        let mut tempo = Tempo::new(6);
        assert_eq!((Tempo::new(1).least(), tempo.least()), (Span::seconds(2), Span::seconds(3)));
        tempo.begins(at(0), Span::seconds(6));
        assert!(!tempo.is_slow(at(3_000)));
        assert!(tempo.is_slow(at(3_001)));
        tempo.ends(at(9_000));
        assert!(tempo.is_slow(at(68_999)));
        assert!(!tempo.is_slow(at(69_000)));
        // It took too long, and nobody looked meanwhile.
        tempo.begins(at(70_000), Span::seconds(6));
        tempo.ends(at(74_000));
        assert!(tempo.is_slow(at(74_000)));
    }

    #[test]
    fn a_whole_look_ahead_may_take_its_time() {
        let mut tempo = Tempo::new(6);
        tempo.begins(at(0), Span::seconds(300));
        assert!(!tempo.is_slow(at(37_500)));
        assert!(tempo.is_slow(at(37_501)));
    }
}
