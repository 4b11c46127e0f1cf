//! AAC-LC at a constant bitrate by FDK. The one module with unsafe code: the calls into the C library.
#![allow(unsafe_code)]

use std::{ffi::c_void, ptr};

use fdk_aac_sys as sys;

use super::{Error, cut::FRAME};

/// The library's number for AAC-LC.
const AAC_LC: u32 = 2;
/// The library's number for a stream of ADTS frames.
const ADTS: u32 = 2;
/// Opens the plain AAC encoder alone, without SBR and the rest.
const AAC_CORE: u32 = 1;
/// Room for the largest frame: 6144 bits for each of two channels, and its header.
const FRAME_BYTES: usize = 2_048;
/// The delay that the zeros in front bring the encoder's own delay to, in samples per channel: two frames.
const DELAY: u32 = 2_048;

/// An encoder of one item.
///
/// Zeros in front make the encoder's delay two whole frames; the first of these is dropped, so that what is decoded
/// lags the PCM by exactly one frame, which primes the decoder. n samples give 1 + ceil(n / 1024) frames.
pub(super) struct Encoder {
    handle: sys::HANDLE_AACENCODER,
    channels: usize,
    out: Vec<u8>,
    first: bool,
}

/// What came of one call.
enum Step {
    /// So many samples were taken, and a frame of so many bytes came out, if any.
    Done { taken: usize, bytes: usize },
    /// Nothing is left to flush.
    End,
}

impl Encoder {
    /// Opens an encoder for `rate` Hz, 1 or 2 channels and `bitrate` b/s.
    pub(super) fn open(rate: u32, channels: u8, bitrate: u32) -> Result<Self, Error> {
        runs_here(flags(), &features())?;
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is written through a valid pointer; it is closed by Drop.
        let code = unsafe { sys::aacEncOpen(&mut handle, AAC_CORE, u32::from(channels)) };
        check(code, "aacEncOpen")?;
        let encoder = Self { handle, channels: usize::from(channels), out: vec![0; FRAME_BYTES], first: true };
        encoder.set(sys::AACENC_PARAM_AACENC_AOT, AAC_LC, "object type")?;
        encoder.set(sys::AACENC_PARAM_AACENC_SAMPLERATE, rate, "sample rate")?;
        encoder.set(sys::AACENC_PARAM_AACENC_CHANNELMODE, u32::from(channels), "channels")?;
        encoder.set(sys::AACENC_PARAM_AACENC_BITRATE, bitrate, "bitrate")?;
        encoder.set(sys::AACENC_PARAM_AACENC_TRANSMUX, ADTS, "transport")?;
        encoder.set(sys::AACENC_PARAM_AACENC_AFTERBURNER, 1, "afterburner")?;
        encoder.primed(rate, bitrate)
    }

    /// Takes interleaved samples and appends the frames that are ready.
    pub(super) fn push(&mut self, pcm: &[i16], frames: &mut Vec<Vec<u8>>) -> Result<(), Error> {
        let mut rest = pcm;
        while !rest.is_empty() {
            let Step::Done { taken, bytes } = self.step(Some(rest))? else {
                return Err(Error::Encoder("it ended before its input".to_owned()));
            };
            if taken == 0 && bytes == 0 {
                return Err(Error::Encoder("it takes no input".to_owned()));
            }
            self.keep(bytes, frames);
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Appends the frames that are left.
    pub(super) fn finish(&mut self, frames: &mut Vec<Vec<u8>>) -> Result<(), Error> {
        while let Step::Done { bytes, .. } = self.step(None)? {
            if bytes == 0 {
                return Err(Error::Encoder("it does not end".to_owned()));
            }
            self.keep(bytes, frames);
        }
        Ok(())
    }

    fn keep(&mut self, bytes: usize, frames: &mut Vec<Vec<u8>>) {
        if bytes == 0 {
            return;
        }
        if self.first {
            self.first = false;
            return;
        }
        frames.push(self.out[..bytes].to_vec());
    }

    /// Applies the parameters, checks what came of them and pushes the zeros in front.
    fn primed(mut self, rate: u32, bitrate: u32) -> Result<Self, Error> {
        // SAFETY: a call without buffers applies the parameters; the handle is open.
        let code = unsafe { sys::aacEncEncode(self.handle, ptr::null(), ptr::null(), ptr::null(), ptr::null_mut()) };
        check(code, &format!("{bitrate} b/s at {rate} Hz with {} channels", self.channels))?;
        // SAFETY: the struct is plain numbers, all zeros are valid; the library fills it in.
        let info = unsafe {
            let mut info = std::mem::zeroed::<sys::AACENC_InfoStruct>();
            check(sys::aacEncInfo(self.handle, &mut info), "aacEncInfo")?;
            info
        };
        // SAFETY: the handle is open.
        let granted = unsafe { sys::aacEncoder_GetParam(self.handle, sys::AACENC_PARAM_AACENC_BITRATE) };
        if granted != bitrate {
            return Err(Error::Encoder(format!("{bitrate} b/s is not possible at {rate} Hz, {granted} b/s is")));
        }
        if u64::from(info.frameLength) != FRAME || info.maxOutBufBytes as usize > FRAME_BYTES {
            let (frame, most) = (info.frameLength, info.maxOutBufBytes);
            return Err(Error::Encoder(format!("frames of {frame} samples and up to {most} bytes")));
        }
        let Some(zeros) = DELAY.checked_sub(info.nDelay) else {
            return Err(Error::Encoder(format!("a delay of {} samples", info.nDelay)));
        };
        let mut early = Vec::new();
        let zeros = vec![0; zeros as usize * self.channels];
        self.push(&zeros, &mut early)?;
        Ok(self)
    }

    fn set(&self, parameter: sys::AACENC_PARAM, value: u32, name: &str) -> Result<(), Error> {
        // SAFETY: the handle is open.
        let code = unsafe { sys::aacEncoder_SetParam(self.handle, parameter, value) };
        check(code, &format!("{name} {value}"))
    }

    /// One call of the encoder: takes samples, or flushes when there are none to come.
    fn step(&mut self, pcm: Option<&[i16]>) -> Result<Step, Error> {
        let samples = pcm.unwrap_or_default();
        let mut input = Buffer::new(samples.as_ptr() as *mut c_void, size_of_val(samples), size_of::<i16>());
        input.identifier = sys::AACENC_BufferIdentifier_IN_AUDIO_DATA as i32;
        let mut output = Buffer::new(self.out.as_mut_ptr().cast(), self.out.len(), 1);
        output.identifier = sys::AACENC_BufferIdentifier_OUT_BITSTREAM_DATA as i32;
        let arguments = sys::AACENC_InArgs { numInSamples: pcm.map_or(-1, |pcm| pcm.len() as i32), numAncBytes: 0 };
        let mut result = sys::AACENC_OutArgs { numOutBytes: 0, numInSamples: 0, numAncBytes: 0, bitResState: 0 };
        // SAFETY: the descriptors point at buffers of the sizes they state, which outlive the call; the library only
        // reads the input.
        let code = unsafe {
            sys::aacEncEncode(self.handle, &input.descriptor(), &output.descriptor(), &arguments, &mut result)
        };
        if pcm.is_none() && code == sys::AACENC_ERROR_AACENC_ENCODE_EOF {
            return Ok(Step::End);
        }
        check(code, "aacEncEncode")?;
        let (taken, bytes) = (result.numInSamples as usize, result.numOutBytes as usize);
        if taken > samples.len() || bytes > self.out.len() {
            return Err(Error::Encoder(format!("it took {taken} samples and made {bytes} bytes")));
        }
        Ok(Step::Done { taken, bytes })
    }
}

// SAFETY: all that the library knows of an encoder is behind its handle, its tables are constants, and an encoder has one owner
// at a time.
unsafe impl Send for Encoder {}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the handle is open and not used after this. Closing fails for a null handle only.
        unsafe { sys::aacEncClose(&mut self.handle) };
    }
}

/// One buffer as the library wants it described.
struct Buffer {
    address: *mut c_void,
    identifier: i32,
    bytes: i32,
    element_bytes: i32,
}

impl Buffer {
    fn new(address: *mut c_void, bytes: usize, element_bytes: usize) -> Self {
        Self { address, identifier: 0, bytes: bytes as i32, element_bytes: element_bytes as i32 }
    }

    fn descriptor(&mut self) -> sys::AACENC_BufDesc {
        sys::AACENC_BufDesc {
            numBufs: 1,
            bufs: &mut self.address,
            bufferIdentifiers: &mut self.identifier,
            bufSizes: &mut self.bytes,
            bufElSizes: &mut self.element_bytes,
        }
    }
}

/// The flags that the library was compiled with, beside the compiler's own: none where another compiler was named than the
/// one that adds them (.cargo/config.toml).
fn flags() -> &'static str {
    let ours = cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"));
    let compiler = option_env!("CC_x86_64_unknown_linux_gnu").unwrap_or_default();
    let adds = ours && compiler.ends_with("scripts/lib/cc");
    option_env!("FDK_FLAGS").filter(|_| adds).unwrap_or_default()
}

/// What the library may be compiled for, as the compiler's flags are spelled, and whether this processor has it.
#[cfg(target_arch = "x86_64")]
fn features() -> [(&'static str, bool); 4] {
    [
        ("-mavx2", is_x86_feature_detected!("avx2")),
        ("-mbmi", is_x86_feature_detected!("bmi1")),
        ("-mbmi2", is_x86_feature_detected!("bmi2")),
        ("-mlzcnt", is_x86_feature_detected!("lzcnt")),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> [(&'static str, bool); 0] {
    []
}

/// Refuses a library that was compiled for what this processor lacks, before it runs into it.
fn runs_here(flags: &str, features: &[(&str, bool)]) -> Result<(), Error> {
    let lacks = |flag: &&str| features.contains(&(*flag, false));
    let lacking: Vec<&str> = flags.split_whitespace().filter(lacks).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Error::Encoder(format!(
        "it was compiled for processors that can more than this one ({}): compile the program with \
         `CC_x86_64_unknown_linux_gnu=cc cargo build --release`",
        lacking.join(" ")
    )))
}

fn check(code: sys::AACENC_ERROR, what: &str) -> Result<(), Error> {
    if code == sys::AACENC_ERROR_AACENC_OK {
        return Ok(());
    }
    Err(Error::Encoder(format!("{what}: error {code:#x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compiled_for_other_processors_is_refused_in_words() {
        let older = [("-mavx2", true), ("-mbmi", false), ("-mbmi2", true), ("-mlzcnt", false)];
        let refused = runs_here("-O3 -mavx2 -mbmi -mbmi2", &older).unwrap_err().to_string();
        assert!(refused.contains("(-mbmi)") && refused.contains("gnu=cc cargo build"), "{refused}");
        runs_here("-O3 -mbmi2", &older).unwrap();
        runs_here("", &older).unwrap();
    }

    #[test]
    fn whatever_the_library_is_compiled_for_is_looked_for() {
        let known = |flag: &str| features().iter().any(|(known, _)| *known == flag);
        let unknown: Vec<&str> =
            flags().split_whitespace().filter(|flag| flag.starts_with("-m") && !known(flag)).collect();
        assert_eq!(unknown, [""; 0]);
    }
}
