//! Damaged inputs, without coverage.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Changes of one input, at most.
const CHANGES: usize = 6;
/// Inputs of a target in a run of the tests.
const CASES: u32 = 2_000;

/// A place, a kind of change, and what it takes.
type Change = (usize, u8, usize);

/// An input like `seed`, changed in a few places; `seeds` are inputs to take pieces of.
fn changed(seed: usize, changes: &[Change], seeds: &[Vec<u8>], target: &Target) -> Vec<u8> {
    let mut made = seeds[seed % seeds.len()].clone();
    for (place, kind, what) in changes {
        let at = place % (made.len() + 1);
        let end = (at + 1 + what % 40).min(made.len());
        match kind % 8 {
            0..=2 if at < made.len() => made[at] ^= 1 + (what % 255) as u8,
            3 => drop(made.drain(at..end)),
            4 => drop(made.splice(at..at, made[at..end].to_vec())),
            5 => {
                let other = &seeds[what % seeds.len()];
                let from = what / 7 % (other.len() + 1);
                drop(made.splice(at..at, other[from..(from + what % 60).min(other.len())].to_vec()));
            }
            6 if !target.words.is_empty() => {
                let word = target.words[what % target.words.len()].bytes();
                drop(made.splice(at..if what % 2 == 0 { at } else { end }, word));
            }
            7 if what % 8 == 0 => made.truncate(at),
            _ => made.insert(at, *what as u8),
        }
    }
    made.truncate(target.longest);
    made
}

/// Runs a target over its seeds, over damaged ones, and over any bytes.
fn drive(name: &str) {
    let target = targets().into_iter().find(|target| target.name == name).unwrap();
    let seeds = (target.seeds)();
    seeds.iter().for_each(|seed| (target.run)(seed));
    (target.run)(b"");
    let change = (any::<usize>(), any::<u8>(), any::<usize>());
    let damaged = (any::<usize>(), vec(change, 1..=CHANGES));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    proptest!(config, |((seed, changes) in damaged, bytes in vec(any::<u8>(), 0..200))| {
        (target.run)(&changed(seed, &changes, &seeds, &target));
        (target.run)(&bytes);
    });
}

macro_rules! driven {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            drive(stringify!($name));
        })*

        const DRIVEN: &[&str] = &[$(stringify!($name)),*];
    };
}

#[cfg(not(feature = "edges"))]
driven!(m3u m3u8 manifest ledger receipts cue follow);
#[cfg(feature = "edges")]
driven!(m3u m3u8 manifest ledger receipts cue follow setup streaming ts ipns gateway blocks mp4 tags);

#[test]
fn all_of_them_are_driven() {
    assert_eq!(targets().iter().map(|target| target.name).collect::<Vec<_>>(), DRIVEN);
}

#[test]
fn seeds_are_no_longer_than_inputs() {
    for target in targets() {
        let seeds = (target.seeds)();
        assert!(seeds.len() > 1, "{} has too few seeds", target.name);
        let longest = seeds.iter().map(Vec::len).max();
        assert!(longest <= Some(target.longest), "{}: {longest:?}", target.name);
    }
}
