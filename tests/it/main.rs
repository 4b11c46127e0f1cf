//! Tests over the whole: one binary, because each links the peer.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

mod air;
mod beside;
mod config;
mod cover;
mod disk;
mod ladder;
mod leaks;
mod ledger;
mod mirror;
mod originals;
mod peer;
mod reanchor;
mod recovery;
mod setup;
mod start;
mod station;
mod tidy;
