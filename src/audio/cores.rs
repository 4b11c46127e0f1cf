//! Cores of the processor, shared by all items that are being made.

use std::sync::atomic::{AtomicIsize, Ordering};

/// How many may encode at a time. An item takes one, whatever is left, and those that are left help with it. Its decoder and its
/// levels, on threads beside the encoder, are not counted: they wait for it most of the time. While a limiter is tried there is no
/// encoder, and they take its core and a part of another one.
#[derive(Debug)]
pub struct Cores {
    left: AtomicIsize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Core<'a>(&'a Cores);

impl Cores {
    /// So many.
    pub const fn new(count: usize) -> Self {
        Self { left: AtomicIsize::new(count as isize) }
    }

    /// The one that an item takes.
    pub(super) fn take(&self) -> Core<'_> {
        self.left.fetch_sub(1, Ordering::Relaxed);
        Core(self)
    }

    /// One more, if any is left.
    pub(super) fn spare(&self) -> Option<Core<'_>> {
        let less = |left: isize| (left > 0).then(|| left - 1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(|_| Core(self))
    }
}

impl Drop for Core<'_> {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_items_leave_is_to_spare() {
        let cores = Cores::new(2);
        let first = cores.take();
        let helper = cores.spare().unwrap();
        assert!(cores.spare().is_none());
        drop(helper);
        let more = [cores.take(), cores.take()];
        assert!(cores.spare().is_none(), "an item too many");
        drop((first, more));
        assert!(cores.spare().is_some());
    }
}
