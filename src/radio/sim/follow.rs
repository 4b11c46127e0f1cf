//! Mirrors in simulated worlds: look-ups that are lost, late and out of order, blocks that do not come, disks that are
//! full, mirrors that are killed, roots that are wrong. What is shown never goes back, and in the end it is the newest.

use std::collections::BTreeMap;

use super::chance::Chance;
use crate::radio::{
    follow::{Action, Event, Extent, Fault, Follow, Found, Said, Saved, Which},
    segment::{DAG_PB, RAW, cid_of},
    time::{Span, Time},
    timeline::Clocks,
};

const START: Time = Time::from_millis(1_795_252_684_000);
const TTL: Span = Span::seconds(60);
const INTERVAL: u64 = 12;
const LOOK_AHEAD: u64 = 300;

/// How much goes wrong: once in so many times, never if 0.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    lost: u64,
    stale: u64,
    missing: u64,
    wrong: u64,
    unsaved: u64,
    killed: u64,
    seconds_late: u64,
}

struct World {
    chance: Chance,
    now: Time,
    /// What the station published: its generations, a second of its life each.
    generation: u64,
    saved: Saved,
    follow: Follow,
    /// Answers on their way, by the time at which they arrive.
    coming: BTreeMap<(Time, u64), Event>,
    number: u64,
    /// The newest generations and lists that were shown, over all lives.
    shown: [Option<(u64, u64)>; 2],
    saved_records: Vec<Vec<u8>>,
}

fn index(which: Which) -> usize {
    usize::from(which == Which::Stream)
}

fn said(which: Which, generation: u64) -> Said {
    let codec = if which == Which::Station { DAG_PB } else { RAW };
    let published = START.plus(Span::seconds(generation));
    Said {
        value: format!("/ipfs/{}", cid_of(codec, &generation.to_be_bytes())),
        sequence: published.millis(),
        validity: published.plus(Span::seconds(7_200)),
        ttl: TTL,
        bytes: format!("{} {generation}", index(which)).into_bytes().into(),
    }
}

/// The generation of a record of ours.
fn generation(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).unwrap().split_once(' ').unwrap().1.parse().unwrap()
}

fn extent(generation: u64) -> Extent {
    let ends = START.plus(Span::seconds(generation + LOOK_AHEAD));
    Extent { first: 1_000 + generation / 6, last: 1_100 + generation / 6, ends }
}

impl World {
    fn new(seed: u64) -> Self {
        let saved = Saved::new("k51a");
        Self {
            chance: Chance::new(seed),
            now: START,
            generation: 0,
            follow: Follow::new(&saved, None, None, START),
            saved,
            coming: BTreeMap::new(),
            number: 0,
            shown: [None; 2],
            saved_records: Vec::new(),
        }
    }

    fn clocks(&self) -> Clocks {
        Clocks { station: self.now, wall: self.now }
    }

    /// Lives until `end`; the station publishes as long as `alive`.
    fn live(&mut self, end: Time, alive: bool, trouble: Trouble) {
        while self.now < end {
            self.drain(trouble);
            let tick = self.now.plus(Span::seconds(1));
            self.now = self.coming.first_key_value().map_or(tick, |((at, _), _)| tick.min(*at)).max(self.now);
            if alive {
                self.generation = self.now.since(START).0 / 1_000_000 / INTERVAL * INTERVAL;
            }
            while let Some(entry) = self.coming.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let event = entry.remove();
                self.follow.handle(event, self.clocks());
            }
            if self.chance.one_in(trouble.killed) {
                self.restart();
            }
        }
    }

    /// Killed and started again: all that is left is what was saved.
    fn restart(&mut self) {
        self.coming.clear();
        let restored = |name: &Option<crate::radio::follow::SavedName>, which| {
            name.as_ref().map(|name| said(which, generation(&name.record)))
        };
        let (root, list) = (restored(&self.saved.root, Which::Station), restored(&self.saved.list, Which::Stream));
        self.follow = Follow::new(&self.saved, root, list, self.now);
    }

    fn drain(&mut self, trouble: Trouble) {
        for _ in 0..50 {
            match self.follow.poll(self.clocks()) {
                Action::Wait(until) => {
                    assert!(until > self.now, "waits for what is over");
                    return;
                }
                Action::Show => self.look(),
                Action::Ask(which) => {
                    let event = self.answer(which, trouble);
                    self.later(event, trouble);
                }
                Action::Gather(which, wanted) => {
                    let event = self.gather(which, &wanted, trouble);
                    self.later(event, trouble);
                }
                Action::Save(saved) => {
                    let fails = self.chance.one_in(trouble.unsaved);
                    if !fails {
                        for name in saved.root.iter().chain(&saved.list) {
                            self.saved_records.push(name.record.to_vec());
                        }
                        self.saved = saved;
                    }
                    let outcome = if fails { Err("the disk is full".into()) } else { Ok(()) };
                    self.later(Event::Saved(outcome), Trouble { seconds_late: 0, ..trouble });
                }
                Action::Put(which, again) => {
                    assert!(again.holds_at(self.now), "nobody takes an expired record");
                    self.later(Event::Put(which, !self.chance.clone().one_in(trouble.lost)), trouble);
                }
            }
        }
        panic!("it never waits");
    }

    fn answer(&mut self, which: Which, trouble: Trouble) -> Event {
        if self.chance.one_in(trouble.lost) {
            return Event::Unheard(which, "nobody answers".into());
        }
        if self.chance.one_in(trouble.lost) {
            return Event::Heard(which, None);
        }
        let steps = if self.chance.one_in(trouble.stale) { self.chance.between(1, 30) } else { 0 };
        Event::Heard(which, Some(said(which, self.generation.saturating_sub(steps * INTERVAL))))
    }

    fn gather(&mut self, which: Which, wanted: &Said, trouble: Trouble) -> Event {
        let generation = generation(&wanted.bytes);
        let outcome = if self.chance.one_in(trouble.missing) {
            Err(Fault::Missing("a block did not come".into()))
        } else if self.chance.one_in(trouble.wrong) {
            Err(Fault::Wrong("not a folder".into()))
        } else {
            let root = self.follow.newest(Which::Station).map(|root| self::generation(&root.bytes));
            match which {
                Which::Stream if root.unwrap() < generation => Err(Fault::Ahead),
                Which::Stream => Ok(Found { list: extent(generation), stream: None }),
                Which::Station => Ok(Found { list: extent(generation), stream: Some("k51b".into()) }),
            }
        };
        Event::Gathered(which, outcome)
    }

    fn later(&mut self, event: Event, trouble: Trouble) {
        let late = Span::millis(self.chance.between(1, 1 + 1_000 * trouble.seconds_late));
        self.number += 1;
        self.coming.insert((self.now.plus(late), self.number), event);
    }

    /// A listener looks at what is shown.
    fn look(&mut self) {
        let (root, list) = self.follow.shown().unwrap();
        for (place, said) in [root, list].into_iter().enumerate() {
            assert!(self.saved_records.iter().any(|saved| saved[..] == said.bytes[..]), "shown before it was saved");
            let seen = (said.sequence, extent(generation(&said.bytes)).first);
            assert!(self.shown[place].is_none_or(|before| before <= seen), "went back to {seen:?}");
            self.shown[place] = Some(seen);
        }
    }

    /// The age of what is shown, in seconds; `None` if nothing is.
    fn age(&self) -> Option<u64> {
        let (root, list) = self.follow.shown()?;
        let oldest = root.sequence.min(list.sequence);
        Some((self.now.millis() - oldest) / 1_000)
    }
}

const CALM: Trouble = Trouble { lost: 0, stale: 0, missing: 0, wrong: 0, unsaved: 0, killed: 0, seconds_late: 5 };

#[test]
fn in_a_calm_world_a_mirror_is_never_older_than_a_ttl_and_what_the_network_takes() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.live(START.plus(Span::seconds(60)), true, CALM);
        for minute in 2..240 {
            world.live(START.plus(Span::seconds(minute * 60)), true, CALM);
            let age = world.age().unwrap();
            assert!(age <= TTL.0 / 1_000_000 + 2 * INTERVAL + 20, "seed {seed}: {age} s old");
            assert_eq!(world.follow.troubles(world.clocks()), [], "seed {seed}");
        }
    }
}

#[test]
fn in_random_worlds_nothing_goes_back_and_in_the_end_the_newest_is_shown() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        let mut often = |least| world.chance.pick(&[0, least, 4 * least]);
        let trouble = Trouble {
            lost: often(2),
            stale: often(2),
            missing: often(2),
            wrong: often(3),
            unsaved: often(3),
            killed: often(30),
            seconds_late: often(20),
        };
        world.live(START.plus(Span::seconds(3 * 3_600)), true, trouble);
        world.live(START.plus(Span::seconds(3 * 3_600 + 900)), true, CALM);
        let age = world.age().unwrap_or_else(|| panic!("seed {seed}: nothing is shown"));
        assert!(age <= 120, "seed {seed}: {age} s old after {trouble:?}");
        assert_eq!(world.follow.troubles(world.clocks()), [], "seed {seed}");
    }
}

#[test]
fn a_station_that_is_gone_stays_on_the_mirror_over_restarts_and_the_end_of_its_records() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        let lossy = Trouble { lost: 3, stale: 3, missing: 0, killed: 2_000, ..CALM };
        world.live(START.plus(Span::seconds(600)), true, CALM);
        world.live(START.plus(Span::seconds(6 * 3_600)), false, lossy);
        world.restart();
        world.live(world.now.plus(Span::seconds(60)), false, lossy);
        assert!(world.age().is_some_and(|age| age > 5 * 3_600), "seed {seed}: {:?}", world.age());
        let words: String = world.follow.troubles(world.clocks()).into_iter().map(|trouble| trouble.text).collect();
        assert!(
            words.contains("expired at") && words.contains("last verified state is served"),
            "seed {seed}: {words}"
        );
        world.live(world.now.plus(Span::seconds(300)), true, CALM);
        assert!(world.age().is_some_and(|age| age <= 120), "seed {seed}: {:?}", world.age());
    }
}
