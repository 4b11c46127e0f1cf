//! Whether what is put under a name reaches others: somebody takes it, and others who are asked show it. Judged by
//! how long it has been otherwise, since a single put or look may fail. Pure: time is an argument.

use std::fmt;

use super::time::{Span, Time};

/// What others do not do, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nobody takes a record.
    NotTaken(Time),
    /// Records are taken, and nobody who is asked shows one of the last.
    NotShown(Time),
}

/// One name.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    patience: Span,
    asking: Span,
    /// When the first put began that nobody has taken, with no other one behind it that somebody has.
    trying_since: Option<Time>,
    /// When somebody has last shown what was put not long before, or has first taken a record.
    shown: Option<Time>,
}

impl Echo {
    /// A name that nobody has put yet. `patience`: how old what others have of it may be; `asking`: how long it takes to
    /// ask them once more.
    pub const fn new(patience: Span, asking: Span) -> Self {
        Self { patience, asking, trying_since: None, shown: None }
    }

    /// A put has begun.
    pub fn put(&mut self, now: Time) {
        self.trying_since.get_or_insert(now);
    }

    /// Somebody has taken a record.
    pub fn taken(&mut self, now: Time) {
        self.trying_since = None;
        self.shown.get_or_insert(now);
    }

    /// Others have shown a record that is `older` than the last one that somebody had taken.
    pub fn shown(&mut self, older: Span, now: Time) {
        if older <= self.patience {
            self.shown = Some(now);
        }
    }

    /// What has been missing for too long at `now`.
    pub fn silence(&self, now: Time) -> Option<Silence> {
        let before = |patience: Span| move |since: &Time| now.since(*since) > patience;
        let not_taken = self.trying_since.filter(before(self.patience)).map(Silence::NotTaken);
        let until = Span(self.patience.0 + self.asking.0);
        not_taken.or_else(|| self.shown.filter(before(until)).map(Silence::NotShown))
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTaken(since) => write!(f, "nobody has taken its record since {since}"),
            Self::NotShown(since) => write!(f, "its records are taken, but nobody shows a new one since {since}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(1_700_000_000_000_000).plus(Span::seconds(seconds))
    }

    fn echo() -> Echo {
        Echo::new(Span::seconds(270), Span::seconds(120))
    }

    #[test]
    fn nothing_is_missed_of_what_was_never_tried_or_goes_well() {
        let mut echo = echo();
        assert_eq!(echo.silence(at(9_999)), None);
        for second in (0..9_999).step_by(12) {
            echo.put(at(second));
            assert_eq!(echo.silence(at(second + 60)), None);
            echo.taken(at(second + 60));
            echo.shown(Span::seconds(100), at(second + 61));
        }
        assert_eq!(echo.silence(at(10_000)), None);
    }

    #[test]
    fn puts_that_nobody_takes_are_missed_after_a_while_and_one_that_is_taken_heals() {
        let mut echo = echo();
        (0..30).for_each(|put| echo.put(at(10 + put * 60)));
        assert_eq!(echo.silence(at(280)), None);
        assert_eq!(echo.silence(at(281)), Some(Silence::NotTaken(at(10))));
        let told = echo.silence(at(281)).map(|silence| silence.to_string());
        assert_eq!(told.as_deref(), Some("nobody has taken its record since 2023-11-14T22:13:30.000Z"));
        echo.taken(at(1_000));
        assert_eq!(echo.silence(at(1_000)), None);
        echo.put(at(1_001));
        echo.shown(Span(0), at(1_100));
        assert_eq!(
            echo.silence(at(1_272)),
            Some(Silence::NotTaken(at(1_001))),
            "it was the last but one that was shown"
        );
    }

    #[test]
    fn records_that_are_taken_and_never_shown_are_missed() {
        let mut echo = echo();
        for second in (0..1_000).step_by(12) {
            echo.put(at(second));
            echo.taken(at(second));
            echo.shown(Span::seconds(271), at(second));
            let missed = (second > 390).then_some(Silence::NotShown(at(0)));
            assert_eq!(echo.silence(at(second)), missed, "at {second} s");
        }
        echo.shown(Span::seconds(270), at(1_000));
        assert_eq!(echo.silence(at(1_390)), None);
        assert_eq!(echo.silence(at(1_391)), Some(Silence::NotShown(at(1_000))));
        assert!(
            Silence::NotShown(at(1_000)).to_string().contains("nobody shows a new one since 2023-11-14T22:30:00.000Z")
        );
    }

    #[test]
    fn says_since_when() {
        let words = Silence::NotTaken(at(0)).to_string();
        assert!(words.ends_with("since 2023-11-14T22:13:20.000Z"), "{words}");
    }
}
