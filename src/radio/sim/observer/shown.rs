//! Checks of one visible list: the snapshot against the index, and the text, read back, against both.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use cid::Cid;

use super::super::{
    super::{hls, time::Time, timeline::Snapshot},
    list::{self, Part, Range},
    world::renditions,
};
use super::{Observer, ROUNDING};

impl Observer {
    /// `all` tells whether each segment is held against the index, or only those that are new to the list.
    pub(super) fn check_shown(&self, snapshot: &Snapshot, stored: &HashSet<Cid>, station: Time, all: bool) {
        let segments = &snapshot.segments;
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else { panic!("an empty list is shown") };
        let known = self.visible.filter(|_| !all).map_or(0, |visible| visible.last);
        for (at, aired) in segments.iter().enumerate() {
            assert_eq!(aired.media_seq, first.media_seq + at as u64, "numbers have a hole (10)");
            if aired.media_seq <= known {
                continue;
            }
            let frozen = self.at(aired.media_seq);
            assert!(frozen.durable || !self.rules.receipts_required, "{} has no receipt yet (15)", aired.media_seq);
            let all = |cid: Cid| stored.contains(&cid);
            assert!(aired.all().all(|segment| all(segment.cid)), "{} is not stored (9)", aired.media_seq);
            assert_eq!(renditions(&aired.rungs), frozen.rungs, "{} changed in a rung (11)", aired.media_seq);
            let told = (aired.segment.cid, u64::from(aired.segment.samples), aired.air_samples, aired.disc);
            assert_eq!(told, (frozen.cid, frozen.samples, frozen.air, frozen.disc), "{} changed (11)", aired.media_seq);
            assert_eq!((aired.disc_seq, aired.run.media_seq), (frozen.disc_seq, frozen.run), "{}", aired.media_seq);
        }
        let begins = self.at(last.media_seq).first_seq.max(self.base);
        assert_eq!(first.media_seq, begins, "the list does not begin where its last receipt says");
        let total: i64 = segments.iter().map(|aired| i64::from(aired.segment.samples)).sum();
        let rate = i64::from(self.rules.rate);
        let hold_back = snapshot.hold_back_seconds as i64 * rate;
        assert!(total >= hold_back, "HOLD-BACK is longer than the list (4)");
        // Behind now lies the window: one segment that ended before now − W, and no second one but by delay.
        let now = self.media_now(station);
        let window = self.rules.window() as i64;
        let listed_back = now - self.at(first.media_seq).media_end();
        let whole_past = first.media_seq > self.base;
        let ahead = self.at(last.media_seq).media_end() - now - self.rules.look_ahead() as i64;
        // A list that reaches further than the look-ahead gets no more for as long: who starts on it holds back by it.
        let usual = self.rules.look_ahead() as i64 + 2 * self.target();
        let longer = ahead > self.target();
        let due = if longer { (usual + ahead).min(total).max(usual) } else { usual };
        let off = (hold_back - due).abs();
        let close = (ahead - self.target()).abs() <= ROUNDING || off <= if longer { rate + ROUNDING } else { 0 };
        assert!(close, "HOLD-BACK is {hold_back}, due is {due} (4, 14)");
        // A wall clock that was set back before a restart brings now back too.
        let full = (0..=self.target()).contains(&ahead);
        assert!(!(whole_past && full) || listed_back > window - 2 * self.target(), "the window is too short");
    }

    /// Renders the list, reads it back and holds it against the index. Gives a hash of its bytes.
    pub(super) fn read_shown(&mut self, snapshot: &Snapshot) -> u64 {
        self.counts.read += 1;
        let text = hls::render(snapshot).expect("a list with segments has a text");
        let list = list::read(&text).unwrap_or_else(|error| panic!("{error} (1, 2)\n{text}"));
        assert_eq!(list.target_seconds, u64::from(self.rules.segment_seconds), "TARGETDURATION (14)");
        assert_eq!(list.hold_back_seconds, snapshot.hold_back_seconds, "HOLD-BACK (14)");
        assert!(list.hold_back_seconds >= 3 * list.target_seconds, "HOLD-BACK is below 3·TD (4)");
        let first = self.at(list.media_sequence).clone();
        assert_eq!(list.discontinuity_sequence + u64::from(first.disc), first.disc_seq, "gone discontinuities (13)");
        assert_eq!(list.parts.len(), snapshot.segments.len());
        let mut told = None;
        for (at, part) in list.parts.iter().enumerate() {
            let seq = list.media_sequence + at as u64;
            self.check_part(seq, part);
            let samples = self.at(seq).samples;
            self.check_ranges(seq, samples, part, &mut told);
            if let Some(before) = at.checked_sub(1).map(|at| &list.parts[at]) {
                self.check_dates(seq, before, part);
            }
        }
        self.read_rungs(snapshot, &text);
        hash(&text)
    }

    fn check_part(&mut self, seq: u64, part: &Part<'_>) {
        let rate = i128::from(self.rules.rate);
        let said = hash(&(part.uri, part.extinf_micros, part.pdt, part.title, part.disc));
        let index = (seq - self.base) as usize;
        let frozen = &mut self.frozen[index];
        if frozen.text == said {
            return;
        }
        assert_eq!(frozen.text, 0, "what lists say of {seq} changed (11): {part:?}");
        frozen.text = said;
        assert_eq!(part.uri, format!("/ipfs/{}?filename=s.mpegts", frozen.cid), "(9)");
        assert_eq!(part.disc, frozen.disc, "(7)");
        // Nearest: twice the distance is at most one unit.
        let twice = (i128::from(part.extinf_micros) * rate - i128::from(frozen.samples) * 1_000_000).abs() * 2;
        assert!(twice <= rate, "EXTINF of {seq} is {} µs for {} samples (3)", part.extinf_micros, frozen.samples);
        assert!(part.extinf_micros <= u64::from(self.rules.segment_seconds) * 1_000_000, "EXTINF > TD (3)");
        let air = frozen.air;
        self.check_date(air, part.pdt);
    }

    /// A printed date is that of a position, to the nearest millisecond.
    pub(super) fn check_date(&self, air: i64, date: &str) {
        let rate = i128::from(self.rules.rate);
        let millis = list::millis(date).unwrap_or_else(|error| panic!("{error}"));
        let off = i128::from(air) * 1_000 - (i128::from(millis) - i128::from(self.anchor_millis)) * rate;
        assert!(off.abs() * 2 <= rate + rate / 500, "{date} is not the date of {air} (5)");
    }

    fn check_dates(&self, seq: u64, before: &Part<'_>, part: &Part<'_>) {
        let step = part.pdt_millis as i64 - before.pdt_millis as i64;
        let off = step * 1_000 - before.extinf_micros as i64;
        let jump = self.at(seq).air - self.at(seq - 1).air_end();
        assert!(step > 0 || jump < 0, "the date of {seq} does not increase (5)");
        let told = jump != 0 && part.disc && off.signum() == jump.signum();
        assert!(off.abs() <= 1_001 || told, "the date of {seq} jumps by {off} µs (5, I4)");
    }

    /// What plays is told with the segment in which it begins, and what has begun before with the first listed segment of
    /// its item; always in the same words. `samples`: how long the segment at `seq`, or the group from there on, is.
    pub(super) fn check_ranges(&mut self, seq: u64, samples: u64, part: &Part<'_>, told: &mut Option<u64>) {
        let (run, air) = (self.at(seq).run, self.at(seq).air);
        let first = told.replace(run) != Some(run);
        let body = &self.runs[&run];
        let mut starts: Vec<i64> = body.chapters.iter().map(|chapter| body.air_samples + chapter.at as i64).collect();
        if starts.is_empty() {
            starts.push(body.air_samples);
        }
        assert_eq!(starts[0], body.air_samples, "the first chapter begins with its item (8)");
        starts.push(body.air_samples + body.samples as i64);
        let begins = |index: &usize| (air..air + samples as i64).contains(&starts[*index]);
        let goes_on = |index: &usize| first && (starts[*index]..starts[*index + 1]).contains(&air);
        let wanted: Vec<usize> = (0..starts.len() - 1).filter(|index| begins(index) || goes_on(index)).collect();
        assert_eq!(part.ranges.len(), wanted.len(), "the date ranges of {run} at {seq} (8)");
        assert!(!first || !wanted.is_empty(), "nothing is told of {run} at {seq} (8)");
        for (range, index) in part.ranges.iter().zip(wanted) {
            self.check_range(run, index, &starts, range);
        }
    }

    fn check_range(&mut self, run: u64, index: usize, starts: &[i64], range: &Range<'_>) {
        if let Some(known) = self.ranges.get(&(run, index)) {
            assert_eq!(known, range.line, "a date range changed (8)");
            return;
        }
        let number = if index == 0 { String::new() } else { format!("-{index}") };
        assert_eq!(range.id, format!("{}-{run}{number}", self.epoch), "(8)");
        self.check_date(starts[index], range.start);
        let samples = starts[index + 1] - starts[index];
        let off = range.millis as i64 - samples * 1_000 / i64::from(self.rules.rate);
        assert!((0..=1).contains(&off), "a date range lasts {} ms for {samples} samples (8)", range.millis);
        self.ranges.insert((run, index), range.line.into());
        self.counts.chapters += u64::from(index > 0);
    }
}

pub(in super::super) fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish().max(1)
}
