//! The clocks of the air and of all that is dated. Elsewhere time is an argument; only waits that are limited count their own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::radio::{
    time::{Span, Time},
    timeline::Clocks,
};

/// The clocks of this machine: the wall clock, and station time, which is the wall clock at start plus the
/// monotonic clock since. A stepped wall clock cannot move station time.
#[derive(Clone, Copy, Debug)]
pub struct System {
    start: Instant,
    wall_at_start: Time,
}

impl System {
    /// Starts station time at the wall clock of now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    pub fn start() -> Self {
        Self { start: Instant::now(), wall_at_start: wall() }
    }

    /// Both clocks now.
    pub fn now(&self) -> Clocks {
        let since = self.start.elapsed();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        Clocks { station: self.wall_at_start.plus(Span(micros)), wall: wall() }
    }

    /// How long it is until station time `until`.
    pub fn until(&self, until: Time) -> Duration {
        Duration::from_micros(until.since(self.now().station).0)
    }
}

/// The wall clock. A clock before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
