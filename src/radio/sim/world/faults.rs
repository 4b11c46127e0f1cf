//! What happens to a station.

use super::super::super::timeline::Event;
use super::super::{
    catalogue::{self, LADDERS},
    chance::Chance,
    volume::FAILURES,
};
use super::{SECOND, World};

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fault {
    /// The operator changes the order.
    Edit,
    /// The process is killed.
    Crash,
    /// The wall clock is set.
    Step,
    /// The machine sleeps: the monotonic clock stops.
    Suspend,
    /// The store cannot be written for a while.
    StoreDown,
    /// The ledger cannot be written for a while.
    LedgerDown,
    /// Items cannot be read for a while.
    FetchDown,
    /// Everything takes ten seconds for a while.
    Storm,
    /// Blocks are gone, or come back.
    Blocks,
    /// All blocks of all items are gone for a while.
    AllBlocks,
    /// The filler is there, or is made anew of other pieces.
    Filler,
    /// No put of a name reaches anybody for a while.
    NetworkDown,
    /// The operator wants the dates of the wall clock.
    Reanchor,
    /// A bit of the ledger turns, which the next start may notice.
    Rot,
}

/// So far is the wall clock set, in milliseconds: by a leap second, by an NTP server, by hand.
pub(in super::super) const STEPS: [i64; 17] = [
    1_000,
    -1_000,
    1_500,
    -1_500,
    11_000,
    13_000,
    -13_000,
    45_000,
    -45_000,
    90_000,
    -90_000,
    3_600_000,
    -3_600_000,
    7_200_000,
    -7_200_000,
    86_400_000,
    -86_400_000,
];
pub(in super::super) const DOWNTIMES: [u64; 9] = [0, 1, 3, 17, 60, 240, 330, 1_200, 3 * 3_600];

/// How far somebody sets the wall clock: one of `STEPS`, or any span from a millisecond to three days, as often as not of
/// each size, in either direction.
pub(in super::super) fn some_step(chance: &mut Chance) -> i64 {
    if chance.one_in(2) { chance.pick(&STEPS) } else { any_step(chance) }
}

pub(in super::super) fn any_step(chance: &mut Chance) -> i64 {
    let most = 1_u64 << chance.between(1, 28);
    let millis = chance.between(most / 2, most) as i64;
    if chance.one_in(2) { millis } else { -millis }
}

impl World {
    pub(super) fn schedule_fault(&mut self) {
        let quiet = self.config.faults.is_empty();
        let pause = if quiet { u64::MAX / 4 } else { self.chance.around(self.config.fault_seconds * SECOND) + 1 };
        self.next_fault = self.now + pause;
    }

    pub(super) fn fault(&mut self) {
        if self.config.faults.is_empty() {
            return;
        }
        let long = self.chance.around(200 * SECOND);
        let until = self.now + long;
        let fault = self.chance.pick(self.config.faults);
        self.trace(|| format!("fault: {fault:?}"));
        match fault {
            Fault::Edit => self.edit(),
            Fault::Crash => self.crash(None),
            Fault::Step => {
                let step = some_step(&mut self.chance);
                self.step(step);
            }
            Fault::Suspend => {
                let asleep = self.chance.pick(&[5, 11, 13, 40, 200, 600, 7_200]) * SECOND;
                self.now += asleep;
                self.life().suspended += asleep;
                self.life().touched = true;
            }
            Fault::StoreDown => self.store_down_until = until,
            Fault::LedgerDown => {
                self.ledger_fails = self.chance.pick(&FAILURES);
                self.ledger_down_until = until;
            }
            Fault::FetchDown => self.fetch_down_until = until,
            Fault::Storm => self.storm_until = until,
            Fault::Blocks => self.turn_blocks(),
            Fault::AllBlocks => self.turn_all_blocks(),
            Fault::Filler => self.set_filler(),
            Fault::NetworkDown => self.names.go_down(until),
            Fault::Reanchor => self.reanchor(),
            Fault::Rot => self.records.spoiled |= self.records.disk.rot(&mut self.chance),
        }
    }

    /// The ledger cannot be written for so many seconds from now on.
    pub(in super::super) fn ledger_down(&mut self, seconds: u64) {
        self.ledger_down_until = self.now + seconds * SECOND;
    }

    /// Items cannot be read for so many seconds from now on.
    pub(in super::super) fn fetch_down(&mut self, seconds: u64) {
        self.fetch_down_until = self.now + seconds * SECOND;
    }

    /// No put of a name reaches anybody for so many seconds from now on.
    pub(in super::super) fn network_down(&mut self, seconds: u64) {
        self.names.go_down(self.now + seconds * SECOND);
    }

    /// The blocks of all items are gone, or come back.
    pub(in super::super) fn turn_all(&mut self) {
        self.turn_all_blocks();
    }

    /// The operator writes an order of the items at these paths.
    pub(in super::super) fn write_order(&mut self, paths: &[usize]) {
        self.paths = paths.to_vec();
        self.order = self.catalogue.order(&self.paths);
        self.accept();
    }

    /// The operator asks for the dates of the wall clock: that is durable until it was done.
    pub(in super::super) fn reanchor(&mut self) {
        self.observer.reanchoring = true;
        self.ask_for_reanchor();
    }

    /// The timeline is told of it.
    pub(super) fn ask_for_reanchor(&mut self) {
        let clocks = self.clocks();
        self.life().touched = true;
        self.life().timeline.handle(Event::Reanchor, clocks);
    }

    /// The process is killed here and starts again.
    pub(in super::super) fn crash_now(&mut self) {
        self.crash(None);
    }

    /// Somebody sets the wall clock.
    pub(in super::super) fn set_clock(&mut self, millis: i64) {
        self.step(millis);
    }

    pub(super) fn step(&mut self, millis: i64) {
        self.wall_offset += millis * 1_000;
        self.set_back |= millis < 0;
        self.blocks.step();
        if let Some(life) = &mut self.life {
            life.touched = true;
        }
    }

    fn edit(&mut self) {
        let paths = self.catalogue.edit(&self.paths, &mut self.chance);
        if self.config.ladder > 0 && paths.len() % 2 == 1 {
            self.ladder = (self.ladder + 1) % LADDERS.len();
        }
        self.write_order(&paths);
    }

    /// The timeline is told of the order.
    pub(super) fn accept(&mut self) {
        let (order, clocks) = (self.order.clone(), self.clocks());
        self.orders_due.push(order.sha256.clone());
        self.expect.accept(order.clone());
        self.life().timeline.handle(Event::Order(order), clocks);
    }

    pub(super) fn set_filler(&mut self) {
        let filler = catalogue::filler(self.chance.between(1, 7));
        self.filler = Some(filler.clone());
        self.fill();
    }

    pub(super) fn fill(&mut self) {
        let Some(filler) = self.filler.clone() else { return };
        let clocks = self.clocks();
        self.expect.fill_with(filler.clone());
        self.life().timeline.handle(Event::Filler(filler), clocks);
    }

    /// Some blocks of the items at hand go, or all come back.
    fn turn_blocks(&mut self) {
        if !self.bad.is_empty() && self.chance.one_in(2) {
            return self.bad.clear();
        }
        for _ in 0..self.chance.between(1, 4) {
            let path = self.chance.pick(&self.paths_or_any());
            let item = self.catalogue.item(&self.catalogue.entry(path).id);
            let gone = self.chance.pick(&item.segments).cid;
            self.bad.insert(gone);
            // Another rendition of the part before is gone, too.
            let item = self.made(&item.id);
            let before = item.segments.iter().take_while(|segment| segment.cid != gone).count().saturating_sub(1);
            self.bad.extend(item.rungs_of(before).iter().take(1).map(|rung| rung.cid));
        }
    }

    fn turn_all_blocks(&mut self) {
        if !self.bad.is_empty() {
            return self.bad.clear();
        }
        for path in 0..self.catalogue.paths() / 2 {
            let item = self.catalogue.item(&self.catalogue.entry(path).id);
            self.bad.extend(item.segments.iter().map(|segment| segment.cid));
            let item = self.made(&item.id);
            self.bad.extend(item.rungs.iter().flatten().map(|rung| rung.cid));
        }
    }

    fn paths_or_any(&self) -> Vec<usize> {
        if self.paths.is_empty() { vec![0] } else { self.paths.clone() }
    }

    /// For how long a station that crashed stays down, in seconds.
    pub(super) fn downtime(&mut self) -> u64 {
        if self.chance.one_in(2) { 0 } else { self.chance.pick(self.config.downtimes) }
    }

    /// While it is down, somebody may set the clock.
    pub(super) fn step_while_down(&mut self) {
        if self.config.faults.contains(&Fault::Step) && self.chance.one_in(4) {
            let step = some_step(&mut self.chance);
            self.step(step);
        }
    }
}
