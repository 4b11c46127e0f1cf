//! Directed worlds: the wall clock is set.

use super::{
    chance::Chance,
    runs::{CALM, HOUR},
    world::{Config, STEPS, World, any_step},
};

const STEPS_AT_RANDOM: u64 = 1_000;

#[test]
fn each_step_of_the_clock_alone() {
    for (seed, step) in (70..).zip(STEPS) {
        let mut world = World::new(Config { seed, read_one_in: 4, ..CALM });
        world.run(HOUR / 4);
        world.set_clock(step);
        world.run(HOUR / 4);
        assert_eq!(world.audience.dry, 0, "{step}: somebody heard nothing");
        world.settle();
    }
}

/// In ten worlds: as dates never go back, after enough steps those of one world would be ahead of all that follow.
#[test]
fn a_thousand_steps_of_any_size() {
    const EACH: u64 = 100;
    let mut skews = 0;
    for seed in 0..STEPS_AT_RANDOM / EACH {
        let mut chance = Chance::new(seed);
        let mut world = World::new(Config { seed, read_one_in: 50, ..CALM });
        for _ in 0..EACH {
            world.run(chance.between(1, 240));
            world.set_clock(any_step(&mut chance));
        }
        assert_eq!(world.audience.dry, 0, "seed {seed}: somebody heard nothing");
        skews += world.observer.counts.skews;
        world.settle();
    }
    assert!(skews > 20, "the dates followed the clock {skews} times");
}

/// A machine without a battery starts in 1970; a broken one in the next century.
#[test]
fn clocks_that_are_decades_off() {
    const YEAR: i64 = 365 * 86_400_000;
    for steps in [[80 * YEAR, -80 * YEAR], [-56 * YEAR, 56 * YEAR], [-56 * YEAR, 80 * YEAR]] {
        let mut world = World::new(Config { seed: 11, ..CALM });
        for step in steps {
            world.run(600);
            world.set_clock(step);
            world.run(600);
            world.crash_now();
        }
        world.run(600);
        world.settle();
    }
}
