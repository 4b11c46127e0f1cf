//! Tags in encodings of old.

use std::fs;

use super::world::{Station, job};

/// A recording called «Группа крови» by a program that wrote windows-1251 and said Latin-1.
fn recording() -> Vec<u8> {
    let title = b"\xc3\xf0\xf3\xef\xef\xe0 \xea\xf0\xee\xe2\xe8";
    let frame = [b"TIT2", &[0, 0, 0, title.len() as u8 + 1, 0, 0, 0][..], title].concat();
    let tag = [b"ID3\x03\0\0\0\0\0", &[frame.len() as u8][..], &frame].concat();
    let audio = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bare.mp3")).unwrap();
    [tag, audio].concat()
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
