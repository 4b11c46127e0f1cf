//! A ledger: receipts that the station's key signed, whatever they say, with damage between them, and what a start makes
//! of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use super::{paper::Paper, said};
use crate::radio::{
    aired::{Aired, Axis, Run, segment_list},
    audit::{Audit, Begin, Means, Outcome, Page, page},
    checkpoint::Note,
    follow::Listing,
    history::History,
    hls,
    ledger::{Ledger, Signer, read, recall::recall, volume::Volume},
    receipt::{Body, GENESIS, Receipt, SigningKey, link},
    rules::Rules,
    segment::{Kind, RAW, Rung, Segment, cid_of},
    time::Time,
    timeline::{Action, Clocks, Event, PARTS_MAX, Timeline},
};

/// A line of the input that begins another file.
const NEXT_FILE: &[u8] = b"---";
const NOW: Time = Time::from_millis(1_795_252_884_893);
const CLOCKS: Clocks = Clocks { station: NOW, wall: NOW };
/// Steps of a timeline that goes on.
const STEPS: usize = 8;

static SIGNER: LazyLock<Signer> =
    LazyLock::new(|| Signer::reader(vec![SigningKey::derive("r1", b"a master secret of some length..")]));

/// What the lines of an input come to.
#[derive(Default)]
struct Written {
    files: BTreeMap<String, Vec<u8>>,
    /// What was signed, in order.
    bodies: Vec<Body>,
}

/// Each line of the input is a body, which is signed and chained, the beginning of another file, or damage. What is read
/// is what was signed, from the first receipt on; what a start makes of it holds, whatever it says.
pub(crate) fn ledger(data: &[u8]) {
    let written = Written::of(data);
    let paper = Paper::of(written.files.clone());
    let mut seen = Vec::new();
    let read = Ledger::read(&paper, &SIGNER, Time(0), &mut |receipt| seen.push(receipt.body.clone()));
    assert!(seen.len() <= written.bodies.len() && seen == written.bodies[..seen.len()]);
    match &read {
        Ok((found, _)) => assert!(seen.len() == written.bodies.len() || found.torn_bytes > 0, "receipts are lost"),
        Err(error) => assert!(said(error).starts_with("ledger")),
    }
    assert_eq!(paper.files(), written.files, "reading touches nothing");
    if audited(&written.files) {
        assert!(read.is_ok(), "what an audit holds for whole can be read: {read:?}");
    }
    drop(Ledger::constants(&paper, &SIGNER));
    started(&paper);
}

impl Written {
    fn of(data: &[u8]) -> Self {
        let (mut written, mut prev, mut number) = (Self::default(), GENESIS.to_owned(), 1);
        let key = &SIGNER.keys[0];
        for line in data.split_inclusive(|byte| *byte == b'\n') {
            let (bare, end) = line.strip_suffix(b"\n").map_or((line, ""), |bare| (bare, "\n"));
            if bare == NEXT_FILE {
                number += 1;
                continue;
            }
            let seq = written.bodies.len() as u64;
            let signed = serde_json::from_slice::<Body>(bare).ok().and_then(|body| {
                let (key_id, node_id, stream) = (key.id().into(), "node".into(), "main".into());
                let produced_at = Time::from_millis(NOW.millis() + seq / 3);
                let receipt = Receipt { seq, prev: prev.clone(), key_id, node_id, stream, produced_at, body };
                Some((receipt.sign(key).ok()?, receipt.body))
            });
            let file = written.files.entry(format!("{number:06}.jsonl")).or_default();
            match signed {
                Some((text, body)) => {
                    file.extend_from_slice(text.as_bytes());
                    file.extend_from_slice(end.as_bytes());
                    prev = link(&text);
                    written.bodies.push(body);
                }
                None => file.extend_from_slice(line),
            }
        }
        written
    }
}

/// Whether an audit finds nothing wrong.
fn audited(files: &BTreeMap<String, Vec<u8>>) -> bool {
    let signed = |_: &Note| Ok(());
    let mut audit = Audit::new(Means { keys: &SIGNER.keys, signed: &signed }, Begin::Genesis, Vec::new());
    let texts: Vec<&Vec<u8>> = files.values().collect();
    let pages = texts.iter().enumerate().map(|(at, text)| {
        let head = texts.get(at + 1).map(|next| String::from_utf8_lossy(next));
        let until = head.as_deref().and_then(read::continues);
        let (opens, ends, until) = (true, at + 1 == texts.len(), until.as_deref());
        match page(&mut audit, Page { text, opens, ends, until }, &mut |_| Ok(())) {
            Outcome::Whole => true,
            Outcome::Torn(..) => ends,
            Outcome::Broken(line, reason) => {
                assert!(line > 0 && !said(&reason).is_empty());
                false
            }
        }
    });
    // All pages: an audit goes on where the one before ended.
    pages.filter(|whole| !whole).count() == 0 && audit.end().is_ok()
}

/// A start from this ledger goes on air, and what it writes can be read.
fn started(paper: &Paper) {
    let volume: Arc<dyn Volume> = Arc::new(paper.clone());
    let recalled =
        recall(&volume, &SIGNER, NOW, NOW, false, &mut |_, _| {}).expect("nothing fails, and none is required");
    recalled.damage.iter().chain(&recalled.unwritable).for_each(|why| drop(said(why)));
    recalled.history.above(NOW);
    let Some(mut ledger) = recalled.ledger.filter(|_| recalled.damage.is_none()) else { return };
    let before = ledger.size();
    match ledger.append(&[Body::IpnsReserved { until: 1 }], NOW) {
        Ok(()) => assert_eq!(ledger.size(), before + 1),
        Err(error) => drop(said(&error)),
    }
    on_air(recalled.history, &mut ledger);
    let (_, tail) = Ledger::read(paper, &SIGNER, Time(0), &mut |_| {}).expect("what was gone on with can be read");
    assert!(tail.is_some());
}

fn on_air(history: History, ledger: &mut Ledger) {
    let Some(position) = history.position() else { return };
    let axis = position.axis;
    let (rate, segment_seconds) = (axis.rate, axis.target_seconds);
    let rules = Rules { rate, segment_seconds, window_size: 50, look_ahead: 50, receipts_required: false };
    let item = position.unfinished_by_length();
    assert!(item.as_ref().is_none_or(|item| item.segments.len() <= PARTS_MAX), "an item without bound");
    let mut timeline = Timeline::resume(rules, position, item.map(Arc::new), CLOCKS);
    for _ in 0..STEPS {
        match timeline.poll(CLOCKS) {
            Action::Fetch(slot) => timeline.handle(Event::NotFetched(slot, "gone".into()), CLOCKS),
            Action::Store(..) => timeline.handle(Event::Stored, CLOCKS),
            Action::Record(bodies) => match ledger.append(&bodies, NOW) {
                Ok(()) => timeline.handle(Event::Recorded, CLOCKS),
                Err(error) => timeline.handle(Event::NotRecorded(said(&error)), CLOCKS),
            },
            Action::Show(snapshot) => {
                let text = hls::render(&snapshot).expect("what is shown has segments");
                drop(Listing::read(&text).map_err(|why| said(&why)));
            }
            Action::Wait(..) => break,
        }
    }
}

/// The receipts of two items, the second one unfinished.
fn bodies() -> Vec<Body> {
    let axis = Axis { epoch: 1, anchor: Time::from_millis(1_795_252_684_000), rate: 44_100, target_seconds: 6 };
    let mut bodies = vec![Body::LedgerOpen(axis.constants()), Body::IpnsReserved { until: 1_795_252_684_000 }];
    let all: Vec<Segment> =
        (0..3_u8).map(|n| Segment { cid: cid_of(RAW, &[n]), samples: 258 * 1_024, bytes: 90_000 }).collect();
    let rungs = [Rung { bitrate: 64_000, cid: cid_of(RAW, b"low"), bytes: 45_000 }];
    let samples: u64 = all.iter().map(|segment| u64::from(segment.samples)).sum();
    for item in 0..2_u64 {
        let (media_seq, air_samples) = (5_000 + 3 * item, (item * samples) as i64);
        let (title, artist, album, isrc) = ("Song".into(), "A".into(), String::new(), String::new());
        let (entry, kind, order) = ("music/a.mp3".into(), Kind::Track, "o".into());
        let (list, parts) = (segment_list(&all, &[]).0, all.len() as u32);
        let run = Arc::new(Run {
            media_seq,
            air_samples,
            samples,
            item: "item".into(),
            entry,
            kind,
            title,
            artist,
            album,
            isrc,
            cover: None,
            list,
            part: 0,
            parts,
            order,
            position: item,
            chapters: Vec::new(),
        });
        bodies.push(run.body());
        for (part, segment) in all.iter().take(3 - item as usize).enumerate() {
            let at = part as u64;
            let aired = Aired {
                media_seq: media_seq + at,
                disc: part == 0,
                disc_seq: 1 + item,
                air_samples: air_samples + at as i64 * i64::from(segment.samples),
                segment: *segment,
                rungs: rungs[..item as usize].to_vec(),
                part: part as u32,
                run: run.clone(),
                first_seq: 5_000,
                group_seq: 7 + item,
                group_end: 7,
            };
            bodies.push(aired.body(&axis));
        }
    }
    bodies
}

pub(crate) fn ledger_seeds() -> Vec<Vec<u8>> {
    let text = |body: &Body| serde_json::to_string(body).unwrap_or_default() + "\n";
    let lines: Vec<String> = bodies().iter().map(text).collect();
    let step = text(&Body::ClockStep { samples: 44_100, reason: "outage".into() });
    let rest = [
        text(&Body::OrderAccepted { order: "o".into(), entries: 2 }),
        text(&Body::CatalogChanged { entry: "music/a.mp3".into(), item: "item".into(), reason: "gone".into() }),
        text(&Body::KeyRotated { to: "r1".into() }),
        text(&Body::Repair { reason: "damage".into() }),
    ];
    let whole = lines.concat();
    let two = format!("{}---\n{}{}", lines[..6].concat(), lines[0], lines[6..].concat());
    let torn = format!("{}{}", whole, step.trim_end());
    let damaged = format!("{}what is this\n{}\0\0\0\n{}", lines[..4].concat(), lines[4], lines[5]);
    let more = format!("{}{step}{}", lines[..6].concat(), rest.concat());
    // What is missing of the item is longer than a segment may be.
    let last = lines.len() - 1;
    let long = lines[..last].concat() + &lines[last].replace("\"samples\":264192", "\"samples\":235634");
    [whole, two, torn, damaged, more, long].map(String::into_bytes).into()
}
