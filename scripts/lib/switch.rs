//! Which mutant is on: a part of the copy that scripts/mutate builds.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

const MUTANTS_MAX: usize = 1 << 16;
const RECORD: u32 = MUTANTS_MAX as u32;
const UNKNOWN: u32 = RECORD + 1;

static CHOSEN: AtomicU32 = AtomicU32::new(UNKNOWN);
static SEEN: [AtomicBool; MUTANTS_MAX] = [const { AtomicBool::new(false) }; MUTANTS_MAX];
static RECORDED: OnceLock<File> = OnceLock::new();

/// Whether this mutant is on. What is computed while building is never mutated.
pub(crate) const fn on(mutant: u32) -> bool {
    std::intrinsics::const_eval_select((mutant,), never, chosen)
}

const fn never(_: u32) -> bool {
    false
}

#[inline]
fn chosen(mutant: u32) -> bool {
    let chosen = CHOSEN.load(Relaxed);
    if chosen < RECORD { chosen == mutant } else { first(mutant) }
}

/// Reads MUTATE, the number of the mutant; or notes in the file MUTATE_SEEN that the place of this one was reached.
#[cold]
fn first(mutant: u32) -> bool {
    if CHOSEN.load(Relaxed) == UNKNOWN {
        let number = std::env::var("MUTATE").ok().map(|number| number.parse().unwrap());
        CHOSEN.store(number.unwrap_or(RECORD), Relaxed);
        return chosen(mutant);
    }
    if !SEEN[mutant as usize].swap(true, Relaxed)
        && let Ok(path) = std::env::var("MUTATE_SEEN")
    {
        let mut file = RECORDED.get_or_init(|| OpenOptions::new().create(true).append(true).open(path).unwrap());
        file.write_all(format!("{mutant}\n").as_bytes()).unwrap();
    }
    false
}
