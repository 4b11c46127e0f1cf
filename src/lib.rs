//! ipfs-radio: one binary that puts a radio station on IPFS and keeps it there.
//!
//! The arrows run one way:
//! `main → cli, config → {setup, callback, streamer, mirror, health, http} → {ipfs, audio, disk, watch, clock} → radio`.

#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod golden;
pub mod radio;

#[cfg(feature = "edges")]
pub mod audio;
#[cfg(feature = "edges")]
pub mod callback;
#[cfg(feature = "edges")]
pub mod cli;
#[cfg(feature = "edges")]
pub mod clock;
#[cfg(feature = "edges")]
pub mod config;
#[cfg(feature = "edges")]
pub mod disk;
#[cfg(feature = "edges")]
pub mod http;
#[cfg(feature = "edges")]
pub mod ipfs;
#[cfg(feature = "edges")]
pub mod mirror;
#[cfg(feature = "edges")]
pub mod setup;
#[cfg(feature = "edges")]
pub mod streamer;
#[cfg(feature = "edges")]
pub mod watch;
