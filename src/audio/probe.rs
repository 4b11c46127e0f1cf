//! What a recording says of itself.

use std::path::Path;

use symphonia::core::{
    codecs::{
        CodecParameters,
        video::{CODEC_ID_NULL_VIDEO, well_known::CODEC_ID_MJPEG},
    },
    formats::{Track, well_known::FORMAT_ID_ISOMP4},
};

use super::{
    Error,
    decode::{CODECS, audio_parameters, audio_track, guarded, open_format},
    legacy::Legacy,
    matroska, mp4, tags,
    tags::Tags,
};
use crate::radio::cue::Mark;

/// What a recording says of itself. Nothing of it has been decoded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Short name of the codec, such as `flac`.
    pub codec: String,
    /// Short name of the container, such as `ogg`.
    pub container: String,
    /// Samples per second, if stated ahead of the audio.
    pub rate: Option<u32>,
    /// Channels, if stated ahead of the audio.
    pub channels: Option<u16>,
    /// Samples per channel the container declares; an estimate in some formats (MP3 without a header, ADTS).
    pub declared_samples: Option<u64>,
    /// Whether there are moving pictures in it. A cover is none, also where it is a video track.
    pub is_video: bool,
    /// Title, artist, cover and so on.
    pub tags: Tags,
    /// What plays from where on, as its chapters say.
    pub marks: Vec<Mark>,
}

/// Reads what a recording says of itself, without decoding it.
pub fn probe(path: &Path) -> Result<Probe, Error> {
    guarded(|| {
        let mut format = open_format(path)?;
        let legacy = Legacy::of_file(path);
        let mut tags = tags::read(format.as_mut(), &legacy);
        tags.title = tags.title.or_else(|| matroska::title(path));
        let is_mp4 = format.format_info().format == FORMAT_ID_ISOMP4;
        let marks = if is_mp4 { mp4::chapters(path) } else { tags::marks(format.as_ref(), &legacy) };
        let track = audio_track(format.as_ref())?;
        let parameters = audio_parameters(track)?;
        let codec = CODECS.get_audio_decoder(parameters.codec).map(|decoder| decoder.codec.info.short_name);
        Ok(Probe {
            codec: codec
                .ok_or_else(|| Error::Format("its codec is not supported; convert it to FLAC".to_owned()))?
                .to_owned(),
            container: format.format_info().short_name.to_owned(),
            rate: parameters.sample_rate,
            channels: parameters.channels.as_ref().map(|channels| channels.count() as u16),
            declared_samples: track.num_frames,
            is_video: format.tracks().iter().any(moves) || (is_mp4 && mp4::is_video(path)),
            tags,
            marks: tags::entitled(marks),
        })
    })
}

/// Whether a track has moving pictures, by its codec as far as that is told (of MP4 files see [`mp4::is_video`]): covers are
/// still ones, and players that show them as a video call them MJPEG.
fn moves(track: &Track) -> bool {
    let video = track.codec_params.as_ref().and_then(CodecParameters::video);
    video.is_some_and(|video| ![CODEC_ID_NULL_VIDEO, CODEC_ID_MJPEG].contains(&video.codec))
}
