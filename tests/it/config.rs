//! The configuration files as they are committed and as people write them.

use std::path::Path;

use ipfs_radio::config::{Error, Key, SETUP_KEYS, STREAMING_KEYS, Setup, Streaming};

fn committed(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn setup(text: &str) -> Result<Setup, Error> {
    Setup::parse(Path::new("setup.toml"), text, Some(Path::new("/home/me")))
}

fn streaming(text: &str) -> Result<Streaming, Error> {
    Streaming::parse(Path::new("streaming.toml"), text)
}

fn value_of(table: &toml::Table, path: &str) -> Option<toml::Value> {
    let (table, name) = match path.split_once('.') {
        Some((inner, name)) => (table.get(inner)?.as_table()?, name),
        None => (table, path),
    };
    table.get(name).cloned()
}

fn count_leaves(table: &toml::Table) -> usize {
    table.values().map(|value| value.as_table().map_or(1, count_leaves)).sum()
}

/// Every key is there with its default, nothing else is, and each is explained by a comment above it.
fn is_complete(text: &str, keys: &[Key]) {
    let table: toml::Table = text.parse().unwrap();
    for key in keys {
        let lines: Vec<_> = text.lines().collect();
        let begins = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{} = ", key.name()));
        let at = lines.iter().position(|line| begins(line)).unwrap_or_else(|| panic!("{} is missing", key.path));
        assert!(lines[at - 1].starts_with("# "), "{} is not explained", key.path);
        let written = value_of(&table, key.path);
        if key.default.is_empty() {
            assert_eq!(written, None, "{} depends on the machine", key.path);
        } else if key.path != "peer.bootstrap" {
            let default: toml::Table = format!("x = {}", key.default).parse().unwrap();
            assert_eq!(written.as_ref(), default.get("x"), "{}", key.path);
        }
    }
    assert_eq!(count_leaves(&table), keys.iter().filter(|key| !key.default.is_empty()).count());
}

#[test]
fn the_committed_files_hold_every_key_at_its_default() {
    is_complete(&committed("setup.toml"), SETUP_KEYS);
    is_complete(&committed("streaming.toml"), STREAMING_KEYS);
    assert_eq!(setup(&committed("setup.toml")).unwrap(), Setup::default());
    assert_eq!(streaming(&committed("streaming.toml")).unwrap(), Streaming::default());
}

#[test]
fn an_empty_or_missing_file_is_all_defaults() {
    assert_eq!(setup("").unwrap(), Setup::default());
    assert_eq!(streaming("").unwrap(), Streaming::default());
    let nowhere = Path::new("/nonexistent/setup.toml");
    assert_eq!(Setup::load(nowhere).unwrap(), Setup::default());
    assert_eq!(Streaming::load(nowhere).unwrap(), Streaming::default());
}

#[test]
fn every_key_has_an_effect() {
    let wanted = setup(
        "source = \"~/Music\"\njobs = 3\n[jingles]\nfolder = \"/j\"\nenabled = false\ncycle = 10\nloudness_offset = -3\n[audio]\n\
         segment_duration = 10\ncodec = \"aac\"\nbitrates = [96000, 64000]\nsample_rate = 48000\nchannels = 1\n\
         loudness_target = -23\nloudness_reference = \"album\"\ntrue_peak_ceiling = -1\ntrim_silence = true\nfade_ms = 50\n\
         [callback]\nurl = \"http://10.0.0.1/made\"\nallow_private = true\n",
    )
    .unwrap();
    assert_eq!((wanted.source.as_path(), wanted.jobs), (Path::new("/home/me/Music"), 3));
    assert_eq!((wanted.jingles_folder.as_path(), wanted.jingles_enabled, wanted.cycle), (Path::new("/j"), false, 10));
    assert_eq!((wanted.jingles_loudness_offset, wanted.job().jingle_offset), (-3.0, -3.0));
    assert_eq!(wanted.callback, ipfs_radio::callback::Target::new("http://10.0.0.1/made", true));
    let audio = wanted.audio;
    assert_eq!(audio.reference, ipfs_radio::audio::Reference::Album);
    assert_eq!((audio.segment_seconds, audio.rate, audio.channels), (10, 48_000, 1));
    assert_eq!((audio.bitrates, audio.loudness_target, audio.peak_ceiling), (vec![96_000, 64_000], Some(-23.0), -1.0));
    assert_eq!((audio.trim_silence, audio.fade_ms), (true, 50));
    assert_eq!(setup("[audio]\nloudness_target = \"off\"").unwrap().audio.loudness_target, None);

    let air = streaming(
        "name = \"Ö\"\n[streaming]\nwindow_size = 6\nlook_ahead = 4\nretention_hours = 30\nauto_setup = false\n[ipns]\n\
         ttl_seconds = 5\nlifetime_seconds = 86400\npublish_interval_seconds = 1\n[http]\nlisten = \"[::1]:0\"\n[peer]\n\
         listen = [\"/ip4/127.0.0.1/tcp/0\"]\nannounce = [\"/dns4/a/tcp/1\"]\nbootstrap = []\ndelegated_routers = []\n\
         [ledger]\nreceipts = \"required\"\n",
    )
    .unwrap();
    assert_eq!((air.name.as_str(), air.window_size, air.look_ahead, air.auto_setup), ("Ö", 6, 4, false));
    assert_eq!((air.ttl_seconds, air.lifetime_seconds, air.publish_interval_seconds), (5, 86_400, 1));
    assert_eq!((air.http_listen.to_string().as_str(), air.retention_seconds(6)), ("[::1]:0", 30 * 3_600));
    assert_eq!((air.peer_listen.len(), air.announce.len(), air.bootstrap.len()), (1, 1, 0));
    assert_eq!((air.delegated_routers.len(), air.receipts), (0, ipfs_radio::config::Receipts::Required));
}

#[test]
fn a_fault_is_shown_where_it_is_with_what_to_write() {
    let told = streaming("name = \"x\"\n[streaming]\n  window_size = 5\n").unwrap_err().to_string();
    assert_eq!(
        told,
        "streaming.toml:3:17: `streaming.window_size` must be a whole number of segments from 6 to 1000\n  \
         |\n3 |   window_size = 5\n  |                 ^\n  = write `window_size = 50` for the default"
    );
    let told = setup("[audio]\nsegment_duratoin = 6").unwrap_err().to_string();
    assert!(told.starts_with("setup.toml:2:1: unknown key `segment_duratoin` in `[audio]`\n"), "{told}");
    assert!(told.contains("\n2 | segment_duratoin = 6\n  | ^^^^^^^^^^^^^^^^\n"), "{told}");
    assert!(told.contains("known here: `segment_duration`, `codec`"), "{told}");
}

#[test]
fn of_an_endless_line_a_piece_around_the_fault_is_shown() {
    let long = "x".repeat(100_000);
    for text in
        [format!("{long} = 1"), format!("source = \"{long}\" y"), format!("a = [{long}"), format!("# {long}\n[{long}")]
    {
        let told = setup(&text).unwrap_err().to_string();
        assert!(told.chars().count() < 1_200, "{} characters", told.chars().count());
    }
    let told = setup(&format!("source = \"{}\" y", "x".repeat(500))).unwrap_err().to_string();
    let lines: Vec<&str> = told.lines().collect();
    let place = lines[3].find('^').unwrap();
    assert_eq!((&lines[2][place..], &lines[3][place..]), ("y", "^"), "{told}");
    assert!(!setup("\"\\u001b[2J\" = 1").unwrap_err().to_string().contains('\u{1b}'));
}

/// The text, where the fault is, and what the message says of it.
type Fault = (&'static str, &'static str, &'static str);

fn refused<T: std::fmt::Debug>(faults: &[Fault], parse: impl Fn(&str) -> Result<T, Error>) {
    for (text, place, words) in faults {
        let told = parse(text).expect_err(text).to_string();
        assert!(told.contains(&format!(".toml:{place}: ")), "{text}\n{told}");
        assert!(told.contains(words), "{text}\n{told}");
        assert!(told.contains("\n  = ") && told.contains('^'), "{text}\n{told}");
    }
}

#[test]
fn a_file_that_is_no_text_is_refused_where_that_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("setup.toml");
    std::fs::write(&path, b"source = \"m\"\n# \xc3\xbc \xff\xfe x\n").unwrap();
    let told = Setup::load(&path).unwrap_err().to_string();
    let shown = "2 | # \u{fc} \u{fffd}\u{fffd} x\n  |     ^\n  = save the file as UTF-8";
    assert!(told.contains("setup.toml:2:5: ") && told.ends_with(shown), "{told}");
}

#[test]
fn every_rate_has_bitrates_that_it_takes() {
    for rate in [22_050, 24_000, 32_000, 44_100, 48_000] {
        for channels in [1, 2] {
            let most = (6 * rate * channels).min(320_000);
            let text = |bitrate| {
                format!("[audio]\nsample_rate = {rate}\nchannels = {channels}\nbitrates = [16000, {bitrate}]")
            };
            assert_eq!(setup(&text(most)).unwrap().audio.bitrates, [16_000, most], "{rate} {channels}");
            assert!(setup(&text(most + 1)).is_err(), "{rate} {channels}");
        }
    }
}

#[test]
fn setup_refuses_what_it_cannot_do() {
    refused(
        &[
            ("source = 5", "1:10", "`source` must be the name of a folder"),
            ("source = \"\"", "1:10", "`source` must be"),
            ("jobs = 0", "1:8", "from 1 to 256"),
            ("jobs = 257", "1:8", "leave the key out"),
            ("[jingles]\ncycle = 0", "2:9", "`jingles.cycle`"),
            ("[jingles]\nenabled = 1", "2:11", "true or false"),
            ("[jingles]\njingle_cycle = 3", "2:1", "write `cycle`"),
            ("jingle_cycle = 3", "1:1", "write `cycle` in `[jingles]`"),
            ("[audio]\nsegment_duration = 31", "2:20", "from 1 to 30"),
            ("[audio]\nsegment_duration = 6.5", "2:20", "a whole number of seconds"),
            ("[audio]\nsegment_duration = \"6\"", "2:20", "a whole number of seconds"),
            ("[audio]\ncodec = \"opus\"", "2:9", "the only codec"),
            ("[callback]\nurl = \"http://10.0.0.1/\"", "2:7", "an https:// URL"),
            ("[audio]\nbitrates = []", "2:12", "1 to 8 different"),
            ("[audio]\nbitrates = [128000, 128000]", "2:12", "different"),
            ("[audio]\nbitrates = [128]", "2:12", "16000"),
            ("[audio]\nbitrates = 128000", "2:12", "a list"),
            ("[audio]\nbitrates = [\"a\"]", "2:13", "a list"),
            ("[audio]\nsample_rate = 44101", "2:15", "48000"),
            ("[audio]\nchannels = 3", "2:12", "from 1 to 2"),
            ("[audio]\nloudness_target = -41", "2:19", "LUFS, or \"off\""),
            ("[audio]\nloudness_target = nan", "2:19", "LUFS"),
            ("[audio]\nloudness_target = \"on\"", "2:19", "LUFS"),
            ("[audio]\ntrue_peak_ceiling = 0.1", "2:21", "dBTP"),
            ("[audio]\nloudness_reference = \"loud\"", "2:22", "\"track\" (measured), \"album\" or"),
            ("[jingles]\nloudness_offset = 7", "2:19", "from -20 to 6 LU"),
            ("[jingles]\nloudness_offset = \"low\"", "2:19", "LU"),
            ("[audio]\ntrue_peak_ceiling = \"off\"", "2:21", "dBTP"),
            ("[audio]\nfade_ms = -1", "2:11", "milliseconds"),
            (
                "[audio]\nchannels = 1\nbitrates = [128000, 320000]",
                "3:21",
                "44100 Hz with one channel, 264600 is the most",
            ),
            ("[audio]\nbitrates = [320000]\nsample_rate = 22050", "2:13", "264600 is the most"),
            ("[audio]\nbitrates = [132301]\nsample_rate = 22050\nchannels = 1", "2:13", "132300 is the most"),
            ("[music]\n", "1:2", "unknown key `music`"),
            ("audio = 1", "1:9", "expected a table"),
            ("cycle = 3", "1:1", "known here: `source`, `jobs`, `[jingles]`, `[audio]`"),
            ("[audio]\ncycle = 3", "2:1", "this key is written as `jingles.cycle`"),
            ("source = \"a\"\nsource = \"b\"", "2:1", "duplicate"),
            ("source = ", "1:10", "TOML"),
            ("# ü\n[audio]\nfade_ms = [", "3:12", "TOML"),
            ("source = \"é\" x", "1:14", "TOML"),
        ],
        setup,
    );
    assert!(Setup::parse(Path::new("s"), "source = \"~\"", None).is_err(), "whose home is meant?");
}

#[test]
fn streaming_refuses_what_it_cannot_do() {
    refused(
        &[
            ("update_interval = 2", "1:1", "publish_interval_seconds"),
            ("[streaming]\nupdate_interval = 2", "2:1", "the list moves on with every segment"),
            ("[streaming]\nmax_segments = 20", "2:1", "follows from `window_size` and `look_ahead`"),
            ("name = \"\"", "1:8", "1 to 100 characters"),
            ("name = \"a\\nb\"", "1:8", "on one line"),
            ("[streaming]\nwindow_size = 1001", "2:15", "from 6 to 1000"),
            ("[streaming]\nlook_ahead = 1", "2:14", "from 2 to 1000"),
            ("[streaming]\nretention_hours = 0", "2:19", "hours"),
            ("[streaming]\nauto_setup = \"yes\"", "2:14", "true or false"),
            ("[ipns]\nttl_seconds = -1", "2:15", "seconds"),
            ("[ipns]\nlifetime_seconds = 0", "2:20", "seconds"),
            ("[ipns]\nttl = 60", "2:1", "known here: `ttl_seconds`"),
            ("[http]\nlisten = \"8000\"", "2:10", "an address and a port"),
            ("[http]\nlisten = 8000", "2:10", "write `listen = \"127.0.0.1:8000\"`"),
            ("[peer]\nlisten = [\"tcp/4001\"]", "2:11", "multiaddrs"),
            ("[peer]\nlisten = [\n\"/ip4/0.0.0.0/tcp/1\",\n  \"/bogus\"]", "4:3", "\"/bogus\" is no multiaddr"),
            ("[peer]\nlisten = [\"/ip4/0.0.0.0/udp/4001\"]", "2:11", "quic-v1"),
            ("[peer]\nlisten = [5]", "2:11", "multiaddrs"),
            ("[peer]\nannounce = [\"/ip4/0.0.0.0/tcp/4001\"]", "2:13", "names no host"),
            ("[peer]\nbootstrap = [\"/ip4/1.2.3.4/tcp/4001\"]", "2:14", "/p2p/"),
            ("[peer]\nbootstrap = [\"/ip4/1.2.3.4/tcp/4001/p2p/nobody\"]", "2:14", "no multiaddr"),
            ("[peer]\ndelegated_routers = [\"delegated-ipfs.dev\"]", "2:21", "https://"),
            ("[ledger]\nreceipts = \"never\"", "2:12", "\"best_effort\" or \"required\""),
        ],
        streaming,
    );
}
