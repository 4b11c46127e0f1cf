//! Recordings that are there twice, in the same bytes or in others.

use std::{f64::consts::TAU, process::Command};

use super::world::{Station, wav_of};

const RATE: u32 = 44_100;

/// Fourteen seconds of three tones at a time, other ones for each seed, behind so many milliseconds of silence.
fn tune(seed: u32, level: f64, silence_ms: u32) -> Vec<u8> {
    let mut random = seed;
    let mut pitch = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        110.0 * 2_f64.powf(f64::from((random >> 12) % 48) / 12.0)
    };
    let notes: Vec<[f64; 3]> = (0..56).map(|_| [pitch(), pitch(), pitch()]).collect();
    let silence = RATE * silence_ms / 1_000;
    let sample = |at: u32| {
        let Some(at) = at.checked_sub(silence) else { return 0 };
        let tone = |hertz: &f64| (TAU * hertz * f64::from(at) / f64::from(RATE)).sin();
        (notes[(at * 4 / RATE) as usize].iter().map(tone).sum::<f64>() * level * 9_000.0) as i16
    };
    wav_of((0..silence + 14 * RATE).map(sample))
}

/// What the command says of copies.
fn told(station: &Station, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
    let output = command.arg("--dir").arg(station.path("")).arg("setup").args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let copies = |line: &&str| line.contains("sounds like") || line.contains("the same bytes");
    said.lines().filter(copies).map(str::to_owned).collect()
}

#[test]
fn a_copy_is_told_when_it_comes_and_in_the_report() {
    let station = Station::empty();
    station.write("music/a.wav", &tune(1, 1.0, 0));
    station.write("music/b.wav", &tune(2, 1.0, 0));
    assert_eq!(told(&station, &[]), [""; 0]);
    station.write("music/c.wav", &tune(1, 0.4, 900));
    assert_eq!(told(&station, &[]), ["`music/c.wav` sounds like `music/a.wav`: is it there twice?"]);
    assert_eq!(told(&station, &[]), [""; 0], "nothing is new");
    assert_eq!(told(&station, &["--report"]), ["music/a.wav sounds like music/c.wav"]);
}

#[test]
fn the_same_file_under_two_names_is_told_when_it_comes_and_in_the_report() {
    let station = Station::empty();
    station.write("music/a.wav", &tune(1, 1.0, 0));
    assert_eq!(told(&station, &[]), [""; 0]);
    station.write("music/b.wav", &tune(1, 1.0, 0));
    station.write("jingles/a.wav", &tune(1, 1.0, 0));
    let same = |other: &str| format!("`jingles/a.wav` has the same bytes as `{other}`: is it there twice?");
    assert_eq!(told(&station, &[]), [same("music/a.wav"), same("music/b.wav")]);
    assert_eq!(told(&station, &[]), [""; 0], "nothing is new");
    let all = ["jingles/a.wav sounds like music/a.wav", "jingles/a.wav sounds like music/b.wav"];
    assert_eq!(told(&station, &["--report"]), all);
}

#[test]
fn two_that_come_together_are_told_once() {
    let station = Station::empty();
    station.write("music/a.wav", &tune(3, 1.0, 0));
    station.write("music/b.wav", &tune(3, 0.5, 0));
    assert_eq!(told(&station, &[]), ["`music/a.wav` sounds like `music/b.wav`: is it there twice?"]);
}
