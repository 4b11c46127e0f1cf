//! The rules of the air where an item begins, and behind numbers without receipts.

use cid::Cid;

use super::*;
use crate::radio::receipt::{GENESIS, RenditionBody};

/// What is said of a ledger that ends with the beginning of an item, or with another epoch ahead of it.
fn wrong_beginning(epoch: bool, change: impl FnOnce(&mut StartedBody, &mut SegmentBody)) -> String {
    said_of(|studio| {
        let mut run = studio.run(5);
        let mut segment = studio.segment(&run, 0);
        if epoch {
            studio.axis.epoch += 1;
            segment.epoch = studio.axis.epoch;
            studio.scribe.add(Body::LedgerOpen(studio.axis.constants()));
        }
        change(&mut run, &mut segment);
        if run.parts > 0 {
            studio.scribe.add(Body::ItemStarted(Box::new(run)));
        }
        studio.scribe.add(Body::Segment(Box::new(segment)));
    })
}

#[test]
fn an_item_begins_as_its_receipt_says() {
    let axis = Studio::new().axis;
    for (words, said) in [
        ("not how its item begins", wrong_beginning(false, |_, segment| segment.part = 1)),
        ("not how its item begins", wrong_beginning(false, |run, _| run.air_samples += 1)),
        (
            "part 0 of 5",
            wrong_beginning(false, |run, segment| {
                run.media_seq += 2;
                (segment.disc, segment.disc_seq, segment.group_seq) =
                    (false, segment.disc_seq - 1, segment.group_seq - 1);
            }),
        ),
        (
            "no receipt tells why",
            wrong_beginning(false, |run, segment| {
                run.air_samples += 1_000;
                segment.air_samples += 1_000;
                segment.pdt = axis.date(segment.air_samples).to_string();
            }),
        ),
        ("no item begins", wrong_beginning(true, |run, _| run.parts = 0)),
        ("miscounted", wrong_beginning(true, |_, segment| segment.disc_seq -= 1)),
        (
            "an item begins with number",
            said_of(|studio| {
                let run = StartedBody { media_seq: studio.media_seq - 1, ..studio.run(5) };
                studio.scribe.add(Body::ItemStarted(Box::new(run)));
            }),
        ),
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = said_of(|studio| {
        let run = studio.run(5);
        studio.scribe.add(Body::ItemStarted(Box::new(run.clone())));
        let first = studio.segment(&run, 0);
        studio.aired(first);
        studio.jump(500);
        let second = studio.segment(&run, 1);
        studio.scribe.add(Body::Segment(Box::new(second)));
    });
    assert!(said.contains("no receipt tells why"), "a jump in the middle of an item: {said}");
}

/// The last segment of an item that began with its third part, behind three numbers without a receipt.
fn behind_a_gap(change: impl FnOnce(&mut SegmentBody)) -> Outcome {
    let mut studio = Studio::with_lines(40);
    let run = StartedBody { part: 2, ..studio.run(9) };
    studio.scribe.add(Body::ItemStarted(Box::new(run.clone())));
    let first = SegmentBody { part: 2, ..studio.segment(&run, 0) };
    studio.aired(first);
    studio.media_seq += 3;
    studio.air += 3 * SAMPLES as i64;
    let mut segment = studio.segment(&run, 6);
    change(&mut segment);
    studio.scribe.add(Body::Segment(Box::new(segment)));
    outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]).0
}

#[test]
fn behind_numbers_without_receipts_less_is_known_and_the_rest_holds() {
    let said = |outcome| if let Outcome::Broken(_, why) = outcome { why } else { String::new() };
    assert_eq!(behind_a_gap(|_| ()), Outcome::Whole);
    assert_eq!(behind_a_gap(|segment| segment.disc_seq += 2), Outcome::Whole);
    assert_eq!(behind_a_gap(|segment| segment.first_seq = segment.media_seq), Outcome::Whole);
    let why = said(behind_a_gap(|segment| segment.disc_seq -= 1));
    assert!(why.contains("miscounted"), "{why}");
    let why = said(behind_a_gap(|segment| segment.part = 1));
    assert!(why.contains("part 1 of 9"), "{why}");
}

#[test]
fn a_ledger_from_before_the_coarse_list_goes_on_with_one() {
    let mut studio = Studio::new();
    let run = studio.run(2);
    studio.scribe.add(Body::ItemStarted(Box::new(run.clone())));
    for part in 0..2 {
        let segment = SegmentBody { group_seq: 0, group_end: 0, ..studio.segment(&run, part) };
        studio.aired(segment);
    }
    studio.items += 1;
    studio.item(3);
    let (outcome, ..) = outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]);
    assert_eq!(outcome, Outcome::Whole);
}

#[test]
fn a_file_that_ends_within_a_line_is_torn_only_where_no_other_follows() {
    let studio = Studio::with_lines(40);
    let text = studio.scribe.text();
    let told = |ends: bool| {
        let mut audit = Audit::new(means(&studio.scribe), Begin::Genesis, Vec::new());
        shown(&mut audit, &text.as_bytes()[..text.len() - 5], true, ends, None)
    };
    assert!(matches!(told(true), Outcome::Torn(40, _)), "{:?}", told(true));
    assert_eq!(told(false), Outcome::Broken(40, "the file ends within a line".into()));
}

#[test]
fn a_first_checkpoint_is_of_the_ledger_that_it_is_in() {
    let mut studio = Studio::new();
    studio.scribe = Scribe::new();
    studio.scribe.add(Body::LedgerOpen(studio.axis.constants()));
    let mut body = studio.scribe.log.checkpoint(&Seal);
    let another = format!("ipns/k51station/ledger/{}", "0".repeat(16));
    body.note = Note::sign(&another, &body.tree().unwrap(), &Seal);
    studio.scribe.add(Body::Checkpoint(Box::new(body)));
    let (outcome, ..) = outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]);
    let why = if let Outcome::Broken(2, why) = outcome { why } else { String::new() };
    assert!(why.contains("not those of the checkpoint"), "{why}");
}

#[test]
fn a_segment_has_one_rendition_of_a_bit_rate() {
    let (cid, other) = (cid_of(RAW, b"rung"), cid_of(RAW, b"other"));
    let rendition = |bitrate: u64, of: Cid| RenditionBody {
        bitrate,
        cid: CidText(cid),
        sha256: data_encoding::HEXLOWER.encode(of.hash().digest()),
        byte_count: 1,
    };
    for (words, renditions) in [
        ("its rendition of 32000 b/s are of two blocks", vec![rendition(64_000, cid), rendition(32_000, other)]),
        ("it has two renditions of 64000 b/s", vec![rendition(64_000, cid), rendition(64_000, cid)]),
    ] {
        let said = wrong_segment(|segment| segment.renditions = renditions);
        assert!(said.contains(words), "{words}: {said}");
    }
    let mut studio = Studio::with_lines(40);
    let run = studio.run(1);
    studio.scribe.add(Body::ItemStarted(Box::new(run.clone())));
    let renditions = vec![rendition(64_000, cid), rendition(32_000, cid)];
    studio.aired(SegmentBody { renditions, ..studio.segment(&run, 0) });
    assert_eq!(outcome_of(&studio.scribe, studio.scribe.text().as_bytes(), &[]).0, Outcome::Whole);
}

#[test]
fn a_ledger_begins_with_number_0_behind_nothing() {
    let scribe = Scribe::new();
    let told = |seq: u64, prev: &str| {
        let body = Body::LedgerOpen(Studio::new().axis.constants());
        let (prev, key_id) = (prev.into(), scribe.keys[0].id().into());
        let (node_id, stream) = ("node".into(), "main".into());
        let first = Receipt { seq, prev, key_id, node_id, stream, produced_at: Time(0), body };
        let text = first.sign(&scribe.keys[0]).unwrap() + "\n";
        outcome_of(&scribe, text.as_bytes(), &[]).0
    };
    assert_eq!(told(0, GENESIS), Outcome::Whole);
    for (seq, prev) in [(1, GENESIS), (0, &*"ab".repeat(32))] {
        assert!(matches!(told(seq, prev), Outcome::Broken(1, why) if why.contains("what was before it is missing")));
    }
}

#[test]
fn a_checkpoint_of_what_was_not_shown_is_told_as_such() {
    let mut studio = Studio::with_lines(40);
    let note = Note::parse(&studio.scribe.checkpoint().note).unwrap();
    studio.item(3);
    studio.scribe.checkpoint();
    let shown_from = studio.scribe.lines.len() - 4;
    let text: String = studio.scribe.lines[shown_from..].iter().map(|line| format!("{line}\n")).collect();
    let mut audit = Audit::new(means(&studio.scribe), Begin::Anywhere, vec![note]);
    assert_eq!(shown(&mut audit, text.as_bytes(), false, true, None), Outcome::Whole);
    assert_eq!(audit.end(), Err("these receipts tell nothing of the first 40, which a checkpoint counts".into()));
}
