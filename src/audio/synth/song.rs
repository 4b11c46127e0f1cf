//! One song: what its players have agreed on, and what each of them plays in a bar.

use super::{
    drums,
    math::Random,
    melody,
    score::{BAR, Layer, Note, Place, STEP, Tempo},
    style::{Chord, Degree, HARMONIES, Harmony, KITS, Kit, RIFFS, Riff, STEPS, Section},
    voice::{Triad, Voice},
};

/// What the players have agreed on.
#[derive(Clone, Debug)]
pub(super) struct Song {
    pub(super) seed: u64,
    pub(super) tempo: Tempo,
    /// Pitch class of the tonic: 0 is C.
    pub(super) tonic: u8,
    pub(super) harmony: &'static Harmony,
    pub(super) kit: &'static Kit,
    pub(super) verse_riff: &'static Riff,
    pub(super) chorus_riff: &'static Riff,
    pub(super) lead: Lead,
    /// Whether a piano plays the off-beats with the guitar.
    pub(super) piano: bool,
    /// How late every other sixteenth is, in ticks.
    pub(super) swing: u32,
}

/// Who plays the tune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    Melodica,
    Flute,
    Steel,
}

/// The players, as numbers to draw chance with: each has its own, so that none changes what another plays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Player {
    Drums = 1,
    Bass,
    Guitar,
    Organ,
    Tune,
    Horns,
}

impl Song {
    /// A song by chance.
    pub(super) fn draw(random: &mut Random, tempo: Tempo) -> Self {
        Self {
            seed: random.next(),
            tempo,
            tonic: random.below(12) as u8,
            harmony: &HARMONIES[random.below(HARMONIES.len() as u32) as usize],
            kit: &KITS[random.below(KITS.len() as u32) as usize],
            verse_riff: &RIFFS[random.below(RIFFS.len() as u32) as usize],
            chorus_riff: &RIFFS[random.below(RIFFS.len() as u32) as usize],
            lead: random.pick(&[Lead::Melodica, Lead::Melodica, Lead::Flute, Lead::Steel]),
            piano: random.chance(50),
            swing: random.pick(&[3, 5, 7]),
        }
    }

    /// Everything that begins in a bar.
    pub(super) fn bar(&self, place: Place) -> Vec<Note> {
        let mut notes = Vec::with_capacity(96);
        drums::play(self, place, &mut notes);
        match place.section {
            Section::Fill => self.pick_up(&mut notes),
            Section::Ring => self.last_hit(&mut notes),
            _ => {
                self.bass(place, &mut notes);
                self.off_beats(place, &mut notes);
                self.organ(place, &mut notes);
                self.pad(place, &mut notes);
                melody::tune(self, place, &mut notes);
                melody::horns(self, place, &mut notes);
                self.siren(place, &mut notes);
            }
        }
        notes
    }

    /// Chance for one player in one bar.
    pub(super) fn chance(&self, player: Player, place: Place) -> Random {
        Random::of(&[self.seed, player as u64, place.index])
    }

    /// The tick of a step, swung.
    pub(super) fn tick(&self, step: u32) -> u32 {
        step * STEP + if step % 2 == 1 { self.swing } else { 0 }
    }

    /// The chord under a step of a bar; steps beyond the bar belong to the next one.
    pub(super) fn chord(&self, place: Place, step: u32) -> Chord {
        let chords = if place.section == Section::Chorus { &self.harmony.chorus } else { &self.harmony.verse };
        chords[((place.bar * 2 + u64::from(step / 8)) % 8) as usize]
    }

    /// The chord's notes, the lowest within the octave from `floor` on, in ascending order.
    pub(super) fn triad(&self, chord: Chord, floor: u8) -> Triad {
        let mut notes = [0, chord.third, 7].map(|above| within_octave(self.tonic + chord.root + above, floor));
        notes.sort_unstable();
        notes
    }

    fn bass(&self, place: Place, notes: &mut Vec<Note>) {
        let mut random = self.chance(Player::Bass, place);
        let riff = if place.section == Section::Chorus { self.chorus_riff } else { self.verse_riff };
        // In the dub the bass leaves for a bar and comes back.
        if place.section == Section::Dub && place.bar % 4 == 2 && random.chance(70) {
            return notes.push(self.bass_note(0, 3, self.bass_pitch(place, 0, Degree::Root), 0.9));
        }
        for &(step, length, degree) in riff[(place.bar % 2) as usize] {
            let passing = step % 4 != 0 && length < 2;
            if passing && random.chance(15) {
                continue;
            }
            let gain = if step == 0 { 1.0 } else { 0.84 + 0.08 * random.noise() };
            notes.push(self.bass_note(step, length, self.bass_pitch(place, step, degree), gain));
        }
    }

    fn bass_note(&self, step: u32, length: u32, note: u8, gain: f32) -> Note {
        // Damped a little before the next note, so that every onset is heard.
        let until = (step + length) * STEP - 8;
        let voice = Voice::Bass { note, length: self.tempo.length(until - self.tick(step)) };
        Note { tick: self.tick(step), late: 0, voice, layer: Layer::Bass, gain: 0.4 * gain, echoes: 0 }
    }

    pub(super) fn bass_pitch(&self, place: Place, step: u32, degree: Degree) -> u8 {
        let chord = self.chord(place, step);
        let root = within_octave(self.tonic + chord.root, 29);
        match degree {
            Degree::Root => root,
            Degree::Third => root + chord.third,
            Degree::Fifth => root + 7,
            Degree::Octave => root + 12,
            Degree::Low if root >= 33 => root - 5,
            Degree::Low => root + 7,
            Degree::Seventh => root + if chord.third == 3 { 10 } else { 9 },
            Degree::Lead => {
                let next = self.chord(place, STEPS);
                let target = within_octave(self.tonic + next.root, 29);
                if self.in_scale(target + 11) { target - 1 } else { target - 2 }
            }
        }
    }

    /// Whether a MIDI note belongs to the key.
    pub(super) fn in_scale(&self, note: u8) -> bool {
        let scale: &[u8] = if self.harmony.minor { &[0, 2, 3, 5, 7, 8, 10] } else { &[0, 2, 4, 5, 7, 9, 11] };
        scale.contains(&((note + 12 - self.tonic) % 12))
    }

    /// The chop between the beats, which makes it reggae.
    fn off_beats(&self, place: Place, notes: &mut Vec<Note>) {
        let mut random = self.chance(Player::Guitar, place);
        let dub = place.section == Section::Dub;
        for step in [2, 6, 10, 14] {
            let chord = self.chord(place, step);
            let last_of_phrase = step == 14 && place.bar % 4 == 3;
            let echoes = match dub {
                true if random.chance(40) => 6,
                true if random.chance(60) => continue,
                false if last_of_phrase => 4,
                _ => 0,
            };
            let (late, gain) = (10 + random.below(30), 0.92 + 0.08 * random.noise());
            let voice = Voice::Chop { notes: self.triad(chord, 60), up: false };
            let chop = Note { tick: self.tick(step), late, voice, layer: Layer::Chords, gain: 0.4 * gain, echoes };
            notes.push(chop);
            if self.piano && !dub {
                let voice = Voice::Piano { notes: self.triad(chord, 55) };
                notes.push(Note { voice, gain: 0.19 * gain, echoes: 0, ..chop });
            }
            if !dub && place.section == Section::Chorus && step % 8 == 6 && random.chance(35) {
                let voice = Voice::Chop { notes: self.triad(chord, 60), up: true };
                notes.push(Note { tick: self.tick(step + 1), voice, gain: 0.2 * gain, echoes: 0, ..chop });
            }
        }
    }

    /// The organ's bubble: sixteenths around the chop, left hand and right hand in turn.
    fn organ(&self, place: Place, notes: &mut Vec<Note>) {
        if matches!(place.section, Section::Intro | Section::Dub) {
            return;
        }
        let mut random = self.chance(Player::Organ, place);
        for beat in 0..4 {
            for (off, floor, length, gain) in [(1, 55, 18, 0.6), (2, 62, 14, 1.0), (3, 55, 18, 0.7)] {
                let step = beat * 4 + off;
                let chord = self.chord(place, step);
                let voice = Voice::Organ { notes: self.triad(chord, floor), length: self.tempo.length(length) };
                let gain = 0.21 * gain * (0.92 + 0.08 * random.noise());
                let late = random.below(30);
                notes.push(Note { tick: self.tick(step), late, voice, layer: Layer::Chords, gain, echoes: 0 });
            }
        }
    }

    fn pad(&self, place: Place, notes: &mut Vec<Note>) {
        if !matches!(place.section, Section::Chorus | Section::Outro) {
            return;
        }
        for step in [0, 8] {
            let notes_of = self.triad(self.chord(place, step), 57);
            let voice = Voice::Pad { notes: notes_of, length: self.tempo.length(BAR as u32 / 2) };
            notes.push(Note { tick: step * STEP, late: 0, voice, layer: Layer::Chords, gain: 0.08, echoes: 0 });
        }
    }

    /// Some dubs open with a siren.
    fn siren(&self, place: Place, notes: &mut Vec<Note>) {
        if place.section == Section::Dub && place.bar == 1 && self.seed.is_multiple_of(2) {
            let voice = Voice::Siren { length: self.tempo.length(BAR as u32 / 2) };
            notes.push(Note { tick: BAR as u32 / 2, late: 0, voice, layer: Layer::Lead, gain: 0.05, echoes: 4 });
        }
    }

    /// The bass leads from the fill into the first bar.
    fn pick_up(&self, notes: &mut Vec<Note>) {
        let root = within_octave(self.tonic, 29);
        notes.push(self.bass_note(14, 2, root + 7, 0.8));
    }

    /// Everybody once, then the room and the echo.
    fn last_hit(&self, notes: &mut Vec<Note>) {
        let home = Chord { root: 0, third: if self.harmony.minor { 3 } else { 4 } };
        let root = within_octave(self.tonic, 29);
        notes.push(self.bass_note(0, 10, root, 1.0));
        let chop = Voice::Chop { notes: self.triad(home, 60), up: false };
        notes.push(Note { tick: 0, late: 10, voice: chop, layer: Layer::Chords, gain: 0.34, echoes: 6 });
        let pad = Voice::Pad { notes: self.triad(home, 57), length: self.tempo.length(BAR as u32 * 3 / 4) };
        notes.push(Note { tick: 0, late: 0, voice: pad, layer: Layer::Chords, gain: 0.12, echoes: 0 });
        let high = melody::voice(self.lead, within_octave(self.tonic + 7, 72), self.tempo.length(STEP * 10));
        notes.push(Note {
            tick: 0,
            late: 20,
            voice: high,
            layer: Layer::Lead,
            gain: melody::level(self.lead),
            echoes: 3,
        });
    }
}

/// The note of this pitch class in the octave that begins with `floor`.
pub(super) fn within_octave(pitch_class: u8, floor: u8) -> u8 {
    floor + (pitch_class % 12 + 12 - floor % 12) % 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_move_by_octaves_only() {
        for class in 0..24 {
            for floor in [28, 55, 60, 67] {
                let note = within_octave(class, floor);
                assert!(note >= floor && note < floor + 12 && note % 12 == class % 12);
            }
        }
    }

    #[test]
    fn the_bass_stays_on_its_strings() {
        for nth in 0..200 {
            let song = Song::draw(&mut Random::of(&[nth]), Tempo::of_bpm(44_100, 75));
            for bar in 0..8 {
                let place = Place { section: Section::Verse, bar, bars: 8, index: bar };
                for note in song.bar(place) {
                    if let Voice::Bass { note, .. } = note.voice {
                        assert!((27..=52).contains(&note), "{note}");
                    }
                }
            }
        }
    }
}
