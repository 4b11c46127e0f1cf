//! What a start makes of the ledger that it finds.

use std::sync::Arc;

use super::{
    super::{
        aired::Axis,
        history::{History, Kept},
        receipt::Receipt,
        time::Time,
    },
    Error, Ledger, Signer, read,
    volume::Volume,
};

/// What is known of the past.
#[derive(Debug, Default)]
pub struct Recalled {
    /// What the receipts amount to. Where there is damage, no more than is needed to begin above all of it.
    pub history: History,
    /// Open for writing, if there was one that can be gone on with.
    pub ledger: Option<Ledger>,
    /// Why another one is to be begun, if there was one.
    pub damage: Option<String>,
    /// Why the ledger cannot be written for now, although it was read.
    pub unwritable: Option<String>,
    /// How many bytes of a torn last receipt were cut off.
    pub torn_bytes: u64,
}

/// Who is shown a receipt, and the block that it keeps, if it keeps one.
pub type Visit<'v> = dyn FnMut(&Receipt, Option<(Kept, Axis)>) + 'v;

/// Reads the ledger back to `since` and opens it for writing; `visit` is shown all receipts, with the block that each
/// keeps.
///
/// A ledger that does not hold, or that no timeline can go on from, is moved out of the way. So is one that cannot be
/// read, and one that cannot be checked with the keys at hand. If receipts are `required`, one that cannot be read,
/// checked or written is the error: no station begins another chain because somebody took the wrong file of keys.
pub fn recall(
    volume: &Arc<dyn Volume>,
    signer: &Signer,
    since: Time,
    now: Time,
    required: bool,
    visit: &mut Visit<'_>,
) -> Result<Recalled, Error> {
    let mut history = History::default();
    let opened = Ledger::open(volume.clone(), signer.clone(), since, &mut |receipt| {
        let kept = history.take(receipt);
        visit(receipt, kept.zip(history.axis().copied()));
    });
    let unusable = history.clone().position().and_then(|position| position.check().err());
    let error = match (opened, unusable) {
        (Ok((ledger, found)), None) => {
            above_asides(&**volume, signer, &mut history);
            return Ok(Recalled { history, ledger, torn_bytes: found.torn_bytes, ..Recalled::default() });
        }
        (Ok(_), Some(reason)) => Error::Unusable { path: volume.path(""), reason },
        (Err(error @ (Error::Io { .. } | Error::Unread { .. } | Error::Key { .. })), _) if required => {
            return Err(error);
        }
        (Err(error @ Error::Io { .. }), None) => {
            above_asides(&**volume, signer, &mut history);
            return Ok(Recalled { history, unwritable: Some(error.to_string()), ..Recalled::default() });
        }
        (Err(error), _) => error,
    };
    read::strays(&**volume, signer, since, &mut |receipt| {
        history.saw(receipt);
        history.knows_numbers()
    });
    above_asides(&**volume, signer, &mut history);
    let damage = match Ledger::quarantine(&**volume, now) {
        Ok(aside) => put_aside(&error, &aside.display().to_string()),
        Err(stuck) if required => return Err(stuck),
        Err(stuck) => format!("{error}; it cannot be moved out of the way: {stuck}"),
    };
    Ok(Recalled { history, damage: Some(damage), ..Recalled::default() })
}

/// Why another chain begins, and where the old one lies.
fn put_aside(error: &Error, aside: &str) -> String {
    match error {
        Error::Key { path, line, reason, .. } => format!(
            "{}:{line}: {reason}; another chain begins above all numbers of these; put the right file back and start the station \
             anew; the old receipts lie in {aside}, whole, and `ipfs-radio receipts verify {aside}/*.jsonl` checks them then",
            path.display()
        ),
        _ => format!("{error}; the old receipts lie in {aside}"),
    }
}

/// A crash may have come after a damaged ledger was put aside and before the first receipts of the next one: numbers go on
/// above those of all that were put aside.
fn above_asides(volume: &dyn Volume, signer: &Signer, history: &mut History) {
    if history.knows_numbers() {
        return;
    }
    let found = read::twice(volume, "receipts that were put aside are looked for", || volume.asides());
    let asides = found.unwrap_or_else(|why| {
        volume.warn(&format!("receipts that were put aside cannot be found, and numbers may go back: {why}"));
        Vec::new()
    });
    for aside in asides {
        let mut seen = History::default();
        read::strays(&*aside, signer, Time(u64::MAX), &mut |receipt| {
            history.saw(receipt);
            seen.saw(receipt);
            seen.knows_numbers()
        });
    }
}
