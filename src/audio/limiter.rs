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
mod tests;
