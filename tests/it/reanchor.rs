//! Dates that are an hour ahead of the clock, and the command that has them follow it again.

use std::{fs, path::PathBuf};

use ipfs_radio::{
    disk::Layout,
    radio::{
        receipt::{Body, GENESIS, Receipt, SigningKey, link},
        time::{Span, Time},
    },
    streamer::Identity,
};

use crate::{
    air::{Observer, with_music},
    station::Station,
};

const HOUR: Span = Span::seconds(3_600);

fn ledger(station: &Station) -> PathBuf {
    Layout::new(station.path()).ledger().join("000001.jsonl")
}

fn receipts(station: &Station, key: &SigningKey) -> Vec<Receipt> {
    let text = fs::read_to_string(ledger(station)).unwrap_or_default();
    let lines = text.trim_end_matches('\0').lines();
    lines.filter_map(|line| Receipt::read(line, |_| Some(key)).ok()).collect()
}

/// The station was on air with a clock that was an hour fast.
fn dated_an_hour_later(station: &Station, key: &SigningKey) {
    let later = |date: &str| Time::parse(date).unwrap().plus(HOUR).to_string();
    let (mut text, mut prev, mut seq) = (String::new(), GENESIS.to_owned(), 0);
    for mut receipt in receipts(station, key) {
        match &mut receipt.body {
            Body::Checkpoint(_) => continue,
            Body::LedgerOpen(constants) => constants.anchor = later(&constants.anchor),
            Body::Segment(segment) => segment.pdt = later(&segment.pdt),
            _ => {}
        }
        let line = Receipt { seq, prev, ..receipt }.sign(key).unwrap();
        (seq, prev) = (seq + 1, link(&line));
        text += &format!("{line}\n");
    }
    fs::write(ledger(station), text).unwrap();
}

fn health(station: &Station) -> Option<String> {
    Some(station.status()?["health"].as_str()?.to_owned())
}

/// What the command says; it must do well.
fn reanchor(station: &Station, arguments: &[&str]) -> String {
    let output = station.call(&[["reanchor"].as_slice(), arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn dates_that_are_ahead_go_back_once_and_only_when_the_operator_says_so() {
    let mut station = with_music();
    assert!(reanchor(&station, &[]).contains("nothing has been on air"));
    station.run();
    station.wait("receipts", |station| {
        let key = Identity::receipt_keys(&Layout::new(station.path()).keys()).ok()?.into_iter().next()?;
        (receipts(station, &key).len() > 20).then_some(())
    });
    station.kill();
    let key = Identity::receipt_keys(&Layout::new(station.path()).keys()).unwrap().remove(0);
    dated_an_hour_later(&station, &key);
    // Off air it says the same as on air.
    let said = reanchor(&station, &[]);
    assert!(said.contains("ahead of it") && said.contains("nothing was changed"), "{said}");

    station.run();
    let mut observer = Observer::default();
    station.wait("health to tell", |station| {
        observer.see(station.list()?);
        health(station)?.contains("`ipfs-radio reanchor` says what setting them right would change").then_some(())
    });
    let said = reanchor(&station, &[]);
    assert!(said.contains("goes back there by 3") && said.contains("nothing was changed"), "{said}");
    let wish = Layout::new(station.path()).reanchor();
    assert!(!wish.exists());
    let said = reanchor(&station, &["--yes"]);
    assert!(said.contains("goes back there by 3") && said.contains("the station does it"), "{said}");
    station.wait("the dates to go back", |station| {
        observer.see(station.list()?);
        let (first, last) = (observer.seen.first_key_value()?.1, observer.seen.last_key_value()?.1);
        (last.date < first.date).then_some(())
    });
    station.wait("the wish to be done", |_| (!wish.exists()).then_some(()));
    // Killed in between: the new dates stay, and go back no second time.
    station.kill();
    assert!(reanchor(&station, &[]).contains("nothing to do"));
    station.run();
    station.wait("all to be well", |station| {
        observer.see(station.list()?);
        // The generator of the one that was killed may still be at work, and keep this one from rendering.
        let well = !health(station)?.contains("clock: ");
        (well && station.status()?["clock"]["pdt_skew_ms"].as_i64()?.abs() < 1_000).then_some(())
    });
    let entries: Vec<_> = observer.seen.values().collect();
    let back = entries.windows(2).filter(|pair| pair[1].date < pair[0].date);
    let back: Vec<_> = back.map(|pair| pair[1].disc).collect();
    assert_eq!(back, [true], "once, where an item begins");
    assert_eq!(station.stop(), Some(0));
    let steps: Vec<(i64, String)> = receipts(&station, &key)
        .into_iter()
        .filter_map(|receipt| match receipt.body {
            Body::ClockStep { samples, reason } => Some((samples, reason)),
            _ => None,
        })
        .filter(|(_, reason)| reason == "reanchor")
        .collect();
    assert!(matches!(steps[..], [(back, _)] if (-3_605 * 44_100..-3_590 * 44_100).contains(&back)), "{steps:?}");
    let verified = station.call(&["receipts", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
}
