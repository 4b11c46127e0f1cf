//! Rounds over what waits: which delivery is tried when, and what one that fails costs the others.
//!
//! Time is what was rested between rounds, so that a test can let a week pass.

use std::{collections::HashMap, future::Future, time::Duration};

use super::Outbox;
use crate::disk;

/// From a failure to the next attempt; it doubles up to [`AGAIN_MAX`].
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// How often the outbox is looked into.
const LOOK: Duration = Duration::from_secs(5);
/// A round ends with so many failures in a row: a receiver that fails for all is not called for each of 50 000.
const FAILURES_MAX: usize = 16;
/// What was refused so often since the start, and waits for so long, is given up.
const REFUSALS_MAX: u32 = 8;
const REFUSED_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The receiver cannot be reached: the next delivery would fail as well.
    Away(String),
    /// This one failed; another attempt may not.
    Failed(String),
    /// The receiver does not want this one.
    Refused(String),
}

/// Who carries deliveries to their receiver.
pub(super) trait Courier {
    /// One attempt.
    fn carry(&self, key: &str, body: Vec<u8>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Waits.
    fn rest(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// How a round went.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// How many deliveries failed.
    failed: usize,
    /// Why the first of them did.
    pub(super) why: Option<String>,
    /// Whether the receiver, or what waits, could not be reached.
    away: bool,
}

impl Round {
    fn fails(&mut self, why: &str) {
        self.failed += 1;
        self.why.get_or_insert_with(|| why.to_owned());
    }
}

/// A delivery that failed and is not due.
#[derive(Debug, Default)]
struct Aside {
    due: Duration,
    failures: u32,
    refusals: u32,
    /// It has arrived and is only to be forgotten: the disk did not let go of it.
    arrived: bool,
}

/// What failed before, and when it is due again.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    aside: HashMap<String, Aside>,
    rested: Duration,
}

impl Rounds {
    /// Delivers what waits and what comes, for ever.
    pub(super) async fn keep_on(mut self, outbox: &Outbox, courier: &impl Courier) {
        let mut pause = AGAIN;
        loop {
            let round = self.go(outbox, courier).await;
            let rest = if round.away { pause } else { LOOK };
            pause = if round.away { (2 * pause).min(AGAIN_MAX) } else { AGAIN };
            if let Some(why) = round.why {
                tracing::warn!(why, failed = round.failed, "callbacks are not delivered and tried again");
            }
            courier.rest(rest).await;
            self.rested += rest;
        }
    }

    /// Tries what is due once: first what is new, the oldest first, then what failed before. One that fails is set aside;
    /// a receiver that cannot be reached ends the round.
    pub(super) async fn go(&mut self, outbox: &Outbox, courier: &impl Courier) -> Round {
        let (mut round, mut in_a_row) = (Round::default(), 0);
        let due = match self.due(outbox) {
            Ok(due) => due,
            Err(error) => return Round { why: Some(error.to_string()), away: true, ..round },
        };
        for key in due {
            match self.deliver(&key, outbox, courier).await {
                Ok(()) => in_a_row = 0,
                Err(Failure::Away(why)) => {
                    round.fails(&why);
                    round.away = true;
                    break;
                }
                Err(Failure::Failed(why) | Failure::Refused(why)) => {
                    round.fails(&why);
                    in_a_row += 1;
                }
            }
            if in_a_row == FAILURES_MAX {
                break;
            }
        }
        round
    }

    fn due(&mut self, outbox: &Outbox) -> disk::Result<Vec<String>> {
        let mut waiting = outbox.waiting()?;
        let mut before = std::mem::take(&mut self.aside);
        self.aside = waiting.iter().filter_map(|key| before.remove_entry(key)).collect();
        waiting.retain(|key| self.aside.get(key).is_none_or(|aside| aside.due <= self.rested));
        waiting.sort_by_key(|key| self.aside.get(key).map(|aside| aside.due));
        Ok(waiting)
    }

    async fn deliver(&mut self, key: &str, outbox: &Outbox, courier: &impl Courier) -> Result<(), Failure> {
        let told = |error: disk::Error| Failure::Failed(error.to_string());
        let arrived = self.aside.get(key).is_some_and(|aside| aside.arrived);
        let carried = match outbox.body(key) {
            _ if arrived => Ok(()),
            Ok(Some(body)) => courier.carry(key, body).await,
            Ok(None) => return Ok(()),
            Err(error) => Err(told(error)),
        };
        let done = match &carried {
            Ok(()) => outbox.done(key).map_err(told),
            Err(_) => carried.clone(),
        };
        match &done {
            Ok(()) => drop(self.aside.remove(key)),
            Err(Failure::Away(_)) => {}
            Err(failure) => self.set_aside(key, outbox, failure, carried.is_ok()),
        }
        done
    }

    fn set_aside(&mut self, key: &str, outbox: &Outbox, failure: &Failure, arrived: bool) {
        let aside = self.aside.entry(key.to_owned()).or_default();
        aside.due = self.rested + AGAIN.saturating_mul(1 << aside.failures.min(16)).min(AGAIN_MAX);
        aside.failures = aside.failures.saturating_add(1);
        aside.arrived = arrived;
        let Failure::Refused(why) = failure else { return };
        aside.refusals = aside.refusals.saturating_add(1);
        if aside.refusals >= REFUSALS_MAX && outbox.age(key).is_some_and(|age| age >= REFUSED_MAX) {
            let id = outbox.item(key);
            tracing::error!(key, id, why, "its receiver has refused this callback for a week: it is given up");
            if outbox.done(key).is_ok() {
                self.aside.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
