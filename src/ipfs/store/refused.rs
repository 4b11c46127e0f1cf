//! Blocks that the disk does not take: held in memory and given out from there, until it takes them or nobody needs them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use cid::Cid;
use tokio::sync::Notify;

/// Bytes that are held, at most: a window, a look-ahead and ten minutes behind them of several renditions, and the lists
/// of about an hour.
pub const HELD_BYTES_MAX: usize = 96 << 20;
/// Blocks that are held, at most.
pub const HELD_BLOCKS_MAX: usize = 16 << 10;

/// The blocks that the disk has refused. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    open: Arc<Mutex<Open>>,
    came: Arc<Notify>,
    #[cfg(test)]
    full: Arc<std::sync::atomic::AtomicBool>,
}

/// How much is held, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number of blocks.
    pub blocks: usize,
    /// The bytes in them.
    pub bytes: usize,
    /// What the disk said last.
    pub why: String,
}

#[derive(Debug, Default)]
struct Open {
    blocks: HashMap<Cid, Held>,
    /// Which came when.
    ages: BTreeMap<u64, Cid>,
    came: u64,
    bytes: usize,
    why: String,
}

#[derive(Debug)]
struct Held {
    bytes: Bytes,
    age: u64,
}

impl Refused {
    /// Holds a block. Where there are too many, the oldest of the others that are not `wanted` make room, then the oldest.
    pub(in crate::ipfs) fn hold(&self, cid: Cid, bytes: Bytes, why: &str, wanted: impl Fn(&Cid) -> bool) {
        self.open().hold(cid, bytes, why, wanted);
        self.came.notify_one();
    }

    /// Waits until a block has come to be held.
    pub async fn came(&self) {
        self.came.notified().await;
    }

    /// From now on the disk is full, or not any more.
    #[cfg(test)]
    pub(super) fn pretend(&self, full: bool) {
        self.full.store(full, std::sync::atomic::Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(super) fn pretends(&self) -> bool {
        self.full.load(std::sync::atomic::Ordering::SeqCst)
    }

    #[cfg(not(test))]
    pub(super) const fn pretends(&self) -> bool {
        false
    }

    /// A block that is held.
    pub(in crate::ipfs) fn get(&self, cid: &Cid) -> Option<Bytes> {
        self.open().blocks.get(cid).map(|held| held.bytes.clone())
    }

    /// Whether a block is held.
    pub(in crate::ipfs) fn has(&self, cid: &Cid) -> bool {
        self.open().blocks.contains_key(cid)
    }

    /// The block that waits longest.
    pub(super) fn oldest(&self) -> Option<(Cid, Bytes)> {
        let open = self.open();
        let cid = open.ages.first_key_value().map(|(_, cid)| *cid)?;
        open.blocks.get(&cid).map(|held| (cid, held.bytes.clone()))
    }

    /// The disk has a block, or nobody needs it.
    pub(super) fn let_go(&self, cid: &Cid) {
        self.open().let_go(cid);
    }

    /// All that are held.
    pub(super) fn cids(&self) -> Vec<Cid> {
        self.open().blocks.keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open().blocks.is_empty()
    }

    /// How much is held; `None` if nothing is.
    pub fn told(&self) -> Option<Refusal> {
        let open = self.open();
        let (blocks, bytes, why) = (open.blocks.len(), open.bytes, open.why.clone());
        (blocks > 0).then_some(Refusal { blocks, bytes, why })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn hold(&mut self, cid: Cid, bytes: Bytes, why: &str, wanted: impl Fn(&Cid) -> bool) {
        self.let_go(&cid);
        why.clone_into(&mut self.why);
        (self.came, self.bytes) = (self.came + 1, self.bytes + bytes.len());
        self.ages.insert(self.came, cid);
        self.blocks.insert(cid, Held { bytes, age: self.came });
        while self.bytes > HELD_BYTES_MAX || self.blocks.len() > HELD_BLOCKS_MAX {
            let unwanted = self.ages.values().find(|held| **held != cid && !wanted(held));
            let Some(oldest) = unwanted.or_else(|| self.ages.values().next()).copied() else { return };
            self.let_go(&oldest);
        }
    }

    fn let_go(&mut self, cid: &Cid) {
        if let Some(held) = self.blocks.remove(cid) {
            self.ages.remove(&held.age);
            self.bytes -= held.bytes.len();
        }
    }
}

impl fmt::Display for Refusal {
    /// Rounded up to a power of two, so that it is not another word for each block.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes.div_ceil(1 << 20).next_power_of_two();
        write!(
            f,
            "the disk takes no blocks ({}): up to {mib} MiB of what is on air are held in memory, and given out from there; \
             free up space, or see to the disk, before the station is stopped",
            self.why
        )
    }
}

/// What the disk has said, if it is the disk that has refused a write to the repo.
pub(in crate::ipfs) fn refusal(error: &rust_ipfs::Error) -> Option<String> {
    let refused = error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_refusal));
    refused.then(|| error.root_cause().to_string())
}

/// Whether it is the disk that takes nothing: it is full, or broken.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let refusals = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::ROFS];
    error.raw_os_error().is_some_and(|code| refusals.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    fn block(number: u32, bytes: usize) -> (Cid, Bytes) {
        let mut body = vec![0; bytes];
        body[..4].copy_from_slice(&number.to_be_bytes());
        (cid_of(RAW, &body), body.into())
    }

    #[test]
    fn what_is_held_is_given_out_until_it_is_let_go() {
        let refused = Refused::default();
        assert!(refused.is_empty() && refused.told().is_none());
        let blocks: Vec<_> = (0..3).map(|number| block(number, 100)).collect();
        for (cid, bytes) in &blocks {
            refused.hold(*cid, bytes.clone(), "full", |_| true);
        }
        // One that comes again is the newest, and counts once.
        refused.hold(blocks[0].0, blocks[0].1.clone(), "broken", |_| true);
        assert_eq!(refused.told(), Some(Refusal { blocks: 3, bytes: 300, why: "broken".into() }));
        assert_eq!(refused.oldest(), Some(blocks[1].clone()));
        assert_eq!(refused.get(&blocks[2].0), Some(blocks[2].1.clone()));
        refused.let_go(&blocks[1].0);
        refused.let_go(&blocks[1].0);
        assert!(!refused.has(&blocks[1].0) && refused.get(&blocks[1].0).is_none());
        assert_eq!(refused.told().map(|told| (told.blocks, told.bytes)), Some((2, 200)));
        assert_eq!(refused.oldest(), Some(blocks[2].clone()));
    }

    #[test]
    fn where_there_are_too_many_what_nobody_must_have_goes_first() {
        let refused = Refused::default();
        let large = HELD_BYTES_MAX / 4;
        let blocks: Vec<_> = (0..6).map(|number| block(number, large)).collect();
        let wanted = |cid: &Cid| *cid != blocks[2].0;
        for (cid, bytes) in &blocks[..5] {
            refused.hold(*cid, bytes.clone(), "full", wanted);
        }
        assert!(!refused.has(&blocks[2].0), "the only one that is not wanted");
        assert!(refused.has(&blocks[0].0) && refused.has(&blocks[4].0));
        refused.hold(blocks[5].0, blocks[5].1.clone(), "full", wanted);
        assert!(!refused.has(&blocks[0].0) && refused.has(&blocks[1].0) && refused.has(&blocks[5].0));
        assert_eq!(refused.told().map(|told| (told.blocks, told.bytes)), Some((4, 4 * large)));
        let (next, bytes) = block(9, large);
        refused.hold(next, bytes, "full", |cid| *cid != next);
        assert!(refused.has(&next) && !refused.has(&blocks[1].0), "what has just come is listed next");
    }

    #[test]
    fn the_number_of_blocks_is_bounded_too() {
        let refused = Refused::default();
        for number in 0..HELD_BLOCKS_MAX as u32 + 10 {
            let (cid, bytes) = block(number, 4);
            refused.hold(cid, bytes, "full", |_| false);
        }
        assert_eq!(refused.told().map(|told| told.blocks), Some(HELD_BLOCKS_MAX));
        assert!(!refused.has(&block(9, 4).0) && refused.has(&block(10, 4).0));
    }

    #[test]
    fn a_disk_that_is_full_or_broken_refuses_and_a_busy_process_does_not() {
        use rustix::io::Errno;
        let refuses = |errno: Errno| is_refusal(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!([Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::ROFS].into_iter().all(refuses));
        assert!(![Errno::MFILE, Errno::NOTDIR, Errno::ACCESS, Errno::NOENT].into_iter().any(refuses));
        assert!(!is_refusal(&io::Error::from(io::ErrorKind::InvalidData)));
        let told = |error: io::Error| refusal(&rust_ipfs::Error::from(error).context("a block"));
        assert!(told(io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error())).is_some());
        assert!(told(io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())).is_none());
    }
}
