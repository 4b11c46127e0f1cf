//! Signals that are hard to limit, and the gains a frame at a time.

use std::f64::consts::TAU;

use proptest::prelude::*;

use super::{super::true_peak::TruePeak, *};

const RATE: u32 = 44_100;

/// The limited samples and the gains.
fn limited(samples: &[f32], threshold: f32, block: usize) -> (Vec<f32>, Vec<f32>) {
    let mut limiter = Limiter::new(RATE, 2, threshold);
    let (mut out, mut gains) = (Vec::new(), Vec::new());
    for block in samples.chunks(2 * block) {
        limiter.push(block, &mut out, &mut gains);
    }
    limiter.finish(&mut out, &mut gains);
    assert_eq!((out.len(), gains.len()), (samples.len(), samples.len() / 2));
    assert_eq!(out, samples, "the samples come out in their places");
    for (frame, gain) in out.as_chunks_mut::<2>().0.iter_mut().zip(&gains) {
        frame.iter_mut().for_each(|sample| *sample *= gain);
    }
    (out, gains)
}

fn true_peak(samples: &[f32]) -> f32 {
    let mut meter = TruePeak::new(2);
    meter.add(samples, samples.iter().fold(0.0, |top: f32, x| top.max(x.abs())));
    meter.finish()
}

fn both(frames: usize, sample: impl Fn(usize) -> f64) -> Vec<f32> {
    (0..frames).flat_map(|at| [sample(at) as f32, -sample(at) as f32 / 2.0]).collect()
}

fn noise() -> impl FnMut() -> f64 {
    let mut random = 3_u32;
    move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(random >> 8) / f64::from(1 << 23) - 1.0
    }
}

/// Signals that are hard to limit, a name each.
fn adversaries() -> Vec<(&'static str, Vec<f32>)> {
    let mut random = noise();
    let mut white: Vec<f32> = (0..40_000).map(|_| random() as f32).collect();
    let (bursts, mut sparse) = (white.clone(), vec![0.0; 40_000]);
    white.iter_mut().for_each(|sample| *sample = sample.signum());
    (0..60).for_each(|_| sparse[((random() + 1.0) * 19_999.0) as usize] = (random() * 3.9) as f32);
    let gated = |at: usize| if at % 3_000 < 700 { 1.0 } else { 0.02 };
    let sine = |frequency: f64| move |at: usize| (TAU * frequency * at as f64 + TAU / 8.0).sin();
    vec![
        ("a quarter of the rate, between the samples", both(20_000, |at| 1.4 * sine(0.25)(at))),
        ("bursts of it", both(20_000, |at| 1.4 * gated(at) * sine(0.25)(at))),
        ("a tone near the end of the band", both(20_000, |at| 1.3 * sine(0.37)(at))),
        ("squares", both(20_000, |at| sine(0.011)(at).signum())),
        ("squares of full scale that begin at once and end at once", both(3_000, |at| 2.5 * sine(0.003)(at).signum())),
        ("the slowest", both(30_000, |at| 2.0 * sine(0.000_7)(at))),
        ("an impulse", both(20_000, |at| if at == 9_000 { 3.9 } else { 0.1 })),
        ("an impulse at the beginning", both(20_000, |at| if at == 0 { 3.9 } else { 0.0 })),
        ("an impulse at the end", both(20_000, |at| if at == 19_999 { -3.9 } else { 0.0 })),
        ("impulses of both signs", both(20_000, |at| if at % 5_000 < 2 { 3.0 - 6.0 * (at % 2) as f64 } else { 0.0 })),
        ("noise of signs alone", white),
        ("noise in bursts", bursts.iter().enumerate().map(|(at, x)| 1.7 * x * gated(at) as f32).collect()),
        ("sparse impulses", sparse),
        ("a sweep", both(40_000, |at| 1.2 * (TAU * 6e-6 * (at * at) as f64).sin())),
    ]
}

#[test]
fn nothing_passes_the_ceiling() {
    for threshold in [0.84, 0.4] {
        for (name, samples) in adversaries() {
            let peak = true_peak(&limited(&samples, threshold, 1_152).0);
            let over = 20.0 * (peak / threshold).log10();
            assert!(over < 0.1, "{name}: {over} dB over");
            assert!(over > -1.5 || peak == true_peak(&samples), "{name}: lowered by {over} dB more than needed");
        }
    }
}

#[test]
fn what_is_under_the_threshold_stays_as_it_is() {
    let mut random = noise();
    let samples: Vec<f32> = (0..20_000).map(|_| random() as f32).collect();
    let (out, gains) = limited(&samples, true_peak(&samples), 500);
    assert_eq!(out, samples);
    assert!(gains.iter().all(|gain| *gain == 1.0));
}

#[test]
fn a_peak_is_met_by_a_gain_that_falls_before_it_stays_and_rises() {
    let samples = both(100_000, |at| if at == 10_000 { 1.0 } else { 0.01 });
    let (_, gains) = limited(&samples, 0.5, 4_096);
    // The values beside the impulse are above the threshold as well.
    let reach = 2 * 127 + AHEAD + 1;
    assert!(gains[..10_000 - reach].iter().all(|gain| *gain == 1.0));
    assert!(gains[10_000 - reach..=10_000].windows(2).all(|pair| pair[1] <= pair[0]));
    assert!((gains[10_000] - 0.5).abs() < 1e-3, "{}", gains[10_000]);
    let hold = 10_000..10_000 + (RATE * HOLD_MS / 1_000) as usize;
    assert!(gains[hold.clone()].iter().all(|gain| *gain == gains[10_000]));
    assert!(gains[hold.end + 8..].windows(2).all(|pair| pair[1] >= pair[0]));
    let steepest = gains.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(steepest < 0.005, "a step of {steepest} is a click");
    assert_eq!(gains.last(), Some(&1.0), "released to nothing at all");
}

#[test]
fn both_channels_have_one_gain_and_the_reduction_is_told() {
    let samples: Vec<f32> = both(5_000, |at| (0.06 * at as f64).sin());
    let mut limiter = Limiter::new(RATE, 2, 0.25);
    let (mut out, mut gains) = (Vec::new(), Vec::new());
    limiter.push(&samples, &mut out, &mut gains);
    limiter.finish(&mut out, &mut gains);
    assert_eq!(gains.len() * 2, out.len());
    let expected = 20.0 * f64::from(true_peak(&samples) / 0.25).log10();
    assert!((limiter.reduction_db() - expected).abs() < 1e-3, "{} instead of {expected}", limiter.reduction_db());
}

/// The gains of needs, a frame at a time.
fn known(rate: u32, needs: &[u32]) -> Vec<u32> {
    let Curve { hold, ahead, left, smooth, .. } = Curve::new(rate);
    let (reach, closing, mean) = ((hold + ahead) as usize, (1 << 32) - left, smooth[0].len());
    let mut released = UNITY;
    let mut gains: Vec<u32> = (0..needs.len())
        .map(|at| {
            let held = needs[at.saturating_sub(reach)..=at].iter().min().unwrap();
            let risen = (u64::from(UNITY - released) * closing).div_ceil(1 << 32) as u32;
            released = (released + risen).min(*held);
            released
        })
        .collect();
    for _ in 0..2 {
        let before = |at: usize| if at < mean { u64::from(UNITY) } else { u64::from(gains[at - mean]) };
        let mut sum = u64::from(UNITY) * mean as u64;
        let smoothed = (0..gains.len()).map(|at| {
            sum = sum + u64::from(gains[at]) - before(at);
            (sum / mean as u64) as u32
        });
        gains = smoothed.collect();
    }
    gains[(ahead as usize + AHEAD).min(gains.len())..].to_vec()
}

proptest! {
    #[test]
    fn windows_give_what_frames_do(
        rate in prop::sample::select(vec![22_050_u32, 44_100]),
        peaks in prop::collection::vec((0..60 * WINDOW, UNITY / 4..UNITY), 0..9),
        windows in 1..200_usize,
    ) {
        let mut needs = vec![UNITY; windows * WINDOW];
        for (at, need) in peaks {
            needs.get_mut(at).into_iter().for_each(|one| *one = need);
        }
        let (mut curve, mut gains) = (Curve::new(rate), Vec::new());
        for window in needs.as_chunks::<WINDOW>().0 {
            match window.iter().all(|need| *need == UNITY) {
                true => curve.pass(&mut gains),
                false => curve.push(window, &mut gains),
            }
        }
        prop_assert_eq!(gains, known(rate, &needs));
    }

    #[test]
    fn blocks_of_any_size_give_the_same(
        heights in prop::collection::vec(0.0f32..2.0, 1..30),
        threshold in 0.3f32..1.5,
        block in 1usize..3_000,
    ) {
        let mut random = noise();
        let samples: Vec<f32> = heights.iter().flat_map(|height| {
            (0..400).map(|_| random() as f32 * height).collect::<Vec<_>>()
        }).collect();
        let whole = limited(&samples, threshold, samples.len());
        prop_assert_eq!(&limited(&samples, threshold, block), &whole);
        prop_assert!(true_peak(&whole.0) <= threshold * 1.0116);
        let gains = whole.1;
        let met = |([left, right], gain): (&[f32; 2], &f32)| left.abs().max(right.abs()) * gain <= threshold * 1.000_001;
        prop_assert!(samples.as_chunks::<2>().0.iter().zip(&gains).all(met));
    }
}
