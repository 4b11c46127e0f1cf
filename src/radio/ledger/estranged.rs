//! Receipts that fail by nothing but their key: it is not at hand, or the secret under its id is another one.
//!
//! That is told apart from damage. Who changes a line breaks the chain to the one behind it, and the other lines by the
//! same key still hold. Where all lines of a file hold together and not one by a key can be checked, it is the key.

use std::collections::BTreeMap;

use super::{
    super::{
        quote::quote,
        receipt::{self, Body, Receipt, Unverified},
    },
    Signer,
};

/// The ledger's last line has nothing behind it that shows a change: by one line alone no key is judged.
const WITNESSES: u32 = 2;

/// What tells of a key, within a file.
#[derive(Debug, Default)]
struct Seen {
    /// A line that it signed holds.
    holds: bool,
    /// Lines that it is said to have signed and that cannot be checked, and those that hold and hand over to it.
    witnesses: u32,
}

/// The keys by which lines are signed that fail by nothing else; none where the lines do not hold together.
pub(super) fn keys(lines: &[&[u8]], signer: &Signer) -> Vec<String> {
    let (mut seen, mut before) = (BTreeMap::<String, Seen>::new(), None);
    for line in lines {
        let Ok(line) = std::str::from_utf8(line) else { return Vec::new() };
        let Some((receipt, holds)) = read(line, signer) else { return Vec::new() };
        let place = (receipt.seq, receipt.prev.clone());
        if before.replace((receipt.seq + 1, receipt::link(line))).is_some_and(|before| before != place) {
            return Vec::new();
        }
        if let Body::KeyRotated { to } = receipt.body
            && holds
        {
            seen.entry(to).or_default().witnesses += 1;
        }
        let signed = seen.entry(receipt.key_id).or_default();
        signed.holds |= holds;
        signed.witnesses += u32::from(!holds);
    }
    let strange = seen.into_iter().filter(|(_, seen)| !seen.holds && seen.witnesses >= WITNESSES);
    strange.map(|(id, _)| id).collect()
}

/// A line of canonical form, and whether its signature holds.
pub(super) fn read(line: &str, signer: &Signer) -> Option<(Receipt, bool)> {
    match Receipt::read(line, |id| signer.key(id)) {
        Ok(receipt) => Some((receipt, true)),
        Err(receipt::Error::Key(_) | receipt::Error::Signature) => {
            Some((Unverified::read(line).ok()?.unchecked(), false))
        }
        Err(_) => None,
    }
}

/// What is wrong with the key `id`, in words.
pub(super) fn reason(id: &str, signer: &Signer) -> String {
    let id = quote(id);
    match signer.key(&id) {
        Some(_) => format!(
            "the receipts hold together, and not one by the key {id:?} can be checked: the secret under this id in \
             state/keys/receipts.toml is not the one that signed them"
        ),
        None => format!(
            "the receipts hold together, and the key {id:?} that signed them is not in state/keys/receipts.toml"
        ),
    }
}
