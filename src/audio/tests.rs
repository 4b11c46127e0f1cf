//! The whole chain, read back by the tests' own transport stream reader and by a decoder.

use std::{f64::consts::TAU, sync::OnceLock};

use symphonia::core::{
    codecs::audio::AudioDecoderOptions,
    formats::{FormatOptions, TrackType, probe::Hint},
    io::MediaSourceStream,
    meta::MetadataOptions,
};

use super::{cut::FRAME, *};

mod again;
mod copies;
mod files;
mod heard;
mod levels;
mod pictures;
mod rate;
mod sections;
mod texts;

/// PCM in memory.
struct Pcm(Block);

struct PcmStream<'a>(std::slice::Chunks<'a, f32>, &'a Block);

impl Source for Pcm {
    fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
        Ok(Box::new(PcmStream(self.0.samples.chunks(1_152 * usize::from(self.0.channels)), &self.0)))
    }
}

impl Stream for PcmStream<'_> {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        let block = |samples: &[f32]| Block { samples: samples.to_vec(), ..*self.1 };
        Ok(self.0.next().map(block))
    }
}

/// Stereo of two functions of the time in seconds.
fn stereo(rate: u32, samples: u64, left: impl Fn(f64) -> f64, right: impl Fn(f64) -> f64) -> Pcm {
    let time = |at: u64| at as f64 / f64::from(rate);
    let samples = (0..samples).flat_map(|at| [left(time(at)) as f32, right(time(at)) as f32]).collect();
    Pcm(Block { rate, channels: 2, samples })
}

/// A sweep in each ear that starts and ends at full height.
fn sweep(rate: u32, samples: u64) -> Pcm {
    let tone = |height: f64, from: f64, slope: f64| move |t: f64| height * (TAU * (from * t + slope * t * t)).cos();
    stereo(rate, samples, tone(0.5, 300.0, 900.0), tone(0.4, 500.0, 700.0))
}

/// Settings that leave the level alone.
pub(super) fn plain() -> Settings {
    Settings {
        segment_seconds: 6,
        rate: 44_100,
        channels: 2,
        bitrates: vec![128_000],
        loudness_target: None,
        reference: Reference::Track,
        peak_ceiling: 0.0,
        trim_silence: false,
        fade_ms: 0,
    }
}

fn encode_all(source: &dyn Source, settings: &Settings, room: usize) -> Result<(Encoded, Vec<Part>), Error> {
    let mut parts = Vec::new();
    let mut sink = |part| {
        parts.push(part);
        Ok(())
    };
    let (cores, stop) = (Cores::new(1), AtomicBool::new(false));
    let encoded = encode_keeping(source, settings, &cores, &stop, &mut sink, &Room::new(room))?;
    Ok((encoded, parts))
}

fn encoded(source: &dyn Source, settings: &Settings) -> (Encoded, Vec<Part>) {
    encode_all(source, settings, KEPT_BYTES).unwrap()
}

/// The ADTS frames of segments in a row, checked as transport streams of one item.
fn frames(parts: &[Part], rate: u32) -> Vec<Vec<u8>> {
    let mut reader = ts::Reader::default();
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for part in parts {
        let before = frames.len() as u64;
        let groups = reader.segment(&part.bytes);
        let last = groups.len() - 1;
        for (index, pes) in groups.iter().enumerate() {
            assert_eq!(pes.pts, 900_000 + frames.len() as u64 * FRAME * 90_000 / u64::from(rate));
            let group = ts::adts(&pes.data);
            let full = if index == 0 { 2 } else { 8 };
            assert!(if index < last { group.len() == full } else { (1..=full).contains(&group.len()) });
            assert!(group.iter().all(|frame| is_lc(frame, rate)), "AAC-LC at {rate} Hz");
            frames.extend(group.into_iter().map(<[u8]>::to_vec));
        }
        assert_eq!(u64::from(part.samples), (frames.len() as u64 - before) * FRAME);
    }
    frames
}

/// Whether an ADTS frame says that it is AAC-LC at a rate, in mono or stereo (ISO/IEC 14496-3, 1.A.3.2.1).
fn is_lc(frame: &[u8], rate: u32) -> bool {
    const RATES: [u32; 12] =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];
    let (profile, index, channels) =
        (frame[2] >> 6, usize::from(frame[2] >> 2 & 15), (frame[2] & 1) << 2 | frame[3] >> 6);
    profile == 1 && RATES.get(index) == Some(&rate) && matches!(channels, 1 | 2)
}

/// Decodes ADTS: interleaved samples.
fn decode(adts: &[u8]) -> Vec<f32> {
    let stream = MediaSourceStream::new(Box::new(io::Cursor::new(adts.to_vec())), Default::default());
    let (hint, options) = (Hint::new(), FormatOptions::default());
    let probe = symphonia::default::get_probe();
    let mut format = probe.probe(&hint, stream, options, MetadataOptions::default()).unwrap();
    let parameters = format.default_track(TrackType::Audio).unwrap().codec_params.clone().unwrap();
    let codecs = symphonia::default::get_codecs();
    let mut decoder = codecs.make_audio_decoder(parameters.audio().unwrap(), &AudioDecoderOptions::default()).unwrap();
    let mut samples = Vec::new();
    while let Some(packet) = format.next_packet().unwrap() {
        let mut block = Vec::new();
        decoder.decode(&packet).unwrap().copy_to_vec_interleaved::<f32>(&mut block);
        samples.extend(block);
    }
    samples
}

/// One channel of interleaved samples.
fn channel(samples: &[f32], channels: usize, index: usize) -> Vec<f32> {
    samples.iter().skip(index).step_by(channels).copied().collect()
}

/// How many samples `later` lags `earlier`: the shift within ±3000 samples at which they differ least.
fn lag(earlier: &[f32], later: &[f32]) -> i64 {
    let window = 4_096.min(earlier.len());
    let difference = |lag: i64| -> f32 {
        let shifted = |at: usize| later.get((at as i64 + lag) as usize).copied().unwrap_or(0.0);
        earlier[..window].iter().enumerate().map(|(at, a)| (a - shifted(at)).powi(2)).sum()
    };
    (-3_000..=3_000).min_by(|a, b| difference(*a).total_cmp(&difference(*b))).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Twenty seconds of music-like sound in four segments, encoded once for all tests that read it.
fn four_segments() -> &'static (Pcm, Encoded, Vec<Part>) {
    static ENCODED: OnceLock<(Pcm, Encoded, Vec<Part>)> = OnceLock::new();
    ENCODED.get_or_init(|| {
        let beat = |t: f64| (-8.0 * (t % 0.5)).exp();
        let voice =
            move |from: f64| move |t: f64| 0.4 * beat(t) * (TAU * from * t).sin() + 0.2 * (TAU * 7.1 * from * t).sin();
        let pcm = stereo(44_100, 44_100 * 20 + 77, voice(220.0), voice(331.0));
        let (encoded, parts) = encoded(&pcm, &plain());
        (pcm, encoded, parts)
    })
}

#[test]
fn what_is_decoded_lags_the_source_by_one_frame_at_every_setting() {
    for (rate, channels, bitrate) in
        [(44_100, 2, 128_000), (48_000, 2, 96_000), (44_100, 1, 64_000), (32_000, 2, 64_000)]
    {
        let pcm = sweep(rate, u64::from(rate) * 2);
        let settings = Settings { rate, channels, bitrates: vec![bitrate], ..plain() };
        let (_, parts) = encoded(&pcm, &settings);
        let decoded = decode(&frames(&parts, rate).concat());
        let channels = usize::from(channels);
        let source = mix::to_channels(pcm.0.samples, 2, channels);
        for index in 0..channels {
            assert_eq!(lag(&channel(&source, channels, index), &channel(&decoded, channels, index)), 1_024);
        }
    }
}

/// A sweep at −20 dBFS, 24 dB above what the codec itself adds in the worst case, which is what keeps 1e-3 fair.
fn quiet_sweep(phase: f64) -> impl Fn(f64) -> f64 {
    move |t| if t < 0.0 { 0.0 } else { 0.1 * (TAU * (50.0 * t + 50.0 * t * t) + phase).sin() }
}

#[test]
fn an_abrupt_onset_is_reproduced() {
    let pcm = stereo(44_100, 44_100, quiet_sweep(0.0), quiet_sweep(0.0));
    let (_, parts) = encoded(&pcm, &plain());
    let frames = frames(&parts, 44_100);
    let error = |frames: &[Vec<u8>], lag: usize| {
        largest_difference(&pcm.0.samples[..2 * 2_048], &decode(&frames.concat())[2 * lag..])
    };
    assert!(error(&frames, 1_024) <= 1e-3, "{}", error(&frames, 1_024));
    assert!(error(&frames[1..], 0) > 0.05, "without its priming frame the onset must be wrong, or the test is blind");
}

#[test]
fn an_onset_like_a_click_is_what_it_is_behind_silence() {
    // A step from nothing to full height holds more than the codec's bandwidth, so the source itself is no measure.
    let edge = quiet_sweep(TAU / 4.0);
    let at_once = stereo(44_100, 44_100, &edge, &edge);
    let mut samples = vec![0.0; 2 * 4 * 1_024];
    samples.extend(&at_once.0.samples);
    let behind_silence = Pcm(Block { samples, ..at_once.0 });
    let [at_once, behind_silence] =
        [at_once, behind_silence].map(|pcm| decode(&frames(&encoded(&pcm, &plain()).1, 44_100).concat()));
    let difference = largest_difference(&at_once[..2 * 4_096], &behind_silence[2 * 4_096..]);
    assert!(difference <= 1e-3, "{difference}");
}

#[test]
fn an_item_is_cut_into_equal_parts_of_whole_frames() {
    let (pcm, encoded, parts) = four_segments();
    let wanted = 1 + (pcm.0.samples.len() as u64 / 2).div_ceil(FRAME);
    assert_eq!(frames(parts, 44_100).len() as u64, wanted);
    assert_eq!(encoded.samples, wanted * FRAME);
    let lengths: Vec<u32> = parts.iter().map(|part| part.samples / 1_024).collect();
    assert_eq!(lengths, [215, 216, 216, 216]);
    assert!(parts.iter().zip(0..).all(|(part, index)| part.part == index && part.rung == 0));
}

#[test]
fn segments_in_a_row_are_the_encoders_output_byte_for_byte() {
    let (pcm, _, parts) = four_segments();
    let mut encoder = encode::Encoder::open(44_100, 2, 128_000).unwrap();
    let mut unsegmented = Vec::new();
    let setting = level::Setting { gain_db: 0.0, ceiling_db: None };
    let pcm = level::Level::new(&plain(), pcm.0.samples.len() as u64 / 2, setting).push(&pcm.0.samples);
    encoder.push(&pcm, &mut unsegmented).unwrap();
    encoder.finish(&mut unsegmented).unwrap();
    assert!(frames(parts, 44_100) == unsegmented);
}

#[test]
fn every_segment_decodes_alone_to_what_it_is_in_a_row() {
    let (_, _, parts) = four_segments();
    let frames = frames(parts, 44_100);
    let whole = decode(&frames.concat());
    let mut at = 0;
    for part in parts {
        let len = part.samples as usize / 1_024;
        let alone = decode(&frames[at..at + len].concat());
        assert_eq!(alone.len(), len * 2_048);
        let settled = 2 * 2_048;
        assert_eq!(alone[settled..], whole[at * 2_048 + settled..(at + len) * 2_048]);
        at += len;
    }
}

#[test]
fn the_bytes_are_the_same_kept_or_decoded_again_and_on_any_thread() {
    let (pcm, first, parts) = four_segments();
    thread::scope(|scope| {
        for room in [0, 100_000, KEPT_BYTES] {
            scope.spawn(move || {
                let (again, same) = encode_all(pcm, &plain(), room).unwrap();
                assert_eq!(&again, first);
                assert!(same.iter().map(|part| &part.bytes).eq(parts.iter().map(|part| &part.bytes)));
            });
        }
    });
}

/// A change of these bytes is a change of every segment of every station: it wants a new pipeline version. FDK computes
/// in whole numbers; no other machines than x86-64 have been compared.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_bytes_of_whole_numbers_are_known() {
    use data_encoding::HEXLOWER;
    use sha2::{Digest as _, Sha256};

    let mut random = 1_u32;
    let mut sample = |at: i64| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let triangle = (at * 300 % 32_768 - 16_384).abs() - 8_192;
        (triangle + i64::from(random >> 22)) as f32 / 32_768.0
    };
    let samples = (0..2 * 70_000).map(|at| sample(at / 2)).collect();
    let pcm = Pcm(Block { rate: 44_100, channels: 2, samples });
    let (_, parts) = encoded(&pcm, &Settings { segment_seconds: 1, ..plain() });
    let digests: Vec<String> = parts.iter().map(|part| HEXLOWER.encode(&Sha256::digest(&part.bytes))).collect();
    let known = [
        "7a0e2d179fb2b780b1da9f6a9efb2309c5b76b9f877f5d75070d6de44423a0d9",
        "fd5380a29e257a6783c92c4f05ec4c72e643ffa43b316004dd197695117d0803",
    ];
    assert_eq!(digests, known);
}

#[test]
fn all_rungs_share_one_cut() {
    let pcm = sweep(44_100, 44_100 * 7);
    let settings = Settings { bitrates: vec![128_000, 64_000], ..plain() };
    let (_, parts) = encoded(&pcm, &settings);
    let places: Vec<(u32, usize)> = parts.iter().map(|part| (part.part, part.rung)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    let (low, high): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.rung == 1);
    assert!(low.iter().map(|part| part.samples).eq(high.iter().map(|part| part.samples)));
    let size = |parts: &[Part]| frames(parts, 44_100).concat().len() as f64;
    let bitrate =
        |parts: &[Part]| size(parts) * 8.0 * 44_100.0 / f64::from(parts.iter().map(|part| part.samples).sum::<u32>());
    assert!((bitrate(&high) / 128_000.0 - 1.0).abs() < 0.05, "{}", bitrate(&high));
    assert!((bitrate(&low) / 64_000.0 - 1.0).abs() < 0.05, "{}", bitrate(&low));
    let (_, alone) = encoded(&pcm, &Settings { bitrates: vec![64_000], ..plain() });
    assert!(alone.iter().map(|part| &part.bytes).eq(low.iter().map(|part| &part.bytes)), "a rung depends on another");
}

#[test]
fn the_rungs_of_a_part_come_together_also_where_several_parts_are_completed_at_once() {
    let settings = Settings { bitrates: vec![128_000, 32_000, 64_000], segment_seconds: 1, ..plain() };
    // The parts end at various places in what the rungs are given at a time.
    for tenths in 30..40 {
        let (_, parts) = encoded(&sweep(44_100, 4_410 * tenths), &settings);
        let places: Vec<(u32, usize)> = parts.iter().map(|part| (part.part, part.rung)).collect();
        let count = parts.len() as u32 / 3;
        let expected: Vec<_> = (0..count).flat_map(|part| (0..3).map(move |rung| (part, rung))).collect();
        assert!(count >= 3 && places == expected, "{tenths} tenths of a second: {places:?}");
    }
}

#[test]
fn loudness_reaches_the_target() {
    let tone = |t: f64| 0.1 * (TAU * 997.0 * t).sin();
    let settings = Settings { loudness_target: Some(-16.0), peak_ceiling: -1.5, ..plain() };
    let (encoded, parts) = encoded(&stereo(44_100, 44_100 * 4, tone, tone), &settings);
    // BS.1770: a sine of 997 Hz at x dBFS in both channels measures x LUFS.
    assert!((encoded.mastered.levels.loudness.unwrap() + 20.0).abs() < 0.05, "{encoded:?}");
    assert!((encoded.mastered.levels.peak.unwrap() + 20.0).abs() < 0.01, "{encoded:?}");
    assert!((encoded.mastered.levels.gain - 4.0).abs() < 0.05, "{encoded:?}");
    let decoded = decode(&frames(&parts, 44_100).concat());
    let peak = decoded[44_100..88_200].iter().copied().fold(0.0, f32::max);
    assert!((20.0 * peak.log10() + 16.0).abs() < 0.1, "{peak}");
}

#[test]
fn insane_frames_are_muted_and_named() {
    let tone = |t: f64| 0.1 * (TAU * 997.0 * t).sin();
    let mut pcm = stereo(44_100, 44_100 * 2, tone, tone);
    for (at, insane) in [(1_000, f32::NAN), (3_001, f32::INFINITY), (5_000, -4_246.7), (5_001, 4.0)] {
        pcm.0.samples[at] = insane;
    }
    pcm.0.samples[7_000] = 3.9;
    let settings = Settings { loudness_target: Some(-16.0), ..plain() };
    let (encoded, parts) = encoded(&pcm, &settings);
    assert_eq!(encoded.mastered.warnings[0], "3 samples beyond +12 dBFS or not finite were muted");
    assert!(
        (encoded.mastered.levels.peak.unwrap() - 20.0 * 3.9_f64.log10()).abs() < 1e-3,
        "the highest sane sample counts: {encoded:?}"
    );
    assert!((encoded.mastered.levels.reduction - 8.0).abs() < 0.01, "lowered as far as the limiter may: {encoded:?}");
    assert!(decode(&frames(&parts, 44_100).concat()).iter().all(|sample| sample.abs() < 1.1));
}

#[test]
fn silence_is_encoded_as_silence_and_trimmed_away_when_asked() {
    let loud = |t: f64| if (1.0..3.0).contains(&t) { 0.1 * (TAU * (300.0 * t + 40.0 * t * t)).cos() } else { 0.0 };
    let pcm = stereo(44_100, 44_100 * 4, loud, loud);
    let (whole, _) = encoded(&pcm, &plain());
    assert_eq!(whole.samples, (1 + 176_400_u64.div_ceil(FRAME)) * FRAME);
    let (trimmed, parts) = encoded(&pcm, &Settings { trim_silence: true, ..plain() });
    assert_eq!(trimmed.samples, (1 + 88_200_u64.div_ceil(FRAME)) * FRAME);
    let decoded = decode(&frames(&parts, 44_100).concat());
    assert_eq!(lag(&channel(&pcm.0.samples[2 * 44_100..], 2, 0), &channel(&decoded, 2, 0)), 1_024);

    let silence = stereo(44_100, 44_100, |_| 0.0, |_| 0.0);
    let (quiet, parts) = encoded(&silence, &Settings { loudness_target: Some(-16.0), ..plain() });
    assert_eq!(
        (quiet.mastered.levels.loudness, quiet.mastered.levels.peak, quiet.mastered.levels.gain),
        (None, None, 0.0)
    );
    assert!(decode(&frames(&parts, 44_100).concat()).iter().all(|sample| *sample == 0.0));
    let refused = encode_all(&silence, &Settings { trim_silence: true, ..plain() }, 0);
    assert!(matches!(refused, Err(Error::TooShort { millis: 0 })));
}

#[test]
fn less_than_half_a_second_is_refused() {
    assert!(matches!(encode_all(&sweep(44_100, 22_049), &plain(), 0), Err(Error::TooShort { millis: 499 })));
    assert!(encode_all(&sweep(44_100, 22_050), &plain(), 0).is_ok());
    assert!(matches!(encode_all(&sweep(44_100, 0), &plain(), 0), Err(Error::Format(_))));
}

#[test]
fn mono_sounds_on_both_sides_and_stereo_is_the_mean_in_mono() {
    let tone = |t: f64| 0.3 * (TAU * 440.0 * t).sin();
    let both = stereo(44_100, 44_100, tone, tone);
    let one = Pcm(Block { channels: 1, samples: channel(&both.0.samples, 2, 0), ..both.0 });
    let bytes = |source: &Pcm, settings: &Settings| encoded(source, settings).1.remove(0).bytes;
    assert!(bytes(&one, &plain()) == bytes(&both, &plain()));
    let left = stereo(44_100, 44_100, |t| 2.0 * tone(t), |_| 0.0);
    let mono = Settings { channels: 1, ..plain() };
    assert!(bytes(&left, &mono) == bytes(&one, &mono));
}

#[test]
fn other_rates_keep_their_length() {
    for (rate, samples) in [
        (48_000, 48_001),
        (22_050, 22_051),
        (96_000, 99_999),
        (8_000, 8_000),
        (44_099, 44_099),
        (11_025, 11_026),
        (176_400, 176_401),
        (192_000, 192_000),
    ] {
        let (encoded, parts) = encoded(&sweep(rate, samples), &plain());
        let wanted = (samples * 44_100).div_ceil(u64::from(rate));
        assert_eq!(encoded.samples, (1 + wanted.div_ceil(FRAME)) * FRAME);
        let decoded = decode(&frames(&parts, 44_100).concat());
        assert_eq!(lag(&channel(&sweep(44_100, wanted).0.samples, 2, 1), &channel(&decoded, 2, 1)), 1_024, "{rate} Hz");
    }
}

#[test]
fn a_rate_that_changes_midway_is_followed() {
    struct Chain(Pcm, Pcm);
    struct Both<'a>(Box<dyn Stream + 'a>, Box<dyn Stream + 'a>);
    impl Source for Chain {
        fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
            Ok(Box::new(Both(self.0.open()?, self.1.open()?)))
        }
    }
    impl Stream for Both<'_> {
        fn next(&mut self) -> Result<Option<Block>, Error> {
            Ok(match self.0.next()? {
                Some(block) => Some(block),
                None => self.1.next()?,
            })
        }
    }
    let (encoded, _) = encoded(&Chain(sweep(48_000, 48_000), sweep(22_050, 22_050)), &plain());
    assert_eq!(encoded.samples, (1 + 88_200_u64.div_ceil(FRAME)) * FRAME);
}

#[test]
fn a_stop_ends_the_work_and_a_failed_sink_is_named() {
    let (pcm, ..) = four_segments();
    let stop = AtomicBool::new(true);
    let mut sink = |_| panic!("nothing is handed on");
    assert!(matches!(encode(pcm, &plain(), &Cores::new(1), &stop, &mut sink), Err(Error::Stopped)));

    let stop = AtomicBool::new(false);
    let mut parts = 0;
    let mut sink = |_| {
        parts += 1;
        stop.store(true, Ordering::Relaxed);
        Ok(())
    };
    assert!(matches!(encode(pcm, &plain(), &Cores::new(1), &stop, &mut sink), Err(Error::Stopped)));
    assert_eq!(parts, 1);

    let mut sink = |_| Err(io::ErrorKind::StorageFull.into());
    let full = encode(pcm, &plain(), &Cores::new(1), &AtomicBool::new(false), &mut sink);
    assert!(matches!(full, Err(Error::Sink(error)) if error.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn a_source_that_changes_between_the_passes_is_noticed() {
    struct Shrinking(Pcm, AtomicBool);
    impl Source for Shrinking {
        fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
            let skip = usize::from(self.1.swap(true, Ordering::Relaxed)) * 2;
            Ok(Box::new(PcmStream(self.0.0.samples[skip..].chunks(2_304), &self.0.0)))
        }
    }
    let source = Shrinking(sweep(44_100, 44_100), AtomicBool::new(false));
    assert!(matches!(encode_all(&source, &plain(), 0), Err(Error::Read(_))));
}

#[test]
fn settings_no_encoder_can_be_set_to_are_refused() {
    let wrong = [
        Settings { segment_seconds: 0, ..plain() },
        Settings { rate: 0, ..plain() },
        Settings { rate: 44_000, ..plain() },
        Settings { channels: 0, ..plain() },
        Settings { channels: 3, ..plain() },
        Settings { bitrates: Vec::new(), ..plain() },
        Settings { bitrates: vec![5_000_000], ..plain() },
        Settings { bitrates: vec![100], ..plain() },
    ];
    for settings in wrong {
        let refused = encode_all(&sweep(48_000, 48_000), &settings, 0);
        assert!(matches!(refused, Err(Error::Encoder(_))), "{settings:?}: {refused:?}");
    }
}

/// The encoder itself says what is possible.
#[test]
fn bitrates_are_those_that_the_encoder_takes() {
    for rate in [22_050, 24_000, 32_000, 44_100, 48_000] {
        for channels in [1, 2] {
            let possible = bitrates(rate, channels);
            let opens = |bitrate| encode::Encoder::open(rate, channels, bitrate).is_ok();
            assert!(
                opens(*possible.start()) && opens(*possible.end()),
                "{possible:?} at {rate} Hz, {channels} channels"
            );
            let limit = *possible.end() == 320_000 || !opens(possible.end() + 1);
            assert!(limit, "more than {possible:?} at {rate} Hz, {channels} channels");
        }
    }
}
