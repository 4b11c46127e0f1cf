//! What cannot be had, stored or written.

use super::*;

fn slots(paths: &[&str]) -> Arc<Order> {
    let entry = |path: &&str| Entry { path: (*path).into(), kind: Kind::Track, id: (*path).into() };
    Arc::new(Order { sha256: paths.concat(), entries: paths.iter().map(entry).collect() })
}

/// The item at an entry, of segments that no other has.
fn item_of(slot: &Slot, parts: usize) -> Arc<Item> {
    let id = slot.entry.id.clone();
    let segment = Segment { cid: cid_of(RAW, id.as_bytes()), ..item(1).segments[0] };
    Arc::new(Item { id, segments: vec![segment; parts], ..Item::clone(&item(1)) })
}

fn station(rules: Rules, paths: &[&str]) -> Timeline {
    let mut timeline = Timeline::new(rules, 1, First { media_seq: 1_000, disc_seq: 7 }, at(0));
    timeline.handle(Event::Order(slots(paths)), at(0));
    timeline
}

/// Fetches what it asks for until it asks for something else. Gives what that is, and what was fetched.
fn fetch(timeline: &mut Timeline, clocks: Clocks, found: impl Fn(&Slot) -> bool) -> (Action, Vec<String>) {
    let mut fetched = Vec::new();
    loop {
        let slot = match timeline.poll(clocks) {
            Action::Fetch(slot) => slot,
            other => return (other, fetched),
        };
        fetched.push(slot.entry.path.clone());
        let event = if found(&slot) {
            let item = item_of(&slot, 3);
            Event::Fetched(slot, item)
        } else {
            Event::NotFetched(slot, "gone".into())
        };
        timeline.handle(event, clocks);
    }
}

fn failed(bodies: &[Body]) -> Vec<&str> {
    let failed = bodies.iter().filter_map(|body| match body {
        Body::CatalogChanged { entry, reason, .. } if reason == "gone" => Some(entry.as_str()),
        _ => None,
    });
    failed.collect()
}

fn recorded(timeline: &mut Timeline, clocks: Clocks) -> Vec<Body> {
    timeline.handle(Event::Stored, clocks);
    let Action::Record(bodies) = timeline.poll(clocks) else { panic!("nothing is recorded") };
    bodies
}

#[test]
fn an_item_that_cannot_be_had_is_told_of_and_the_next_one_airs() {
    let mut timeline = station(RULES, &["a", "b"]);
    assert_eq!(timeline.ahead(2).iter().map(|slot| &*slot.entry.path).collect::<Vec<_>>(), ["a", "b"]);
    let Action::Fetch(slot) = timeline.poll(at(0)) else { panic!("nothing is fetched") };
    let other = Slot { position: 1, ..slot.clone() };
    timeline.handle(Event::NotFetched(other, "gone".into()), at(0));
    assert!(matches!(timeline.poll(at(0)), Action::Wait(_, Why::Busy)), "another one was asked for");
    timeline.handle(Event::NotFetched(slot, "gone".into()), at(0));
    let (next, fetched) = fetch(&mut timeline, at(0), |_| true);
    assert_eq!((matches!(next, Action::Store(..)), &fetched[..2]), (true, &["b".to_string(), "a".into()][..]));
    assert_eq!(failed(&recorded(&mut timeline, at(0))), ["a"]);
}

#[test]
fn an_item_of_an_order_that_is_over_is_not_missed() {
    let mut timeline = station(RULES, &["a", "b"]);
    let Action::Fetch(slot) = timeline.poll(at(0)) else { panic!("nothing is fetched") };
    timeline.handle(Event::Order(slots(&["c"])), at(0));
    timeline.handle(Event::NotFetched(slot, "gone".into()), at(0));
    let (_, fetched) = fetch(&mut timeline, at(0), |_| true);
    assert_eq!(fetched[0], "c");
    assert!(failed(&recorded(&mut timeline, at(0))).is_empty());
}

#[test]
fn after_many_failures_there_is_a_pause() {
    let mut timeline = station(RULES, &["a"]);
    for seconds in 0..3 {
        let (next, fetched) = fetch(&mut timeline, at(seconds), |_| false);
        assert_eq!(next, Action::Wait(at(seconds + 1).station, Why::Retry));
        assert_eq!(fetched.len(), FAILURES_MAX as usize);
    }
}

#[test]
fn what_is_planned_airs_before_a_pause() {
    let paths: Vec<String> = (0..200).map(|n| format!("{n}")).collect();
    let mut timeline = station(RULES, &paths.iter().map(String::as_str).collect::<Vec<_>>());
    let (next, fetched) = fetch(&mut timeline, at(0), |slot| slot.position == 0);
    assert!(matches!(next, Action::Store(segments, ..) if segments.len() == 3));
    assert_eq!(fetched.len(), 1 + FAILURES_MAX as usize);
}

/// One that is broken in the order does not bring on the filler while others air.
#[test]
fn the_order_airs_as_long_as_something_of_it_does() {
    let mut timeline = station(RULES, &["a", "b"]);
    timeline.handle(Event::Filler(slots(&["f"])), at(0));
    for seconds in 0..600 {
        loop {
            let event = match timeline.poll(at(seconds)) {
                Action::Wait(..) => break,
                Action::Show(_) => continue,
                Action::Fetch(slot) if slot.entry.path == "b" => Event::NotFetched(slot, "gone".into()),
                Action::Fetch(slot) => {
                    assert_eq!(slot.entry.path, "a", "after {seconds} s");
                    let item = item_of(&slot, 40);
                    Event::Fetched(slot, item)
                }
                Action::Store(..) => Event::Stored,
                Action::Record(_) => Event::Recorded,
            };
            timeline.handle(event, at(seconds));
        }
    }
}

#[test]
fn behind_a_lost_segment_play_goes_on_with_the_next_item() {
    for lost in [3, 4, 5] {
        let mut timeline = station(RULES, &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"]);
        let (Action::Store(planned, ..), _) = fetch(&mut timeline, at(0), |_| true) else { panic!("nothing to store") };
        assert_eq!(timeline.planned_entry(lost).unwrap().path, "b");
        assert_eq!(timeline.planned_entry(planned.len()), None);
        timeline.handle(Event::Missing(lost, "gone".into()), at(0));
        let (next, fetched) = fetch(&mut timeline, at(0), |_| true);
        let Action::Store(again, _, lists) = next else { panic!("{next:?}") };
        assert_eq!((fetched[0].as_str(), again.len()), ("c", planned.len()));
        let told = recorded(&mut timeline, at(0));
        assert_eq!(failed(&told), ["b"]);
        timeline.handle(Event::Recorded, at(0));
        let Action::Show(list) = timeline.poll(at(0)) else { panic!("nothing is shown") };
        let mut air = 0;
        for (index, aired) in list.segments.iter().enumerate() {
            let begins = if index < lost { index % 3 == 0 } else { (index - lost) % 3 == 0 };
            assert_eq!((aired.media_seq, aired.air_samples, aired.disc), (1_000 + index as u64, air, begins));
            air += i64::from(aired.segment.samples);
        }
        let begun = list.segments.iter().filter(|aired| aired.disc).count();
        assert_eq!((list.segments.last().unwrap().disc_seq, lists.len()), (7 + begun as u64, begun));
    }
}

#[test]
fn nothing_airs_without_a_receipt_where_receipts_are_required() {
    let mut timeline = station(RULES, &["a"]);
    fetch(&mut timeline, at(0), |_| true);
    let bodies = recorded(&mut timeline, at(0));
    for seconds in 0..20 {
        timeline.handle(Event::NotRecorded("full".into()), at(seconds));
        assert_eq!(timeline.poll(at(seconds)), Action::Wait(at(seconds + 1).station, Why::Retry));
        assert_eq!(timeline.poll(at(seconds + 1)), Action::Record(bodies.clone()), "the same again");
    }
    assert_eq!(timeline.last(), None);
    timeline.handle(Event::Recorded, at(20));
    assert_eq!(timeline.last().unwrap().media_seq, 1_033);
}

/// Who starts anew behind a crash counts on by time alone.
#[test]
fn numbers_without_a_receipt_are_shown_no_sooner_than_the_next_chain_leaves_room_for() {
    let mut timeline = station(Rules { receipts_required: false, ..RULES }, &["a"]);
    fetch(&mut timeline, at(0), |_| true);
    recorded(&mut timeline, at(0));
    timeline.handle(Event::NotRecorded("full".into()), at(0));
    let given = timeline.last().unwrap().media_seq + 1 - 1_000;
    assert_eq!(given, 34);
    let after = |millis: u64| {
        let now = at(0).station.plus(Span::millis(millis));
        Clocks { station: now, wall: now }
    };
    let due = given * 1_000 / NUMBERS_PER_SECOND;
    for (millis, until) in [(0, 1_000), (due - 1_500, due - 500), (due - 500, due), (due - 1, due)] {
        assert_eq!(timeline.poll(after(millis)), Action::Wait(after(until).station, Why::Unproved), "at {millis} ms");
    }
    assert!(matches!(timeline.poll(after(due)), Action::Show(_)));
}

/// Whether the receipts of segments say that they are late.
fn late(bodies: &[Body]) -> Vec<bool> {
    let late = bodies.iter().filter_map(|body| if let Body::Segment(body) = body { Some(body.late) } else { None });
    late.collect()
}

#[test]
fn a_receipt_that_comes_behind_the_list_says_so() {
    let mut timeline = station(Rules { receipts_required: false, ..RULES }, &["a"]);
    fetch(&mut timeline, at(0), |_| true);
    assert_eq!(late(&recorded(&mut timeline, at(0))), [false; 34]);
    timeline.handle(Event::NotRecorded("full".into()), at(0));
    assert!(matches!(timeline.poll(at(30)), Action::Show(_)));
    fetch(&mut timeline, at(30), |_| true);
    let again = late(&recorded(&mut timeline, at(30)));
    let (behind, ahead) = again.split_at(34);
    assert!(behind.iter().all(|late| *late) && !ahead.is_empty() && ahead.iter().all(|late| !late), "{again:?}");
    timeline.handle(Event::Recorded, at(30));
    assert!(matches!(timeline.poll(at(30)), Action::Show(_)));
    fetch(&mut timeline, at(60), |_| true);
    assert!(late(&recorded(&mut timeline, at(60))).iter().all(|late| !late));
}

#[test]
fn what_no_list_has_named_is_not_late() {
    let mut timeline = station(Rules { receipts_required: false, look_ahead: 200, ..RULES }, &["a"]);
    fetch(&mut timeline, at(0), |_| true);
    let first = late(&recorded(&mut timeline, at(0)));
    timeline.handle(Event::NotRecorded("full".into()), at(0));
    fetch(&mut timeline, at(0), |_| true);
    let again = late(&recorded(&mut timeline, at(0)));
    assert!(again.len() > first.len() && again.iter().all(|late| !late), "{again:?}");
}
