use super::{super::checkpoint::tests::Scribe, *};
use crate::radio::{
    aired::Axis,
    checkpoint::tests::Seal,
    receipt::{CidText, Constants, SegmentBody, StartedBody},
    segment::{Kind, RAW, cid_of},
    time::Time,
};

mod air;

const RATE: u64 = 44_100;
const SAMPLES: u64 = 258 * 1_024;

/// A station that airs.
struct Studio {
    scribe: Scribe,
    axis: Axis,
    media_seq: u64,
    disc_seq: u64,
    air: i64,
    items: u64,
}

impl Studio {
    fn new() -> Self {
        let anchor = Time::from_millis(1_795_252_684_000);
        let axis = Axis { epoch: 1, anchor, rate: RATE as u32, target_seconds: 6 };
        let mut scribe = Scribe::new();
        scribe.add(Body::LedgerOpen(axis.constants()));
        scribe.checkpoint();
        Self { scribe, axis, media_seq: 1_795_252_684, disc_seq: 0, air: 0, items: 0 }
    }

    fn run(&self, parts: u64) -> StartedBody {
        let item = format!("{:032x}", self.items);
        StartedBody {
            media_seq: self.media_seq,
            air_samples: self.air,
            list: CidText(cid_of(RAW, item.as_bytes())),
            entry: format!("music/{}.flac", self.items),
            item,
            item_kind: Kind::Track,
            title: format!("Title @ {}", self.items),
            artist: "Ärtist".into(),
            album: String::new(),
            isrc: String::new(),
            cover: None,
            part: 0,
            parts,
            samples: parts * SAMPLES,
            order: "ab".repeat(32),
            position: self.items,
            chapters: Vec::new(),
        }
    }

    fn segment(&self, run: &StartedBody, part: u64) -> SegmentBody {
        let cid = cid_of(RAW, format!("{}/{part}", run.item).as_bytes());
        SegmentBody {
            media_seq: self.media_seq,
            disc: part == 0,
            disc_seq: self.disc_seq + u64::from(part == 0),
            epoch: self.axis.epoch,
            air_samples: self.air,
            pdt: self.axis.date(self.air).to_string(),
            samples: SAMPLES,
            rate: RATE,
            sha256_audio: data_encoding::HEXLOWER.encode(cid.hash().digest()),
            cid: CidText(cid),
            byte_count: 97_000,
            codec: "aac".into(),
            item: run.item.clone(),
            entry: run.entry.clone(),
            item_kind: run.item_kind,
            part,
            parts: run.parts,
            order: run.order.clone(),
            position: run.position,
            title: run.title.clone(),
            artist: run.artist.clone(),
            first_seq: self.media_seq.saturating_sub(50),
            // No item is longer than a group.
            group_seq: 1 + self.items,
            group_end: 1,
            renditions: Vec::new(),
            late: false,
        }
    }

    fn aired(&mut self, segment: SegmentBody) {
        (self.media_seq, self.disc_seq) = (segment.media_seq + 1, segment.disc_seq);
        self.air = segment.air_samples + segment.samples as i64;
        self.scribe.add(Body::Segment(Box::new(segment)));
    }

    fn item(&mut self, parts: u64) {
        let run = self.run(parts);
        self.scribe.add(Body::ItemStarted(Box::new(run.clone())));
        for part in 0..parts {
            let segment = self.segment(&run, part);
            self.aired(segment);
        }
        self.items += 1;
    }

    fn jump(&mut self, samples: i64) {
        self.jump_for(samples, "outage");
    }

    fn jump_for(&mut self, samples: i64, reason: &str) {
        self.scribe.add(Body::ClockStep { samples, reason: reason.into() });
        self.air += samples;
    }

    fn rotate(&mut self) {
        self.scribe.add(Body::KeyRotated { to: "r2".into() });
        self.scribe.key = 1;
    }

    /// A ledger of just so many lines in which everything happens.
    fn with_lines(count: usize) -> Self {
        let mut studio = Self::new();
        studio.scribe.add(Body::IpnsReserved { until: 1_795_252_684_000 });
        studio.item(6);
        studio.jump(500_000);
        studio.item(5);
        while studio.scribe.lines.len() + 14 < count {
            studio.item(9);
            if studio.items == 5 {
                studio.rotate();
            }
            if studio.items.is_multiple_of(3) {
                studio.scribe.checkpoint();
            }
        }
        while studio.scribe.lines.len() < count {
            studio.scribe.add(Body::OrderAccepted { order: "cd".repeat(32), entries: 7 });
        }
        studio
    }
}

fn means(scribe: &Scribe) -> Means<'_> {
    Means { keys: &scribe.keys, signed: &Seal::signed }
}

fn shown(audit: &mut Audit<'_>, text: &[u8], opens: bool, ends: bool, until: Option<&str>) -> Outcome {
    page(audit, Page { text, opens, ends, until }, &mut |_| Ok(()))
}

fn outcome_of(scribe: &Scribe, text: &[u8], wanted: &[&str]) -> (Outcome, Seen, Result<(), String>) {
    let wanted = wanted.iter().map(|note| Note::parse(note).unwrap()).collect();
    let mut audit = Audit::new(means(scribe), Begin::Genesis, wanted);
    let outcome = shown(&mut audit, text, true, true, None);
    let end = audit.end();
    (outcome, audit.seen().clone(), end)
}

fn broken_at(scribe: &Scribe, lines: &[String]) -> Option<usize> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match outcome_of(scribe, text.as_bytes(), &[]).0 {
        Outcome::Broken(line, _) => Some(line),
        _ => None,
    }
}

/// Audits as they stand before each line.
fn before_each_line<'a>(scribe: &'a Scribe) -> Vec<Audit<'a>> {
    let mut audit = Audit::new(means(scribe), Begin::Genesis, Vec::new());
    let mut before = Vec::new();
    for (index, line) in scribe.lines.iter().enumerate() {
        before.push(audit.clone());
        audit.line(line.as_bytes(), index == 0).unwrap();
    }
    before
}

/// Where a changed ledger is found broken or torn, if the lines up to `from` are those of `audit`.
fn found(audit: &Audit<'_>, from: usize, text: &[u8]) -> Option<usize> {
    match shown(&mut audit.clone(), text, from == 0, true, None) {
        Outcome::Broken(line, _) | Outcome::Torn(line, _) => Some(from + line),
        Outcome::Whole => None,
    }
}

#[test]
fn what_the_station_wrote_holds() {
    let studio = Studio::with_lines(100);
    let text = studio.scribe.text();
    let (outcome, seen, end) = outcome_of(&studio.scribe, text.as_bytes(), &[]);
    assert_eq!((outcome, end), (Outcome::Whole, Ok(())));
    assert_eq!((seen.receipts, seen.numbers, seen.unproved, seen.unsigned), (100, Some((0, 99)), 0, None));
    assert_eq!((seen.segments, seen.checkpoints), (74, 4));
    let mut preallocated = text.into_bytes();
    preallocated.resize(1 << 20, 0);
    assert_eq!(outcome_of(&studio.scribe, &preallocated, &[]).0, Outcome::Whole);
}

#[test]
fn every_flipped_bit_of_a_hundred_lines_is_found_in_its_line() {
    let studio = Studio::with_lines(100);
    let audits = before_each_line(&studio.scribe);
    let text = studio.scribe.text().into_bytes();
    let starts: Vec<usize> =
        std::iter::once(0).chain(text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1)).collect();
    for line in 0..100 {
        // What comes behind the next two lines makes no difference to the first of them.
        let (start, stop) = (starts[line], starts[(line + 3).min(100)]);
        let mut changed = text[start..stop].to_vec();
        for at in 0..starts[line + 1] - start {
            for bit in 0..8 {
                changed[at] ^= 1 << bit;
                assert_eq!(found(&audits[line], line, &changed), Some(line + 1), "byte {at}, bit {bit}");
                changed[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn any_other_byte_in_any_place_of_a_thousand_lines_is_found_in_its_line() {
    let studio = Studio::with_lines(1_000);
    let audits = before_each_line(&studio.scribe);
    let mut start = vec![0];
    studio.scribe.lines.iter().for_each(|line| start.push(start[start.len() - 1] + line.len() + 1));
    let text = studio.scribe.text().into_bytes();
    let mut state = 7_u64;
    let mut chance = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..1_000 {
        let at = chance(text.len());
        let line = start.partition_point(|start| *start <= at) - 1;
        let mut changed = text[start[line]..].to_vec();
        changed[at - start[line]] ^= 1 + chance(255) as u8;
        assert_eq!(found(&audits[line], line, &changed), Some(line + 1), "byte {at}");
    }
    // Without what was known of the lines before.
    for _ in 0..20 {
        let at = chance(text.len());
        let mut changed = text.clone();
        changed[at] ^= 0xff;
        let (outcome, ..) = outcome_of(&studio.scribe, &changed, &[]);
        let line = start.partition_point(|start| *start <= at);
        assert!(matches!(outcome, Outcome::Broken(found, _) | Outcome::Torn(found, _) if found == line), "{outcome:?}");
    }
}

#[test]
fn a_line_that_is_removed_swapped_or_repeated_is_found() {
    let studio = Studio::with_lines(100);
    let lines = &studio.scribe.lines;
    for at in 0..100 {
        let mut removed = lines.clone();
        removed.remove(at);
        // The last one is missed by who has a checkpoint.
        assert_eq!(broken_at(&studio.scribe, &removed), (at < 99).then_some(at + 1), "removed {at}");
        let mut repeated = lines.clone();
        repeated.insert(at, lines[at].clone());
        assert_eq!(broken_at(&studio.scribe, &repeated), Some(at + 2), "repeated {at}");
        if at < 99 {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            assert_eq!(broken_at(&studio.scribe, &swapped), Some(at + 1), "swapped {at}");
        }
    }
}

#[test]
fn a_tail_that_was_cut_off_or_written_anew_is_told_by_a_checkpoint() {
    let mut studio = Studio::with_lines(60);
    let fork = studio.scribe.clone();
    let note = studio.scribe.checkpoint().note;
    studio.item(3);
    let text = studio.scribe.text();
    let whole = outcome_of(&studio.scribe, text.as_bytes(), &[&note]);
    assert_eq!((whole.0, whole.2), (Outcome::Whole, Ok(())));
    for kept in 0..60 {
        let cut: String = studio.scribe.lines[..kept].iter().map(|line| format!("{line}\n")).collect();
        let (outcome, _, end) = outcome_of(&studio.scribe, cut.as_bytes(), &[&note]);
        let why = end.unwrap_err();
        assert!(outcome == Outcome::Whole && why.contains(&format!("ends with {kept} receipts")), "{why}");
    }
    // All of it but the last two receipts, and then others with the same key.
    let mut forged = fork.clone();
    forged.lines.truncate(58);
    (0..9).for_each(|entries| forged.add(Body::OrderAccepted { order: "ef".repeat(32), entries }));
    let (outcome, ..) = outcome_of(&forged, forged.text().as_bytes(), &[&note]);
    let Outcome::Broken(line, why) = outcome else { panic!("{outcome:?}") };
    assert!(line == 61 && why.contains("not those of the checkpoint"), "{line}: {why}");
}

#[test]
fn a_key_that_is_not_at_hand_is_named_and_hides_no_change() {
    let studio = Studio::with_lines(100);
    let only = |id: &str| studio.scribe.keys.iter().filter(|key| key.id() == id).cloned().collect::<Vec<_>>();
    for (id, other) in [("r1", "r2"), ("r2", "r1")] {
        let (keys, text) = (only(id), studio.scribe.text());
        let means = Means { keys: &keys, signed: &Seal::signed };
        let mut audit = Audit::new(means, Begin::Genesis, Vec::new());
        assert_eq!(shown(&mut audit, text.as_bytes(), true, true, None), Outcome::Whole);
        let (missing, count) = audit.seen().unsigned.clone().unwrap();
        assert!(missing == other && (20..80).contains(&count), "{missing}: {count}");
        let changed = text.replacen("Title @ 1\"", "Title @ 9\"", 1).replacen("Title @ 7\"", "Title @ 9\"", 1);
        let mut audit = Audit::new(means, Begin::Genesis, Vec::new());
        let outcome = shown(&mut audit, changed.as_bytes(), true, true, None);
        let first = text.lines().position(|line| line.contains("Title @ 1\"")).unwrap();
        assert!(matches!(outcome, Outcome::Broken(line, _) if line == first + 1), "{outcome:?}");
    }
}

#[test]
fn any_range_holds_by_itself() {
    let studio = Studio::with_lines(100);
    let lines = &studio.scribe.lines;
    for from in 0..100 {
        let mut audit = Audit::new(means(&studio.scribe), Begin::Anywhere, Vec::new());
        let text: String = lines[from..].iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(shown(&mut audit, text.as_bytes(), false, true, None), Outcome::Whole, "from {from}");
        assert_eq!(audit.seen().numbers, Some((from as u64, 99)));
        let cut = broken_at(&studio.scribe, &lines[from..]);
        assert_eq!(cut, (from > 0).then_some(1), "its beginning is missing");
    }
}

#[test]
fn what_a_file_gave_up_is_passed_over() {
    let mut studio = Studio::with_lines(40);
    let kept = studio.scribe.lines.clone();
    let mut given_up = studio.scribe.clone();
    given_up.add(Body::OrderAccepted { order: "lost".into(), entries: 1 });
    let first = given_up.text();
    studio.scribe.add(Body::LedgerOpen(studio.axis.constants()));
    studio.item(2);
    let second: String = studio.scribe.lines[40..].iter().map(|line| format!("{line}\n")).collect();
    let until = link(kept.last().unwrap());
    let mut audit = Audit::new(means(&studio.scribe), Begin::Genesis, Vec::new());
    assert_eq!(shown(&mut audit, first.as_bytes(), true, false, Some(&until)), Outcome::Whole);
    assert_eq!(shown(&mut audit, second.as_bytes(), true, true, None), Outcome::Whole);
    assert_eq!(audit.seen().receipts, 44);
    let mut audit = Audit::new(means(&studio.scribe), Begin::Genesis, Vec::new());
    assert_eq!(shown(&mut audit, first.as_bytes(), true, false, None), Outcome::Whole);
    assert!(matches!(shown(&mut audit, second.as_bytes(), true, true, None), Outcome::Broken(1, _)));
}

/// What is said of a ledger whose last receipts the station itself wrote wrongly.
fn said_of(wrong: impl FnOnce(&mut Studio)) -> String {
    let mut studio = Studio::with_lines(40);
    wrong(&mut studio);
    let (outcome, ..) = outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]);
    match outcome {
        Outcome::Broken(line, why) => {
            assert_eq!(line, studio.scribe.lines.len(), "{why}");
            why
        }
        other => panic!("{other:?}"),
    }
}

fn wrong_segment(change: impl FnOnce(&mut SegmentBody)) -> String {
    said_of(|studio| {
        let run = studio.run(5);
        studio.scribe.add(Body::ItemStarted(Box::new(run.clone())));
        for part in 0..3 {
            let segment = studio.segment(&run, part);
            studio.aired(segment);
        }
        let mut segment = studio.segment(&run, 3);
        change(&mut segment);
        studio.scribe.add(Body::Segment(Box::new(segment)));
    })
}

#[test]
fn the_rules_of_the_air_hold() {
    let axis = Studio::new().axis;
    for (words, said) in [
        ("media sequence", wrong_segment(|segment| segment.media_seq -= 1)),
        ("miscounted", wrong_segment(|segment| segment.disc_seq += 1)),
        ("no item begins", wrong_segment(|segment| (segment.disc, segment.disc_seq) = (true, segment.disc_seq + 1))),
        ("part 2 of", wrong_segment(|segment| segment.part = 2)),
        ("part 5 of 5", wrong_segment(|segment| segment.part = 5)),
        ("not of the item", wrong_segment(|segment| segment.entry = "music/x.flac".into())),
        ("not of the item", wrong_segment(|segment| segment.title = "x".into())),
        ("of two blocks", wrong_segment(|segment| segment.sha256_audio = "0".repeat(64))),
        ("epoch 1", wrong_segment(|segment| segment.epoch = 2)),
        ("it is dated", wrong_segment(|segment| segment.pdt = Time::from_millis(0).to_string())),
        ("samples long", wrong_segment(|segment| segment.samples = 7 * RATE)),
        ("samples long", wrong_segment(|segment| segment.samples = 13 * RATE / 2)),
        ("list begins", wrong_segment(|segment| segment.first_seq -= 3)),
        ("list begins", wrong_segment(|segment| segment.first_seq = segment.media_seq + 1)),
        ("its group is", wrong_segment(|segment| segment.group_seq += 1)),
        ("its group is", wrong_segment(|segment| segment.group_end -= 1)),
        (
            "no receipt tells why",
            wrong_segment(|segment| {
                segment.air_samples += 1_000_000;
                segment.pdt = axis.date(segment.air_samples).to_string();
            }),
        ),
        (
            "before the end",
            wrong_segment(|segment| {
                segment.air_samples -= 1_000_000;
                segment.pdt = axis.date(segment.air_samples).to_string();
            }),
        ),
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn the_rules_of_the_ledger_hold() {
    let constants = |epoch, target_duration| Constants {
        epoch,
        anchor: Time::from_millis(5).to_string(),
        target_duration,
        rate: RATE,
    };
    let said = said_of(|studio| studio.scribe.add(Body::LedgerOpen(constants(1, 6))));
    assert!(said.contains("other constants"), "{said}");
    let said = said_of(|studio| {
        studio.scribe.key = 1 - studio.scribe.key;
        studio.scribe.add(Body::IpnsReserved { until: 1 });
    });
    assert!(said.contains("is the one in use"), "{said}");
    let said = said_of(|studio| studio.scribe.add(Body::KeyRotated { to: "r1".into() }));
    assert!(said.contains("follows itself"), "{said}");
    let forged = |change: fn(&mut CheckpointBody)| {
        said_of(|studio| {
            let mut body = studio.scribe.log.checkpoint(&Seal);
            change(&mut body);
            studio.scribe.add(Body::Checkpoint(Box::new(body)));
        })
    };
    for (words, said) in [
        ("not follow", forged(|body| body.since += 1)),
        ("not follow", forged(|body| drop(body.consistency.pop()))),
        ("add up", forged(|body| body.size += 1)),
        ("add up", forged(|body| body.peaks[0] = "00".repeat(32))),
        ("not signed", forged(|body| body.note = body.note.replace("ipns/k51station/", "ipns/k51another/"))),
        ("not a checkpoint", forged(|body| body.note.clear())),
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = said_of(|studio| {
        // As many lines, and others.
        let mut other = Log::default();
        other.push(&studio.scribe.lines[0]);
        other.push(&studio.scribe.lines[1]);
        other.mark(studio.scribe.now);
        (2..studio.scribe.lines.len()).for_each(|_| other.push(&studio.scribe.lines[1]));
        studio.scribe.add(Body::Checkpoint(Box::new(other.checkpoint(&Seal))));
    });
    assert!(said.contains("not those of the checkpoint"), "{said}");
    let said = said_of(|studio| {
        let mut other = studio.scribe.log.clone();
        other.push("a line that is not there");
        studio.scribe.add(Body::Checkpoint(Box::new(other.checkpoint(&Seal))));
    });
    assert!(said.contains("add up"), "{said}");
}

#[test]
fn another_epoch_and_numbers_without_receipts_are_no_breach() {
    let mut studio = Studio::with_lines(40);
    studio.media_seq += 5;
    studio.air += 5 * SAMPLES as i64;
    studio.item(3);
    studio.axis = Axis { epoch: 2, anchor: studio.axis.anchor, rate: 48_000, target_seconds: 8 };
    studio.scribe.add(Body::LedgerOpen(studio.axis.constants()));
    (studio.air, studio.media_seq, studio.disc_seq) = (0, studio.media_seq + 10_000, studio.disc_seq + 10_000);
    let run = studio.run(1);
    studio.scribe.add(Body::ItemStarted(Box::new(run.clone())));
    let segment = SegmentBody { rate: 48_000, late: true, ..studio.segment(&run, 0) };
    studio.aired(segment);
    let (outcome, seen, end) = outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]);
    assert_eq!((outcome, end, seen.unproved, seen.late), (Outcome::Whole, Ok(()), 5, 1));
}

#[test]
fn dates_go_back_only_where_an_operator_asked_for_it() {
    for (reason, whole) in [("reanchor", true), ("skew", false), ("outage", false)] {
        let mut studio = Studio::with_lines(40);
        studio.jump_for(-90_000_000_000, reason);
        studio.item(2);
        studio.item(1);
        let (outcome, ..) = outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]);
        assert_eq!(outcome == Outcome::Whole, whole, "{reason}: {outcome:?}");
    }
}

#[test]
fn a_jump_that_was_told_before_a_crash_is_told_again() {
    let mut studio = Studio::with_lines(40);
    studio.scribe.add(Body::ClockStep { samples: 400, reason: "outage".into() });
    studio.jump(700);
    studio.item(2);
    let (outcome, ..) = outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]);
    assert_eq!(outcome, Outcome::Whole);
}

#[test]
fn an_item_that_a_crash_left_without_a_segment_never_began() {
    let mut studio = Studio::with_lines(40);
    let run = studio.run(5);
    studio.scribe.add(Body::ItemStarted(Box::new(run.clone())));
    let first = studio.segment(&run, 0);
    studio.aired(first);
    studio.items += 1;
    studio.scribe.add(Body::ItemStarted(Box::new(studio.run(3))));
    studio.items -= 1;
    for part in 1..5 {
        let segment = studio.segment(&run, part);
        studio.aired(segment);
    }
    let (outcome, ..) = outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]);
    assert_eq!(outcome, Outcome::Whole);
}
