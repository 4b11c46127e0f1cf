//! The recordings as they are, at the listener port of the real binary.

use std::fs;

use ipfs_radio::{disk::Layout, radio::manifest::Manifest};

use crate::air::with_music;

#[test]
fn a_recording_can_be_had_as_it_is_if_the_operator_wants_that_and_its_file_is_the_same() {
    let mut station = with_music();
    let manifest = fs::read(Layout::new(station.path()).processed().manifest()).unwrap();
    let manifest = Manifest::parse(&manifest).unwrap();
    let id = manifest.entries().iter().find(|entry| entry.path == "music/a.wav").map(|entry| entry.id.clone()).unwrap();
    let (path, file) = (format!("/audio/{id}/original"), station.path().join("music/a.wav"));
    station.run();
    station.wait("the station to be on air", |station| station.list());
    assert_eq!(station.get_bytes(&path), None);
    assert!(station.words(&path).unwrap().contains("publish_originals"));
    assert_eq!(station.stop(), Some(0));

    let streaming = station.path().join("streaming.toml");
    let text = fs::read_to_string(&streaming).unwrap();
    fs::write(&streaming, text.replace("[http]\n", "[http]\npublish_originals = true\n")).unwrap();
    station.run();
    station.wait("the station to be on air again", |station| station.list());
    let recording = fs::read(&file).unwrap();
    assert_eq!(station.get_bytes(&path).as_ref(), Some(&recording));
    let unknown = format!("/audio/{}/original", "0".repeat(32));
    assert_eq!(station.get_bytes(&unknown), None);

    let mut another = recording.clone();
    *another.last_mut().unwrap() ^= 1;
    fs::write(&file, another).unwrap();
    assert_eq!(station.get_bytes(&path), None, "as long, and not the same");
    fs::write(&file, &recording).unwrap();
    assert_eq!(station.get_bytes(&path), Some(recording));
}
