//! Sections of an item: the same bytes on any number of cores, and no seam that can be heard.

use super::{
    rung::Rungs,
    section::{Common, Plan},
    *,
};

const RATE: u32 = 44_100;
/// Frames of a section of three parts of a second.
const SHORT: u64 = 3 * 43;

/// Two voices that slide, and a beat.
fn music(seconds: u64) -> Vec<i16> {
    let voice = |t: f64, from: f64| (TAU * (from * t + 7.0 * t * t)).cos() + 0.4 * (TAU * 3.0 * from * t).cos();
    let beat = |t: f64| (-30.0 * (t % 0.5)).exp() * (TAU * 90.0 * (t % 0.5)).sin();
    let sound = stereo(RATE, seconds * u64::from(RATE), |t| voice(t, 220.0) + beat(t), |t| voice(t, 330.0) - beat(t));
    sound.0.samples.iter().map(|sample| (sample * 8_000.0) as i16).collect()
}

/// The parts of this PCM, of sections of so many frames, where so many cores are left.
fn made(pcm: &[i16], settings: &Settings, frames: u64, left: usize) -> Result<Vec<Part>, Error> {
    made_of(pcm, settings, (pcm.len() / 2) as u64, frames, left)
}

/// The same, where the survey has counted so many samples.
fn made_of(pcm: &[i16], settings: &Settings, samples: u64, frames: u64, left: usize) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    let mut sink = |part| {
        parts.push(part);
        Ok(())
    };
    made_into(&mut sink, &AtomicBool::new(false), pcm, settings, (samples, frames, left))?;
    Ok(parts)
}

/// The same, part by part. Whether there was a time at which no core was left.
fn made_into(
    sink: &mut dyn FnMut(Part) -> io::Result<()>,
    stop: &AtomicBool,
    pcm: &[i16],
    settings: &Settings,
    (samples, frames, left): (u64, u64, usize),
) -> Result<bool, Error> {
    let (cut, cores) = (Cut::new(samples, RATE, 1), Cores::new(left));
    let mut all_busy = false;
    let made = thread::scope(|scope| {
        let mut rungs = Rungs::new(Common { scope, settings, cores: &cores, stop }, cut, Plan::of(cut, frames));
        pcm.chunks(1_500).try_for_each(|some| {
            rungs.feed(some, sink)?;
            all_busy |= cores.spare().is_none();
            Ok(())
        })?;
        rungs.finish(sink)
    });
    let all: Vec<_> = std::iter::from_fn(|| cores.spare()).take(left + 1).collect();
    assert_eq!(all.len(), left, "all cores are free again");
    made.map(|()| all_busy)
}

#[test]
fn the_bytes_are_the_same_on_any_number_of_cores() {
    let settings = Settings { bitrates: vec![128_000, 64_000], ..plain() };
    let pcm = music(20);
    let bytes = |left| {
        let parts = made(&pcm, &settings, SHORT, left).unwrap();
        assert!(parts.iter().map(|part| (part.part, part.rung)).eq((0..21).flat_map(|at| [(at, 0), (at, 1)])));
        parts.into_iter().map(|part| part.bytes).collect::<Vec<_>>()
    };
    let alone = bytes(0);
    for left in [1, 2, 7] {
        assert!(bytes(left) == alone, "with {left} cores beside one");
    }
    assert!(made(&pcm, &settings, u64::MAX, 0).unwrap().iter().map(|part| &part.bytes).ne(&alone), "one section");
}

/// What is wrong with each frame that is decoded, as energy on the left.
fn noise(pcm: &[i16], frames_each: u64) -> Vec<f64> {
    let parts = made(pcm, &plain(), frames_each, 1).unwrap();
    let decoded = channel(&decode(&frames(&parts, RATE).concat()), 2, 0).split_off(FRAME as usize);
    let source = pcm.iter().step_by(2).map(|sample| level::from_i16(*sample));
    let wrong: Vec<f64> = source.zip(decoded).map(|(was, is)| f64::from(is - was).powi(2)).collect();
    wrong.chunks(FRAME as usize).map(|frame| frame.iter().sum::<f64>() + 1e-6).collect()
}

#[test]
fn at_a_seam_it_sounds_as_if_there_was_none() {
    let pcm = music(40);
    let (serial, sections) = (noise(&pcm, u64::MAX), noise(&pcm, SHORT));
    let cut = Cut::new((pcm.len() / 2) as u64, RATE, 1);
    let seams = (1..).map_while(|index| Plan::of(cut, SHORT).section(index)).map(|own| own.start as usize);
    // What a frame of AAC does wrong is heard in the frame before it as well, and its window reaches into the next.
    let around = |noise: &[f64], seam: usize| 10.0 * noise[seam - 3..seam + 3].iter().sum::<f64>().log10();
    let more: Vec<f64> = seams.map(|seam| around(&sections, seam) - around(&serial, seam)).collect();
    let (mean, worst) = (more.iter().sum::<f64>() / more.len() as f64, more.iter().copied().fold(f64::MIN, f64::max));
    assert!(more.len() >= 12, "{more:?}");
    assert!(mean < 0.5 && worst < 3.0, "the seams are {mean} dB worse, one of them {worst} dB: {more:?}");
}

#[test]
fn less_pcm_than_there_was_is_an_error() {
    let pcm = music(8);
    let samples = (pcm.len() / 2) as u64;
    for (frames, more) in [(u64::MAX, 44_100), (SHORT, 44_100), (SHORT, 4 * 44_100)] {
        let why = made_of(&pcm, &plain(), samples + more, frames, 1).unwrap_err().to_string();
        assert!(why.contains("frames"), "{why}");
    }
}

#[test]
fn other_cores_work_at_a_long_item_and_end_with_it() {
    let (pcm, stop) = (music(20), AtomicBool::new(false));
    let of = |frames| ((pcm.len() / 2) as u64, frames, 1);
    assert!(made_into(&mut |_| Ok(()), &stop, &pcm, &plain(), of(SHORT)).unwrap());
    assert!(!made_into(&mut |_| Ok(()), &stop, &pcm, &plain(), of(u64::MAX)).unwrap(), "there is but one section");
    let refused = made_into(&mut |_| Err(io::Error::other("full")), &stop, &pcm, &plain(), of(SHORT));
    assert!(matches!(refused, Err(Error::Sink(why)) if why.to_string() == "full"));
    stop.store(true, Ordering::Relaxed);
    let stopped = made_into(&mut |_| Ok(()), &stop, &pcm, &plain(), of(SHORT));
    assert!(matches!(stopped, Err(Error::Stopped)), "a core that helps looks at the stop");
}
