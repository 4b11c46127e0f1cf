//! What is decoded beside what was put in: as loud, and without a click where one item follows another.

use ebur128::{EbuR128, Mode};

use super::{files::fixture, *};

/// Root mean square of all samples, in dB.
fn rms(samples: &[f32]) -> f64 {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    10.0 * (energy / samples.len() as f64).log10()
}

/// The segments of a source, decoded, from its first sample on.
fn decoded(source: &dyn Source, settings: &Settings) -> Vec<f32> {
    let parts = encoded(source, settings).1;
    decode(&frames(&parts, settings.rate).concat()).split_off(usize::from(settings.channels) * FRAME as usize)
}

#[test]
fn the_level_is_kept_where_nobody_asks_for_another() {
    let mut random = 1_u32;
    let mut noise = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(random >> 8) / f64::from(1 << 23) - 1.0
    };
    // The mean of eight is dark enough for the bandwidth of the codec.
    let noise: Vec<f64> = (0..44_100 * 3).map(|_| noise()).collect();
    let dark = |t: f64| noise[(t * 44_100.0).round() as usize..].iter().take(8).sum::<f64>() / 16.0;
    let voice = |t: f64| 0.4 * (-8.0 * (t % 0.5)).exp() * (TAU * 220.0 * t).sin() + 0.1 * (TAU * 1_562.0 * t).sin();
    let speech = |t: f64| if t % 0.7 < 0.4 { 0.3 * (TAU * 130.0 * t).sin() * (TAU * 3.0 * t).sin() } else { 0.0 };
    let sources = [
        ("a sweep", sweep(44_100, 44_100 * 2)),
        ("dark noise", stereo(44_100, 44_100 * 2, dark, dark)),
        ("a voice", stereo(44_100, 44_100 * 2, voice, voice)),
        ("words and pauses", stereo(44_100, 44_100 * 2, speech, speech)),
        ("faint", stereo(44_100, 44_100 * 2, |t| voice(t) / 100.0, |t| voice(t) / 100.0)),
    ];
    for (name, source) in sources {
        let (before, after) = (rms(&source.0.samples), rms(&decoded(&source, &plain())[..source.0.samples.len()]));
        assert!((after - before).abs() < 1.0, "{name}: {before} dB, and {after} dB decoded");
    }
}

#[test]
fn a_jingle_and_a_track_are_as_loud_as_each_other() {
    let settings = Settings { loudness_target: Some(-16.0), peak_ceiling: -1.5, ..plain() };
    let loudness = [-27.0, -9.0].map(|level| {
        let tone = |t: f64| level::from_db(level) * (TAU * 997.0 * t).sin();
        let mut meter = EbuR128::new(2, 44_100, Mode::I).unwrap();
        meter.add_frames_f32(&decoded(&stereo(44_100, 44_100 * 4, tone, tone), &settings)).unwrap();
        meter.loudness_global().unwrap()
    });
    assert!((loudness[0] - loudness[1]).abs() < 1.0, "{loudness:?}");
}

/// The largest step from a sample to the next around the place where one item follows another, on the left.
fn step(fade_ms: u32) -> f32 {
    let tone = |hertz: f64| move |t: f64| 0.5 * (TAU * hertz * t).cos();
    let settings = Settings { fade_ms, ..plain() };
    let [before, after] = [440.0, 550.0].map(|hertz| {
        let parts = encoded(&stereo(44_100, 44_100 * 2, tone(hertz), tone(hertz)), &settings).1;
        channel(&decode(&frames(&parts, 44_100).concat()), 2, 0)
    });
    let seam: Vec<f32> = before[before.len() - 4_096..].iter().chain(&after[..4_096]).copied().collect();
    seam.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

#[test]
fn items_follow_each_other_without_a_click_where_they_fade() {
    // As steep as the tones themselves are.
    let steepest = 0.5 * (TAU * 550.0 / 44_100.0) as f32;
    assert!(step(100) < 1.1 * steepest, "{} for {steepest}", step(100));
    assert!(step(0) > 3.0 * steepest, "{} for {steepest}: the test is blind", step(0));
}

#[test]
fn a_packet_that_cannot_be_decoded_is_counted_and_nothing_moves() {
    let mut bytes = std::fs::read(fixture("stereo.aac").path).unwrap();
    let length =
        |header: &[u8]| usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5]) >> 5;
    let middle = (0..16).fold(0, |at, _| at + length(&bytes[at..]));
    let end = middle + length(&bytes[middle..]);
    bytes[middle + 7..end].fill(0x21);
    let (_folder, file) = files::written(&bytes, "spoiled.aac");
    let (report, _) = encoded(&file, &plain());
    let Flaws { decode_errors, lost, .. } = report.mastered.flaws;
    assert_eq!((decode_errors, lost), (1, 1_024), "{report:?}");
    assert!(report.mastered.warnings.contains(&"1 packets cannot be decoded".to_owned()), "{report:?}");
    assert_eq!(report.samples, encoded(&fixture("stereo.aac"), &plain()).0.samples);
}
