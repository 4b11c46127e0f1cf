//! The ledger on a disk that fails it, one fault at a time.

use super::{
    super::sim::volume::{Chance, Disk, FAILURES, Failure},
    desk::Desk,
    recall::recall,
    *,
};
use crate::radio::{
    aired::Axis,
    audit::{Begin, Outcome},
    checkpoint::{EVERY, tests::Seal},
    receipt::{CidText, SegmentBody, StartedBody},
    segment::{Kind, RAW, cid_of},
};

mod keys;
mod opened;

const ROOM: u64 = 4 << 10;
const AXIS: Axis = Axis { epoch: 1, anchor: Time(0), rate: 44_100, target_seconds: 6 };
const SAMPLES: u64 = 264_600;

pub(super) fn signer() -> Signer {
    let keys = vec![SigningKey::derive("r1", b"secret")];
    Signer { keys, node_id: "node".into(), stream: "main".into(), notary: Some(Arc::new(Seal)) }
}

pub(super) fn constants() -> Body {
    Body::LedgerOpen(AXIS.constants())
}

pub(super) fn note(entries: u64) -> Body {
    Body::OrderAccepted { order: "o".into(), entries }
}

/// Segment `n` of an item that never ends; `group_seq` is its group in the coarse list.
pub(super) fn segment(n: u64, group_seq: u64) -> Body {
    let cid = cid_of(RAW, &n.to_be_bytes());
    Body::Segment(Box::new(SegmentBody {
        media_seq: 5_000 + n,
        disc: n == 0,
        disc_seq: 1,
        epoch: 1,
        air_samples: (n * SAMPLES) as i64,
        pdt: AXIS.date((n * SAMPLES) as i64).to_string(),
        samples: SAMPLES,
        rate: 44_100,
        sha256_audio: data_encoding::HEXLOWER.encode(cid.hash().digest()),
        cid: CidText(cid),
        byte_count: 1,
        codec: "aac".into(),
        item: "item".into(),
        entry: "music/a.mp3".into(),
        item_kind: Kind::Track,
        part: n,
        parts: 10_000,
        order: "o".into(),
        position: 0,
        title: "A".into(),
        artist: String::new(),
        first_seq: (5_000 + n).saturating_sub(100).max(5_000),
        group_seq,
        group_end: 5_000,
        renditions: Vec::new(),
        late: false,
    }))
}

pub(super) fn started() -> Body {
    Body::ItemStarted(Box::new(StartedBody::whole(10_000, 10_000 * SAMPLES)))
}

fn group(n: u64) -> u64 {
    5_000 + n / 10
}

pub(super) fn disk() -> Disk {
    Disk::new(ROOM, 1)
}

pub(super) fn create(disk: &Disk) -> Ledger {
    Ledger::create(Arc::new(disk.clone()), signer(), constants()).unwrap()
}

fn open(disk: &Disk) -> Result<(Option<Ledger>, Vec<Body>), Error> {
    let mut seen = Vec::new();
    let visit = &mut |receipt: &Receipt| {
        if matches!(receipt.body, Body::OrderAccepted { .. }) {
            seen.push(receipt.body.clone());
        }
    };
    let (ledger, _) = Ledger::open(Arc::new(disk.clone()), signer(), Time(0), visit)?;
    Ok((ledger, seen))
}

/// The power fails, in so many ways, and the disk works again; what was told to be durable is there, and nothing is repeated.
fn survives(disk: &Disk, told: u64, ways: u64) {
    for seed in 0..ways {
        let disk = disk.copy();
        disk.heal();
        disk.crash(&mut Chance::new(seed));
        let (ledger, seen) = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let ledger = ledger.unwrap_or_else(|| panic!("seed {seed}: the ledger is gone"));
        assert!(seen.len() as u64 >= told, "seed {seed}: {} of {told}", seen.len());
        assert_eq!(seen, (0..seen.len() as u64).map(note).collect::<Vec<_>>(), "seed {seed}");
        drop(ledger);
        audited(&disk);
    }
}

/// The ledger holds as a whole.
pub(super) fn audited(disk: &Disk) {
    assert_eq!(disk.audited(&signer().keys, Begin::Genesis), Outcome::Whole);
}

#[test]
fn what_was_told_to_be_durable_survives_every_crash() {
    let disk = disk();
    let mut ledger = create(&disk);
    for n in 0..60 {
        ledger.append(&[note(n)], Time(n * EVERY.0 / 10)).unwrap();
        survives(&disk, n + 1, 10);
    }
    assert!(disk.content().len() > 3);
}

#[test]
fn keys_change_only_to_such_as_the_one_that_signs_is_among() {
    let disk = disk();
    let mut desk = Desk::new(Arc::new(disk.clone()), signer(), None, None);
    let other = || SigningKey::derive("r2", b"other");
    assert_eq!((desk.size(), desk.checkpoints().is_none()), (0, true));
    desk.append(Some(&constants()), &[note(0)], Time(0)).unwrap();
    assert!(!desk.set_keys(vec![other()]), "it would be another station");
    desk.append(None, &[note(1)], Time(1)).unwrap();
    assert!(desk.set_keys([vec![other()], signer().keys].concat()));
    desk.append(None, &[note(2)], Time(2)).unwrap();
    let text = disk.content().into_values().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.collect::<String>();
    let signed = |what: &str| {
        let line = text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what} in {text}"));
        ["r1", "r2"].map(|key| line.contains(&format!("\"key_id\":\"{key}\"")))
    };
    for (what, by) in
        [("\"entries\":0", [true, false]), ("\"entries\":1", [true, false]), ("\"to\":\"r2\"", [true, false])]
    {
        assert_eq!(signed(what), by, "{what}");
    }
    assert_eq!(signed("\"entries\":2"), [false, true]);
    let told = text.lines().filter(|line| line.starts_with('{')).count() as u64;
    assert_eq!((desk.size(), desk.checkpoints().is_some()), (told, true));
}

#[test]
fn a_process_that_dies_at_any_call_loses_and_repeats_nothing() {
    for calls in 0.. {
        let disk = disk();
        disk.kill_after(calls);
        let volume: Arc<dyn Volume> = Arc::new(disk.clone());
        let mut told = 0;
        if let Ok(mut ledger) = Ledger::create(volume, signer(), constants()) {
            while told < 20 && ledger.append(&[note(told)], Time(told * EVERY.0)).is_ok() {
                told += 1;
            }
        }
        disk.end_process();
        if told > 0 {
            survives(&disk, told, 10);
            // Another process reads what is in memory only; then the power fails.
            let (_, seen) = open(&disk).unwrap();
            survives(&disk, seen.len() as u64, 10);
        }
        if told == 20 {
            assert!(calls > 80, "{calls} calls");
            return;
        }
    }
}

#[test]
fn whatever_fails_once_costs_nothing() {
    for failure in FAILURES {
        for n in 0.. {
            let disk = disk();
            let mut ledger = create(&disk);
            disk.fail_at(n, failure);
            for told in 0..20 {
                let now = Time(told * EVERY.0);
                if ledger.append(&[note(told)], now).is_err() {
                    ledger.append(&[note(told)], now).unwrap();
                }
                survives(&disk, told + 1, 2);
            }
            let Some(what) = disk.calls().1 else { break };
            assert!(n < 300, "{what}");
        }
    }
}

/// After a sync that failed the disk takes what it lost for durable: a second sync says so, and it is not.
#[test]
fn a_sync_that_failed_is_not_asked_again() {
    for seed in 0..40 {
        let disk = Disk::new(ROOM, seed);
        let mut ledger = create(&disk);
        ledger.append(&[note(0)], Time(0)).unwrap();
        disk.fail_at(1, Failure::Io);
        ledger.append(&[note(1)], Time(1)).unwrap();
        assert_eq!(disk.calls().1, Some("sync"));
        assert_eq!(disk.content().len(), 2, "another file begins");
        assert_eq!(disk.warnings().len(), 1);
        survives(&disk, 2, 10);
        // It fails for good: nobody is told that anything is durable, and it heals.
        disk.set_down(Some(Failure::Io));
        assert!((0..3).all(|_| ledger.append(&[note(2)], Time(2)).is_err()));
        survives(&disk, 2, 10);
        disk.set_down(None);
        ledger.append(&[note(2)], Time(3)).unwrap();
        survives(&disk, 3, 10);
    }
}

/// The same when the process dies at once: the next one finds what is there and not durable.
#[test]
fn what_a_sync_failed_for_is_written_again_before_it_is_believed() {
    for seed in 0..40 {
        let disk = Disk::new(ROOM, seed);
        let mut ledger = create(&disk);
        ledger.append(&[note(0)], Time(0)).unwrap();
        disk.fail_at(1, Failure::Io);
        disk.kill_after(2);
        ledger.append(&[note(1)], Time(1)).unwrap_err();
        disk.end_process();
        let (_, seen) = open(&disk).unwrap();
        survives(&disk, seen.len() as u64, 10);
    }
}

/// They are in the file, and another one that does not go on behind them cannot be begun at once.
#[test]
fn receipts_that_nobody_was_told_of_do_not_come_back() {
    for seed in 0..40 {
        let disk = Disk::new(ROOM, seed);
        let mut ledger = create(&disk);
        ledger.append(&[note(0)], Time(0)).unwrap();
        disk.fail_at(1, Failure::Io);
        disk.set_down(Some(Failure::NoSpace));
        ledger.append(&[note(1), note(9)], Time(1)).unwrap_err();
        disk.set_down(None);
        ledger.append(&[note(1)], Time(1)).unwrap();
        survives(&disk, 2, 10);
    }
}

#[test]
fn a_last_file_that_was_closed_to_writing_is_gone_on_with() {
    let disk = disk();
    let mut ledger = create(&disk);
    for n in 0..5 {
        ledger.append(&[note(n)], Time(n)).unwrap();
    }
    let files: Vec<String> = disk.content().into_keys().collect();
    assert_eq!(files.len(), 1);
    disk.protect(&files[0]).unwrap();
    let (ledger, seen) = open(&disk).unwrap();
    assert_eq!(seen.len(), 5);
    ledger.unwrap().append(&[note(5)], Time(5)).unwrap();
    survives(&disk, 6, 10);
}

#[test]
fn a_full_disk_takes_receipts_into_the_room_that_was_reserved() {
    let disk = disk();
    let mut ledger = create(&disk);
    ledger.append(&[note(0)], Time(0)).unwrap();
    disk.set_down(Some(Failure::NoSpace));
    let room = (1..100).take_while(|n| ledger.append(&[note(*n)], Time(*n)).is_ok()).count() as u64;
    assert!(room > 3, "{room}");
    assert!(ledger.append(&[note(room + 1)], Time(100)).is_err());
    disk.set_down(None);
    ledger.append(&[note(room + 1)], Time(100)).unwrap();
    survives(&disk, room + 2, 10);
}

fn recalled(disk: &Disk, back: Time) -> recall::Recalled {
    let volume: Arc<dyn Volume> = Arc::new(disk.clone());
    recall(&volume, &signer(), back, Time::from_millis(7_000), false, &mut |_, _| {}).unwrap()
}

pub(super) fn on_air(disk: &Disk, segments: u64) -> Ledger {
    let mut ledger = create(disk);
    ledger.append(&[started(), segment(0, group(0))], Time(0)).unwrap();
    for n in 1..segments {
        ledger.append(&[segment(n, group(n))], Time(n * 6_000_000)).unwrap();
    }
    ledger
}

/// The wall clock may have been set: the dates of receipts do not tell how far back is far enough.
#[test]
fn a_start_reads_back_to_what_it_goes_on_from_whatever_the_clock_says() {
    let disk = disk();
    let mut ledger = on_air(&disk, 400);
    ledger.append(&[Body::IpnsReserved { until: 77 }], Time(3_000_000_000)).unwrap();
    drop(ledger);
    assert!(disk.content().len() > 50);
    let all = recalled(&disk, Time(0)).history;
    let newest = recalled(&disk, Time(u64::MAX)).history;
    assert_eq!(newest.reserved(), 77);
    assert_eq!(newest.clone().position(), all.position());
    assert_eq!(newest.position().unwrap().listed.len(), 101);
}

/// All receipts keep the rules of an audit, which rounds, and one is too long for a list.
#[test]
fn a_segment_that_no_list_may_have_is_no_place_to_go_on_from() {
    let disk = disk();
    let mut ledger = on_air(&disk, 40);
    let Body::Segment(mut long) = segment(40, group(40)) else { panic!("no segment") };
    long.samples += 10_000;
    ledger.append(&[Body::Segment(long)], Time(241_000_000)).unwrap();
    drop(ledger);
    let why = recalled(&disk, Time(0)).damage.unwrap();
    assert!(why.contains("segment 5040: it exceeds the target duration"), "{why}");
}

/// A ledger that the station itself signed, and that tells of what it would refuse to air.
#[test]
fn a_ledger_that_no_timeline_can_go_on_from_is_put_aside() {
    let disk = disk();
    let mut ledger = on_air(&disk, 40);
    assert_eq!(recalled(&disk, Time(0)).damage, None);
    ledger.append(&[segment(40, group(40) + 3)], Time(241_000_000)).unwrap();
    ledger.append(&[segment(41, group(41) + 3)], Time(242_000_000)).unwrap();
    drop(ledger);
    let past = recalled(&disk, Time(0));
    let why = past.damage.unwrap();
    assert!(why.contains("its group is 5007") && why.ends_with("lie in ledger.damaged-7"), "{why}");
    assert!(past.ledger.is_none() && disk.content().is_empty() && disk.set_asides() == 1);
    let first = past.history.above(Time::from_millis(7_000));
    assert_eq!((first.media_seq, first.disc_seq), (5_041 + 10_000, 1 + 10_000), "above what lies behind the damage");
}

#[test]
fn behind_damage_numbers_go_on_above_all_that_is_signed() {
    let disk = disk();
    let mut ledger = on_air(&disk, 60);
    ledger.append(&[Body::IpnsReserved { until: 99 }], Time(1_000_000_000)).unwrap();
    drop(ledger);
    let files = disk.content();
    for (name, bytes) in &files {
        let written = bytes.iter().rposition(|byte| *byte == b'\n').unwrap();
        for at in (50..written).step_by(997) {
            let disk = disk.copy();
            let mut turned = bytes.clone();
            turned[at] ^= 4;
            disk.put(name, &turned);
            let past = recalled(&disk, Time(0));
            assert!(past.damage.is_some_and(|why| why.contains(name)), "{name} at {at}");
            let first = past.history.above(Time::from_millis(7_000));
            assert!(first.media_seq >= 5_058 + 10_000, "{name} at {at}: {first:?}");
            assert!(past.history.reserved() == 99 || name == files.last_key_value().unwrap().0, "{name} at {at}");
        }
    }
}

/// A process may be short of files for a moment.
#[test]
fn what_cannot_be_read_once_is_read_again() {
    let disk = disk();
    drop(on_air(&disk, 30));
    let before = disk.calls().0;
    assert_eq!(recalled(&disk.copy(), Time(0)).damage, None);
    drop(recalled(&disk, Time(0)));
    for n in 0..disk.calls().0 - before {
        for failure in FAILURES {
            let disk = disk.copy();
            disk.fail_at(n, failure);
            let past = recalled(&disk, Time(0));
            assert_eq!(past.damage, None, "call {n}: {failure:?}");
            assert_eq!(past.history.position().unwrap().next_seq, 5_030, "call {n}: {failure:?}");
            assert!(past.unwritable.is_some() || !disk.warnings().is_empty(), "nobody is told of {:?}", disk.calls().1);
        }
    }
}
