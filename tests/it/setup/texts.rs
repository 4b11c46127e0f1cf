//! Tags in encodings of old, and pictures that are too large.

use std::{fs, process::Command};

use ipfs_radio::radio::segment::COVER_MAX;

use super::world::{Station, job};

/// A recording with one frame of ID3v2.3.
fn with_frame(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = (content.len() as u32).to_be_bytes();
    let frame = [name, &size[..], &[0, 0], content].concat();
    // Seven bits a byte.
    let size = [21, 14, 7, 0].map(|shift| (frame.len() >> shift) as u8 & 0x7f);
    let audio = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bare.mp3")).unwrap();
    [b"ID3\x03\0\0", &size[..], &frame, &audio].concat()
}

/// A recording called «Группа крови» by a program that wrote windows-1251 and said Latin-1.
fn recording() -> Vec<u8> {
    let title = b"\xc3\xf0\xf3\xef\xef\xe0 \xea\xf0\xee\xe2\xe8";
    with_frame(b"TIT2", &[b"\0", &title[..]].concat())
}

#[test]
fn an_item_whose_texts_were_not_understood_gets_them_without_being_made_anew() {
    let station = Station::empty();
    station.write("music/1.mp3", &recording());
    station.run(&job());
    let id = station.manifest().entries()[0].id.clone();
    let made = station.meta(&id);
    assert_eq!(made.tags.title, "Группа крови");
    for broken in ["Ãðóïïà êðîâè", "\u{fffd}\u{fffd}\u{fffd}"] {
        let mut meta = made.clone();
        meta.tags.title = broken.into();
        fs::write(station.layout.processed().meta(&id), meta.to_bytes()).unwrap();
        station.run(&job());
        assert_eq!(station.meta(&id), made, "{broken}");
        assert_eq!(station.manifest().item(&id).unwrap().title, "Группа крови");
    }
    assert_eq!(station.encodes(), 1);
}

#[test]
fn a_picture_that_is_too_large_to_air_is_told_of_and_left_out() {
    let picture = |bytes: usize| {
        let jpeg = [&b"\xff\xd8\xff\xe0"[..], &vec![b'.'; bytes - 4]].concat();
        with_frame(b"APIC", &[&b"\0image/jpeg\0\x03\0"[..], &jpeg].concat())
    };
    let station = Station::empty();
    station.write("music/1.mp3", &picture(COVER_MAX));
    station.write("music/2.mp3", &picture(COVER_MAX + 1));
    let mut setup = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
    let output = setup.arg("--dir").arg(station.path("")).arg("setup").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let ids: Vec<String> = station.manifest().entries().iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids.iter().map(|id| station.meta(id).tags.cover.is_some()).collect::<Vec<_>>(), [true, false]);
    let told: Vec<&str> = said.lines().filter(|line| line.contains("does not air")).collect();
    assert!(told.len() == 1 && told[0].contains(&ids[1]), "{said}");
}
