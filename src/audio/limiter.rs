//! A look-ahead true-peak limiter: which gain every frame needs so that nothing passes the threshold.
//!
//! In four steps, each a whole number of frames long, all gains in units of 2⁻³⁰ so that the sums are exact:
//! 1. needed: threshold ÷ the highest value of any channel at and beside the frame (see [`super::true_peak`]);
//! 2. held: the lowest need from `hold` frames before to `ahead` frames behind;
//! 3. released: a fall is taken at once, a rise closes the distance to what is held exponentially;
//! 4. smoothed: the mean of the mean over a power of two of frames, which end where the need begins.
//!
//! A mean of gains none of which exceeds the need does not exceed it either. What changes the sample is one gain for
//! all channels, so the stereo image stays, and where nothing is needed it is exactly one.

use std::collections::VecDeque;

use super::true_peak::{AHEAD, WINDOW, Window, Windows};

/// The gain that changes nothing.
const UNITY: u32 = 1 << 30;
/// How long a gain is kept before it is released, in milliseconds: half a period of 33 Hz, so that no bass is bent.
const HOLD_MS: u32 = 15;
/// A mean is of 2 to the power of so many frames at most.
const LONGEST_MEAN: u32 = 7;
/// The time in which the distance is closed to 1/e, in seconds.
pub(super) const RELEASE_SECONDS: f64 = 0.12;

/// Works on interleaved samples. As many frames come out as go in.
#[derive(Debug)]
pub(super) struct Limiter {
    channels: usize,
    threshold: f32,
    windows: Windows,
    /// The value group before the next window.
    before: f32,
    curve: Curve,
    /// Samples that wait for their gain.
    waiting: Vec<f32>,
    /// Gains that were found, for the frames that wait.
    gains: Vec<u32>,
    lowest: u32,
}

impl Limiter {
    /// No value, between the samples or at them, is to exceed `threshold` (linear, positive).
    pub(super) fn new(rate: u32, channels: usize, threshold: f32) -> Self {
        Self {
            channels,
            threshold,
            windows: Windows::new(channels),
            before: 0.0,
            curve: Curve::new(rate),
            waiting: Vec::new(),
            gains: Vec::new(),
            lowest: UNITY,
        }
    }

    /// Takes samples and appends those that are ready, a gain for each frame beside them.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>, gains: &mut Vec<f32>) {
        self.waiting.extend_from_slice(samples);
        self.measure(samples);
        self.hand_over(out, gains);
    }

    /// Appends the rest.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>, gains: &mut Vec<f32>) {
        while !self.waiting.is_empty() {
            self.measure(&vec![0.0; WINDOW * self.channels]);
            self.hand_over(out, gains);
        }
    }

    /// The most that the level was lowered, in dB.
    pub(super) fn reduction_db(&self) -> f64 {
        20.0 * (f64::from(UNITY) / f64::from(self.lowest)).log10()
    }

    fn measure(&mut self, samples: &[f32]) {
        let Self { windows, before, curve, gains, threshold, .. } = self;
        windows.push(samples, |window| {
            if window.is_below(*threshold) {
                *before = 0.0;
                curve.pass(gains);
            } else {
                curve.push(&needs(window, before, *threshold), gains);
            }
        });
    }

    fn hand_over(&mut self, out: &mut Vec<f32>, found: &mut Vec<f32>) {
        let ready = self.gains.len().min(self.waiting.len() / self.channels);
        let samples = ready * self.channels;
        out.extend_from_slice(&self.waiting[..samples]);
        self.waiting.drain(..samples);
        self.lowest = self.gains[..ready].iter().fold(self.lowest, |lowest, gain| lowest.min(*gain));
        found.extend(self.gains[..ready].iter().map(|gain| *gain as f32 / UNITY as f32));
        self.gains.drain(..ready);
    }
}

/// The need of each frame of a window: of the samples themselves and the value groups at both sides of each.
fn needs(window: &Window<'_>, before: &mut f32, threshold: f32) -> [u32; WINDOW] {
    let (heights, mut needs) = (window.heights(), [UNITY; WINDOW]);
    for ((need, at), after) in needs.iter_mut().zip(0..).zip(heights) {
        let height = window.sample(at).max(*before).max(after);
        *before = after;
        if height > threshold {
            *need = (f64::from(threshold) / f64::from(height) * f64::from(UNITY)) as u32;
        }
    }
    needs
}

/// From needs to gains.
#[derive(Debug)]
struct Curve {
    /// Frames behind a need that its gain is kept.
    hold: u64,
    /// Frames ahead of a need that its gain is known.
    ahead: u64,
    /// The needs below one that can still be the lowest, with their frames, the lowest first.
    low: VecDeque<(u64, u32)>,
    /// The frame whose need comes next.
    at: u64,
    /// How far the released gain is from one.
    depth: u32,
    /// How much of the distance is left after a frame, in 2⁻³².
    left: u64,
    smooth: [Mean; 2],
    /// Gains that are not of any frame: they come before the first.
    early: u64,
    /// Frames in a row whose released gain is one.
    idle: usize,
}

impl Curve {
    fn new(rate: u32) -> Self {
        let shift = if rate > 33_000 { 7 } else { 6 };
        let reach = 2 * ((1 << shift) - 1);
        let ahead = reach + AHEAD as u64;
        let closed = (1.0 - (-1.0 / (RELEASE_SECONDS * f64::from(rate))).exp()) * 4_294_967_296.0;
        Self {
            hold: u64::from(rate * HOLD_MS / 1_000),
            ahead,
            low: VecDeque::new(),
            at: 0,
            depth: 0,
            left: (1 << 32) - closed as u64,
            smooth: [Mean::new(shift), Mean::new(shift)],
            // The windows begin with the silence before the first frame, and the look-ahead comes on top of that.
            early: ahead + AHEAD as u64,
            idle: 0,
        }
    }

    /// Takes the needs of a window and appends the gains of the frames that they lie ahead of.
    fn push(&mut self, needs: &[u32; WINDOW], gains: &mut Vec<u32>) {
        let mut found = *needs;
        found.iter_mut().for_each(|need| *need = self.held(*need));
        self.release(found, gains);
    }

    /// From what is held in a window to its gains.
    fn release(&mut self, mut found: [u32; WINDOW], gains: &mut Vec<u32>) {
        let (mut depth, mut idle) = (self.depth, self.idle);
        for gain in &mut found {
            let risen = (u64::from(depth) * self.left) >> 32;
            depth = (risen as u32).max(UNITY - *gain);
            idle = if depth == 0 { idle + 1 } else { 0 };
            *gain = UNITY - depth;
        }
        (self.depth, self.idle) = (depth, idle);
        self.smooth.iter_mut().for_each(|mean| mean.smooth(&mut found));
        let early = self.early.min(WINDOW as u64);
        self.early -= early;
        gains.extend_from_slice(&found[early as usize..]);
    }

    /// Takes the need of a frame. Gives the lowest that holds for the frame that it lies ahead of.
    #[inline]
    fn held(&mut self, need: u32) -> u32 {
        let at = self.at;
        self.at += 1;
        if need == UNITY && self.low.is_empty() {
            return UNITY;
        }
        if need < UNITY {
            while self.low.pop_back_if(|(_, low)| *low >= need).is_some() {}
            self.low.push_back((at, need));
        }
        while self.low.pop_front_if(|(from, _)| *from + self.hold + self.ahead < at).is_some() {}
        self.low.front().map_or(UNITY, |(_, need)| *need)
    }

    /// As [`Curve::push`], for a window in which nothing is needed.
    fn pass(&mut self, gains: &mut Vec<u32>) {
        let settled = self.idle >= self.smooth.iter().map(Mean::len).sum();
        if settled && self.low.is_empty() {
            self.at += WINDOW as u64;
            let early = self.early.min(WINDOW as u64);
            self.early -= early;
            return gains.resize(gains.len() + WINDOW - early as usize, UNITY);
        }
        let (mut held, mut done) = ([UNITY; WINDOW], 0);
        while let Some((from, need)) = self.low.front().filter(|_| done < WINDOW) {
            let kept = (from + self.hold + self.ahead + 1).saturating_sub(self.at).min(WINDOW as u64) as usize;
            held[done..done.max(kept)].fill(*need);
            done = done.max(kept);
            if done < WINDOW {
                self.low.pop_front();
            }
        }
        self.at += WINDOW as u64;
        self.release(held, gains);
    }
}

/// The mean of the last gains.
#[derive(Debug)]
struct Mean {
    ring: [u32; 1 << LONGEST_MEAN],
    next: usize,
    sum: i64,
    shift: u32,
}

impl Mean {
    /// Of 2^`shift` gains, a whole number of windows; all were one so far.
    fn new(shift: u32) -> Self {
        debug_assert!(shift <= LONGEST_MEAN && (1_usize << shift).is_multiple_of(WINDOW));
        Self { ring: [UNITY; 1 << LONGEST_MEAN], next: 0, sum: i64::from(UNITY) << shift, shift }
    }

    fn len(&self) -> usize {
        1 << self.shift
    }

    /// Puts the mean in the place of each gain.
    fn smooth(&mut self, gains: &mut [u32; WINDOW]) {
        let mut sum = self.sum;
        for (gain, oldest) in gains.iter_mut().zip(&mut self.ring[self.next..self.next + WINDOW]) {
            sum += i64::from(*gain) - i64::from(*oldest);
            *oldest = *gain;
            *gain = (sum >> self.shift) as u32;
        }
        (self.next, self.sum) = ((self.next + WINDOW) % self.len(), sum);
    }
}

#[cfg(test)]
mod tests {
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
            (
                "squares of full scale that begin at once and end at once",
                both(3_000, |at| 2.5 * sine(0.003)(at).signum()),
            ),
            ("the slowest", both(30_000, |at| 2.0 * sine(0.000_7)(at))),
            ("an impulse", both(20_000, |at| if at == 9_000 { 3.9 } else { 0.1 })),
            ("an impulse at the beginning", both(20_000, |at| if at == 0 { 3.9 } else { 0.0 })),
            ("an impulse at the end", both(20_000, |at| if at == 19_999 { -3.9 } else { 0.0 })),
            (
                "impulses of both signs",
                both(20_000, |at| if at % 5_000 < 2 { 3.0 - 6.0 * (at % 2) as f64 } else { 0.0 }),
            ),
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
}
