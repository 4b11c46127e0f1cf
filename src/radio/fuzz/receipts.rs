//! Lines of a ledger whose keys are not at hand, checkpoints, and proofs.

use super::{Feed, said};
use crate::radio::{
    audit::{Audit, Begin, Means, Outcome, Page, page},
    canonical::canonical,
    checkpoint::{CheckpointBody, Log, Note, Proof},
    ledger::read,
    lines::{Lines, Rest},
    merkle::{self, Hash, Peaks, Subtrees},
    receipt::{Receipt, Unverified},
    time::Time,
};

/// Lines, roots and notes that another program made.
const VECTORS: &str = include_str!("../../../tests/golden/receipts.json");
/// Leaves of the largest tree.
const LEAVES: usize = 65;

/// Bytes as a page of a ledger, as one line, as a note, as a proof, and as the shape of a tree.
pub(crate) fn receipts(data: &[u8]) {
    lines(data);
    tree(&mut Feed(data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
        form(&value);
        if let Ok(body) = serde_json::from_value::<CheckpointBody>(value) {
            drop(Log::at(&body, Time(0)));
        }
    }
    match Unverified::read(text) {
        Ok(read) => drop(read.unchecked()),
        Err(error) => drop(said(&error)),
    }
    assert!(Receipt::read(text, |_| None).is_err(), "without a key nothing holds");
    note(text);
    match serde_json::from_str(text) {
        Ok(Proof::Inclusion { checkpoint, .. }) => note(&checkpoint),
        Ok(Proof::Consistency { checkpoint, older, .. }) => [checkpoint, older].iter().for_each(|text| note(text)),
        Err(_) => {}
    }
}

fn lines(data: &[u8]) {
    let lines = Lines::of(data);
    let joined: Vec<u8> = lines.whole.iter().flat_map(|line| [*line, &b"\n"[..]].concat()).collect();
    assert_eq!(joined, data[..lines.end]);
    let rest = &data[lines.end..];
    match lines.rest {
        Rest::Nothing => assert!(rest.iter().all(|byte| *byte == 0)),
        Rest::Torn(bytes) => assert!((1..=rest.len()).contains(&bytes)),
        Rest::Damaged => assert!(rest.contains(&0) && rest.contains(&b'\n')),
    }
    drop(read::continues(&String::from_utf8_lossy(data)));
    let signed = |note: &Note| note.station().map(|_| ()).map_err(|error| said(&error));
    let mut audit = Audit::new(Means { keys: &[], signed: &signed }, Begin::Anywhere, Vec::new());
    let whole = Page { text: data, opens: false, ends: true, until: None };
    let outcome = page(&mut audit, whole, &mut |_| Ok(()));
    let (held, count) = (audit.seen().receipts, lines.whole.len() as u64);
    match outcome {
        Outcome::Whole => assert_eq!(held, count),
        Outcome::Torn(line, bytes) => assert!(held == count && line as u64 == count + 1 && bytes > 0),
        Outcome::Broken(line, reason) => {
            said(&reason);
            assert!((1..=count + 1).contains(&(line as u64)) && held <= count);
        }
    }
}

/// A value has one spelling, which is read as the same value.
fn form(value: &serde_json::Value) {
    match canonical(value) {
        Ok(text) => {
            let back: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
            assert_eq!(&back, value);
            assert_eq!(canonical(&back), Ok(text));
        }
        Err(error) => drop(said(&error)),
    }
}

fn note(text: &str) {
    match Note::parse(text) {
        Ok(note) => {
            drop(note.station().map_err(|error| said(&error)));
            drop(note.check(&[0; 32], |_, _| false).map_err(|error| said(&error)));
            assert!(text.contains(&note.origin) && text.contains(&note.size.to_string()));
        }
        Err(error) => drop(said(&error)),
    }
}

/// Any leaf of any tree is proved to be in it, any beginning to be one, and nothing else is.
fn tree(feed: &mut Feed<'_>) {
    let size = 1 + feed.below(LEAVES);
    let (index, old) = (feed.below(size), 1 + feed.below(size));
    let leaves: Vec<Hash> = (0..size).map(|n| merkle::leaf(&[n as u8])).collect();
    let root = |count: usize| {
        let mut peaks = Peaks::default();
        leaves[..count].iter().for_each(|leaf| peaks.push(*leaf));
        assert_eq!(Peaks::new(peaks.size(), peaks.hashes().to_vec()).map(|peaks| peaks.root()), Some(peaks.root()));
        peaks.root()
    };
    let nodes = |ranges| {
        let mut subtrees = Subtrees::new(ranges);
        leaves.iter().for_each(|leaf| subtrees.push(*leaf));
        subtrees.roots().expect("all leaves were shown")
    };
    let (at, count, before) = (index as u64, size as u64, old as u64);
    let (all, part) = (root(size), root(old));
    let mut inclusion = nodes(merkle::inclusion(at, count));
    let mut consistency = nodes(merkle::consistency(before, count));
    assert!(merkle::includes(leaves[index], at, count, &inclusion, &all));
    assert!(merkle::extends((before, &part), (count, &all), &consistency));
    let (other, bit) = (feed.below(size), 1 << feed.below(8));
    assert_eq!(merkle::includes(leaves[other], at, count, &inclusion, &all), other == index);
    for proof in [&mut inclusion, &mut consistency] {
        let place = feed.below(proof.len().max(1));
        if let Some(hash) = proof.get_mut(place) {
            hash[feed.below(32)] ^= bit;
        }
    }
    let changed = !inclusion.is_empty();
    assert_eq!(merkle::includes(leaves[index], at, count, &inclusion, &all), !changed);
    let changed = !consistency.is_empty();
    assert_eq!(merkle::extends((before, &part), (count, &all), &consistency), !changed);
}

pub(crate) fn receipts_seeds() -> Vec<Vec<u8>> {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let lines: Vec<String> = vectors["lines"].as_array().into_iter().flatten().map(text).collect();
    let note = text(&vectors["note"]);
    let pages = lines.chunks(4).map(|lines| lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let proof =
        Proof::Consistency { v: 1, older: note.clone(), proof: vec!["00".repeat(32)], checkpoint: note.clone() };
    let torn = lines.first().map(|line| format!("{line}\n{}", &line[..line.len() / 2]));
    let texts = pages.chain(torn).chain([note, serde_json::to_string(&proof).unwrap_or_default()]);
    texts.map(String::into_bytes).chain(lines.iter().map(|line| line.clone().into_bytes())).collect()
}
