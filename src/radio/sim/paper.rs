//! The real ledger on a simulated disk, and what must be true of it whatever happens to either.

use std::sync::Arc;

use super::{
    super::{
        audit::{Begin, Outcome, airing::Airing},
        checkpoint::{Notary, tests::Seal},
        history::History,
        ledger::{Ledger, Signer, desk::Desk, recall::recall, volume::Volume},
        receipt::{Body, GENESIS, Receipt, SigningKey},
        segment::Kind,
        time::{Span, Time},
    },
    blocks::Blocks,
    chance::Chance,
    expect::Begun,
    volume::Disk,
};

/// What a ledger is like in a world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    /// The size in bytes at which a file is sealed.
    pub(super) room: u64,
    /// Whether there are checkpoints.
    pub(super) notary: bool,
    /// How far back a start reads, at least.
    pub(super) back: Span,
}

/// More bytes than any window and any item of these worlds fills with receipts. What lies further back goes.
const KEPT_BYTES: usize = 16 << 20;
/// No receipt takes as many calls.
const CALLS: usize = 10;

/// A place in the chain: the number of the next receipt, and the hash of the line before it.
pub(super) type Mark = (u64, Option<String>);

#[derive(Debug)]
pub(super) struct Records {
    pub(super) disk: Disk,
    volume: Arc<dyn Volume>,
    signer: Signer,
    required: bool,
    back: Span,
    desk: Option<Desk>,
    /// Constants of a timeline that begins.
    constants: Option<Body>,
    /// Behind the last receipt that the station was told is durable.
    told: Mark,
    /// Behind the last receipt that must be there after a crash.
    durable: Mark,
    /// What an audit goes by: no receipt may break a rule of the air, whatever happened before it.
    airing: Airing,
    /// Whether something was damaged that was durable, or cannot be read.
    pub(super) spoiled: bool,
    pub(super) counts: Counts,
}

/// How much happened, so that a test can tell that it tested something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) appended: u64,
    pub(super) refused: u64,
    pub(super) torn: u64,
    pub(super) salvaged: u64,
    pub(super) put_aside: u64,
    pub(super) not_started: u64,
    pub(super) unwritable: u64,
}

/// What a start finds.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) history: History,
    /// What was begun last, of the order and of the filler.
    pub(super) begun: [Begun; 2],
    /// Receipts that are there although the station was never told so.
    pub(super) untold: Vec<Body>,
    /// Whether the ledger was put aside.
    pub(super) damaged: bool,
    /// Whether receipts are gone that were read when the ledger could not be written.
    pub(super) lost: bool,
}

/// What this receipt shows on air: of the order, or of the filler.
fn note_begun(receipt: &Receipt, begun: &mut [Begun; 2]) {
    if let Body::Segment(body) = &receipt.body {
        let filler = usize::from(body.item_kind == Kind::Filler);
        begun[filler] = Some((body.entry.clone(), body.position as usize, body.order.clone()));
    }
}

fn mark(ledger: &Ledger) -> Mark {
    let (next, prev) = ledger.tail();
    (next, Some(prev))
}

fn genesis() -> Mark {
    (0, Some(GENESIS.into()))
}

impl Records {
    pub(super) fn new(paper: Paper, required: bool, seed: u64) -> Self {
        let disk = Disk::new(paper.room, seed);
        let keys = vec![SigningKey::derive("r1", b"a secret for simulations")];
        let notary: Option<Arc<dyn Notary>> = if paper.notary { Some(Arc::new(Seal)) } else { None };
        let signer = Signer { keys, node_id: "12D3KooWsimulated".into(), stream: "main".into(), notary };
        Self {
            volume: Arc::new(disk.clone()),
            disk,
            signer,
            required,
            back: paper.back,
            desk: None,
            constants: None,
            told: genesis(),
            durable: genesis(),
            airing: Airing::default(),
            spoiled: false,
            counts: Counts::default(),
        }
    }

    /// The next receipts are of a timeline that begins with these constants.
    pub(super) fn open(&mut self, constants: Body) {
        self.constants = Some(constants);
    }

    /// Appends receipts and makes them durable.
    pub(super) fn append(&mut self, bodies: &[Body], now: Time) -> Result<(), String> {
        let done = self.write(bodies, now);
        if done.is_ok() {
            let constants = self.constants.take();
            constants.iter().chain(bodies).for_each(|body| self.audit(body));
            self.told = self.durable.clone();
            self.counts.appended += 1;
            if self.counts.appended.is_multiple_of(1_024) {
                self.disk.keep(KEPT_BYTES);
            }
        }
        self.counts.refused += u64::from(done.is_err());
        done
    }

    fn write(&mut self, bodies: &[Body], now: Time) -> Result<(), String> {
        let desk = self.desk.as_mut().expect("the process runs");
        desk.append(self.constants.as_ref(), bodies, now).map_err(|error| error.to_string())?;
        self.durable = mark(desk.ledger().expect("something was appended"));
        Ok(())
    }

    /// Behind the last receipt that the station was told is durable.
    pub(super) const fn told(&self) -> &Mark {
        &self.told
    }

    fn audit(&mut self, body: &Body) {
        if let Err(why) = self.airing.take(body) {
            panic!("receipt {}: {why}: {body:?}", self.told.0);
        }
    }

    /// How often somebody was told that something failed.
    pub(super) fn troubles(&self) -> u64 {
        let Counts { refused, put_aside, not_started, unwritable, .. } = self.counts;
        refused + put_aside + not_started + unwritable + self.disk.warnings().len() as u64
    }

    /// The process is killed, or the power fails, while it appends these, if any.
    pub(super) fn crash(&mut self, bodies: Option<&[Body]>, now: Time, chance: &mut Chance) {
        if let Some(bodies) = bodies {
            self.disk.kill_after(chance.below(CALLS) as u64);
            let _ = self.write(bodies, now);
        }
        (self.desk, self.constants) = (None, None);
        let power = !chance.one_in(4);
        self.disk.end_process();
        if power {
            self.disk.crash(chance);
        }
    }

    /// A process starts and reads what is there. `None` if it refuses to go on air.
    pub(super) fn recall(&mut self, now: Time, blocks: &mut Blocks) -> Option<Back> {
        let (mut untold, told, mut reaches, mut begun) = (Vec::new(), self.told.clone(), false, [None, None]);
        let (mut end, mut changed) = (0, false);
        let since = now.minus(self.back);
        let found = recall(&self.volume, &self.signer, since, now, self.required, &mut |receipt: &Receipt, kept| {
            kept.iter().for_each(|(kept, _)| blocks.read(kept));
            if receipt.body.goes_back() {
                blocks.reanchored(receipt.produced_at);
            }
            note_begun(receipt, &mut begun);
            reaches |= receipt.seq < told.0;
            let follows = told.1.as_ref().is_none_or(|link| *link == receipt.prev);
            changed |= receipt.seq == told.0 && !follows;
            end = receipt.seq + 1;
            if receipt.seq >= told.0 {
                untold.push(receipt.body.clone());
            }
        });
        let Ok(found) = found else {
            assert!(self.required, "a station that can do without receipts does not start");
            self.counts.not_started += 1;
            return None;
        };
        let (damaged, mut lost) = (found.damage.is_some(), false);
        // What is not gone on from may hold another chain as well: one that could not be moved out of the way.
        assert!(damaged || !changed, "receipt {} or one before it changed", told.0.saturating_sub(1));
        assert!(!damaged || self.spoiled, "a ledger that is whole was put aside: {:?}", found.damage);
        self.counts.torn += u64::from(found.torn_bytes > 0);
        if damaged {
            self.begin_anew();
        } else {
            let tail = found.ledger.as_ref().map(mark);
            if let Some(tail) = &tail {
                let whole = tail.0 > self.durable.0 || *tail == self.durable;
                assert!(whole, "receipts are lost: the ledger ends at {tail:?}, not at {:?}", self.durable);
            }
            assert!(tail.is_some() || self.durable.0 == 0 || found.unwritable.is_some(), "the ledger is gone");
            assert!(reaches || self.told.0 == 0, "nothing was read of what is known");
            self.counts.salvaged += untold.len() as u64;
            untold.iter().for_each(|body| self.audit(body));
            self.counts.unwritable += u64::from(found.unwritable.is_some());
            lost = end < self.told.0;
            // What was read of a ledger that cannot be written may be in memory only.
            self.told = tail.clone().unwrap_or((end, None));
            self.durable = tail.unwrap_or_else(|| self.durable.clone());
        }
        self.desk = Some(Desk::new(self.volume.clone(), self.signer.clone(), found.ledger, found.damage));
        Some(Back { history: found.history, begun, untold, damaged, lost })
    }

    /// What is there of a ledger with checkpoints holds.
    pub(super) fn check_whole(&self) {
        if self.signer.notary.is_some() && !self.spoiled {
            let outcome = self.disk.audited(&self.signer.keys, Begin::Anywhere);
            assert!(!matches!(outcome, Outcome::Broken(..)), "{outcome:?}");
        }
    }

    fn begin_anew(&mut self) {
        (self.told, self.durable, self.airing) = (genesis(), genesis(), Airing::default());
        // One that cannot be moved stays where it is.
        self.spoiled = !self.disk.content().is_empty();
        self.counts.put_aside += 1;
    }

    /// The operator puts the ledger aside, since more was on air than it knows of.
    pub(super) fn put_aside(&mut self, now: Time) {
        self.disk.set_down(None);
        Ledger::quarantine(&*self.volume, now).expect("a folder can be renamed");
        self.begin_anew();
        let why = Some("segments were on air without receipts".to_owned());
        self.desk = Some(Desk::new(self.volume.clone(), self.signer.clone(), None, why));
    }
}
