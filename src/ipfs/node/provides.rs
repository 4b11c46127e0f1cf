//! What this node tells the DHT that it has: the most urgent first, a few at a time, again when it failed, again before
//! the world forgets. Pure: the task that owns the swarm asks it what to do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use cid::Cid;
use multihash::Multihash;
use tokio::time::Instant;

use crate::radio::segment::RAW;

/// The most keys that are provided at once.
pub(super) const MAX_PROVIDED: usize = 65_536;
/// The most ADD_PROVIDER queries at once: each is a lookup of 10–20 s on the public network, and a station has some
/// twenty a minute: ten segments, and both names every twelve seconds.
const MAX_RUNNING: usize = 8;
/// Of those the most that are for roots and lists, so that these never hold up the segments.
const MAX_RUNNING_NOW: usize = MAX_RUNNING / 2;
/// Servers forget a provider after 48 h, and its addresses after 24 h.
const RENEW: Duration = Duration::from_secs(12 * 3_600);
/// The pause after a first failure; it doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(15);
const MAX_PAUSE: Duration = Duration::from_secs(15 * 60);

/// A key of the DHT: the bytes of a multihash.
pub(super) type Key = Vec<u8>;

/// When the world should know of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// As soon as can be: what a name points to from now on.
    Now,
    /// Before this time: it airs then.
    At(Instant),
}

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
    due: Due,
    /// Its place among those that are due at the same time.
    number: u64,
    timely: Option<Timely>,
}

/// How it went with a key that was wanted before it airs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timely {
    Waiting,
    InTime,
    Late,
}

/// How far the providing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provided {
    /// Keys that the DHT has been told of.
    pub done: usize,
    /// Keys that wait for their turn, for a peer or for a pause to end.
    pub waiting: usize,
    /// Of the blocks that were to be told before they air those of which the DHT was told in time.
    pub in_time: usize,
    /// Those that aired before the DHT was told of them.
    pub late: usize,
    /// The last of which the DHT has been told, as a raw block.
    pub last: Option<Cid>,
}

#[derive(Debug, Default)]
pub(super) struct Provides {
    entries: HashMap<Key, Entry>,
    /// Queued keys that are due now, by number; the newest is what the names point to.
    now: BTreeMap<u64, Key>,
    /// Queued keys by the time they air.
    airing: BTreeMap<(Instant, u64), Key>,
    /// Keys that wait to be told in time, by the time they air.
    awaited: BTreeSet<(Instant, u64)>,
    /// When a paused key is to be tried again and a done one renewed.
    due: BTreeSet<(Instant, Key)>,
    numbers: u64,
    running: usize,
    running_now: usize,
    done: usize,
    in_time: usize,
    late: usize,
    last: Option<Cid>,
}

impl Provides {
    /// Takes a key into the queue; one that is known already keeps its place. False if there is no room.
    pub(super) fn want(&mut self, key: Key, due: Due, now: Instant) -> bool {
        if self.entries.contains_key(&key) {
            return true;
        }
        if self.entries.len() >= MAX_PROVIDED {
            return false;
        }
        self.numbers += 1;
        let number = self.numbers;
        // What has aired already when it is first heard of is neither in time nor late.
        let timely = match due {
            Due::At(at) if at > now => {
                self.awaited.insert((at, number));
                Some(Timely::Waiting)
            }
            _ => None,
        };
        self.entries.insert(key.clone(), Entry { state: State::Queued, failures: 0, due, number, timely });
        self.queue(due, number, key);
        true
    }

    /// Forgets a key.
    pub(super) fn forget(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        match (entry.timely, entry.due) {
            (Some(Timely::InTime), _) => self.in_time -= 1,
            (Some(Timely::Late), _) => self.late -= 1,
            (Some(Timely::Waiting), Due::At(at)) => drop(self.awaited.remove(&(at, entry.number))),
            _ => {}
        }
        match (entry.state, entry.due) {
            (State::Queued, Due::Now) => drop(self.now.remove(&entry.number)),
            (State::Queued, Due::At(at)) => drop(self.airing.remove(&(at, entry.number))),
            (State::Running, due) => self.ran(due),
            (State::Paused(at), _) => drop(self.due.remove(&(at, key.clone()))),
            (State::Done(at), _) => {
                self.done -= 1;
                self.due.remove(&(at, key.clone()));
            }
        }
    }

    /// The next key to provide, if one may run at `now`; it counts as running until [`Provides::finished`]. What a name
    /// points to comes first, the newest before the older; then what airs next; then what has aired, the last first.
    pub(super) fn next(&mut self, now: Instant) -> Option<Key> {
        if self.running >= MAX_RUNNING {
            return None;
        }
        let key = match self.now.last_entry() {
            Some(newest) if self.running_now < MAX_RUNNING_NOW => newest.remove(),
            _ => {
                let next = self.airing.range((now, 0)..).next().or_else(|| self.airing.range(..(now, 0)).next_back());
                let next = *next?.0;
                self.airing.remove(&next)?
            }
        };
        let entry = self.entries.get_mut(&key)?;
        entry.state = State::Running;
        self.running += 1;
        self.running_now += usize::from(entry.due == Due::Now);
        Some(key)
    }

    /// A query for `key` has ended, with some peer having been told of it or not.
    pub(super) fn finished(&mut self, key: &Key, told: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.state != State::Running {
            return;
        }
        let at = if told {
            entry.failures = 0;
            self.done += 1;
            self.last = raw(key);
            if let (Some(Timely::Waiting), Due::At(airs)) = (entry.timely, entry.due) {
                self.awaited.remove(&(airs, entry.number));
                let in_time = now <= airs;
                entry.timely = Some(if in_time { Timely::InTime } else { Timely::Late });
                self.in_time += usize::from(in_time);
                self.late += usize::from(!in_time);
            }
            entry.state = State::Done(now + RENEW);
            now + RENEW
        } else {
            let pause = PAUSE.saturating_mul(1 << entry.failures.min(16)).min(MAX_PAUSE);
            entry.failures += 1;
            entry.state = State::Paused(now + pause);
            now + pause
        };
        let due = entry.due;
        self.ran(due);
        self.due.insert((at, key.clone()));
    }

    /// Queues what is due at `now`.
    pub(super) fn wake(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.due.pop_first() else { return };
            self.requeue(key);
        }
    }

    /// Queues everything that the DHT was told of once more: it knows addresses that no longer hold.
    pub(super) fn tell_anew(&mut self) {
        let done = |key: &Key| self.entries.get(key).is_some_and(|entry| matches!(entry.state, State::Done(_)));
        let (anew, rest): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.due).into_iter().partition(|due| done(&due.1));
        self.due = rest;
        anew.into_iter().for_each(|(_, key)| self.requeue(key));
    }

    /// How far it is at `now`.
    pub(super) fn count(&self, now: Instant) -> Provided {
        let overdue = self.awaited.range(..(now, 0)).count();
        let waiting = self.entries.len() - self.done;
        Provided { done: self.done, waiting, in_time: self.in_time, late: self.late + overdue, last: self.last }
    }

    fn requeue(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if matches!(entry.state, State::Done(_)) {
            self.done -= 1;
        }
        entry.state = State::Queued;
        let (due, number) = (entry.due, entry.number);
        self.queue(due, number, key);
    }

    fn queue(&mut self, due: Due, number: u64, key: Key) {
        match due {
            Due::Now => drop(self.now.insert(number, key)),
            Due::At(at) => drop(self.airing.insert((at, number), key)),
        }
    }

    fn ran(&mut self, due: Due) {
        self.running -= 1;
        self.running_now -= usize::from(due == Due::Now);
    }
}

fn raw(key: &Key) -> Option<Cid> {
    Multihash::from_bytes(key).ok().map(|hash| Cid::new_v1(RAW, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> Key {
        number.to_be_bytes().to_vec()
    }

    /// Keys that air one second after the other, from `now` on.
    fn with(keys: std::ops::Range<u16>, now: Instant) -> Provides {
        let mut provides = Provides::default();
        keys.for_each(|number| assert!(provides.want(key(number), at(now, number.into()), now)));
        provides
    }

    fn at(now: Instant, seconds: u64) -> Due {
        Due::At(now + Duration::from_secs(seconds))
    }

    fn started(provides: &mut Provides, now: Instant) -> Vec<Key> {
        std::iter::from_fn(|| provides.next(now)).collect()
    }

    #[tokio::test]
    async fn runs_eight_at_a_time_in_the_order_of_the_air() {
        let now = Instant::now();
        let mut provides = Provides::default();
        for number in [9, 3, 7, 1, 0, 5, 2, 8, 4, 6] {
            assert!(provides.want(key(number), at(now, number.into()), now));
        }
        assert!(provides.want(key(3), Due::Now, now), "known already");
        assert_eq!(started(&mut provides, now), (0..8).map(key).collect::<Vec<_>>());
        provides.finished(&key(2), true, now);
        assert_eq!(started(&mut provides, now), [key(8)]);
        let count = provides.count(now);
        assert_eq!((count.done, count.waiting, count.in_time, count.late), (1, 9, 1, 0));
    }

    #[tokio::test]
    async fn what_has_aired_lets_pass_what_airs_next() {
        let now = Instant::now();
        let mut provides = with(0..20, now);
        let late = now + Duration::from_millis(9_500);
        let order: Vec<_> = [10, 11, 12, 13, 14, 15, 16, 17].map(key).into();
        assert_eq!(started(&mut provides, late), order);
        order.iter().for_each(|key| provides.finished(key, true, late));
        assert_eq!(started(&mut provides, late), [18, 19, 9, 8, 7, 6, 5, 4].map(key));
    }

    #[tokio::test]
    async fn what_a_name_points_to_comes_first_and_leaves_half_to_the_segments() {
        let now = Instant::now();
        let mut provides = with(0..20, now);
        (100..110).for_each(|number| assert!(provides.want(key(number), Due::Now, now)));
        assert_eq!(started(&mut provides, now), [109, 108, 107, 106, 0, 1, 2, 3].map(key));
        provides.finished(&key(108), true, now);
        provides.finished(&key(0), true, now);
        assert_eq!(started(&mut provides, now), [105, 4].map(key));
    }

    #[tokio::test]
    async fn counts_what_was_told_before_it_airs() {
        let now = Instant::now();
        let mut provides = with(0..4, now);
        let count = |provides: &Provides, now| (provides.count(now).in_time, provides.count(now).late);
        let later = now + Duration::from_millis(2_500);
        assert_eq!(count(&provides, now), (0, 0), "the first one aired as it came");
        assert_eq!(count(&provides, later), (0, 2));
        started(&mut provides, now);
        provides.finished(&key(1), true, now + Duration::from_millis(500));
        provides.finished(&key(2), true, later);
        provides.finished(&key(0), true, later);
        assert_eq!(count(&provides, later), (1, 1));
        assert_eq!(count(&provides, now + Duration::from_secs(4)), (1, 2));
        (0..4).for_each(|number| provides.forget(&key(number)));
        assert_eq!(count(&provides, now + Duration::from_secs(4)), (0, 0));
    }

    #[tokio::test]
    async fn a_failure_pauses_doubling() {
        let mut now = Instant::now();
        let mut provides = with(0..1, now);
        for pause in [15, 30, 60, 120, 240, 480, 900, 900] {
            assert_eq!(provides.next(now), Some(key(0)));
            provides.finished(&key(0), false, now);
            provides.wake(now + Duration::from_secs(pause) - Duration::from_millis(1));
            assert_eq!(provides.next(now), None);
            now += Duration::from_secs(pause);
            provides.wake(now);
        }
        assert!(provides.want(key(1), at(now, 6), now));
        assert_eq!(started(&mut provides, now), [key(1), key(0)], "what airs next lets nothing pass");
    }

    #[tokio::test]
    async fn what_was_told_is_renewed_before_the_world_forgets_and_when_the_addresses_change() {
        let now = Instant::now();
        let done = |provides: &Provides| (provides.count(now).done, provides.count(now).waiting);
        let mut provides = with(0..1, now);
        provides.next(now);
        provides.finished(&key(0), true, now);
        provides.wake(now + RENEW - Duration::from_secs(1));
        assert_eq!((provides.next(now), done(&provides)), (None, (1, 0)));
        provides.wake(now + RENEW);
        assert_eq!((provides.next(now), done(&provides)), (Some(key(0)), (0, 1)));
        provides.tell_anew();
        assert_eq!(provides.next(now), None, "it is being told");
        provides.finished(&key(0), true, now);
        provides.tell_anew();
        assert_eq!((provides.next(now), done(&provides)), (Some(key(0)), (0, 1)));
    }

    #[tokio::test]
    async fn nothing_stays_of_a_key_that_is_forgotten_in_any_state() {
        let now = Instant::now();
        let mut provides = with(1..13, now);
        (100..112).for_each(|number| assert!(provides.want(key(number), Due::Now, now)));
        started(&mut provides, now);
        for (told, failed) in [(111, 110), (1, 2)] {
            provides.finished(&key(told), true, now);
            provides.finished(&key(failed), false, now);
        }
        (1..13).chain(100..112).for_each(|number| provides.forget(&key(number)));
        provides.finished(&key(3), true, now);
        provides.wake(now + RENEW);
        assert_eq!((provides.next(now), provides.count(now)), (None, Provided::default()));
        assert!(provides.entries.is_empty() && provides.due.is_empty() && provides.awaited.is_empty());
        assert!(provides.now.is_empty() && provides.airing.is_empty());
        assert_eq!((provides.running, provides.running_now), (0, 0));
    }

    #[tokio::test]
    async fn a_window_that_slides_stays_bounded() {
        let now = Instant::now();
        let mut provides = Provides::default();
        for number in 0..20_000_u16 {
            let due = if number % 2 == 0 { Due::Now } else { at(now, number.into()) };
            assert!(provides.want(key(number), due, now));
            if let Some(started) = provides.next(now) {
                provides.finished(&started, number % 3 != 0, now);
            }
            if let Some(gone) = number.checked_sub(100) {
                provides.forget(&key(gone));
            }
            let queued = provides.now.len() + provides.airing.len();
            assert!(provides.entries.len() <= 101 && provides.due.len() <= 101 && queued <= 101);
        }
    }

    #[tokio::test]
    async fn there_is_a_last_place() {
        let (now, mut provides) = (Instant::now(), Provides::default());
        let mut want = |key: &[u8]| provides.want(key.to_vec(), Due::Now, now);
        assert!((0..MAX_PROVIDED as u32).all(|number| want(&number.to_be_bytes())));
        assert!(!want(b"one more"));
    }
}
