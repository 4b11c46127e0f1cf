//! How setup tells what it does.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

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
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} (about {eta} left) {wide_msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar }
    }

    /// Shows it.
    pub fn tell(&self, progress: &Progress<'_>) {
        match &self.bar {
            Some(bar) => show(bar, progress),
            None => log(progress),
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

fn show(bar: &ProgressBar, progress: &Progress<'_>) {
    match progress {
        Progress::Found { files } => bar.set_length(*files as u64),
        Progress::Encoding { path } => bar.set_message((*path).to_owned()),
        Progress::Done { path, skipped, done, .. } => {
            bar.set_position(*done as u64);
            if let Some(why) = skipped {
                bar.println(format!("skipped {path}: {why}"));
            }
        }
        Progress::Published { entries, complete: false } => bar.println(format!("{entries} entries are ready to air")),
        Progress::Published { .. } => {}
    }
}

fn log(progress: &Progress<'_>) {
    match progress {
        Progress::Found { files } => tracing::info!(files, "recordings found"),
        Progress::Encoding { path } => tracing::debug!(path, "encoding"),
        Progress::Done { path, skipped: Some(why), done, total } => {
            tracing::warn!(path, why, done, total, "recording skipped");
        }
        Progress::Done { path, done, total, .. } => tracing::debug!(path, done, total, "recording ready"),
        Progress::Published { entries, complete } => tracing::info!(entries, complete, "ready to air"),
    }
}
