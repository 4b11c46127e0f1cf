//! The drummer.

use super::{
    score::{Layer, Note, Place},
    song::{Player, Song},
    style::{FILLS, STEPS, Section, step_level},
    voice::Voice,
};

const KICK: f32 = 0.5;
const RIM: f32 = 0.34;
const SNARE: f32 = 0.4;
const TOM: f32 = 0.36;
const HAT: f32 = 0.36;
const OPEN_HAT: f32 = 0.17;
const SHAKER: f32 = 0.15;
const CRASH: f32 = 0.13;

/// Adds what the drums play in a bar.
pub(super) fn play(song: &Song, place: Place, notes: &mut Vec<Note>) {
    match place.section {
        Section::Fill => fill(song, place, 0, notes),
        Section::Ring => {
            notes.push(hit(song, 0, Voice::Kick, KICK));
            notes.push(hit(song, 0, Voice::Crash, CRASH));
            notes.push(Note { echoes: 4, ..hit(song, 0, Voice::Snare, SNARE) });
        }
        _ => groove(song, place, notes),
    }
}

fn groove(song: &Song, place: Place, notes: &mut Vec<Note>) {
    let last = place.bar + 1 == place.bars;
    let until = match (last, place.section) {
        (true, _) => 8,
        (false, Section::Verse) if place.bar % 4 == 3 => 12,
        _ => STEPS,
    };
    beat(song, place, until, notes);
    cymbals(song, place, notes);
    if until < STEPS {
        fill(song, place, until, notes);
    }
}

/// Kick and backbeat until the fill.
fn beat(song: &Song, place: Place, until: u32, notes: &mut Vec<Note>) {
    let mut random = song.chance(Player::Drums, place);
    let half = (place.bar % 2) as usize;
    let dub = place.section == Section::Dub;
    let backbeat = if song.kit.snare && place.section == Section::Chorus { Voice::Snare } else { Voice::Rim };
    // In the dub the kick leaves for a bar now and then.
    let kick_rests = dub && place.bar % 4 == 3;
    for step in 0..until {
        if let Some(level) = step_level(song.kit.kick[half], step).filter(|_| !kick_rests) {
            notes.push(hit(song, step, Voice::Kick, KICK * (0.6 + 0.4 * level)));
        }
        if let Some(level) = step_level(song.kit.rim[half], step) {
            let full = if backbeat == Voice::Rim { RIM } else { SNARE };
            let echoes = if dub && level > 0.7 && random.chance(35) { 5 } else { 0 };
            notes.push(Note { echoes, late: random.below(25), ..hit(song, step, backbeat, full * level) });
        }
    }
}

/// Hats, shaker in choruses, a crash where a chorus or a dub begins.
fn cymbals(song: &Song, place: Place, notes: &mut Vec<Note>) {
    let mut random = song.chance(Player::Drums, Place { index: place.index ^ (1 << 32), ..place });
    let half = (place.bar % 2) as usize;
    for step in 0..STEPS {
        let late = random.below(20);
        if let Some(level) = step_level(song.kit.hat[half], step) {
            let voice = Voice::Hat { open: false, take: random.below(6) as u8 };
            let gain = HAT * level * (0.9 + 0.1 * random.noise());
            notes.push(Note { late, ..hit(song, step, voice, gain) });
        }
        if let Some(level) = step_level(song.kit.open[half], step) {
            notes.push(hit(song, step, Voice::Hat { open: true, take: 0 }, OPEN_HAT * level));
        }
        if matches!(place.section, Section::Chorus | Section::Outro) {
            let voice = Voice::Shaker { take: random.below(4) as u8 };
            let gain = SHAKER * if step % 4 == 2 { 1.0 } else { 0.55 };
            notes.push(Note { late, ..hit(song, step, voice, gain) });
        }
    }
    if place.bar == 0 && matches!(place.section, Section::Chorus | Section::Dub) {
        notes.push(hit(song, 0, Voice::Crash, CRASH));
    }
}

/// A roll from a step to the end of the bar.
fn fill(song: &Song, place: Place, from: u32, notes: &mut Vec<Note>) {
    let mut random = song.chance(Player::Drums, Place { index: place.index ^ (2 << 32), ..place });
    let [snare, high, low, kick] = random.pick(&FILLS);
    let long = from == 0;
    let echoes = if place.section == Section::Dub || long { 3 } else { 0 };
    let parts = [
        (snare, Voice::Snare, SNARE),
        (high, Voice::Tom { note: 57 }, TOM),
        (low, Voice::Tom { note: 50 }, TOM * 1.1),
        (kick, Voice::Kick, KICK),
    ];
    for (pattern, voice, full) in parts {
        for step in from..STEPS {
            if let Some(level) = step_level(pattern, step) {
                let late = if step == 0 { 0 } else { random.below(25) };
                let rings = if voice == Voice::Snare && step + 4 > STEPS { echoes } else { 0 };
                notes.push(Note { late, echoes: rings, ..hit(song, step, voice, full * level) });
            }
        }
    }
    if long {
        for step in (0..STEPS).step_by(4) {
            let voice = Voice::Hat { open: false, take: step as u8 / 4 };
            notes.push(hit(song, step, voice, HAT));
        }
    }
}

fn hit(song: &Song, step: u32, voice: Voice, gain: f32) -> Note {
    Note { tick: song.tick(step), late: 0, voice, layer: Layer::Drums, gain, echoes: 0 }
}
