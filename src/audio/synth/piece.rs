//! Pieces with a beginning and an end: the programme of a station that has no music yet.

use super::{
    Error, GENERATOR, GENERATOR_VERSION, check_rate,
    jingle::{Dress, Jingle},
    math::Random,
    mix::{Faders, Mixer},
    score::{Score, Tempo},
    song::{Lead, Song},
    style::{HARMONIES, KITS, RIFFS, TITLES},
};
use crate::audio::{self, Block, Source, Stream};

/// Tracks of a programme.
pub const TRACKS: usize = 6;

/// Who is named as the artist of everything the generator plays.
pub const ARTIST: &str = "The Merkle Rockers";

/// Samples of one block of a piece's stream.
const BLOCK_FRAMES: usize = 32_768;

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Music.
    Track,
    /// The station's signature.
    Jingle,
}

/// A piece of the built-in generator, which is rendered and stored like any recording.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its title, different from that of every other piece of the programme.
    pub title: String,
    /// Who plays it.
    pub artist: String,
    /// Track or jingle.
    pub kind: PieceKind,
    seed: u64,
    index: usize,
    score: Score,
}

/// Everything the generator has for a seed at a sample rate in hertz: six tracks of 75 to 150 s that differ in key,
/// tempo, harmony, drums and bass, then two jingles of 5 to 8 s. The same seed and rate give the same samples on every
/// machine.
///
/// # Errors
/// [`Error::Rate`] if there is no such sample rate.
pub fn programme(seed: u64, rate: u32) -> Result<Vec<Piece>, Error> {
    check_rate(rate)?;
    let mut random = Random::of(&[seed, u64::from(GENERATOR_VERSION)]);
    let mut pieces = tracks(&mut random, seed, rate);
    for (dress, title) in [(Dress::Steel, "Station call"), (Dress::Bells, "Station bells")] {
        let score = Score::Jingle(Jingle::new(&mut random, dress, rate));
        let (title, artist) = (title.to_owned(), ARTIST.to_owned());
        pieces.push(Piece { title, artist, kind: PieceKind::Jingle, seed, index: pieces.len(), score });
    }
    Ok(pieces)
}

/// Deals every property from a shuffled deck, so that no two tracks share one.
fn tracks(random: &mut Random, seed: u64, rate: u32) -> Vec<Piece> {
    let mut tempos = [68, 71, 74, 77, 80, 84];
    let mut tonics: [u8; 12] = std::array::from_fn(|i| i as u8);
    let mut harmonies: [usize; HARMONIES.len()] = std::array::from_fn(|i| i);
    let mut kits: [usize; KITS.len()] = std::array::from_fn(|i| i);
    let mut riffs: [usize; RIFFS.len()] = std::array::from_fn(|i| i);
    let mut leads = [Lead::Melodica, Lead::Flute, Lead::Steel, Lead::Melodica, Lead::Flute, Lead::Melodica];
    let mut titles = TITLES;
    random.shuffle(&mut tempos);
    random.shuffle(&mut tonics);
    random.shuffle(&mut harmonies);
    random.shuffle(&mut kits);
    random.shuffle(&mut riffs);
    random.shuffle(&mut leads);
    titles.iter_mut().for_each(|words| random.shuffle(words));
    let first_form = random.below(4) as usize;
    let track = |index: usize| {
        let mut song = Song::draw(random, Tempo::of_bpm(rate, tempos[index]));
        song.tonic = tonics[index];
        song.harmony = &HARMONIES[harmonies[index]];
        song.kit = &KITS[kits[index]];
        song.verse_riff = &RIFFS[riffs[index]];
        song.chorus_riff = &RIFFS[riffs[(index + 1) % RIFFS.len()]];
        song.lead = leads[index];
        Piece {
            title: format!("{} {}", titles[0][index], titles[1][index]),
            artist: ARTIST.to_owned(),
            kind: PieceKind::Track,
            seed,
            index,
            score: Score::track(song, first_form + index, rate),
        }
    };
    (0..TRACKS).map(track).collect()
}

impl Piece {
    /// Identifies its samples: equal for equal samples, another as soon as the generator changes.
    pub fn fingerprint(&self) -> String {
        format!("{GENERATOR}/{GENERATOR_VERSION}/seed={}/piece={}/rate={}", self.seed, self.index, self.rate())
    }

    #[cfg(test)]
    pub(super) fn score_for_tests(&self) -> Score {
        self.score.clone()
    }

    /// The seed of its programme.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Samples per second.
    pub fn rate(&self) -> u32 {
        self.score.rate()
    }

    /// Its length in samples per channel.
    pub fn samples(&self) -> u64 {
        self.score.samples().unwrap_or_default()
    }
}

impl Source for Piece {
    fn open(&self) -> Result<Box<dyn Stream + '_>, audio::Error> {
        Ok(Box::new(PieceStream { piece: self, mixer: Mixer::new(self.rate()), at: 0 }))
    }
}

struct PieceStream<'a> {
    piece: &'a Piece,
    mixer: Mixer,
    at: u64,
}

impl Stream for PieceStream<'_> {
    fn next(&mut self) -> Result<Option<Block>, audio::Error> {
        let left = self.piece.samples() - self.at;
        if left == 0 {
            return Ok(None);
        }
        let frames = (BLOCK_FRAMES as u64).min(left) as usize;
        let samples = self.mixer.render(&self.piece.score, &Faders::default(), self.at, frames);
        self.at += frames as u64;
        Ok(Some(Block { rate: self.piece.rate(), channels: 2, samples }))
    }
}
