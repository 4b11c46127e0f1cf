//! Recordings in many formats: `tests/fixtures/make.sh` made them.

use std::{fs, path::Path};

use super::{super::decode::*, *};
use crate::radio::time::Span;

pub(super) fn fixture(name: &str) -> File {
    File { path: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name) }
}

/// A file decoded: its rate, its channels, its samples and what was odd.
pub(super) fn pcm(file: &File) -> Result<(u32, u16, Vec<f32>, Vec<String>), Error> {
    let mut stream = file.open()?;
    let (mut rate, mut channels, mut samples) = (0, 0, Vec::new());
    while let Some(block) = stream.next()? {
        if !block.samples.is_empty() {
            (rate, channels) = (block.rate, block.channels);
        }
        samples.extend(block.samples);
    }
    let warnings = stream.warnings();
    Ok((rate, channels, samples, warnings))
}

/// The sweeps of the fixtures.
fn original(rate: u32, samples: u64) -> Pcm {
    let tone = |height: f64, from: f64, slope: f64| move |t: f64| height * (TAU * (from * t + slope * t * t)).cos();
    stereo(rate, samples, tone(0.5, 300.0, 900.0), tone(0.4, 500.0, 400.0))
}

/// Writes a file into a folder of its own.
pub(super) fn written(bytes: &[u8], name: &str) -> (tempfile::TempDir, File) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, File { path })
}

pub(super) fn bytes_of(name: &str) -> Vec<u8> {
    fs::read(fixture(name).path).unwrap()
}

#[test]
fn lossless_formats_are_decoded_sample_by_sample() {
    let left = channel(&original(16_000, 8_800).0.samples, 2, 0);
    let exact: Vec<f32> = left.iter().map(|sample| (sample * 32_768.0).round() / 32_768.0).collect();
    for name in ["mono.wav", "mono.aiff", "mono.caf", "mono.flac", "cover.flac", "mono-alac.m4a", "mono.oga"] {
        let (rate, channels, samples, warnings) = pcm(&fixture(name)).unwrap();
        assert_eq!((rate, channels, samples.len(), warnings.len()), (16_000, 1, 8_800, 0), "{name}");
        assert!(largest_difference(&samples, &exact) <= 1.0 / 32_768.0, "{name}");
        assert_eq!(samples, pcm(&fixture("mono.wav")).unwrap().2, "{name}");
    }
}

#[test]
fn lossy_formats_start_where_the_recording_starts() {
    let matrix = [
        // name, rate, samples too many, lag: Matroska's padding is not stated in a way that is read, a bare MP3 and
        // ADTS say nothing of their priming.
        ("stereo.mp3", 44_100, 0, 0),
        ("stereo.ogg", 44_100, 0, 0),
        ("stereo.opus", 48_000, 0, 0),
        ("stereo.m4a", 44_100, 45, 0),
        ("stereo.webm", 48_000, 648, 0),
        ("bare.mp3", 44_100, 2_538, 1_105),
        ("stereo.mp2", 44_100, 1_386, 481),
        ("stereo.aac", 44_100, 1_898, 1_024),
    ];
    for (name, rate, surplus, expected) in matrix {
        let (found, channels, samples, warnings) = pcm(&fixture(name)).unwrap();
        let wanted = u64::from(rate) * 7 / 10;
        assert_eq!((found, channels, warnings.len()), (rate, 2, 0), "{name}");
        let original = original(rate, wanted).0.samples;
        for side in [0, 1] {
            let (source, decoded) = (channel(&original, 2, side), channel(&samples, 2, side));
            assert_eq!(lag(&source, &decoded), expected, "{name}");
        }
        let surplus_found = samples.len() as i64 / 2 - wanted as i64;
        assert!((0..=surplus).contains(&surplus_found), "{name}: {surplus_found} samples too many");
    }
}

#[test]
fn every_format_becomes_segments() {
    let lossless = ["mono.wav", "mono.aiff", "mono.caf", "mono.flac", "cover.flac", "mono-alac.m4a", "surround.flac"];
    let lossy = ["stereo.mp3", "bare.mp3", "stereo.ogg", "stereo.opus", "stereo.m4a", "stereo.webm", "stereo.aac"];
    // A picture in a video track comes with the last.
    let other = ["mono.oga", "stereo.mp2", "cover.mov"];
    for name in lossless.into_iter().chain(lossy).chain(other) {
        let (report, parts) = encoded(&fixture(name), &plain());
        let low_aac = "AAC at 16000 Hz: if it is HE-AAC, all above 8000 Hz is missing; convert it to FLAC";
        let odd: &[&str] = if name == "cover.mov" { &[low_aac] } else { &[] };
        assert_eq!(report.mastered.warnings, odd, "{name}");
        assert_eq!(frames(&parts, 44_100).len() as u64 * FRAME, report.samples, "{name}");
    }
}

#[test]
fn tags_and_covers_are_read() {
    let full = |name: &str| {
        let tags = probe(&fixture(name).path).unwrap().tags;
        assert_eq!(tags.title.as_deref(), Some("Sweep"), "{name}");
        assert_eq!(tags.artist.as_deref(), Some("The Fixtures"), "{name}");
        tags
    };
    for name in ["mono.flac", "stereo.mp3", "stereo.m4a"] {
        let tags = full(name);
        assert_eq!((tags.album.as_deref(), tags.year), (Some("Test Tones"), Some(2024)), "{name}");
    }
    for name in ["stereo.mp3", "stereo.m4a", "cover.flac"] {
        let cover = full(name).cover.unwrap();
        assert_eq!((cover.mime, &cover.bytes[..4]), ("image/png", &b"\x89PNG"[..]), "{name}");
    }
    assert_eq!(full("mono.flac").isrc.as_deref(), Some("AABB12345678"));
    full("stereo.ogg");
    full("stereo.opus");
    assert_eq!(full("mono.flac").cover, None);
    assert_eq!(probe(&fixture("mono.wav").path).unwrap().tags, Tags::default());
}

#[test]
fn chapters_say_what_plays_from_where_on() {
    let marks = |file: &File| {
        let marks = probe(&file.path).unwrap().marks;
        marks.into_iter().map(|mark| (mark.at, mark.title)).collect::<Vec<_>>()
    };
    let wanted = [(Span(0), "First".to_owned()), (Span::millis(250), "Second".to_owned())];
    for name in ["chapters.mp3", "chapters.m4a", "chapters.mka", "chapters.webm"] {
        assert_eq!(marks(&fixture(name)), wanted, "{name}");
    }
    for name in ["chapters.mka", "chapters.webm"] {
        let tags = probe(&fixture(name).path).unwrap().tags;
        assert_eq!((tags.title.as_deref(), tags.artist.as_deref()), (Some("Sweep"), Some("The Fixtures")), "{name}");
        let (rate, _, samples, warnings) = pcm(&fixture(name)).unwrap();
        assert!(rate == 48_000 && samples.len() >= 2 * 33_600 && warnings.is_empty(), "{name}: {warnings:?}");
    }
    assert_eq!(marks(&fixture("stereo.mp3")), []);
}

#[test]
fn gains_in_tags_state_a_loudness() {
    let stated = |comments: &[&str]| {
        let (_folder, file) = written(&with_comments(bytes_of("mono.flac"), comments), "a.flac");
        assert_eq!(pcm(&file).unwrap().2, pcm(&fixture("mono.flac")).unwrap().2);
        [Reference::Track, Reference::ReplayGain, Reference::Album].map(|reference| file.stated_loudness(reference))
    };
    assert_eq!(stated(&["title=None of that"]), [None; 3]);
    let both = ["REPLAYGAIN_TRACK_GAIN=-6.50 dB", "replaygain_album_gain=+1.25 dB"];
    assert_eq!(stated(&both), [None, Some(-11.5), Some(-19.25)]);
    assert_eq!(stated(&["R128_TRACK_GAIN=-512", "R128_ALBUM_GAIN=256"]), [None, Some(-21.0), Some(-24.0)]);
    assert_eq!(stated(&["REPLAYGAIN_TRACK_GAIN=loud", "R128_ALBUM_GAIN=99999"]), [None; 3]);
}

/// A FLAC file with other comments.
fn with_comments(file: Vec<u8>, comments: &[&str]) -> Vec<u8> {
    const COMMENTS: u8 = 4;
    let text = |text: &str| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let list: Vec<u8> = comments.iter().flat_map(|comment| text(comment)).collect();
    let block = [text("test"), (comments.len() as u32).to_le_bytes().to_vec(), list].concat();
    let (mut made, mut at) = (b"fLaC".to_vec(), 4);
    loop {
        let header = file[at];
        let len = u32::from_be_bytes([0, file[at + 1], file[at + 2], file[at + 3]]) as usize;
        let content = if header & 0x7f == COMMENTS { &block[..] } else { &file[at + 4..at + 4 + len] };
        made.push(header);
        made.extend(&(content.len() as u32).to_be_bytes()[1..]);
        made.extend(content);
        at += 4 + len;
        if header & 0x80 != 0 {
            return [&made[..], &file[at..]].concat();
        }
    }
}

#[test]
fn a_probe_names_codec_container_and_length() {
    let matrix = [
        ("mono.flac", "flac", "flac", 16_000, 1, Some(8_800)),
        ("mono.wav", "pcm_s16le", "wave", 16_000, 1, Some(8_800)),
        ("mono.caf", "pcm_s16be", "caf", 16_000, 1, Some(8_800)),
        ("cover.flac", "flac", "flac", 16_000, 1, Some(8_800)),
        ("mono-alac.m4a", "alac", "isomp4", 16_000, 1, Some(8_800)),
        ("stereo.mp3", "mp3", "mp3", 44_100, 2, Some(30_870)),
        ("stereo.ogg", "vorbis", "ogg", 44_100, 2, Some(30_870)),
        ("stereo.opus", "opus", "ogg", 48_000, 2, Some(33_912)),
        ("surround.flac", "flac", "flac", 8_000, 6, Some(4_800)),
    ];
    for (name, codec, container, rate, channels, samples) in matrix {
        let probe = probe(&fixture(name).path).unwrap();
        assert_eq!((probe.codec.as_str(), probe.container.as_str()), (codec, container), "{name}");
        assert_eq!((probe.rate, probe.channels), (Some(rate), Some(channels)), "{name}");
        assert_eq!(probe.declared_samples, samples, "{name}");
    }
}

#[test]
fn surround_is_mixed_to_stereo() {
    let (rate, channels, samples, _) = pcm(&fixture("surround.flac")).unwrap();
    assert_eq!((rate, channels, samples.len()), (8_000, 2, 9_600));
    let height = |slot: usize, side: usize| {
        let slot = &samples[slot * 1_600..(slot + 1) * 1_600];
        f64::from(channel(slot, 2, side).iter().copied().fold(0.0, f32::max)) / 0.5
    };
    // Left, right, centre, LFE, left behind, right behind; scaled by 1 + √½ + √½.
    let (front, other) = (1.0 / (1.0 + 2.0_f64.sqrt()), 0.5_f64.sqrt() / (1.0 + 2.0_f64.sqrt()));
    let expected = [[front, 0.0], [0.0, front], [other, other], [0.0, 0.0], [other, 0.0], [0.0, other]];
    for (slot, sides) in expected.iter().enumerate() {
        for (side, expected) in sides.iter().enumerate() {
            assert!((height(slot, side) - expected).abs() < 1e-3, "channel {slot}, side {side}");
        }
    }
}

#[test]
fn a_chain_of_recordings_is_read_to_its_end() {
    let (_folder, file) = written(&[bytes_of("stereo.ogg"), bytes_of("stereo.opus")].concat(), "chain.ogg");
    let (rate, _, samples, warnings) = pcm(&file).unwrap();
    assert_eq!((rate, samples.len(), warnings.len()), (48_000, 2 * (30_870 + 33_600), 0));
    let (report, _) = encoded(&file, &plain());
    assert_eq!(report.samples, (1 + (2 * 30_870_u64).div_ceil(FRAME)) * FRAME);
}

/// The same Ogg file with another output gain in the header of Opus, in 256ths of a dB.
fn with_output_gain(file: &[u8], gain: i16) -> Vec<u8> {
    let mut file = file.to_vec();
    let head = file.windows(8).position(|bytes| bytes == b"OpusHead").unwrap();
    file[head + 16..head + 18].copy_from_slice(&gain.to_le_bytes());
    // The first page, with its checksum (RFC 3533 §6).
    file[22..26].fill(0);
    let page = 27
        + usize::from(file[26])
        + file[27..27 + usize::from(file[26])].iter().map(|size| usize::from(*size)).sum::<usize>();
    let sum = file[..page].iter().fold(0_u32, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum, _| (sum << 1) ^ ((sum >> 31) * 0x04c1_1db7))
    });
    file[22..26].copy_from_slice(&sum.to_le_bytes());
    file
}

#[test]
fn the_output_gain_of_opus_is_applied() {
    let plain = bytes_of("stereo.opus");
    assert_eq!(with_output_gain(&plain, 0), plain);
    let before = pcm(&fixture("stereo.opus")).unwrap().2;
    for (gain, factor) in [(-2_739, 0.291_71_f32), (1_541, 2.0)] {
        let (_folder, file) = written(&with_output_gain(&plain, gain), "a.opus");
        let after = pcm(&file).unwrap().2;
        let expected: Vec<f32> = before.iter().map(|sample| sample * factor).collect();
        assert!(largest_difference(&after, &expected) < 1e-3, "{gain}");
    }
    let (_folder, chain) = written(&[plain.clone(), with_output_gain(&plain, 1_541)].concat(), "chain.opus");
    let both = pcm(&chain).unwrap().2;
    let expected: Vec<f32> = before.iter().copied().chain(before.iter().map(|sample| sample * 2.0)).collect();
    assert!(largest_difference(&both, &expected) < 1e-3, "of each in a chain");
}

#[test]
fn a_wrong_ending_changes_nothing() {
    for (name, wrong) in
        [("stereo.mp3", "a.flac"), ("mono.flac", "a.mp3"), ("stereo.ogg", "a.wav"), ("stereo.m4a", "a")]
    {
        let (_folder, file) = written(&bytes_of(name), wrong);
        assert_eq!(pcm(&file).unwrap().2, pcm(&fixture(name)).unwrap().2, "{name} as {wrong}");
        assert_eq!(probe(&file.path).unwrap(), probe(&fixture(name).path).unwrap(), "{name} as {wrong}");
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let text = "This is not a recording.\n".repeat(500).into_bytes();
    let png = probe(&fixture("stereo.mp3").path).unwrap().tags.cover.unwrap().bytes;
    for (bytes, name) in
        [(vec![], "a.mp3"), (noise, "b.flac"), (text, "c.ogg"), (png, "d.mp3"), (vec![0; 50_000], "e.wav")]
    {
        let (_folder, file) = written(&bytes, name);
        let refused = encode_all(&file, &plain(), 0);
        assert!(matches!(refused, Err(Error::Format(_))), "{name}: {refused:?}");
    }
    for (bytes, words) in
        [(&b""[..], "it is empty"), (b"This is not a recording.", "nothing in it looks like a recording")]
    {
        let (_folder, file) = written(bytes, "a.mp3");
        let refused = probe(&file.path).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = File { path: folder.path().join("missing.mp3") };
    assert!(matches!(encode_all(&missing, &plain(), 0), Err(Error::Read(_))));
    let folder = File { path: folder.path().to_owned() };
    assert!(matches!(encode_all(&folder, &plain(), 0), Err(Error::Read(_))));
}

#[test]
fn what_cannot_be_decoded_is_refused_by_its_name() {
    for (name, words) in [
        ("mono.wv", "it is WavPack, which cannot be decoded; convert it to FLAC"),
        ("rf64.wav", "it is RF64,"),
        ("mono.wma", "it is Windows Media,"),
        ("mono.ac3", "it is AC-3,"),
        ("surround.m4a", "AAC with 6 channels cannot be decoded; mix it to stereo"),
        ("surround.opus", "Opus with 6 channels cannot be decoded; mix it to stereo"),
    ] {
        let Err(Error::Format(told)) = encode_all(&fixture(name), &plain(), 0) else { panic!("{name} is refused") };
        assert!(told.contains(words), "{name}: {told}");
        let (_folder, renamed) = written(&bytes_of(name), "other.mp3");
        assert!(matches!(encode_all(&renamed, &plain(), 0), Err(Error::Format(_))), "{name} under another name");
    }
}

#[test]
fn what_is_not_gapless_is_named() {
    let named = |name: &str| encoded(&fixture(name), &plain()).0.mastered.flaws.not_gapless;
    for name in ["bare.mp3", "stereo.aac"] {
        assert!(named(name), "{name}");
    }
    for name in ["stereo.mp3", "stereo.m4a", "mono-alac.m4a", "mono.flac", "stereo.ogg", "stereo.opus"] {
        assert!(!named(name), "{name}");
    }
    let mut without = bytes_of("stereo.m4a");
    let edit_list = without.windows(4).position(|window| window == b"elst").unwrap();
    without[edit_list..edit_list + 4].copy_from_slice(b"free");
    let (_folder, file) = written(&without, "without.m4a");
    let (report, _) = encoded(&file, &plain());
    assert!(report.mastered.flaws.not_gapless, "{report:?}");
}

/// A WAV file of samples that are bytes already.
pub(super) fn wav(format: u16, rate: u32, channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let frame = channels * bits / 8;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend([format, channels].into_iter().flat_map(u16::to_le_bytes));
    file.extend([rate, rate * u32::from(frame)].into_iter().flat_map(u32::to_le_bytes));
    file.extend([frame, bits].into_iter().flat_map(u16::to_le_bytes));
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

#[test]
fn what_is_clipped_in_one_of_six_channels_is_counted() {
    let frame = |at: u32| (0..6).map(move |channel| if channel == 4 && at % 4_800 < 8 { 1.0 } else { 0.1_f32 });
    let data: Vec<u8> = (0..48_000).flat_map(frame).flat_map(f32::to_le_bytes).collect();
    let (_folder, file) = written(&wav(3, 48_000, 6, 32, &data), "six.wav");
    assert_eq!(encoded(&file, &plain()).0.mastered.flaws.clipped, 10);
}

#[test]
fn wider_samples_are_read_and_those_over_full_scale_come_back_under_the_ceiling() {
    let tone: Vec<f64> = (0..48_000).map(|at| 0.5 * (TAU * 997.0 * f64::from(at) / 48_000.0).sin()).collect();
    let expected: Vec<f32> = tone.iter().map(|sample| *sample as f32).collect();
    let scaled = |bits: i32| move |sample: &f64| (sample * 2.0_f64.powi(bits - 1)).round() as i32;
    let three: Vec<u8> = tone.iter().map(scaled(24)).flat_map(|x| x.to_le_bytes()[..3].to_vec()).collect();
    let four: Vec<u8> = tone.iter().map(scaled(32)).flat_map(i32::to_le_bytes).collect();
    let float: Vec<u8> = expected.iter().copied().flat_map(f32::to_le_bytes).collect();
    for (format, bits, data) in [(1, 24, three), (1, 32, four), (3, 32, float)] {
        let (_folder, file) = written(&wav(format, 48_000, 1, bits, &data), "wide.wav");
        let (rate, channels, samples, warnings) = pcm(&file).unwrap();
        assert_eq!((rate, channels, samples.len(), warnings.len()), (48_000, 1, 48_000, 0));
        assert!(largest_difference(&samples, &expected) < 2e-7, "{bits} bits of format {format}");
    }
    let hot: Vec<u8> = expected.iter().flat_map(|sample| (sample * 6.0).to_le_bytes()).collect();
    let (_folder, file) = written(&wav(3, 44_100, 1, 32, &hot), "hot.wav");
    let settings = Settings { loudness_target: Some(-16.0), peak_ceiling: -1.5, ..plain() };
    let Encoded { mastered, .. } = encoded(&file, &settings).0;
    assert!((mastered.levels.peak.unwrap() - 9.54).abs() < 0.01, "not clamped before the gain: {mastered:?}");
    assert!((mastered.levels.output_loudness.unwrap() + 16.0).abs() < 0.1, "{mastered:?}");
    assert!(mastered.flaws.clipped > 1_000, "but named: {mastered:?}");
}

#[test]
fn all_usual_rates_are_read() {
    for rate in [8_000, 11_025, 12_000, 16_000, 24_000, 32_000, 37_800, 88_200, 96_000, 176_400, 192_000] {
        let sound = original(rate, u64::from(rate));
        let whole = sound.0.samples.iter().flat_map(|sample| ((sample * 32_768.0).round() as i16).to_le_bytes());
        let (_folder, file) = written(&wav(1, rate, 2, 16, &whole.collect::<Vec<u8>>()), "rate.wav");
        let (found, channels, samples, warnings) = pcm(&file).unwrap();
        assert_eq!((found, channels, warnings.len()), (rate, 2, 0));
        assert!(largest_difference(&samples, &sound.0.samples) <= 1.0 / 32_768.0 && samples.len() == 2 * rate as usize);
        assert_eq!(encoded(&file, &plain()).0.samples, (1 + 44_100_u64.div_ceil(FRAME)) * FRAME, "{rate} Hz");
    }
}

#[test]
fn one_sample_is_too_short_and_none_is_no_recording() {
    let (_folder, none) = written(&wav(1, 44_100, 1, 16, &[]), "none.wav");
    assert!(matches!(encode_all(&none, &plain(), 0), Err(Error::Format(_))));
    let (_folder, one) = written(&wav(1, 44_100, 1, 16, &[1, 2]), "one.wav");
    assert!(matches!(encode_all(&one, &plain(), 0), Err(Error::TooShort { millis: 0 })));
}

#[test]
fn an_mp3_with_damage_in_it_is_never_louder_than_the_ceiling() {
    let whole = bytes_of("stereo.mp3");
    let settings = Settings { loudness_target: Some(-16.0), peak_ceiling: -1.5, ..plain() };
    let mut random = 77_u32;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    let (mut made, mut muted) = (0, 0);
    for _ in 0..20 {
        let mut damaged = whole.clone();
        for _ in 0..200 {
            let at = 1_000 + next(damaged.len() - 1_000);
            damaged[at] = next(256) as u8;
        }
        let (_folder, file) = written(&damaged, "damaged.mp3");
        if let Ok((report, _)) = encode_all(&file, &settings, 0) {
            assert!(report.mastered.levels.output_true_peak.is_none_or(|peak| peak <= -1.5), "{report:?}");
            assert!(report.mastered.levels.peak.is_none_or(|peak| peak <= 12.1), "{report:?}");
            made += 1;
            muted += u32::from(report.mastered.flaws.muted > 0);
        }
    }
    assert!(made > 0 && muted > 0, "{made} were made, {muted} of them with a huge peak");
}

#[test]
fn what_is_missing_of_a_file_is_named() {
    for name in ["mono.wav", "mono.flac", "stereo.mp3", "stereo.ogg", "stereo.opus"] {
        let whole = bytes_of(name);
        let (_folder, file) = written(&whole[..whole.len() * 4 / 5], name);
        let (_, _, samples, warnings) = pcm(&file).unwrap();
        assert!(!samples.is_empty(), "{name}");
        assert!(!warnings.is_empty(), "{name}");
    }
    for name in ["stereo.m4a", "mono.aiff", "stereo.webm"] {
        let whole = bytes_of(name);
        let (_folder, file) = written(&whole[..whole.len() / 2], name);
        assert!(matches!(pcm(&file), Err(Error::Format(_))), "{name} says where its audio is at its end");
    }
}

#[test]
fn a_damaged_flac_is_named_though_its_decoder_reports_nothing() {
    let mut bytes = bytes_of("mono.flac");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20].fill(0x55);
    let (_folder, file) = written(&bytes, "damaged.flac");
    let (_, _, samples, warnings) = pcm(&file).unwrap();
    let whole = pcm(&fixture("mono.flac")).unwrap().2;
    assert_eq!(samples.len(), 8_800, "a frame is lost, and what follows stays in its place");
    let lost: Vec<usize> = (0..8_800).filter(|at| samples[*at] != whole[*at]).collect();
    let frame = lost[0]..=lost[lost.len() - 1];
    assert!(frame.clone().count() <= 1_024 && samples[frame].iter().all(|sample| *sample == 0.0));
    let expected =
        ["1024 samples are lost and were filled with silence", "it is damaged: the checksum of its samples is wrong"];
    assert_eq!(warnings, expected);
    assert_eq!(encoded(&file, &plain()).0.mastered.flaws, Flaws { lost: 1_024, ..Flaws::default() });
}

#[test]
fn a_files_own_warnings_come_with_the_encoded_item() {
    let whole = bytes_of("stereo.ogg");
    let (_folder, file) = written(&whole[..whole.len() * 9 / 10], "cut.ogg");
    let (report, _) = encoded(&file, &plain());
    assert!(report.mastered.warnings.iter().any(|warning| warning.starts_with("it breaks off")), "{report:?}");
}

/// What the decoder is told counts, not the container, which may state the rate that HE-AAC comes out at.
#[test]
fn aac_of_a_low_rate_may_be_half_of_he_aac() {
    let warned = |bytes: &[u8]| {
        let (_folder, file) = written(bytes, "a.m4a");
        let warnings = file.open().unwrap().warnings();
        warnings.iter().any(|warning| warning.starts_with("AAC at 22050 Hz: if it is HE-AAC, all above 11025 Hz"))
    };
    // The decoder's configuration: AAC-LC at 44 100 Hz; the same at 22 050 Hz.
    let half = pictures::altered("stereo.m4a", &[(b"\x05\x12\x10\x56", b"\x05\x13\x90\x56")]);
    assert!(warned(&half) && !warned(&bytes_of("stereo.m4a")));
}

#[test]
fn itunes_comment_trims_an_mp4_file() {
    let (skip, keep) = (1_500, 20_000);
    let comment = format!(" 00000000 {skip:08X} 00000100 {keep:016X} 00000000 00000000");
    let (_folder, file) = written(&with_itunes_comment(bytes_of("stereo.m4a"), &comment), "itunes.m4a");
    let (_, _, trimmed, warnings) = pcm(&file).unwrap();
    assert_eq!(warnings, [""; 0]);
    let (_, _, by_edit_list, _) = pcm(&fixture("stereo.m4a")).unwrap();
    let shift = 2 * (skip - 1_024);
    assert_eq!(trimmed, by_edit_list[shift..shift + 2 * keep]);
}

/// Adds a comment to the tags of an MP4 file whose index is at its end.
fn with_itunes_comment(mut file: Vec<u8>, comment: &str) -> Vec<u8> {
    let atom = |name: &[u8; 4], content: &[u8]| [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat();
    let mean = atom(b"mean", b"\0\0\0\0com.apple.iTunes");
    let name = atom(b"name", b"\0\0\0\0iTunSMPB");
    let data = atom(b"data", &[b"\0\0\0\x01\0\0\0\0", comment.as_bytes()].concat());
    let added = atom(b"----", &[mean, name, data].concat());
    let find = |file: &[u8], name: &[u8]| file.windows(4).rposition(|window| window == name).unwrap() - 4;
    for name in [b"moov", b"udta", b"meta", b"ilst"] {
        let at = find(&file, name);
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) + added.len() as u32;
        file[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    let list = find(&file, b"ilst");
    file.splice(list + 8..list + 8, added);
    file
}

#[test]
fn damage_anywhere_neither_hangs_nor_panics() {
    let mut random = 1_u32;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    for name in ["mono.wav", "mono.flac", "mono-alac.m4a", "stereo.mp3", "stereo.ogg", "stereo.opus", "stereo.m4a"] {
        let whole = bytes_of(name);
        for _ in 0..40 {
            let mut damaged = whole.clone();
            for _ in 0..1 + next(20) {
                let at = next(damaged.len());
                damaged[at] = next(256) as u8;
            }
            damaged.truncate(damaged.len() - next(damaged.len() / 4));
            let (_folder, file) = written(&damaged, name);
            let _ = probe(&file.path);
            match pcm(&file) {
                Err(Error::Format(reason)) => assert!(!reason.contains("panic"), "{name}: {reason}"),
                other => assert!(other.is_ok(), "{name}: {:?}", other.err()),
            }
        }
    }
}
