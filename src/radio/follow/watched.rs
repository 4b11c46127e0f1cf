//! One of the two names that are followed: its look-ups, its records, its puts.

use super::{Extent, Fault, Said, SavedName, Trouble, Which, retry};
use crate::radio::{
    time::{Span, Time},
    timeline::Clocks,
};

/// However short the TTL, a name is not asked for more often.
const POLL_MIN: Span = Span::seconds(2);
/// However long the TTL, a name is asked for as often as this.
const POLL_MAX: Span = Span::seconds(600);
/// A record that is not replaced is put again after it: servers of the DHT come and go.
const PUT_AGAIN: Span = Span::seconds(600);
/// The least time between two puts of a name.
const PUT_LEAST: Span = Span::seconds(60);
/// Nothing new for so many TTLs and a minute is told.
const QUIET_POLLS: u64 = 3;
const QUIET: Span = Span::seconds(60);

/// What decides between records: sequence, then validity.
type Rank = (u64, Time);

/// A record whose content is here, verified.
#[derive(Clone, Debug)]
struct Good {
    said: Said,
    list: Extent,
}

/// A record whose content is to be gathered.
#[derive(Clone, Debug)]
struct Candidate {
    said: Said,
    /// When records of this name began to wait without one of them being shown.
    since: Time,
    not_before: Time,
    failures: u32,
    /// The root that was too old for it.
    ahead_of: Option<Rank>,
    why: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Watched {
    which: Which,
    /// What the state file says: nothing older is ever shown.
    durable: Option<Good>,
    /// Of a former run, not yet looked at: shown first, since it needs nobody else.
    restored: Option<Said>,
    candidate: Option<Candidate>,
    gathering: Option<Candidate>,
    /// Gathered, to be saved.
    staged: Option<Good>,
    /// Being saved.
    saving: Option<Good>,
    served: Option<Good>,
    moved_at: Time,
    refused: Option<(Rank, String)>,
    /// The validity of the record that was heard last, where it was over.
    expired: Option<Time>,
    asking: bool,
    ask_at: Time,
    failures: u32,
    silence: Option<String>,
    heard_at: Option<Time>,
    putting: bool,
    put_at: Time,
    last_put: Option<Time>,
}

impl Watched {
    pub(super) fn new(which: Which, restored: Option<(Said, Extent)>, now: Time) -> Self {
        Self {
            which,
            restored: restored.as_ref().map(|(said, _)| said.clone()),
            durable: restored.map(|(said, list)| Good { said, list }),
            candidate: None,
            gathering: None,
            staged: None,
            saving: None,
            served: None,
            moved_at: now,
            refused: None,
            expired: None,
            asking: false,
            ask_at: now,
            failures: 0,
            silence: None,
            heard_at: None,
            putting: false,
            put_at: now.plus(PUT_AGAIN),
            last_put: None,
        }
    }

    // Look-ups.

    /// Whether it is to be asked for now; then it counts as asked for.
    pub(super) fn ask(&mut self, now: Time) -> bool {
        let asks = !self.asking && now >= self.ask_at;
        self.asking |= asks;
        asks
    }

    /// Asks again soon.
    pub(super) fn hurry(&mut self, now: Time) {
        self.ask_at = self.ask_at.min(now.plus(POLL_MIN));
    }

    pub(super) fn unheard(&mut self, why: String, now: Time) {
        self.asking = false;
        self.failures += 1;
        self.ask_at = now.plus(retry(self.failures));
        self.silence = Some(why);
    }

    pub(super) fn heard(&mut self, said: Option<Said>, clocks: Clocks) {
        let now = clocks.station;
        let Some(said) = said else {
            self.is_behind(now);
            return self.unheard("no record of it is in the network".into(), now);
        };
        self.asking = false;
        self.failures = 0;
        self.silence = None;
        self.heard_at = Some(now);
        self.ask_at = now.plus(poll(said.ttl));
        if self.served.as_ref().is_some_and(|served| said.rank() < served.said.rank()) {
            self.is_behind(now);
        }
        self.expired = (!said.holds_at(clocks.wall)).then_some(said.validity);
        if self.expired.is_none() && Some(said.rank()) > self.highest() {
            self.consider(said, now);
        }
    }

    /// A record that is newer than all before it.
    fn consider(&mut self, said: Said, now: Time) {
        // Where roots come slower than lists, a list that gave way to a newer one would never have its root.
        if self.candidate.as_ref().is_some_and(|waiting| waiting.ahead_of.is_some()) {
            return;
        }
        let since = self.candidate.take().map_or(now, |before| before.since);
        self.candidate = Some(Candidate { since, ..Candidate::new(said, now) });
    }

    fn highest(&self) -> Option<Rank> {
        let good = [&self.durable, &self.staged, &self.saving].into_iter().flatten().map(|good| good.said.rank());
        let open = [&self.candidate, &self.gathering].into_iter().flatten().map(|open| open.said.rank());
        good.chain(open).chain(self.refused.iter().map(|(rank, _)| *rank)).max()
    }

    // What records point to.

    /// A newer record of the content that is shown needs nothing gathered, only to be saved.
    pub(super) fn renew(&mut self) {
        let Some(served) = self.served.as_ref().filter(|_| self.staged.is_none() && self.saving.is_none()) else {
            return;
        };
        if let Some(candidate) = self.candidate.take_if(|candidate| candidate.said.value == served.said.value) {
            self.staged = Some(Good { said: candidate.said, list: served.list });
        }
    }

    /// The record whose content is to be gathered now; then it counts as being gathered. `root`: the newest root, for
    /// a list, which needs one.
    pub(super) fn gather(&mut self, now: Time, root: Option<Rank>) -> Option<Said> {
        if self.staged.is_some() || self.saving.is_some() {
            return None;
        }
        if let Some(said) = self.restored.take() {
            self.gathering = Some(Candidate::new(said.clone(), now));
            return Some(said);
        }
        let candidate = self.candidate.take_if(|candidate| candidate.is_due(now, root))?;
        let said = candidate.said.clone();
        self.gathering = Some(candidate);
        Some(said)
    }

    /// What came of it. True if it is good: shown already if it was shown in a former run, else to be saved.
    pub(super) fn gathered(&mut self, outcome: Result<Extent, Fault>, root: Option<Rank>, now: Time) -> bool {
        let Some(tried) = self.gathering.take() else { return false };
        if tried.ahead_of.is_some() {
            // What was not considered meanwhile.
            self.hurry(now);
        }
        let durable = self.durable.as_ref().filter(|durable| durable.said.rank() == tried.said.rank());
        match outcome.and_then(|list| self.goes_on(list)) {
            Ok(list) => {
                if durable.is_some() {
                    self.served = self.durable.clone();
                    self.moved_at = now;
                } else {
                    self.staged = Some(Good { said: tried.said, list });
                }
                return true;
            }
            Err(Fault::Wrong(why)) => self.refused = Some((tried.said.rank(), why)),
            Err(Fault::Missing(why)) => {
                let (failures, why) = (tried.failures + 1, Some(why));
                let not_before = now.plus(retry(failures));
                self.postpone(Candidate { failures, not_before, ahead_of: None, why, ..tried });
            }
            // One that came meanwhile is ahead of that root as well.
            Err(Fault::Ahead) => self.candidate = Some(Candidate { ahead_of: root, ..tried }),
        }
        false
    }

    /// A list never goes back behind one that was shown.
    fn goes_on(&self, list: Extent) -> Result<Extent, Fault> {
        let Some(durable) = &self.durable else { return Ok(list) };
        let before = durable.list;
        if list.first < before.first || list.last < before.last {
            return Err(Fault::Wrong(format!(
                "its list goes back from {}–{} to {}–{}",
                before.first, before.last, list.first, list.last
            )));
        }
        Ok(list)
    }

    fn postpone(&mut self, tried: Candidate) {
        match &mut self.candidate {
            Some(newer) => newer.since = newer.since.min(tried.since),
            None => self.candidate = Some(tried),
        }
    }

    // What is good.

    /// Whether something good is to be saved.
    pub(super) const fn has_news(&self) -> bool {
        self.staged.is_some()
    }

    /// What the state file is to say; it counts as being saved.
    pub(super) fn save(&mut self) -> Option<SavedName> {
        if let Some(staged) = self.staged.take() {
            self.saving = Some(staged);
        }
        let good = self.saving.as_ref().or(self.durable.as_ref())?;
        Some(SavedName { record: good.said.bytes.clone(), extent: good.list })
    }

    pub(super) fn saved(&mut self, well: bool, now: Time) {
        let Some(saved) = self.saving.take() else { return };
        if !well {
            self.staged.get_or_insert(saved);
            return;
        }
        self.durable = Some(saved.clone());
        self.served = Some(saved);
        self.moved_at = now;
        self.put_at = now.plus(PUT_AGAIN);
    }

    pub(super) fn served(&self) -> Option<&Said> {
        self.served.as_ref().map(|served| &served.said)
    }

    /// The newest that was gathered in this run.
    pub(super) fn newest(&self) -> Option<&Said> {
        let good = self.staged.as_ref().or(self.saving.as_ref()).or(self.served.as_ref());
        good.map(|good| &good.said)
    }

    pub(super) fn newest_rank(&self) -> Option<Rank> {
        self.newest().map(Said::rank)
    }

    // Puts.

    /// The network holds nothing or something older: it may need ours.
    fn is_behind(&mut self, now: Time) {
        let earliest = self.last_put.map_or(now, |last| last.plus(PUT_LEAST));
        self.put_at = self.put_at.min(earliest);
    }

    /// The record to be put now; then it counts as being put. One that has expired nobody would take.
    pub(super) fn put(&mut self, clocks: Clocks) -> Option<Said> {
        let now = clocks.station;
        let served = self.served.as_ref().filter(|_| !self.putting && now >= self.put_at)?;
        if !served.said.holds_at(clocks.wall) {
            self.put_at = now.plus(PUT_AGAIN);
            return None;
        }
        self.putting = true;
        self.last_put = Some(now);
        Some(served.said.clone())
    }

    pub(super) fn was_put(&mut self, well: bool, now: Time) {
        self.putting = false;
        self.put_at = now.plus(if well { PUT_AGAIN } else { PUT_LEAST });
    }

    // Time.

    /// When something is next to be done for this name. `busy`: something is being gathered.
    pub(super) fn due(&self, busy: bool, root: Option<Rank>) -> Option<Time> {
        let ask = (!self.asking).then_some(self.ask_at);
        let put = (self.served.is_some() && !self.putting).then_some(self.put_at);
        let idle = !busy && self.staged.is_none() && self.saving.is_none() && self.may_gather(root);
        let restored = self.restored.as_ref().map(|_| Time(0));
        let open = self.candidate.as_ref().filter(|candidate| candidate.ahead_of.is_none_or(|old| Some(old) != root));
        let gather = restored.or_else(|| open.map(|candidate| candidate.not_before)).filter(|_| idle);
        [ask, put, gather].into_iter().flatten().min()
    }

    pub(super) const fn heard_at(&self) -> Option<Time> {
        self.heard_at
    }

    // Troubles.

    pub(super) fn troubles(&self, clocks: Clocks, troubles: &mut Vec<Trouble>) {
        let which = self.which;
        let topic = match which {
            Which::Station => "station",
            Which::Stream => "stream",
        };
        let mut say = |text: String| troubles.push(Trouble { topic, text });
        if let Some(why) = self.silence.as_ref().filter(|_| self.failures >= 2) {
            say(format!("the {which} is not resolved: {why}"));
        }
        let served = self.served.as_ref();
        if let Some(over) = served.map(|served| &served.said).filter(|said| !said.holds_at(clocks.wall)) {
            say(format!("the record of the {which} expired at {}; the last verified state is served", over.validity));
        } else if let Some(validity) = self.expired {
            say(format!("the newest record of the {which} in the network expired at {validity} and is not taken"));
        }
        let newest = self.newest_rank().max(self.durable.as_ref().map(|durable| durable.said.rank()));
        if let Some((rank, why)) = self.refused.as_ref().filter(|(rank, _)| Some(*rank) >= newest) {
            let stays = if served.is_some() { "; the last good one stays" } else { "" };
            say(format!("record {} of the {which} is refused: {why}{stays}", rank.0));
        }
        for open in [&self.candidate, &self.gathering].into_iter().flatten() {
            if let Some(why) = open.why.as_ref().filter(|_| open.failures >= 2) {
                say(format!("what the {which} points to cannot be had: {why}"));
            }
            if open.ahead_of.is_some() && clocks.station > open.since.plus(quiet(open.said.ttl)) {
                say(format!("the list under the {which} names segments that no root holds"));
            }
        }
        if let Some(served) = served
            && which == Which::Stream
            && (self.is_quiet(clocks) || self.has_run_out(clocks))
        {
            let runs = if self.has_run_out(clocks) { "ran" } else { "runs" };
            let (since, ends) = (self.moved_at, served.list.ends);
            say(format!("nothing new from the station since {since}; its list {runs} out at {ends}"));
        }
    }

    pub(super) fn has_expired(&self, clocks: Clocks) -> bool {
        self.served.as_ref().is_some_and(|served| !served.said.holds_at(clocks.wall))
    }

    pub(super) fn has_run_out(&self, clocks: Clocks) -> bool {
        self.served.as_ref().is_some_and(|served| served.list.ends < clocks.wall)
    }

    /// Whether nothing new has come for longer than that is usual.
    pub(super) fn is_quiet(&self, clocks: Clocks) -> bool {
        let served = self.served.as_ref();
        served.is_some_and(|served| clocks.station > self.moved_at.plus(quiet(served.said.ttl)))
    }

    fn may_gather(&self, root: Option<Rank>) -> bool {
        self.which == Which::Station || root.is_some()
    }
}

impl Candidate {
    const fn new(said: Said, now: Time) -> Self {
        Self { said, since: now, not_before: now, failures: 0, ahead_of: None, why: None }
    }

    fn is_due(&self, now: Time, root: Option<Rank>) -> bool {
        now >= self.not_before && self.ahead_of.is_none_or(|old| Some(old) != root)
    }
}

/// How long an answer is taken for the newest one.
fn poll(ttl: Span) -> Span {
    ttl.clamp(POLL_MIN, POLL_MAX)
}

/// How long nothing new is no trouble yet.
fn quiet(ttl: Span) -> Span {
    Span(QUIET_POLLS * poll(ttl).0 + QUIET.0)
}
