//! Receipts that wait: notes for the segment that comes next, and what the ledger did not take.

use super::super::receipt::Body;

/// Receipts that go into the ledger ahead of the segment that was the next one when they were made.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Vec<(u64, Body)>);

/// Why dates jump that an operator wants to be those of the wall clock.
pub(super) const REANCHOR: &str = "reanchor";
/// Notes that wait. Jumps of the dates are never dropped: there is at most one of a kind for each segment.
const NOTES_MAX: usize = 64;
/// Receipts kept for the next try while the ledger cannot be written: about an hour of segments.
pub(in super::super) const UNRECORDED_MAX: usize = 1_024;

impl Notes {
    /// Notes something ahead of the segment `next_seq`. Two jumps at one segment are one.
    pub(super) fn add(&mut self, next_seq: u64, body: Body) {
        if let Body::ClockStep { samples: more, reason: why } = &body {
            for (seq, known) in &mut self.0 {
                if let Body::ClockStep { samples, reason } = known
                    && (*seq, &*reason) == (next_seq, why)
                {
                    *samples += more;
                    return;
                }
            }
        }
        let noted = |found: fn(&Body) -> bool| self.0.iter().position(|(_, body)| found(body));
        let droppable = noted(|body| matches!(body, Body::CatalogChanged { .. }))
            .or_else(|| noted(|body| matches!(body, Body::OrderAccepted { .. })));
        if let Some(oldest) = droppable.filter(|_| self.0.len() >= NOTES_MAX) {
            self.0.remove(oldest);
        }
        self.0.push((next_seq, body));
    }

    /// Segments from `next_seq` on were given up: what was noted for them is noted for the next one.
    pub(super) fn fall_back(&mut self, next_seq: u64) {
        let behind = self.0.partition_point(|(seq, _)| *seq < next_seq);
        for (_, body) in self.0.split_off(behind) {
            self.add(next_seq, body);
        }
    }

    /// What goes ahead of the segment `seq`, if nothing else than its predecessor lies before it.
    pub(super) fn ahead_of(&self, seq: u64, first: bool) -> impl Iterator<Item = &Body> {
        let due = move |noted: u64| if first { noted <= seq } else { noted == seq };
        self.0.iter().filter(move |(noted, _)| due(*noted)).map(|(_, body)| body)
    }

    /// Whether a jump waits that an operator asked for.
    pub(super) fn reanchor(&self) -> bool {
        self.0.iter().any(|(_, body)| matches!(body, Body::ClockStep { reason, .. } if reason == REANCHOR))
    }

    /// Everything up to the segment `last` is written.
    pub(super) fn written(&mut self, last: u64) {
        self.0.retain(|(seq, _)| *seq > last);
    }
}

/// A list names all segments so far: those of which the receipt is not durable yet get one that says so.
pub(super) fn mark_late(unrecorded: &mut [Body]) {
    for body in unrecorded {
        if let Body::Segment(segment) = body {
            segment.late = true;
        }
    }
}

/// The newest receipts of those that could not be written, with that of the item which the first of them belongs to:
/// a restart goes on from the newest. Failures of items go first: they may be many a second.
pub(super) fn newest(mut bodies: Vec<Body>) -> Vec<Body> {
    let mut surplus = bodies.len().saturating_sub(UNRECORDED_MAX);
    bodies.retain(|body| {
        let goes = surplus > 0 && matches!(body, Body::CatalogChanged { .. });
        surplus -= usize::from(goes);
        !goes
    });
    let newest = bodies.split_off(bodies.len().saturating_sub(UNRECORDED_MAX));
    let run = bodies.into_iter().rev().find(|body| matches!(body, Body::ItemStarted(_)));
    run.into_iter().chain(newest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(samples: i64) -> Body {
        Body::ClockStep { samples, reason: "outage".into() }
    }

    fn order(entries: u64) -> Body {
        Body::OrderAccepted { order: "o".into(), entries }
    }

    fn failure() -> Body {
        Body::CatalogChanged { entry: "e".into(), item: "i".into(), reason: "r".into() }
    }

    #[test]
    fn notes_wait_for_their_segment() {
        let mut notes = Notes::default();
        notes.add(5, order(1));
        notes.add(7, step(10));
        notes.add(7, step(20));
        assert_eq!(notes.ahead_of(6, true).collect::<Vec<_>>(), [&order(1)]);
        assert_eq!(notes.ahead_of(7, false).collect::<Vec<_>>(), [&step(30)]);
        notes.fall_back(6);
        notes.written(5);
        assert_eq!(notes.ahead_of(6, false).collect::<Vec<_>>(), [&step(30)]);
        notes.written(6);
        assert_eq!(notes.ahead_of(9, true).count(), 0);
    }

    #[test]
    fn too_many_notes_cost_the_least_one() {
        let mut notes = Notes::default();
        notes.add(1, order(1));
        notes.add(1, step(10));
        (0..1_000).for_each(|_| notes.add(1, failure()));
        let kept: Vec<&Body> = notes.ahead_of(1, true).collect();
        assert_eq!((kept.len(), kept[0], kept[1]), (NOTES_MAX, &order(1), &step(10)));
    }

    #[test]
    fn receipts_that_cannot_be_written_are_kept_before_failures() {
        let mut bodies: Vec<Body> = vec![order(1)];
        for _ in 0..2 * UNRECORDED_MAX {
            bodies.push(failure());
            bodies = newest(bodies);
        }
        assert_eq!((bodies.len(), &bodies[0]), (UNRECORDED_MAX, &order(1)));
        bodies.extend((0..UNRECORDED_MAX as u64).map(order));
        let kept = newest(bodies);
        assert_eq!((kept.len(), &kept[0]), (UNRECORDED_MAX, &order(0)));
    }
}
