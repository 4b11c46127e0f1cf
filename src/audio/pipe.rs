//! Two steps of a pass at once: one on a thread of its own, the other on the caller's.

use std::{
    panic::resume_unwind,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use super::Error;

/// Samples that are handed over at a time, or a block: to wake the other thread costs as much as to deal with a small one.
const BATCH: usize = 1 << 16;
/// So many batches may wait between the steps.
const WAITING: usize = 1;

/// Where the first step puts its blocks of samples.
#[derive(Debug)]
pub(super) struct Outlet<S> {
    sender: SyncSender<Vec<Vec<S>>>,
    batch: Vec<Vec<S>>,
    samples: usize,
}

impl<S> Outlet<S> {
    /// Hands a block over. The second step may have failed: then the first need not go on.
    pub(super) fn give(&mut self, block: Vec<S>) -> Result<(), Error> {
        self.samples += block.len();
        self.batch.push(block);
        if self.samples < BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.samples = 0;
        self.sender.send(std::mem::take(&mut self.batch)).map_err(|_| Error::Stopped)
    }
}

/// Runs `make` beside `take`, which gets its blocks in their order. Gives what `make` found, or the first error.
pub(super) fn run<S: Send, R: Send>(
    make: impl FnOnce(&mut Outlet<S>) -> Result<R, Error> + Send,
    mut take: impl FnMut(Vec<S>) -> Result<(), Error>,
) -> Result<R, Error> {
    let (sender, blocks) = sync_channel(WAITING);
    thread::scope(|scope| {
        let making = scope.spawn(move || {
            let mut outlet = Outlet { sender, batch: Vec::new(), samples: 0 };
            let made = make(&mut outlet)?;
            outlet.flush().map(|()| made)
        });
        let taken = blocks.iter().flatten().try_for_each(&mut take);
        drop(blocks);
        let made = making.join().unwrap_or_else(|panic| resume_unwind(panic));
        taken.and(made)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(what: &str) -> Error {
        Error::Format(what.to_owned())
    }

    #[test]
    fn blocks_come_in_their_order_and_the_first_step_tells_what_it_found() {
        let mut taken = Vec::new();
        let counted = run(
            |outlet| (0..1_000).try_for_each(|block| outlet.give(vec![block; block])).map(|()| 1_000),
            |block| {
                taken.push(block);
                Ok(())
            },
        );
        assert_eq!(counted.unwrap(), 1_000);
        assert!(taken.into_iter().eq((0..1_000).map(|block| vec![block; block])));
    }

    #[test]
    fn an_error_of_either_step_ends_both() {
        let first = run(|outlet| outlet.give(vec![1]).and_then(|()| Err::<(), _>(format("first"))), |_| Ok(()));
        assert!(matches!(first, Err(Error::Format(what)) if what == "first"));
        let endless = |outlet: &mut Outlet<u8>| loop {
            outlet.give(vec![0; 9_000])?;
        };
        let second = run::<_, ()>(endless, |_| Err(format("second")));
        assert!(matches!(second, Err(Error::Format(what)) if what == "second"));
    }
}
