use super::super::{
    history::Position,
    programme::{Begun, Entry},
    segment::{RAW, cid_of},
};
use super::*;

mod failures;
mod places;
mod resume;

const RULES: Rules =
    Rules { rate: 44_100, segment_seconds: 2, window_size: 10, look_ahead: 30, receipts_required: true };

fn at(seconds: u64) -> Clocks {
    let now = Time::from_millis(1_795_252_684_893).plus(Span::seconds(seconds));
    Clocks { station: now, wall: now }
}

fn order() -> Arc<Order> {
    let entry = Entry { path: "music/a.flac".into(), kind: Kind::Track, id: "a".into() };
    Arc::new(Order { sha256: "0".repeat(64), entries: vec![entry] })
}

fn item(parts: usize) -> Arc<Item> {
    let segment = Segment { cid: cid_of(RAW, b"a"), samples: 86 * 1_024, bytes: 30_000 };
    let [title, artist, album, isrc] = ["A", "", "", ""].map(String::from);
    Arc::new(Item {
        id: "a".into(),
        title,
        artist,
        album,
        isrc,
        cover: None,
        segments: vec![segment; parts],
        rungs: vec![],
        chapters: vec![],
    })
}

/// Does what the timeline asks for until it has nothing more to do. Gives the last list, and why it waits.
fn drive(timeline: &mut Timeline, parts: usize, clocks: Clocks) -> (Option<Arc<Snapshot>>, Why) {
    let mut shown = None;
    loop {
        let event = match timeline.poll(clocks) {
            Action::Wait(_, why) => return (shown, why),
            Action::Show(snapshot) => {
                shown = Some(snapshot);
                continue;
            }
            Action::Fetch(slot) => Event::Fetched(slot, item(parts)),
            Action::Store(..) => Event::Stored,
            Action::Record(_) => Event::Recorded,
        };
        timeline.handle(event, clocks);
    }
}

fn position(timeline: &Timeline, listed: &Snapshot) -> Position {
    let last = listed.segments.last().unwrap();
    Position {
        axis: *timeline.axis(),
        next_seq: last.media_seq + 1,
        next_disc: last.disc_seq,
        begun: Begun::default(),
        groups: listed.groups.clone(),
        ladder: listed.ladder.clone(),
        listed: listed.segments.clone(),
    }
}

#[test]
fn who_starts_on_a_list_of_a_longer_look_ahead_holds_back_by_it_until_it_has_run_down() {
    let mut timeline = Timeline::new(RULES, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    timeline.handle(Event::Order(order()), at(0));
    let (list, _) = drive(&mut timeline, 10, at(0));
    let list = list.unwrap();
    assert_eq!(list.hold_back_seconds, 64);

    let shorter = Rules { look_ahead: 4, ..RULES };
    let mut timeline = Timeline::resume(shorter, position(&timeline, &list), Some(item(10)), at(1));
    timeline.handle(Event::Order(order()), at(1));
    let (kept, _) = drive(&mut timeline, 10, at(1));
    let kept = kept.unwrap();
    assert_eq!(kept.segments, list.segments);
    let ahead = kept.axis.date(kept.segments.last().unwrap().air_end()).since(at(1).wall);
    assert!(Span::seconds(kept.hold_back_seconds) >= Span(ahead.0 + 4_000_000), "{}", kept.hold_back_seconds);
    assert_eq!(drive(&mut timeline, 10, at(40)).0, None, "nothing is added while it runs down");
    let (grown, _) = drive(&mut timeline, 10, at(60));
    assert_eq!(grown.unwrap().hold_back_seconds, 12);
}

#[test]
fn an_unfinished_item_that_cannot_air_is_not_gone_on_with() {
    let mut timeline = Timeline::new(RULES, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    timeline.handle(Event::Order(order()), at(0));
    let list = drive(&mut timeline, 1_000, at(0)).0.unwrap();
    for (last_samples, goes_on) in [(86 * 1_024, true), (3 * RULES.rate, false)] {
        let mut begun = Item::clone(&item(1_000));
        begun.segments[999].samples = last_samples;
        let past = position(&timeline, &list);
        let next_seq = past.next_seq;
        let mut resumed = Timeline::resume(RULES, past, Some(Arc::new(begun)), at(1));
        resumed.handle(Event::Order(order()), at(1));
        let grown = drive(&mut resumed, 1_000, at(30)).0.unwrap();
        let next = grown.segments.iter().find(|aired| aired.media_seq == next_seq).unwrap();
        assert_eq!(next.disc, !goes_on);
    }
}

#[test]
fn an_item_whose_list_of_segments_fits_into_no_block_is_refused_by_name() {
    let mut timeline = Timeline::new(RULES, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    timeline.handle(Event::Order(order()), at(0));
    assert_eq!(drive(&mut timeline, PARTS_MAX + 1, at(0)), (None, Why::Retry));
    let (list, why) = drive(&mut timeline, PARTS_MAX, at(1));
    assert!(list.is_some() && why == Why::Air);
    let (_, text) = super::super::aired::segment_list(&item(PARTS_MAX).segments, &[]);
    assert!(text.len() < 2_000_000, "{} bytes", text.len());
}

/// The item in other renditions, too.
fn laddered(parts: usize, bitrates: &[u32]) -> Item {
    let rung = |bitrate: &u32| Rung { bitrate: *bitrate, cid: cid_of(RAW, &bitrate.to_be_bytes()), bytes: 20_000 };
    let rungs = vec![bitrates.iter().map(rung).collect(); parts];
    Item { rungs, ..Item::clone(&item(parts)) }
}

#[test]
fn an_item_airs_in_as_many_renditions_as_its_list_and_the_folder_have_room_for() {
    let bitrates = [16_000, 32_000, 48_000, 64_000, 96_000, 160_000, 192_000, 256_000];
    let wide = Rules { window_size: 1_000, look_ahead: 1_000, segment_seconds: 6, ..RULES };
    for (rules, parts, most) in [
        (RULES, 100, 7),
        (RULES, PARTS_MAX / 4, 3),
        (RULES, PARTS_MAX / 2 + 1, 0),
        (RULES, PARTS_MAX, 0),
        (wide, 10, 4),
    ] {
        let timeline = Timeline::new(rules, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
        let whole = Arc::new(laddered(parts, &bitrates));
        assert_eq!(timeline.refusal(&whole), None);
        let taken = timeline.without_surplus(whole.clone());
        assert_eq!(taken.rungs, whole.first_rungs(most), "{parts} parts");
        let (_, text) = super::super::aired::segment_list(&taken.segments, &taken.rungs);
        assert!(text.len() < 2_000_000, "{} bytes", text.len());
    }
}

#[test]
fn an_item_airs_only_if_each_segment_lasts_and_none_lasts_longer_than_the_station_says() {
    let timeline = Timeline::new(RULES, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    let refusal = |samples: u32| {
        let mut item = Item::clone(&item(3));
        item.segments[1].samples = samples;
        timeline.refusal(&item)
    };
    let longest = RULES.longest() as u32;
    assert_eq!([1, longest].map(refusal), [None; 2]);
    assert_eq!([0, longest + 1].map(refusal), [Some("its segments are not as long as this station's"); 2]);
    assert_eq!(timeline.refusal(&item(0)), refusal(0), "it has none at all");
}

#[test]
fn an_item_whose_renditions_are_not_cut_alike_is_refused() {
    let timeline = Timeline::new(RULES, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    let good = laddered(3, &[64_000, 192_000]);
    assert_eq!(timeline.refusal(&good), None);
    let short = Item { rungs: good.rungs[1..].to_vec(), ..good.clone() };
    for wrong in [short, laddered(3, &[64_000, 64_000]), laddered(3, &[60])] {
        assert_eq!(timeline.refusal(&wrong), Some("its renditions are not cut alike, or two are of one bit rate"));
    }
}

#[test]
fn what_is_lost_of_a_rendition_airs_in_the_default_one() {
    let mut timeline = Timeline::new(RULES, 1, First { media_seq: 1_000, disc_seq: 0 }, at(0));
    timeline.handle(Event::Order(order()), at(0));
    let Action::Fetch(slot) = timeline.poll(at(0)) else { panic!("nothing is fetched") };
    timeline.handle(Event::Fetched(slot, Arc::new(laddered(90, &[64_000, 192_000]))), at(0));
    let Action::Store(segments, rungs, _) = timeline.poll(at(0)) else { panic!("nothing is stored") };
    assert_eq!(rungs.len(), 2 * segments.len());
    timeline.handle(Event::StoredWithout(vec![rungs[0], rungs[3]]), at(0));
    let Action::Record(bodies) = timeline.poll(at(0)) else { panic!("nothing is recorded") };
    let told = bodies.iter().filter_map(|body| match body {
        Body::Segment(segment) => Some(segment.renditions.iter().map(|one| one.bitrate).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(told.take(3).collect::<Vec<_>>(), [vec![192_000], vec![64_000], vec![64_000, 192_000]]);
}
