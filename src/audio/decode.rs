//! Recordings as PCM: every format symphonia reads, and Opus.

use std::{
    fs,
    io::{self, ErrorKind, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use symphonia::core::{
    audio::Channels,
    codecs::{
        CodecParameters,
        audio::{
            AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
            well_known::{CODEC_ID_AAC, CODEC_ID_OPUS},
        },
        registry::CodecRegistry,
    },
    errors::Error as Fault,
    formats::{
        FormatOptions, FormatReader, Track, TrackType,
        probe::Hint,
        well_known::{
            FORMAT_ID_ADTS, FORMAT_ID_AIFF, FORMAT_ID_CAF, FORMAT_ID_FLAC, FORMAT_ID_ISOMP4, FORMAT_ID_MP1,
            FORMAT_ID_MP2, FORMAT_ID_MP3, FORMAT_ID_WAVE,
        },
    },
    io::{MediaSourceStream, MediaSourceStreamOptions},
    packet::Packet,
    units::TimeBase,
};

use super::{
    Block, Error, Flaws, Reference, Source, Stream, flaws::Clips, foreign, level, matroska, mix::Fold, mp4::Trim, tags,
};
pub use super::{
    legacy::{looks_wrong, text_of},
    probe::{Probe, probe},
    tags::{Cover, Tags},
};

/// All codecs, Opus among them.
pub(super) static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<symphonia_adapter_libopus::OpusDecoder>();
    codecs
});

/// A recording on disk. Its first audio track is the one that counts; a cover never does.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
}

impl Source for File {
    fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
        guarded(|| Ok(Box::new(Reader::open(&self.path, true)?) as Box<dyn Stream>))
    }

    fn open_again(&self) -> Result<Box<dyn Stream + '_>, Error> {
        guarded(|| Ok(Box::new(Reader::open(&self.path, false)?) as Box<dyn Stream>))
    }

    fn stated_loudness(&self, reference: Reference) -> Option<f64> {
        if reference == Reference::Track {
            return None;
        }
        probe(&self.path).ok()?.tags.loudness(reference)
    }
}

/// Longest gap in a recording of unknown length that is filled with silence, in seconds.
const LONGEST_GAP: u64 = 60;
/// HE-AAC holds the lower half of its sound as plain AAC of half the rate, and need not say so: that is at this rate at most.
const HALF_RATE_MAX: u32 = 24_000;
/// What symphonia says where no format fits.
const NO_FORMAT: &str = "core (probe): no suitable format reader found";
/// Silence is handed over in blocks of so many samples per channel.
const SILENCE: u64 = 4_096;

/// A recording that is being decoded, one packet a block.
struct Reader {
    format: Box<dyn FormatReader>,
    track: u32,
    decoder: Box<dyn AudioDecoder>,
    /// Whether the checksum of all samples is computed, where there is one (FLAC).
    verifies: bool,
    /// Samples per channel the container declares.
    declared: Option<u64>,
    /// Samples per channel that were decoded.
    decoded: u64,
    trim: Trim,
    /// By what its samples are to be multiplied.
    gain: f32,
    /// Whether it says which samples only prime and fill the codec, or has none of these.
    gapless: bool,
    /// Seconds of a tick of the packets' timestamps.
    tick: Option<TimeBase>,
    /// The timestamp that the next packet should have.
    expected: Option<i64>,
    /// Samples per channel of silence that come before `waiting`.
    gap: u64,
    /// A block behind a gap.
    waiting: Option<Block>,
    /// Samples per channel that are lost.
    lost: u64,
    /// Packets that cannot be decoded.
    errors: u64,
    /// What is clipped where more than two channels are mixed.
    clips: Clips,
    /// Why the reading ended before the end.
    broken: Option<String>,
    /// Whether that checksum is wrong.
    altered: bool,
    /// The rate, where it may be that of one half of HE-AAC.
    half_rate: Option<u32>,
}

impl Reader {
    fn open(path: &Path, verifies: bool) -> Result<Self, Error> {
        let mut format = open_format(path)?;
        let is_mp4 = format.format_info().format == FORMAT_ID_ISOMP4;
        let trim = if is_mp4 { tags::itunes_gap(format.as_mut()) } else { None };
        let track = audio_track(format.as_ref())?;
        let parameters = audio_parameters(track)?;
        let decoder = decoder(parameters, verifies)?;
        let is_aac = decoder.codec_info().short_name == "aac";
        let trim = match trim {
            None if is_mp4 && is_aac => Trim::of_edit_list(path, parameters)?,
            other => other,
        };
        let gapless = match format.format_info().format {
            FORMAT_ID_ISOMP4 => trim.is_some() || !is_aac,
            FORMAT_ID_MP1 | FORMAT_ID_MP2 | FORMAT_ID_MP3 => track.delay.is_some(),
            FORMAT_ID_ADTS => false,
            _ => true,
        };
        // That of a container may be the doubled one.
        let half_rate = decoder.codec_params().sample_rate.filter(|rate| is_aac && *rate <= HALF_RATE_MAX);
        let declared = track.num_frames.or_else(|| declared(format.as_ref(), parameters.sample_rate?));
        let (track, gain, tick) = (track.id, output_gain(parameters), track.time_base);
        Ok(Self {
            format,
            track,
            decoder,
            verifies,
            declared,
            decoded: 0,
            trim: trim.unwrap_or_default(),
            gain,
            gapless,
            tick,
            expected: None,
            gap: 0,
            waiting: None,
            lost: 0,
            errors: 0,
            clips: Clips::default(),
            broken: None,
            altered: false,
            half_rate,
        })
    }

    /// The next block: silence for what is lost, or the next packet.
    fn read(&mut self) -> Result<Option<Block>, Error> {
        let Some(waiting) = &mut self.waiting else { return self.read_packet() };
        if self.gap == 0 {
            return Ok(self.waiting.take());
        }
        let len = self.gap.min(SILENCE);
        self.gap -= len;
        let samples = vec![0.0; len as usize * usize::from(waiting.channels)];
        Ok(Some(Block { samples, ..*waiting }))
    }

    /// The next packet as a block, which is empty when the packet holds no audio of the track.
    fn read_packet(&mut self) -> Result<Option<Block>, Error> {
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => {
                self.altered = self.decoder.finalize().verify_ok == Some(false);
                return Ok(None);
            }
            Err(Fault::ResetRequired) => {
                self.restart()?;
                return Ok(Some(Block::default()));
            }
            Err(fault) => match unreadable(fault) {
                Error::Format(reason) => {
                    self.broken = Some(reason);
                    return Ok(None);
                }
                error => return Err(error),
            },
        };
        if packet.track_id != self.track {
            return Ok(Some(Block::default()));
        }
        let Ok(audio) = self.decoder.decode(&packet) else {
            self.errors += 1;
            return Ok(Some(Block::default()));
        };
        let mut samples = Vec::new();
        audio.copy_to_vec_interleaved::<f32>(&mut samples);
        if self.gain != 1.0 {
            samples.iter_mut().for_each(|sample| *sample *= self.gain);
        }
        let (rate, frames, layout) = (audio.spec().rate(), audio.frames() as u64, audio.spec().channels());
        let fold = Fold::for_layout(layout)?;
        let channels = if fold.is_some() { 2 } else { layout.count() };
        if let Some(fold) = fold {
            self.clips.add(&samples, layout.count());
            samples = fold.apply(&samples);
        }
        self.gap = self.lost_before(&packet, frames, rate);
        self.lost += self.gap;
        let at = self.decoded + self.gap;
        self.decoded = at + frames;
        self.trim.apply(at, channels, &mut samples);
        self.waiting = Some(Block { rate, channels: channels as u16, samples });
        self.read()
    }

    /// How many samples per channel are missing between the last packet and this one of `frames`, by their timestamps.
    /// Timestamps of a file that is damaged may be anything: a gap of more than there can be is none.
    fn lost_before(&mut self, packet: &Packet, frames: u64, rate: u32) -> u64 {
        let Some(tick) = self.tick else { return 0 };
        let per_second = |samples: u64| u128::from(samples) * u128::from(tick.denom.get());
        let samples = |ticks: i64| ticks.max(0) as u128 * u128::from(tick.numer.get()) * u128::from(rate);
        let pts = packet.pts.get();
        let gap = self.expected.map_or(0, |expected| samples(pts.saturating_sub(expected)) / per_second(1));
        let ticks = per_second(frames) / (u128::from(tick.numer.get()) * u128::from(rate)).max(1);
        let trimmed = packet.trim_start.get().saturating_add(packet.trim_end.get());
        self.expected = Some(pts.saturating_add_unsigned(ticks as u64).saturating_add_unsigned(trimmed));
        let room = match self.declared {
            Some(declared) => declared.saturating_sub(self.decoded).saturating_sub(frames),
            None => LONGEST_GAP * u64::from(rate),
        };
        // A hundredth of a second is the coarseness of timestamps in some containers, not a loss.
        u64::try_from(gap).ok().filter(|gap| *gap > u64::from(rate) / 100 && *gap <= room).unwrap_or_default()
    }

    /// Goes on with the next recording of a chain (Ogg).
    fn restart(&mut self) -> Result<(), Error> {
        let track = audio_track(self.format.as_ref())?;
        let parameters = audio_parameters(track)?;
        self.decoder = decoder(parameters, self.verifies)?;
        (self.track, self.gain) = (track.id, output_gain(parameters));
        (self.declared, self.tick, self.expected) = (None, track.time_base, None);
        Ok(())
    }

    /// The samples that are missing, when the container declares clearly more than there are. How exact a declared
    /// length is depends on the container.
    fn missing(&self) -> Option<u64> {
        let declared = self.declared?;
        let tolerance = match self.format.format_info().format {
            FORMAT_ID_ADTS => return None,
            FORMAT_ID_MP1 | FORMAT_ID_MP2 | FORMAT_ID_MP3 => declared / 50,
            FORMAT_ID_FLAC | FORMAT_ID_WAVE | FORMAT_ID_AIFF | FORMAT_ID_CAF => 0,
            _ => declared / 1_000 + 4_608,
        };
        declared.checked_sub(self.decoded).filter(|missing| *missing > tolerance)
    }
}

impl Stream for Reader {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        guarded(|| self.read())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.errors > 0 {
            warnings.push(format!("{} packets cannot be decoded", self.errors));
        }
        if self.lost > 0 {
            warnings.push(format!("{} samples are lost and were filled with silence", self.lost));
        }
        if let Some(reason) = &self.broken {
            warnings.push(format!("it breaks off: {reason}"));
        }
        if self.altered {
            warnings.push("it is damaged: the checksum of its samples is wrong".to_owned());
        }
        if let Some(rate) = self.half_rate {
            let lost = format!("all above {} Hz is missing", rate / 2);
            warnings.push(format!("AAC at {rate} Hz: if it is HE-AAC, {lost}; convert it to FLAC"));
        }
        if let (Some(missing), Some(declared)) = (self.missing(), self.declared) {
            warnings.push(format!("{missing} of {declared} samples are missing"));
        }
        warnings
    }

    fn flaws(&self) -> Flaws {
        let not_gapless = !self.gapless;
        let clipped = self.clips.found();
        Flaws { lost: self.lost, decode_errors: self.errors, clipped, not_gapless, ..Flaws::default() }
    }
}

/// Opens a recording and finds out its container. The name's ending is a hint only.
pub(super) fn open_format(path: &Path) -> Result<Box<dyn FormatReader>, Error> {
    if !fs::metadata(path).map_err(Error::Read)?.is_file() {
        return Err(Error::Read(io::Error::new(ErrorKind::InvalidInput, "not a file")));
    }
    let mut file = fs::File::open(path).map_err(Error::Read)?;
    let mut start = Vec::new();
    (&mut file).take(foreign::START as u64).read_to_end(&mut start).map_err(Error::Read)?;
    if let Some(kind) = foreign::named(&start) {
        return Err(Error::Format(format!("it is {kind}, which cannot be decoded; convert it to FLAC")));
    }
    let source = matroska::numbered(file).map_err(Error::Read)?;
    let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let probed = symphonia::default::get_probe().probe(&hint, stream, FormatOptions::default(), tags::limits());
    probed.map_err(|fault| match fault {
        Fault::Unsupported(NO_FORMAT) if start.is_empty() => Error::Format("it is empty".to_owned()),
        Fault::Unsupported(NO_FORMAT) => Error::Format("nothing in it looks like a recording".to_owned()),
        fault => unreadable(fault),
    })
}

pub(super) fn audio_track(format: &dyn FormatReader) -> Result<&Track, Error> {
    format.default_track(TrackType::Audio).ok_or_else(|| Error::Format("there is no audio in it".to_owned()))
}

pub(super) fn audio_parameters(track: &Track) -> Result<&AudioCodecParameters, Error> {
    let parameters = track.codec_params.as_ref().and_then(CodecParameters::audio);
    parameters.ok_or_else(|| Error::Format("its codec is not stated".to_owned()))
}

fn decoder(parameters: &AudioCodecParameters, verifies: bool) -> Result<Box<dyn AudioDecoder>, Error> {
    let channels = parameters.channels.as_ref().map_or(0, Channels::count);
    let narrow = [(CODEC_ID_AAC, "AAC"), (CODEC_ID_OPUS, "Opus")];
    if let Some((_, name)) = narrow.iter().find(|(codec, _)| channels > 2 && *codec == parameters.codec) {
        let told = format!("{name} with {channels} channels cannot be decoded; mix it to stereo or convert it to FLAC");
        return Err(Error::Format(told));
    }
    CODECS.make_audio_decoder(parameters, &AudioDecoderOptions::default().verify(verifies)).map_err(unreadable)
}

/// The length that a container declares of the whole of it (Matroska), in samples per channel. It is that of the longest
/// track.
fn declared(format: &dyn FormatReader, rate: u32) -> Option<u64> {
    let (media, [_]) = (format.media_info(), format.tracks()) else { return None };
    let (ticks, tick) = (media.duration?.get(), media.time_base?);
    let samples = u128::from(ticks) * u128::from(tick.numer.get()) * u128::from(rate) / u128::from(tick.denom.get());
    u64::try_from(samples).ok()
}

/// The gain in the header of Opus, which every decoder is to apply (RFC 7845 §5.1), as a factor. In MP4 its numbers are big
/// endian, and its version is 0.
fn output_gain(parameters: &AudioCodecParameters) -> f32 {
    let Some([b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', version, _, _, _, _, _, _, _, a, b, ..]) =
        parameters.extra_data.as_deref().filter(|_| parameters.codec == CODEC_ID_OPUS)
    else {
        return 1.0;
    };
    let gain = if *version == 0 { i16::from_be_bytes([*a, *b]) } else { i16::from_le_bytes([*a, *b]) };
    level::from_db(f64::from(gain) / 256.0) as f32
}

/// What a failed reading means: a disk that fails is not a file that is damaged.
fn unreadable(fault: Fault) -> Error {
    use ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match fault {
        Fault::IoError(error) if !matches!(error.kind(), UnexpectedEof | InvalidData | InvalidInput | Other) => {
            Error::Read(error)
        }
        fault => Error::Format(fault.to_string()),
    }
}

/// Runs foreign code over foreign bytes: a panic in it is one bad file, not the end of the program.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::Format("the decoder gave up on it in panic".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_decoder_is_one_bad_file() {
        let result: Result<(), Error> = guarded(|| panic!("on purpose"));
        assert!(matches!(result, Err(Error::Format(_))));
    }

    #[test]
    fn matroska_declares_how_long_it_is() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for name in ["chapters.mka", "stereo.webm"] {
            let declared = Reader::open(&fixtures.join(name), false).unwrap().declared.unwrap();
            assert!(declared.abs_diff(33_600) < 1_500, "{name}: {declared}");
        }
    }

    #[test]
    fn a_disk_that_fails_is_not_a_damaged_file() {
        let failed = |kind: ErrorKind| unreadable(Fault::IoError(kind.into()));
        assert!(matches!(failed(ErrorKind::UnexpectedEof), Error::Format(_)));
        assert!(matches!(failed(ErrorKind::PermissionDenied), Error::Read(_)));
        assert!(matches!(unreadable(Fault::IoError(io::Error::from_raw_os_error(5))), Error::Read(_)), "EIO");
    }
}
