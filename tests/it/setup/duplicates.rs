//! Recordings that are there twice, in other bytes.

use std::f64::consts::TAU;

use ipfs_radio::setup;

use super::world::{Station, job, wav_of};

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

#[test]
fn a_copy_is_told_when_it_comes_and_in_the_report() {
    let station = Station::empty();
    station.write("music/a.wav", &tune(1, 1.0, 0));
    station.write("music/b.wav", &tune(2, 1.0, 0));
    assert_eq!(station.run(&job()).notices, [""; 0]);
    station.write("music/c.wav", &tune(1, 0.4, 900));
    assert_eq!(station.run(&job()).notices, ["`music/c.wav` sounds like `music/a.wav`: is it there twice?"]);
    assert_eq!(station.run(&job()).notices, [""; 0], "nothing is new");
    assert_eq!(setup::copies(&station.layout), [("music/a.wav".to_owned(), "music/c.wav".to_owned())]);
}

#[test]
fn two_that_come_together_are_told_once() {
    let station = Station::empty();
    station.write("music/a.wav", &tune(3, 1.0, 0));
    station.write("music/b.wav", &tune(3, 0.5, 0));
    assert_eq!(station.run(&job()).notices, ["`music/a.wav` sounds like `music/b.wav`: is it there twice?"]);
}
