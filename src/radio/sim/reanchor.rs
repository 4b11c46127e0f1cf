//! Directed worlds: a wall clock that was wrong, and an operator who has the dates follow it again.

use super::super::rules::Rules;
use super::{
    catalogue::Shape,
    runs::{CALM, HOUR},
    world::{Config, World},
};

const SECOND: i64 = 1_000;
const YEAR: i64 = 365 * 86_400 * SECOND;
/// Longer than the longest song, and what is listed ahead of it.
const SOON: u64 = 310 + 120 + 20;

/// The wall clock was set back by so many milliseconds, and the dates on air stayed where they were.
fn ahead(seed: u64, millis: i64) -> World {
    let rules = Rules { look_ahead: 20, window_size: 20, ..CALM.rules };
    let mut world =
        World::new(Config { seed, rules, shape: Shape::Songs, items: 5, read_one_in: 2, downtimes: &[0], ..CALM });
    world.run(HOUR / 2);
    world.set_clock(-millis);
    world.run(SOON);
    let off = (world.skew_millis() - millis).abs();
    assert!(off <= 1, "the dates are {} ms ahead", world.skew_millis());
    world
}

fn was_reanchored(world: &mut World) {
    assert_eq!((world.observer.counts.reanchored, world.observer.reanchoring), (1, false));
    assert!(world.skew_millis().abs() <= 1, "the dates are {} ms ahead", world.skew_millis());
    let counts = world.observer.counts;
    let heard = (counts.outages, counts.broken_off > world.crashes, world.audience.dry);
    assert_eq!(heard, (1, false, 0), "somebody heard it: {counts:?}");
    world.settle();
}

#[test]
fn dates_go_back_once_where_an_item_begins_and_nobody_hears_it() {
    for (seed, millis) in [(1, 13 * SECOND), (2, 90 * SECOND), (3, 86_400 * SECOND), (4, 50 * YEAR)] {
        let mut world = ahead(seed, millis);
        world.reanchor();
        world.run(SOON);
        was_reanchored(&mut world);
    }
}

/// Wherever the process is killed meanwhile, and however often, the dates go back once.
#[test]
fn a_reanchoring_outlives_crashes() {
    for seed in 10..30 {
        let mut world = ahead(seed, if seed % 2 == 0 { 200 * SECOND } else { 3_600 * SECOND });
        world.reanchor();
        for seconds in [1, 3 * (seed - 9), 40, 97, 2, 1] {
            world.run(seconds);
            world.crash_now();
        }
        world.run(SOON);
        was_reanchored(&mut world);
    }
}

#[test]
fn dates_that_are_right_are_left_alone() {
    for (seed, millis) in [(40, 0), (41, 11 * SECOND)] {
        let mut world = ahead(seed, millis);
        world.reanchor();
        world.run(SOON);
        assert_eq!((world.observer.counts.reanchored, world.observer.reanchoring), (0, false));
        world.settle();
    }
}

/// The clock that was set back was right before: its dates are ahead of those that were anchored anew, and come back by
/// themselves.
#[test]
fn a_reanchoring_to_a_wrong_clock_is_undone_by_setting_it_right() {
    let mut world = ahead(50, 7_200 * SECOND);
    world.reanchor();
    world.run(SOON);
    world.set_clock(7_200 * SECOND);
    world.run(SOON);
    assert_eq!((world.observer.counts.reanchored, world.observer.counts.skews), (1, 1));
    was_reanchored(&mut world);
}
