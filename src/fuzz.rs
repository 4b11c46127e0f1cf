//! What is read of files and of strangers, as functions of bytes: each reads, checks what must hold of whatever was read,
//! and panics where it does not. The tests drive them with damaged inputs, and `scripts/fuzz` with coverage.

use crate::radio::fuzz::{index, ledger, lists, receipts, small};
#[cfg(feature = "edges")]
use crate::{audio, config, http, ipfs};

/// One of the functions.
#[derive(Debug)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// Inputs to begin with, each of which means something.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The longest input, in bytes.
    pub longest: usize,
    /// Texts that mean something in an input.
    pub words: Vec<String>,
}

const ORDER: [&str; 8] = ["#EXTM3U\n", "\u{feff}", "\r\n", "./", "%2E", "%C3%BC", "music/", "#EXTINF:1,\n"];
const LIST: [&str; 14] = [
    "#EXTM3U\n",
    "#EXT-X-MEDIA-SEQUENCE:",
    "#EXT-X-TARGETDURATION:",
    "#EXT-X-DISCONTINUITY\n",
    "#EXT-X-PROGRAM-DATE-TIME:",
    "#EXT-X-DATERANGE:",
    "#EXT-X-SERVER-CONTROL:HOLD-BACK=",
    "#EXTINF:",
    "CLASS=\"org.ipfs-radio.track\"",
    "START-DATE=\"9999-12-31T23:59:59.999Z\"",
    "DURATION=18446744073709.551615",
    "X-TITLE=\"",
    "18446744073709551615",
    "/ipfs/",
];
const JSON: [&str; 13] = [
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "\\u001b",
    "\\ud834",
    "-1",
    "1e308",
    "0.1",
    "4294967295",
    "9007199254740991",
    "18446744073709551615",
];
const RECEIPT: [&str; 16] = [
    "\n---\n",
    "\0",
    "{\"kind\":\"ledger_open\"",
    "{\"kind\":\"key_rotated\",\"to\":\"r1\"}\n",
    "{\"kind\":\"ipns_reserved\",\"until\":9007199254740991}\n",
    "{\"kind\":\"clock_step\",\"samples\":1,\"reason\":\"\"}\n",
    "\"disc\":true",
    "\"item_kind\":\"filler\"",
    "\"media_seq\":",
    "\"air_samples\":",
    "\"samples\":",
    "\"parts\":",
    "\"part\":",
    "\"first_seq\":",
    "\"sig\":\"",
    "\"r\":{",
];
const CUE: [&str; 10] =
    ["FILE \"", "TRACK ", "TITLE ", "PERFORMER ", "INDEX 01 ", "99999:59:74", "\r\n", "\u{feff}", "WAVE", "\""];

/// All of them, those of the core first.
pub fn targets() -> Vec<Target> {
    let words = |lists: &[&[&str]]| lists.concat().iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let target = |name, run, seeds, longest, words| Target { name, run, seeds, longest, words };
    #[cfg_attr(not(feature = "edges"), expect(unused_mut, reason = "the edges have more"))]
    let mut targets = vec![
        target("m3u", lists::m3u, lists::m3u_seeds, 4_096, words(&[&ORDER])),
        target("m3u8", lists::m3u8, lists::m3u8_seeds, 8_192, words(&[&LIST])),
        target("manifest", index::manifest, index::manifest_seeds, 8_192, words(&[&JSON])),
        target("ledger", ledger::ledger, ledger::ledger_seeds, 16_384, words(&[&JSON, &RECEIPT])),
        target("receipts", receipts::receipts, receipts::receipts_seeds, 8_192, words(&[&JSON, &RECEIPT])),
        target("cue", small::cue, small::cue_seeds, 4_096, words(&[&CUE])),
        target("follow", small::follow, small::follow_seeds, 4_096, words(&[&JSON])),
    ];
    #[cfg(feature = "edges")]
    targets.extend([
        target("setup", config::fuzz::setup, config::fuzz::setup_seeds, 4_096, config::fuzz::words()),
        target("streaming", config::fuzz::streaming, config::fuzz::streaming_seeds, 4_096, config::fuzz::words()),
        target("ts", audio::fuzz::ts, audio::fuzz::ts_seeds, 4_096, Vec::new()),
        target("ipns", ipfs::fuzz::ipns, ipfs::fuzz::ipns_seeds, 2_048, Vec::new()),
        target("gateway", http::fuzz::gateway, http::fuzz::gateway_seeds, 2_048, words(&[&http::fuzz::WORDS])),
        target("blocks", ipfs::fuzz::blocks, ipfs::fuzz::blocks_seeds, 4_096, Vec::new()),
        target("mp4", audio::fuzz::mp4, audio::fuzz::mp4_seeds, 4_096, words(&[&audio::fuzz::WORDS])),
        target("tags", audio::fuzz::tags, audio::fuzz::tags_seeds, 4_096, words(&[&audio::fuzz::FRAMES])),
    ]);
    targets
}

#[cfg(test)]
mod tests;
