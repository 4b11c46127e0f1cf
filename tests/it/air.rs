//! The station on air, run by the real binary and heard through its own port.

use std::{collections::BTreeMap, fs};

use ipfs_radio::radio::time::Time;
use rustix::process::Signal;

use crate::station::{Entry, List, Station};

pub(crate) fn with_music() -> Station {
    furnished(Station::new(6, 4))
}

/// Three short tracks and a jingle, encoded.
pub(crate) fn furnished(station: Station) -> Station {
    furnish(&station);
    station
}

pub(crate) fn furnish(station: &Station) {
    station.tone("music/a.wav", 300, 2_600);
    station.tone("music/b.wav", 400, 3_300);
    station.tone("music/c.wav", 500, 700);
    station.tone("jingles/j.wav", 900, 1_200);
    station.set_up();
}

/// Everything that was ever seen: a segment keeps its number, date, title and URI for ever.
#[derive(Default)]
pub(crate) struct Observer {
    pub(crate) seen: BTreeMap<u64, Entry>,
    pub(crate) last: Option<List>,
}

impl Observer {
    pub(crate) fn see(&mut self, list: List) {
        if let Some(before) = &self.last {
            assert!(list.first >= before.first, "the list went back:\n{}\n{}", before.text, list.text);
            assert!(list.last() >= before.last(), "the list became shorter:\n{}\n{}", before.text, list.text);
            assert!(list.first <= before.last() + 1, "segments were never listed");
        }
        for (number, entry) in &list.segments {
            let before = self.seen.entry(*number).or_insert_with(|| entry.clone());
            assert_eq!(before, entry, "segment {number} changed");
        }
        self.last = Some(list);
    }
}

#[test]
fn what_was_listed_survives_being_killed() {
    let mut station = with_music();
    let mut observer = Observer::default();
    for round in 0..4 {
        station.run();
        let wanted = observer.last.as_ref().map_or(0, List::last) + 3 + round;
        station.wait("the list to go on", |station| {
            let list = station.list()?;
            let there = list.last() >= wanted.max(list.first + 8);
            observer.see(list);
            there.then_some(())
        });
        station.kill();
    }
    station.run();
    station.wait("the list after the last kill", |station| station.list().map(|list| observer.see(list)));
    assert_eq!(station.stop(), Some(0), "a clean stop");
    // Each item begins with a discontinuity, and only items do: no jump was needed within the look-ahead.
    let titles: Vec<(&bool, &str)> =
        observer.seen.values().map(|entry| (&entry.disc, entry.title.split_once(',').unwrap().1)).collect();
    for pair in titles.windows(2) {
        assert!(*pair[1].0 || pair[0].1 == pair[1].1, "{pair:?}");
    }
}

#[test]
fn titles_inside_a_mix_are_told_at_their_second_and_survive_being_killed() {
    let mut station = Station::new(6, 4);
    station.tone("music/mix.wav", 300, 9_000);
    let sheet = "TRACK 1 AUDIO\nTITLE \"One\"\nINDEX 01 00:00:00\nTRACK 2 AUDIO\nTITLE \"Two\"\nINDEX 01 00:03:30\n\
                 TRACK 3 AUDIO\nTITLE \"Three\"\nINDEX 01 00:07:00\n";
    fs::write(station.path().join("music/mix.cue"), sheet).unwrap();
    station.set_up();
    let ranges = |list: &List| -> BTreeMap<String, String> {
        let lines = list.text.lines().filter_map(|line| line.strip_prefix("#EXT-X-DATERANGE:ID=\""));
        lines.filter_map(|line| line.split_once('"')).map(|(id, rest)| (id.to_owned(), rest.to_owned())).collect()
    };
    let mut seen = BTreeMap::new();
    for _ in 0..2 {
        station.run();
        let wanted = seen.len() + 4;
        station.wait("titles to be told", |station| {
            for (id, line) in ranges(&station.list()?) {
                assert_eq!(*seen.entry(id).or_insert_with(|| line.clone()), line, "a title changed");
            }
            (seen.len() >= wanted).then_some(())
        });
        station.kill();
    }
    let (id, one) = seen.iter().find(|(id, _)| seen.contains_key(&format!("{id}-2"))).unwrap();
    let (two, three) = (&seen[&format!("{id}-1")], &seen[&format!("{id}-2")]);
    for (line, length, title) in [(one, "3.400", "One"), (two, "3.600", "Two")] {
        assert!(line.contains(&format!("DURATION={length}")), "{line}");
        assert!(line.ends_with(&format!(",X-TITLE=\"{title}\",X-ALBUM=\"mix\"")), "{line}");
    }
    assert!(three.contains("X-TITLE=\"Three\""), "{three}");
    let start =
        |line: &str| Time::parse(line.split("START-DATE=\"").nth(1).unwrap().split('"').next().unwrap()).unwrap();
    assert_eq!(start(two).millis() - start(one).millis(), 3_400);
    station.run();
    station.wait("the title on air to be told", |station| {
        let now = station.status()?["now"]["title"].as_str()?.to_owned();
        ["One", "Two", "Three"].contains(&now.as_str()).then_some(())
    });
}

#[test]
fn the_coarse_list_is_made_of_what_has_aired() {
    let mut station = with_music();
    let (mut fine, mut coarse) = (Observer::default(), Observer::default());
    for wanted in [4, 8] {
        station.run();
        station.wait("groups to be listed", |station| {
            fine.see(station.list()?);
            coarse.see(station.coarse_list()?);
            (coarse.seen.len() >= wanted).then_some(())
        });
        station.kill();
    }
    station.run();
    station.wait("the list after the last kill", |station| station.coarse_list().map(|list| coarse.see(list)));
    let text = &coarse.last.as_ref().unwrap().text;
    assert!(text.contains("#EXT-X-TARGETDURATION:60\n") && !text.contains("HOLD-BACK"), "{text}");

    let bytes = |entry: &Entry| station.get_bytes(&entry.uri).expect("what is listed can be fetched");
    let mut compared = 0;
    for (group, next) in coarse.seen.values().zip(coarse.seen.values().skip(1)) {
        assert!(group.disc, "items here are shorter than a minute");
        let within = |date: &str| *group.date <= *date && *date < *next.date;
        let segments: Vec<&Entry> = fine.seen.values().filter(|segment| within(&segment.date)).collect();
        if segments.first().is_none_or(|first| first.date != group.date) {
            continue; // It aired before the first list that was seen.
        }
        assert_eq!(segments.len() > 1, segments[0].uri != group.uri, "a group of one segment is that segment");
        assert_eq!(bytes(group), segments.into_iter().flat_map(bytes).collect::<Vec<u8>>());
        compared += 1;
    }
    assert!(compared >= 4, "{compared} groups were compared");
    station.stop();
}

#[test]
fn an_edit_airs_at_an_item_boundary_behind_the_look_ahead() {
    let mut station = with_music();
    let order = station.path().join("processed/playlist.m3u");
    let before = fs::read_to_string(&order).unwrap();
    assert!(before.contains("music/a.wav"));
    station.run();
    let mut observer = Observer::default();
    station.wait("a list", |station| station.list().map(|list| observer.see(list)));
    let frozen = observer.last.as_ref().unwrap().last();

    fs::write(&order, "nothing that is here\n").unwrap();
    station.wait("the bad order to be refused", |station| {
        observer.see(station.list()?);
        let health = station.get("/status.json")?;
        (health.contains("playlist.m3u:1") && health.contains("plays on")).then_some(())
    });

    fs::write(&order, "music/c.wav\n").unwrap();
    station.wait("only the new order to be listed", |station| {
        let list = station.list()?;
        observer.see(list.clone());
        let tail: Vec<&Entry> = list.segments.values().rev().take(4).collect();
        tail.iter().all(|entry| entry.title.ends_with(",c")).then_some(())
    });
    station.stop();

    let entries: Vec<(&u64, &Entry)> = observer.seen.iter().collect();
    let switch = entries.iter().rposition(|(_, entry)| !entry.title.ends_with(",c")).unwrap() + 1;
    let (number, first_new) = entries[switch];
    assert!(*number > frozen, "a listed segment would have been replaced");
    assert!(first_new.disc, "the new order begins with an item");
}

#[test]
fn the_preview_is_right() {
    let mut station = with_music();
    station.run();
    station.wait("a list", Station::list);
    let output = station.call(&["preview", "--hours", "1", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let promised: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(promised.len() > 1_000, "an hour of items of seconds");
    // Beyond what was listed when the preview was made.
    let checked = &promised[6].clone();
    let aired = station.wait("the seventh item to be listed", |station| {
        let list = station.list()?;
        list.segments.values().find(|entry| entry.disc && entry.date == checked["starts"].as_str().unwrap()).cloned()
    });
    assert!(aired.title.ends_with(&format!(",{}", checked["title"].as_str().unwrap())), "{aired:?} {checked}");
    station.stop();
}

#[test]
fn words_decide_exit_codes() {
    let station = Station::new(6, 4);
    let code = |arguments: &[&str]| station.call(arguments).status.code();
    assert_eq!(code(&["--help"]), Some(0));
    assert_eq!(code(&["preview", "--hours", "0"]), Some(64));
    assert_eq!(code(&["dance"]), Some(64));
    fs::write(station.path().join("setup.toml"), "[audio]\nsegment_duration = 99\n").unwrap();
    let output = station.call(&["setup"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78));
    assert!(said.contains("setup.toml:2:") && said.contains('^'), "{said}");
}

#[test]
fn a_second_node_is_refused_in_words() {
    let mut station = with_music();
    station.run();
    station.wait("a list", Station::list);
    let output = station.call(&["run", "--no-setup"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("held by another process"), "{said}");
    station.stop();
}

#[test]
fn keys_are_backed_up_and_never_overwritten() {
    let mut station = with_music();
    station.run();
    let status = station.wait("the status", |station| station.get("/status.json"));
    station.stop();
    let file = station.path().join("keys.toml");
    let name = file.to_str().unwrap();
    assert_eq!(station.call(&["key", "export", name]).status.code(), Some(0));
    assert_ne!(station.call(&["key", "export", name]).status.code(), Some(0), "an existing file is not overwritten");
    assert_ne!(station.call(&["key", "import", name]).status.code(), Some(0), "existing keys are not overwritten");
    fs::remove_dir_all(station.path().join("state/keys")).unwrap();
    let lost = station.call(&["run", "--no-setup"]);
    assert_ne!(lost.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&lost.stderr).contains("key import"), "{lost:?}");
    assert_eq!(station.call(&["key", "import", name]).status.code(), Some(0));
    station.run();
    let again = station.wait("the status", |station| station.get("/status.json"));
    let of = |text: &str, key: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()[key].clone();
    assert_eq!(of(&status, "station"), of(&again, "station"));
    assert_eq!(of(&status, "stream"), of(&again, "stream"));
}

#[test]
fn another_segment_duration_begins_another_epoch() {
    let mut station = with_music();
    station.run();
    let before = station.wait("a list", Station::list);
    station.stop();
    fs::write(station.path().join("setup.toml"), "[audio]\nsegment_duration = 2\n").unwrap();
    let refused = station.call(&["setup"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--new-epoch"), "{refused:?}");

    let before_dry_run = station.files();
    assert!(station.call(&["setup", "--dry-run", "--new-epoch"]).status.success());
    assert_eq!(station.files(), before_dry_run, "a dry run writes nothing");

    assert!(station.call(&["setup", "--new-epoch"]).status.success());
    assert!(station.call(&["setup"]).status.success(), "what was asked for is not refused");
    station.run();
    let after = station.wait("a list of the new epoch", |station| {
        station.list().filter(|list| list.text.contains("#EXT-X-TARGETDURATION:2\n"))
    });
    assert!(after.first > before.last(), "numbers go on");
    station.kill();
    station.run();
    let again = station.wait("the list after a kill", Station::list);
    assert!(again.text.contains("#EXT-X-TARGETDURATION:2\n") && again.first >= after.first, "the epoch stays");
}

#[test]
fn a_terminal_that_is_closed_ends_a_station_unless_it_is_to_outlive_it() {
    let mut station = with_music();
    let _lock = station.without_generator();
    let run = ["run", "--no-setup"];
    station.start(&run);
    station.wait("a list", Station::list);
    station.send(Signal::HUP);
    assert_eq!(station.ended(), Some(0));
    station.start_to_outlive(&run);
    let before = station.wait("a list", Station::list).last();
    station.send(Signal::HUP);
    station.wait("another segment", |station| station.list().filter(|list| list.last() > before));
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn a_log_on_a_full_disk_ends_nothing() {
    let mut station = with_music();
    let _lock = station.without_generator();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    station.start_telling(&["-v", "run", "--no-setup"], full);
    let before = station.wait("a list", Station::list);
    station.wait("another list", |station| {
        let list = station.list()?;
        (list.segments.keys().next_back() > before.segments.keys().next_back()).then_some(())
    });
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn segments_are_as_long_as_is_asked() {
    for seconds in [3_u32, 8, 10, 30] {
        let mut station = Station::new(6, 4);
        station.tone("music/a.wav", 300, seconds * 4_100);
        fs::write(station.path().join("setup.toml"), format!("[audio]\nsegment_duration = {seconds}\n")).unwrap();
        station.set_up();
        station.run();
        let list = station.wait("a list", Station::list);
        assert!(list.text.contains(&format!("#EXT-X-TARGETDURATION:{seconds}\n")), "{}", list.text);
        let (mut lengths, mut sizes) = (0.0, 0);
        for entry in list.segments.values() {
            // Five parts of four lengths and a bit.
            let length: f64 = entry.title.split(',').next().unwrap().parse().unwrap();
            assert!((0.8..=1.0).contains(&(length / f64::from(seconds))), "{length} s of {seconds}");
            let bytes = station.get_bytes(&entry.uri).unwrap();
            assert!(bytes.len().is_multiple_of(188) && bytes[0] == 0x47, "{}", entry.uri);
            (lengths, sizes) = (lengths + length, sizes + bytes.len());
        }
        // 128 kb/s, and the stream around it, of which short segments have more.
        assert!((sizes as f64 / lengths / 16_000.0 - 1.0).abs() < 0.1, "{sizes} bytes in {lengths} s");
        assert_eq!(station.stop(), Some(0));
    }
}
