//! The constants of a station's timeline and what follows from them (contract §3).

use super::time::Span;

/// What is still being made waits until it reaches this far beyond the look-ahead before it airs.
pub const HEAD_START: Span = Span::seconds(60);
/// A slow IPNS put and a slow resolve together, in seconds: what public gateways were seen to need at their usual worst.
pub const SLOW_NETWORK_SECONDS: u32 = 120;

/// What the timeline is built by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Samples per second, constant for the station's life.
    pub rate: u32,
    /// Nominal length of a segment in seconds, constant for the station's life.
    pub segment_seconds: u32,
    /// How many nominal segments are listed up to and including the one on air.
    pub window_size: u32,
    /// How many nominal segments are listed after it.
    pub look_ahead: u32,
    /// Whether a segment whose receipt cannot be written must not air.
    pub receipts_required: bool,
}

impl Rules {
    /// `EXT-X-TARGETDURATION` in seconds: the nominal length is whole, so it is its own ceiling.
    pub const fn target_seconds(&self) -> u32 {
        self.segment_seconds
    }

    /// The target duration in samples.
    pub const fn target(&self) -> u64 {
        self.segment_seconds as u64 * self.rate as u64
    }

    /// LA: how far the list reaches beyond now, in samples.
    pub const fn look_ahead(&self) -> u64 {
        self.look_ahead as u64 * self.target()
    }

    /// W: how far the list reaches back from now, in samples.
    pub const fn window(&self) -> u64 {
        self.window_size as u64 * self.target()
    }

    /// `HOLD-BACK` = −`START:TIME-OFFSET` = LA + 2·TD, in seconds.
    pub const fn hold_back_seconds(&self) -> u64 {
        (self.look_ahead as u64 + 2) * self.segment_seconds as u64
    }

    /// How late the timeline may be before it jumps instead of catching up: the 3·TD that lie behind a fresh start.
    pub const fn lateness(&self) -> u64 {
        3 * self.target()
    }

    /// How far the wall clock may run ahead of the dates before one forward jump heals them: 2·TD.
    pub const fn skew(&self) -> Span {
        Span::seconds(2 * self.segment_seconds as u64)
    }

    /// The longest segment that may be listed: a whole number of samples whose `EXTINF` does not exceed the target.
    pub const fn longest(&self) -> u64 {
        self.target()
    }
}
