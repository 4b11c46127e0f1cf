//! Where a timeline goes on, by the ledger's tail and the clocks.

use super::*;

const SAMPLES: i64 = 86 * 1_024;
/// Whole segments of [`item`] that the look-ahead and what lies before a first start amount to.
const LISTED: i64 = 34;

/// A station at its first start, with its list of [`LISTED`] segments, and what is known of it then.
fn begun(rules: &Rules) -> (Timeline, Position) {
    let mut timeline = Timeline::new(rules.clone(), 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    timeline.handle(Event::Order(order()), at(0));
    let list = drive(&mut timeline, 10, at(0)).0.unwrap();
    let past = position(&timeline, &list);
    (timeline, past)
}

/// The clocks when the wall shows this many samples since the anchor.
fn shows(axis: &Axis, air: i64) -> Clocks {
    Clocks { station: at(5).station, wall: axis.date(air) }
}

/// Where on the media axis now lies for who starts at these clocks.
fn starts_at(past: &Position, air: i64) -> i64 {
    let clocks = shows(&past.axis, air);
    Timeline::resume(RULES, past.clone(), Some(item(10)), clocks).media_now(clocks)
}

fn assert_near(got: i64, expected: i64) {
    assert!((got - expected).abs() <= 2, "{got}, not {expected}");
}

/// The dates from segment `from` on, which begins an item, are later by so many samples.
fn dated_later(past: &Position, from: usize, samples: i64) -> Position {
    let mut past = past.clone();
    past.listed[from..].iter_mut().for_each(|aired| aired.air_samples += samples);
    past
}

#[test]
fn a_start_goes_on_where_the_wall_clock_is_in_the_list() {
    let (_, past) = begun(&RULES);
    assert_eq!(past.listed.len() as i64, LISTED);
    let end = LISTED * SAMPLES;
    for air in [0, 1, SAMPLES - 1, SAMPLES, 20 * SAMPLES + 5, end - 1, end, end + 7 * SAMPLES] {
        assert_near(starts_at(&past, air), air);
    }
    for air in [-10, -SAMPLES, -100 * SAMPLES] {
        assert_near(starts_at(&past, air), end - RULES.look_ahead() as i64);
    }
}

#[test]
fn a_start_within_a_hole_of_the_dates_goes_on_behind_it() {
    let (_, past) = begun(&RULES);
    let past = dated_later(&past, 20, 100 * SAMPLES);
    let end = LISTED * SAMPLES;
    for air in [0, 15 * SAMPLES + 5, 20 * SAMPLES - 1] {
        assert_near(starts_at(&past, air), air);
    }
    for air in [20 * SAMPLES, 60 * SAMPLES, 120 * SAMPLES] {
        assert_near(starts_at(&past, air), 20 * SAMPLES);
    }
    assert_near(starts_at(&past, 125 * SAMPLES), 25 * SAMPLES);
    assert_near(starts_at(&past, 100 * SAMPLES + end + 50), end + 50);
}

#[test]
fn where_dates_went_back_those_since_then_count() {
    let (_, past) = begun(&RULES);
    let past = dated_later(&past, 20, -12 * SAMPLES);
    let end = LISTED * SAMPLES;
    for dated in [8, 9, 15, 21] {
        assert_near(starts_at(&past, dated * SAMPLES + 5), (dated + 12) * SAMPLES + 5);
    }
    assert_near(starts_at(&past, end - 12 * SAMPLES + 9), end + 9);
    assert_near(starts_at(&past, 8 * SAMPLES), 20 * SAMPLES);
    // Before that, what is listed aired by other dates.
    for early in [1, SAMPLES, 20 * SAMPLES] {
        assert_near(starts_at(&past, 8 * SAMPLES - early), 20 * SAMPLES - early);
    }
    assert_near(starts_at(&past, 8 * SAMPLES - 21 * SAMPLES), end - RULES.look_ahead() as i64);
}

#[test]
fn a_ledger_without_a_segment_is_gone_on_with_as_at_a_first_start() {
    let (_, past) = begun(&RULES);
    let past = Position { listed: Vec::new(), ..past };
    let resumed = Timeline::resume(RULES, past, None, at(5));
    assert_near(resumed.media_now(at(5)), RULES.lateness() as i64);
}

/// A crash may come while the first list is being filled.
#[test]
fn a_list_is_shown_after_a_start_if_there_was_one_before() {
    let (_, past) = begun(&RULES);
    for (segments, shown) in [(LISTED as usize, true), (33, false), (29, false), (10, false)] {
        let mut past = past.clone();
        past.listed.truncate(segments);
        past.next_seq = 1_000 + segments as u64;
        let mut resumed = Timeline::resume(RULES, past, Some(item(10)), at(0));
        resumed.handle(Event::Order(order()), at(0));
        assert_eq!(matches!(resumed.poll(at(0)), Action::Show(_)), shown, "{segments} segments");
    }
}

#[test]
fn an_item_is_gone_on_with_if_more_of_it_is_to_air() {
    let (_, past) = begun(&RULES);
    let other = Item { id: "b".into(), ..Item::clone(&item(10)) };
    for (segments, item, goes_on) in
        [(34, Some(item(10)), true), (30, Some(item(10)), false), (34, Some(Arc::new(other)), false), (34, None, false)]
    {
        let mut past = past.clone();
        past.listed.truncate(segments);
        past.next_seq = 1_000 + segments as u64;
        let resumed = Timeline::resume(RULES, past, item, at(0));
        assert_eq!(resumed.has_programme(), goes_on, "behind segment {segments}");
        assert_eq!(resumed.break_next, !goes_on);
    }
}

/// Whoever starts to listen must find the segments that he begins with.
#[test]
fn a_list_that_reaches_further_than_the_rules_say_is_held_back_from_by_as_much_more() {
    let rules = Rules { segment_seconds: 3, ..RULES };
    let (_, past) = begun(&rules);
    let end = past.listed.len() as i64 * SAMPLES;
    let shorter = Rules { look_ahead: 4, ..rules };
    let held = |ahead: i64| {
        let clocks = shows(&past.axis, end - ahead);
        Timeline::resume(shorter.clone(), past.clone(), Some(item(10)), clocks).hold_back_seconds
    };
    let second = i64::from(shorter.rate);
    assert_eq!(shorter.hold_back_seconds(), 18);
    assert_eq!(held(30 * second + 100), 31 + 6);
    assert_eq!(held(15 * second + 100), 16 + 6, "longer by more than a segment");
    assert_eq!(held(15 * second - 100), 18, "as long as a list may be");
    assert_eq!(held(13 * second), 18);
    assert_eq!(held(end - 100), (end / second) as u64, "no further back than the list begins");
}

#[test]
fn groups_are_counted_anew_behind_a_list_without_any() {
    let (_, mut past) = begun(&RULES);
    past.listed.iter_mut().for_each(|aired| (aired.group_seq, aired.group_end) = (0, 0));
    past.groups = Groups::default();
    let next_seq = past.next_seq;
    let mut resumed = Timeline::resume(RULES, past, Some(item(10)), at(10));
    resumed.handle(Event::Order(order()), at(10));
    let list = drive(&mut resumed, 10, at(10)).0.unwrap();
    let next = list.segments.iter().find(|aired| aired.media_seq == next_seq).unwrap();
    assert_eq!((next.group_seq, next.group_end), (next_seq, next_seq));
}

#[test]
#[should_panic(expected = "media sequence has a hole")]
fn a_list_that_breaks_a_rule_is_never_shown() {
    let (_, mut past) = begun(&RULES);
    past.listed.remove(5);
    Timeline::resume(RULES, past, Some(item(10)), at(0));
}
