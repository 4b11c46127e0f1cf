//! The core in simulated worlds: the real timeline, receipts, history and lists, driven through clocks, stores,
//! ledgers, operators and crashes that a seed decides, and watched by an observer that forgets nothing.
//!
//! `SIM_SEED=<number> cargo test --no-default-features --lib sim::runs::random` replays one of the random worlds;
//! with `SIM_TRACE=1` it tells what happens. `SIM_WORLDS=<number>` runs as many of them.

mod audience;
mod catalogue;
mod chance;
mod disk;
mod expect;
mod follow;
pub(super) mod list;
mod names;
mod observer;
mod recovery;
mod runs;
pub(super) mod volume;
mod world;
