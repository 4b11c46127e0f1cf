//! Giving segments their place: numbers, dates, and the list that each completes.

use std::sync::Arc;

use super::super::{
    aired::{Aired, Run, segment_list},
    coarse, cue,
    receipt::{Body, CidText},
    segment::Segment,
};
use super::{Clocks, Current, Timeline, notes::REANCHOR};

impl Timeline {
    /// Gives the next segment of the current item its place.
    pub(super) fn plan(&mut self, clocks: Clocks) {
        self.jump_if_late(clocks);
        let air_samples = self.media_end as i64 + self.gap;
        let first_seq = self.first_listed();
        let Some(part) = self.current.as_ref().map(|current| current.next_part as u32) else { return };
        let (group_seq, group_end) = self.grouped(self.break_next, part);
        let Some(current) = &mut self.current else { return };
        let segment = current.item.segments[current.next_part];
        if self.break_next {
            let rest = &current.item.segments[current.next_part..];
            let (list, text) = segment_list(&current.item.segments, &current.item.rungs);
            self.lists.push((list, text));
            current.run = Some(Arc::new(run(current, list, self.next_seq, air_samples, rest)));
        }
        let Some(run) = current.run.clone() else { return };
        let rungs = current.item.rungs_of(current.next_part).to_vec();
        current.next_part += 1;
        let disc = std::mem::take(&mut self.break_next);
        self.next_disc += u64::from(disc);
        self.planned_from.push((current.slot.clone(), current.place.clone()));
        self.planned.push(Aired {
            media_seq: self.next_seq,
            disc,
            disc_seq: self.next_disc,
            air_samples,
            segment,
            rungs,
            part,
            run,
            first_seq,
            group_seq,
            group_end,
        });
        self.next_seq += 1;
        self.media_end += u64::from(segment.samples);
        self.hold_back_seconds = self.rules.hold_back_seconds();
    }

    /// One jump of the dates: forward after an outage that the look-ahead did not cover, at once; forward for a wall
    /// clock that ran ahead, where the next item begins; there in either direction if an operator asks for it.
    fn jump_if_late(&mut self, clocks: Clocks) {
        let late = self.media_now(clocks) - self.media_end as i64;
        let allowed = self.rules.lateness() as i64;
        if late > allowed {
            let jump = late - allowed;
            self.gap += jump;
            self.offset += jump;
            self.break_next = true;
            self.notes.add(self.next_seq, Body::ClockStep { samples: jump, reason: "outage".into() });
        }
        if !self.break_next {
            return;
        }
        let begins = self.current.as_ref().is_some_and(|current| current.next_part == 0);
        let asked = begins && std::mem::take(&mut self.reanchor);
        let behind = self.axis.position(clocks.wall) - (self.media_now(clocks) + self.gap);
        let off = if asked { behind.abs() } else { behind };
        if off > self.rules.skew().to_samples(self.axis.rate) as i64 {
            self.gap += behind;
            let reason = if asked { REANCHOR } else { "skew" };
            self.notes.add(self.next_seq, Body::ClockStep { samples: behind, reason: reason.into() });
        }
    }

    /// The number of the first segment in the list that ends with the segment starting at `media_end`.
    ///
    /// The list begins with the last segment that ended before now − W, where now is the moment at which that
    /// segment becomes due: its start − LA. So a list is a function of its segments alone, and it never goes back.
    fn first_listed(&self) -> u64 {
        let floor = self.planned.last().or_else(|| self.listed.back()).map_or(self.next_seq, |aired| aired.first_seq);
        let reach = self.rules.look_ahead() + self.rules.window();
        // How long before that start the segment at hand ended.
        let mut ago = 0;
        let mut first = self.next_seq;
        for aired in self.planned.iter().rev().chain(self.listed.iter().rev()) {
            first = aired.media_seq;
            if ago > reach || first <= floor {
                break;
            }
            ago += u64::from(aired.segment.samples);
        }
        first
    }

    /// The group of the segment at hand, and the one before which the coarse list ends when that segment is due: the
    /// group that is on air then. Groups are counted from the number of the first segment that is in one, so that a
    /// new chain of numbers is above all groups of an old one.
    fn grouped(&self, disc: bool, part: u32) -> (u64, u64) {
        let last = self.planned.last().or_else(|| self.listed.back()).filter(|last| last.group_seq > 0);
        let Some(last) = last else { return (self.next_seq, self.next_seq) };
        let group_seq = last.group_seq + u64::from(coarse::begins(disc, part, &self.axis));
        // How long before its start the segment at hand begins.
        let mut ago = 0;
        let on_air = self.planned.iter().rev().chain(self.listed.iter().rev()).find(|aired| {
            ago += u64::from(aired.segment.samples);
            ago >= self.rules.look_ahead()
        });
        (group_seq, on_air.map_or(last.group_end, |aired| aired.group_seq.max(last.group_end)))
    }
}

fn run(current: &Current, list: CidText, media_seq: u64, air_samples: i64, rest: &[Segment]) -> Run {
    let Current { slot, item, next_part, .. } = current;
    let skipped = item.segments[..*next_part].iter().map(|s| u64::from(s.samples)).sum();
    Run {
        chapters: cue::behind(&item.chapters, skipped, &item.title, &item.artist),
        media_seq,
        air_samples,
        samples: rest.iter().map(|s| u64::from(s.samples)).sum(),
        item: item.id.clone(),
        entry: slot.entry.path.clone(),
        kind: slot.entry.kind,
        title: item.title.clone(),
        artist: item.artist.clone(),
        album: item.album.clone(),
        isrc: item.isrc.clone(),
        cover: item.cover,
        list,
        part: *next_part as u32,
        parts: item.segments.len() as u32,
        order: slot.order.clone(),
        position: slot.position as u64,
    }
}
