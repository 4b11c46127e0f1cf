//! Directed worlds: the network takes no names for an hour, or comes and goes, and the air knows nothing of it.

use std::collections::BTreeSet;

use super::{
    runs::{CALM, HOUR},
    world::{Config, World},
};

/// A put that began before the network went is taken for so long.
const UNDER_WAY: u64 = 60;

fn world(seed: u64) -> World {
    let mut world = World::new(Config { seed, items: 5, read_one_in: 50, downtimes: &[0], ..CALM });
    world.run(HOUR / 4);
    world
}

/// The network is back: within a minute the name is that of the list of now (L4), and nobody heard that it was away.
fn was_named(world: &mut World) {
    world.check_named();
    let counts = world.observer.counts;
    assert_eq!((counts.outages, world.audience.dry), (1, 0), "somebody heard it: {counts:?}");
    world.settle();
}

#[test]
fn an_hour_without_the_network_and_the_name_is_right_within_a_minute() {
    for seed in 80..90 {
        let mut world = world(seed);
        world.network_down(HOUR);
        world.run(UNDER_WAY);
        let (named, puts, listed) = (world.names.public_end(), world.names.puts, world.observer.next_seq());
        world.run(HOUR / 2);
        if seed % 2 == 1 {
            world.crash_now();
        }
        world.run(HOUR / 2 - UNDER_WAY - 1);
        assert_eq!(world.names.public_end(), named, "a put went through");
        let (puts, listed) = (world.names.puts - puts, world.observer.next_seq() - listed);
        assert!(puts > HOUR / 60 && listed > HOUR / 10, "{puts} puts and {listed} segments within the hour");
        was_named(&mut world);
    }
}

#[test]
fn a_network_that_comes_and_goes_takes_names_while_it_is_there() {
    for seed in 90..100 {
        let mut world = world(seed);
        let (mut named, puts) = (BTreeSet::new(), world.names.puts);
        for cycle in 0..HOUR / 60 {
            world.network_down(30);
            world.run(60);
            if seed % 2 == 1 && cycle % 20 == 19 {
                world.crash_now();
            }
            named.insert(world.names.public_end());
        }
        let puts = world.names.puts - puts;
        assert!(named.len() > 15 && puts > HOUR / 60, "seed {seed}: {} of {puts} puts were seen", named.len());
        was_named(&mut world);
    }
}
