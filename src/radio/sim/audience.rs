//! Listeners behind gateways that serve lists of any age: they start `HOLD-BACK` before the end of the list they get
//! and play in real time. All positions are samples on the axis of all segments put end to end.

use std::collections::VecDeque;

use super::{super::rules::Rules, chance::Chance};

/// A list as a player sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    /// Real time at which it became visible, in samples.
    pub(super) at: i64,
    /// Where now was then.
    pub(super) now: i64,
    pub(super) first: i64,
    pub(super) end: i64,
    pub(super) hold_back: i64,
}

#[derive(Debug)]
struct Listener {
    /// The oldest list its gateway may serve, in samples.
    staleness: i64,
    started: i64,
    /// Where it began.
    from: i64,
    /// What it got first.
    list: Version,
    /// How far the station fell behind real time, or ran ahead of it, since.
    deficit: i64,
    surplus: i64,
    until: i64,
}

#[derive(Debug, Default)]
pub(super) struct Audience {
    versions: VecDeque<Version>,
    listeners: Vec<Listener>,
    pub(super) checks: u64,
    /// Listeners that ran dry because the station was away for longer than anybody promised.
    pub(super) dry: u64,
}

const SIZE: usize = 6;

impl Audience {
    /// A list becomes visible.
    pub(super) fn shown(&mut self, next: Version, rules: &Rules, chance: &mut Chance) {
        let promised = promised(rules);
        if let Some(before) = self.versions.back().copied() {
            let (checks, dry) = (&mut self.checks, &mut self.dry);
            self.listeners.retain_mut(|listener| {
                *checks += 1;
                let goes_on = listener.hears(before, next, rules, promised);
                *dry += u64::from(!goes_on);
                goes_on && next.at < listener.until
            });
        }
        self.versions.push_back(next);
        while self.versions.len() > 1 && self.versions[1].at < next.at - promised {
            self.versions.pop_front();
        }
        if self.listeners.len() < SIZE && chance.one_in(3) {
            self.join(next.at, rules, promised, chance);
        }
    }

    fn join(&mut self, now: i64, rules: &Rules, promised: i64, chance: &mut Chance) {
        let staleness = if chance.one_in(2) { promised } else { chance.between(0, promised as u64) as i64 };
        let seen = now - chance.between(0, staleness as u64) as i64;
        let Some(list) = self.versions.iter().rev().find(|version| version.at <= seen) else { return };
        let hours = i64::from(rules.rate) * 3_600;
        self.listeners.push(Listener {
            staleness,
            started: now,
            from: (list.end - list.hold_back).max(list.first),
            list: *list,
            deficit: 0,
            surplus: 0,
            until: now + chance.between(60, 3 * 3_600) as i64 * hours / 3_600,
        });
    }

    /// Numbers began anew after receipts were lost: nobody can go on listening.
    pub(super) fn clear(&mut self) {
        self.versions.clear();
        self.listeners.clear();
    }
}

/// S = min(LA + TD, W − 5·TD), contract §3.
pub(super) fn promised(rules: &Rules) -> i64 {
    let target = rules.target() as i64;
    (rules.look_ahead() as i64 + target).min(rules.window() as i64 - 5 * target).max(0)
}

impl Listener {
    /// `next` becomes visible after `before`: until its gateway serves `next`, the listener lives on `before`.
    fn hears(&mut self, before: Version, next: Version, rules: &Rules, promised: i64) -> bool {
        let ideal = self.list.now + (next.at - self.list.at) + rules.look_ahead() as i64;
        self.deficit = self.deficit.max(ideal - before.end);
        self.surplus = self.surplus.max(next.now - self.list.now - (next.at - self.list.at));
        let heard = |at: i64| self.from + at - self.started;
        if heard(next.at + self.staleness) > before.end {
            let excused = self.staleness + self.deficit > promised;
            assert!(excused, "a listener of lists at most {} samples old runs dry", self.staleness);
            return false;
        }
        if heard(next.at) < next.first {
            let short = (self.list.now + rules.look_ahead() as i64 - self.list.end).max(0);
            // Where nothing new came for long, it began on a list older than its gateway alone would have made it.
            let old = (self.started - self.list.at - rules.target() as i64).max(self.staleness);
            let excused = old + self.surplus + short > promised;
            assert!(excused, "a listener falls out of the window");
            return false;
        }
        true
    }
}
