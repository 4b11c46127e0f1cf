//! What is told while recordings are encoded.

use std::fs;

use super::world::{Station, job, with_settings};

/// The amounts that were told, in seconds: how much was done, and how much there was.
fn amounts(station: &Station) -> Vec<(f64, f64)> {
    let told = std::mem::take(&mut *station.told.lock().unwrap());
    let after = |line: &str, name: &str| {
        let digits = line.split(&format!("{name}: Span(")).nth(1).unwrap();
        digits.split(')').next().unwrap().parse::<f64>().unwrap() / 1e6
    };
    let amount = |line: &String| (after(line, "amount: Amount { done"), after(line, "whole"));
    told.iter().filter(|line| line.contains("amount: ")).map(amount).collect()
}

#[test]
fn a_single_recording_shows_how_far_it_is() {
    let station = Station::empty();
    station.record("music/mix.wav", 220, 9_000);
    station.run(&job());
    let told = amounts(&station);
    assert!(told.len() >= 8, "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{told:?}");
    let in_the_survey = told.iter().filter(|(done, _)| *done <= 4.5).count();
    assert!((3..told.len() - 3).contains(&in_the_survey), "{told:?}");
    assert!(told.iter().all(|(_, whole)| (8.9..9.2).contains(whole)), "{told:?}");
    assert_eq!(told.last().unwrap().0, told.last().unwrap().1);
}

#[test]
fn what_is_ready_is_no_work() {
    let station = Station::with_music();
    station.run(&job());
    amounts(&station);
    station.run(&job());
    assert!(amounts(&station).iter().all(|amount| *amount == (0.0, 0.0)));

    station.record("music/new.wav", 550, 3_000);
    station.run(&job());
    let told = amounts(&station);
    assert!(told.iter().all(|(_, whole)| *whole < 3.2), "only the new one: {told:?}");
    assert!(told.last().unwrap().0 >= 3.0, "{told:?}");

    // The manifest is gone, but not the items.
    fs::remove_file(station.layout.processed().manifest()).unwrap();
    station.record("music/newer.wav", 660, 2_000);
    station.run(&job());
    let told = amounts(&station);
    assert!(told.iter().all(|(_, whole)| *whole < 2.2) && told.last().unwrap().0 >= 2.0, "{told:?}");

    station.run(&with_settings(|settings| settings.bitrates = vec![96_000]));
    let told = amounts(&station);
    assert!((13.0..13.6).contains(&told[0].1), "all of them, from the first on: {told:?}");
}
