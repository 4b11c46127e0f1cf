//! What the files beside recordings say: `song.mp3.toml` holds for `song.mp3` alone.

use std::collections::HashMap;

use crate::{
    audio::{self, excerpt},
    radio::{manifest::ItemLine, time::Span},
};

/// The ending of such a file, behind the whole name of the recording.
pub(super) const ENDING: &str = ".toml";

/// What holds for one recording alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// What it is called.
    pub title: Option<String>,
    /// Who plays it.
    pub artist: Option<String>,
    /// The record it is from.
    pub album: Option<String>,
    /// How much louder it is than it would be, in dB; negative for quieter.
    pub gain_db: f64,
    /// Where it begins.
    pub cue_in: Span,
    /// Where it ends; at its end where nothing is said.
    pub cue_out: Option<Span>,
    /// It is left out.
    pub exclude: bool,
}

impl Overrides {
    /// Whether only a part of the recording is wanted.
    pub(super) fn is_part(&self) -> bool {
        self.cue_in > Span(0) || self.cue_out.is_some()
    }

    /// How long the part plays of a recording that plays so long.
    pub(super) fn part_of(&self, whole: Span) -> Span {
        let end = self.cue_out.map_or(whole, |out| out.min(whole));
        Span(end.0.saturating_sub(self.cue_in.0))
    }

    /// The settings with which the recording is encoded: it is to be so much louder than the others.
    pub(super) fn settings(&self, settings: &audio::Settings) -> audio::Settings {
        let loudness_target = settings.loudness_target.map(|target| target + self.gain_db);
        audio::Settings { loudness_target, ..settings.clone() }
    }

    /// The part of the recording that is encoded. Where levels are left alone, the gain is its own.
    pub(super) fn part(&self, settings: &audio::Settings) -> excerpt::Part {
        let gain_db = if settings.loudness_target.is_some() { 0.0 } else { self.gain_db };
        excerpt::Part { from: self.cue_in, until: self.cue_out, gain_db }
    }

    /// Gives an item the names that are meant.
    pub(super) fn rename(&self, line: &mut ItemLine) {
        let Self { title, artist, album, .. } = self;
        for (name, meant) in [(&mut line.title, title), (&mut line.artist, artist), (&mut line.album, album)] {
            if let Some(meant) = meant {
                name.clone_from(meant);
            }
        }
    }
}

/// What holds for which item. Where several files have the same bytes, the first of them that says something decides.
#[derive(Debug, Default)]
pub(super) struct ByItem(HashMap<String, (String, Overrides)>);

impl ByItem {
    /// Notes what is said beside the recording at `path`. The error says in words what holds instead.
    pub(super) fn note(&mut self, id: &str, path: &str, overrides: Overrides) -> Result<(), String> {
        match self.0.get(id) {
            Some((_, known)) if *known == overrides => Ok(()),
            Some((first, _)) => Err(format!(
                "`{first}` has the same bytes, and what is written beside it holds; write the same beside both"
            )),
            None => {
                self.0.insert(id.to_owned(), (path.to_owned(), overrides));
                Ok(())
            }
        }
    }

    /// What holds for an item.
    pub(super) fn of(&self, id: &str) -> Overrides {
        self.0.get(id).map(|(_, overrides)| overrides.clone()).unwrap_or_default()
    }
}
