//! Both configuration files, and the one beside a recording, as functions of bytes: see [`crate::fuzz`].

use std::path::Path;

use super::{Error, Fault, Key, OVERRIDE_KEYS, SETUP_KEYS, STREAMING_KEYS, Setup, Streaming, decoded, overrides};
use crate::radio::fuzz::{line_count, said};

/// `setup.toml`, and what stands beside a recording.
pub(crate) fn setup(data: &[u8]) {
    let home = Path::new("/home");
    if let Some(setup) = read(data, |name, text| Setup::parse(name, text, Some(home))) {
        let audio = &setup.audio;
        assert!((1..=256).contains(&setup.jobs) && (1..=100_000).contains(&setup.cycle));
        assert!(
            (1..=30).contains(&audio.segment_seconds) && (1..=2).contains(&audio.channels) && audio.fade_ms <= 10_000
        );
        let possible = crate::audio::bitrates(audio.rate, audio.channels);
        assert!((1..=8).contains(&audio.bitrates.len()) && audio.bitrates.iter().all(|rung| possible.contains(rung)));
        assert!(audio.loudness_target.is_none_or(|target| (-40.0..=-5.0).contains(&target)));
        assert!((-9.0..=0.0).contains(&audio.peak_ceiling) && (-20.0..=6.0).contains(&setup.jingles_loudness_offset));
        assert!([&setup.source, &setup.jingles_folder].iter().all(|folder| !folder.as_os_str().is_empty()));
        assert_eq!(setup.job().cycle, setup.cycle as usize);
    }
    if let Some(overrides) = read(data, overrides::parse) {
        assert!((-20.0..=12.0).contains(&overrides.gain_db));
        assert!(overrides.cue_out.is_none_or(|out| out.0 >= overrides.cue_in.0 + 499_999));
        let texts = [overrides.title, overrides.artist, overrides.album];
        assert!(texts.iter().flatten().all(|text| !text.trim().is_empty() && !text.contains(char::is_control)));
    }
}

/// `streaming.toml`.
pub(crate) fn streaming(data: &[u8]) {
    let Some(streaming) = read(data, Streaming::parse) else { return };
    assert!((6..=1_000).contains(&streaming.window_size) && (2..=1_000).contains(&streaming.look_ahead));
    assert!((1..=100).contains(&streaming.name.chars().count()) && !streaming.name.contains(char::is_control));
    let lists = [&streaming.peer_listen, &streaming.announce, &streaming.bootstrap, &streaming.delegated_routers];
    assert!(lists.iter().all(|list| list.len() <= 64));
    for segment_seconds in [1, 30] {
        streaming.warnings(segment_seconds).iter().for_each(|warning| drop(said(warning)));
        let floor = i64::from(streaming.lifetime_seconds) + streaming.tolerated_staleness(segment_seconds);
        assert!(streaming.retention_seconds(segment_seconds) as i64 > floor, "retention is too short");
        assert!(streaming.needed_staleness(segment_seconds) > 0);
    }
}

/// What is refused is named with its place and shown there; a comment changes nothing.
fn read<T: PartialEq + std::fmt::Debug>(data: &[u8], parse: impl Fn(&Path, &str) -> Result<T, Error>) -> Option<T> {
    let name = Path::new("a.toml");
    let read = decoded(name, data.to_vec()).and_then(|text| Ok((parse(name, &text)?, text)));
    match read {
        Ok((value, text)) => {
            assert_eq!(parse(name, &format!("{text}\n# a comment")).ok().as_ref(), Some(&value));
            Some(value)
        }
        Err(Error::Fault(fault)) => {
            placed(&fault, data);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn placed(fault: &Fault, data: &[u8]) {
    let shown = said(fault);
    assert!((1..=line_count(data)).contains(&fault.line), "line {}", fault.line);
    let place = format!("a.toml:{}:{}: ", fault.line, fault.column);
    assert!(shown.starts_with(&place) && !fault.what.is_empty() && !fault.instead.is_empty(), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    let [_, _, line, carets, _] = lines[..] else { panic!("not five lines: {shown}") };
    let (first, last) = (carets.find('^').unwrap_or_default(), carets.chars().count());
    assert!(first > 0 && last <= line.chars().count().max(first) + 1, "carets beside the line: {shown}");
}

/// The file as it is shipped, every key with its default, and what cannot be.
fn seeds(shipped: &str, keys: &[Key], others: &[&str]) -> Vec<Vec<u8>> {
    let written = keys.iter().filter(|key| !key.default.is_empty());
    let all: String = written.map(|key| format!("{} = {}\n", key.path, key.default)).collect();
    let texts = [shipped.to_owned(), all].into_iter().chain(others.iter().map(|text| (*text).to_owned()));
    texts.map(String::into_bytes).collect()
}

pub(crate) fn setup_seeds() -> Vec<Vec<u8>> {
    let beside =
        "title = \"A\"\nartist = 'B'\ngain_db = -1.5\ncue_in_seconds = 1\ncue_out_seconds = 2.5\nexclude = true\n";
    let wrong = "source = \"~/m\"\n[audio]\nbitrates = [128000, 64_000]\nloudness_target = \"off\"\nchannels = 9\n";
    let mut seeds =
        seeds(include_str!("../../setup.toml"), SETUP_KEYS, &[beside, wrong, "jingle_cycle = 3", "a = \"\\u001b\""]);
    seeds.push(b"source = \"\xff\"".to_vec());
    seeds
}

pub(crate) fn streaming_seeds() -> Vec<Vec<u8>> {
    let peers = "[peer]\nlisten = [\"/ip4/0.0.0.0/tcp/4001\"]\nannounce = [\"/dns4/example.org/tcp/1\"]\nbootstrap = \
                 [\"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8\"]\n";
    let wrong = "name = \"\"\n[ledger]\nreceipts = \"maybe\"\n[http]\nlisten = \"[::1]:80\"\n[peer]\nbootstrap = []\n";
    seeds(include_str!("../../streaming.toml"), STREAMING_KEYS, &[peers, wrong, "[streaming]\nmax_segments = 9\n"])
}

/// Names and values of all keys.
pub(crate) fn words() -> Vec<String> {
    let keys = [SETUP_KEYS, STREAMING_KEYS, OVERRIDE_KEYS].concat();
    let tables = keys.iter().filter_map(|key| key.path.split_once('.')).map(|(table, _)| format!("[{table}]\n"));
    let names = keys.iter().map(|key| format!("{} = ", key.name()));
    let values =
        ["\"off\"", "true", "[]", "inf", "nan", "0x7f", "'''", "\"\"\"", "1e9", "1979-05-27", "[[a]]", "\\u001b"];
    tables.chain(names).chain(values.map(String::from)).collect()
}
