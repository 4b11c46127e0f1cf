//! What reggae is made of here: progressions, drum patterns, bass riffs and forms, written as data.
//! A bar has sixteen steps; in a pattern `X` is an accent, `x` a hit, `o` a soft one, `-` a ghost and `.` a rest.

/// Steps of a bar.
pub(super) const STEPS: u32 = 16;

/// How loud a step of a pattern is, or `None` for a rest.
pub(super) fn step_level(pattern: &str, step: u32) -> Option<f32> {
    match pattern.as_bytes().get(step as usize) {
        Some(b'X') => Some(1.0),
        Some(b'x') => Some(0.8),
        Some(b'o') => Some(0.5),
        Some(b'-') => Some(0.28),
        _ => None,
    }
}

/// A triad, by the distance of its root from the tonic and of its third from the root, in semitones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chord {
    pub(super) root: u8,
    pub(super) third: u8,
}

const fn major(root: u8) -> Chord {
    Chord { root, third: 4 }
}

const fn minor(root: u8) -> Chord {
    Chord { root, third: 3 }
}

/// Two progressions over four bars, a chord for every half bar.
#[derive(Debug)]
pub(super) struct Harmony {
    pub(super) minor: bool,
    pub(super) verse: [Chord; 8],
    pub(super) chorus: [Chord; 8],
}

const I: Chord = major(0);
const II_: Chord = minor(2);
const IV: Chord = major(5);
const V: Chord = major(7);
const VI_: Chord = minor(9);
const I_: Chord = minor(0);
const III: Chord = major(3);
const IV_: Chord = minor(5);
const V_: Chord = minor(7);
const VI: Chord = major(8);
const VII: Chord = major(10);

/// Minor chords end in an underscore; III, VI and VII are the flat ones of the minor key.
pub(super) static HARMONIES: [Harmony; 8] = [
    Harmony { minor: true, verse: [I_, I_, VII, VII, I_, I_, VII, VII], chorus: [VI, VI, VII, VII, I_, I_, I_, VII] },
    Harmony { minor: true, verse: [I_, I_, IV_, IV_, I_, I_, V_, V_], chorus: [VI, VII, I_, I_, VI, VII, I_, V_] },
    Harmony { minor: false, verse: [I, I, IV, IV, I, I, V, V], chorus: [VI_, VI_, IV, IV, I, I, V, V] },
    Harmony { minor: false, verse: [I, I, II_, II_, I, I, II_, II_], chorus: [IV, IV, I, I, II_, V, I, I] },
    Harmony { minor: true, verse: [I_, I_, VI, VII, I_, I_, VI, VII], chorus: [IV_, IV_, I_, I_, VI, VII, I_, I_] },
    Harmony { minor: false, verse: [I, V, VI_, IV, I, V, VI_, IV], chorus: [IV, IV, V, V, I, VI_, II_, V] },
    Harmony { minor: false, verse: [I, I, VII, VII, IV, IV, I, I], chorus: [VI_, VI_, II_, II_, IV, IV, V, V] },
    Harmony {
        minor: true,
        verse: [I_, I_, III, VII, IV_, IV_, I_, VII],
        chorus: [III, III, VII, VII, IV_, IV_, I_, I_],
    },
];

/// The drummer's part, two bars long.
#[derive(Debug)]
pub(super) struct Kit {
    pub(super) kick: [&'static str; 2],
    pub(super) rim: [&'static str; 2],
    pub(super) hat: [&'static str; 2],
    pub(super) open: [&'static str; 2],
    /// Whether the backbeat is the whole snare in choruses.
    pub(super) snare: bool,
}

const NO: &str = "................";

/// One drop, rockers, steppers, and one more of each.
pub(super) static KITS: [Kit; 6] = [
    Kit {
        kick: ["....X.......X...", "....X.......X..."],
        rim: ["....X.......X...", "....X.......X.-."],
        hat: ["x.o-x.o-x.o-x.o-", "x.o-x.oox.o-x.o-"],
        open: [NO, "..............o."],
        snare: false,
    },
    Kit {
        kick: ["X.....o.x.....o.", "X.....o.x..o...."],
        rim: ["....X.......X...", "....X.......X..o"],
        hat: ["x-o-x-o-x-o-x-o-", "x-o-x-o-x-o-x-oo"],
        open: ["......o.........", "......o........."],
        snare: true,
    },
    Kit {
        kick: ["X...x...X...x...", "X...x...X...x..."],
        rim: ["...o..X....o..X.", "...o..X....o..X."],
        hat: ["x.oox.oox.oox.oo", "x.oox.oox.oox.oo"],
        open: [NO, NO],
        snare: false,
    },
    Kit {
        kick: ["....X.......X.-.", "....X.-.....X..."],
        rim: ["....X....o..X...", "....X.......X..o"],
        hat: ["o.x.o.x.o.x.o.x.", "o.x.o.x.o.x-o.x."],
        open: ["..........o.....", NO],
        snare: true,
    },
    Kit {
        kick: ["X..o....x.o.....", "X..o....x......."],
        rim: ["....X.......X...", "....X..-.o..X..."],
        hat: ["x-xox-xox-xox-xo", "x-xox-xox-xox-xo"],
        open: [NO, "..............x."],
        snare: true,
    },
    Kit {
        kick: ["X...x...X...x..-", "X...x...X..ox..."],
        rim: ["....X.......X...", "....X.o.....X..o"],
        hat: ["..x-..x-..x-..x-", "..x-..x-..x-..xo"],
        open: ["..............o.", NO],
        snare: true,
    },
];

/// Drum fills over one bar: snare, high tom, low tom, kick.
pub(super) static FILLS: [[&str; 4]; 4] = [
    ["X..xX..x........", "........x.xX....", "............x.X.", "X.......X......."],
    ["x.x.X.xxX.......", "..........xx....", "............XxX.", "X...X..........."],
    ["X-----oox...X...", "........X.x.....", "..........x...X.", "X...........x..."],
    ["....X..X..X.....", "xx.......x..xx..", "..xX..........X.", "X...........x..."],
];

/// What a bass note is in the chord under it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Degree {
    Root,
    Third,
    Fifth,
    Octave,
    /// The fifth below, or the one above where the strings end.
    Low,
    Seventh,
    /// A step below the root that follows.
    Lead,
}

/// A bass line over two bars: step, length in steps, degree. Both bars begin with the root.
pub(super) type Riff = [&'static [(u32, u32, Degree)]; 2];

use Degree::{Fifth, Lead, Low, Octave, Root, Seventh, Third};

/// The bass players' book.
pub(super) static RIFFS: [Riff; 8] = [
    [
        &[(0, 4, Root), (6, 2, Third), (8, 3, Fifth), (12, 2, Third), (14, 2, Root)],
        &[(0, 3, Root), (4, 2, Low), (6, 2, Root), (8, 2, Third), (10, 2, Fifth), (14, 2, Lead)],
    ],
    [
        &[(0, 4, Root), (6, 2, Fifth), (8, 4, Octave), (14, 2, Fifth)],
        &[(0, 4, Root), (6, 2, Fifth), (8, 2, Seventh), (10, 3, Fifth), (14, 2, Lead)],
    ],
    [
        &[(0, 2, Root), (3, 1, Root), (4, 2, Root), (8, 2, Fifth), (11, 1, Fifth), (12, 3, Octave)],
        &[(0, 2, Root), (3, 1, Root), (4, 2, Root), (8, 2, Fifth), (10, 2, Third), (12, 2, Root), (14, 2, Lead)],
    ],
    [
        &[(0, 2, Root), (2, 2, Root), (6, 2, Fifth), (8, 2, Seventh), (10, 2, Fifth), (14, 1, Low), (15, 1, Low)],
        &[(0, 2, Root), (2, 2, Root), (6, 2, Third), (8, 3, Fifth), (14, 1, Low), (15, 1, Lead)],
    ],
    [
        &[(0, 2, Root), (4, 2, Root), (6, 2, Fifth), (8, 2, Octave), (10, 2, Fifth), (12, 2, Root), (14, 2, Low)],
        &[(0, 2, Root), (4, 2, Root), (6, 2, Fifth), (8, 2, Root), (10, 2, Third), (12, 2, Fifth), (14, 2, Lead)],
    ],
    [
        &[(0, 6, Root), (8, 2, Root), (10, 1, Third), (11, 3, Fifth)],
        &[(0, 6, Root), (8, 2, Fifth), (10, 1, Third), (11, 2, Root), (14, 2, Lead)],
    ],
    [
        &[(0, 1, Root), (1, 1, Root), (2, 3, Octave), (6, 2, Fifth), (8, 3, Root), (12, 2, Third), (14, 1, Fifth)],
        &[(0, 1, Root), (1, 1, Root), (2, 3, Octave), (6, 2, Seventh), (8, 3, Fifth), (12, 3, Root)],
    ],
    [
        &[(0, 3, Root), (3, 3, Fifth), (6, 2, Octave), (8, 3, Root), (11, 3, Fifth), (14, 2, Third)],
        &[(0, 3, Root), (3, 3, Fifth), (6, 2, Octave), (8, 4, Root), (14, 2, Lead)],
    ],
];

/// A part of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// The drummer alone, who brings everybody in.
    Fill,
    Intro,
    Verse,
    Chorus,
    /// Drums and bass with echoes of the rest.
    Dub,
    Outro,
    /// The last hit, which rings out.
    Ring,
}

/// Sections with their lengths in bars.
pub(super) type Form = [(Section, u64)];

/// The forms of a track.
pub(super) static FORMS: [&Form; 4] = [
    &[
        (Section::Fill, 1),
        (Section::Intro, 4),
        (Section::Verse, 8),
        (Section::Chorus, 8),
        (Section::Dub, 6),
        (Section::Chorus, 4),
        (Section::Outro, 2),
        (Section::Ring, 1),
    ],
    &[
        (Section::Fill, 1),
        (Section::Intro, 2),
        (Section::Verse, 8),
        (Section::Chorus, 4),
        (Section::Verse, 4),
        (Section::Dub, 8),
        (Section::Chorus, 4),
        (Section::Outro, 2),
        (Section::Ring, 1),
    ],
    &[
        (Section::Fill, 1),
        (Section::Verse, 8),
        (Section::Chorus, 4),
        (Section::Dub, 4),
        (Section::Verse, 4),
        (Section::Chorus, 8),
        (Section::Outro, 2),
        (Section::Ring, 1),
    ],
    &[
        (Section::Fill, 1),
        (Section::Intro, 4),
        (Section::Chorus, 4),
        (Section::Verse, 8),
        (Section::Chorus, 4),
        (Section::Dub, 8),
        (Section::Verse, 4),
        (Section::Chorus, 4),
        (Section::Outro, 2),
        (Section::Ring, 1),
    ],
];

/// What a session without an end repeats, with other music every time.
pub(super) static CYCLE: &Form =
    &[(Section::Intro, 4), (Section::Verse, 8), (Section::Chorus, 8), (Section::Dub, 8), (Section::Chorus, 4)];

/// First and second halves of titles.
pub(super) static TITLES: [[&str; 12]; 2] = [
    [
        "Harbour",
        "Mango",
        "Slow",
        "Kingfisher",
        "Lantern",
        "Blue Mountain",
        "Saltwater",
        "Morning",
        "Zinc Roof",
        "Long Road",
        "Evening",
        "Paper Boat",
    ],
    [
        "Version", "Rock", "Skank", "Chapter", "Rhythm", "Steppers", "Dub", "Lullaby", "Parade", "Weather", "Special",
        "Letter",
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_sixteen_known_steps() {
        let kits = KITS.iter().flat_map(|kit| [kit.kick, kit.rim, kit.hat, kit.open].concat());
        for pattern in kits.chain(FILLS.concat()) {
            assert_eq!(pattern.len(), STEPS as usize, "{pattern}");
            assert!(pattern.chars().all(|step| "Xxo-.".contains(step)), "{pattern}");
        }
    }

    #[test]
    fn riffs_begin_every_bar_with_the_root_and_never_overlap() {
        for bar in RIFFS.concat() {
            assert!(matches!(bar[0], (0, _, Root)));
            assert!(bar.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
            assert!(bar.iter().all(|&(step, length, _)| step + length <= STEPS));
        }
    }

    #[test]
    fn chords_belong_to_their_key() {
        for harmony in &HARMONIES {
            // The flat seventh is borrowed in major, as everywhere in this music.
            let scale: &[u8] = if harmony.minor { &[0, 2, 3, 5, 7, 8, 10] } else { &[0, 2, 4, 5, 7, 9, 10, 11] };
            for chord in harmony.verse.iter().chain(&harmony.chorus) {
                for note in [chord.root, chord.root + chord.third, chord.root + 7] {
                    assert!(scale.contains(&(note % 12)), "{chord:?} in {scale:?}");
                }
            }
        }
    }
}
