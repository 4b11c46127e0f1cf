use super::{
    book::{Book, Verdict, Wanted, airs},
    *,
};
use crate::radio::{
    audit::{Audit, Begin, Means},
    checkpoint::{EVERY, Note, tests::Seal},
    ledger::{FILE_BYTES_MAX, Found, Ledger, Signer},
    receipt::{Body, CidText, Constants, Receipt, RenditionBody, SegmentBody, SigningKey},
    segment::{Kind, RAW, cid_of},
    time::Time,
};

fn keys() -> Vec<SigningKey> {
    vec![SigningKey::derive("r1", b"secret"), SigningKey::derive("r2", b"another")]
}

fn notarized() -> Signer {
    Signer { notary: Some(Arc::new(Seal)), ..signer() }
}

fn signer() -> Signer {
    Signer { keys: keys(), node_id: "node".into(), stream: "main".into(), notary: None }
}

fn constants() -> Body {
    let anchor = Time::from_millis(0).to_string();
    Body::LedgerOpen(Constants { epoch: 1, anchor, target_duration: 6, rate: 44_100 })
}

fn note(entries: u64) -> Body {
    Body::OrderAccepted { order: "o".into(), entries }
}

fn reopened(dir: &Path) -> Result<(Option<Ledger>, Found, Vec<Body>), Error> {
    let mut seen = Vec::new();
    let (ledger, found) = Ledger::open(at(dir), signer(), Time(0), &mut |receipt| seen.push(receipt.body.clone()))?;
    Ok((ledger, found, seen))
}

fn at(dir: &Path) -> Arc<Folder> {
    Arc::new(Folder::new(dir))
}

/// Where the last line of a file ends.
fn end(path: &Path) -> usize {
    fs::read(path).unwrap().iter().rposition(|byte| *byte == b'\n').unwrap() + 1
}

#[test]
fn a_file_that_is_removed_while_it_is_written_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), signer(), constants()).unwrap();
    let file = dir.join("000001.jsonl");
    ledger.append(&[note(1)], Time(1_000_000)).unwrap();
    fs::remove_file(&file).unwrap();
    ledger.append(&[note(2)], Time(2_000_000)).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    ledger.append(&[note(3)], Time(3_000_000)).unwrap();
    fs::rename(&file, folder.path().join("elsewhere")).unwrap();
    fs::write(&file, "a backup").unwrap();
    let backup = format!("000001.jsonl.other-{}", fs::metadata(&file).unwrap().ino());
    ledger.append(&[note(4)], Time(4_000_000)).unwrap();
    assert_eq!(fs::read_to_string(dir.join(backup)).unwrap(), "a backup");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    drop(ledger);
    assert_eq!(reopened(&dir).unwrap().2, [constants(), note(1), note(2), note(3), note(4)]);
}

#[test]
fn where_there_is_no_ledger_nothing_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let book = Book::open(&dir.path().join("ledger")).unwrap();
    for wanted in [Wanted::Seq(0), Wanted::MediaSeq(0), Wanted::At(Time(0)), Wanted::Checkpoint] {
        assert!(book.find(&wanted).unwrap().is_none());
    }
}

#[test]
fn what_was_appended_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    assert!(reopened(&dir).unwrap().0.is_none());
    let mut ledger = Ledger::create(at(&dir), signer(), constants()).unwrap();
    ledger.append(&[note(1), note(2)], Time(1_000_000)).unwrap();
    ledger.append(&[note(3)], Time(2_000_000)).unwrap();
    drop(ledger);
    let (ledger, found, seen) = reopened(&dir).unwrap();
    assert_eq!(seen, [constants(), note(1), note(2), note(3)]);
    assert_eq!((found.receipts, found.torn_bytes), (4, 0));
    ledger.unwrap().append(&[note(4)], Time(3_000_000)).unwrap();
    assert_eq!(reopened(&dir).unwrap().2.len(), 5);
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_tears() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), signer(), constants()).unwrap();
    let path = dir.join("000001.jsonl");
    ledger.append(&[note(1)], Time(1)).unwrap();
    let kept = end(&path);
    ledger.append(&[note(2)], Time(2)).unwrap();
    let end = end(&path);
    drop(ledger);
    let mut whole = fs::read(&path).unwrap();
    whole.truncate(end + 100); // More zeros than these tell nothing else, and each is written anew below.
    for cut in kept..end {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(&path, &torn).unwrap();
        let (ledger, found, seen) = reopened(&dir).unwrap();
        assert_eq!((seen.len(), found.torn_bytes), (2, (cut - kept) as u64), "torn at {cut}");
        ledger.unwrap().append(&[note(9)], Time(3)).unwrap();
        assert_eq!(reopened(&dir).unwrap().2.last(), Some(&note(9)));
    }
}

#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), signer(), constants()).unwrap();
    (0..5).for_each(|n| ledger.append(&[note(n)], Time(n)).unwrap());
    let path = dir.join("000001.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    let third = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0 + 20;
    bytes[third] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = reopened(&dir).unwrap_err().to_string();
    assert!(error.contains("000001.jsonl:3:"), "{error}");
    let aside = Ledger::quarantine(&*at(&dir), Time::from_millis(5_000)).unwrap();
    assert!(aside.ends_with("ledger.damaged-5") && !dir.exists());
}

#[test]
fn the_constants_are_those_of_the_last_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let found = || Ledger::constants(&*at(&dir), &signer()).unwrap().map(|constants| constants.epoch);
    assert_eq!(found(), None);
    let mut ledger = Ledger::create(at(&dir), signer(), constants()).unwrap();
    ledger.append(&[note(1)], Time(1)).unwrap();
    assert_eq!(found(), Some(1));
    let lie =
        Body::CatalogChanged { entry: "\"kind\":\"ledger_open\"".into(), item: String::new(), reason: String::new() };
    let anchor = Time::from_millis(0).to_string();
    let second = Body::LedgerOpen(Constants { epoch: 2, anchor, target_duration: 2, rate: 48_000 });
    ledger.append(&[second, note(2), lie], Time(2)).unwrap();
    assert_eq!(found(), Some(2));
    ledger.roll(Time(3)).unwrap();
    assert_eq!(found(), Some(2), "each file tells");
    let path = dir.join("000002.jsonl");
    let forged = fs::read_to_string(&path).unwrap().replace("48000", "44100");
    fs::write(&path, forged).unwrap();
    assert_eq!(found(), Some(2), "the file before it tells");
}

#[test]
fn files_roll_over_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), signer(), constants()).unwrap();
    ledger.append(&[note(1)], Time(1)).unwrap();
    let sealed = dir.join("000001.jsonl");
    assert_eq!(fs::metadata(&sealed).unwrap().len(), FILE_BYTES_MAX);
    let end = end(&sealed);
    ledger.roll(Time(2)).unwrap();
    ledger.append(&[note(2)], Time(3)).unwrap();
    assert_eq!(fs::metadata(&sealed).unwrap().len(), end as u64);
    assert_eq!(fs::metadata(&sealed).unwrap().permissions().mode() & 0o777, 0o444);
    let (_, _, seen) = reopened(&dir).unwrap();
    assert_eq!(seen, [constants(), note(1), constants(), note(2)]);
}

/// Whether the ledger in `dir` holds as a whole, and how many checkpoints it has.
fn holds(dir: &Path) -> u64 {
    let (book, keys) = (Book::open(dir).unwrap(), keys());
    let mut audit = Audit::new(Means { keys: &keys, signed: &Seal::signed }, Begin::Genesis, Vec::new());
    let verdict = book.audit(&mut audit, 0..=u64::MAX, &mut |_| Ok(())).unwrap();
    assert_eq!(verdict, Verdict::Whole);
    audit.seen().checkpoints
}

#[test]
fn checkpoints_go_on_over_files_and_starts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), notarized(), constants()).unwrap();
    ledger.append(&[note(0)], Time(0)).unwrap();
    for hour in 0..60 {
        let now = Time(EVERY.0 * (hour + 1));
        ledger.append(&[note(hour)], now).unwrap();
        assert_eq!(
            ledger.checkpoints().back().unwrap().since,
            if hour == 0 { 0 } else { ledger.checkpoints()[ledger.checkpoints().len() - 2].size }
        );
        ledger.append(&[note(hour)], now).unwrap();
        if hour % 7 == 3 {
            ledger.roll(now).unwrap();
        }
        if hour % 5 == 4 {
            // A start reads the last file only.
            let known = ledger.checkpoints().clone();
            drop(ledger);
            ledger = Ledger::open(at(&dir), notarized(), now, &mut |_| {}).unwrap().0.unwrap();
            let read = ledger.checkpoints();
            assert!(known.iter().rev().zip(read.iter().rev()).all(|(one, other)| one == other));
        }
    }
    assert_eq!(ledger.checkpoints().len().max(holds(&dir) as usize), 60);
}

#[test]
fn a_ledger_without_checkpoints_gets_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), signer(), constants()).unwrap();
    for n in 0..30 {
        ledger.append(&[note(n)], Time(n + 1)).unwrap();
        if n % 9 == 8 {
            ledger.roll(Time(n + 1)).unwrap();
        }
    }
    let mut ledger = Ledger::open(at(&dir), notarized(), Time(100), &mut |_| {}).unwrap().0.unwrap();
    ledger.append(&[note(30)], Time(31)).unwrap();
    assert_eq!((ledger.checkpoints().len(), ledger.checkpoints()[0].size), (1, 34));
    assert_eq!(holds(&dir), 1);
}

/// Appends twenty notes, each again until it is durable; the fuse blows on the way.
fn twenty_notes(dir: &Path, fuse: Arc<Fuse>) -> Result<(), Error> {
    let folder = Arc::new(Folder::new(dir).with_fuse(fuse));
    let mut ledger = Ledger::create(folder, notarized(), constants())?;
    for n in 0..20 {
        let now = Time(EVERY.0 * (n + 1));
        if ledger.append(&[note(n)], now).is_err() {
            ledger.append(&[note(n)], now)?;
        }
        if n == 10 {
            let _ = ledger.roll(now);
        }
    }
    Ok(())
}

#[test]
fn a_disk_that_fails_once_loses_nothing_and_repeats_nothing() {
    let fuse = Arc::new(Fuse::never());
    let dir = tempfile::tempdir().unwrap();
    twenty_notes(&dir.path().join("ledger"), fuse.clone()).unwrap();
    assert!(fuse.steps() >= 44, "{}", fuse.steps());
    for step in 0..fuse.steps() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ledger");
        twenty_notes(&dir, Arc::new(Fuse::fails_once_after(step, io::ErrorKind::Other))).unwrap();
        // Behind what opens the ledger; a file that is given up before opens it twice.
        assert!((19..=20).contains(&holds(&dir)), "step {step}");
        let notes: Vec<Body> =
            reopened(&dir).unwrap().2.into_iter().filter(|body| matches!(body, Body::OrderAccepted { .. })).collect();
        assert_eq!(notes, (0..20).map(note).collect::<Vec<_>>(), "step {step}");
    }
}

#[test]
fn behind_a_sync_that_failed_another_file_begins_and_what_is_in_the_old_one_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), notarized(), constants()).unwrap();
    ledger.append(&[note(1)], Time(1)).unwrap();
    let first = dir.join("000001.jsonl");
    let durable = fs::read(&first).unwrap();
    let durable = &durable[..durable.iter().rposition(|b| *b == b'\n').unwrap() + 1];
    // The write goes through, the sync fails, and later the disk turns out to have all of it.
    let batch = {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("000001.jsonl"), durable).unwrap();
        let (ledger, _) = Ledger::open(at(copy.path()), notarized(), Time(0), &mut |_| {}).unwrap();
        ledger.unwrap().append(&[note(2)], Time(2)).unwrap();
        let text = fs::read(copy.path().join("000001.jsonl")).unwrap();
        text[durable.len()..=text.iter().rposition(|b| *b == b'\n').unwrap()].to_vec()
    };
    let folder = Arc::new(Folder::new(&dir).with_fuse(Arc::new(Fuse::fails_once_after(3, io::ErrorKind::Other))));
    let mut ledger = Ledger::open(folder, notarized(), Time(0), &mut |_| {}).unwrap().0.unwrap();
    ledger.append(&[note(2)], Time(2)).unwrap();
    ledger.append(&[note(3)], Time(3)).unwrap();
    assert!(dir.join("000002.jsonl").exists());
    for behind in [Vec::new(), batch.clone(), batch[..100].to_vec(), vec![0; 5_000]] {
        fs::remove_file(&first).unwrap();
        fs::write(&first, [durable, &behind].concat()).unwrap();
        let notes: Vec<Body> =
            reopened(&dir).unwrap().2.into_iter().filter(|body| matches!(body, Body::OrderAccepted { .. })).collect();
        assert_eq!(notes, [note(1), note(2), note(3)]);
        assert_eq!(holds(&dir), 1);
        // The tree counts the same lines for a start that reads all of them.
        let tree = read::tree(&*at(&dir)).unwrap().unwrap();
        assert_eq!((tree.size(), tree.root()), (ledger.next_seq(), ledger.log().root()));
    }
}

#[test]
fn another_key_is_told_of_by_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), notarized(), constants()).unwrap();
    ledger.append(&[note(1)], Time(1)).unwrap();
    assert!(!ledger.set_keys(keys()[1..].to_vec()), "the key in use is not among them");
    ledger.append(&[note(2)], Time(2)).unwrap();
    let turned: Vec<SigningKey> = keys().into_iter().rev().collect();
    assert!(ledger.set_keys(turned.clone()));
    ledger.append(&[note(3)], Time(3)).unwrap();
    drop(ledger);
    // A start with the keys the other way round turns them again.
    let mut ledger = reopened(&dir).unwrap().0.unwrap();
    ledger.append(&[note(4)], Time(4)).unwrap();
    let mut told = Vec::new();
    let checked = Ledger::read(&*at(&dir), &signer(), Time(0), &mut |receipt| {
        told.push(match &receipt.body {
            Body::KeyRotated { to } => format!("{}>{to}", receipt.key_id),
            _ => receipt.key_id.clone(),
        });
    });
    checked.unwrap();
    assert_eq!(told, ["r1", "r1", "r1", "r1", "r1>r2", "r2", "r2>r1", "r1"]);
    assert_eq!(holds(&dir), 1);
}

/// The block of its other rendition.
fn low(media_seq: u64) -> cid::Cid {
    cid_of(RAW, &[(media_seq % 40) as u8, 64])
}

fn segment(media_seq: u64, pdt: Time) -> Body {
    let cid = cid_of(RAW, &(media_seq % 40).to_be_bytes());
    Body::Segment(Box::new(SegmentBody {
        media_seq,
        disc: false,
        disc_seq: 0,
        epoch: 1,
        air_samples: 0,
        pdt: pdt.to_string(),
        samples: 48_000,
        rate: 8_000,
        sha256_audio: data_encoding::HEXLOWER.encode(cid.hash().digest()),
        cid: CidText(cid),
        byte_count: 1,
        codec: "aac".into(),
        item: "\"seq\":7,\"kind\":\"segment\"".into(),
        entry: String::new(),
        item_kind: Kind::Track,
        part: 0,
        parts: 1,
        order: String::new(),
        position: 0,
        title: String::new(),
        artist: String::new(),
        first_seq: 0,
        group_seq: 0,
        group_end: 0,
        renditions: vec![RenditionBody {
            bitrate: 64_000,
            cid: CidText(low(media_seq)),
            sha256: data_encoding::HEXLOWER.encode(low(media_seq).hash().digest()),
            byte_count: 1,
        }],
        late: false,
    }))
}

#[test]
fn a_segment_behind_a_long_beginning_of_other_receipts_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), notarized(), constants()).unwrap();
    let begun = |n: u64| Time::from_millis(1_000_000 + 6_000 * n);
    ledger.append(&[segment(0, begun(0))], Time(0)).unwrap();
    for n in 1..=2 {
        ledger.roll(Time(n)).unwrap();
        let notes: Vec<Body> = (0..500).map(note).collect();
        ledger.append(&notes, Time(n)).unwrap();
        ledger.append(&[segment(n, begun(n))], Time(n)).unwrap();
    }
    let book = Book::open(&dir).unwrap();
    for n in 0..=2 {
        for wanted in [Wanted::MediaSeq(n), Wanted::At(Time(begun(n).0 + 1))] {
            let found = book.find(&wanted).unwrap().map(|place| place.text);
            let keys = keys();
            let receipt = Receipt::read(&found.unwrap(), |id| keys.iter().find(|key| key.id() == id)).unwrap();
            assert_eq!(receipt.body, segment(n, begun(n)), "{wanted:?}");
        }
    }
}

#[test]
fn every_receipt_is_looked_up_by_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let mut ledger = Ledger::create(at(&dir), notarized(), constants()).unwrap();
    let begun = |n: u64| Time::from_millis(1_000_000 + 6_000 * n - if n >= 200 { 120_000 } else { 0 });
    for n in 0..300 {
        ledger.append(&[note(n), segment(5_000 + n, begun(n))], Time(n)).unwrap();
        if n % 70 == 69 {
            ledger.roll(Time(n)).unwrap();
        }
    }
    let book = Book::open(&dir).unwrap();
    let find = |wanted| book.find(&wanted).unwrap().map(|place| place.text);
    let keys = keys();
    let receipt = |line: &str| Receipt::read(line, |id| keys.iter().find(|key| key.id() == id)).unwrap();
    for seq in (0..ledger.next_seq()).step_by(7).chain([ledger.next_seq() - 1]) {
        assert_eq!(receipt(&find(Wanted::Seq(seq)).unwrap()).seq, seq);
    }
    assert_eq!(find(Wanted::Seq(ledger.next_seq())), None);
    for n in (0..300).step_by(7) {
        let found = find(Wanted::MediaSeq(5_000 + n)).unwrap();
        assert_eq!(receipt(&found).body, segment(5_000 + n, begun(n)));
        assert_eq!(
            airs(&found),
            Some((begun(n), begun(n + 1).max(begun(n).plus(crate::radio::time::Span::seconds(6)))))
        );
        // The dates of the last hundred begin twenty segments before the end of the others.
        let within = Time(begun(n).0 + 3_000_000);
        let on_air = find(Wanted::At(within)).unwrap();
        let expected = if (180..200).contains(&n) { n + 20 } else { n };
        assert_eq!(receipt(&on_air).body, segment(5_000 + expected, begun(expected)), "{n}");
    }
    assert_eq!(find(Wanted::MediaSeq(5_300)), None);
    assert_eq!(find(Wanted::At(Time(1))), None);
    let cid = cid_of(RAW, &(13_u64).to_be_bytes());
    assert_eq!(receipt(&find(Wanted::Cid(cid)).unwrap()).body, segment(5_293, begun(293)));
    assert_eq!(find(Wanted::Cid(cid_of(RAW, b"none"))), None);
    // Indexes that are missing, of another file or cut short are made anew.
    let indexes = dir.with_extension("index");
    assert_eq!(fs::read_dir(&indexes).unwrap().count(), 4);
    fs::remove_file(indexes.join("000001.cids")).unwrap();
    fs::copy(indexes.join("000003.cids"), indexes.join("000002.cids")).unwrap();
    let whole = fs::read(indexes.join("000004.cids")).unwrap();
    fs::write(indexes.join("000004.cids"), &whole[..whole.len() - 3]).unwrap();
    for n in 0..40 {
        let cid = cid_of(RAW, &((5_000 + n) % 40_u64).to_be_bytes());
        let last = (0..300).rev().find(|at| (5_000 + at) % 40 == (5_000 + n) % 40).unwrap();
        let body = segment(5_000 + last, begun(last));
        assert_eq!(receipt(&find(Wanted::Cid(cid)).unwrap()).body, body);
        let Body::Segment(told) = &body else { panic!("a segment") };
        let rendition = find(Wanted::Cid(told.renditions[0].cid.0)).unwrap();
        assert_eq!(receipt(&rendition).body, body, "by its other rendition");
    }
    assert_eq!(find(Wanted::Cid(cid_of(RAW, b"none"))), None);
    assert_eq!(fs::read(indexes.join("000004.cids")).unwrap(), whole);
    let checkpoint = receipt(&find(Wanted::Checkpoint).unwrap());
    assert!(
        matches!(checkpoint.body, Body::Checkpoint(body) if Note::parse(&body.note).unwrap().size == checkpoint.seq)
    );
    for range in [0..=5, 100..=400, 604..=9_999] {
        let mut seen = Vec::new();
        book.lines(range.clone(), &mut |line| {
            seen.push(book::seq(line).unwrap());
            true
        })
        .unwrap();
        let last = (*range.end()).min(ledger.next_seq() - 1);
        assert_eq!(seen, (*range.start()..=last).collect::<Vec<_>>());
    }
}
