//! The station's name in a network that is late, loses puts, lets them arrive in another order, and answers from memory.

use cid::Cid;

use super::{
    super::{
        naming::{NameAction, Naming, NamingRules},
        receipt::Body,
        segment::{RAW, cid_of},
        time::{Span, Time},
    },
    chance::Chance,
};

const RULES: NamingRules = NamingRules { interval: Span::seconds(12), lifetime: Span::seconds(7_200) };
const SECOND: u64 = 1_000_000;
/// A put that takes longer is given up by the station; it may arrive all the same.
const PUT_MAX: u64 = 60 * SECOND;

/// First and last number of a list.
type Numbers = (u64, u64);

/// A record on its way or at rest.
#[derive(Clone, Copy, Debug)]
struct Record {
    sequence: u64,
    list: Numbers,
}

#[derive(Debug)]
struct Put {
    record: Record,
    ends: u64,
    well: bool,
}

/// One name, the network that keeps its newest record, and what is checked of both.
#[derive(Debug)]
pub(super) struct Names {
    naming: Naming,
    wanted: Option<Numbers>,
    put: Option<Put>,
    /// Records that arrive at these times, in whatever order.
    under_way: Vec<(u64, Record)>,
    network: Option<Record>,
    /// The largest sequence that any life has put.
    used: u64,
    /// The largest sequence that is durably reserved.
    durable: u64,
    /// Whether this life does not know of all sequences that were put: some were not durable, and were not found.
    forgotten: bool,
    /// Sequences up to this one may come twice, since a life that did not know of them followed.
    twice: u64,
    /// Real time and wall clock of the last put.
    last_put: Option<(u64, Time)>,
    /// No put reaches anybody before this real time.
    down_until: u64,
    /// Whether all puts do, and soon.
    calm: bool,
    pub(super) puts: u64,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            naming: Naming::new(RULES, 0),
            wanted: None,
            put: None,
            under_way: Vec::new(),
            network: None,
            used: 0,
            durable: 0,
            forgotten: false,
            twice: 0,
            last_put: None,
            down_until: 0,
            calm: false,
            puts: 0,
        }
    }

    /// A process that knows of sequences up to `reserved` begins; it may be able to ask the network. Of a damaged ledger
    /// the last reservation may be what is damaged.
    pub(super) fn restart(&mut self, reserved: u64, damaged: bool, chance: &mut Chance) {
        self.naming = Naming::new(RULES, reserved);
        (self.wanted, self.last_put) = (None, None);
        if let Some(put) = self.put.take()
            && chance.one_in(2)
        {
            self.under_way.push((put.ends, put.record));
        }
        assert!(damaged || reserved >= self.durable, "a durable reservation is forgotten");
        self.durable = self.durable.min(reserved);
        // Without a ledger the station asks before it puts (contract §3).
        let asked = damaged || !chance.one_in(3);
        if let Some(record) = self.network.filter(|_| asked) {
            self.naming.raise(record.sequence);
        }
        let known = reserved.max(self.network.filter(|_| asked).map_or(0, |record| record.sequence));
        self.forgotten = known < self.used;
        if self.forgotten {
            self.twice = self.used;
        }
    }

    /// What was visible cannot be known to anybody: lists may step back.
    pub(super) fn forget(&mut self) {
        let put = self.put.iter_mut().map(|put| &mut put.record);
        let records = self.network.iter_mut().chain(put).chain(self.under_way.iter_mut().map(|(_, record)| record));
        records.for_each(|record| record.list = (0, 0));
    }

    /// No put reaches anybody for a while.
    pub(super) fn go_down(&mut self, until: u64) {
        self.down_until = until;
    }

    /// The network is back, at real time `now`: from now on puts reach it, and soon.
    pub(super) fn return_at(&mut self, now: u64) {
        (self.down_until, self.calm) = (0, true);
        self.put.iter_mut().for_each(|put| put.ends = put.ends.min(now + SECOND));
    }

    /// A list is visible at the station.
    pub(super) fn shown(&mut self, list: Numbers) {
        self.wanted = Some(list);
        self.naming.want(value(list));
    }

    /// Lets time pass. `reserve` makes a reservation durable and says whether it did.
    pub(super) fn step(&mut self, now: u64, wall: Time, chance: &mut Chance, mut reserve: impl FnMut(Body) -> bool) {
        self.arrive(now);
        if self.put.as_ref().is_some_and(|put| put.ends <= now)
            && let Some(put) = self.put.take()
        {
            if put.well {
                self.take(put.record);
            } else if chance.one_in(2) {
                // The station heard nothing of it; it arrives later than newer ones.
                self.under_way.push((now + chance.between(0, 10 * PUT_MAX), put.record));
            }
            self.naming.ended(put.well, wall);
        }
        let mut failed = false;
        loop {
            match self.naming.poll(wall) {
                NameAction::Wait(_) => return,
                NameAction::Reserve(until) => {
                    failed = !reserve(Body::IpnsReserved { until });
                    if failed {
                        self.naming.unreserved();
                    } else {
                        self.durable = self.durable.max(until);
                        self.naming.reserved(until);
                    }
                }
                NameAction::Put { value, sequence } => {
                    assert!(failed || sequence <= self.durable, "sequence {sequence} is not reserved");
                    failed = false;
                    self.begin(value, sequence, now, wall, chance);
                }
            }
        }
    }

    fn begin(&mut self, named: Cid, sequence: u64, now: u64, wall: Time, chance: &mut Chance) {
        assert!(self.put.is_none(), "two puts of one name");
        let list = self.wanted.expect("a put of nothing");
        assert_eq!(named, value(list), "not the newest list is put");
        assert!(self.forgotten || sequence > self.used, "sequence {sequence} comes after {}", self.used);
        if let Some((then, clock)) = self.last_put
            && wall == clock.plus(Span(now - then))
        {
            assert!(now - then >= RULES.interval.0, "two puts within {} µs", now - then);
        }
        self.last_put = Some((now, wall));
        self.used = self.used.max(sequence);
        self.puts += 1;
        let (took, well) = if self.calm {
            (SECOND, true)
        } else {
            let took = chance.pick(&[SECOND / 50, SECOND, 8 * SECOND, 40 * SECOND, PUT_MAX]);
            (took, now >= self.down_until && !chance.one_in(4))
        };
        self.put = Some(Put { record: Record { sequence, list }, ends: now + took, well });
    }

    fn arrive(&mut self, now: u64) {
        if now < self.down_until {
            return;
        }
        let (arrived, under_way) = self.under_way.drain(..).partition(|(at, _)| *at <= now);
        self.under_way = under_way;
        let arrived: Vec<(u64, Record)> = arrived;
        arrived.into_iter().for_each(|(_, record)| self.take(record));
    }

    /// The network keeps the record with the highest sequence, whatever comes when.
    fn take(&mut self, record: Record) {
        let Some(known) = self.network else {
            self.network = Some(record);
            return;
        };
        if record.sequence <= known.sequence {
            return;
        }
        let back = record.list.0 < known.list.0 || record.list.1 < known.list.1;
        assert!(
            !back || record.sequence <= self.twice,
            "the name steps back from {:?} to {:?}",
            known.list,
            record.list
        );
        self.network = Some(record);
    }

    /// Whether the network has a record that a former life put, was not told of and could not find: until the clock has
    /// passed it, it hides all others.
    pub(super) fn is_hidden(&self) -> bool {
        self.network.is_some_and(|record| record.sequence > self.naming.last_sequence())
    }

    /// The last number that whoever asks the network learns of.
    pub(super) fn public_end(&self) -> Option<u64> {
        self.network.map(|record| record.list.1)
    }
}

/// The block that holds a list with these numbers.
fn value(list: Numbers) -> Cid {
    cid_of(RAW, format!("{list:?}").as_bytes())
}
