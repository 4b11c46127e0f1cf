//! Faults to order: the disk of tests that break things.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

/// Counts the steps of a disk and lets them fail from a given one on.
#[derive(Debug)]
pub struct Fuse {
    taken: AtomicU64,
    after: u64,
    once: Option<io::ErrorKind>,
}

impl Fuse {
    /// Lets all steps pass.
    pub const fn never() -> Self {
        Self::killed_after(u64::MAX)
    }

    /// Lets `steps` steps pass; then nothing happens any more, as if the process had been killed.
    pub const fn killed_after(steps: u64) -> Self {
        Self { taken: AtomicU64::new(0), after: steps, once: None }
    }

    /// Lets `steps` steps pass, fails one, and lets all others pass.
    pub const fn fails_once_after(steps: u64, kind: io::ErrorKind) -> Self {
        Self { taken: AtomicU64::new(0), after: steps, once: Some(kind) }
    }

    /// How many steps were asked for.
    pub fn steps(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    pub(super) fn step(&self) -> io::Result<()> {
        let number = self.taken.fetch_add(1, Ordering::SeqCst);
        match self.once {
            Some(kind) if number == self.after => Err(kind.into()),
            None if number >= self.after => Err(io::Error::other("killed")),
            _ => Ok(()),
        }
    }
}
