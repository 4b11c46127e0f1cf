//! An item before and after its level is set, as WAV.

use std::{
    io::{self, Write},
    sync::atomic::AtomicBool,
};

use super::{
    Error, Mastered, ROOM, Settings, Source, check_settings,
    level::Level,
    master::Master,
    mastered,
    pass::{Survey, replay},
};

/// The format tags of RIFF: whole numbers, and floating point.
const PCM: u16 = 1;
const FLOAT: u16 = 3;

/// Writes what is encoded of `source` as WAV: in the output's format at its own level (32-bit floating point, so that
/// nothing over full scale is lost) to `before`, and as the encoder gets it (16 bits) to `after`. Sample by sample the
/// two belong together.
pub fn audition(
    source: &dyn Source,
    settings: &Settings,
    stop: &AtomicBool,
    before: &mut dyn Write,
    after: &mut dyn Write,
) -> Result<Mastered, Error> {
    check_settings(settings)?;
    let survey = Survey::of(source, settings, stop, &ROOM)?;
    let master = Master::of(&survey, source, settings, stop)?;
    before.write_all(&header(settings, survey.len(), FLOAT)?).map_err(Error::Sink)?;
    after.write_all(&header(settings, survey.len(), PCM)?).map_err(Error::Sink)?;

    let mut level = Level::new(settings, survey.len(), master.setting);
    let mut write = |pcm: Vec<i16>| put(after, pcm.into_iter().map(i16::to_le_bytes));
    replay(&survey, source, settings, stop, |block| {
        put(before, block.to_float().iter().map(|sample| sample.to_le_bytes()))?;
        write(block.levelled(&mut level))
    })?;
    write(level.finish())?;
    Ok(mastered(&survey, &master))
}

fn put<const N: usize>(file: &mut dyn Write, samples: impl Iterator<Item = [u8; N]>) -> Result<(), Error> {
    file.write_all(&samples.flatten().collect::<Vec<u8>>()).map_err(Error::Sink)
}

/// The 44 bytes in front of so many samples per channel.
fn header(settings: &Settings, samples: u64, format: u16) -> Result<Vec<u8>, Error> {
    let sample_bytes: u16 = if format == FLOAT { 4 } else { 2 };
    let frame_bytes = u16::from(settings.channels) * sample_bytes;
    let too_long = || Error::Sink(io::Error::other("the recording is too long for a WAV file"));
    let bytes = samples.checked_mul(frame_bytes.into()).filter(|bytes| *bytes <= u64::from(u32::MAX - 36));
    let bytes = bytes.ok_or_else(too_long)? as u32;
    let mut header = Vec::new();
    header.extend(b"RIFF");
    header.extend((36 + bytes).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0");
    header.extend(format.to_le_bytes());
    header.extend(u16::from(settings.channels).to_le_bytes());
    header.extend(settings.rate.to_le_bytes());
    header.extend((settings.rate * u32::from(frame_bytes)).to_le_bytes());
    header.extend(frame_bytes.to_le_bytes());
    header.extend((8 * sample_bytes).to_le_bytes());
    header.extend(b"data");
    header.extend(bytes.to_le_bytes());
    Ok(header)
}
