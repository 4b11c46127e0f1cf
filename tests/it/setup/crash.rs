//! Killed at every step, and disks that fail once.

use std::{
    fs,
    io::ErrorKind,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use ipfs_radio::{
    disk::{Fuse, is_temporary},
    radio::{manifest::Manifest, playlist, segment::chunk_name},
    setup::{Job, Report},
};

use super::world::{Station, job, tree};

fn small() -> Station {
    let station = Station::empty();
    station.record("music/1.wav", 220, 1_200);
    station.record("music/2.wav", 330, 600);
    station.record("jingles/1.wav", 880, 600);
    station
}

/// A run without faults.
fn run(station: &Station, job: &Job) -> Report {
    station.run_with_fuse(&Arc::new(Fuse::never()), job).unwrap()
}

/// One file goes, one changes, one comes.
fn edit(station: &Station) {
    fs::remove_file(station.path("music/2.wav")).unwrap();
    station.record("music/1.wav", 250, 900);
    station.record("music/3.wav", 440, 700);
}

/// What a reader finds at any moment is whole: each line of the order names an entry, each item is all there.
fn is_whole(station: &Station) {
    let store = station.layout.processed();
    let Ok(bytes) = fs::read(store.manifest()) else {
        assert!(!store.playlist().exists(), "an order without a manifest");
        return;
    };
    let manifest = Manifest::parse(&bytes).unwrap();
    for item in manifest.items() {
        let meta = station.meta(&item.id);
        assert!(meta.renditions[0].segments.iter().all(|segment| store.chunk(&chunk_name(&segment.cid)).exists()));
    }
    if let Ok(order) = fs::read(store.playlist()) {
        assert_eq!(playlist::parse("playlist.m3u", &order, &manifest).unwrap().skipped, []);
    }
}

fn no_temporary_is_left(station: &Station) {
    let names = station.files_with_times().into_keys();
    let left: Vec<_> = names.filter(|path| is_temporary(&path.file_name().unwrap().to_string_lossy())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn killed_at_any_step_the_next_run_completes_with_the_same_bytes() {
    let reference = small();
    run(&reference, &job());
    let expected = tree(&reference.path("processed"));
    for steps in 0.. {
        let station = small();
        let killed = station.run_with_fuse(&Arc::new(Fuse::killed_after(steps)), &job());
        is_whole(&station);
        if killed.is_ok_and(|report| report.entries == 3) {
            assert!(steps > 40, "so few steps cannot be durable: {steps}");
            return;
        }
        let report = run(&station, &job());
        assert_eq!(report.entries, 3, "after {steps} steps");
        no_temporary_is_left(&station);
        assert_eq!(tree(&station.path("processed")), expected, "after {steps} steps");
    }
}

#[test]
fn killed_at_any_step_of_a_change_every_reader_finds_a_whole_programme() {
    let edited = Job { cycle: 1, ..job() };
    let reference = small();
    run(&reference, &job());
    edit(&reference);
    run(&reference, &edited);
    let expected = tree(&reference.path("processed"));
    for steps in 0.. {
        let station = small();
        run(&station, &job());
        edit(&station);
        let fuse = Arc::new(Fuse::killed_after(steps));
        let done = station.run_with_fuse(&fuse, &edited);
        is_whole(&station);
        let complete = done.is_ok() && fuse.steps() <= steps;
        run(&station, &edited);
        no_temporary_is_left(&station);
        assert_eq!(tree(&station.path("processed")), expected, "after {steps} steps");
        if complete {
            assert!(steps > 20, "so few steps cannot be durable: {steps}");
            return;
        }
    }
}

#[test]
fn a_disk_that_fails_once_is_told_and_forgiven() {
    let reference = small();
    run(&reference, &job());
    let expected = tree(&reference.path("processed"));
    for steps in 0.. {
        let station = small();
        let fuse = Arc::new(Fuse::fails_once_after(steps, ErrorKind::StorageFull));
        let done = station.run_with_fuse(&fuse, &job());
        is_whole(&station);
        if fuse.steps() <= steps {
            assert_eq!(done.unwrap().entries, 3);
            return;
        }
        if let Err(error) = done {
            assert!(error.to_string().contains("cannot "), "{error}");
        }
        run(&station, &job());
        no_temporary_is_left(&station);
        assert_eq!(tree(&station.path("processed")), expected, "after {steps} steps");
    }
}

/// The real program's setup; the recordings have settled long ago.
fn program(station: &Station) -> Command {
    for folder in ["music", "jingles"] {
        for entry in fs::read_dir(station.path(folder)).unwrap() {
            let file = fs::File::options().append(true).open(entry.unwrap().path()).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
        }
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
    command.arg("--dir").arg(station.path("")).arg("setup").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn killed_for_real_the_next_run_completes_with_the_same_bytes() {
    let (station, reference) = (Station::with_music(), Station::with_music());
    assert!(program(&reference).status().unwrap().success());
    let mut finished = false;
    for round in 0..40u64 {
        let mut child = program(&station).spawn().unwrap();
        thread::sleep(Duration::from_millis(5 * round));
        finished |= child.try_wait().unwrap().is_some_and(|status| status.success());
        let _ = child.kill();
        child.wait().unwrap();
        is_whole(&station);
        if finished {
            break;
        }
    }
    assert!(program(&station).status().unwrap().success());
    no_temporary_is_left(&station);
    assert_eq!(tree(&station.path("processed")), tree(&reference.path("processed")));
}
