//! The tune and the horns. Each section of a song has its theme, which comes back when the section does.

use super::{
    math::Random,
    score::{Layer, Note, Place, STEP},
    song::{Lead, Player, Song, within_octave},
    style::{STEPS, Section, step_level},
    voice::Voice,
};

/// Rhythms of one bar: step and length in steps.
const RHYTHMS: [&[(u32, u32)]; 6] = [
    &[(0, 3), (3, 3), (6, 4), (12, 4)],
    &[(2, 2), (4, 2), (6, 6)],
    &[(0, 2), (2, 2), (4, 5), (10, 2), (12, 4)],
    &[(4, 2), (6, 2), (8, 2), (10, 6)],
    &[(0, 6), (6, 2), (8, 3), (12, 3)],
    &[(3, 1), (4, 3), (8, 3), (11, 1), (12, 4)],
];

/// Horn riffs over two bars.
const HORNS: [[&str; 2]; 4] = [
    ["x..x..X.........", "x..x..X...x.x..."],
    ["..........x.X...", "..........x.X..."],
    ["X.....x.x.......", "X.....x.x.x.X..."],
    ["X...............", "x.x...X........."],
];

/// Five notes that fit every chord of the key, from the tonic.
const MINOR: [u8; 5] = [0, 3, 5, 7, 10];
const MAJOR: [u8; 5] = [0, 2, 4, 7, 9];

/// The voice of a lead player.
pub(super) fn voice(lead: Lead, note: u8, length: u32) -> Voice {
    match lead {
        Lead::Melodica => Voice::Melodica { note, length },
        Lead::Flute => Voice::Flute { note, length },
        Lead::Steel => Voice::Steel { note },
    }
}

/// How loud a lead player is: pure tones carry further than reeds.
pub(super) fn level(lead: Lead) -> f32 {
    match lead {
        Lead::Melodica => 0.22,
        Lead::Flute => 0.15,
        Lead::Steel => 0.19,
    }
}

/// Adds the tune: a call, the call again, an answer; then a rest.
pub(super) fn tune(song: &Song, place: Place, notes: &mut Vec<Note>) {
    let Some(phrase) = phrase(place) else { return };
    let dub = place.section == Section::Dub;
    let mut random = Random::of(&[song.seed, Player::Tune as u64, phrase, theme(place.section)]);
    let rhythm = random.pick(&RHYTHMS);
    let (mut at, mut before) = (random.below(3) as i32 + 3, 0);
    let count = if dub { 2.min(rhythm.len()) } else { rhythm.len() };
    for (i, &(step, length)) in rhythm.iter().take(count).enumerate() {
        at = (at + random.pick(&[-2, -1, -1, 1, 1, 2])).clamp(0, 7);
        let last = i + 1 == count;
        let mut note = pitch(song, at);
        if last || step == 0 {
            note = nearest_in_chord(song, place, step, note);
        } else if note == before && random.chance(80) {
            at += if at > 3 { -1 } else { 1 };
            note = pitch(song, at);
        }
        before = note;
        let echoes = match (dub, last) {
            (true, _) => 5,
            (false, true) => 3,
            (false, false) => 0,
        };
        notes.push(Note {
            tick: song.tick(step),
            late: 60 + random.below(60),
            voice: voice(song.lead, note, song.tempo.length(length * STEP - 10)),
            layer: Layer::Lead,
            gain: level(song.lead) * (0.94 + 0.06 * random.noise()),
            echoes,
        });
    }
}

/// Which phrase of the theme a bar plays, if any.
fn phrase(place: Place) -> Option<u64> {
    match place.section {
        Section::Intro => Some([0, 1, 0, 2][(place.bar % 4) as usize]),
        Section::Verse => [Some(0), Some(1), None, None, Some(0), Some(2), None, Some(3)][(place.bar % 8) as usize],
        Section::Chorus => [None, None, None, Some(1)][(place.bar % 4) as usize],
        Section::Dub => [None, Some(0), None, None][(place.bar % 4) as usize],
        Section::Outro => [Some(0), Some(2)][(place.bar % 2) as usize],
        Section::Fill | Section::Ring => None,
    }
}

/// The intro, the dub and the outro play the verse's theme.
fn theme(section: Section) -> u64 {
    u64::from(section == Section::Chorus)
}

fn pitch(song: &Song, at: i32) -> u8 {
    let scale = if song.harmony.minor { MINOR } else { MAJOR };
    within_octave(song.tonic, 57) + scale[at as usize % 5] + 12 * (at as u8 / 5)
}

fn nearest_in_chord(song: &Song, place: Place, step: u32, note: u8) -> u8 {
    let chord = song.chord(place, step);
    let classes = [0, chord.third, 7].map(|above| (song.tonic + chord.root + above) % 12);
    let near = [0, -1, 1, -2, 2, -3, 3, -4, 4].map(|by| note.saturating_add_signed(by));
    near.into_iter().find(|note| classes.contains(&(note % 12))).unwrap_or(note)
}

/// Adds the horns: a riff of two bars in the chorus, and one call in the dub.
pub(super) fn horns(song: &Song, place: Place, notes: &mut Vec<Note>) {
    let dub = place.section == Section::Dub;
    if !(place.section == Section::Chorus || dub && place.bar % 4 == 2) {
        return;
    }
    let riff = Random::of(&[song.seed, Player::Horns as u64]).pick(&HORNS);
    let mut random = song.chance(Player::Horns, place);
    let pattern = riff[(place.bar % 2) as usize];
    for step in 0..STEPS {
        let Some(level) = step_level(pattern, step) else { continue };
        let rest = (step + 1..STEPS).take_while(|&next| step_level(pattern, next).is_none()).count() as u32;
        let length = (rest + 1).min(if level < 0.9 { 2 } else { 5 });
        let notes_of = song.triad(song.chord(place, step), 62);
        notes.push(Note {
            tick: song.tick(step),
            late: 20 + random.below(30),
            voice: Voice::Horns { notes: notes_of, length: song.tempo.length(length * STEP - 12) },
            layer: Layer::Lead,
            gain: 0.24 * (0.7 + 0.3 * level),
            echoes: if dub { 5 } else { 0 },
        });
        if dub {
            return;
        }
    }
}
