//! What a station makes of a ledger or a pool that somebody damaged.

use std::{fs, process::Stdio};

use crate::{
    air::{Observer, with_music},
    station::{List, Station},
};

fn first_ledger_file(station: &Station) -> std::path::PathBuf {
    station.path().join("state/ledger/000001.jsonl")
}

fn kinds(station: &Station) -> Vec<String> {
    let text = fs::read_to_string(first_ledger_file(station)).unwrap_or_default();
    let lines = text.trim_end_matches('\0').lines();
    let kind =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["r"]["kind"].as_str().map(String::from);
    lines.filter_map(kind).collect()
}

/// `EXT-X-DISCONTINUITY-SEQUENCE`.
fn gone_discontinuities(list: &List) -> u64 {
    let line = list.text.lines().find_map(|line| line.strip_prefix("#EXT-X-DISCONTINUITY-SEQUENCE:"));
    line.unwrap().parse().unwrap()
}

fn health(station: &Station) -> Option<String> {
    station.status()?["health"].as_str().map(String::from)
}

#[test]
fn behind_a_damaged_ledger_another_chain_begins_above_all_numbers_of_the_old_one() {
    let mut station = with_music();
    station.run();
    let mut observer = Observer::default();
    station.wait("receipts", |station| {
        observer.see(station.list()?);
        (kinds(station).len() > 20).then_some(())
    });
    // hls.js walks an array as long as this number with each list.
    assert_eq!(gone_discontinuities(observer.last.as_ref().unwrap()), 0);
    station.kill();
    let path = first_ledger_file(&station);
    let mut bytes = fs::read(&path).unwrap();
    let line = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(9).unwrap().0 + 30;
    bytes[line] ^= 1;
    fs::write(&path, bytes).unwrap();

    station.run();
    let list = station.wait("a list", Station::list);
    assert!(list.first > observer.last.as_ref().unwrap().last(), "a number would be given twice");
    assert!((10_000..20_000).contains(&gone_discontinuities(&list)));
    let said = health(&station).unwrap();
    assert!(said.contains("receipts: ") && said.contains("000001.jsonl:11:"), "{said}");
    assert_eq!(kinds(&station)[..2], ["ledger_open", "repair"]);
    let aside = fs::read_dir(station.path().join("state")).unwrap();
    let aside =
        aside.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("ledger.damaged-"));
    assert_eq!(aside.count(), 1);

    let mut observer = Observer::default();
    observer.see(list);
    station.kill();
    station.run();
    station.wait("the new chain to go on", |station| {
        observer.see(station.list()?);
        (observer.seen.len() > 14).then_some(())
    });
    assert_eq!(station.stop(), Some(0));
}

/// The ledger is gone, and there is nobody who could have kept its numbers.
#[test]
fn behind_a_ledger_that_is_lost_nothing_counts_back_and_health_tells_of_it() {
    let mut station = with_music();
    station.run();
    let before = station.wait("a second item", |station| {
        let list = station.list()?;
        (kinds(station).len() > 20).then_some(list)
    });
    station.kill();
    fs::write(first_ledger_file(&station), vec![0; 4_096]).unwrap();
    station.run();
    let list = station.wait("a list", Station::list);
    assert!(list.first > before.last(), "a number would be given twice");
    assert!((10_000..100_000).contains(&gone_discontinuities(&list)), "{}", list.text);
    let said = health(&station).unwrap();
    assert!(said.contains("receipts: there is no ledger") && said.contains("nobody could be asked"), "{said}");
    assert_eq!(kinds(&station)[..2], ["ledger_open", "repair"]);
    assert_eq!(station.stop(), Some(0));
}

/// The file of the keys is one from before `key rotate`.
#[test]
fn a_ledger_whose_key_is_not_at_hand_is_put_aside_whole_and_checked_when_it_is_back() {
    let mut station = with_music();
    station.run();
    station.wait("receipts", |station| (kinds(station).len() > 10).then_some(()));
    let keys = station.path().join("state/keys/receipts.toml");
    let old = fs::read(&keys).unwrap();
    assert_eq!(station.call(&["key", "rotate"]).status.code(), Some(0));
    let before = station.wait("a receipt by the new key", |station| {
        let list = station.list()?;
        kinds(station).iter().any(|kind| kind == "key_rotated").then_some(list)
    });
    station.stop();
    let new = fs::read(&keys).unwrap();
    fs::write(&keys, old).unwrap();
    station.run();
    let list = station.wait("a list", Station::list);
    assert!(list.first > before.last() + 9_000, "{} behind {}", list.first, before.last());
    let said = health(&station).unwrap();
    assert!(said.contains("receipts: ") && said.contains("r2") && said.contains("receipts.toml"), "{said}");
    station.stop();
    fs::write(&keys, new).unwrap();
    let aside = fs::read_dir(station.path().join("state")).unwrap().flatten().map(|entry| entry.path());
    let aside = aside.into_iter().find(|path| path.to_string_lossy().contains("ledger.damaged-")).unwrap();
    let file = aside.join("000001.jsonl");
    let checked = station.call(&["receipts", "verify", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[test]
fn what_is_no_ledger_keeps_no_station_off_the_air_unless_receipts_are_required() {
    let mut station = with_music();
    station.run();
    station.wait("a list", Station::list);
    station.kill();
    let ledger = station.path().join("state/ledger");
    fs::remove_dir_all(&ledger).unwrap();
    fs::write(&ledger, "nothing").unwrap();
    let config = station.path().join("streaming.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[ledger]\nreceipts = \"required\"\n")).unwrap();
    let refused = station.call(&["run", "--no-setup"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(4) && said.contains("receipts are required"), "{refused:?}");

    fs::write(&config, text).unwrap();
    station.run();
    station.wait("a list", Station::list);
    assert!(health(&station).unwrap().contains("ledger"));
    assert_eq!(kinds(&station)[..2], ["ledger_open", "repair"]);
    station.stop();
}

#[test]
fn an_item_that_cannot_air_is_named_until_it_can() {
    let mut station = with_music();
    let manifest = fs::read_to_string(station.path().join("processed/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let entries = manifest["entries"].as_array().unwrap();
    let id = entries.iter().find(|entry| entry["path"] == "music/b.wav").unwrap()["id"].as_str().unwrap();
    let item = station.path().join("processed/tracks/audio").join(id);
    let away = station.path().join("away");
    fs::rename(&item, &away).unwrap();
    station.run();
    station.wait("the item to be missed", |station| {
        health(station)?.contains("programme: music/b.wav cannot air").then_some(())
    });
    fs::rename(&away, &item).unwrap();
    station.wait("the item to air", |station| (health(station)? == "ok").then_some(()));
    station.wait("the item to be listed", |station| {
        station.list()?.segments.values().any(|entry| entry.title.ends_with(",b")).then_some(())
    });
    station.stop();
}

/// What a command says, and its exit code.
fn told(station: &Station, arguments: &[&str]) -> (String, Option<i32>) {
    let output = station.call(arguments);
    let words = [output.stdout, output.stderr].concat();
    (String::from_utf8(words).unwrap(), output.status.code())
}

#[test]
fn receipts_are_verified_looked_up_and_proved_beside_the_air() {
    let mut station = with_music();
    station.run();
    station.wait("receipts", |station| (kinds(station).len() > 20).then_some(()));
    assert_eq!(kinds(&station)[..2], ["ledger_open", "order_accepted"]);
    let status = station.status().unwrap();
    let (name, on_air) = (status["station"].as_str().unwrap(), status["media_sequence"].to_string());
    let note = station.wait("a checkpoint", |station| station.get(&format!("/ipns/{name}/ledger/checkpoint")));
    assert!(note.starts_with(&format!("ipns/{name}/ledger/")), "{note}");
    let checkpoint = station.path().join("checkpoint");
    fs::write(&checkpoint, &note).unwrap();
    let checkpoint = checkpoint.to_str().unwrap();
    let (said, code) = told(&station, &["receipts", "verify", "--blocks", "--checkpoint", checkpoint]);
    assert!(code == Some(0) && said.contains("all hold"), "{said}");
    let (line, code) = told(&station, &["receipts", "get", "--media-seq", &on_air]);
    assert!(code == Some(0) && line.contains(&format!("\"media_seq\":{on_air},")), "{line}");
    let (proof, code) = told(&station, &["receipts", "prove", "--seq", "0"]);
    let proof: serde_json::Value = serde_json::from_str(&proof).unwrap();
    assert_eq!((code, proof["checkpoint"].as_str().unwrap(), &proof["index"]), (Some(0), &*note, &0.into()));

    let (said, code) = told(&station, &["key", "rotate"]);
    assert!(code == Some(0) && said.contains("r2"), "{said}");
    station.wait("the new key", |station| kinds(station).contains(&"key_rotated".into()).then_some(()));
    station.kill();
    station.run();
    station.wait("a list", Station::list);
    let (said, code) = told(&station, &["receipts", "verify", "--checkpoint", checkpoint]);
    assert!(code == Some(0) && said.contains("all hold"), "{said}");
    let (copy, _) = told(&station, &["receipts", "extract", "--from", "3", "--to", "9"]);
    let file = station.path().join("copy.jsonl");
    fs::write(&file, &copy).unwrap();
    let (said, code) = told(&station, &["receipts", "verify", file.to_str().unwrap()]);
    assert!(code == Some(0) && said.starts_with("7 receipts (3 to 9)"), "{said}");
    assert_eq!(station.stop(), Some(0));

    let path = first_ledger_file(&station);
    let mut bytes = fs::read(&path).unwrap();
    let tenth = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(9).unwrap().0;
    bytes[tenth + 30] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (said, code) = told(&station, &["receipts", "verify"]);
    assert!(code == Some(1) && said.contains("000001.jsonl:11: "), "{said}");
}

#[test]
fn what_cannot_be_printed_or_is_not_there_is_no_success() {
    let mut station = with_music();
    station.run();
    station.wait("receipts", |station| (kinds(station).len() > 20).then_some(()));
    assert_eq!(station.stop(), Some(0));
    let commands: [&[&str]; 5] = [
        &["receipts", "get", "--seq", "0"],
        &["receipts", "prove", "--seq", "0"],
        &["receipts", "verify"],
        &["receipts", "extract"],
        &["preview", "--json"],
    ];
    for arguments in commands {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = station.command(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(4) && said.contains("No space left on device"), "{arguments:?}: {said}");
        let mut read = station.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(read.stdout.take());
        let output = read.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()), "{arguments:?}: enough was read");
    }
    let (said, code) = told(&station, &["receipts", "verify", "--from", "999999"]);
    assert!(code == Some(1) && said.contains("no receipts in this range"), "{said}");
    fs::remove_dir_all(station.path().join("state/ledger")).unwrap();
    let (said, code) = told(&station, &["receipts", "get", "--seq", "0"]);
    assert!(code == Some(1) && said.contains("there is no receipt 0"), "{said}");
}
