//! `setup.toml`: where the recordings are and how they are encoded.

use std::{
    env,
    path::{Path, PathBuf},
    thread,
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    Error, Text,
    key::{Key, NumberOrWord},
    read,
};
use crate::{audio, callback, setup};

/// Where the recordings are and how they are encoded. Only [`Setup::load`] and [`Setup::parse`] make one.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::manual_non_exhaustive, reason = "within the crate, too, only parsing makes one")]
pub struct Setup {
    /// The folder with the tracks, as written; relative to the station's folder.
    pub source: PathBuf,
    /// The folder with the jingles, as written; relative to the station's folder.
    pub jingles_folder: PathBuf,
    /// Whether jingles are on the programme.
    pub jingles_enabled: bool,
    /// How many tracks play between two jingles, at least one.
    pub cycle: u32,
    /// How much louder than the tracks the jingles are, in LU; negative for quieter.
    pub jingles_loudness_offset: f64,
    /// What shapes the bytes of the segments.
    pub audio: audio::Settings,
    /// How many recordings are encoded at once, 1 to 256.
    pub jobs: u32,
    /// Who is told of each recording that was made.
    pub callback: Option<callback::Target>,
    checked: (),
}

/// Every key of `setup.toml`, in the order of the file.
pub const KEYS: &[Key] = &[
    SOURCE,
    JOBS,
    FOLDER,
    ENABLED,
    CYCLE,
    LOUDNESS_OFFSET,
    SEGMENT_DURATION,
    CODEC,
    BITRATES,
    SAMPLE_RATE,
    CHANNELS,
    LOUDNESS_TARGET,
    LOUDNESS_REFERENCE,
    TRUE_PEAK_CEILING,
    TRIM_SILENCE,
    FADE_MS,
    CALLBACK_URL,
    ALLOW_PRIVATE,
];

const SOURCE: Key = Key::words("source", "the name of a folder, `~` allowed", "\"music\"");
const JOBS: Key = Key::whole("jobs", 1, 256, "recordings at once", "");
const FOLDER: Key = Key::words("jingles.folder", "the name of a folder, `~` allowed", "\"jingles\"");
const ENABLED: Key = Key::switch("jingles.enabled", "true");
const CYCLE: Key = Key::whole("jingles.cycle", 1, 100_000, "tracks between jingles", "3");
const LOUDNESS_OFFSET: Key = Key::decimal("jingles.loudness_offset", -20.0, 6.0, "LU", "0.0");
const SEGMENT_DURATION: Key = Key::whole("audio.segment_duration", 1, 30, "seconds", "6");
const CODEC: Key = Key::words("audio.codec", "\"aac\", the only codec there is", "\"aac\"");
const BITRATES: Key = Key::words(
    "audio.bitrates",
    "a list of 1 to 8 different whole numbers of bits per second from 16000 to 320000, the default one first",
    "[128000]",
);
const SAMPLE_RATE: Key =
    Key::words("audio.sample_rate", "22050, 24000, 32000, 44100 or 48000 samples per second", "44100");
const CHANNELS: Key = Key::whole("audio.channels", 1, 2, "channels", "2");
const LOUDNESS_TARGET: Key = Key::decimal("audio.loudness_target", -40.0, -5.0, "LUFS, or \"off\"", "-16.0");
const LOUDNESS_REFERENCE: Key = Key::words(
    "audio.loudness_reference",
    "\"track\" (measured), \"album\" or \"replaygain\" (as the tags state it)",
    "\"track\"",
);
const TRUE_PEAK_CEILING: Key = Key::decimal("audio.true_peak_ceiling", -9.0, 0.0, "dBTP", "-1.5");
const TRIM_SILENCE: Key = Key::switch("audio.trim_silence", "false");
const FADE_MS: Key = Key::whole("audio.fade_ms", 0, 10_000, "milliseconds", "0");

const CALLBACK_URL: Key = Key::words(
    "callback.url",
    "an https:// URL without a query, of a public host (unless `allow_private`), or \"\" for none",
    "\"\"",
);
const ALLOW_PRIVATE: Key = Key::switch("callback.allow_private", "false");

const RATES: [i64; 5] = [22_050, 24_000, 32_000, 44_100, 48_000];

impl Default for Setup {
    fn default() -> Self {
        Self {
            source: "music".into(),
            jingles_folder: "jingles".into(),
            jingles_enabled: true,
            cycle: 3,
            jingles_loudness_offset: 0.0,
            audio: audio::Settings {
                segment_seconds: 6,
                rate: 44_100,
                channels: 2,
                bitrates: vec![128_000],
                loudness_target: Some(-16.0),
                reference: audio::Reference::Track,
                peak_ceiling: -1.5,
                trim_silence: false,
                fade_ms: 0,
            },
            jobs: thread::available_parallelism().map_or(1, |cores| cores.get().min(256) as u32),
            callback: None,
            checked: (),
        }
    }
}

impl Setup {
    /// What setup is asked to do.
    pub fn job(&self) -> setup::Job {
        setup::Job {
            source: self.source.clone(),
            jingles: self.jingles_enabled.then(|| self.jingles_folder.clone()),
            cycle: self.cycle as usize,
            jingle_offset: self.jingles_loudness_offset,
            settings: self.audio.clone(),
            jobs: self.jobs as usize,
        }
    }

    /// Reads the file; all defaults if there is none.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let home = env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Self::parse(path, &read(path)?, home.as_deref())
    }

    /// Reads `text`; `name` is the file that messages name, `home` what `~` stands for.
    pub fn parse(name: &Path, text: &str, home: Option<&Path>) -> Result<Self, Error> {
        let text = Text { name, text };
        let raw: Raw = text.raw(KEYS)?;
        let default = Self::default();
        Ok(Self {
            source: SOURCE.checked(text, raw.source, default.source, |path| folder(&path, home))?,
            jingles_folder: FOLDER
                .checked(text, raw.jingles.folder, default.jingles_folder, |path| folder(&path, home))?,
            jingles_enabled: raw.jingles.enabled.unwrap_or(default.jingles_enabled),
            cycle: CYCLE.count(text, raw.jingles.cycle, default.cycle)?,
            jingles_loudness_offset: number(&LOUDNESS_OFFSET, text, raw.jingles.loudness_offset, 0.0)?,
            audio: raw.audio.check(text, default.audio)?,
            jobs: JOBS.count(text, raw.jobs, default.jobs)?,
            callback: raw.callback.check(text)?,
            checked: (),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Raw {
    source: Option<Spanned<String>>,
    jobs: Option<Spanned<i64>>,
    #[serde(default)]
    jingles: RawJingles,
    #[serde(default)]
    audio: RawAudio,
    #[serde(default)]
    callback: RawCallback,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawCallback {
    url: Option<Spanned<String>>,
    allow_private: Option<bool>,
}

impl RawCallback {
    fn check(self, text: Text<'_>) -> Result<Option<callback::Target>, Error> {
        let private = self.allow_private.unwrap_or(false);
        let target = |url: String| {
            if url.is_empty() { Some(None) } else { callback::Target::new(&url, private).map(Some) }
        };
        CALLBACK_URL.checked(text, self.url, None, target)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawJingles {
    folder: Option<Spanned<String>>,
    enabled: Option<bool>,
    cycle: Option<Spanned<i64>>,
    loudness_offset: Option<Spanned<NumberOrWord>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawAudio {
    segment_duration: Option<Spanned<i64>>,
    codec: Option<Spanned<String>>,
    bitrates: Option<Spanned<Vec<Spanned<i64>>>>,
    sample_rate: Option<Spanned<i64>>,
    channels: Option<Spanned<i64>>,
    loudness_target: Option<Spanned<NumberOrWord>>,
    loudness_reference: Option<Spanned<String>>,
    true_peak_ceiling: Option<Spanned<NumberOrWord>>,
    trim_silence: Option<bool>,
    fade_ms: Option<Spanned<i64>>,
}

impl RawAudio {
    fn check(self, text: Text<'_>, default: audio::Settings) -> Result<audio::Settings, Error> {
        CODEC.checked(text, self.codec, (), |codec| (codec == "aac").then_some(()))?;
        let rate = SAMPLE_RATE.checked(text, self.sample_rate, default.rate, rate)?;
        let channels = CHANNELS.count(text, self.channels, default.channels.into())? as u8;
        Ok(audio::Settings {
            segment_seconds: SEGMENT_DURATION.count(text, self.segment_duration, default.segment_seconds)?,
            rate,
            channels,
            bitrates: bitrates(text, self.bitrates, default.bitrates, rate, channels)?,
            loudness_target: loudness(text, self.loudness_target, default.loudness_target)?,
            reference: LOUDNESS_REFERENCE
                .checked(text, self.loudness_reference, default.reference, |word| reference(&word))?,
            peak_ceiling: number(&TRUE_PEAK_CEILING, text, self.true_peak_ceiling, default.peak_ceiling)?,
            trim_silence: self.trim_silence.unwrap_or(default.trim_silence),
            fade_ms: FADE_MS.count(text, self.fade_ms, default.fade_ms)?,
        })
    }
}

/// The folder that is meant; none where the text is empty, or where `~` is meant and nobody knows whose.
fn folder(path: &str, home: Option<&Path>) -> Option<PathBuf> {
    if path.is_empty() || path.contains('\0') {
        return None;
    }
    match path.strip_prefix('~') {
        Some("") => home.map(Path::to_owned),
        Some(rest) if rest.starts_with('/') => home.map(|home| home.join(rest.trim_start_matches('/'))),
        _ => Some(path.into()),
    }
}

fn rate(rate: i64) -> Option<u32> {
    RATES.contains(&rate).then_some(rate as u32)
}

/// The rungs, if each of them is possible at this rate with so many channels.
fn bitrates(
    text: Text<'_>,
    raw: Option<Spanned<Vec<Spanned<i64>>>>,
    default: Vec<u32>,
    rate: u32,
    channels: u8,
) -> Result<Vec<u32>, Error> {
    let spans: Vec<_> = raw.iter().flat_map(Spanned::get_ref).map(Spanned::span).collect();
    let rungs = BITRATES.checked(text, raw, default, rungs)?;
    let possible = audio::bitrates(rate, channels);
    let wrong = rungs.iter().zip(spans).find(|(rung, _)| !possible.contains(rung));
    let Some((rung, span)) = wrong else { return Ok(rungs) };
    let (most, channels) = (possible.end(), if channels == 1 { "one channel" } else { "two channels" });
    let reason = format!("{rung} is too much for AAC-LC at {rate} Hz with {channels}, {most} is the most");
    Err(text.refuse_because(&BITRATES, span, &reason))
}

fn rungs(listed: Vec<Spanned<i64>>) -> Option<Vec<u32>> {
    let mut rungs: Vec<u32> = Vec::new();
    for bitrate in listed {
        let rung = u32::try_from(bitrate.into_inner()).ok().filter(|rung| (16_000..=320_000).contains(rung))?;
        if rungs.contains(&rung) {
            return None;
        }
        rungs.push(rung);
    }
    (1..=8).contains(&rungs.len()).then_some(rungs)
}

fn loudness(text: Text<'_>, raw: Option<Spanned<NumberOrWord>>, default: Option<f64>) -> Result<Option<f64>, Error> {
    let Some(raw) = raw else { return Ok(default) };
    match raw.get_ref() {
        NumberOrWord::Number(value) => LOUDNESS_TARGET.measure(text, *value, raw.span()).map(Some),
        NumberOrWord::Word(word) if word == "off" => Ok(None),
        NumberOrWord::Word(_) => Err(text.refuse(&LOUDNESS_TARGET, raw.span())),
    }
}

fn reference(word: &str) -> Option<audio::Reference> {
    match word {
        "track" => Some(audio::Reference::Track),
        "album" => Some(audio::Reference::Album),
        "replaygain" => Some(audio::Reference::ReplayGain),
        _ => None,
    }
}

/// A number in the place of which no word may be written.
fn number(key: &Key, text: Text<'_>, raw: Option<Spanned<NumberOrWord>>, default: f64) -> Result<f64, Error> {
    let Some(raw) = raw else { return Ok(default) };
    match raw.get_ref() {
        NumberOrWord::Number(value) => key.measure(text, *value, raw.span()),
        NumberOrWord::Word(_) => Err(text.refuse(key, raw.span())),
    }
}
