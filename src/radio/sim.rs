//! The core in simulated worlds: the real timeline, ledger, names, retention and lists, driven through clocks, disks,
//! stores, networks, operators and crashes that a seed decides, and watched by an observer that forgets nothing.
//!
//! A world that fails prints the command that runs it again, the same to the bit; with `SIM_TRACE=1` it tells what
//! happens. `SIM_WORLDS=<number>` runs as many random worlds, `scripts/simulate` a year.

mod audience;
mod blocks;
mod catalogue;
mod chance;
mod clocks;
mod expect;
mod follow;
pub(super) mod list;
mod names;
mod network;
mod observer;
mod paper;
mod reanchor;
mod recovery;
mod runs;
pub(super) mod volume;
mod world;
