//! Loudness and true peak of what is encoded, by a meter that is not ours.

use std::sync::atomic::AtomicUsize;

use ebur128::{EbuR128, Mode};

use super::{
    super::{
        forecast::Forecast,
        level::{Setting, from_i16},
        master::Master,
        pass::*,
    },
    *,
};

/// What the encoder is fed with, and what is said of it.
fn encoder_input(source: &dyn Source, settings: &Settings) -> (Master, Vec<f32>) {
    let (stop, room) = (AtomicBool::new(false), Room::new(KEPT_BYTES));
    let survey = Survey::of(source, settings, &stop, &room).unwrap();
    let master = Master::of(&survey, source, settings, &stop).unwrap();
    let mut pcm = Vec::new();
    let mut take = |levelled| {
        pcm.extend::<Vec<i16>>(levelled);
        Ok(())
    };
    levelled(&survey, source, settings, master.setting, &stop, &mut take).unwrap();
    assert_eq!(pcm.len() as u64, survey.len() * u64::from(settings.channels));
    (master, pcm.into_iter().map(from_i16).collect())
}

/// Integrated loudness and true peak.
fn measured(pcm: &[f32], channels: u8, rate: u32) -> (f64, f64) {
    let mut meter = EbuR128::new(channels.into(), rate, Mode::I | Mode::TRUE_PEAK).unwrap();
    meter.add_frames_f32(pcm).unwrap();
    let peak = (0..u32::from(channels)).map(|channel| meter.true_peak(channel).unwrap()).fold(0.0, f64::max);
    (meter.loudness_global().unwrap(), level::to_db(peak))
}

fn to_target() -> Settings {
    Settings { loudness_target: Some(-16.0), peak_ceiling: -1.5, ..plain() }
}

/// A chord at `height` with a drum on every beat, each beat a little different.
fn drums(rate: u32, seconds: u32, height: f64, drum: f64) -> Pcm {
    let samples = u64::from(rate * seconds);
    let beat = |t: f64| 0.6 + 0.4 * ((t / 0.48).floor() * 2.4).sin();
    let hit = move |t: f64| drum * beat(t) * (-60.0 * (t % 0.48)).exp() * (TAU * 1_900.0 * t).sin();
    let voice =
        move |hertz: f64| move |t: f64| height * (TAU * hertz * t).sin() * (0.7 + 0.3 * (0.9 * t).sin()) + hit(t);
    stereo(rate, samples, voice(220.0), voice(331.0))
}

#[test]
fn what_can_reach_the_target_reaches_it_and_nothing_passes_the_ceiling() {
    let noise = |seed: u32, height: f64| {
        let mut random = seed;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f64::from(random >> 8) / f64::from(1 << 23) - 1.0) * height
        };
        Pcm(Block { rate: 44_100, channels: 2, samples: (0..2 * 44_100 * 5).map(|_| next() as f32).collect() })
    };
    let square = |t: f64| 0.9 * (TAU * 110.0 * t).sin().signum() * if t % 1.0 < 0.2 { 1.0 } else { 0.1 };
    let between = |t: f64| 1.2 * (TAU * 11_025.0 * t + TAU / 8.0).sin() * if t % 0.7 < 0.05 { 1.0 } else { 0.2 };
    let sources = [
        ("loud", drums(44_100, 8, 0.4, 0.9)),
        ("quiet with drums", drums(44_100, 8, 0.06, 0.6)),
        ("quiet with few peaks", drums(44_100, 8, 0.1, 0.9)),
        ("quiet", drums(44_100, 8, 0.08, 0.0)),
        ("over full scale", drums(48_000, 8, 0.3, 2.5)),
        ("another rate", drums(22_050, 8, 0.09, 0.5)),
        ("noise", noise(1, 0.1)),
        ("loud noise", noise(2, 1.0)),
        ("bursts of squares", stereo(44_100, 44_100 * 6, square, |t| square(t + 0.3))),
        ("bursts between the samples", stereo(44_100, 44_100 * 6, between, between)),
    ];
    let settings = [
        to_target(),
        Settings { channels: 1, ..to_target() },
        Settings { rate: 48_000, loudness_target: Some(-14.0), peak_ceiling: -1.0, ..to_target() },
        Settings { fade_ms: 900, trim_silence: true, ..to_target() },
    ];
    let (mut limited, mut reached) = (0, 0);
    for (name, source) in &sources {
        for settings in &settings {
            let (master, pcm) = encoder_input(source, settings);
            let (loudness, peak) = measured(&pcm, settings.channels, settings.rate);
            assert!((master.loudness.unwrap() - loudness).abs() < 0.02, "{name}: {loudness} {master:?}");
            // The other meter's filter falls off earlier: it reads less of what is close to half the rate.
            let more = master.true_peak.unwrap() - peak;
            assert!((-0.1..0.8).contains(&more), "{name}: {peak} {master:?}");
            assert!(peak <= settings.peak_ceiling + 0.05, "{name}: {peak} {master:?}");
            assert!(master.true_peak.unwrap() <= settings.peak_ceiling, "{name}: {master:?}");
            assert!(master.setting.gain_db <= 12.0 && master.reduction_db <= 8.01, "{name}: {master:?}");
            let target = settings.loudness_target.unwrap();
            match master.below_target {
                None => assert!((loudness - target).abs() <= 0.1, "{name}: {loudness} {master:?}"),
                Some(missing) => assert!((target - loudness - missing).abs() < 0.02, "{name}: {loudness} {master:?}"),
            }
            limited += u32::from(master.reduction_db > 0.0);
            reached += u32::from(master.below_target.is_none());
        }
    }
    assert!(limited >= 12 && reached >= 28, "{limited} limited, {reached} at the target: the test is blind");
}

/// A trial costs a pass over the whole item: here each opens the source, for nothing of it is kept.
#[test]
fn one_trial_of_the_limiter_is_enough() {
    struct Opened(Pcm, AtomicUsize);
    impl Source for Opened {
        fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.open()
        }
    }
    let (stop, room) = (AtomicBool::new(false), Room::new(0));
    for (height, drum) in [(0.1, 0.9), (0.08, 0.8), (0.06, 0.6), (0.12, 1.3)] {
        let source = Opened(drums(44_100, 8, height, drum), AtomicUsize::new(0));
        let survey = Survey::of(&source, &to_target(), &stop, &room).unwrap();
        let master = Master::of(&survey, &source, &to_target(), &stop).unwrap();
        let opened = source.1.load(Ordering::Relaxed);
        assert!(master.reduction_db > 1.0 && opened == 2, "{opened} for {height}, {drum}: {master:?}");
    }
}

#[test]
fn what_the_limiter_leaves_is_forecast() {
    let stop = AtomicBool::new(false);
    let mut worst = 0.0_f64;
    for (height, drum) in [(0.3, 0.9), (0.1, 0.9), (0.06, 0.6), (0.05, 1.5)] {
        let (source, room) = (drums(44_100, 8, height, drum), Room::new(KEPT_BYTES));
        let survey = Survey::of(&source, &to_target(), &stop, &room).unwrap();
        let forecast = Forecast::of(&survey.measured);
        for gain_db in [-3.0, 0.0, 3.0, 6.0, 9.0, 12.0] {
            let setting = Setting { gain_db, ceiling_db: Some(-1.6) };
            let mut pcm = Vec::new();
            levelled(&survey, &source, &to_target(), setting, &stop, |block| {
                pcm.extend(block.into_iter().map(from_i16));
                Ok(())
            })
            .unwrap();
            let (loudness, foreseen) = (measured(&pcm, 2, 44_100).0, forecast.loudness(gain_db, -1.6).unwrap());
            let off = (foreseen - loudness).abs();
            assert!(off < 0.03, "{height}, {drum}, {gain_db} dB: {foreseen}, not {loudness}");
            worst = worst.max(survey.measured.loudness.integrated(gain_db).unwrap() - loudness);
            let gain = forecast.gain_to(foreseen, -1.6, 20.0).unwrap();
            assert!((forecast.loudness(gain, -1.6).unwrap() - foreseen).abs() < 0.01, "{gain} instead of {gain_db}");
        }
    }
    assert!(worst > 2.0, "the limiter takes {worst} LU at most: the test is blind");
}

/// Of a very long item only longer slices are known: the forecast is coarser, and what is tried makes up for it.
#[test]
fn what_is_long_reaches_the_target_as_well() {
    let stop = AtomicBool::new(false);
    for (most, slices_a_second, off) in [(450, 50.0, 0.15), (150, 10.0, 1.0)] {
        for (height, drum) in [(0.1, 0.9), (0.08, 0.8), (0.06, 0.6), (0.12, 1.3)] {
            let (source, room) = (drums(44_100, 8, height, drum), Room::new(KEPT_BYTES));
            let mut survey = Survey::of(&source, &to_target(), &stop, &room).unwrap();
            let foreseen = |survey: &Survey<'_>| Forecast::of(&survey.measured).loudness(6.0, -1.6).unwrap();
            let finely = foreseen(&survey);
            let mut meter = loudness::Meter::new(44_100, 2).with_most_slices(most);
            meter.add(&source.0.samples);
            survey.measured.loudness = meter.finish();
            assert_eq!(survey.measured.loudness.slices_a_second(), slices_a_second);
            let coarsely = foreseen(&survey);
            assert!((coarsely - finely).abs() < off, "{most}, {height}, {drum}: {coarsely}, not {finely}");
            let master = Master::of(&survey, &source, &to_target(), &stop).unwrap();
            let reached = master.loudness.unwrap();
            assert!(master.reduction_db > 1.0 && master.below_target.is_none(), "{most}, {height}, {drum}: {master:?}");
            assert!((reached + 16.0).abs() <= 0.1 && master.true_peak.unwrap() <= -1.5, "{most}, {height}: {master:?}");
        }
    }
}

#[test]
fn what_is_decoded_is_at_the_target_and_under_the_ceiling() {
    for (height, drum) in [(0.4, 0.9), (0.1, 0.7), (0.06, 0.5)] {
        let (encoded, parts) = encoded(&drums(44_100, 10, height, drum), &to_target());
        let decoded = decode(&frames(&parts, 44_100).concat());
        let (loudness, peak) = measured(&decoded, 2, 44_100);
        assert!((loudness + 16.0).abs() < 0.5, "{loudness} {encoded:?}");
        assert!(peak <= -1.0, "{peak} {encoded:?}");
    }
}

#[test]
fn a_limited_item_stays_in_its_place() {
    let mut source = sweep(44_100, 44_100 * 6);
    for (at, sample) in source.0.samples.iter_mut().enumerate() {
        *sample *= if at % 60_000 < 600 { 1.4 } else { 0.12 };
    }
    let (report, parts) = encoded(&source, &to_target());
    assert!(report.mastered.levels.reduction > 1.0, "{report:?}");
    assert_eq!(report.samples, (1 + (44_100 * 6_u64).div_ceil(FRAME)) * FRAME);
    let decoded = decode(&frames(&parts, 44_100).concat());
    let calm = 2 * 58_000..;
    let gain = level::from_db(report.mastered.levels.gain) as f32;
    let wanted: Vec<f32> = source.0.samples[calm.clone()].iter().map(|sample| sample * gain).collect();
    assert_eq!(lag(&channel(&wanted, 2, 0), &channel(&decoded[calm], 2, 0)), 1_024);
}

#[test]
fn the_bytes_of_a_limited_item_are_the_same_kept_or_decoded_again() {
    let source = drums(44_100, 6, 0.06, 0.6);
    let settings = Settings { fade_ms: 300, ..to_target() };
    let (first, parts) = encode_all(&source, &settings, KEPT_BYTES).unwrap();
    for room in [0, 1_000_000] {
        let (again, same) = encode_all(&source, &settings, room).unwrap();
        assert_eq!(again, first);
        assert!(same.iter().map(|part| &part.bytes).eq(parts.iter().map(|part| &part.bytes)));
    }
}

#[test]
fn room_is_given_back() {
    let room = Room::new(3_000_000);
    let settings = plain();
    for _ in 0..5 {
        let survey = Survey::of(&sweep(44_100, 300_000), &settings, &AtomicBool::new(false), &room).unwrap();
        assert!(survey.keeps());
    }
    let survey = Survey::of(&sweep(44_100, 400_000), &settings, &AtomicBool::new(false), &room).unwrap();
    assert!(!survey.keeps(), "3.2 MB of floats");
    let mut whole = sweep(44_100, 400_000);
    whole.0.samples.iter_mut().for_each(|sample| *sample = (*sample * 32_768.0).round() / 32_768.0);
    assert!(Survey::of(&whole, &settings, &AtomicBool::new(false), &room).unwrap().keeps(), "half of it in 16 bits");
}

#[test]
fn what_is_out_of_reach_is_told_with_what_is_missing() {
    let tone = |height: f64| stereo(44_100, 44_100 * 4, move |t| height * (TAU * 997.0 * t).sin(), |_| 0.0);
    let (faint, _) = encoded(&tone(0.005), &to_target());
    assert_eq!((faint.mastered.levels.gain, faint.mastered.levels.reduction), (12.0, 0.0));
    let missing = faint.mastered.levels.below_target.unwrap();
    assert!(
        (missing + faint.mastered.levels.output_loudness.unwrap() + 16.0).abs() < 1e-9 && missing > 20.0,
        "{faint:?}"
    );
    let mut clicks = tone(0.1);
    clicks.0.samples.iter_mut().step_by(40_000).for_each(|sample| *sample = 3.9);
    let (limited, _) = encoded(&clicks, &to_target());
    assert!((limited.mastered.levels.reduction - 8.0).abs() < 0.01, "{limited:?}");
    assert!(limited.mastered.levels.below_target.unwrap() > 1.0, "{limited:?}");
    assert!(limited.mastered.levels.output_true_peak.unwrap() <= -1.5, "{limited:?}");
    assert!(
        limited.mastered.warnings[0].starts_with("it stays ") && limited.mastered.warnings.len() == 1,
        "{limited:?}"
    );
}

#[test]
fn without_a_target_the_level_is_only_lowered() {
    let off = Settings { loudness_target: None, peak_ceiling: -1.5, ..plain() };
    let (quiet, _) = encoded(&drums(44_100, 2, 0.1, 0.2), &off);
    assert_eq!(
        (quiet.mastered.levels.gain, quiet.mastered.levels.reduction, quiet.mastered.levels.below_target),
        (0.0, 0.0, None)
    );
    let (loud, _) = encoded(&drums(44_100, 2, 0.3, 1.5), &off);
    assert!((loud.mastered.levels.gain + 1.5 + loud.mastered.levels.true_peak.unwrap()).abs() < 1e-9, "{loud:?}");
    assert_eq!((loud.mastered.levels.reduction, loud.mastered.levels.output_true_peak), (0.0, Some(-1.5)));
}

#[test]
fn an_audition_is_the_item_before_and_after_sample_by_sample() {
    let source = drums(22_050, 4, 0.09, 0.5);
    let settings = Settings { fade_ms: 100, ..to_target() };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mastered = audition(&source, &settings, &AtomicBool::new(false), &mut before, &mut after).unwrap();
    assert_eq!(mastered, encoded(&source, &settings).0.mastered);
    let decoded = |bytes: Vec<u8>| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        std::fs::write(&path, bytes).unwrap();
        let file = decode::File { path };
        let mut stream = file.open().unwrap();
        let mut samples = Vec::new();
        while let Some(block) = stream.next().unwrap() {
            assert_eq!((block.rate, block.channels), (44_100, 2));
            samples.extend(block.samples);
        }
        assert_eq!(stream.warnings(), [""; 0]);
        samples
    };
    let (before, after) = (decoded(before), decoded(after));
    assert_eq!(after, encoder_input(&source, &settings).1);
    assert_eq!(before.len(), after.len());
    let gain = level::from_db(mastered.levels.gain) as f32;
    let calm = 2 * 20_000..2 * 20_500;
    assert!(
        after[calm.clone()].iter().zip(&before[calm]).all(|(after, before)| after.abs() <= before.abs() * gain + 1e-4)
    );
}

#[test]
fn flaws_come_with_the_item() {
    let tone = |t: f64| 0.3 * (TAU * 440.0 * t).sin();
    let flaws = |source: &Pcm| encoded(source, &to_target()).0.mastered.flaws;
    assert_eq!(flaws(&stereo(44_100, 44_100, tone, |t| tone(1.5 * t))), Flaws::default());
    assert_eq!(flaws(&stereo(48_000, 48_000, tone, tone)), Flaws { mono: true, ..Flaws::default() });
    assert_eq!(flaws(&stereo(44_100, 44_100, tone, |t| -tone(t))), Flaws { inverted: true, ..Flaws::default() });
    let silent = stereo(44_100, 44_100, |t| tone(t) / 2_000.0, |_| 0.0);
    assert_eq!(flaws(&silent), Flaws { silent: true, ..Flaws::default() });
    let clipped = |t: f64| (9.0 * tone(t)).clamp(-1.0, 1.0);
    let found = flaws(&stereo(44_100, 44_100, clipped, |t| tone(1.5 * t)));
    assert_eq!(found, Flaws { clipped: 880, ..Flaws::default() }, "twice a period");
}

#[test]
fn a_stated_loudness_counts_instead_of_the_measured_one() {
    struct Stated(Pcm, f64);
    impl Source for Stated {
        fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
            self.0.open()
        }

        fn stated_loudness(&self, reference: Reference) -> Option<f64> {
            (reference == Reference::Album).then_some(self.1)
        }
    }
    let levels = |stated: f64, reference: Reference| {
        let settings = Settings { reference, ..to_target() };
        encoded(&Stated(drums(44_100, 4, 0.1, 0.4), stated), &settings).0.mastered.levels
    };
    let album = levels(-21.5, Reference::Album);
    assert_eq!(album.gain, 5.5);
    assert!((album.output_loudness.unwrap() - album.loudness.unwrap() - 5.5).abs() < 0.3, "{album:?}");
    let measured = levels(-21.5, Reference::ReplayGain);
    assert!((measured.output_loudness.unwrap() + 16.0).abs() <= 0.1, "it says nothing of that: {measured:?}");
    let far = levels(-36.0, Reference::Album);
    assert!(far.gain <= 12.0 && far.output_true_peak.unwrap() <= -1.5, "{far:?}");
    let rise = far.output_loudness.unwrap() - far.loudness.unwrap();
    assert!(rise < far.gain - 0.2 && (far.below_target.unwrap() - (20.0 - rise)).abs() < 1e-6, "{far:?}");
}
