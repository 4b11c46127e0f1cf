//! The rules of the house, as a test: which room may name which, what the core may not touch, how long a file may be.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const LINES_MAX: usize = 600;

/// Room → rooms that it may name, besides itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("golden", &["radio"]),
    ("fuzz", &["config", "http", "ipfs", "audio", "radio"]),
    (
        "cli",
        &[
            "config", "setup", "callback", "streamer", "mirror", "health", "http", "ipfs", "audio", "disk", "watch",
            "clock", "radio",
        ],
    ),
    (
        "config",
        &[
            "setup", "callback", "streamer", "mirror", "health", "http", "ipfs", "audio", "disk", "watch", "clock",
            "radio",
        ],
    ),
    ("setup", &["ipfs", "audio", "disk", "watch", "clock", "radio"]),
    ("callback", &["disk", "clock", "radio"]),
    ("streamer", &["ipfs", "audio", "disk", "watch", "clock", "radio"]),
    ("mirror", &["ipfs", "audio", "disk", "watch", "clock", "radio"]),
    ("health", &["ipfs", "audio", "disk", "watch", "clock", "radio"]),
    ("http", &["ipfs", "audio", "disk", "watch", "clock", "radio"]),
    ("ipfs", &["radio"]),
    ("audio", &["radio"]),
    ("disk", &["radio"]),
    ("watch", &["radio"]),
    ("clock", &["radio"]),
    ("radio", &[]),
];

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// The room of a file: the first part of its path below `src`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Code without comments, one line each.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// A source without the tests at its end.
fn untested(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// The rooms that a text names as `crate::room`, also inside `use crate::{…}`.
fn named(text: &str) -> Vec<String> {
    let joined: String = code(text).collect::<Vec<_>>().join(" ");
    let mut rooms = Vec::new();
    for rest in joined.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut at_start = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        rooms.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                        at_start = true;
                    }
                    _ if depth > 0 => {}
                    c if at_start && (c.is_alphanumeric() || c == '_') => word.push(c),
                    _ if !word.is_empty() => {
                        rooms.push(std::mem::take(&mut word));
                        at_start = false;
                    }
                    _ => {}
                }
                if depth == 0 && !at_start {
                    word.clear();
                }
            }
            if !word.is_empty() {
                rooms.push(word);
            }
        } else {
            rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    rooms
}

#[test]
fn arrows_run_one_way() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let from = room(&path);
        if from == "lib" {
            continue;
        }
        let allowed =
            arrows.get(from.as_str()).unwrap_or_else(|| panic!("{} is a room without arrows", path.display()));
        for to in named(&text) {
            if arrows.contains_key(to.as_str()) && to != from && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{} names {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reader_of_arrows_sees_them() {
    let text =
        "use crate::{audio::{self, Part}, disk, radio::time::Time};\n// crate::http\nfn f() { crate::watch::x() }";
    assert_eq!(named(text), ["audio", "disk", "radio", "watch"]);
}

#[test]
fn the_core_is_pure() {
    let outside = [
        "std::fs",
        "std::net",
        "std::io",
        "std::process",
        "std::thread",
        "std::env",
        "SystemTime",
        "Instant",
        "tokio",
        "async fn",
        "rand::",
        "getrandom",
        "bytes::",
        "libp2p",
        "rust_ipfs",
    ];
    for (path, text) in sources() {
        // The simulation is test code: the environment tells it a seed.
        let sim = path.components().any(|part| part.as_os_str() == "sim");
        if room(&path) != "radio" || sim {
            continue;
        }
        for line in code(untested(&text)) {
            let reaches = outside.iter().find(|word| line.contains(*word));
            assert!(reaches.is_none(), "{}: {line}", path.display());
        }
    }
}

#[test]
fn what_only_tests_use_hides_nothing_behind_it() {
    let text = "#[cfg(test)]\nmod tests;\n\nuse std::time::Instant;\n#[cfg(test)]\nmod tests {\n}\n";
    assert!(untested(text).contains("Instant") && !untested(text).contains("mod tests {"));
}

#[test]
fn only_the_peer_names_its_crates() {
    for (path, text) in sources() {
        if room(&path) == "ipfs" {
            continue;
        }
        for line in code(&text) {
            let names = ["libp2p", "rust_ipfs", "rust_ipns"].iter().any(|name| line.contains(name));
            assert!(!names, "{}: {line}", path.display());
        }
    }
}

#[test]
fn what_breaks_ends_the_station() {
    let streamer = sources().into_iter().filter(|(path, _)| room(path) == "streamer");
    let others = ["streamer/tasks.rs", "tests.rs"];
    for (path, text) in streamer.filter(|(path, _)| !others.iter().any(|other| path.ends_with(other))) {
        let text = untested(&text);
        let of_its_own =
            |line: &&str| ["task::spawn(", "tokio::spawn(", "JoinSet"].iter().any(|word| line.contains(word));
        // The station itself.
        let most = usize::from(path.ends_with("streamer/start.rs"));
        let found: Vec<_> = code(text).filter(of_its_own).collect();
        assert!(found.len() <= most, "{}: use Tasks::spawn: {found:?}", path.display());
    }
}

#[test]
fn unsafe_stays_around_the_encoder() {
    for (path, text) in sources() {
        let allowed = path.ends_with("audio/encode.rs") || path.parent().unwrap().ends_with("audio/encode");
        let used = code(&text)
            .any(|line| line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl"));
        assert!(allowed || !used, "{}", path.display());
    }
}

#[test]
fn files_are_short() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}
