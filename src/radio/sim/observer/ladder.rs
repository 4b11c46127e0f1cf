//! Checks of the lists of rungs, and of the master list, against the index and the list of the default rung.

use std::collections::BTreeSet;

use cid::Cid;

use super::super::{
    super::{ladder, receipt::RenditionBody, timeline::Snapshot},
    list,
};
use super::{Frozen, Observer};

/// A rung keeps its list for so long behind its last part.
const KEPT_SECONDS: i64 = 24 * 3_600;

impl Frozen {
    /// What the list of a rung must name.
    fn in_rung(&self, bitrate: u32) -> Cid {
        let of = self.rungs.iter().find(|one| one.bitrate == u64::from(bitrate));
        of.map_or(self.cid, |one| one.cid.0)
    }
}

impl Observer {
    /// Each rung of which anything aired within a day has a list. That is looked at if `all` is to be.
    pub(super) fn check_ladder(&self, snapshot: &Snapshot, all: bool) {
        let told: BTreeSet<u64> = snapshot.ladder.bitrates().map(u64::from).collect();
        let bitrates = |one: &Frozen| one.rungs.iter().map(|one| one.bitrate).collect::<Vec<_>>();
        assert!(told.is_subset(&self.rungs), "rungs {told:?} that no segment has");
        if self.rungs.is_empty() || !all {
            return;
        }
        let last = self.last().expect("something is listed");
        let kept = KEPT_SECONDS * i64::from(self.rules.rate);
        // Dates that went back make it longer for some.
        let newest = (self.base..self.next_seq()).rev().map(|seq| (self.at(seq), seq));
        let recent: Vec<_> = newest.take_while(|(one, _)| one.air_end() + kept > last.air).collect();
        let known = |seq: u64| seq >= self.lived_from || seq >= self.listed_from();
        let must = recent.iter().filter(|(_, seq)| known(*seq)).flat_map(|(one, _)| bitrates(one));
        let must: BTreeSet<u64> = must.collect();
        assert!(must.is_subset(&told), "rungs {told:?}, due {must:?}");
        let within: BTreeSet<u64> = recent.iter().flat_map(|(one, _)| bitrates(one)).collect();
        assert!(told.is_subset(&within) || self.counts.reanchored > 0, "rungs {told:?} are over, known {within:?}");
    }

    /// Renders the lists of the rungs and the master list. `live` is the text of the default rung's, which was checked.
    pub(super) fn read_rungs(&mut self, snapshot: &Snapshot, live: &str) {
        let lists = ladder::render(snapshot);
        assert_eq!(lists.len(), snapshot.ladder.bitrates().count());
        let first = snapshot.segments[0].media_seq;
        for ((name, text), bitrate) in lists.iter().zip(snapshot.ladder.bitrates()) {
            assert_eq!(*name, format!("live-{bitrate}.m3u8"));
            let mut seq = first;
            assert_eq!(text.lines().count(), live.lines().count(), "{name} is another list");
            for (line, default) in text.lines().zip(live.lines()) {
                if !default.starts_with("/ipfs/") {
                    assert_eq!(line, default, "{name} differs in more than its segments");
                    continue;
                }
                let frozen = self.at(seq);
                let (cid, stands_in) = (frozen.in_rung(bitrate), frozen.in_rung(bitrate) == frozen.cid);
                assert_eq!(line, format!("/ipfs/{cid}?filename=s.mpegts"), "{seq} of {name} (9, 11)");
                self.counts.stand_ins += u64::from(stands_in);
                seq += 1;
            }
            self.counts.rungs += 1;
        }
        self.read_master(snapshot);
    }

    fn read_master(&self, snapshot: &Snapshot) {
        let text = ladder::master(snapshot).expect("a list with segments has a master");
        let variants = list::read_master(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let frozen: Vec<&Frozen> = snapshot.segments.iter().map(|aired| self.at(aired.media_seq)).collect();
        let of = |bitrate: u32| frozen.iter().any(|one| one.rungs.iter().any(|one| one.bitrate == u64::from(bitrate)));
        let rungs: Vec<u32> = snapshot.ladder.bitrates().filter(|bitrate| of(*bitrate)).collect();
        let names: Vec<String> = rungs.iter().map(|bitrate| format!("live-{bitrate}.m3u8")).collect();
        let named: Vec<&str> = variants.iter().map(|variant| variant.uri).collect();
        assert_eq!((named[0], named[1..].to_vec()), ("live.m3u8", names.iter().map(String::as_str).collect()));
        let rate = u64::from(self.rules.rate);
        for (variant, bitrate) in variants.iter().zip(std::iter::once(0).chain(rungs)) {
            let bytes = |(one, aired): (&&Frozen, u64)| {
                let rung = one.rungs.iter().find(|one| one.bitrate == u64::from(bitrate));
                rung.map_or(aired, |one: &RenditionBody| one.byte_count)
            };
            let default = snapshot.segments.iter().map(|aired| u64::from(aired.segment.bytes));
            let bytes: u64 = frozen.iter().zip(default).map(bytes).sum();
            let samples: u64 = frozen.iter().map(|one| one.samples).sum();
            let average = bytes * 8 * rate / samples;
            assert!((average..=average + 1_000).contains(&variant.average), "{average} b/s, told {}", variant.average);
            assert!(variant.bandwidth >= variant.average);
        }
    }
}
