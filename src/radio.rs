//! What a station is, in words and rules.
//!
//! A *track* or a *jingle* is an *item*: one recording, encoded once and cut into *segments*. The *running order*
//! names items in the order in which they air, and is looped. The *timeline* gives each segment that airs its media
//! sequence and its air time; once the receipt of a segment is durable they never change. The *window* is the part
//! of the timeline that a playlist lists: what has been, what is on air, and the look-ahead.
//!
//! Everything below is pure: no clock, no disk, no network, no chance. Time comes in as an argument, what must be
//! done goes out as a value. Nothing here imports from outside this folder, so that it can become a crate by a
//! rename; a test in `tests/it/tidy.rs` keeps it so.

pub mod aired;
pub mod audit;
pub mod canonical;
pub mod checkpoint;
pub mod coarse;
pub mod cue;
pub mod echo;
pub mod follow;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod history;
pub mod hls;
pub mod ir1;
pub mod ladder;
pub mod ledger;
pub mod lines;
pub mod manifest;
pub mod merkle;
pub mod metrics;
pub mod naming;
pub mod playlist;
pub mod programme;
pub mod quote;
pub mod receipt;
pub mod retention;
pub mod room;
pub mod rotation;
pub mod rules;
pub mod segment;
pub mod status;
pub mod tempo;
pub mod time;
pub mod timeline;
pub mod trouble;
pub mod vod;

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
#[allow(clippy::print_stderr, reason = "a trace that was asked for")]
mod sim;
