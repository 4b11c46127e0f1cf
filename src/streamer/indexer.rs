//! Keeps the ledger's files indexed by block, so that a receipt is found as fast among a million as among a thousand.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use tokio::{task, time};
use tokio_util::sync::CancellationToken;

use crate::{disk::ledger::book::Book, radio::ledger::Error};

/// How often it is seen whether another file is full: that takes a day and a half, and one that is not indexed is read.
const EVERY: Duration = Duration::from_secs(300);
/// The pause between two files, so that the disk is left to the air.
const PAUSE: Duration = Duration::from_secs(2);

/// Indexes what is full, beside the air. An index that is missing or cut off is made by who asks, too.
#[derive(Debug)]
pub(super) struct Indexer {
    ledger: PathBuf,
    /// Files that have an index.
    done: BTreeSet<PathBuf>,
}

impl Indexer {
    pub(super) const fn new(ledger: PathBuf) -> Self {
        Self { ledger, done: BTreeSet::new() }
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = EVERY;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = time::sleep(pause) => {}
            }
            pause = if self.index_next().await { PAUSE } else { EVERY };
        }
    }

    /// Indexes the next file. Whether there was one.
    async fn index_next(&mut self) -> bool {
        let (ledger, done) = (self.ledger.clone(), self.done.clone());
        let next = move || -> Result<Option<PathBuf>, Error> {
            let book = Book::open(&ledger)?;
            let Some(file) = book.full().iter().find(|file| !done.contains(*file)) else { return Ok(None) };
            Book::index(file)?;
            Ok(Some(file.clone()))
        };
        match task::spawn_blocking(next).await {
            Ok(Ok(Some(file))) => self.done.insert(file),
            Ok(Ok(None)) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a file of the ledger is not indexed");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn files_are_indexed_once_they_are_full_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, indexes) = (dir.path().join("ledger"), dir.path().join("ledger.index"));
        let mut indexer = Indexer::new(ledger.clone());
        assert!(!indexer.index_next().await, "there is no ledger");
        fs::create_dir(&ledger).unwrap();
        let file = |number: u32| fs::write(ledger.join(format!("{number:06}.jsonl")), "{\"cid\":\"one\"}\n").unwrap();
        file(1);
        assert!(!indexer.index_next().await, "it is being written");
        (2..4).for_each(file);
        for left in [true, true, false] {
            assert_eq!(indexer.index_next().await, left);
        }
        let made = |number: u32| indexes.join(format!("{number:06}.cids")).exists();
        assert_eq!([1, 2, 3].map(made), [true, true, false]);
        file(4);
        assert!(indexer.index_next().await && made(3) && !indexer.index_next().await);
    }
}
