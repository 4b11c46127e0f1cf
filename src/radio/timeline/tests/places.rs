//! The place that a segment is given, and what is on air.

use super::*;

/// An item of segments that last exactly as long as the rules say.
fn even(parts: usize) -> Item {
    let mut item = Item::clone(&item(parts));
    item.segments.iter_mut().for_each(|segment| segment.samples = RULES.target() as u32);
    item
}

fn station(rules: Rules) -> Timeline {
    let mut timeline = Timeline::new(rules, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    timeline.handle(Event::Order(order()), at(0));
    timeline
}

/// Does all that is due. Gives the last list, what was recorded, and how many segments each batch had.
fn run(timeline: &mut Timeline, parts: usize, clocks: Clocks) -> (Option<Arc<Snapshot>>, Vec<Body>, Vec<usize>) {
    let (mut shown, mut told, mut batches) = (None, Vec::new(), Vec::new());
    loop {
        let event = match timeline.poll(clocks) {
            Action::Wait(..) => return (shown, told, batches),
            Action::Show(snapshot) => {
                shown = Some(snapshot);
                continue;
            }
            Action::Fetch(slot) => Event::Fetched(slot, Arc::new(even(parts))),
            Action::Store(segments, ..) => {
                batches.push(segments.len());
                Event::Stored
            }
            Action::Record(bodies) => {
                told.extend(bodies);
                Event::Recorded
            }
        };
        timeline.handle(event, clocks);
    }
}

fn steps(told: &[Body]) -> Vec<(i64, &str)> {
    let step = |body| match body {
        &Body::ClockStep { samples, ref reason } => Some((samples, reason.as_str())),
        _ => None,
    };
    told.iter().filter_map(step).collect()
}

fn seconds(samples: i64) -> i64 {
    samples * i64::from(RULES.rate)
}

#[test]
fn a_list_reaches_as_far_as_the_rules_say_and_no_further() {
    let mut timeline = station(RULES);
    let (list, told, batches) = run(&mut timeline, 10, at(0));
    // 6 s that lie before now, and 60 s ahead.
    assert_eq!((list.unwrap().segments.len(), batches), (33, vec![33]));
    assert!(steps(&told).is_empty(), "nothing is late at a first start");
    let mut lengths = Vec::new();
    for now in 1..=100 {
        if let (Some(list), ..) = run(&mut timeline, 10, at(now)) {
            assert_eq!(now % 2, 1, "the look-ahead is short as soon as a segment is on air");
            lengths.push(list.segments.len());
        }
    }
    // 80 s of look-ahead and window, the segment that completes them, the one that ended as they began, and the last one
    // that ended before.
    assert_eq!((lengths.len(), lengths[0], *lengths.last().unwrap()), (50, 34, 43));
}

#[test]
fn a_long_look_ahead_is_planned_in_batches() {
    let (_, _, batches) = run(&mut station(Rules { look_ahead: 100, ..RULES }), 10, at(0));
    assert_eq!(batches, [BATCH_MAX, 103 - BATCH_MAX]);
}

#[test]
fn dates_jump_once_more_is_due_than_lay_behind_the_first_start() {
    for (now, jump) in [(65, None), (66, None), (100, Some(34))] {
        let mut timeline = station(RULES);
        run(&mut timeline, 10, at(0));
        let (list, told, _) = run(&mut timeline, 10, at(now));
        assert_eq!(steps(&told), jump.map(|jump| (seconds(jump), "outage")).into_iter().collect::<Vec<_>>());
        let list = list.unwrap();
        let next = list.segments.iter().find(|aired| aired.media_seq == 1_033).unwrap();
        assert_eq!(next.air_samples, seconds(66 + jump.unwrap_or(0)));
    }
}

#[test]
fn dates_follow_a_wall_clock_that_runs_ahead_by_more_than_two_segments_where_an_item_begins() {
    for (millis, jumps) in [(4_000, false), (4_010, true)] {
        let mut timeline = station(RULES);
        run(&mut timeline, 33, at(0));
        let clocks = Clocks { wall: at(2).wall.plus(Span::millis(millis)), ..at(2) };
        assert_eq!(
            (timeline.skew_millis(clocks), timeline.next_skew_millis(clocks)),
            (-(millis as i64), -(millis as i64))
        );
        let (list, told, _) = run(&mut timeline, 33, clocks);
        assert_eq!(steps(&told).len(), usize::from(jumps), "{millis} ms");
        assert_eq!(list.unwrap().segments.last().unwrap().air_samples > seconds(66), jumps);
        let next = if jumps { 0 } else { -4_000 };
        assert_eq!((timeline.skew_millis(clocks), timeline.next_skew_millis(clocks)), (-(millis as i64), next));
    }
}

#[test]
fn what_is_on_air_does_not_depend_on_what_is_planned() {
    let mut timeline = station(RULES);
    assert!(timeline.last().is_none() && timeline.on_air(at(0)).is_none());
    run(&mut timeline, 33, at(0));
    let on_air = |timeline: &Timeline, now: u64| timeline.on_air(at(now)).map(|aired| aired.media_seq);
    // The first 6 s were over at the start.
    let expected = [(0, Some(1_003)), (1, Some(1_003)), (2, Some(1_004)), (59, Some(1_032)), (100, Some(1_032))];
    assert_eq!(expected.map(|(now, _)| (now, on_air(&timeline, now))), expected);
    assert_eq!(timeline.last().unwrap().media_seq, 1_032);
    let Action::Fetch(slot) = timeline.poll(at(20)) else { panic!("nothing is fetched") };
    timeline.handle(Event::Fetched(slot, Arc::new(even(33))), at(20));
    assert!(matches!(timeline.poll(at(20)), Action::Store(..)));
    assert_eq!(expected.map(|(now, _)| (now, on_air(&timeline, now))), expected);
    assert_eq!(timeline.listed_from(), timeline.axis().position(at(0).station) - seconds(6));
}

#[test]
fn a_station_has_a_programme_while_an_order_or_an_item_is_there() {
    let mut timeline = Timeline::new(RULES, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    assert!(!timeline.has_programme());
    timeline.handle(Event::Order(order()), at(0));
    assert!(timeline.has_programme());
    run(&mut timeline, 100, at(0));
    let empty = Order { entries: Vec::new(), ..Order::clone(&order()) };
    timeline.handle(Event::Order(Arc::new(empty)), at(1));
    assert!(timeline.has_programme(), "the rest of an item");
}

/// Spoils one thing of a list, and tells what is said of it.
fn said(spoil: impl Fn(&mut [Aired])) -> String {
    let mut timeline = station(RULES);
    let list = run(&mut timeline, 10, at(0)).0.unwrap();
    let mut segments = list.segments.clone();
    spoil(&mut segments);
    check_listed(segments.iter(), timeline.axis()).err().unwrap_or_default()
}

#[test]
fn a_list_is_told_by_what_it_breaks() {
    let rung = Rung { bitrate: 64_000, cid: cid_of(RAW, b"rung"), bytes: 1 };
    let later = |from: usize, samples: i64| {
        move |list: &mut [Aired]| list[from..].iter_mut().for_each(|aired| aired.air_samples += samples)
    };
    assert_eq!(said(|_| {}), "");
    assert_eq!(said(later(10, 50)), "", "dates jump where an item begins");
    assert_eq!(said(later(10, -50)), "", "an operator may ask for it");
    assert_eq!(said(later(15, 50)), "segment 1015: a date jumps without a discontinuity");
    assert_eq!(said(later(15, -50)), "segment 1015: air time goes backward");
    let goes_on = |list: &mut [Aired]| {
        (list[10].part, list[10].disc) = (3, true);
        later(10, -50)(list);
    };
    assert_eq!(said(goes_on), "segment 1010: air time goes backward", "within an item");
    assert_eq!(said(|list| list[4].disc_seq += 1), "segment 1004: discontinuity sequence is off");
    assert_eq!(said(|list| list[4].first_seq = 0), "segment 1004: the list would go back");
    assert_eq!(said(|list| list[4].group_seq += 1), "segment 1004: groups of the coarse list are miscounted");
    assert_eq!(said(|list| list[4].group_end = 0), "segment 1004: the coarse list would go back");
    let uncounted = |list: &mut [Aired]| list[..10].iter_mut().for_each(|aired| aired.group_seq = 0);
    assert_eq!(said(uncounted), "", "they are counted from any segment on");
    assert_eq!(said(|list| list[32].segment.samples += 1), "segment 1032: it exceeds the target duration");
    let wrong = "segment 1004: its renditions are too many, or two are of one bit rate";
    assert_eq!(said(|list| list[4].rungs = vec![rung]), "");
    assert_eq!(said(|list| list[4].rungs = vec![rung; 2]), wrong);
    let many = |count: u32| (1..=count).map(|n| Rung { bitrate: n * 1_000, ..rung }).collect::<Vec<_>>();
    assert_eq!(said(|list| list[4].rungs = many(RUNGS_MAX as u32)), "");
    assert_eq!(said(|list| list[4].rungs = many(RUNGS_MAX as u32 + 1)), wrong);
}
