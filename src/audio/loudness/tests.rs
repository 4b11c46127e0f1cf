//! The signals of EBU Tech 3341 and 3342, and another meter.

use std::f64::consts::TAU;

use ebur128::{EbuR128, Mode};
use proptest::prelude::*;

use super::*;

fn measured(rate: u32, channels: usize, samples: &[f32]) -> Loudness {
    let mut meter = Meter::new(rate, channels);
    meter.add(samples);
    meter.finish()
}

fn sine(rate: u32, seconds: f64, hertz: f64, height: f64) -> Vec<f32> {
    let sample = |at: u32| (height * (TAU * hertz * f64::from(at) / f64::from(rate)).sin()) as f32;
    (0..(seconds * f64::from(rate)) as u32).flat_map(|at| [sample(at), sample(at)]).collect()
}

fn level(db: f64) -> f64 {
    10.0_f64.powf(db / 20.0)
}

/// Noise whose level changes every half second by a rule that is easily made.
fn lively(rate: u32, seconds: usize) -> Vec<f32> {
    let mut random = 7_u32;
    let mut noise = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(random >> 8) / f64::from(1 << 23) - 1.0
    };
    let height = |at: usize| level(-6.0 - ((at / (rate as usize / 2)) * 7 % 45) as f64);
    (0..seconds * rate as usize)
        .flat_map(|at| [noise() * height(at), noise() * height(at) / 2.0])
        .map(|x| x as f32)
        .collect()
}

#[test]
fn the_tones_of_tech_3341_measure_what_they_should() {
    let tone = |db: f64, seconds: f64| sine(48_000, seconds, 1_000.0, level(db));
    let cases: [(&[(f64, f64)], f64); 5] = [
        (&[(-23.0, 20.0)], -23.0),
        (&[(-33.0, 20.0)], -33.0),
        (&[(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
        (&[(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
        (&[(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
    ];
    for (pieces, expected) in cases {
        let samples: Vec<f32> = pieces.iter().flat_map(|(db, seconds)| tone(*db, *seconds)).collect();
        let found = measured(48_000, 2, &samples).integrated(0.0).unwrap();
        assert!((found - expected).abs() < 0.1, "{pieces:?}: {found}");
    }
}

#[test]
fn the_ranges_of_tech_3342_are_found() {
    let tone = |db: f64| sine(48_000, 20.0, 1_000.0, level(db));
    for (levels, expected) in
        [(&[-20.0, -30.0][..], 10.0), (&[-20.0, -15.0], 5.0), (&[-50.0, -35.0, -20.0, -35.0, -50.0], 15.0)]
    {
        let samples: Vec<f32> = levels.iter().flat_map(|db| tone(*db)).collect();
        let found = measured(48_000, 2, &samples).range().unwrap();
        assert!((found - expected).abs() < 1.0, "{levels:?}: {found}");
    }
}

#[test]
fn another_meter_measures_the_same() {
    for rate in [22_050, 32_000, 44_100, 48_000] {
        for channels in [1, 2] {
            let samples: Vec<f32> = lively(rate, 40).into_iter().step_by(3 - channels).collect();
            let mut other = EbuR128::new(channels as u32, rate, Mode::I | Mode::S | Mode::LRA).unwrap();
            let mut short_term = f64::MIN;
            for tenth in samples.chunks(channels * rate as usize / 10) {
                other.add_frames_f32(tenth).unwrap();
                short_term = short_term.max(other.loudness_shortterm().unwrap());
            }
            let ours = measured(rate, channels, &samples);
            let close = |found: f64, wanted: f64, within: f64| {
                assert!((found - wanted).abs() < within, "{rate} Hz, {channels}: {found} instead of {wanted}");
            };
            close(ours.integrated(0.0).unwrap(), other.loudness_global().unwrap(), 0.01);
            close(ours.short_term_max().unwrap(), short_term, 0.01);
            close(ours.range().unwrap(), other.loudness_range().unwrap(), 0.5);
        }
    }
}

#[test]
fn the_loudness_at_a_gain_is_that_of_the_samples_at_that_gain() {
    let mut samples = lively(44_100, 20);
    samples.iter_mut().for_each(|sample| *sample *= 0.01);
    let ours = measured(44_100, 2, &samples);
    for gain in [-6.0, 0.0, 12.0, 40.0] {
        let louder: Vec<f32> = samples.iter().map(|sample| sample * level(gain) as f32).collect();
        let expected = measured(44_100, 2, &louder).integrated(0.0).unwrap();
        assert!((ours.integrated(gain).unwrap() - expected).abs() < 1e-4, "{gain}");
    }
    let gain = ours.gain_to(-16.0).unwrap();
    assert!((ours.integrated(gain).unwrap() + 16.0).abs() < 0.001, "{gain}");
    assert!(
        (gain + 16.0 + ours.integrated(0.0).unwrap()).abs() > 0.05,
        "the gate makes no difference: the test is blind"
    );
}

#[test]
fn what_is_lowered_in_all_slices_is_as_much_quieter_and_what_is_not_stays() {
    let samples = lively(44_100, 20);
    let mut meter = Meter::new(44_100, 2).with_slices();
    meter.add(&samples);
    let ours = meter.finish();
    let integrated = |loudness: &Loudness| loudness.integrated(0.0).unwrap();
    let half = integrated(&ours.limited(|_| 0.5));
    assert!((half - ours.integrated(-6.020_6).unwrap()).abs() < 1e-3, "{half}");
    assert_eq!(integrated(&ours.limited(|_| 1.0)), integrated(&ours));
    // Every other slice of an even noise.
    let (even, mut count) = (sine(44_100, 5.0, 1_000.0, 0.5), 0);
    let mut meter = Meter::new(44_100, 2).with_slices();
    meter.add(&even);
    let ours = meter.finish();
    let thinned = integrated(&ours.limited(|_| {
        count += 1;
        f32::from(count % 2 == 0)
    }));
    assert!((integrated(&ours) - thinned - 3.01).abs() < 0.02, "{thinned}");
    assert_eq!(integrated(&measured(44_100, 2, &even).limited(|_| 0.0)), integrated(&ours), "without slices");
}

#[test]
fn what_is_long_has_no_more_slices_but_longer_ones() {
    let samples = lively(44_100, 20);
    let with = |most: usize| {
        let mut meter = Meter::new(44_100, 2).with_most_slices(most);
        let mut longest = 0;
        for block in samples.chunks(2 * 1_000) {
            meter.add(block);
            longest = longest.max(meter.slices.as_ref().unwrap().len());
        }
        assert!(longest <= most, "{longest} of {most}");
        meter.finish()
    };
    let fine = with(MOST_SLICES);
    assert_eq!((fine.slices.len(), fine.slices_a_second()), (2_000, 100.0));
    assert_eq!(with(2_010), fine, "what has room stays as it is");
    for (most, per_tenth) in [(2_000, 5), (1_005, 5), (1_000, 1), (201, 1)] {
        let coarse = with(most);
        assert_eq!((&coarse.tenths, coarse.slices.len()), (&fine.tenths, 200 * per_tenth), "{most}");
        assert_eq!(coarse.slices_a_second(), 10.0 * per_tenth as f64);
        for (one, few) in coarse.slices.iter().zip(fine.slices.chunks(10 / per_tenth)) {
            assert_eq!(one.peak, few.iter().map(|slice| slice.peak).fold(0.0, f32::max));
            let energy: f32 = few.iter().map(|slice| slice.energy).sum();
            assert!((one.energy - energy).abs() <= 1e-5 * energy, "{one:?} for {few:?}");
        }
    }
    const { assert!(24 * 36_000 < MOST_SLICES, "a day has room") };
}

#[test]
fn silence_and_what_is_too_short_have_none() {
    for samples in [vec![], vec![0.0; 88_200], sine(44_100, 0.35, 1_000.0, 0.5)] {
        let none = measured(44_100, 2, &samples);
        assert_eq!(
            (none.integrated(0.0), none.gain_to(-16.0), none.short_term_max(), none.range()),
            (None, None, None, None)
        );
    }
}

proptest! {
    #[test]
    fn blocks_of_any_size_give_the_same(sizes in prop::collection::vec(1usize..9_000, 1..40)) {
        let samples = lively(22_050, 3);
        let mut meter = Meter::new(22_050, 2).with_slices();
        let (mut rest, mut sizes) = (&samples[..], sizes.into_iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(2 * sizes.next().unwrap()));
            meter.add(now);
            rest = later;
        }
        let (found, whole) = (meter.finish(), measured(22_050, 2, &samples));
        prop_assert_eq!(&found.tenths, &whole.tenths);
        prop_assert_eq!(found.slices.len(), SLICES[0] * found.tenths.len());
        for (slices, tenth) in found.slices.chunks(SLICES[0]).zip(&found.tenths) {
            let sum: f64 = slices.iter().map(|slice| f64::from(slice.energy)).sum();
            prop_assert!((sum / 2_205.0 - tenth).abs() < 1e-6 * tenth.max(1e-3), "{} {}", sum / 2_205.0, tenth);
        }
        let peaks = samples.chunks(2 * 2_205).flat_map(|tenth| (0..SLICES[0]).map(|slice| {
            level::highest(&tenth[2 * (slice * 2_205 / SLICES[0])..2 * ((slice + 1) * 2_205 / SLICES[0])])
        }));
        prop_assert!(found.slices.iter().map(|slice| slice.peak).eq(peaks));
    }
}
