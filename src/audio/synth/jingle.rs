//! The station's signature: one motif, always the same, in two arrangements.

use super::{
    math::Random,
    score::{BAR, BEAT, Layer, Note, STEP, Tempo},
    song::within_octave,
    voice::{Triad, Voice},
};

/// Quarter notes a minute.
const BPM: u32 = 92;

/// The signature: step, and semitones above the tonic. Five notes that rise, fall back and land high.
const MOTIF: [(u32, u8); 6] = [(0, 7), (3, 12), (6, 16), (8, 14), (11, 12), (14, 19)];

/// How a jingle brings the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dress {
    /// A riser, the motif on steel drums, a hit with bells.
    Steel,
    /// A drum fill, the motif on bells over bass and chops, horns.
    Bells,
}

/// A jingle in a key.
#[derive(Clone, Debug)]
pub(super) struct Jingle {
    dress: Dress,
    tonic: u8,
    rate: u32,
}

impl Jingle {
    pub(super) fn new(random: &mut Random, dress: Dress, rate: u32) -> Self {
        // Near C, so that the motif is known again at once.
        Self { dress, tonic: random.pick(&[10, 11, 0, 1, 2]), rate }
    }

    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    pub(super) fn tempo(&self) -> Tempo {
        Tempo::of_bpm(self.rate, BPM)
    }

    /// Length in samples.
    pub(super) fn samples(&self) -> u64 {
        self.tempo().sample(match self.dress {
            Dress::Steel => 2 * BAR,
            Dress::Bells => 2 * BAR + BEAT,
        })
    }

    /// Everything that begins in a bar.
    pub(super) fn bar(&self, bar: u64) -> Vec<Note> {
        match (self.dress, bar) {
            (Dress::Steel, 0) => self.steel(),
            (Dress::Bells, 0) => self.bells(),
            (_, 1) => self.landing(),
            _ => Vec::new(),
        }
    }

    fn note(&self, step: u32, voice: Voice, gain: f32) -> Note {
        let layer = match voice {
            Voice::Bass { .. } => Layer::Bass,
            Voice::Chop { .. } | Voice::Organ { .. } => Layer::Chords,
            Voice::Steel { .. } | Voice::Bell { .. } | Voice::Horns { .. } | Voice::Siren { .. } => Layer::Lead,
            _ => Layer::Drums,
        };
        Note { tick: step * STEP, late: 0, voice, layer, gain, echoes: 0 }
    }

    fn length(&self, steps: u32) -> u32 {
        self.tempo().length(steps * STEP)
    }

    fn triad(&self, above: [u8; 3], floor: u8) -> Triad {
        let mut notes = above.map(|above| within_octave(self.tonic + above, floor));
        notes.sort_unstable();
        notes
    }

    fn steel(&self) -> Vec<Note> {
        let tonic = within_octave(self.tonic, 58);
        let mut notes = vec![self.note(0, Voice::Riser { length: self.length(16) }, 0.16)];
        for (step, above) in MOTIF {
            notes.push(self.note(step, Voice::Steel { note: tonic + above }, 0.36));
            notes.push(Note { late: 120, ..self.note(step, Voice::Steel { note: tonic + above - 12 }, 0.16) });
        }
        for step in [0, 8] {
            notes.push(self.note(step, Voice::Kick, 0.45));
        }
        for step in [0, 2, 4, 6, 8, 10, 12, 13, 14, 15] {
            notes.push(self.note(step, Voice::Shaker { take: step as u8 % 4 }, 0.02 + 0.002 * step as f32));
        }
        notes
    }

    fn bells(&self) -> Vec<Note> {
        let tonic = within_octave(self.tonic, 58);
        let root = within_octave(self.tonic, 29);
        let mut notes = vec![
            self.note(0, Voice::Kick, 0.5),
            self.note(0, Voice::Bass { note: root, length: self.length(3) }, 0.45),
            self.note(6, Voice::Bass { note: root + 7, length: self.length(2) }, 0.4),
            self.note(8, Voice::Bass { note: root + 5, length: self.length(3) }, 0.42),
            self.note(12, Voice::Bass { note: root + 7, length: self.length(3) }, 0.42),
        ];
        for (step, above) in MOTIF {
            notes.push(self.note(step, Voice::Bell { note: tonic + above + 12 }, 0.17));
        }
        for (step, chord) in [(2, [0, 4, 7]), (6, [0, 4, 7]), (10, [5, 9, 0]), (14, [7, 11, 2])] {
            notes.push(self.note(step, Voice::Chop { notes: self.triad(chord, 60), up: false }, 0.24));
        }
        for (step, voice) in [(4, Voice::Rim), (12, Voice::Snare), (13, Voice::Snare), (14, Voice::Tom { note: 57 })] {
            notes.push(self.note(step, voice, 0.26));
        }
        notes.push(self.note(15, Voice::Tom { note: 50 }, 0.28));
        notes
    }

    /// The hit that both end on, ringing out.
    fn landing(&self) -> Vec<Note> {
        let root = within_octave(self.tonic, 29);
        let high = within_octave(self.tonic, 70);
        let chop = Voice::Chop { notes: self.triad([0, 4, 7], 60), up: false };
        let mut notes = vec![
            self.note(0, Voice::Kick, 0.55),
            self.note(0, Voice::Crash, 0.08),
            self.note(0, Voice::Bass { note: root, length: self.length(9) }, 0.48),
            Note { echoes: 5, ..self.note(0, chop, 0.24) },
            Note { echoes: 4, ..self.note(0, Voice::Rim, 0.26) },
        ];
        for (above, late) in [(0, 0), (4, 200), (7, 400), (12, 600)] {
            notes.push(Note { late, ..self.note(0, Voice::Bell { note: high + above }, 0.11) });
        }
        if self.dress == Dress::Bells {
            let brass = Voice::Horns { notes: self.triad([0, 4, 7], 62), length: self.length(6) };
            notes.push(self.note(0, brass, 0.18));
        }
        notes
    }
}
