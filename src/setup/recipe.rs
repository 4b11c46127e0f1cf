//! How items are made: settings, the part of the recording, and what names both.

use super::{Overrides, audio, pipeline, pipeline_of};
use crate::{audio::excerpt, radio::manifest::Pipeline};

/// How items are made.
pub(super) struct Recipe {
    pub(super) settings: audio::Settings,
    pub(super) part: excerpt::Part,
    pub(super) pipeline: Pipeline,
}

impl Recipe {
    /// Louder by `offset` LU than the settings want.
    pub(super) fn new(settings: &audio::Settings, offset: f64) -> Self {
        let loudness_target = settings.loudness_target.map(|target| target + offset);
        let settings = audio::Settings { loudness_target, ..settings.clone() };
        Self { pipeline: pipeline(&settings), part: excerpt::Part::default(), settings }
    }

    /// The same for one recording alone.
    pub(super) fn with(&self, overrides: &Overrides) -> Self {
        let (settings, part) = (overrides.settings(&self.settings), overrides.part(&self.settings));
        Self { pipeline: pipeline_of(&settings, &part), part, settings }
    }
}
