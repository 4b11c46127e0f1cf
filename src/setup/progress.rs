//! How setup tells what it does.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    clock,
    radio::time::{Span, Time},
};

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
    /// A recording is dealt with, one way or another.
    Done {
        /// Its path.
        path: &'a str,
        /// Why it is skipped, if it is.
        skipped: Option<&'a str>,
        /// How long what was encoded of it just now plays; nothing where all of it was there.
        encoded: Span,
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
    began: Time,
    /// What was encoded since.
    encoded: Span,
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
            let style = ProgressStyle::with_template(
                "{bar:30} {percent}% {pos}/{len} files{prefix} (about {eta} left) {wide_msg}",
            );
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, began: clock::wall(), encoded: Span(0) }
    }

    /// Shows it.
    pub fn tell(&mut self, progress: &Progress<'_>) {
        if let Progress::Done { encoded, .. } = progress {
            self.encoded.0 += encoded.0;
        }
        let pace = pace(self.encoded, clock::wall().since(self.began));
        match &self.bar {
            Some(bar) => show(bar, progress, &pace),
            None => log(progress, &pace),
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

/// How many times faster than it plays; no words before something was encoded.
fn pace(encoded: Span, elapsed: Span) -> String {
    if encoded == Span(0) || elapsed == Span(0) {
        return String::new();
    }
    format!("{:.0} \u{d7} real time", encoded.0 as f64 / elapsed.0 as f64)
}

fn show(bar: &ProgressBar, progress: &Progress<'_>, pace: &str) {
    match progress {
        Progress::Found { files } => bar.set_length(*files as u64),
        Progress::Encoding { path } => bar.set_message((*path).to_owned()),
        Progress::Done { path, skipped, done, .. } => {
            bar.set_position(*done as u64);
            if !pace.is_empty() {
                bar.set_prefix(format!(", {pace}"));
            }
            if let Some(why) = skipped {
                bar.println(format!("skipped {path}: {why}"));
            }
        }
        Progress::Published { entries, complete: false } => bar.println(format!("{entries} entries are ready to air")),
        Progress::Published { .. } => {}
    }
}

fn log(progress: &Progress<'_>, pace: &str) {
    match progress {
        Progress::Found { files } => tracing::info!(files, "recordings found"),
        Progress::Encoding { path } => tracing::debug!(path, "encoding"),
        Progress::Done { path, skipped: Some(why), done, total, .. } => {
            tracing::warn!(path, why, done, total, "recording skipped");
        }
        Progress::Done { path, done, total, .. } => tracing::debug!(path, done, total, "recording ready"),
        Progress::Published { entries, complete } => tracing::info!(entries, complete, pace, "ready to air"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_what_was_encoded_by_the_time_that_it_took() {
        assert_eq!(pace(Span::seconds(3_600), Span::seconds(20)), "180 × real time");
        assert_eq!(pace(Span(0), Span::seconds(20)), "", "nothing was to be encoded");
        assert_eq!(pace(Span::seconds(1), Span(0)), "");
    }
}
