//! The ledger under the pen of a station that is on air.

use std::{collections::VecDeque, sync::Arc};

use super::{
    super::{
        checkpoint::CheckpointBody,
        receipt::{Body, SigningKey},
        time::Time,
    },
    Error, Ledger, Signer,
    volume::Volume,
};

/// The ledger, begun with the first receipts where there is none.
#[derive(Debug)]
pub struct Desk {
    volume: Arc<dyn Volume>,
    signer: Signer,
    ledger: Option<Ledger>,
    /// What is to be said first of all.
    preface: Vec<Body>,
}

impl Desk {
    /// Goes on with `ledger`, if there is one. `damage` says in words what was wrong with the one before it.
    pub fn new(volume: Arc<dyn Volume>, signer: Signer, ledger: Option<Ledger>, damage: Option<String>) -> Self {
        Self { volume, signer, ledger, preface: damage.map(|reason| Body::Repair { reason }).into_iter().collect() }
    }

    /// Appends receipts and makes them durable; `constants` are those of a timeline that began since the last ones. On
    /// an error none of them counts, and the call may be made again.
    pub fn append(&mut self, constants: Option<&Body>, bodies: &[Body], now: Time) -> Result<(), Error> {
        let (ledger, constants) = match (&mut self.ledger, constants) {
            (Some(ledger), constants) => (ledger, constants),
            // A new ledger opens with its constants by itself.
            (none, Some(constants)) => {
                let begun = Ledger::create(self.volume.clone(), self.signer.clone(), constants.clone())?;
                (none.insert(begun), None)
            }
            // It could be read at start and not be written: by now perhaps it can.
            (none, None) => {
                let (ledger, _) = Ledger::open(self.volume.clone(), self.signer.clone(), now, &mut |_| {})?;
                (none.insert(ledger.ok_or_else(|| Error::NotBegun { path: self.volume.path("") })?), None)
            }
        };
        let batch: Vec<Body> = constants.into_iter().chain(&self.preface).chain(bodies).cloned().collect();
        ledger.append(&batch, now)?;
        self.preface.clear();
        Ok(())
    }

    /// From the next receipts on the first of these keys signs. False, and nothing changes, if the one that signs now is
    /// not among them.
    pub fn set_keys(&mut self, keys: Vec<SigningKey>) -> bool {
        let known = self.ledger.as_mut().is_none_or(|ledger| ledger.set_keys(keys.clone()));
        if known {
            self.signer.keys = keys;
        }
        known
    }

    /// The newest checkpoints, oldest first; `None` where there is no ledger yet.
    pub fn checkpoints(&self) -> Option<&VecDeque<CheckpointBody>> {
        self.ledger.as_ref().map(Ledger::checkpoints)
    }

    /// How many receipts there are; all of them are durable.
    pub fn size(&self) -> u64 {
        self.ledger.as_ref().map_or(0, Ledger::size)
    }

    /// The ledger, if it was begun.
    #[cfg(test)]
    pub(crate) const fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }
}
