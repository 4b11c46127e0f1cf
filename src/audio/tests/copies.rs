//! Copies of a recording in another format.

use super::{super::synth::Generator, files::*, *};

/// So many seconds of the generator's music.
fn music(seed: u64, seconds: u32) -> Pcm {
    let generator = synth::SynthReggae::new(Default::default()).unwrap();
    let music = generator.produce(seed, 0, seconds * 44_100).unwrap();
    Pcm(Block { rate: music.rate, channels: music.channels, samples: music.samples })
}

/// A WAV file of it, and an AAC file that our encoder makes of it. Another decoder reads that one.
fn both(music: &Pcm, bitrate: u32) -> [Vec<u8>; 2] {
    let pcm: Vec<u8> = music.0.samples.iter().flat_map(|x| ((x * 32_767.0) as i16).to_le_bytes()).collect();
    let (_, parts) = encoded(music, &Settings { bitrates: vec![bitrate], ..plain() });
    [wav(1, 44_100, 2, 16, &pcm), frames(&parts, 44_100).concat()]
}

fn fingerprint(bytes: &[u8], name: &str) -> Fingerprint {
    let (_folder, file) = written(bytes, name);
    let codec = decode::probe(&file.path).unwrap().codec;
    assert_eq!(codec, if name.ends_with("wav") { "pcm_s16le" } else { "aac" });
    encoded(&file, &plain()).0.fingerprint
}

/// Whether one is found by the other's keys, as setup looks for it, and sounds like it.
fn is_copy(one: &Fingerprint, other: &Fingerprint) -> bool {
    let keys = other.keys();
    let in_common = one.keys().iter().filter(|key| keys.binary_search(key).is_ok()).count();
    Fingerprint::is_hint(in_common) && one.sounds_like(other)
}

#[test]
fn a_copy_in_another_format_is_known_and_other_music_is_not() {
    let recordings = [1, 2].map(|seed| both(&music(seed, 40), 64_000));
    let prints = recordings.map(|[wav, aac]| [fingerprint(&wav, "a.wav"), fingerprint(&aac, "a.aac")]);
    for [wav, aac] in &prints {
        assert_ne!(wav, aac, "it is not the same to the last bit");
        assert!(is_copy(wav, aac) && is_copy(aac, wav));
    }
    for one in &prints[0] {
        assert!(prints[1].iter().all(|other| !one.sounds_like(other)));
    }
}
