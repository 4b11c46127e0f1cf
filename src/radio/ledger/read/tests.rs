//! What is read of a ledger, how far back, and what is said of one that does not hold.

use std::sync::Arc;

use super::{
    super::{
        super::{
            receipt::{SigningKey, StartedBody},
            sim::volume::Disk,
            time::Span,
        },
        Ledger,
        tests::{audited, constants, create, disk, note, segment, signer},
    },
    *,
};

fn at(seconds: u64) -> Time {
    Time(0).plus(Span::seconds(seconds))
}

/// A ledger of so many notes, one each second.
fn noted(disk: &Disk, notes: u64) -> Ledger {
    let mut ledger = create(disk);
    (0..notes).for_each(|n| ledger.append(&[note(n)], at(n)).unwrap());
    ledger
}

fn texts(disk: &Disk) -> Vec<(String, String)> {
    disk.content().into_iter().map(|(name, bytes)| (name, String::from_utf8_lossy(&bytes).into_owned())).collect()
}

fn receipts(disk: &Disk, since: Time) -> Result<(Found, Option<Tail>), Error> {
    walk(disk, &signer(), since, &mut |_, _| {})
}

fn lines(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with('{')).count()
}

/// What is said of a ledger, and of which line of the first file.
fn said(disk: &Disk) -> (usize, String) {
    match receipts(disk, Time(0)) {
        Err(Error::Damaged { path, line, reason }) => {
            assert!(path.ends_with("000001.jsonl"), "{path:?}");
            (line, reason)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_receipts_are_counted_and_so_are_torn_bytes() {
    let disk = disk();
    drop(noted(&disk, 40));
    let files = texts(&disk);
    assert!(files.len() > 3);
    let all: usize = files.iter().map(|(_, text)| lines(text)).sum();
    let (found, tail) = receipts(&disk, Time(0)).unwrap();
    assert_eq!((found.receipts, found.torn_bytes), (all as u64, 0));
    let (name, text) = files.last().unwrap();
    let written = text.rfind('\n').unwrap() + 1;
    assert_eq!(tail.unwrap().end, written as u64);
    let torn = [&text.as_bytes()[..written], b"{\"r\":{\"torn"].concat();
    disk.put(name, &torn);
    assert_eq!(receipts(&disk, Time(0)).unwrap().0.torn_bytes, 11);
    // A file that was never begun.
    disk.put(name, text.as_bytes());
    disk.put("000099.jsonl", b"{\"r\":");
    let (found, tail) = receipts(&disk, Time(0)).unwrap();
    assert_eq!((found.torn_bytes, tail.unwrap().unbegun.as_deref()), (5, Some("000099.jsonl")));
}

#[test]
fn damage_is_told_by_its_line() {
    let disk = disk();
    drop(noted(&disk, 40));
    let (name, text) = texts(&disk).swap_remove(0);
    let begins: Vec<usize> = text.match_indices("{\"r\"").map(|(at, _)| at).collect();
    for (index, begin) in begins.iter().enumerate() {
        let mut damaged = text.clone().into_bytes();
        damaged[begin + 200] ^= 1;
        disk.put(&name, &damaged);
        assert_eq!(said(&disk).0, index + 1);
    }
    let last = begins.last().unwrap();
    disk.put(&name, &text.as_bytes()[..last + 50]);
    assert_eq!(said(&disk), (begins.len(), "the file ends within a line".into()), "another file follows");
    let mut holed = text.clone().into_bytes();
    holed[begins[1] + 50] = 0;
    disk.put(&name, &holed);
    assert_eq!(said(&disk), (2, "there are zeros in it".into()));
}

#[test]
fn a_line_follows_the_one_before_it_by_number_and_by_hash() {
    let key = SigningKey::derive("r1", b"secret");
    let line = |seq: u64, prev: &str| {
        let (key_id, node_id, stream) = ("r1".into(), "node".into(), "main".into());
        let receipt = Receipt { seq, prev: prev.into(), key_id, node_id, stream, produced_at: Time(0), body: note(0) };
        receipt.sign(&key).unwrap()
    };
    let first = line(5, receipt::GENESIS);
    let follows = |next: String| {
        let mut chain = None;
        take(first.as_bytes(), &signer(), &mut chain).unwrap();
        take(next.as_bytes(), &signer(), &mut chain).map(|(receipt, _)| (receipt.seq, chain.unwrap().next_seq))
    };
    let link = receipt::link(&first);
    assert_eq!(follows(line(6, &link)), Ok((6, 7)));
    for other in [line(7, &link), line(5, &link), line(6, receipt::GENESIS)] {
        assert_eq!(follows(other), Err("it does not follow the line before it".into()));
    }
}

/// A crash may come right behind the receipt that says so.
#[test]
fn the_key_that_was_rotated_to_signs_after_a_start_too() {
    let disk = disk();
    let mut ledger = noted(&disk, 1);
    let keys = vec![SigningKey::derive("r2", b"other"), SigningKey::derive("r1", b"secret")];
    assert!(ledger.set_keys(keys.clone()));
    ledger.append(&[note(1)], at(1)).unwrap();
    drop(ledger);
    let (name, text) = texts(&disk).swap_remove(0);
    let rotated = text.find("\"kind\":\"key_rotated\"").unwrap();
    let end = rotated + text[rotated..].find('\n').unwrap() + 1;
    disk.put(&name, &text.as_bytes()[..end]);
    let signer = Signer { keys, ..signer() };
    let (ledger, _) = Ledger::open(Arc::new(disk.clone()), signer, Time(0), &mut |_| {}).unwrap();
    ledger.unwrap().append(&[note(1)], at(1)).unwrap();
    let text: String = texts(&disk).into_iter().map(|(_, text)| text).collect();
    assert_eq!(text.matches("\"kind\":\"key_rotated\"").count(), 1);
    let last = text.lines().rfind(|line| line.starts_with('{')).unwrap();
    assert_eq!(field(last, "key_id"), Some("r2"));
}

#[test]
fn the_last_batch_is_the_lines_of_one_date() {
    let disk = disk();
    let mut ledger = noted(&disk, 2);
    ledger.append(&[note(2), note(3), note(4)], at(2)).unwrap();
    drop(ledger);
    let (_, text) = texts(&disk).swap_remove(0);
    let begin = text.find("\"entries\":2").and_then(|at| text[..at].rfind('\n')).unwrap() + 1;
    let end = text.rfind('\n').unwrap() + 1;
    assert_eq!(batch(&Lines::of(text.as_bytes())), begin);
    let tail = receipts(&disk, Time(0)).unwrap().1.unwrap();
    assert_eq!(tail.batch, text.as_bytes()[begin..end]);
}

/// Items of ten segments, each of which lists the twenty segments before it, and a reservation at either end.
fn items(disk: &Disk) -> Ledger {
    items_by(disk, signer())
}

fn items_by(disk: &Disk, signer: Signer) -> Ledger {
    let mut ledger = Ledger::create(Arc::new(disk.clone()), signer, constants()).unwrap();
    ledger.append(&[Body::IpnsReserved { until: 7 }], at(0)).unwrap();
    for n in 0..60 {
        let Body::Segment(mut body) = segment(n, 0) else { panic!("no segment") };
        (body.disc, body.disc_seq) = (n % 10 == 0, 1 + n / 10);
        (body.part, body.parts) = (n % 10, 10);
        (body.first_seq, body.group_end) = ((body.media_seq - 20).max(5_000), 0);
        let mut begun = StartedBody::whole(10, 10 * body.samples);
        (begun.media_seq, begun.air_samples) = (body.media_seq, body.air_samples);
        let begun = body.disc.then(|| Body::ItemStarted(Box::new(begun)));
        let bodies: Vec<Body> = begun.into_iter().chain([Body::Segment(body)]).collect();
        ledger.append(&bodies, at(6 * n)).unwrap();
    }
    ledger
}

/// The file in which a line holds all of this.
fn file_of(disk: &Disk, what: &[&str]) -> usize {
    let holds = |(_, text): &(String, String)| text.lines().any(|line| what.iter().all(|what| line.contains(what)));
    texts(disk).iter().rposition(holds).unwrap()
}

fn starts_from(disk: &Disk, since: Time) -> usize {
    from(disk, &files(disk).unwrap(), since).unwrap()
}

#[test]
fn files_are_read_back_to_a_date_and_to_what_a_start_goes_on_from() {
    let disk = disk();
    items(&disk).append(&[Body::IpnsReserved { until: 9 }], at(360)).unwrap();
    let date = |(_, text): &(String, String)| field(text, "produced_at").and_then(Time::parse).unwrap();
    let dates: Vec<Time> = texts(&disk).iter().map(date).collect();
    let newest = file_of(&disk, &["item_started", "\"media_seq\":5030,"]);
    assert!(newest > 5 && newest + 5 < dates.len());
    assert_eq!(starts_from(&disk, Time(u64::MAX)), newest);
    for (file, date) in dates.iter().enumerate().take(newest + 1) {
        assert_eq!(starts_from(&disk, date.plus(Span(1))), file);
        assert_eq!(starts_from(&disk, *date), file.saturating_sub(1), "the one before may end at that date");
    }
    let (found, _) = receipts(&disk, dates[newest]).unwrap();
    let read: usize = texts(&disk)[newest - 1..].iter().map(|(_, text)| lines(text)).sum();
    assert_eq!(found.receipts, read as u64);
}

#[test]
fn a_checkpoint_is_of_all_lines_however_few_are_read() {
    for notary in [true, false] {
        let disk = disk();
        let first = Signer { notary: signer().notary.filter(|_| notary), ..signer() };
        items_by(&disk, first).append(&[Body::IpnsReserved { until: 9 }], at(360)).unwrap();
        let (ledger, found) = Ledger::open(Arc::new(disk.clone()), signer(), Time(u64::MAX), &mut |_| {}).unwrap();
        let mut ledger = ledger.unwrap();
        assert!(found.receipts < ledger.size());
        ledger.append(&[note(1)], at(9_000)).unwrap();
        assert_eq!(ledger.checkpoints().back().unwrap().size, ledger.size() - 2);
        assert_eq!(disk.warnings(), [""; 0]);
        audited(&disk);
    }
}

/// Lines were written that could not be made durable, and another file goes on before them.
fn gives_up(disk: &Disk, kept: &[Body], lost: &[Body]) -> Ledger {
    let mut ledger = items(disk);
    ledger.append(kept, at(360)).unwrap();
    let other = disk.copy();
    ledger.append(lost, at(361)).unwrap();
    drop(ledger);
    let (name, text) = texts(disk).pop().unwrap();
    let (ledger, _) = Ledger::open(Arc::new(other.clone()), signer(), Time(0), &mut |_| {}).unwrap();
    let mut ledger = ledger.unwrap();
    ledger.roll(at(362)).unwrap();
    let written = text.rfind('\n').unwrap() + 1;
    disk.put(&name, &[&text.as_bytes()[..written], b"{\"r\":"].concat());
    let (name, text) = texts(&other).pop().unwrap();
    disk.put(&name, text.as_bytes());
    ledger
}

#[test]
fn what_was_given_up_counts_for_nothing() {
    let (reserved, order) = ([Body::IpnsReserved { until: 9 }], [note(1)]);
    for (kept, lost, from) in [(&order, &reserved, 0), (&reserved, &order, 10)] {
        let disk = disk();
        let size = gives_up(&disk, kept, lost).size();
        assert_eq!(receipts(&disk, Time(0)).unwrap().0.receipts, size);
        assert_eq!(receipts(&disk, Time(0)).unwrap().0.torn_bytes, 0);
        assert_eq!(tree(&disk).unwrap().unwrap().size(), size);
        let newest = file_of(&disk, &["item_started", "\"media_seq\":5030,"]);
        assert_eq!(starts_from(&disk, Time(u64::MAX)), newest.min(from * newest), "{kept:?}");
    }
}

#[test]
fn there_is_no_tree_over_a_ledger_whose_first_file_is_gone() {
    let disk = disk();
    let size = items(&disk).size();
    assert_eq!(tree(&disk).unwrap().unwrap().size(), size);
    disk.remove("000001.jsonl").unwrap();
    assert!(tree(&disk).unwrap().is_none());
}

#[test]
fn the_constants_are_those_that_were_told_last() {
    let told = |disk: &Disk| Ledger::constants(disk, &signer()).unwrap();
    let disk = disk();
    assert_eq!(told(&disk), None);
    let mut ledger = noted(&disk, 30);
    let Body::LedgerOpen(first) = constants() else { panic!("no constants") };
    assert_eq!(told(&disk).as_ref(), Some(&first));
    let next = Constants { epoch: 2, ..first.clone() };
    ledger.append(&[note(30), Body::LedgerOpen(next.clone()), note(31)], at(30)).unwrap();
    assert_eq!(told(&disk).as_ref(), Some(&next));
    // What another key signed, what is torn, and what is no file of a ledger at all is passed over.
    let (name, text) = texts(&disk).pop().unwrap();
    disk.put("000098.jsonl", &text.as_bytes()[..text.find('\n').unwrap()]);
    disk.put("000099.jsonl", text.replace("\"epoch\":", "\"epoch\":1").as_bytes());
    assert_eq!(told(&disk).as_ref(), Some(&next), "{name}");
}

#[test]
fn strays_are_shown_from_the_newest_file_until_enough_was_seen() {
    let disk = disk();
    let mut ledger = items(&disk);
    ledger.append(&[Body::IpnsReserved { until: 9 }, note(1), note(2)], at(360)).unwrap();
    (3..20).for_each(|n| ledger.append(&[note(n)], at(360 + n)).unwrap());
    let until = file_of(&disk, &["\"until\":9,"]);
    let files = texts(&disk);
    assert!(until + 1 < files.len());
    let shown = |since: Time, stays: bool| {
        let (mut shown, mut enough) = (0, false);
        strays(&disk, &signer(), since, &mut |receipt| {
            shown += 1;
            let reserved = matches!(receipt.body, Body::IpnsReserved { .. });
            enough |= reserved;
            if stays { enough } else { reserved }
        });
        shown
    };
    let from = |file: usize| files[file..].iter().map(|(_, text)| lines(text)).sum::<usize>();
    assert_eq!(shown(Time(u64::MAX), false), from(until));
    let date = field(&files[until - 3].1, "produced_at").and_then(Time::parse).unwrap();
    assert_eq!(shown(date.plus(Span(1)), true), from(until - 3), "as far back as the date");
    assert_eq!(shown(Time(0), false), from(0));
}

#[test]
fn a_file_larger_than_one_of_a_ledger_is_damage() {
    let bytes = vec![b'x'; READ_BYTES_MAX as usize + 2];
    let disk = disk();
    for (more, fits) in [(0, true), (1, false), (2, false)] {
        let bytes = &bytes[..READ_BYTES_MAX as usize + more];
        assert_eq!(within(bytes).is_ok(), fits);
        disk.put("000001.jsonl", bytes);
        let told = load(&disk, "000001.jsonl").map_err(|error| error.to_string());
        assert_eq!(told.is_ok(), fits);
        assert!(fits || told.is_err_and(|told| told.ends_with("1: the file is larger than 20971520 bytes")));
    }
}

#[test]
fn files_are_ordered_by_their_numbers() {
    let disk = disk();
    for name in ["1000000.jsonl", "000012.jsonl", "notes.txt", "000002.jsonl", "x.jsonl"] {
        disk.put(name, b"");
    }
    let numbers: Vec<u32> = files(&disk).unwrap().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [2, 12, 1_000_000]);
}
