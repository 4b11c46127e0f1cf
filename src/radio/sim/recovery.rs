//! Directed worlds: what the operator's order or its items cannot give for a while, and what comes after.

use std::collections::BTreeMap;

use super::super::{rules::Rules, segment::Kind};
use super::{
    catalogue::Shape,
    runs::{CALM, HOUR},
    world::{Config, World},
};

const ORDER: [usize; 5] = [3, 1, 4, 0, 2];
/// For how long nothing of the order can be scheduled.
const AWAY: u64 = 600;

fn world(seed: u64) -> World {
    let rules = Rules { look_ahead: 20, window_size: 20, ..CALM.rules };
    let mut world = World::new(Config { seed, rules, shape: Shape::Songs, items: 5, read_one_in: 4, ..CALM });
    world.write_order(&ORDER);
    world.run(HOUR / 2);
    world
}

/// How many samples of the order and of the filler were put on air from the segment `seq` on.
fn aired(world: &World, seq: u64) -> BTreeMap<bool, u64> {
    let mut aired = BTreeMap::from([(false, 0), (true, 0)]);
    for (index, (_, run)) in (seq..).zip(world.observer.runs_from(seq)) {
        *aired.entry(run.item_kind == Kind::Filler).or_default() += world.observer.at(index).samples;
    }
    aired
}

/// After a world without its order: the filler was on air for about as long, in the same timeline, and the order goes on
/// behind what it ended with, from the next item on.
fn was_filled(world: &mut World, from: u64, lasted: u64) {
    let rate = u64::from(world.config.rules.rate);
    let aired_away = aired(world, from);
    // The item at hand ends first: the longest lasts 306 s.
    assert!(aired_away[&true] >= (lasted - 310) * rate, "{aired_away:?} within {lasted} s");
    let back = world.observer.next_seq();
    // The piece of the filler at hand ends first, too: the longest lasts 47 s.
    world.run(120);
    let runs: Vec<(u64, Kind, u64)> =
        world.observer.runs_from(back).map(|(run, body)| (run, body.item_kind, body.position)).collect();
    let first = runs.iter().position(|(_, kind, _)| *kind != Kind::Filler).expect("the order does not come back");
    assert!(runs[first..].iter().all(|(_, kind, _)| *kind != Kind::Filler), "the filler airs beside the order");
    world.run(HOUR / 2);
    assert_eq!(world.observer.counts.outages, 1, "the air stood still");
    assert_eq!(world.audience.dry, 0, "somebody heard nothing");
    world.settle();
}

#[test]
fn an_order_without_a_line_airs_the_filler_until_it_has_one() {
    for seed in 0..6 {
        let mut world = world(seed);
        let from = world.observer.next_seq();
        world.write_order(&[]);
        world.run(AWAY);
        world.write_order(&ORDER);
        was_filled(&mut world, from, AWAY);
    }
}

#[test]
fn items_that_cannot_be_read_give_way_to_the_filler_until_they_can() {
    for seed in 10..16 {
        let mut world = world(seed);
        let from = world.observer.next_seq();
        world.fetch_down(AWAY);
        world.run(AWAY);
        was_filled(&mut world, from, AWAY);
    }
}

/// Chunks go in the middle of an item: it breaks off at once.
#[test]
fn chunks_that_are_all_gone_give_way_to_the_filler_until_they_are_back() {
    for seed in 20..26 {
        let mut world = world(seed);
        let from = world.observer.next_seq();
        world.turn_all();
        world.run(AWAY);
        let away = aired(&world, from);
        assert_eq!(away[&false], 0, "what is not there was put on air");
        world.turn_all();
        was_filled(&mut world, from, AWAY);
        assert!(world.observer.counts.broken_off <= 1, "{:?}", world.observer.counts);
    }
}

/// Without a filler there is nothing to air: what is listed runs out, and the order comes back by itself.
#[test]
fn without_a_filler_the_order_comes_back_after_the_silence() {
    for seed in 30..33 {
        let mut world = World::new(Config { seed, shape: Shape::Songs, items: 5, filler: false, ..CALM });
        world.write_order(&ORDER);
        world.run(HOUR);
        world.turn_all();
        world.run(2 * AWAY);
        let silent = world.observer.next_seq();
        world.turn_all();
        world.run(10);
        assert!(world.observer.next_seq() > silent, "still silent");
        assert_eq!(world.observer.counts.outages, 2, "{:?}", world.observer.counts);
        world.settle();
    }
}
