//! Checks of the coarse list: grouped anew from the frozen segments, and its text read back.

use std::collections::HashMap;

use cid::Cid;

use super::super::{
    super::{
        coarse::{self, Group},
        receipt::{CidText, SegmentBody},
        segment::{DAG_PB, cid_of},
        time::Time,
        timeline::Snapshot,
    },
    list::{self, Part},
};
use super::{Frozen, Observer, shown::hash};

/// What is remembered of the coarse list.
#[derive(Debug, Default)]
pub(super) struct Coarse {
    /// First number, and the one behind the last, of the list that is visible.
    visible: Option<(u64, u64)>,
    /// No group may have a number below this one any more.
    floor: u64,
    /// What lists say of a group, hashed.
    texts: HashMap<u64, u64>,
    /// How far the air has been, on the axis of all segments put end to end.
    reached: i64,
}

/// A group as it must be: consecutive segments, by their indices.
#[derive(Debug)]
struct Wanted {
    seq: u64,
    from: usize,
    to: usize,
}

impl Coarse {
    /// Nobody can know what was visible.
    pub(super) fn forget(&mut self) {
        self.floor = 0;
    }

    /// Numbers begin anew, above all that were visible; now lies at `now`.
    pub(super) fn begin(&mut self, now: i64) {
        self.floor = self.floor.max(self.visible.map_or(0, |(_, end)| end));
        (self.visible, self.reached) = (None, now);
        self.texts.clear();
    }
}

/// The name of a group's file here, where nobody makes one.
fn name(group: &Group) -> CidText {
    file(&group.segments.iter().map(|segment| segment.cid).collect::<Vec<_>>())
}

fn file(cids: &[Cid]) -> CidText {
    match cids {
        [only] => CidText(*only),
        cids => CidText(cid_of(DAG_PB, &cids.iter().flat_map(Cid::to_bytes).collect::<Vec<u8>>())),
    }
}

impl Observer {
    /// Up to this many nominal segments are a group.
    fn group_max(&self) -> u64 {
        60 / u64::from(self.rules.segment_seconds)
    }

    fn group_target(&self) -> u64 {
        self.group_max() * u64::from(self.rules.segment_seconds)
    }

    fn begins_group(&self, one: &Frozen) -> bool {
        one.disc || one.part.is_multiple_of(self.group_max())
    }

    /// The air has come to where it is at `station`; an outage takes it back there.
    pub(super) fn reach(&mut self, station: Time, jumped: bool) {
        let now = self.media_now(station);
        self.coarse.reached = if jumped { now } else { self.coarse.reached.max(now) };
    }

    /// The numbers of a group and of the end of the list are frozen with the segment that was frozen last.
    pub(super) fn check_grouped(&self, body: &SegmentBody) {
        let own = self.at(body.media_seq);
        assert_eq!((own.group_seq, own.group_end), (body.group_seq, body.group_end));
        if body.media_seq == self.base {
            assert!(body.group_seq >= self.coarse.floor, "groups go back to {}", body.group_seq);
            assert_eq!(body.group_seq, body.media_seq, "groups are not counted from the first segment");
            assert_eq!(body.group_end, body.group_seq, "a first segment lists no group");
            return;
        }
        let last = self.at(body.media_seq - 1);
        let group_seq = last.group_seq + u64::from(self.begins_group(own));
        assert_eq!(body.group_seq, group_seq, "the group of {} is miscounted (10)", body.media_seq);
        let due = own.media - self.rules.look_ahead() as i64;
        let on_air = self.frozen.partition_point(|one| one.media <= due).checked_sub(1);
        let wanted = on_air.map_or(last.group_end, |at| self.frozen[at].group_seq.max(last.group_end));
        assert_eq!(body.group_end, wanted, "the coarse list of {} ends elsewhere", body.media_seq);
    }

    /// Those of them that last for so many target durations, the newest.
    fn newest<'w>(&self, groups: &'w [Wanted], targets: u64) -> &'w [Wanted] {
        let (mut lasts, mut first) = (0, groups.len());
        let enough = targets * self.group_target() * u64::from(self.rules.rate);
        while first > 0 && lasts < enough {
            first -= 1;
            lasts += self.frozen[groups[first].from..groups[first].to].iter().map(|one| one.samples).sum::<u64>();
        }
        &groups[first..]
    }

    /// The groups back from the one before `end`, for so many target durations.
    fn wanted_groups(&self, end: u64, targets: u64) -> Vec<Wanted> {
        let (mut groups, mut lasts, mut to) = (Vec::new(), 0, self.frozen.partition_point(|one| one.group_seq < end));
        let enough = targets * self.group_target() * u64::from(self.rules.rate);
        while to > 0 && lasts < enough {
            let seq = self.frozen[to - 1].group_seq;
            let least = to.saturating_sub(self.group_max() as usize);
            let from = least + self.frozen[least..to].partition_point(|one| one.group_seq < seq);
            lasts += self.frozen[from..to].iter().map(|one| one.samples).sum::<u64>();
            groups.push(Wanted { seq, from, to });
            to = from;
        }
        groups.reverse();
        groups
    }

    /// The coarse list that becomes visible with `snapshot`.
    pub(super) fn check_coarse(&mut self, snapshot: &Snapshot, station: Time, read: bool) {
        self.reach(station, false);
        let last = snapshot.segments.last().expect("a list has segments").media_seq;
        let end = self.at(last).group_end;
        let range = snapshot.groups.listed(&snapshot.axis);
        let listed: Vec<&Group> =
            snapshot.groups.all().skip(range.start).take(range.len()).map(|group| &**group).collect();
        let known = self.wanted_groups(end, 20);
        let wanted = self.newest(&known, 10);
        // What lies before a receipt that is lost cannot be listed after a restart.
        let whole = wanted.first().is_none_or(|group| self.frozen[group.from..].iter().all(|one| one.durable));
        assert!(!whole || listed.len() == wanted.len(), "{} groups for {}", listed.len(), wanted.len());
        assert!(listed.len() <= wanted.len(), "{} groups for {}", listed.len(), wanted.len());
        self.check_known(snapshot, &known, last);
        for (group, wanted) in listed.iter().rev().zip(wanted.iter().rev()) {
            self.check_group(group, wanted);
        }
        if let Some((first, old_end)) = self.coarse.visible {
            let next = listed.first().map(|first| first.seq);
            assert!(next.is_some() || !whole, "the coarse list goes away");
            let next = next.unwrap_or(end);
            assert!(next >= first && end >= old_end, "the coarse list goes back (10, 12)");
            assert!(next <= old_end || !whole, "groups were never listed (10)");
            assert!(end > old_end || next == first || !whole, "two lists end alike and begin differently (1)");
        }
        let Some(first) = listed.first() else { return };
        self.coarse.visible = Some((first.seq, end));
        self.counts.coarse += 1;
        if read {
            self.read_coarse(snapshot, &listed, &wanted[wanted.len() - listed.len()..]);
        }
    }

    /// Around the list groups are known ten minutes back, and all that are whole in the look-ahead.
    fn check_known(&self, snapshot: &Snapshot, wanted: &[Wanted], last: u64) {
        let known: Vec<u64> = snapshot.groups.all().map(|group| group.seq).collect();
        let Some(newest) = known.last() else { return };
        assert!(known.iter().zip(&known[1..]).all(|(one, next)| one + 1 == *next), "known groups have a hole");
        assert_eq!(newest + 1, self.at(last).group_seq, "a group that is whole is not known");
        let oldest = wanted.first().filter(|group| self.frozen[group.from..].iter().all(|one| one.durable));
        let due = oldest.map_or(known[0], |oldest| oldest.seq);
        assert_eq!(known[0], due, "groups are known back to elsewhere than they are to be");
    }

    fn check_group(&self, group: &Group, wanted: &Wanted) {
        let (from, to) = (wanted.from, wanted.to);
        let frozen = &self.frozen[from..to];
        let (first, last) = (&frozen[0], &frozen[frozen.len() - 1]);
        assert!(last.media_end() <= self.coarse.reached, "group {} is listed before it has aired", wanted.seq);
        assert!(frozen.iter().skip(1).all(|one| one.run == first.run && !one.disc), "a group crosses an item");
        assert!(frozen.len() as u64 <= self.group_max());
        let told = (group.seq, group.disc, group.disc_seq, group.air_samples, group.run.media_seq);
        assert_eq!(told, (wanted.seq, first.disc, first.disc_seq, first.air, first.run));
        let (told, held) = (group.segments.iter(), frozen.iter());
        assert!(told.map(|segment| segment.cid).eq(held.map(|one| one.cid)), "group {} is another (11)", group.seq);
    }

    fn read_coarse(&mut self, snapshot: &Snapshot, listed: &[&Group], wanted: &[Wanted]) {
        let groups = listed.iter().map(|group| (*group, name(group)));
        let text = coarse::render(&snapshot.axis, groups).expect("a list with groups has a text");
        let list = list::read_coarse(&text).unwrap_or_else(|error| panic!("{error} (1, 2)\n{text}"));
        assert_eq!(list.target_seconds, self.group_target(), "TARGETDURATION (14)");
        assert_eq!(list.media_sequence, wanted[0].seq, "MEDIA-SEQUENCE (10)");
        assert_eq!(list.parts.len(), wanted.len());
        let first = &self.frozen[wanted[0].from];
        assert_eq!(list.discontinuity_sequence + u64::from(first.disc), first.disc_seq, "gone discontinuities (13)");
        let mut told = None;
        for (part, wanted) in list.parts.iter().zip(wanted) {
            self.check_coarse_part(part, wanted);
            let samples = self.frozen[wanted.from..wanted.to].iter().map(|one| one.samples).sum();
            self.check_ranges(self.base + wanted.from as u64, samples, part, &mut told);
        }
        for ((before, part), group) in list.parts.iter().zip(&list.parts[1..]).zip(&wanted[1..]) {
            let off = (part.pdt_millis as i64 - before.pdt_millis as i64) * 1_000 - before.extinf_micros as i64;
            let jump = self.frozen[group.from].air - self.frozen[group.from - 1].air_end();
            let told = part.disc && jump != 0 && off.signum() == jump.signum();
            assert!(off.abs() <= 1_001 || told, "a date jumps by {off} µs (5)");
        }
    }

    fn check_coarse_part(&mut self, part: &Part<'_>, wanted: &Wanted) {
        let said = hash(&(part.uri, part.extinf_micros, part.pdt, part.title, part.disc));
        if let Some(before) = self.coarse.texts.insert(wanted.seq, said) {
            assert_eq!(before, said, "what lists say of group {} changed (11): {part:?}", wanted.seq);
            return;
        }
        let frozen = &self.frozen[wanted.from..wanted.to];
        let cids: Vec<Cid> = frozen.iter().map(|one| one.cid).collect();
        assert_eq!(part.uri, format!("/ipfs/{}?filename=s.mpegts", file(&cids).0), "(9)");
        assert_eq!(part.disc, frozen[0].disc, "(7)");
        let samples: i128 = frozen.iter().map(|one| i128::from(one.samples)).sum();
        let rate = i128::from(self.rules.rate);
        let twice = (i128::from(part.extinf_micros) * rate - samples * 1_000_000).abs() * 2;
        assert!(twice <= rate, "EXTINF of group {} is {} µs (3)", wanted.seq, part.extinf_micros);
        assert!(part.extinf_micros <= self.group_target() * 1_000_000, "EXTINF > TD (3)");
        self.check_date(frozen[0].air, part.pdt);
    }
}
