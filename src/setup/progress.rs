//! How setup tells what it does.

use std::{io::IsTerminal, time::Duration};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::Amount;
use crate::{
    clock,
    radio::time::{Span, Time},
};

/// Where there is no bar, the share is told each time that it has risen by so much, in hundredths.
const TOLD_EVERY: u64 = 10;

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The folders were read: so many recordings are wanted.
    Found {
        /// How many.
        files: usize,
    },
    /// A recording is being encoded.
    Encoding {
        /// Its path.
        path: &'a str,
    },
    /// Another second of audio is done.
    Advanced {
        /// How much is encoded by now.
        amount: Amount,
    },
    /// A recording is dealt with, one way or another.
    Done {
        /// Its path.
        path: &'a str,
        /// Why it is skipped, if it is.
        skipped: Option<&'a str>,
        /// How much is encoded by now.
        amount: Amount,
        /// How many are dealt with.
        done: usize,
        /// How many are wanted.
        total: usize,
    },
    /// What is ready can be aired.
    Published {
        /// How many entries there are.
        entries: usize,
        /// Whether that is all.
        complete: bool,
    },
}

/// Tells people: a bar on a terminal, log lines elsewhere.
#[derive(Debug)]
pub struct Teller {
    bar: Option<ProgressBar>,
    state: State,
    /// The share that was told last.
    told: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When the first recording was begun.
    began: Option<Time>,
    amount: Amount,
    done: usize,
    total: usize,
}

impl Default for Teller {
    fn default() -> Self {
        Self::new()
    }
}

impl Teller {
    /// A bar if standard error is a terminal.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent}% {prefix} {wide_msg}");
            ProgressBar::new(100).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, state: State::default(), told: 0 }
    }

    /// Shows it.
    pub fn tell(&mut self, progress: &Progress<'_>) {
        let now = clock::wall();
        self.state.note(progress, now);
        match &self.bar {
            Some(bar) => show(bar, progress, &self.state, now),
            None => log(progress, &self.state, now, &mut self.told),
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl State {
    fn note(&mut self, progress: &Progress<'_>, now: Time) {
        match progress {
            Progress::Found { files } => self.total = *files,
            Progress::Encoding { .. } => _ = self.began.get_or_insert(now),
            Progress::Advanced { amount } => self.amount = *amount,
            Progress::Done { amount, done, total, .. } => {
                (self.amount, self.done, self.total) = (*amount, *done, *total);
            }
            Progress::Published { .. } => {}
        }
    }

    /// The share that is done, in hundredths: of the audio that is encoded, or of the recordings where nothing is.
    fn percent(&self) -> u64 {
        let Amount { done, whole } = self.amount;
        let share = |done: u64, whole: u64| u128::from(done.min(whole)) * 100 / u128::from(whole.max(1));
        let share = if whole > Span(0) { share(done.0, whole.0) } else { share(self.done as u64, self.total as u64) };
        share as u64
    }

    /// How long it has been encoding; nothing before there is anything to tell of that.
    fn encoding(&self, now: Time) -> Option<Span> {
        let elapsed = now.since(self.began?);
        (self.amount.done > Span(0) && elapsed > Span(0)).then_some(elapsed)
    }

    /// How many times faster than it plays; no words before something was encoded.
    fn pace(&self, now: Time) -> String {
        let pace = |elapsed: Span| format!("{:.0} \u{d7} real time", self.amount.done.0 as f64 / elapsed.0 as f64);
        self.encoding(now).map(pace).unwrap_or_default()
    }

    /// How long the rest takes at this pace.
    fn left(&self, now: Time) -> Option<Span> {
        let Amount { done, whole } = self.amount;
        let left = self.encoding(now)?.0 as f64 * whole.0.saturating_sub(done.0) as f64 / done.0 as f64;
        Some(Span(left as u64))
    }

    fn words(&self, now: Time) -> String {
        let files = format!("{}/{} files", self.done, self.total);
        let pace = Some(self.pace(now)).filter(|pace| !pace.is_empty());
        let left = self.left(now).map(|left| format!("about {} left", HumanDuration(Duration::from_micros(left.0))));
        [Some(files), pace, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn show(bar: &ProgressBar, progress: &Progress<'_>, state: &State, now: Time) {
    bar.set_position(state.percent());
    bar.set_prefix(state.words(now));
    match progress {
        Progress::Encoding { path } => bar.set_message((*path).to_owned()),
        Progress::Done { path, skipped: Some(why), .. } => bar.println(format!("skipped {path}: {why}")),
        Progress::Published { entries, complete: false } => bar.println(format!("{entries} entries are ready to air")),
        Progress::Found { .. } | Progress::Advanced { .. } | Progress::Done { .. } | Progress::Published { .. } => {}
    }
}

fn log(progress: &Progress<'_>, state: &State, now: Time, told: &mut u64) {
    let percent = state.percent();
    match progress {
        Progress::Found { files } => tracing::info!(files, "recordings found"),
        Progress::Encoding { path } => tracing::debug!(path, "encoding"),
        Progress::Advanced { .. } if percent >= *told + TOLD_EVERY => {
            *told = percent - percent % TOLD_EVERY;
            tracing::info!(percent, pace = state.pace(now), "encoding");
        }
        Progress::Advanced { .. } => {}
        Progress::Done { path, skipped: Some(why), done, total, .. } => {
            tracing::warn!(path, why, done, total, "recording skipped");
        }
        Progress::Done { path, done, total, .. } => tracing::debug!(path, done, total, "recording ready"),
        Progress::Published { entries, complete } => {
            tracing::info!(entries, complete, percent, pace = state.pace(now), "ready to air");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(done: u64, whole: u64, files: (usize, usize)) -> State {
        let amount = Amount { done: Span::seconds(done), whole: Span::seconds(whole) };
        State { began: Some(Time(5_000_000)), amount, done: files.0, total: files.1 }
    }

    /// So many seconds after the first recording was begun.
    fn after(seconds: u64) -> Time {
        Time(5_000_000).plus(Span::seconds(seconds))
    }

    #[test]
    fn share_pace_and_time_left_go_by_audio() {
        let mix = state(3_600, 10_800, (0, 1));
        assert_eq!((mix.percent(), mix.left(after(20))), (33, Some(Span::seconds(40))));
        assert_eq!(mix.words(after(20)), "0/1 files, 180 \u{d7} real time, about 40 seconds left");
        assert_eq!((mix.pace(after(0)), mix.left(after(0))), (String::new(), None));
        let over = state(11_000, 10_800, (1, 1));
        assert_eq!((over.percent(), over.left(after(20))), (100, Some(Span(0))));
    }

    #[test]
    fn what_is_ready_before_counts_only_where_nothing_is_encoded() {
        let resumed = state(60, 240, (10_000, 10_001));
        assert_eq!((resumed.percent(), resumed.left(after(1))), (25, Some(Span::seconds(3))), "about the new one");
        let nothing_new = State { began: None, ..state(0, 0, (5_000, 10_000)) };
        assert_eq!(nothing_new.words(after(20)), "5000/10000 files");
        assert_eq!((nothing_new.percent(), state(0, 0, (0, 0)).percent()), (50, 0));
    }

    #[test]
    fn the_clock_runs_from_the_first_recording_on() {
        let mut state = State::default();
        let amount = Amount { done: Span::seconds(100), whole: Span::seconds(200) };
        for (progress, second) in [
            (Progress::Found { files: 3 }, 0),
            (Progress::Done { path: "a", skipped: None, amount: Amount::default(), done: 1, total: 3 }, 50),
            (Progress::Encoding { path: "b" }, 60),
            (Progress::Encoding { path: "c" }, 61),
            (Progress::Advanced { amount }, 70),
        ] {
            state.note(&progress, after(second));
        }
        assert_eq!(state.words(after(70)), "1/3 files, 10 \u{d7} real time, about 10 seconds left");
    }
}
