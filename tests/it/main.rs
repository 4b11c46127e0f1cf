//! Tests of the parts together.
#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

mod config;
mod setup;
