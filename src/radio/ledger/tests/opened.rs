//! A ledger that is opened again, and what is said of one that cannot be.

use super::*;

/// A disk whose files hold whatever a test writes.
fn roomy() -> Disk {
    Disk::new(1 << 20, 1)
}

fn open_for(disk: &Disk, signer: Signer, since: Time) -> Ledger {
    Ledger::open(Arc::new(disk.clone()), signer, since, &mut |_| {}).unwrap().0.unwrap()
}

fn without_notary() -> Signer {
    Signer { notary: None, ..signer() }
}

fn text(disk: &Disk) -> String {
    disk.content().into_values().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

#[test]
fn checkpoints_go_on_where_they_ended_however_little_is_read() {
    for (first, since) in [
        (signer(), Time(0)),
        (signer(), Time(u64::MAX)),
        (without_notary(), Time(0)),
        (without_notary(), Time(u64::MAX)),
    ] {
        let disk = disk();
        let mut ledger = Ledger::create(Arc::new(disk.clone()), first, constants()).unwrap();
        (0..30).for_each(|n| ledger.append(&[note(n)], Time(n)).unwrap());
        drop(ledger);
        assert!(disk.content().len() > 2);
        let mut ledger = open_for(&disk, signer(), since);
        for n in 30..33 {
            ledger.append(&[note(n)], Time(n * EVERY.0)).unwrap();
            assert_eq!(ledger.checkpoints().back().unwrap().size, ledger.size() - 2, "all that is before it");
        }
        assert_eq!(disk.warnings(), [""; 0]);
        audited(&disk);
    }
}

#[test]
fn a_ledger_whose_beginning_is_gone_has_no_checkpoints_and_somebody_is_told() {
    let disk = disk();
    let mut ledger = Ledger::create(Arc::new(disk.clone()), without_notary(), constants()).unwrap();
    (0..30).for_each(|n| ledger.append(&[note(n)], Time(n)).unwrap());
    drop(ledger);
    let first = disk.content().into_keys().next().unwrap();
    disk.remove(&first).unwrap();
    let mut ledger = open_for(&disk, signer(), Time(0));
    assert_eq!(disk.warnings(), ["there are no checkpoints: the first receipts are not here"]);
    ledger.append(&[note(30)], Time(30)).unwrap();
    assert!(ledger.checkpoints().is_empty());
}

#[test]
fn the_newest_checkpoints_are_at_hand_after_a_start_too() {
    let disk = roomy();
    let mut ledger = create(&disk);
    ledger.append(&[note(0)], Time(0)).unwrap();
    for n in 0..CHECKPOINTS_MAX as u64 + 3 {
        ledger.append(&[note(n)], Time((n + 1) * EVERY.0)).unwrap();
        assert_eq!(ledger.checkpoints().len() as u64, (n + 1).min(CHECKPOINTS_MAX as u64));
    }
    let sizes = |ledger: &Ledger| ledger.checkpoints().iter().map(|body| body.size).collect::<Vec<_>>();
    // One ahead of each note, behind the constants and the first note.
    let newest: Vec<u64> = (3..CHECKPOINTS_MAX as u64 + 3).map(|n| 2 + 2 * n).collect();
    assert_eq!(sizes(&ledger), newest);
    drop(ledger);
    assert_eq!(sizes(&open_for(&disk, signer(), Time(0))), newest);
}

#[test]
fn nothing_is_left_of_a_torn_line() {
    let disk = roomy();
    let mut ledger = create(&disk);
    ledger.append(&[note(0)], Time(0)).unwrap();
    drop(ledger);
    let (name, bytes) = disk.content().pop_first().unwrap();
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    disk.put(&name, &[&bytes[..end], &[b'x'; 5_000]].concat());
    assert_eq!(recalled(&disk, Time(0)).torn_bytes, 5_000);
    assert_eq!(text(&disk).matches('x').count(), 0);
    open_for(&disk, signer(), Time(0)).append(&[note(1)], Time(1)).unwrap();
    survives(&disk, 2, 4);
}

#[test]
fn nothing_is_left_of_a_line_that_was_written_in_part() {
    let disk = roomy();
    let mut ledger = create(&disk);
    ledger.append(&[note(0)], Time(0)).unwrap();
    let before = text(&disk);
    disk.fail_at(0, Failure::Short);
    let told = ledger.append(&[note(1)], Time(1)).unwrap_err().to_string();
    assert_eq!(told, "ledger/000001.jsonl: a short write");
    assert_eq!(text(&disk), before);
}

#[test]
fn a_ledger_that_cannot_be_written_is_an_error_where_receipts_are_required() {
    let recall = |disk: &Disk, required: bool| {
        let volume: Arc<dyn Volume> = Arc::new(disk.clone());
        recall(&volume, &signer(), Time(0), Time::from_millis(7_000), required, &mut |_, _| {})
    };
    let disk = disk();
    drop(on_air(&disk, 30));
    assert!(recall(&disk, true).unwrap().ledger.is_some());
    disk.set_down(Some(Failure::Io));
    assert!(recall(&disk, true).unwrap_err().to_string().ends_with("EIO"));
    let past = recall(&disk, false).unwrap();
    assert!(past.unwritable.unwrap().ends_with("EIO") && past.ledger.is_none());
    assert_eq!(past.history.position().unwrap().next_seq, 5_030, "all of it was read");
    // What is damaged cannot be moved out of the way either.
    disk.heal();
    let (name, mut bytes) = disk.content().pop_first().unwrap();
    bytes[500] ^= 1;
    disk.put(&name, &bytes);
    disk.set_down(Some(Failure::Io));
    assert_eq!(recall(&disk, true).unwrap_err().to_string(), "ledger/: EIO");
    let why = recall(&disk, false).unwrap().damage.unwrap();
    assert!(why.starts_with("ledger/000001.jsonl:") && why.ends_with("moved out of the way: ledger/: EIO"), "{why}");
    disk.heal();
    let why = recall(&disk, true).unwrap().damage.unwrap();
    assert!(why.ends_with("the old receipts lie in ledger.damaged-7"), "{why}");
}

/// A crash may come before the first receipt behind a damaged ledger.
#[test]
fn numbers_go_on_above_what_was_put_aside() {
    let disk = disk();
    let mut ledger = on_air(&disk, 30);
    ledger.append(&[Body::IpnsReserved { until: 99 }], Time(1_000_000_000)).unwrap();
    drop(ledger);
    let (name, mut bytes) = disk.content().pop_first().unwrap();
    bytes[500] ^= 1;
    disk.put(&name, &bytes);
    let [first, second] = [(); 2].map(|()| recalled(&disk, Time(0)));
    assert!(first.damage.is_some() && second.damage.is_none() && second.ledger.is_none());
    let now = Time::from_millis(7_000);
    assert_eq!(first.history.above(now).media_seq, 5_029 + 10_000);
    assert_eq!(second.history.above(now), first.history.above(now));
    assert_eq!(second.history.reserved(), 99);
}

#[test]
fn what_was_put_aside_is_looked_for_again() {
    let disk = disk();
    let mut ledger = on_air(&disk, 40);
    ledger.append(&[segment(40, group(40) + 3)], Time(241_000_000)).unwrap();
    ledger.append(&[segment(41, group(41) + 3)], Time(242_000_000)).unwrap();
    drop(ledger);
    assert!(recalled(&disk, Time(0)).damage.is_some());
    let begins = |disk: &Disk| recalled(disk, Time(0)).history.above(Time::from_millis(7_000)).media_seq;
    let (before, above) = (disk.calls().0, 5_041 + 10_000);
    assert_eq!(begins(&disk), above);
    let calls = disk.calls().0 - before;
    disk.warnings();
    for n in 0..calls {
        disk.fail_at(n, Failure::Io);
        assert_eq!(begins(&disk), above, "call {n}");
        assert!(!disk.warnings().is_empty(), "nobody is told of {:?}", disk.calls().1);
    }
    assert_eq!(disk.calls().1, Some("find what was set aside"), "the last of {calls}");
}
