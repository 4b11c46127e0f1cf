//! From which numbers a start counts where its ledger does not tell, or tells of less than others have seen.

use std::sync::Arc;

use tokio::task;

use super::{past::Past, publisher::Which, settings::Settings, start::LOOKUP};
use crate::{
    clock,
    disk::ledger::Folder,
    ipfs::{Node, Numbers},
    radio::{
        history::{ABOVE, History},
        ledger::{Ledger, volume::Volume},
        time::{Span, Time},
        timeline::First,
    },
};

/// IPNS sequences that a chain which is lost may have used above the reservations of those that were put aside: it counted
/// from there, and by less than the milliseconds that went by.
const SEQUENCES_ABOVE: u64 = 600_000;

/// A station whose keys are older than this has been on air, as far as anybody knows.
const SURELY_AIRED: Span = Span::seconds(600);

/// From where a station counts that does not go on where its ledger ends: above all that was ever seen of it. A ledger that
/// ends before what others have seen is put aside. Nothing of a fresh key was seen, and nobody is asked while a list that
/// the ledger tells of is still being heard.
pub(super) async fn first(settings: &Settings, past: &mut Past, node: &Node) -> First {
    let mut local = past.found.history.above(clock::wall());
    if !settings.known || (past.found.ledger.is_some() && !is_over(past, clock::wall())) {
        return local;
    }
    let asked = settings.witness(node).newest(Which::Stream, LOOKUP).await;
    let nobody_asked = asked.is_err();
    let seen = asked.ok().flatten().and_then(|record| record.view().numbers);
    if seen.is_none() && !past.found.history.has_numbers() {
        let (since, now) = (settings.identity.since, clock::wall());
        if nobody_asked && let Some(why) = unknown(past, settings.layout.sequence_state().exists(), since, now) {
            past.found.damage = Some(why);
        }
        if past.found.damage.is_some() {
            return History::above_lost(since, now);
        }
    }
    if let Some(why) = lost(past, seen) {
        past.found.damage = Some(why);
        // A chain may have begun above those that were put aside, and be lost.
        past.sequences_above = SEQUENCES_ABOVE;
        local.media_seq += ABOVE;
        local.disc_seq += u64::from(past.found.history.has_numbers()) * ABOVE;
    }
    let Some(numbers) = seen else { return local };
    if let Some(why) = outdated(past, numbers) {
        put_aside(settings, past, why).await;
    }
    First {
        media_seq: local.media_seq.max(numbers.media_sequence + ABOVE),
        disc_seq: local.disc_seq.max(numbers.discontinuity_sequence + ABOVE),
    }
}

/// Whether all that the ledger tells of has aired.
fn is_over(past: &Past, now: Time) -> bool {
    let position = past.found.history.clone().position();
    position.is_some_and(|end| end.listed.last().is_some_and(|last| end.axis.date(last.air_end()) <= now))
}

/// Why the ledger cannot be gone on with, if others have seen a list that begins behind all that it tells of.
fn outdated(past: &Past, seen: Numbers) -> Option<String> {
    past.found.ledger.as_ref()?;
    let last = past.found.history.clone().position()?.listed.pop()?;
    (seen.media_sequence > last.first_seq).then(|| {
        format!(
            "the ledger ends with segment {}, and others have seen a list that begins with {}: it is from an old backup, or its \
             end could not be written, so that numbers go on above both; what is newer of it is worth keeping if it turns up",
            last.media_seq, seen.media_sequence
        )
    })
}

/// Why receipts are missing, if the station has been on air and there is no ledger.
fn lost(past: &Past, seen: Option<Numbers>) -> Option<String> {
    let aired = seen.is_some() || past.found.history.has_numbers();
    (!is_told_of(past) && aired).then(|| {
        "the station has been on air, and there is no ledger of it in state/ledger: numbers go on above all that is known; if \
         the old receipts turn up, keep them, what aired before can be proved with nothing else"
            .into()
    })
}

/// Why nobody knows how far the station has been on air, if it has: its keys are there, and nothing else tells of it.
/// `shown` is whether it left word that it had a list; the keys were made at `since`.
fn unknown(past: &Past, shown: bool, since: Time, now: Time) -> Option<String> {
    let aired = shown || since.plus(SURELY_AIRED) < now;
    (aired && !is_told_of(past)).then(|| {
        format!(
            "there is no ledger in state/ledger, and nobody could be asked how far the station has been on air: numbers go on \
             above all that it can have aired since its keys were made ({since}); if the old receipts turn up, keep them, what \
             aired before can be proved with nothing else"
        )
    })
}

/// Whether there is a ledger, in whatever state.
const fn is_told_of(past: &Past) -> bool {
    let found = &past.found;
    found.ledger.is_some() || found.damage.is_some() || found.unwritable.is_some()
}

/// Puts the ledger aside, so that another chain begins: two that go on from one receipt would contradict each other.
async fn put_aside(settings: &Settings, past: &mut Past, why: String) {
    past.found.ledger = None;
    let folder: Arc<dyn Volume> = Arc::new(Folder::new(settings.layout.ledger()));
    let aside = task::spawn_blocking(move || Ledger::quarantine(&*folder, clock::wall())).await;
    past.found.damage = Some(match aside {
        Ok(Ok(aside)) => format!("{why}; the old receipts lie in {}", aside.display()),
        Ok(Err(stuck)) => format!("{why}; it cannot be moved out of the way: {stuck}"),
        Err(error) => format!("{why}; {error}"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_is_lost_is_told_of_though_nobody_could_be_asked() {
        let (made, hour) = (Time::from_millis(1_700_000_000_000), Span::seconds(3_600));
        let past = Past::default();
        // Keys that were made just now: a start that was ended before it had a list.
        assert_eq!(unknown(&past, false, made, made), None);
        for (shown, now) in [(true, made), (false, made.plus(hour)), (true, made.minus(hour))] {
            let why = unknown(&past, shown, made, now).unwrap();
            assert!(why.contains("nobody could be asked") && why.contains(&made.to_string()), "{why}");
        }
        let mut damaged = Past::default();
        damaged.found.damage = Some("it is told of already".into());
        assert_eq!(unknown(&damaged, true, made, made.plus(hour)), None);
    }
}
