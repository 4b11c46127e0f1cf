//! What is said of every recording.

use std::{fs, process::Command};

use ipfs_radio::{
    audio::Reference,
    radio::manifest::meta::Flaws,
    setup::{self, Job, Report},
};
use serde_json::Value;

use super::world::{Station, job, tree, wav, with_settings};

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A station whose second track is clipped and whose third one breaks off.
fn station() -> (Station, Report) {
    let station = Station::empty();
    station.record("music/1.wav", 220, 1_500);
    let mut clipped = wav(330, 1_500);
    clipped[4_044..4_144].as_chunks_mut::<2>().0.fill(i16::MAX.to_le_bytes());
    station.write("music/2.wav", &clipped);
    let whole = wav(440, 1_500);
    station.write("music/3.wav", &whole[..whole.len() - 20_000]);
    let report = station.run(&job());
    (station, report)
}

#[test]
fn levels_and_flaws_are_kept_with_the_item() {
    let (station, report) = station();
    assert_eq!(report.exit_code(), 0, "a flaw is no reason to skip a recording");
    let all = setup::qualities(&station.layout);
    let paths: Vec<&str> = all.iter().map(|quality| quality.path.as_str()).collect();
    assert_eq!(paths, ["music/1.wav", "music/2.wav", "music/3.wav"]);
    for quality in &all {
        let meta = station.meta(&quality.id);
        assert_eq!(
            (&meta.loudness, &meta.flaws, &meta.warnings),
            (&quality.loudness, &quality.flaws, &quality.warnings)
        );
        let reached = quality.loudness.output_lufs.unwrap() + quality.loudness.below_target_lu.unwrap_or_default();
        assert!((reached + 16.0).abs() <= 0.1 && quality.loudness.output_true_peak_dbtp.unwrap() <= -1.5, "{quality}");
    }
    assert_eq!(all[0].flaws, Flaws::default(), "one channel is not mono in stereo");
    assert_eq!(all[1].flaws, Flaws { clipped_places: 1, ..Flaws::default() });
    assert!(all[1].to_string().contains("\n  clipped in 1 places"), "{}", all[1]);
    assert!(all[2].to_string().contains("\n  "), "{}", all[2]);
}

#[test]
fn the_command_tells_it_in_text_and_json() {
    let (station, _) = station();
    let call = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
        let output = command.arg("--dir").arg(station.path("")).arg("setup").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    station.write("music/4.mp3", b"no music");
    let (code, text) = call(&["--report"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("music/2.wav: ") && text.contains("\n  clipped in 1 places\n"), "{text}");
    let (_, json) = call(&["--report", "--json"]);
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["recordings"][1]["flaws"]["clipped_places"], 1);
    assert_eq!(document["recordings"][1]["loudness"]["output_lufs"].as_f64().map(f64::round), Some(-16.0));
    assert_eq!(document["skipped"][0]["path"], "music/4.mp3");
    assert_eq!(call(&["--json"]).0, Some(64), "nothing to say as JSON");
}

#[test]
fn a_recording_can_be_heard_before_and_after() {
    let station = Station::empty();
    station.record("elsewhere/new.wav", 330, 1_500);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
    command.arg("--dir").arg(station.path("")).args(["setup", "--audition"]).arg(station.path("elsewhere/new.wav"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("LUFS") && said.contains("new.wav.after.wav"), "{said}");
    let sizes =
        ["before", "after"].map(|what| fs::read(station.path(&format!("audition/new.wav.{what}.wav"))).unwrap().len());
    assert_eq!(sizes, [44 + 66_150 * 8, 44 + 66_150 * 4]);
    assert!(!station.path("processed").exists(), "nothing is encoded");
}

#[test]
fn what_the_tags_state_of_the_loudness_is_told() {
    let station = Station::empty();
    station.record("music/1.wav", 220, 1_500);
    station.write("music/2.wav", &with_gains(&wav(330, 1_500), &[("REPLAYGAIN_TRACK_GAIN", "-6.54 dB")]));
    let gains = [("replaygain_track_gain", "-4.00 dB"), ("replaygain_album_gain", "+2.25 dB")];
    station.write("music/3.wav", &with_gains(&wav(440, 1_500), &gains));
    for (reference, stated) in [
        (Reference::Track, [None, Some(-11.46), Some(-14.0)]),
        (Reference::ReplayGain, [None, Some(-11.46), Some(-14.0)]),
        (Reference::Album, [None, None, Some(-20.25)]),
    ] {
        station.run(&with_settings(|settings| settings.reference = reference));
        let all = setup::qualities(&station.layout);
        assert_eq!(all.iter().map(|quality| quality.loudness.stated_lufs).collect::<Vec<_>>(), stated, "{reference:?}");
        let meta = |index: usize| fs::read_to_string(station.layout.processed().meta(&all[index].id)).unwrap();
        assert!(!meta(0).contains("stated"), "where nothing is stated the file is as it was");
        assert!(meta(2).contains(&format!("\"stated_lufs\": {:?}", stated[2].unwrap())), "{}", meta(2));
    }
    station.write("setup.toml", b"[audio]\nloudness_reference = \"album\"\n");
    let call = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
        let output = command.arg("--dir").arg(station.path("")).arg("setup").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = call(&["--report"]);
    assert_eq!(text.matches(", its tags say -20.2 LUFS; gain +4.2 dB").count(), 1, "{text}");
    let document: Value = serde_json::from_str(&call(&["--report", "--json"])).unwrap();
    let stated = |index: usize| document["recordings"][index]["loudness"].get("stated_lufs").cloned();
    assert_eq!((stated(1), stated(2)), (None, Some(Value::from(-20.25))));
    let heard = call(&["--audition", station.path("music/3.wav").to_str().unwrap()]);
    assert!(heard.contains(", its tags say -20.2 LUFS; gain +4.2 dB"), "{heard}");
}

/// A recording with these texts in front.
pub(super) fn with_gains(recording: &[u8], gains: &[(&str, &str)]) -> Vec<u8> {
    let frame = |(name, gain): &(&str, &str)| (b"TXXX", [b"\0", name.as_bytes(), b"\0", gain.as_bytes()].concat());
    [super::id3(&gains.iter().map(frame).collect::<Vec<_>>()), recording.to_vec()].concat()
}

#[test]
fn what_is_heard_is_what_would_air() {
    let station = Station::empty();
    station.write("setup.toml", b"[jingles]\nloudness_offset = -5\n");
    station.write("jingles/song.mp3", &fs::read(fixture("stereo.mp3")).unwrap());
    station.record("jingles/song.wav", 440, 2_500);
    station.write("jingles/song.wav.toml", b"gain_db = 2\ncue_in_seconds = 0.5\ncue_out_seconds = 1.75\n");
    station.record("music/same.flac", 550, 2_000);
    station.record("jingles/same.wav", 550, 2_000);
    let call = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
        let output = command.current_dir(station.path("")).arg("setup").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let heard = |file: &str| {
        let (code, said) = call(&["--audition", file]);
        assert_eq!(code, Some(0), "{said}");
        let figures = said.split("\nwritten: ").next().unwrap().to_owned();
        let name = file.rsplit('/').next().unwrap();
        (
            figures,
            ["before", "after"].map(|what| fs::read(station.path(&format!("audition/{name}.{what}.wav"))).unwrap()),
        )
    };
    let paths = ["jingles/song.mp3", "jingles/song.wav"];
    let all = paths.map(heard);
    let seconds = |bytes: &[u8], frame: usize| (bytes.len() - 44) as f64 / frame as f64 / 44_100.0;
    assert_eq!((seconds(&all[1].1[0], 8), seconds(&all[1].1[1], 4)), (1.25, 1.25), "between its cues");
    let (code, report) = call(&["--report"]);
    assert_eq!(code, Some(0), "{report}");
    for (figures, files) in &all {
        assert!(report.contains(figures.as_str()), "{figures} of\n{report}");
        assert!(figures.contains("song."), "{figures}");
        let name = if figures.starts_with("jingles/song.mp3") { "song.mp3" } else { "song.wav" };
        let kept =
            ["before", "after"].map(|what| fs::read(station.path(&format!("audition/{name}.{what}.wav"))).unwrap());
        assert!(kept == *files, "{name} was overwritten");
    }
    assert!(all[1].0.contains("; -19.0 LUFS, "), "-16 - 5 + 2: {}", all[1].0);
    let (same, _) = heard("music/same.flac");
    assert!(report.contains(&same) && same.contains("; -21.0 LUFS"), "it has the bytes of a jingle: {same}");

    station.write("jingles/song.wav.toml", b"gain_db = \"loud\"\n");
    let (code, said) = call(&["--audition", "jingles/song.wav"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(!station.path("audition/song.wav.before.wav").exists());
}

#[test]
fn jingles_can_be_at_a_level_of_their_own() {
    let station = Station::with_music();
    station.run(&job());
    fs::copy(station.path("jingles/1.wav"), station.path("music/3.wav")).unwrap();
    let lower = Job { jingle_offset: -4.0, ..job() };
    let report = station.run(&lower);
    assert_eq!((report.encoded, report.items, report.entries), (2, 5, 6), "only the jingles are made anew");
    for quality in setup::qualities(&station.layout) {
        let jingle = quality.path.starts_with("jingles") || quality.path == "music/3.wav";
        let wanted = if jingle { -20.0 } else { -16.0 };
        assert!((quality.loudness.output_lufs.unwrap() - wanted).abs() <= 0.1, "{quality}");
    }
    assert_eq!(station.run(&lower).encoded, 0);
    assert_eq!(station.run(&job()).encoded, 2);
    let before = tree(&station.path("processed"));
    station.run(&Job { jobs: 1, ..lower.clone() });
    station.run(&Job { jobs: 4, ..job() });
    assert_eq!(tree(&station.path("processed")), before);
}
