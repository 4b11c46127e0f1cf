//! The decisions one by one. The worlds of `crate::radio::sim::follow` have them all at once.

use super::*;
use crate::radio::segment::{DAG_PB, RAW, cid_of};

const START: u64 = 1_795_252_684_000;
const TTL: u64 = 60;

fn at(seconds: u64) -> Clocks {
    let now = Time::from_millis(START + seconds * 1_000);
    Clocks { station: now, wall: now }
}

/// The record of generation `n`: published at second `n`, valid for two hours.
fn said(which: Which, n: u64) -> Said {
    let codec = if which == Which::Station { DAG_PB } else { RAW };
    Said {
        value: format!("/ipfs/{}", cid_of(codec, &n.to_be_bytes())),
        sequence: START + n * 1_000,
        validity: at(n + 7_200).wall,
        ttl: Span::seconds(TTL),
        bytes: format!("{which} {n}").into_bytes().into(),
    }
}

fn extent(n: u64) -> Extent {
    Extent { first: n, last: n + 9, ends: at(n + 300).wall }
}

fn root(n: u64) -> Event {
    Event::Gathered(Which::Station, Ok(Found { list: extent(n), stream: Some("k51b".into()) }))
}

fn list(n: u64) -> Event {
    Event::Gathered(Which::Stream, Ok(Found { list: extent(n), stream: None }))
}

fn fresh() -> Follow {
    Follow::new(&Saved::new("k51a"), None, None, at(0).station)
}

/// Everything that is to be done now, up to the wait.
fn drain(follow: &mut Follow, clocks: Clocks) -> Vec<Action> {
    let mut actions = Vec::new();
    loop {
        match follow.poll(clocks) {
            Action::Wait(until) => {
                assert!(until > clocks.station, "waits for what is over");
                return actions;
            }
            action => actions.push(action),
        }
        assert!(actions.len() < 10, "{actions:?}");
    }
}

/// Both names resolved, gathered, saved and shown at second 0.
fn on_air() -> Follow {
    let mut follow = fresh();
    assert_eq!(drain(&mut follow, at(0)), [Action::Ask(Which::Station)]);
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 0))), at(0));
    assert_eq!(drain(&mut follow, at(0)), [Action::Gather(Which::Station, said(Which::Station, 0))]);
    follow.handle(root(0), at(0));
    let actions = drain(&mut follow, at(0));
    assert!(matches!(&actions[..], [Action::Save(_), Action::Ask(Which::Stream)]), "{actions:?}");
    follow.handle(Event::Saved(Ok(())), at(0));
    assert_eq!(drain(&mut follow, at(0)), [], "a root alone is not shown");
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 0))), at(0));
    assert_eq!(drain(&mut follow, at(0)), [Action::Gather(Which::Stream, said(Which::Stream, 0))]);
    follow.handle(list(0), at(0));
    assert!(matches!(&drain(&mut follow, at(0))[..], [Action::Save(_)]));
    assert_eq!(follow.shown(), None, "nothing is shown before it is saved");
    follow.handle(Event::Saved(Ok(())), at(0));
    assert_eq!(drain(&mut follow, at(0)), [Action::Show]);
    assert_eq!(follow.shown(), Some((&said(Which::Station, 0), &said(Which::Stream, 0))));
    assert_eq!(follow.troubles(at(0)), []);
    follow
}

fn words(follow: &Follow, clocks: Clocks) -> String {
    follow.troubles(clocks).into_iter().map(|trouble| format!("{}: {}\n", trouble.topic, trouble.text)).collect()
}

#[test]
fn a_station_is_found_by_its_name_alone_and_asked_for_at_its_ttl() {
    let mut follow = on_air();
    assert_eq!(drain(&mut follow, at(TTL - 1)), []);
    assert_eq!(drain(&mut follow, at(TTL)), [Action::Ask(Which::Station), Action::Ask(Which::Stream)]);
    assert_eq!(drain(&mut follow, at(TTL + 30)), [], "one look-up of a name at a time");
}

#[test]
fn look_ups_that_fail_are_tried_again_with_growing_pauses() {
    let mut follow = fresh();
    let mut now = 0;
    for pause in [2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(drain(&mut follow, at(now)), [Action::Ask(Which::Station)]);
        follow.handle(Event::Unheard(Which::Station, "no peer".into()), at(now));
        assert_eq!(drain(&mut follow, at(now + pause - 1)), []);
        now += pause;
    }
    assert_eq!(words(&follow, at(now)), "station: the station name is not resolved: no peer\n");
    assert_eq!(drain(&mut follow, at(now)), [Action::Ask(Which::Station)]);
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 1))), at(now));
    assert_eq!(follow.troubles(at(now)), []);
}

#[test]
fn an_older_record_changes_nothing_and_the_newer_one_goes_out_again() {
    let mut follow = on_air();
    assert_eq!(drain(&mut follow, at(60)).len(), 2);
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 30))), at(60));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 0))), at(60));
    assert_eq!(drain(&mut follow, at(60)), [Action::Gather(Which::Station, said(Which::Station, 30))]);
    follow.handle(root(30), at(61));
    drain(&mut follow, at(61));
    follow.handle(Event::Saved(Ok(())), at(61));
    assert_eq!(drain(&mut follow, at(61)), [Action::Show]);

    assert_eq!(drain(&mut follow, at(120)), [Action::Ask(Which::Station), Action::Ask(Which::Stream)]);
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 0))), at(120));
    assert_eq!(drain(&mut follow, at(120)), [Action::Put(Which::Station, said(Which::Station, 30))]);
    assert_eq!(follow.shown().unwrap().0, &said(Which::Station, 30));
    follow.handle(Event::Put(Which::Station, true), at(121));
    assert_eq!(drain(&mut follow, at(180)), [Action::Ask(Which::Station)]);
    follow.handle(Event::Heard(Which::Station, None), at(179));
    assert_eq!(drain(&mut follow, at(179)), [], "not more often than once a minute");
    assert!(drain(&mut follow, at(181)).contains(&Action::Put(Which::Station, said(Which::Station, 30))));
}

#[test]
fn a_record_that_nobody_replaces_is_put_again_until_it_expires() {
    let mut follow = on_air();
    let mut puts = 0;
    for second in 1..=9_000 {
        for action in drain(&mut follow, at(second)) {
            match action {
                Action::Ask(which) => follow.handle(Event::Heard(which, Some(said(which, 0))), at(second)),
                Action::Put(which, again) => {
                    assert_eq!(again, said(which, 0));
                    assert!(second <= 7_200, "nobody takes it any more");
                    puts += 1;
                    follow.handle(Event::Put(which, true), at(second));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(puts, 2 * 12, "every ten minutes");
    assert_eq!(follow.shown(), Some((&said(Which::Station, 0), &said(Which::Stream, 0))), "shown beyond the end");
    let words = words(&follow, at(9_000));
    assert!(words.contains("the record of the station name expired at"), "{words}");
    assert!(words.contains("its list ran out at"), "{words}");
}

#[test]
fn an_expired_record_is_taken_from_nobody() {
    let mut follow = fresh();
    drain(&mut follow, at(8_000));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 0))), at(8_000));
    assert_eq!(drain(&mut follow, at(8_000)), []);
    assert!(words(&follow, at(8_000)).contains("expired at 2026-11-21T11:18:04.000Z and is not taken"));
}

#[test]
fn what_is_refused_is_named_and_the_last_good_state_stays() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 50))), at(60));
    drain(&mut follow, at(60));
    let outcome = Err(Fault::Wrong("station.json is of another station".into()));
    follow.handle(Event::Gathered(Which::Station, outcome), at(61));
    assert_eq!(drain(&mut follow, at(61)), []);
    let told = words(&follow, at(61));
    assert!(told.contains("another station; the last good one stays"), "{told}");
    assert_eq!(follow.shown().unwrap().0, &said(Which::Station, 0));

    assert_eq!(drain(&mut follow, at(120)), [Action::Ask(Which::Station)]);
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 50))), at(120));
    assert_eq!(drain(&mut follow, at(120)), [], "what is wrong is not fetched twice");
    drain(&mut follow, at(180));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 170))), at(180));
    drain(&mut follow, at(180));
    follow.handle(root(170), at(181));
    drain(&mut follow, at(181));
    follow.handle(Event::Saved(Ok(())), at(181));
    assert_eq!(words(&follow, at(181)), "");
}

#[test]
fn a_list_that_goes_back_is_refused_also_after_a_restart() {
    let mut follow = on_air();
    for (n, wrong) in [(50, Extent { first: 0, last: 8, ..extent(0) }), (51, Extent { first: 7, last: 8, ..extent(0) })]
    {
        drain(&mut follow, at(n + 10));
        follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, n))), at(n + 10));
        assert_eq!(drain(&mut follow, at(n + 10)), [Action::Gather(Which::Stream, said(Which::Stream, n))]);
        follow.handle(Event::Gathered(Which::Stream, Ok(Found { list: wrong, stream: None })), at(n + 10));
        assert!(words(&follow, at(n + 10)).contains("goes back from 0–9 to"));
    }
    let name = |which| Some(SavedName { record: said(which, 5).bytes, extent: extent(5) });
    let saved = Saved {
        stream: Some("k51b".into()),
        root: name(Which::Station),
        list: name(Which::Stream),
        ..Saved::new("k51a")
    };
    let mut follow = Follow::new(&saved, Some(said(Which::Station, 5)), Some(said(Which::Stream, 5)), at(0).station);
    let actions = drain(&mut follow, at(0));
    assert_eq!(actions[0], Action::Gather(Which::Station, said(Which::Station, 5)));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 4))), at(0));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 6))), at(0));
    follow.handle(root(5), at(0));
    assert_eq!(
        drain(&mut follow, at(0)),
        [Action::Gather(Which::Stream, said(Which::Stream, 5))],
        "the known one first"
    );
    follow.handle(list(5), at(0));
    assert_eq!(drain(&mut follow, at(0)), [Action::Show, Action::Gather(Which::Stream, said(Which::Stream, 6))]);
    follow.handle(list(4), at(0));
    assert!(words(&follow, at(0)).contains("goes back from 5–14 to 4–13"));
    assert_eq!(follow.shown(), Some((&said(Which::Station, 5), &said(Which::Stream, 5))));
}

#[test]
fn a_list_that_is_newer_than_the_root_waits_for_the_next_root() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 0))), at(60));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 58))), at(60));
    assert_eq!(drain(&mut follow, at(60)), [Action::Gather(Which::Stream, said(Which::Stream, 58))]);
    follow.handle(Event::Gathered(Which::Stream, Err(Fault::Ahead)), at(61));
    assert_eq!(drain(&mut follow, at(62)), [], "the same root would say the same");
    assert_eq!(drain(&mut follow, at(63)), [Action::Ask(Which::Station)], "the root is asked for at once");
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 60))), at(63));
    assert_eq!(drain(&mut follow, at(63)), [Action::Gather(Which::Station, said(Which::Station, 60))]);
    follow.handle(root(60), at(64));
    let actions = drain(&mut follow, at(64));
    assert!(matches!(&actions[..], [Action::Save(_), Action::Gather(Which::Stream, _)]), "{actions:?}");
    assert_eq!(words(&follow, at(64)), "");
    follow.handle(Event::Gathered(Which::Stream, Err(Fault::Ahead)), at(64));
    follow.handle(Event::Saved(Ok(())), at(64));
    assert!(words(&follow, at(600)).contains("segments that no root holds"));
}

#[test]
fn a_list_that_waits_for_its_root_does_not_give_way_to_one_that_would_wait_as_well() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 0))), at(60));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 58))), at(60));
    drain(&mut follow, at(60));
    follow.handle(Event::Gathered(Which::Stream, Err(Fault::Ahead)), at(61));
    drain(&mut follow, at(63));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 60))), at(63));
    assert_eq!(drain(&mut follow, at(63)), [Action::Gather(Which::Station, said(Which::Station, 60))]);
    assert_eq!(drain(&mut follow, at(120)), [Action::Ask(Which::Stream)], "while the root takes longer than a TTL");
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 118))), at(120));
    assert_eq!(drain(&mut follow, at(120)), []);
    follow.handle(root(60), at(133));
    let actions = drain(&mut follow, at(133));
    assert!(actions.contains(&Action::Gather(Which::Stream, said(Which::Stream, 58))), "{actions:?}");
    follow.handle(list(58), at(134));
    follow.handle(Event::Saved(Ok(())), at(134));
    drain(&mut follow, at(134));
    follow.handle(Event::Saved(Ok(())), at(134));
    assert_eq!(follow.shown(), Some((&said(Which::Station, 60), &said(Which::Stream, 58))));
    assert!(drain(&mut follow, at(136)).contains(&Action::Ask(Which::Stream)), "for what was left aside");
}

#[test]
fn a_list_that_came_while_an_older_one_was_found_to_be_ahead_waits_behind_it() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 58))), at(60));
    drain(&mut follow, at(60));
    drain(&mut follow, at(120));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 118))), at(120));
    follow.handle(Event::Gathered(Which::Stream, Err(Fault::Ahead)), at(121));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 60))), at(121));
    assert_eq!(drain(&mut follow, at(121)), [Action::Gather(Which::Station, said(Which::Station, 60))]);
    follow.handle(root(60), at(122));
    let actions = drain(&mut follow, at(122));
    assert!(actions.contains(&Action::Gather(Which::Stream, said(Which::Stream, 58))), "{actions:?}");
}

#[test]
fn what_cannot_be_fetched_is_tried_again_and_a_newer_record_takes_its_place() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 50))), at(60));
    let missing = || Event::Gathered(Which::Station, Err(Fault::Missing("3 blocks did not come".into())));
    for (now, pause) in [(60, 2), (62, 4), (66, 8)] {
        assert_eq!(drain(&mut follow, at(now)), [Action::Gather(Which::Station, said(Which::Station, 50))]);
        follow.handle(missing(), at(now));
        assert_eq!(follow.poll(at(now + pause - 1)), Action::Wait(at(now + pause).station));
    }
    assert!(words(&follow, at(70)).contains("cannot be had: 3 blocks did not come"));
    drain(&mut follow, at(74));
    assert_eq!(drain(&mut follow, at(120)), [Action::Ask(Which::Station)]);
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 110))), at(120));
    assert_eq!(drain(&mut follow, at(120)), [], "one at a time");
    follow.handle(missing(), at(121));
    assert_eq!(drain(&mut follow, at(121)), [Action::Gather(Which::Station, said(Which::Station, 110))]);
}

#[test]
fn a_newer_record_of_the_same_content_needs_nothing_fetched() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    let fresh = Said { sequence: START + 50_000, validity: at(7_250).wall, ..said(Which::Station, 0) };
    follow.handle(Event::Heard(Which::Station, Some(fresh.clone())), at(60));
    assert!(matches!(&drain(&mut follow, at(60))[..], [Action::Save(_)]));
    follow.handle(Event::Saved(Ok(())), at(60));
    assert_eq!(drain(&mut follow, at(60)), [Action::Show]);
    assert_eq!(follow.shown().unwrap().0, &fresh);
}

#[test]
fn a_full_disk_keeps_the_last_saved_state_on_air_and_says_so() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 50))), at(60));
    drain(&mut follow, at(60));
    follow.handle(root(50), at(61));
    assert!(matches!(&drain(&mut follow, at(61))[..], [Action::Save(_)]));
    follow.handle(Event::Saved(Err("no space left".into())), at(61));
    assert_eq!(follow.poll(at(62)), Action::Wait(at(63).station));
    assert!(words(&follow, at(62)).contains("disk: what was verified cannot be saved and is not shown: no space left"));
    assert_eq!(follow.shown().unwrap().0, &said(Which::Station, 0));
    assert!(matches!(&drain(&mut follow, at(63))[..], [Action::Save(_)]));
    follow.handle(Event::Saved(Err("no space left".into())), at(63));
    assert_eq!(drain(&mut follow, at(66)), [], "the pauses grow");
    assert!(matches!(&drain(&mut follow, at(67))[..], [Action::Save(_)]));
    follow.handle(Event::Saved(Ok(())), at(67));
    assert_eq!(drain(&mut follow, at(67)), [Action::Show]);
    assert_eq!((follow.shown().unwrap().0, words(&follow, at(67))), (&said(Which::Station, 50), String::new()));
}

#[test]
fn a_station_keeps_its_stream_name() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    for (n, stream) in [(50, Some("k51other".to_owned())), (51, None)] {
        follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, n))), at(60));
        drain(&mut follow, at(60));
        follow.handle(Event::Gathered(Which::Station, Ok(Found { list: extent(50), stream })), at(60));
        assert!(words(&follow, at(60)).contains("stream name"));
    }
    assert_eq!(follow.stream_name(), Some("k51b"));
    assert_eq!(follow.shown().unwrap().0, &said(Which::Station, 0));
}

#[test]
fn a_ttl_of_nothing_or_of_years_still_has_bounds() {
    for (ttl, pause) in [(Span(0), 2), (Span(u64::MAX), 600)] {
        let mut follow = on_air();
        drain(&mut follow, at(60));
        let odd = Said { ttl, ..said(Which::Station, 0) };
        follow.handle(Event::Heard(Which::Station, Some(odd)), at(100));
        assert!(!drain(&mut follow, at(100 + pause - 1)).contains(&Action::Ask(Which::Station)));
        assert!(drain(&mut follow, at(100 + pause)).contains(&Action::Ask(Which::Station)));
    }
}

#[test]
fn only_a_plain_path_to_a_block_is_followed() {
    let good = said(Which::Station, 1);
    assert!(good.block().is_some());
    for value in ["", "/ipfs/", "/ipns/k51a", "/ipfs/bafkqaaa/x", "/ipfs/nonsense"] {
        assert_eq!(Said { value: value.into(), ..good.clone() }.block(), None, "{value}");
    }
}

#[test]
fn how_what_is_shown_stands_is_told_in_a_word() {
    let mut follow = on_air();
    assert_eq!([Which::Station, Which::Stream].map(|which| follow.heard_at(which)), [Some(at(0).station); 2]);
    // Three TTLs and a minute behind the last news; the list ends a minute later.
    let words = [0, 240, 241, 300, 301].map(|second| follow.standing(at(second)));
    assert_eq!(words, ["live", "live", "quiet", "quiet", "run_out"]);
    assert_eq!(self::words(&follow, at(240)), "");
    assert!(self::words(&follow, at(241)).contains("stream: nothing new from the station since"));
    assert_eq!(follow.poll(at(0)), Action::Wait(at(TTL).station));
    drain(&mut follow, at(60));
    let brief = Said { sequence: START + 50_000, validity: at(100).wall, ..said(Which::Station, 0) };
    follow.handle(Event::Heard(Which::Station, Some(brief)), at(60));
    drain(&mut follow, at(60));
    follow.handle(Event::Saved(Ok(())), at(60));
    assert_eq!([100, 101].map(|second| follow.standing(at(second))), ["live", "expired"]);
    assert_eq!(follow.heard_at(Which::Station), Some(at(60).station));
}

#[test]
fn a_fault_says_why() {
    let told = [Fault::Missing("a".into()), Fault::Wrong("b".into()), Fault::Ahead].map(|fault| fault.to_string());
    assert_eq!(told, ["a", "b", "the list is newer than the root"]);
}

#[test]
fn a_saved_list_without_its_root_waits_for_one() {
    let list = Some(SavedName { record: said(Which::Stream, 5).bytes, extent: extent(5) });
    let saved = Saved { stream: Some("k51b".into()), list, ..Saved::new("k51a") };
    let mut follow = Follow::new(&saved, None, Some(said(Which::Stream, 5)), at(0).station);
    assert_eq!(drain(&mut follow, at(0)), [Action::Ask(Which::Station), Action::Ask(Which::Stream)]);
}

#[test]
fn how_long_a_list_has_waited_counts_from_the_first_one_that_came() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 58))), at(60));
    drain(&mut follow, at(60));
    follow.handle(Event::Gathered(Which::Stream, Err(Fault::Missing("no answer".into()))), at(60));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 59))), at(61));
    assert_eq!(drain(&mut follow, at(61)), [Action::Gather(Which::Stream, said(Which::Stream, 59))]);
    follow.handle(Event::Gathered(Which::Stream, Err(Fault::Ahead)), at(61));
    let told = |second: u64| words(&follow, at(second)).contains("segments that no root holds");
    assert_eq!([300, 301].map(told), [false, true], "three TTLs and a minute behind it");
}

#[test]
fn a_list_whose_root_has_come_waits_for_its_segments_alone() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 60))), at(60));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 58))), at(60));
    drain(&mut follow, at(60));
    follow.handle(root(60), at(61));
    drain(&mut follow, at(61));
    follow.handle(Event::Saved(Ok(())), at(61));
    drain(&mut follow, at(61));
    follow.handle(Event::Gathered(Which::Stream, Err(Fault::Ahead)), at(61));
    drain(&mut follow, at(120));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 119))), at(120));
    drain(&mut follow, at(120));
    follow.handle(root(119), at(121));
    let actions = drain(&mut follow, at(121));
    assert!(actions.contains(&Action::Gather(Which::Stream, said(Which::Stream, 58))), "{actions:?}");
    follow.handle(Event::Gathered(Which::Stream, Err(Fault::Missing("no answer".into()))), at(121));
    assert!(!words(&follow, at(600)).contains("segments that no root holds"));
    follow.handle(Event::Heard(Which::Stream, Some(said(Which::Stream, 118))), at(122));
    follow.handle(Event::Saved(Ok(())), at(122));
    let actions = drain(&mut follow, at(122));
    assert!(actions.contains(&Action::Gather(Which::Stream, said(Which::Stream, 118))), "{actions:?}");
}

/// What is being saved is about to be shown: what is shown by then decides about the next record.
#[test]
fn while_a_record_is_saved_the_next_one_of_its_name_waits() {
    let mut follow = on_air();
    drain(&mut follow, at(60));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 50))), at(60));
    drain(&mut follow, at(60));
    follow.handle(root(50), at(61));
    assert!(matches!(&drain(&mut follow, at(61))[..], [Action::Save(_)]));
    // The content that is still shown, and that would be gone back to.
    let back = Said { sequence: START + 55_000, ..said(Which::Station, 0) };
    follow.handle(Event::Heard(Which::Station, Some(back.clone())), at(61));
    assert_eq!(drain(&mut follow, at(61)), []);
    follow.handle(Event::Saved(Ok(())), at(62));
    assert_eq!(drain(&mut follow, at(62)), [Action::Show, Action::Gather(Which::Station, back)]);
    follow.handle(root(0), at(62));
    assert!(words(&follow, at(62)).contains("goes back from 50–59 to 0–9"));
    assert_eq!(follow.shown().unwrap().0, &said(Which::Station, 50));
}

#[test]
fn what_a_former_run_saved_and_this_one_refuses_is_named() {
    let name = Some(SavedName { record: said(Which::Station, 5).bytes, extent: extent(5) });
    let saved = Saved { root: name, ..Saved::new("k51a") };
    let mut follow = Follow::new(&saved, Some(said(Which::Station, 5)), None, at(0).station);
    assert!(drain(&mut follow, at(0)).contains(&Action::Gather(Which::Station, said(Which::Station, 5))));
    follow.handle(Event::Gathered(Which::Station, Err(Fault::Wrong("it is of another station".into()))), at(0));
    assert!(words(&follow, at(0)).contains("is refused: it is of another station"));
    follow.handle(Event::Heard(Which::Station, Some(said(Which::Station, 6))), at(0));
    drain(&mut follow, at(0));
    follow.handle(root(6), at(0));
    assert_eq!(words(&follow, at(0)), "");
}
