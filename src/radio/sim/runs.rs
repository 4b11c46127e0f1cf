//! The worlds that are run.

use std::ops::Range;

use super::super::rules::Rules;
use super::{
    catalogue::Shape,
    chance::Chance,
    observer::Counts,
    world::{Config, Fault, SECOND, World},
};

const RULES: Rules =
    Rules { rate: 44_100, segment_seconds: 6, window_size: 50, look_ahead: 50, receipts_required: true };

pub(super) const CALM: Config = Config {
    seed: 1,
    rules: RULES,
    shape: Shape::Songs,
    items: 40,
    latency: 20_000,
    fault_seconds: 0,
    faults: &[],
    crash_one_in: 0,
    read_one_in: 1,
    filler: true,
};

pub(super) const HOUR: u64 = 3_600;

/// Runs a world and tells its seed if it fails.
fn run(config: Config, seconds: u64) -> World {
    let told = config.clone();
    let result = std::panic::catch_unwind(|| {
        let mut world = World::new(config);
        world.run(seconds);
        world.settle();
        world
    });
    result.unwrap_or_else(|_| panic!("SIM_SEED={} of {told:?}", told.seed))
}

#[test]
fn a_calm_day_needs_no_jump() {
    let world = run(Config { read_one_in: 4, ..CALM }, 24 * HOUR);
    let Counts { segments, lists, coarse, outages, skews, .. } = world.observer.counts;
    assert!(segments > 14_000 && lists > 14_000 && (outages, skews) == (1, 0), "{:?}", world.observer.counts);
    assert!(coarse > 14_000, "{:?}", world.observer.counts);
    assert_eq!(world.audience.dry, 0);
    assert!(world.audience.checks > 10_000 && world.names.puts > 2_000);
}

#[test]
fn thirty_days_without_a_break() {
    let world = run(Config { seed: 30, read_one_in: 200, ..CALM }, 30 * 24 * HOUR);
    let Counts { segments, outages, skews, .. } = world.observer.counts;
    assert!(segments > 430_000 && (outages, skews) == (1, 0), "{:?}", world.observer.counts);
    assert_eq!(world.audience.dry, 0);
}

/// A world of everything, by its seed.
fn random(seed: u64) -> Config {
    let mut chance = Chance::new(seed ^ 0x5eed);
    let all: [&'static [Fault]; 8] = [
        &[Fault::Edit],
        &[Fault::Edit, Fault::Crash],
        &[Fault::Crash, Fault::Storm, Fault::Edit],
        &[Fault::Step, Fault::Edit],
        &[Fault::Step, Fault::Crash, Fault::Suspend],
        &[Fault::StoreDown, Fault::LedgerDown, Fault::FetchDown, Fault::Edit],
        &[Fault::Blocks, Fault::Blocks, Fault::Edit, Fault::Crash, Fault::AllBlocks],
        &[
            Fault::Edit,
            Fault::Edit,
            Fault::Crash,
            Fault::Step,
            Fault::Suspend,
            Fault::StoreDown,
            Fault::LedgerDown,
            Fault::FetchDown,
            Fault::Storm,
            Fault::Blocks,
            Fault::AllBlocks,
            Fault::Filler,
        ],
    ];
    let rules = Rules {
        rate: chance.pick(&[44_100, 48_000]),
        segment_seconds: chance.pick(&[3, 6, 6, 10]),
        window_size: chance.pick(&[6, 10, 50]),
        look_ahead: chance.pick(&[2, 4, 10, 50]),
        receipts_required: chance.one_in(2),
    };
    Config {
        seed,
        rules,
        shape: chance.pick(&[Shape::Songs, Shape::Shorts, Shape::Long, Shape::Mixed, Shape::Mixed]),
        items: chance.pick(&[1, 2, 5, 20]),
        latency: chance.pick(&[0, 5_000, 100_000, 700_000]),
        fault_seconds: chance.pick(&[60, 300, 900]),
        faults: chance.pick(&all),
        crash_one_in: chance.pick(&[0, 0, 400, 60]),
        read_one_in: 8,
        filler: !chance.one_in(4),
    }
}

/// Contract §2: the ranges that a station may be configured to.
#[test]
fn every_window_and_look_ahead() {
    for segment_seconds in [3, 6, 10] {
        for window_size in [6, 50, 100] {
            for look_ahead in [4, 50] {
                let rules = Rules { segment_seconds, window_size, look_ahead, ..RULES };
                let faults = &[Fault::Edit, Fault::Crash];
                let config = Config { seed: 3, rules, shape: Shape::Mixed, items: 9, faults, ..CALM };
                run(Config { fault_seconds: 600, read_one_in: 4, ..config }, HOUR / 2);
            }
        }
    }
}

#[test]
fn the_longest_window_is_filled_in_many_batches() {
    let rules = Rules { window_size: 1_000, look_ahead: 1_000, ..RULES };
    let mut world = World::new(Config { seed: 5, rules, latency: SECOND, read_one_in: 50, ..CALM });
    for seconds in [20, 600, 20] {
        world.run(seconds);
        world.crash_now();
    }
    world.run(600);
    world.settle();
}

#[test]
fn a_first_list_is_filled_after_a_crash_whatever_the_clock_says() {
    for step in [-86_400_000, -13_000, 13_000, 86_400_000] {
        let rules = Rules { look_ahead: 1_000, ..RULES };
        let mut world = World::new(Config { seed: 6, rules, latency: SECOND, read_one_in: 50, ..CALM });
        for seconds in [10, 10] {
            world.run(seconds);
            world.set_clock(step);
            world.crash_now();
        }
        world.run(300);
        assert!(world.observer.visible.is_some(), "no list");
        world.settle();
    }
}

/// More receipts than are kept wait for the ledger, in the middle of an item of three hours.
#[test]
fn a_ledger_that_is_down_for_hours_silences_nothing() {
    for (seed, shape) in [(7, Shape::Long), (8, Shape::Shorts), (9, Shape::Songs)] {
        let rules = Rules { segment_seconds: 3, window_size: 50, look_ahead: 10, ..RULES };
        let config = Config { seed, rules: Rules { receipts_required: false, ..rules }, shape, items: 3, ..CALM };
        let mut world = World::new(Config { read_one_in: 50, ..config });
        world.run(HOUR / 2);
        world.ledger_down(2 * HOUR);
        world.run(2 * HOUR + 60);
        (0..5).for_each(|_| world.crash_now());
        world.run(600);
        world.settle();
    }
}

/// Blocks that come and go end items early, and crashes fall between the receipt of an item and that of its segment.
#[test]
fn crashes_at_every_other_step() {
    let rules = Rules { window_size: 10, look_ahead: 10, ..RULES };
    for seed in 0..4 {
        let faults = &[Fault::Blocks, Fault::Blocks, Fault::Crash, Fault::Step];
        let config = Config { seed, rules: rules.clone(), shape: Shape::Mixed, items: 3, faults, ..CALM };
        run(Config { fault_seconds: 20, crash_one_in: 6, read_one_in: 4, ..config }, 300 * HOUR);
    }
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

/// Runs random worlds, or the one that the environment names.
fn random_worlds(seeds: impl Iterator<Item = u64>) {
    let one = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = one.map_or_else(|| seeds.collect(), |seed| vec![seed]);
    let failed = |seed: &u64| std::panic::catch_unwind(|| run(random(*seed), 2 * HOUR)).is_err();
    let most = if std::env::var_os("SIM_FAIL_FAST").is_some() { 1 } else { usize::MAX };
    let failed: Vec<u64> = seeds.into_iter().filter(failed).take(most).collect();
    assert!(failed.is_empty(), "SIM_SEED is one of {failed:?}");
}

/// The seeds of the random worlds: those that `SIM_WORLDS` says, as `200` or `4000..8000`, or so few that the tests of the
/// core end in seconds.
fn worlds() -> Range<u64> {
    let Ok(wanted) = std::env::var("SIM_WORLDS") else { return 0..40 };
    let (from, to) = wanted.split_once("..").unwrap_or(("0", &wanted));
    let seed =
        |text: &str| text.parse().unwrap_or_else(|_| panic!("SIM_WORLDS={wanted} is neither 200 nor 4000..8000"));
    seed(from)..seed(to)
}

#[test]
fn random_worlds_with_even_seeds() {
    random_worlds(worlds().filter(|seed| seed % 2 == 0));
}

#[test]
fn random_worlds_with_odd_seeds() {
    random_worlds(worlds().filter(|seed| seed % 2 == 1));
}
