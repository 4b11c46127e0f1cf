//! What sounds are made of: decaying modes, bursts of noise, sweeps, plucked strings, sustained waves, filters, a room.
//! Every function adds to or shapes a buffer that begins at the onset; all lengths are samples, all times seconds.

use super::math::{Phase, Random, Table, decay, hertz, one_pole, smooth};

/// Nothing is made above this, whatever the sample rate.
pub(super) const TOP_HERTZ: f64 = 10_000.0;

/// A sine that dies away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    pub(super) hertz: f64,
    pub(super) level: f32,
    pub(super) seconds: f64,
}

/// Shorthand for tables of modes: frequency, level, time to −60 dB.
pub(super) const fn mode(hertz: f64, level: f32, seconds: f64) -> Mode {
    Mode { hertz, level, seconds }
}

/// Noise between two frequencies that dies away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    pub(super) level: f32,
    pub(super) attack: f64,
    pub(super) seconds: f64,
    pub(super) low_hertz: f64,
    pub(super) high_hertz: f64,
}

/// A sustained tone: a waveform that darkens, with attack, release and vibrato.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tone<'a> {
    pub(super) note: f64,
    pub(super) level: f32,
    /// Levels of the harmonics at the onset.
    pub(super) bright: &'a [f32],
    /// Levels of the harmonics it darkens to.
    pub(super) dark: &'a [f32],
    /// Time to −60 dB of the difference between the two.
    pub(super) darkening: f64,
    pub(super) attack: f64,
    pub(super) release: f64,
    /// How far below the note it starts, in semitones.
    pub(super) scoop: f64,
    /// Depth of the vibrato in semitones; it comes in after a quarter of a second.
    pub(super) vibrato: f64,
}

pub(super) fn add_modes(out: &mut [f32], rate: f64, modes: &[Mode]) {
    let table = Table::sine();
    for mode in modes.iter().filter(|mode| mode.hertz < TOP_HERTZ) {
        let (mut phase, mut level, factor) = (Phase::default(), mode.level, decay(mode.seconds, rate));
        let step = Phase::step(mode.hertz, rate);
        for sample in out.iter_mut() {
            *sample += level * phase.read(&table, step);
            level *= factor;
        }
    }
}

pub(super) fn add_burst(out: &mut [f32], rate: f64, burst: Burst, random: &mut Random) {
    let (mut high, mut higher) = (Filter::new(burst.high_hertz, rate), Filter::new(burst.high_hertz, rate));
    let mut low = Filter::new(burst.low_hertz, rate);
    let (mut level, factor) = (burst.level, decay(burst.seconds, rate));
    let attack = (burst.attack * rate) as f32 + 1.0;
    for (i, sample) in out.iter_mut().enumerate() {
        let noise = higher.low_pass(high.low_pass(random.noise()));
        *sample += level * smooth(i as f32 / attack) * low.high_pass(noise);
        level *= factor;
    }
}

/// A sine that falls from one frequency to another (the skin of a drum) and dies away.
pub(super) fn add_sweep(out: &mut [f32], rate: f64, from_hertz: f64, to: Mode, falling: f64) {
    let table = Table::sine();
    let (mut phase, mut level, mut bend) = (Phase::default(), to.level, 1.0_f32);
    let (level_factor, bend_factor) = (decay(to.seconds, rate), decay(falling, rate));
    let (low, fall) = (Phase::step(to.hertz, rate), Phase::step(from_hertz - to.hertz, rate));
    for sample in out.iter_mut() {
        *sample += level * phase.read(&table, low + fall * f64::from(bend));
        level *= level_factor;
        bend *= bend_factor;
    }
}

pub(super) fn add_tone(out: &mut [f32], rate: f64, tone: &Tone<'_>) {
    let pitch = hertz(tone.note);
    let limit = TOP_HERTZ.min(rate * 0.42);
    let (bright, dark) = (Table::new(tone.bright, pitch, limit), Table::new(tone.dark, pitch, limit));
    let sine = Table::sine();
    let (mut upper, mut lower, mut wobble) = (Phase::default(), Phase::default(), Phase::default());
    let (mut brightness, factor) = (1.0_f32, decay(tone.darkening, rate));
    let (mut scoop, scoop_factor) = (tone.scoop, f64::from(decay(0.08, rate)));
    let (step, vibrato_step) = (Phase::step(pitch, rate), Phase::step(5.3, rate));
    let onset = (0.25 * rate) as f32;
    let mut played = vec![0.0; out.len()];
    for (i, sample) in played.iter_mut().enumerate() {
        let mut now = step;
        if tone.vibrato > 0.0 || tone.scoop > 0.0 {
            let depth = tone.vibrato * f64::from(smooth(i as f32 / onset - 1.0));
            let bend = depth * f64::from(wobble.read(&sine, vibrato_step)) - scoop;
            // 2^(x/12) to first order: bends are less than a semitone.
            now *= 1.0 + bend * 0.057_762_265;
            scoop *= scoop_factor;
        }
        let (a, b) = (upper.read(&bright, now), lower.read(&dark, now));
        *sample = tone.level * (b + (a - b) * brightness);
        brightness *= factor;
    }
    fade_ends(&mut played, (tone.attack * rate) as usize + 1, (tone.release * rate) as usize + 1);
    out.iter_mut().zip(&played).for_each(|(sample, played)| *sample += played);
}

/// A plucked string (Karplus and Strong, 1983), tuned with an allpass, that starts `from` samples in.
pub(super) fn add_string(out: &mut [f32], rate: f64, note: u8, from: usize, random: &mut Random) {
    let period = rate / hertz(f64::from(note));
    let whole = (period - 0.8).floor();
    let rest = (period - 0.5 - whole) as f32;
    let tuning = (1.0 - rest) / (1.0 + rest);
    let mut pick = Filter::new(3800.0, rate);
    let mut line: Vec<f32> = (0..whole as usize).map(|_| pick.low_pass(random.noise())).collect();
    let mean = line.iter().sum::<f32>() / line.len() as f32;
    line.iter_mut().for_each(|sample| *sample -= mean);
    let (mut last, mut passed_in, mut passed_out, mut at) = (0.0, 0.0, 0.0, 0);
    for sample in out.iter_mut().skip(from) {
        let now = line[at];
        let damped = 0.996 * 0.5 * (now + last);
        passed_out = tuning * (damped - passed_out) + passed_in;
        passed_in = damped;
        last = now;
        line[at] = passed_out;
        at = (at + 1) % line.len();
        *sample += now;
    }
}

/// A one-pole filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter {
    share: f32,
    state: f32,
}

impl Filter {
    pub(super) fn new(cutoff_hertz: f64, rate: f64) -> Self {
        Self { share: one_pole(cutoff_hertz.min(rate * 0.45), rate), state: 0.0 }
    }

    pub(super) fn low_pass(&mut self, input: f32) -> f32 {
        self.state += self.share * (input - self.state);
        self.state
    }

    pub(super) fn high_pass(&mut self, input: f32) -> f32 {
        input - self.low_pass(input)
    }
}

/// Keeps what lies between two frequencies, 6 dB per octave on both sides.
pub(super) fn band(out: &mut [f32], rate: f64, low_hertz: f64, high_hertz: f64) {
    let (mut low, mut high) = (Filter::new(low_hertz, rate), Filter::new(high_hertz, rate));
    for sample in out {
        *sample = high.low_pass(low.high_pass(*sample));
    }
}

/// A low-pass with resonance (state variable filter) whose cutoff is given for every sample.
pub(super) fn sweep_filter(out: &mut [f32], rate: f64, damping: f32, cutoff_hertz: impl Fn(f32) -> f32) {
    let (mut low, mut mid) = (0.0_f32, 0.0_f32);
    let frames = out.len() as f32;
    for (i, sample) in out.iter_mut().enumerate() {
        let step = (std::f32::consts::TAU * cutoff_hertz(i as f32 / frames) / rate as f32).min(0.9);
        low += step * mid;
        mid += step * (*sample - low - damping * mid);
        *sample = low;
    }
}

/// Makes the highest sample `peak`; silence stays silence.
pub(super) fn set_peak(out: &mut [f32], peak: f32) {
    let highest = out.iter().fold(0.0_f32, |high, sample| high.max(sample.abs()));
    if highest > 0.0 {
        out.iter_mut().for_each(|sample| *sample *= peak / highest);
    }
}

/// Takes the first samples up from zero and the last ones down to it.
pub(super) fn fade_ends(out: &mut [f32], rise: usize, fall: usize) {
    for (i, sample) in out.iter_mut().take(rise).enumerate() {
        *sample *= smooth(i as f32 / rise as f32);
    }
    for (i, sample) in out.iter_mut().rev().take(fall).enumerate() {
        *sample *= smooth(i as f32 / fall as f32);
    }
}

/// A small room with a springy tail (Schroeder's combs and allpasses), different on both sides; ends at exactly zero.
pub(super) fn room(dry: &[f32], rate: f64, frames: usize, seconds: f64) -> Vec<[f32; 2]> {
    let mut input: Vec<f32> = dry.iter().copied().chain(std::iter::repeat(0.0)).take(frames).collect();
    band(&mut input, rate, 260.0, 5200.0);
    let sides = [0.0, 0.000_71].map(|spread| one_side(&input, rate, seconds, spread));
    sides[0].iter().zip(&sides[1]).map(|(&left, &right)| [left, right]).collect()
}

fn one_side(input: &[f32], rate: f64, seconds: f64, spread: f64) -> Vec<f32> {
    const COMBS: [f64; 4] = [0.029_7, 0.037_1, 0.041_1, 0.043_7];
    const ALLPASSES: [f64; 3] = [0.005_0, 0.001_7, 0.008_9];
    let mut combs = COMBS.map(|length| Comb {
        line: vec![0.0; ((length + spread) * rate) as usize],
        at: 0,
        feedback: decay(seconds / (length + spread), 1.0),
        damp: Filter::new(3600.0, rate),
    });
    let mut out: Vec<f32> =
        input.iter().map(|&fed| combs.iter_mut().fold(0.0, |sum, comb| sum + comb.pass(fed))).collect();
    for length in ALLPASSES.map(|length| length + spread / 3.0) {
        let mut line = vec![0.0; (length * rate) as usize];
        let mut at = 0;
        for sample in &mut out {
            let late = line[at];
            let fed = *sample + 0.6 * late;
            line[at] = fed;
            at = if at + 1 == line.len() { 0 } else { at + 1 };
            *sample = late - 0.6 * fed;
        }
    }
    fade_ends(&mut out, 0, input.len() / 5);
    out
}

/// A delay that feeds back through a low-pass.
struct Comb {
    line: Vec<f32>,
    at: usize,
    feedback: f32,
    damp: Filter,
}

impl Comb {
    fn pass(&mut self, fed: f32) -> f32 {
        let late = self.line[self.at];
        self.line[self.at] = 0.25 * fed + self.feedback * self.damp.low_pass(late);
        self.at = if self.at + 1 == self.line.len() { 0 } else { self.at + 1 };
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 44_100.0;

    /// Strength of one frequency, by correlation.
    fn strength(samples: &[f32], hertz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, &sample) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * hertz * i as f64 / RATE;
            re += f64::from(sample) * angle.cos();
            im += f64::from(sample) * angle.sin();
        }
        re.hypot(im) / samples.len() as f64
    }

    #[test]
    fn a_string_is_in_tune() {
        for note in [55, 60, 67, 76] {
            let mut out = vec![0.0; 22_050];
            add_string(&mut out, RATE, note, 0, &mut Random::of(&[u64::from(note)]));
            let best = (-60..=60)
                .map(f64::from)
                .max_by(|&a, &b| {
                    let at = |cents: f64| strength(&out, hertz(f64::from(note) + cents / 100.0));
                    at(a).total_cmp(&at(b))
                })
                .unwrap();
            assert!(best.abs() <= 8.0, "note {note} is {best} cents off");
        }
    }

    #[test]
    fn a_room_rings_out_to_zero() {
        let tail = room(&[1.0; 64], RATE, 44_100, 1.0);
        assert_eq!(tail.len(), 44_100);
        assert!(tail[5000..9000].iter().any(|frame| frame[0].abs() > 1e-4 && frame[0] != frame[1]));
        assert_eq!(tail[44_099], [0.0, 0.0]);
    }

    #[test]
    fn a_filter_keeps_its_side() {
        let wave = |hertz: f64| -> Vec<f32> {
            let (mut phase, table) = (Phase::default(), Table::sine());
            (0..8820).map(|_| phase.read(&table, Phase::step(hertz, RATE))).collect()
        };
        let (mut deep, mut high) = (wave(50.0), wave(8000.0));
        band(&mut deep, RATE, 500.0, 2000.0);
        band(&mut high, RATE, 500.0, 2000.0);
        assert!(strength(&deep, 50.0) < 0.06 && strength(&high, 8000.0) < 0.15);
    }
}
