//! What stays although it is not found, and what goes.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::Path,
    process::Command,
    sync::atomic::Ordering,
};

use ipfs_radio::{radio::time::Time, setup::Job};

use super::world::{PRUNE, Station, job, wav};

#[test]
fn a_missing_or_empty_folder_keeps_the_station() {
    let station = Station::with_music();
    station.run(&job());
    let (order, manifest) = (station.order(), station.manifest());

    fs::rename(station.path("music"), station.path("elsewhere")).unwrap();
    let report = station.run(&job());
    assert!(report.kept[0].contains("`music` is missing or empty; the 3 entries"), "{:?}", report.kept);
    fs::create_dir(station.path("music")).unwrap();
    fs::rename(station.path("jingles"), station.path("no jingles")).unwrap();
    assert_eq!(station.run(&job()).kept.len(), 2);
    assert_eq!((station.order(), station.manifest()), (order, manifest));

    fs::remove_dir(station.path("music")).unwrap();
    fs::rename(station.path("elsewhere"), station.path("music")).unwrap();
    fs::rename(station.path("no jingles"), station.path("jingles")).unwrap();
    assert_eq!((station.run(&job()).kept, station.encodes()), (vec![], 5));
}

#[test]
fn a_first_run_says_where_it_has_found_nothing() {
    let station = Station::empty();
    station.record("jingles/1.wav", 880, 1_100);
    assert_eq!(station.run(&job()).notices, ["`music` is missing or has no recordings"]);
    assert_eq!(station.run(&job()).notices, [""; 0]);
}

#[test]
fn prune_means_it() {
    let station = Station::with_music();
    station.run(&job());
    fs::remove_dir_all(station.path("music")).unwrap();
    let report = station.try_run(&job(), &PRUNE).unwrap();
    let gone = ["1", "10", "2"].map(|name| format!("`music/{name}.wav` has left the programme"));
    assert_eq!((report.entries, report.kept.len(), report.notices), (2, 0, gone.to_vec()));
    assert_eq!(station.order(), ["jingles/1.wav", "jingles/2.wav"]);

    let fresh = Station::empty();
    fresh.record("jingles/1.wav", 880, 1_100);
    fresh.record("jingles/2.wav", 990, 1_200);
    fresh.run(&job());
    assert_eq!(super::tree(&station.path("processed")), super::tree(&fresh.path("processed")), "nothing is left over");
}

#[test]
fn a_few_files_may_go_but_not_most() {
    let station = Station::with_music();
    station.run(&job());
    fs::remove_file(station.path("music/1.wav")).unwrap();
    assert_eq!(station.run(&job()).entries, 4, "one of five goes");

    for path in ["music/2.wav", "jingles/1.wav", "jingles/2.wav"] {
        fs::remove_file(station.path(path)).unwrap();
    }
    station.record("jingles/new.wav", 1_234, 1_000);
    let report = station.run(&job());
    assert!(report.kept[0].contains("more than half of the items would go"), "{:?}", report.kept);
    assert_eq!(report.entries, 5, "four stay, one is new");
    assert_eq!(station.try_run(&job(), &PRUNE).unwrap().entries, 2);
}

#[test]
fn replaced_files_do_not_count_as_gone() {
    let station = Station::with_music();
    station.run(&job());
    for (path, hertz) in [("music/1.wav", 221), ("music/2.wav", 331), ("music/10.wav", 441), ("jingles/1.wav", 881)] {
        station.record(path, hertz, 1_500);
    }
    let report = station.run(&job());
    assert_eq!((report.encoded, report.entries, report.items), (4, 5, 5));
    assert_eq!(report.notices, [""; 0]);
}

#[test]
fn a_library_that_turns_to_noise_is_not_believed() {
    let station = Station::with_music();
    station.run(&job());
    for path in ["music/1.wav", "music/2.wav", "music/10.wav"] {
        station.write(path, b"the disk is dying");
    }
    let report = station.run(&job());
    assert_eq!((report.skipped.len(), report.entries), (3, 5));
    assert!(report.kept[0].contains("more than half"), "{:?}", report.kept);
}

#[test]
fn jingles_can_be_switched_off_and_on() {
    let station = Station::with_music();
    station.run(&job());
    let report = station.run(&Job { jingles: None, ..job() });
    assert_eq!((report.entries, report.kept.len(), report.notices.len()), (3, 0, 2), "{:?}", report.notices);
    assert_eq!(station.order(), ["music/1.wav", "music/2.wav", "music/10.wav"]);
    assert_eq!((station.run(&job()).entries, station.encodes()), (5, 5));
}

#[test]
fn nothing_at_all_is_no_programme() {
    let station = Station::empty();
    let report = station.run(&job());
    assert_eq!((report.entries, report.exit_code()), (0, 0));
    assert!(!station.layout.processed().manifest().exists());
}

#[test]
fn what_lies_among_the_jingles_is_a_jingle() {
    let station = Station::empty();
    station.record("music/song.wav", 440, 1_000);
    station.record("music/jingles/id.wav", 880, 1_000);
    station.run(&Job { jingles: Some("music/jingles".into()), ..job() });
    assert_eq!(station.order(), ["music/jingles/id.wav", "music/song.wav"]);
}

#[test]
fn a_link_to_what_is_gone_keeps_its_old_place() {
    let station = Station::with_music();
    station.run(&job());
    let path = station.path("music/1.wav");
    fs::remove_file(&path).unwrap();
    symlink("../vault/1.wav", &path).unwrap();
    let report = station.run(&job());
    assert_eq!(report.skipped[0].path, "music/1.wav");
    assert_eq!((report.exit_code(), report.entries), (3, 5));
    assert_eq!(station.order().len(), 5);
}

#[test]
fn a_folder_that_may_not_be_read_is_named_and_its_entries_stay() {
    let station = Station::with_music();
    station.record("music/album/3.wav", 550, 1_300);
    station.record("music/album/deep/4.wav", 660, 1_200);
    let program = station.path("ipfs-radio");
    fs::copy(env!("CARGO_BIN_EXE_ipfs-radio"), &program).unwrap();
    let user = User::without_privileges();
    user.own(&station.path(""));
    let setup = || {
        let output = user.command(&program).arg("--dir").arg(station.path("")).arg("setup").output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(setup().0, Some(0));
    let (order, manifest) = (station.order(), station.manifest());
    assert!(order.contains(&"music/album/deep/4.wav".to_owned()), "{order:?}");
    // Not even listed; listed, but not entered.
    for (folder, mode, named) in [
        ("music/album", 0, &["music/album"][..]),
        ("music/album", 0o444, &["music/album/3.wav", "music/album/deep"]),
        ("music", 0, &["music"]),
    ] {
        let folder = station.path(folder);
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) = setup();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(code, Some(3), "{said}");
        for path in named {
            assert!(said.contains(&format!("skipped {path}: Permission denied")), "{path}, {mode:o}: {said}");
        }
        assert_eq!((station.order(), station.manifest()), (order.clone(), manifest.clone()), "{named:?}");
    }
    assert_eq!(setup().0, Some(0));
}

/// Who is refused what permissions do not grant: the one who runs the tests, or nobody where that is root.
struct User(Option<u32>);

impl User {
    fn without_privileges() -> Self {
        const NOBODY: u32 = 65_534;
        Self(rustix::process::geteuid().is_root().then_some(NOBODY))
    }

    /// Gives a folder to the user, with all that is in it.
    fn own(&self, path: &Path) {
        let Self(Some(id)) = self else { return };
        chown(path, Some(*id), Some(*id)).unwrap();
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| self.own(&entry.unwrap().path()));
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self(Some(id)) = self {
            command.gid(*id).uid(*id);
        }
        command
    }
}

#[test]
fn a_file_that_is_being_copied_is_left_for_later() {
    let mut station = Station::with_music();
    station.run(&job());
    let order = station.order();
    station.record("music/new.wav", 550, 1_000);
    station.record("music/1.wav", 560, 1_000);
    for path in ["music/new.wav", "music/1.wav"] {
        let file = fs::File::options().write(true).open(station.path(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_001)).unwrap();
    }
    station.now = || Time(1_000_002_000_000);
    for path in ["music/2.wav", "music/10.wav", "jingles/1.wav", "jingles/2.wav"] {
        let file = fs::File::options().write(true).open(station.path(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    let report = station.run(&job());
    assert_eq!(report.unsettled, ["music/1.wav", "music/new.wav"]);
    assert_eq!((report.exit_code(), report.encoded), (3, 0));
    assert_eq!(station.order(), order, "the old one plays on");
    station.now = || Time(1_000_003_000_000);
    assert_eq!((station.run(&job()).encoded, station.order().len()), (2, 6));
}

#[test]
fn a_file_that_changes_while_it_is_read_makes_no_item() {
    let station = Station::empty();
    station.record("music/1.wav", 220, 1_900);
    let path = station.path("music/1.wav");
    *station.before_encode.lock().unwrap() = Some(Box::new(move || fs::write(&path, wav(230, 1_000)).unwrap()));
    let report = station.run(&job());
    assert_eq!((report.unsettled.len(), report.entries), (1, 0));
    assert_eq!(report.notices, [""; 0]);
    let path = station.path("music/1.wav");
    *station.before_encode.lock().unwrap() = Some(Box::new(move || fs::write(&path, b"").unwrap()));
    let report = station.run(&job());
    assert_eq!((report.unsettled.len(), report.skipped.len()), (1, 0), "it is being written, and not bad");
    station.record("music/1.wav", 230, 1_000);
    *station.before_encode.lock().unwrap() = None;
    assert_eq!(station.run(&job()).entries, 1);
    let fresh = Station::empty();
    fresh.record("music/1.wav", 230, 1_000);
    fresh.run(&job());
    assert_eq!(station.manifest(), fresh.manifest());
}

#[test]
fn a_stopped_run_goes_on_next_time() {
    let (station, whole) = (std::sync::Arc::new(Station::with_music()), Station::with_music());
    let weak = std::sync::Arc::downgrade(&station);
    *station.before_encode.lock().unwrap() = Some(Box::new(move || {
        let station = weak.upgrade().unwrap();
        if station.encodes() == 3 {
            station.stop.store(true, Ordering::SeqCst);
        }
    }));
    let report = station.run(&Job { jobs: 1, ..job() });
    assert!(report.stopped);
    assert_eq!(report.encoded, 2);
    *station.before_encode.lock().unwrap() = None;
    station.stop.store(false, Ordering::SeqCst);
    assert_eq!(station.run(&job()).encoded, 3);
    whole.run(&job());
    assert_eq!(super::tree(&station.path("processed")), super::tree(&whole.path("processed")));
}
