//! What a recording sounds like, so that another copy of it is known whatever its format (Chromaprint).

use rusty_chromaprint::{Configuration, Fingerprinter, match_fingerprints};

use super::{Error, level::highest, mix::to_channels, resample::Resampler};

/// The first audible minute tells recordings apart.
const SECONDS: usize = 60;
/// What Chromaprint listens to, in mono; at any other rate it resamples, slowly.
const LOW_RATE: u32 = 11_025;
/// Quieter than this is the silence before a recording: −60 dBFS.
const SILENCE: f32 = 0.001;
/// Words of a fingerprint, eight a second, that are too few to tell anything.
const SHORT: usize = 80;
/// The share of the shorter fingerprint that has to be alike.
const ALIKE: f64 = 0.8;
/// Bits of a word that survive another encoder.
const STEADY: u32 = 20;
/// So many words in common make two fingerprints worth a closer look.
const IN_COMMON: usize = 12;

/// 32 bits for each eighth of a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<u32>);

impl Fingerprint {
    /// The words, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// What [`Fingerprint::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    /// What is in most copies of the recording: to be looked up by. In order, each once.
    pub fn keys(&self) -> Vec<u32> {
        let mut keys: Vec<u32> = self.0.iter().map(|word| word >> (32 - STEADY)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Whether so many keys in common are worth [`Fingerprint::sounds_like`].
    pub fn is_hint(in_common: usize) -> bool {
        in_common >= IN_COMMON
    }

    /// Whether both are of one recording.
    pub fn sounds_like(&self, other: &Self) -> bool {
        let shorter = self.0.len().min(other.0.len());
        let Ok(alike) = match_fingerprints(&self.0, &other.0, &configuration()) else { return false };
        let alike: usize = alike.iter().map(|stretch| stretch.items_count).sum();
        shorter >= SHORT && alike as f64 >= ALIKE * shorter as f64
    }
}

/// Takes a fingerprint of what runs by.
pub(super) struct Taker {
    resampler: Resampler,
    channels: usize,
    fingerprinter: Fingerprinter,
    /// Samples of all channels that are still wanted.
    wanted: usize,
    begun: bool,
}

impl Taker {
    /// Of interleaved samples.
    pub(super) fn new(rate: u32, channels: usize) -> Result<Self, Error> {
        let mut fingerprinter = Fingerprinter::new(&configuration());
        let refused = |error| Error::Format(format!("no fingerprint can be taken: {error:?}"));
        fingerprinter.start(LOW_RATE, 1).map_err(refused)?;
        let resampler = Resampler::new(rate, LOW_RATE, 1)?;
        Ok(Self { resampler, channels, fingerprinter, wanted: SECONDS * rate as usize * channels, begun: false })
    }

    /// Takes interleaved samples.
    pub(super) fn add(&mut self, samples: &[f32]) -> Result<(), Error> {
        if self.wanted == 0 || !self.begun && highest(samples) <= SILENCE {
            return Ok(());
        }
        self.begun = true;
        let samples = &samples[..samples.len().min(self.wanted)];
        let low = self.resampler.push(to_channels(samples.to_vec(), self.channels, 1))?;
        self.fingerprinter.consume(&in_16_bits(&low));
        self.wanted -= samples.len();
        Ok(())
    }

    /// What was heard.
    pub(super) fn finish(mut self) -> Result<Fingerprint, Error> {
        if !self.begun {
            return Ok(Fingerprint::default());
        }
        self.fingerprinter.consume(&in_16_bits(&self.resampler.finish()?));
        self.fingerprinter.finish();
        Ok(Fingerprint(self.fingerprinter.fingerprint().to_vec()))
    }
}

fn in_16_bits(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|sample| (sample * 32_767.0) as i16).collect()
}

fn configuration() -> Configuration {
    Configuration::preset_test2()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const RATE: u32 = 44_100;

    /// A tune of its own for each seed: three tones at a time, that change a few times a second.
    fn tune(seed: u32, seconds: u32) -> Vec<f32> {
        let mut random = seed;
        let mut notes = Vec::new();
        for _ in 0..seconds * 4 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            notes.push(
                [random >> 8, random >> 14, random >> 20].map(|bits| 110.0 * 2_f64.powf(f64::from(bits % 48) / 12.0)),
            );
        }
        let sample = |at: u32| {
            let note = &notes[(at * 4 / RATE) as usize];
            let tone = |hertz: &f64| (TAU * hertz * f64::from(at) / f64::from(RATE)).sin() / 5.0;
            note.iter().map(tone).sum::<f64>() as f32
        };
        (0..seconds * RATE).map(sample).collect()
    }

    fn taken(samples: &[f32], block: usize) -> Fingerprint {
        let mut taker = Taker::new(RATE, 1).unwrap();
        samples.chunks(block).for_each(|samples| taker.add(samples).unwrap());
        taker.finish().unwrap()
    }

    fn in_common(one: &Fingerprint, other: &Fingerprint) -> usize {
        let keys = other.keys();
        one.keys().iter().filter(|key| keys.binary_search(key).is_ok()).count()
    }

    #[test]
    fn a_copy_is_known_though_it_is_quieter_noisier_and_begins_later() {
        let original = tune(1, 40);
        let mut random = 5_u32;
        let mut noise = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let silence = vec![0.0; RATE as usize * 3];
        let copy: Vec<f32> = original[20_000..].iter().map(|sample| sample * 0.4 + 0.002 * noise()).collect();
        let (original, copy) = (taken(&original, 1_152), taken(&[silence, copy].concat(), 4_096));
        assert!(Fingerprint::is_hint(in_common(&original, &copy)), "{}", in_common(&original, &copy));
        assert!(original.sounds_like(&copy) && copy.sounds_like(&original));
    }

    #[test]
    fn other_music_is_not_taken_for_it() {
        let tunes: Vec<Fingerprint> = (1..8).map(|seed| taken(&tune(seed * 77, 40), 1_152)).collect();
        for (at, one) in tunes.iter().enumerate() {
            assert!(tunes[at + 1..].iter().all(|other| !one.sounds_like(other)), "{at}");
        }
    }

    #[test]
    fn what_is_silent_or_too_short_is_like_nothing() {
        let silent = taken(&[0.0; 400_000], 1_152);
        assert_eq!(silent, Fingerprint::default());
        let short = taken(&tune(3, 5), 1_152);
        assert!(!short.sounds_like(&short) && !silent.sounds_like(&silent));
    }

    #[test]
    fn it_is_that_of_chromaprint_at_any_rate() {
        let tune = tune(4, 30);
        let mut own = Fingerprinter::new(&configuration());
        own.start(RATE, 1).unwrap();
        own.consume(&in_16_bits(&tune));
        own.finish();
        let (own, ours) = (Fingerprint(own.fingerprint().to_vec()), taken(&tune, 1_152));
        let differ: u32 = own.0.iter().zip(&ours.0).map(|(one, other)| (one ^ other).count_ones()).sum();
        let bits = 32 * own.0.len() as u32;
        assert!(own.0.len().abs_diff(ours.0.len()) <= 1 && differ * 100 < bits, "{differ} of {bits} bits differ");
        let in_stereo: Vec<f32> = tune.iter().flat_map(|sample| [*sample; 2]).collect();
        let mut stereo = Taker::new(RATE, 2).unwrap();
        stereo.add(&in_stereo).unwrap();
        assert_eq!(stereo.finish().unwrap(), ours);
    }

    #[test]
    fn bytes_are_read_back_and_blocks_of_any_size_give_the_same() {
        let tune = tune(9, 20);
        let whole = taken(&tune, tune.len());
        assert_eq!(taken(&tune, 777), whole);
        assert_eq!(Fingerprint::from_bytes(&whole.to_bytes()), whole);
        assert_eq!(taken(&[tune.clone(), tune.clone(), tune.clone(), tune.clone()].concat(), 5_000).0.len(), 463);
    }
}
