//! Nothing is written but where a station keeps what it makes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::channel,
};

use notify::{EventKind, RecursiveMode, Watcher, event::AccessMode};

use super::world::{tree, wav};

/// Whether something was opened for writing, made, moved or removed.
fn writes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(what) => what == notify::event::AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Runs a command on the station in `folder`, which also has the home and the folder for what is temporary. Gives what was
/// written outside `processed/` and `state/`, though it is gone again.
fn written_by(folder: &Path, command: &[&str]) -> BTreeSet<PathBuf> {
    let (events, seen) = channel();
    let mut watcher = notify::recommended_watcher(events).unwrap();
    watcher.watch(folder, RecursiveMode::Recursive).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"))
        .arg("--dir")
        .arg(folder.join("station"))
        .args(command)
        .env("TMPDIR", folder.join("tmp"))
        .env("HOME", folder.join("home"))
        .current_dir(folder.join("home"))
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    // Events come in order: this one is the last.
    let last = folder.join("last");
    fs::write(&last, b"").unwrap();
    let mut written = BTreeSet::new();
    for event in seen {
        let event = event.unwrap();
        assert!(!event.need_rescan(), "too much happened to see all of it");
        if event.paths.contains(&last) {
            break;
        }
        written.extend(event.paths.into_iter().filter(|_| writes(event.kind)));
    }
    let own = ["processed", "state"].map(|name| folder.join("station").join(name));
    written.retain(|path| !own.iter().any(|own| path.starts_with(own)));
    written
}

#[test]
fn setup_and_split_write_nowhere_but_in_the_stations_own_folders() {
    let folder = tempfile::tempdir().unwrap();
    for (path, hertz) in [("station/music/1.wav", 220), ("station/jingles/1.wav", 440), ("station/talk.wav", 330)] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, wav(hertz, 1_500)).unwrap();
    }
    for name in ["tmp", "home"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let outside = || {
        let mut files = tree(folder.path());
        files.retain(|path, _| !path.starts_with("station/processed") && !path.starts_with("station/state"));
        files
    };
    let before = outside();
    let talk = folder.path().join("station/talk.wav");
    for command in [&["setup"][..], &["split", talk.to_str().unwrap()], &["setup", "--prune"]] {
        let written = written_by(folder.path(), command);
        assert!(written.is_empty(), "{command:?}: {written:#?}");
        fs::remove_file(folder.path().join("last")).unwrap();
        assert!(outside() == before, "{command:?} leaves something");
    }
    assert!(folder.path().join("station/processed/manifest.json").exists());
}
