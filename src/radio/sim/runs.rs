//! The worlds that are run.

use std::{cell::Cell, collections::HashSet, ops::Range};

use super::super::{rules::Rules, time::Span};
use super::{
    catalogue::Shape,
    chance::Chance,
    observer::Counts,
    paper::Paper,
    volume::FAILURES,
    world::{Config, DOWNTIMES, Fault, SECOND, World, some_step},
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
    downtimes: &DOWNTIMES,
    read_one_in: 1,
    filler: true,
    paper: Paper { room: 64 << 10, notary: false, back: Span(0) },
    ladder: 0,
};

pub(super) const HOUR: u64 = 3_600;

/// Runs a world; if it fails, tells the command that runs it again, the same to the bit.
fn run(config: Config, seconds: u64) -> World {
    again(&config.clone(), || {
        let mut world = World::new(config);
        world.run(seconds);
        world.settle();
        world
    })
}

fn again(config: &Config, run: impl FnOnce() -> World) -> World {
    let thread = std::thread::current();
    let (test, seed) = (thread.name().unwrap_or("sim::runs"), config.seed);
    let command = format!("SIM_SEED={seed} cargo test --release --no-default-features --lib {test}");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    result.unwrap_or_else(|_| panic!("again with\n    {command}\n{config:?}"))
}

#[test]
fn a_calm_day_needs_no_jump() {
    let world = run(Config { read_one_in: 4, ladder: 1, ..CALM }, 24 * HOUR);
    let Counts { segments, lists, coarse, rungs, stand_ins, chapters, outages, skews, .. } = world.observer.counts;
    assert!(segments > 14_000 && lists > 14_000 && (outages, skews) == (1, 0), "{:?}", world.observer.counts);
    assert!(coarse > 14_000 && chapters > 100, "{:?}", world.observer.counts);
    assert!(rungs > 7_000 && stand_ins > 100_000, "{:?}", world.observer.counts);
    assert_eq!(world.audience.dry, 0);
    assert!(world.audience.checks > 10_000 && world.names.puts > 2_000);
}

/// No date jumps, none drifts, and no more is kept in the end than after three days.
#[test]
fn a_month_without_a_break() {
    let config = Config { seed: 30, read_one_in: 800, ..CALM };
    let world = again(&config.clone(), || {
        let mut world = World::new(config);
        world.run(2 * 24 * HOUR);
        let early = most_kept_within_a_day(&mut world);
        world.run(26 * 24 * HOUR);
        let late = most_kept_within_a_day(&mut world);
        assert!(late * 100 <= early * 105, "{late} bytes tell of all that is kept, {early} did after three days");
        assert!(world.skew_millis().abs() <= 1, "the dates are {} ms ahead", world.skew_millis());
        world.settle();
        world
    });
    let Counts { segments, outages, skews, .. } = world.observer.counts;
    assert!(segments > 432_000 && (outages, skews) == (1, 0), "{:?}", world.observer.counts);
    assert_eq!(world.audience.dry, 0);
}

/// A day passes. The order is played several times, so that whatever is kept of it is seen.
fn most_kept_within_a_day(world: &mut World) -> usize {
    let minute = |_| {
        world.run(60);
        world.kept()
    };
    (0..24 * 60).map(minute).max().expect("a day has minutes")
}

/// 30 days in which the wall clock is set 86 times and one segment in a hundred meets a crash. scripts/simulate runs as
/// many of them as make a year.
#[test]
fn a_month_of_clock_jumps_and_crashes() {
    const JUMPS: u64 = 86;
    let seed = seed().unwrap_or(1);
    // Two or three actions put a segment on air.
    let config = Config { seed, crash_one_in: 220, downtimes: &[0, 1, 2, 5, 30], read_one_in: 200, ..CALM };
    let world = again(&config.clone(), || {
        let mut chance = Chance::new(seed);
        let mut world = World::new(config);
        for _ in 0..JUMPS {
            world.run(30 * 24 * HOUR / JUMPS);
            world.set_clock(some_step(&mut chance));
        }
        world.settle();
        world
    });
    let counts = world.observer.counts;
    let hundredth = counts.segments / 100;
    assert!(counts.segments > 400_000, "{counts:?}");
    assert!((hundredth * 8 / 10..hundredth * 12 / 10).contains(&world.crashes), "{} crashes", world.crashes);
    assert!(world.records.counts.torn > 50, "{:?}", world.records.counts);
}

/// A seed is one world: all that is ever seen of it is the same again.
#[test]
fn a_seed_replays_to_the_bit() {
    let (mut all, gone) = (HashSet::new(), Cell::new(0));
    for seed in 0..12 {
        let seen = |_| {
            let world = run(random(seed), HOUR / 2);
            gone.set(gone.get() + world.blocks.gone);
            (world.seen, world.records.told().clone(), world.records.disk.content(), world.names.puts)
        };
        let [one, two] = [(); 2].map(seen);
        assert_eq!(one, two, "seed {seed}");
        all.insert(one.0);
    }
    assert_eq!(all.len(), 12);
    assert!(gone.get() > 0, "no block was ever let go of");
}

/// Where a block of another rendition is lost, the default one stands in for it, and the air goes on.
#[test]
fn the_default_rendition_stands_in_for_lost_ones() {
    let config =
        Config { items: 3, shape: Shape::Songs, faults: &[Fault::Blocks], fault_seconds: 60, ladder: 1, ..CALM };
    let stood_in: u64 = (0..4).map(|seed| run(Config { seed, ..config.clone() }, HOUR).stood_in).sum();
    assert!(stood_in > 0, "no rendition was ever lost");
}

/// The n-th call of the disk fails, for every n of a run with a restart in it, in every way: nothing breaks, somebody is
/// told, and the air goes on.
#[test]
fn the_nth_call_fails() {
    let rules = Rules { window_size: 6, look_ahead: 4, ..RULES };
    for receipts_required in [true, false] {
        let rules = Rules { receipts_required, ..rules.clone() };
        let paper = Paper { room: 6 << 10, notary: true, back: Span(0) };
        let config = Config { seed: 7, rules, paper, items: 3, read_one_in: 4, ..CALM };
        let calls = Cell::new(u64::MAX);
        for failure in FAILURES {
            for n in 0.. {
                if n >= calls.get() {
                    break;
                }
                again(&Config { seed: n, ..config.clone() }, || {
                    let mut world = World::new(config.clone());
                    world.records.disk.fail_at(n, failure);
                    world.run(60);
                    world.crash_now();
                    world.run(60);
                    let (made, failed) = world.records.disk.calls();
                    calls.set(calls.get().min(made));
                    assert!(world.observer.counts.segments >= 20 && failed.is_some() == (n < made));
                    // A file system that cannot allocate is no obstacle.
                    let told = world.records.troubles() > 0 || failed.is_none_or(|what| what == "allocate");
                    assert!(told, "nobody was told of: {failed:?}");
                    world.settle();
                    world
                });
            }
        }
        assert!((80..1_000).contains(&calls.get()), "{} calls", calls.get());
    }
}

/// A world of everything, by its seed.
fn random(seed: u64) -> Config {
    let mut chance = Chance::new(seed ^ 0x5eed);
    let all: [&'static [Fault]; 10] = [
        &[Fault::Edit],
        &[Fault::LedgerDown, Fault::Crash, Fault::Step, Fault::Rot],
        &[Fault::Edit, Fault::Crash],
        &[Fault::Crash, Fault::Storm, Fault::Edit],
        &[Fault::Step, Fault::Edit, Fault::NetworkDown],
        &[Fault::Step, Fault::Crash, Fault::Suspend],
        &[Fault::Step, Fault::Reanchor, Fault::Crash, Fault::Blocks, Fault::LedgerDown],
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
            Fault::NetworkDown,
            Fault::Reanchor,
            Fault::Rot,
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
        downtimes: &DOWNTIMES,
        read_one_in: 8,
        filler: !chance.one_in(4),
        paper: Paper {
            room: chance.pick(&[1 << 10, 8 << 10, 64 << 10]),
            notary: chance.one_in(4),
            back: Span::seconds(chance.pick(&[0, 3_600, 48 * 3_600])),
        },
        ladder: chance.pick(&[0, 1, 1, 2, 3]),
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
                run(Config { fault_seconds: 600, read_one_in: 30, ..config }, HOUR / 2);
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
fn a_ledger_that_is_down_for_an_hour_silences_nothing() {
    for (seed, shape) in [(7, Shape::Long), (8, Shape::Shorts), (9, Shape::Songs)] {
        let rules = Rules { segment_seconds: 3, window_size: 50, look_ahead: 10, ..RULES };
        let config = Config { seed, rules: Rules { receipts_required: false, ..rules }, shape, items: 3, ..CALM };
        let mut world = World::new(Config { read_one_in: 50, ..config });
        world.run(HOUR / 2);
        world.ledger_down(HOUR);
        world.run(HOUR + 60);
        assert!(world.observer.counts.late > 500, "{:?}", world.observer.counts);
        (0..5).for_each(|_| world.crash_now());
        world.run(600);
        world.settle();
    }
}

/// A process that is killed again and again, and never gets a receipt written: what it shows is above all that was seen.
#[test]
fn no_number_is_given_twice_while_no_receipt_can_be_written() {
    for (seed, shape) in [(60, Shape::Songs), (61, Shape::Shorts), (62, Shape::Mixed)] {
        let rules = Rules { window_size: 10, look_ahead: 10, receipts_required: false, ..RULES };
        let config = Config { seed, rules, shape, items: 5, downtimes: &[0, 1, 3], read_one_in: 4, ..CALM };
        let mut world = World::new(config);
        world.run(HOUR / 4);
        world.ledger_down(HOUR);
        for seconds in [30, 40, 1, 200, 0, 12, 60, 3, 25] {
            world.run(seconds);
            world.crash_now();
        }
        world.run(300);
        assert_eq!(world.untold, 0, "a number may have been given twice");
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
        run(Config { fault_seconds: 20, crash_one_in: 6, read_one_in: 4, ..config }, 60 * HOUR);
    }
}

/// Files are short, and a start reads no more of them than it goes on from.
#[test]
fn checkpoints_follow_each_other_however_little_a_start_reads() {
    let paper = Paper { room: 1 << 10, notary: true, back: Span(0) };
    let config = Config { seed: 12, paper, items: 5, crash_one_in: 300, read_one_in: 50, ..CALM };
    let world = run(config, 6 * HOUR);
    assert!(world.crashes > 10, "{} crashes", world.crashes);
}

/// The seed that the environment names.
fn seed() -> Option<u64> {
    std::env::var("SIM_SEED").ok().map(|seed| seed.parse().unwrap_or_else(|_| panic!("SIM_SEED={seed} is no number")))
}

/// Runs random worlds, or the one that the environment names.
fn random_worlds(seeds: impl Iterator<Item = u64>) {
    let seeds: Vec<u64> = seed().map_or_else(|| seeds.collect(), |seed| vec![seed]);
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
