//! Following another station: what is asked and when, which record wins, what is shown (a mirror's decisions).
//!
//! The same shape as the timeline: [`Follow::poll`] says what to do next, each action but [`Action::Show`] and
//! [`Action::Wait`] ends as exactly one [`Event`]. Retries are decided here and nowhere else. What is shown never goes
//! back: not to a record that another one replaces, not to a list that begins or ends before one that was shown, also
//! not over a restart, because nothing is shown before it is saved.

use std::{fmt, sync::Arc};

use cid::Cid;

use super::{
    time::{Span, Time},
    timeline::Clocks,
};
use watched::Watched;

mod about;
mod listing;
mod saved;
mod shelf;
mod watched;

pub use about::{About, LONGEST as ABOUT_BYTES_MAX};
pub use listing::{Listing, SEGMENTS_MAX};
pub use saved::{LONGEST as SAVED_BYTES_MAX, Saved, SavedName};
pub use shelf::{Block, Shelf, ShelfRules};

/// The pause after a first failure; it doubles up to [`RETRY_MAX`].
const RETRY: Span = Span::seconds(2);
const RETRY_MAX: Span = Span::seconds(60);

/// One of the two names of a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// Points to the root directory.
    Station,
    /// Points to the live list.
    Stream,
}

/// What a record says whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What the name points to, as it is written there.
    pub value: String,
    /// Of two records of one name the one with the higher sequence holds, then the one with the later validity.
    pub sequence: u64,
    /// After this time nobody accepts the record.
    pub validity: Time,
    /// How long the answer may be taken for the newest one.
    pub ttl: Span,
    /// The record, as it travels.
    pub bytes: Arc<[u8]>,
}

/// From where to where a list reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The number of its first segment.
    pub first: u64,
    /// The number of its last segment.
    pub last: u64,
    /// When its last segment has aired.
    pub ends: Time,
}

/// What was found behind a record: every block of it is stored, pinned and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The live list in the root, or the list itself.
    pub list: Extent,
    /// The stream name that a root tells; a list tells none.
    pub stream: Option<String>,
}

/// Why what a record points to cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not all of it could be had in time: to be tried again.
    Missing(String),
    /// It is not what it should be, and never will be.
    Wrong(String),
    /// The list is newer than the root: its segments are in a root to come.
    Ahead,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look the name up.
    Ask(Which),
    /// Fetch, verify and pin what the record points to; a list with the segments of the newest root.
    Gather(Which, Said),
    /// Make this durable.
    Save(Saved),
    /// Show what [`Follow::shown`] gives from now on.
    Show,
    /// Put the record into the network again, byte for byte.
    Put(Which, Said),
    /// Nothing before this time unless something happens.
    Wait(Time),
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The network was asked: the newest verified record, if anybody has one.
    Heard(Which, Option<Said>),
    /// Nobody could be asked.
    Unheard(Which, String),
    /// What the record points to was gathered, or why not.
    Gathered(Which, Result<Found, Fault>),
    /// It is durable, or why not.
    Saved(Result<(), String>),
    /// A record was put, well or not.
    Put(Which, bool),
}

/// Something wrong, for people: the topic and the words, which stay the same as long as the trouble does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it is about.
    pub topic: &'static str,
    /// What is wrong.
    pub text: String,
}

/// A station that is followed.
#[derive(Clone, Debug)]
pub struct Follow {
    station_name: String,
    stream_name: Option<String>,
    station: Watched,
    stream: Watched,
    gathering: bool,
    saving: bool,
    save_at: Time,
    save_failures: u32,
    unsaved: Option<String>,
    shows: bool,
}

impl Follow {
    /// Goes on from what was saved. `root` and `list` are its records, verified.
    pub fn new(saved: &Saved, root: Option<Said>, list: Option<Said>, now: Time) -> Self {
        let restored = |name: &Option<SavedName>, said: Option<Said>| Some((said?, name.as_ref()?.extent));
        Self {
            station_name: saved.station.clone(),
            stream_name: saved.stream.clone(),
            station: Watched::new(Which::Station, restored(&saved.root, root), now),
            stream: Watched::new(Which::Stream, restored(&saved.list, list), now),
            gathering: false,
            saving: false,
            save_at: now,
            save_failures: 0,
            unsaved: None,
            shows: false,
        }
    }

    /// What is to be done now.
    pub fn poll(&mut self, clocks: Clocks) -> Action {
        let now = clocks.station;
        if std::mem::take(&mut self.shows) && self.shown().is_some() {
            return Action::Show;
        }
        self.station.renew();
        self.stream.renew();
        if !self.saving && now >= self.save_at && (self.station.has_news() || self.stream.has_news()) {
            self.saving = true;
            return Action::Save(Saved {
                station: self.station_name.clone(),
                stream: self.stream_name.clone(),
                root: self.station.save(),
                list: self.stream.save(),
            });
        }
        if !self.gathering {
            let said = self.station.gather(now, None).map(|said| (Which::Station, said));
            let root = self.station.newest_rank();
            let said = said.or_else(|| Some((Which::Stream, self.stream.gather(now, Some(root?))?)));
            if let Some((which, said)) = said {
                self.gathering = true;
                return Action::Gather(which, said);
            }
        }
        let stream_known = self.stream_name.is_some();
        for which in [Which::Station, Which::Stream] {
            let watched = self.watched(which);
            if (which == Which::Station || stream_known) && watched.ask(now) {
                return Action::Ask(which);
            }
            if let Some(said) = watched.put(clocks) {
                return Action::Put(which, said);
            }
        }
        Action::Wait(self.wait())
    }

    fn wait(&self) -> Time {
        let root = self.station.newest_rank();
        let busy = self.gathering;
        let stream = self.stream_name.as_ref().and_then(|_| self.stream.due(busy, root));
        let save = (!self.saving && (self.station.has_news() || self.stream.has_news())).then_some(self.save_at);
        let next = self.station.due(busy, None).into_iter().chain(stream).chain(save).min();
        // Nothing is due only while something runs, whose end is an event.
        next.unwrap_or(Time(u64::MAX))
    }

    /// Takes what has happened.
    pub fn handle(&mut self, event: Event, clocks: Clocks) {
        let now = clocks.station;
        match event {
            Event::Heard(which, said) => self.watched(which).heard(said, clocks),
            Event::Unheard(which, why) => self.watched(which).unheard(why, now),
            Event::Put(which, well) => self.watched(which).was_put(well, now),
            Event::Gathered(which, outcome) => {
                self.gathering = false;
                self.gathered(which, outcome, now);
            }
            Event::Saved(outcome) => {
                self.saving = false;
                self.station.saved(outcome.is_ok(), now);
                self.stream.saved(outcome.is_ok(), now);
                self.save_failures = if outcome.is_ok() { 0 } else { self.save_failures + 1 };
                self.save_at = if outcome.is_ok() { now } else { now.plus(retry(self.save_failures)) };
                self.shows |= outcome.is_ok();
                self.unsaved = outcome.err();
            }
        }
    }

    fn gathered(&mut self, which: Which, outcome: Result<Found, Fault>, now: Time) {
        let outcome = match (which, outcome) {
            (Which::Station, Ok(found)) => self.known_stream(found),
            (_, outcome) => outcome,
        };
        if outcome == Err(Fault::Ahead) {
            // The root that goes with the list is on its way.
            self.station.hurry(now);
        }
        let root = self.station.newest_rank();
        let stream = outcome.as_ref().ok().and_then(|found| found.stream.clone());
        let outcome = outcome.map(|found| found.list);
        let watched = self.watched(which);
        if watched.gathered(outcome, root, now) {
            // What is good since a former run is saved already.
            let shows = !watched.has_news();
            self.shows |= shows;
            self.stream_name = self.stream_name.take().or(stream);
        }
    }

    /// A station keeps its names for life; a root that tells another stream name is not shown.
    fn known_stream(&self, found: Found) -> Result<Found, Fault> {
        match (&self.stream_name, &found.stream) {
            (_, None) => Err(Fault::Wrong("it tells no stream name".into())),
            (Some(known), Some(told)) if known != told => {
                Err(Fault::Wrong(format!("it tells another stream name, {told}, than before, {known}")))
            }
            _ => Ok(found),
        }
    }

    /// The records of station and stream name that are shown; none before both are verified.
    pub fn shown(&self) -> Option<(&Said, &Said)> {
        Some((self.station.served()?, self.stream.served()?))
    }

    /// The newest good record of a name: shown, or to be shown as soon as it is saved.
    pub fn newest(&self, which: Which) -> Option<&Said> {
        match which {
            Which::Station => self.station.newest(),
            Which::Stream => self.stream.newest(),
        }
    }

    /// The stream name, once a root has told it.
    pub fn stream_name(&self) -> Option<&str> {
        self.stream_name.as_deref()
    }

    /// When the network last answered with a record of the name, by the station clock.
    pub fn heard_at(&self, which: Which) -> Option<Time> {
        match which {
            Which::Station => self.station.heard_at(),
            Which::Stream => self.stream.heard_at(),
        }
    }

    /// How what is shown stands, in a word: `live`, `quiet`, `expired` or `run_out`.
    pub fn standing(&self, clocks: Clocks) -> &'static str {
        if self.stream.has_run_out(clocks) {
            "run_out"
        } else if self.station.has_expired(clocks) || self.stream.has_expired(clocks) {
            "expired"
        } else if self.stream.is_quiet(clocks) {
            "quiet"
        } else {
            "live"
        }
    }

    /// Everything that is wrong; empty when all is well.
    pub fn troubles(&self, clocks: Clocks) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        self.station.troubles(clocks, &mut troubles);
        if self.stream_name.is_some() {
            self.stream.troubles(clocks, &mut troubles);
        }
        if let Some(why) = &self.unsaved {
            let text = format!("what was verified cannot be saved and is not shown: {why}");
            troubles.push(Trouble { topic: "disk", text });
        }
        troubles
    }

    fn watched(&mut self, which: Which) -> &mut Watched {
        match which {
            Which::Station => &mut self.station,
            Which::Stream => &mut self.stream,
        }
    }
}

impl Said {
    /// What decides between two records of one name.
    pub fn rank(&self) -> (u64, Time) {
        (self.sequence, self.validity)
    }

    /// The block that it points to: nothing but `/ipfs/<cid>` is followed.
    pub fn block(&self) -> Option<Cid> {
        self.value.strip_prefix("/ipfs/")?.parse().ok()
    }

    /// Whether it has not expired at wall time `now`.
    pub fn holds_at(&self, now: Time) -> bool {
        now <= self.validity
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Station => "station name",
            Self::Stream => "stream name",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(why) | Self::Wrong(why) => f.write_str(why),
            Self::Ahead => f.write_str("the list is newer than the root"),
        }
    }
}

/// The pause after so many failures in a row.
fn retry(failures: u32) -> Span {
    Span((RETRY.0 << failures.saturating_sub(1).min(16)).min(RETRY_MAX.0))
}

#[cfg(test)]
mod tests;
