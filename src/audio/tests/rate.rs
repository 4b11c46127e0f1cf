//! The bit rate of what is encoded, and how evenly it is spread.

use super::{
    super::synth::{Generator, SynthReggae},
    *,
};

/// A minute of the generator's music.
fn minute(seed: u64) -> Pcm {
    let music = SynthReggae::new(Default::default()).unwrap().produce(seed, 0, 60 * 44_100).unwrap();
    Pcm(Block { rate: music.rate, channels: music.channels, samples: music.samples })
}

/// The sizes of the segments, and bits per second with all of the transport stream.
fn sizes(seed: u64, settings: &Settings) -> (Vec<f64>, f64) {
    let (encoded, parts) = encoded(&minute(seed), settings);
    let sizes: Vec<f64> = parts.iter().map(|part| part.bytes.len() as f64).collect();
    let seconds = encoded.samples as f64 / 44_100.0;
    assert!((59.9..60.1).contains(&seconds), "{seconds} s");
    let rate = 8.0 * sizes.iter().sum::<f64>() / seconds;
    (sizes, rate)
}

#[test]
fn a_minute_of_music_has_the_bit_rate_that_is_asked_for() {
    // Eight frames fill whole packets: the fewer bits they have, the more of the last one is filling.
    for (bitrate, tolerance) in [(64_000, 0.125), (96_000, 0.10), (128_000, 0.08), (192_000, 0.08)] {
        let (_, rate) = sizes(1, &Settings { bitrates: vec![bitrate], ..plain() });
        let off = rate / f64::from(bitrate) - 1.0;
        assert!(off.abs() <= tolerance, "{rate:.0} b/s for {bitrate}");
    }
}

#[test]
fn segments_of_music_are_of_even_size() {
    for seed in [1, 2, 3] {
        let (sizes, _) = sizes(seed, &plain());
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        let deviation = (sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / sizes.len() as f64).sqrt();
        assert!(sizes.len() == 11 && deviation / mean < 0.05, "{:.1} % of {sizes:?}", 100.0 * deviation / mean);
    }
}
