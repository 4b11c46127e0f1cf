//! What nobody needs any more goes after a while, and never what is on air.

use std::{collections::HashSet, fs, sync::Arc};

use ipfs_radio::{
    disk::Fuse,
    radio::{
        segment::{chunk_name, short_name},
        time::{Span, Time},
    },
    setup::{Aired, Options},
};

use super::world::{LATE, PRUNE, Station, job, tree, wav, with_settings};

/// Twenty-three hours, and twenty-five.
const SOON: fn() -> Time = || LATE.plus(Span::seconds(23 * 3_600));
const LATER: fn() -> Time = || LATE.plus(Span::seconds(25 * 3_600));

/// The names of the chunks of an item's current stream.
fn chunks(station: &Station, id: &str) -> Vec<String> {
    let meta = station.meta(id);
    meta.renditions.iter().flat_map(|one| &one.segments).map(|segment| chunk_name(&segment.cid)).collect()
}

fn all_there(station: &Station, chunks: &[String]) -> bool {
    let there = chunks.iter().filter(|name| station.layout.processed().chunk(name).exists()).count();
    assert!(there == 0 || there == chunks.len(), "{there} of {} chunks", chunks.len());
    there > 0
}

#[test]
fn an_earlier_stream_stays_for_a_day_and_goes() {
    let mut station = Station::with_music();
    station.run(&job());
    let id = short_name(&wav(220, 1_900));
    let (old, list) = (chunks(&station, &id), station.meta(&id).streams[0].clone());
    let other = with_settings(|settings| settings.bitrates = vec![96_000]);
    station.run(&other);
    let store = station.layout.processed();
    let text = fs::read_to_string(store.retired()).unwrap();
    assert!(text.contains(&format!("\"tracks/audio/{id}/stream/{list}.m3u8\": \"{LATE}\"")), "{text}");
    assert!(text.contains("\"pending\": false"), "{text}");

    station.now = SOON;
    station.run(&other);
    assert!(all_there(&station, &old) && store.stream(&id, &list).exists());
    station.now = LATER;
    station.run(&other);
    assert!(!all_there(&station, &old) && !store.stream(&id, &list).exists());
    assert!(!store.retired().exists(), "nothing is retired any more");
    assert!(all_there(&station, &chunks(&station, &id)));
    let fresh = Station::with_music();
    fresh.run(&other);
    assert_eq!(tree(&station.path("processed")), tree(&fresh.path("processed")), "nothing is left over");
}

#[test]
fn an_item_that_left_stays_for_a_day_and_one_that_returns_is_not_made_again() {
    let mut station = Station::with_music();
    station.run(&job());
    let id = short_name(&wav(330, 1_400));
    let old = chunks(&station, &id);
    fs::remove_file(station.path("music/2.wav")).unwrap();
    station.run(&job());
    assert!(all_there(&station, &old));
    station.now = SOON;
    station.record("music/2.wav", 330, 1_400);
    assert_eq!(station.run(&job()).encoded, 0);
    assert!(!station.layout.processed().retired().exists());
    fs::remove_file(station.path("music/2.wav")).unwrap();
    station.run(&job());
    station.now = LATER;
    station.run(&job());
    assert!(all_there(&station, &old), "it left for the second time two hours ago");
    station.now = || SOON().plus(Span::seconds(25 * 3_600));
    station.run(&job());
    assert!(!all_there(&station, &old) && !station.layout.processed().item(&id).exists());
}

#[test]
fn what_the_ledger_names_stays_whatever_its_age() {
    let mut station = Station::with_music();
    station.run(&job());
    let [left, changed, free] = [(330, 1_400), (220, 1_900), (440, 2_600)].map(|(hz, ms)| short_name(&wav(hz, ms)));
    let old = [&left, &changed, &free].map(|id| chunks(&station, id));
    fs::remove_file(station.path("music/2.wav")).unwrap();
    let other = with_settings(|settings| settings.bitrates = vec![96_000]);
    station.run(&other);
    // Of the third one the ledger names a chunk alone.
    let aired =
        Aired { items: HashSet::from([left.clone(), changed.clone()]), chunks: HashSet::from([old[2][0].clone()]) };
    *station.aired.lock().unwrap() = Some(aired);
    station.now = LATER;
    for prune in [false, true] {
        station.try_run(&other, &Options { prune, ..PRUNE }).unwrap();
        assert!(all_there(&station, &old[0]) && all_there(&station, &old[1]), "prune: {prune}");
        let store = station.layout.processed();
        assert!(store.meta(&left).exists() && store.chunk(&old[2][0]).exists() && !store.chunk(&old[2][1]).exists());
    }
    *station.aired.lock().unwrap() = None;
    let report = station.run(&other);
    assert!(report.notices[0].contains("the ledger cannot be read"), "{:?}", report.notices);
    assert!(all_there(&station, &old[0]));
    *station.aired.lock().unwrap() = Some(Aired::default());
    station.run(&other);
    assert!(!all_there(&station, &old[0]) && !all_there(&station, &old[1]));
    assert!(station.layout.processed().chunk(&old[2][0]).exists(), "nobody's since just now");
}

#[test]
fn a_chunk_that_another_item_has_stays() {
    let mut station = Station::empty();
    // The same audio in other bytes: two items, one set of chunks.
    let (plain, noted) = (wav(220, 2_000), [wav(220, 2_000), b"LIST\x04\0\0\0note".to_vec()].concat());
    station.write("music/plain.wav", &plain);
    station.write("music/noted.wav", &noted);
    station.run(&job());
    let kept = chunks(&station, &short_name(&plain));
    assert_eq!((station.manifest().items().len(), chunks(&station, &short_name(&noted))), (2, kept.clone()));
    fs::remove_file(station.path("music/noted.wav")).unwrap();
    station.run(&job());
    station.now = LATER;
    station.run(&job());
    assert!(!station.layout.processed().item(&short_name(&noted)).exists() && all_there(&station, &kept));
    fs::remove_file(station.path("music/plain.wav")).unwrap();
    station.try_run(&job(), &PRUNE).unwrap();
    assert!(!all_there(&station, &kept));
}

#[test]
fn what_is_not_setups_is_left_alone() {
    let station = Station::with_music();
    station.run(&job());
    station.write("processed/chunks/notes.txt", b"mine");
    station.write("processed/chunks/notes.ts", b"mine");
    station.write("processed/tracks/audio/mine/notes", b"mine");
    station.try_run(&job(), &PRUNE).unwrap();
    for path in ["chunks/notes.txt", "chunks/notes.ts", "tracks/audio/mine/notes"] {
        assert!(station.path("processed").join(path).exists(), "{path}");
    }
}

#[test]
fn killed_at_any_step_nothing_that_is_needed_goes_and_the_rest_goes_in_the_end() {
    let other = with_settings(|settings| settings.bitrates = vec![96_000]);
    let prepared = || {
        let mut station = Station::empty();
        station.record("music/1.wav", 220, 1_200);
        station.record("music/2.wav", 330, 600);
        station.run(&job());
        fs::remove_file(station.path("music/2.wav")).unwrap();
        station.record("music/3.wav", 440, 700);
        station.run(&other);
        station.now = LATER;
        station
    };
    let reference = prepared();
    reference.run(&other);
    let expected = tree(&reference.path("processed"));
    for steps in 0.. {
        let mut station = prepared();
        let fuse = Arc::new(Fuse::killed_after(steps));
        let done = station.run_with_fuse(&fuse, &other);
        for item in station.manifest().items() {
            assert!(all_there(&station, &chunks(&station, &item.id)), "after {steps} steps");
            let store = station.layout.processed();
            for list in fs::read_dir(store.streams(&item.id)).unwrap() {
                let text = fs::read_to_string(list.unwrap().path()).unwrap();
                let named = text.lines().filter(|line| line.len() == 32 && !line.starts_with('#'));
                assert!(named.clone().all(|name| store.chunk(name).exists()), "a list names what is gone");
            }
        }
        // Chunks whose list is gone already are nobody's: they are dated when they are seen, and go a day later.
        station.run(&other);
        station.now = || LATER().plus(Span::seconds(25 * 3_600));
        station.try_run(&other, &PRUNE).unwrap();
        assert_eq!(tree(&station.path("processed")), expected, "after {steps} steps");
        if done.is_ok() && fuse.steps() <= steps {
            assert!(steps > 5, "so few steps can remove nothing: {steps}");
            return;
        }
    }
}
