//! Time in music: ticks, bars and sections, and how they fall on samples. Everything is integer arithmetic.

use super::{
    jingle::Jingle,
    math::Random,
    song::Song,
    style::{CYCLE, FORMS, Form, Section},
    voice::{Sound, Voice},
};

/// Ticks of a quarter note.
pub(super) const BEAT: u64 = 96;
/// Ticks of a bar of four quarters.
pub(super) const BAR: u64 = 4 * BEAT;
/// Ticks of a sixteenth.
pub(super) const STEP: u32 = 24;

/// Bars of an endless session after which the music changes.
const CYCLE_BARS: u64 = 32;

/// How long a note may sound after the bar it begins in has begun, its echoes and its room included.
pub(super) const LOOK_BACK_BARS: u64 = 5;

/// Samples per tick, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tempo {
    samples: u64,
    ticks: u64,
}

impl Tempo {
    /// From quarter notes a minute.
    pub(super) fn of_bpm(rate: u32, bpm: u32) -> Self {
        Self { samples: u64::from(rate) * 60, ticks: u64::from(bpm) * BEAT }
    }

    /// So that `beats` quarter notes fill `samples` exactly.
    pub(super) fn of_beats(samples: u64, beats: u64) -> Self {
        Self { samples, ticks: beats * BEAT }
    }

    /// The sample on which a tick falls.
    pub(super) fn sample(self, tick: u64) -> u64 {
        (u128::from(tick) * u128::from(self.samples) / u128::from(self.ticks)) as u64
    }

    /// The bar that a sample lies in.
    pub(super) fn bar(self, sample: u64) -> u64 {
        (u128::from(sample) * u128::from(self.ticks) / u128::from(self.samples)) as u64 / BAR
    }

    /// Samples in so many ticks, wherever they are.
    pub(super) fn length(self, ticks: u32) -> u32 {
        self.sample(u64::from(ticks)) as u32
    }
}

/// Which fader a note goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Drums,
    Bass,
    Chords,
    Lead,
}

/// One note of a bar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    /// Ticks after the start of the bar.
    pub(super) tick: u32,
    /// How late it is played, in tenths of a millisecond.
    pub(super) late: u32,
    pub(super) voice: Voice,
    pub(super) layer: Layer,
    pub(super) gain: f32,
    /// How many echoes follow it.
    pub(super) echoes: u8,
}

/// A note or an echo, on its sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) sample: u64,
    pub(super) sound: Sound,
    pub(super) layer: Layer,
    pub(super) gain: f32,
}

/// Where a bar is in its piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) section: Section,
    /// The bar within its section, and how many bars that has.
    pub(super) bar: u64,
    pub(super) bars: u64,
    /// The bar within the piece.
    pub(super) index: u64,
}

/// A piece of music as notes.
#[derive(Clone, Debug)]
pub(super) enum Score {
    Track { song: Song, form: &'static Form, rate: u32 },
    Jingle(Jingle),
    Endless { seed: u64, tempo: Tempo, rate: u32 },
}

impl Score {
    pub(super) fn rate(&self) -> u32 {
        match self {
            Self::Track { rate, .. } | Self::Endless { rate, .. } => *rate,
            Self::Jingle(jingle) => jingle.rate(),
        }
    }

    pub(super) fn tempo(&self) -> Tempo {
        match self {
            Self::Track { song, .. } => song.tempo,
            Self::Jingle(jingle) => jingle.tempo(),
            Self::Endless { tempo, .. } => *tempo,
        }
    }

    /// Length in samples, or `None` if it never ends.
    pub(super) fn samples(&self) -> Option<u64> {
        match self {
            Self::Track { form, .. } => {
                let bars: u64 = form.iter().map(|&(_, bars)| bars).sum();
                Some(self.tempo().sample(bars * BAR + BAR / 4))
            }
            Self::Jingle(jingle) => Some(jingle.samples()),
            Self::Endless { .. } => None,
        }
    }

    /// What begins in a bar, its echoes included.
    pub(super) fn events(&self, bar: u64) -> Vec<Event> {
        let tempo = self.tempo();
        let late = u64::from(self.rate());
        let mut events = Vec::new();
        for note in self.notes(bar) {
            let tick = bar * BAR + u64::from(note.tick);
            let mut gain = note.gain;
            for echo in 0..=note.echoes {
                let sample = tempo.sample(tick + u64::from(echo) * BEAT * 3 / 4) + u64::from(note.late) * late / 10_000;
                events.push(Event { sample, sound: Sound { voice: note.voice, echo }, layer: note.layer, gain });
                gain *= if echo == 0 { 0.5 } else { 0.66 };
            }
        }
        events
    }

    fn notes(&self, bar: u64) -> Vec<Note> {
        match self {
            Self::Track { song, form, .. } => place(form, bar).map(|place| song.bar(place)).unwrap_or_default(),
            Self::Jingle(jingle) => jingle.bar(bar),
            Self::Endless { seed, tempo, .. } => {
                let cycle = bar / CYCLE_BARS;
                let song = Song::draw(&mut Random::of(&[*seed, cycle]), *tempo);
                let found = place(CYCLE, bar % CYCLE_BARS).map(|place| Place { index: bar, ..place });
                found.map(|place| song.bar(place)).unwrap_or_default()
            }
        }
    }

    /// A track with the `nth` form.
    pub(super) fn track(song: Song, nth: usize, rate: u32) -> Self {
        Self::Track { song, form: FORMS[nth % FORMS.len()], rate }
    }
}

fn place(form: &Form, bar: u64) -> Option<Place> {
    let mut before = 0;
    for &(section, bars) in form {
        if bar < before + bars {
            return Some(Place { section, bar: bar - before, bars, index: bar });
        }
        before += bars;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_fill_a_segment_exactly() {
        for (samples, beats) in [(264_600, 8), (264_601, 7), (44_100, 1), (1_323_000, 38)] {
            let tempo = Tempo::of_beats(samples, beats);
            for n in 0..50 {
                assert_eq!(tempo.sample(n * beats * BEAT), n * samples);
            }
        }
    }

    #[test]
    fn a_bar_is_found_again_from_its_first_sample() {
        let tempo = Tempo::of_bpm(44_100, 73);
        for bar in 0..10_000 {
            let first = tempo.sample(bar * BAR);
            assert!(tempo.bar(first + 1) == bar && tempo.bar(first.saturating_sub(2)) <= bar);
        }
    }

    #[test]
    fn the_cycle_is_as_long_as_it_is_said_to_be() {
        assert_eq!(CYCLE.iter().map(|&(_, bars)| bars).sum::<u64>(), CYCLE_BARS);
        assert!(place(CYCLE, CYCLE_BARS - 1).is_some() && place(CYCLE, CYCLE_BARS).is_none());
    }
}
