//! What this node tells the DHT that it has: in the order given, a few at a time, again when it failed, again before
//! the world forgets. Pure: the task that owns the swarm asks it what to do.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// The most keys that are provided at once.
pub(super) const MAX_PROVIDED: usize = 65_536;
/// The most ADD_PROVIDER queries at once: each is a lookup of 10–20 s on the public network.
const MAX_RUNNING: usize = 4;
/// Servers forget a provider after 48 h, and its addresses after 24 h.
const RENEW: Duration = Duration::from_secs(12 * 3_600);
/// The pause after a first failure; it doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(15);
const MAX_PAUSE: Duration = Duration::from_secs(15 * 60);

/// A key of the DHT: the bytes of a multihash.
pub(super) type Key = Vec<u8>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Running,
    Paused(Instant),
    Done(Instant),
}

#[derive(Debug)]
struct Entry {
    state: State,
    failures: u32,
}

/// How far the providing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provided {
    /// Keys that the DHT has been told of.
    pub done: usize,
    /// Keys that wait for their turn, for a peer or for a pause to end.
    pub waiting: usize,
}

#[derive(Debug, Default)]
pub(super) struct Provides {
    entries: HashMap<Key, Entry>,
    /// Keys that were never provided, in the order given.
    fresh: VecDeque<Key>,
    /// Keys to provide once more; they let the fresh ones pass, which are about to air.
    again: VecDeque<Key>,
    /// When a paused key is to be tried again and a done one renewed.
    due: BTreeSet<(Instant, Key)>,
    running: usize,
    done: usize,
}

impl Provides {
    /// Takes a key into the queue; one that is known already keeps its place. False if there is no room.
    pub(super) fn want(&mut self, key: Key) -> bool {
        if self.entries.contains_key(&key) {
            return true;
        }
        if self.entries.len() >= MAX_PROVIDED {
            return false;
        }
        self.entries.insert(key.clone(), Entry { state: State::Queued, failures: 0 });
        self.fresh.push_back(key);
        true
    }

    /// Forgets a key.
    pub(super) fn forget(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        match entry.state {
            State::Queued => {
                self.fresh.retain(|queued| queued != key);
                self.again.retain(|queued| queued != key);
            }
            State::Running => self.running -= 1,
            State::Paused(at) => drop(self.due.remove(&(at, key.clone()))),
            State::Done(at) => {
                self.done -= 1;
                self.due.remove(&(at, key.clone()));
            }
        }
    }

    /// The next key to provide, if one may run now; it counts as running until [`Provides::finished`].
    pub(super) fn next(&mut self) -> Option<Key> {
        if self.running >= MAX_RUNNING {
            return None;
        }
        let key = self.fresh.pop_front().or_else(|| self.again.pop_front())?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = State::Running;
            self.running += 1;
        }
        Some(key)
    }

    /// A query for `key` has ended, with some peer having been told of it or not.
    pub(super) fn finished(&mut self, key: &Key, told: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.state != State::Running {
            return;
        }
        self.running -= 1;
        let at = if told {
            entry.failures = 0;
            self.done += 1;
            entry.state = State::Done(now + RENEW);
            now + RENEW
        } else {
            let pause = PAUSE.saturating_mul(1 << entry.failures.min(16)).min(MAX_PAUSE);
            entry.failures += 1;
            entry.state = State::Paused(now + pause);
            now + pause
        };
        self.due.insert((at, key.clone()));
    }

    /// Queues what is due at `now`.
    pub(super) fn wake(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.due.pop_first() else { return };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if matches!(entry.state, State::Done(_)) {
                self.done -= 1;
            }
            entry.state = State::Queued;
            self.again.push_back(key);
        }
    }

    pub(super) fn count(&self) -> Provided {
        Provided { done: self.done, waiting: self.entries.len() - self.done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> Key {
        number.to_be_bytes().to_vec()
    }

    fn with(keys: std::ops::Range<u16>) -> Provides {
        let mut provides = Provides::default();
        keys.for_each(|number| assert!(provides.want(key(number))));
        provides
    }

    #[tokio::test]
    async fn runs_four_at_a_time_in_the_order_given() {
        let now = Instant::now();
        let mut provides = with(0..10);
        assert!(provides.want(key(3)), "known already");
        let started: Vec<_> = std::iter::from_fn(|| provides.next()).collect();
        assert_eq!(started, [key(0), key(1), key(2), key(3)]);
        provides.finished(&key(2), true, now);
        assert_eq!(std::iter::from_fn(|| provides.next()).collect::<Vec<_>>(), [key(4)]);
        assert_eq!(provides.count(), Provided { done: 1, waiting: 9 });
    }

    #[tokio::test]
    async fn a_failure_pauses_doubling_and_lets_the_fresh_pass() {
        let mut now = Instant::now();
        let mut provides = with(0..1);
        for pause in [15, 30, 60, 120, 240, 480, 900, 900] {
            assert_eq!(provides.next(), Some(key(0)));
            provides.finished(&key(0), false, now);
            provides.wake(now + Duration::from_secs(pause) - Duration::from_millis(1));
            assert_eq!(provides.next(), None);
            now += Duration::from_secs(pause);
            provides.wake(now);
        }
        assert!(provides.want(key(1)));
        assert_eq!(provides.next(), Some(key(1)), "the fresh one first");
        assert_eq!(provides.next(), Some(key(0)));
    }

    #[tokio::test]
    async fn what_was_told_is_renewed_before_the_world_forgets() {
        let now = Instant::now();
        let mut provides = with(0..1);
        provides.next();
        provides.finished(&key(0), true, now);
        provides.wake(now + RENEW - Duration::from_secs(1));
        assert_eq!((provides.next(), provides.count()), (None, Provided { done: 1, waiting: 0 }));
        provides.wake(now + RENEW);
        assert_eq!((provides.next(), provides.count()), (Some(key(0)), Provided { done: 0, waiting: 1 }));
    }

    #[tokio::test]
    async fn nothing_stays_of_a_key_that_is_forgotten_in_any_state() {
        let now = Instant::now();
        let mut provides = with(0..6);
        for _ in 0..3 {
            provides.next();
        }
        provides.finished(&key(0), true, now);
        provides.finished(&key(1), false, now);
        (0..6).for_each(|number| provides.forget(&key(number)));
        provides.finished(&key(2), true, now);
        provides.wake(now + RENEW);
        assert_eq!((provides.next(), provides.count()), (None, Provided::default()));
        assert!(provides.entries.is_empty() && provides.due.is_empty() && provides.fresh.is_empty());
        assert_eq!(provides.running, 0);
    }

    #[tokio::test]
    async fn a_window_that_slides_stays_bounded() {
        let now = Instant::now();
        let mut provides = Provides::default();
        for number in 0..20_000_u16 {
            assert!(provides.want(key(number)));
            if let Some(started) = provides.next() {
                provides.finished(&started, number % 3 != 0, now);
            }
            if let Some(gone) = number.checked_sub(100) {
                provides.forget(&key(gone));
            }
            assert!(provides.entries.len() <= 101 && provides.due.len() <= 101 && provides.fresh.len() <= 101);
        }
    }

    #[tokio::test]
    async fn there_is_a_last_place() {
        let mut provides = Provides::default();
        assert!((0..MAX_PROVIDED as u32).all(|number| provides.want(number.to_be_bytes().to_vec())));
        assert!(!provides.want(b"one more".to_vec()));
    }
}
