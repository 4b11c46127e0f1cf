use std::collections::BTreeMap;

use super::*;
use crate::radio::{
    history::History,
    programme::{Entry as OrderEntry, Order},
    receipt::{Body, GENESIS, Receipt},
    rules::Rules,
    segment::{Item, Kind, RAW, cid_of},
    time::{Span, Time},
    timeline::{Action, Clocks, Event, First, Snapshot, Timeline},
};

const RULES: Rules =
    Rules { rate: 44_100, segment_seconds: 6, window_size: 50, look_ahead: 4, receipts_required: true };
const AXIS: Axis = Axis { epoch: 1, anchor: Time::from_millis(1_795_252_684_893), rate: 44_100, target_seconds: 6 };

fn item() -> Arc<Item> {
    let segment = |at: u8| Segment { cid: cid_of(RAW, &[at]), samples: 258 * 1_024, bytes: 100 };
    let text = || String::from("x");
    Arc::new(Item {
        id: text(),
        title: text(),
        artist: text(),
        album: text(),
        isrc: text(),
        cover: None,
        chapters: Vec::new(),
        segments: (0..23).map(segment).collect(),
        rungs: Vec::new(),
    })
}

/// A station of one item of 23 segments in a world without trouble.
struct World {
    now: Time,
    ledger: Vec<Body>,
}

impl World {
    /// Runs a life of so many seconds; `shown` sees every list.
    fn live(&mut self, rules: Rules, seconds: u64, shown: &mut dyn FnMut(&Snapshot)) {
        let clocks = |now| Clocks { station: now, wall: now };
        let mut history = History::default();
        for (seq, body) in self.ledger.iter().enumerate() {
            let (text, produced_at) = (String::new, self.now);
            let (prev, seq, body) = (GENESIS.into(), seq as u64, body.clone());
            history.take(&Receipt { seq, prev, key_id: text(), node_id: text(), stream: text(), produced_at, body });
        }
        let mut timeline = match history.position() {
            Some(past) => Timeline::resume(rules, past, Some(item()), clocks(self.now)),
            None => Timeline::new(rules, 1, First { media_seq: 1_000, disc_seq: 0 }, clocks(self.now)),
        };
        if self.ledger.is_empty() {
            self.ledger.push(Body::LedgerOpen(timeline.axis().constants()));
        }
        let entry = OrderEntry { path: "music/x".into(), kind: Kind::Track, id: "x".into() };
        timeline.handle(Event::Order(Arc::new(Order { sha256: "o".into(), entries: vec![entry] })), clocks(self.now));
        let until = self.now.plus(Span::seconds(seconds));
        while self.now < until {
            match timeline.poll(clocks(self.now)) {
                Action::Wait(next, _) => self.now = next,
                Action::Show(snapshot) => shown(&snapshot),
                Action::Fetch(slot) => timeline.handle(Event::Fetched(slot, item()), clocks(self.now)),
                Action::Store(..) => timeline.handle(Event::Stored, clocks(self.now)),
                Action::Record(bodies) => {
                    self.ledger.extend(bodies);
                    timeline.handle(Event::Recorded, clocks(self.now));
                }
            }
        }
    }
}

#[test]
fn a_minute_holds_whole_segments() {
    let table = [(1, 60), (2, 30), (6, 10), (7, 8), (10, 6), (29, 2), (30, 2), (60, 1), (61, 1), (0, 1)];
    for (seconds, max) in table {
        assert_eq!(segments_max(seconds), max, "{seconds}");
    }
    assert_eq!(target_seconds(&Axis { target_seconds: 7, ..AXIS }), 56);
}

#[test]
fn another_look_ahead_takes_nothing_back() {
    let mut world = World { now: AXIS.anchor, ledger: Vec::new() };
    let mut seen: BTreeMap<u64, Arc<Group>> = BTreeMap::new();
    let mut last = (0, 0);
    for look_ahead in [4, 50, 2, 20, 4, 4] {
        world.live(Rules { look_ahead, ..RULES }, 900, &mut |snapshot| {
            let range = snapshot.groups.listed(&snapshot.axis);
            let listed: Vec<_> = snapshot.groups.all().skip(range.start).take(range.len()).collect();
            let Some((first, end)) = listed.first().zip(listed.last()) else { return assert_eq!(last, (0, 0)) };
            assert!(first.seq >= last.0 && end.seq >= last.1, "{last:?} → {} {}", first.seq, end.seq);
            last = (first.seq, end.seq);
            for group in listed {
                let known = seen.entry(group.seq).or_insert_with(|| group.clone());
                assert_eq!(known, group);
            }
        });
    }
    // 23 segments are groups of ten, ten and three; none is left out.
    let groups: Vec<_> = seen.values().map(|group| group.segments.len()).collect();
    assert!(groups.len() > 100, "{}", groups.len());
    for three in groups.chunks_exact(3) {
        assert_eq!(three, [10, 10, 3]);
    }
    assert!(seen.keys().eq(&(seen.keys().next().copied().unwrap()..=last.1).collect::<Vec<_>>()));
}

#[test]
fn ten_minutes_are_listed_and_ten_more_are_known() {
    let mut world = World { now: AXIS.anchor, ledger: Vec::new() };
    let mut last = None;
    world.live(RULES, 3_600, &mut |snapshot| last = Some(snapshot.groups.clone()));
    let groups = last.unwrap();
    let listed = groups.listed(&AXIS);
    let known: Vec<u64> = groups.all().take(listed.end).map(|group| group.samples()).collect();
    for (groups, minutes) in [(&known[listed.start..], 10), (&known[..], 20)] {
        let (all, wanted) = (groups.iter().sum::<u64>(), minutes * 60 * u64::from(AXIS.rate));
        assert!(all >= wanted && all - groups[0] < wanted, "{minutes} minutes: {all} samples");
    }
}

#[test]
fn a_group_that_lacks_segments_is_never_known() {
    let mut world = World { now: AXIS.anchor, ledger: Vec::new() };
    let mut all: Vec<Aired> = Vec::new();
    world.live(RULES, 600, &mut |snapshot| {
        let known = all.last().map_or(0, |last| last.media_seq);
        all.extend(snapshot.segments.iter().filter(|aired| aired.media_seq > known).cloned());
    });
    let groups = |aired: &mut dyn Iterator<Item = &Aired>| {
        let mut groups = Groups::default();
        aired.for_each(|aired| drop(groups.take(aired, &AXIS)));
        groups.all().map(|group| (group.seq, group.segments.clone())).collect::<Vec<_>>()
    };
    let whole = groups(&mut all.iter());
    assert!(whole.len() > 8);
    let mut one_by_one = Groups::default();
    all.iter().for_each(|aired| drop(one_by_one.take(aired, &AXIS)));
    let mut pairs = one_by_one.all().zip(one_by_one.all().skip(1));
    assert!(pairs.all(|(group, next)| group.air_end() == next.air_samples), "one ends where the next one begins");
    // Read from the middle of a group on, with a hole in another, or from receipts that counted no groups yet.
    for from in 0..all.len() {
        let read = groups(&mut all[from..].iter());
        assert!(read.iter().all(|group| whole.contains(group)), "from {from}");
        assert!(read.len() + from / 7 + 1 >= whole.len());
        let read = groups(&mut all[..from].iter().chain(&all[(from + 1).min(all.len())..]));
        assert!(read.iter().all(|group| whole.contains(group)), "without {from}");
        let old = |aired: &Aired| Aired { group_seq: 0, group_end: 0, ..aired.clone() };
        let upgraded: Vec<Aired> = all[..from].iter().map(old).chain(all[from..].iter().cloned()).collect();
        let read = groups(&mut upgraded.iter());
        assert!(read.iter().all(|group| whole.contains(group)), "counted from {from}");
    }
}
