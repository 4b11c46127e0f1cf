//! A ledger that nothing is wrong with but the keys at hand.

use super::*;

const ABOVE: u64 = 10_000;

fn key(id: &str, secret: &str) -> SigningKey {
    SigningKey::derive(id, secret.as_bytes())
}

fn good() -> Vec<SigningKey> {
    vec![key("r2", "other"), key("r1", "secret")]
}

/// A station that rotated its key after its 10th segment, with 30 segments and the sequences up to 99 reserved.
fn rotated() -> Disk {
    let disk = disk();
    let mut ledger = on_air(&disk, 10);
    assert!(ledger.set_keys(good()));
    for n in 10..30 {
        ledger.append(&[segment(n, group(n))], Time(n * 6_000_000)).unwrap();
    }
    ledger.append(&[Body::IpnsReserved { until: 99 }], Time(180_000_000)).unwrap();
    disk
}

fn recalled_with(disk: &Disk, keys: Vec<SigningKey>, required: bool) -> Result<recall::Recalled, Error> {
    let volume: Arc<dyn Volume> = Arc::new(disk.clone());
    let signer = Signer { keys, ..signer() };
    recall(&volume, &signer, Time(0), Time::from_millis(7_000), required, &mut |_, _| {})
}

/// Keys with which the ledger of [`rotated`] cannot be checked, and the one that is wrong.
fn wrong() -> [(Vec<SigningKey>, &'static str); 5] {
    [
        (vec![key("r1", "secret")], "\"r2\""),
        (vec![key("r2", "other")], "\"r1\""),
        (vec![key("r2", "flipped"), key("r1", "secret")], "\"r2\""),
        (vec![key("r2", "other"), key("r1", "flipped")], "\"r1\""),
        (vec![key("r1", "of another station")], "\"r1\""),
    ]
}

/// Where the lines are that the key `id`, in quotes, has signed: file and line.
fn signed_by(disk: &Disk, id: &str) -> Vec<String> {
    let mut places = Vec::new();
    for (name, text) in disk.content() {
        let text = String::from_utf8_lossy(&text).into_owned();
        let signed = text.lines().zip(1..).filter(|(line, _)| line.contains(&format!("\"key_id\":{id}")));
        places.extend(signed.map(|(_, number)| format!("{name}:{number}: ")));
    }
    places
}

#[test]
fn a_ledger_whose_key_is_not_at_hand_is_kept_and_numbers_go_on_above_it() {
    for (keys, id) in wrong() {
        let disk = rotated();
        let content = disk.content();
        let past = recalled_with(&disk, keys, false).unwrap();
        let why = past.damage.unwrap();
        for words in
            [id, "state/keys/receipts.toml", "put the right file back", "receipts verify ledger.damaged-7/*.jsonl"]
        {
            assert!(why.contains(words), "{words} in {why}");
        }
        let first = past.history.above(Time(180_000_000));
        assert!(first.media_seq >= 5_029 + ABOVE && first.disc_seq > ABOVE, "{first:?}: {why}");
        assert_eq!(past.history.reserved(), 99, "{why}");
        // The right keys are back, and somebody puts the files back.
        let back = super::disk();
        content.iter().for_each(|(name, bytes)| back.put(name, bytes));
        assert_eq!(recalled_with(&back, good(), true).unwrap().damage, None);
        assert_eq!(back.audited(&good(), Begin::Genesis), Outcome::Whole);
    }
}

/// A crash comes behind the start that put it aside: the next one must know of the same numbers.
#[test]
fn numbers_go_on_above_a_ledger_that_was_put_aside_for_its_key() {
    for (keys, id) in wrong() {
        let disk = rotated();
        drop(recalled_with(&disk, keys.clone(), false).unwrap());
        let past = recalled_with(&disk, keys, false).unwrap();
        assert_eq!(past.damage, None);
        let first = past.history.above(Time(180_000_000));
        assert!(first.media_seq >= 5_029 + ABOVE && first.disc_seq > ABOVE, "{id}: {first:?}");
        assert_eq!(past.history.reserved(), 99, "{id}");
    }
}

#[test]
fn where_receipts_are_required_the_start_is_refused_and_nothing_is_moved() {
    for (keys, id) in wrong() {
        let disk = rotated();
        let before = disk.content();
        let why = recalled_with(&disk, keys, true).unwrap_err().to_string();
        let place = signed_by(&disk, id).remove(0);
        for words in [&place, id, "state/keys/receipts.toml", "restore that file from a backup", "move ledger/ away"] {
            assert!(why.contains(words), "{words} in {why}");
        }
        assert_eq!(disk.content(), before);
    }
}

/// The line that hands over to a key tells of it, as one that it signed does.
#[test]
fn a_key_that_has_signed_one_line_is_judged_by_the_one_that_hands_over_to_it() {
    let disk = disk();
    let mut ledger = on_air(&disk, 10);
    assert!(ledger.set_keys(good()));
    ledger.append(&[segment(10, group(10))], Time(60_000_000)).unwrap();
    assert_eq!(signed_by(&disk, "\"r2\"").len(), 1);
    let why = recalled_with(&disk, vec![key("r1", "secret")], true).unwrap_err().to_string();
    assert!(why.contains("\"r2\"") && why.contains("state/keys/receipts.toml"), "{why}");
}

/// A line that was changed fails by its signature, too.
#[test]
fn damage_is_not_taken_for_a_wrong_key() {
    let disk = rotated();
    for (name, text) in disk.content() {
        let written = text.iter().rposition(|byte| *byte == b'\n').unwrap();
        for at in (0..written).step_by(37) {
            let copy = disk.copy();
            let mut flipped = text.clone();
            flipped[at] ^= 1;
            copy.put(&name, &flipped);
            let Some(why) = recalled_with(&copy, good(), true).unwrap().damage else {
                panic!("{name}, byte {at}: nobody notices");
            };
            assert!(!why.contains("receipts.toml"), "{name}, byte {at}: {why}");
        }
    }
}

#[test]
fn a_key_with_another_secret_is_not_taken_while_on_air() {
    let disk = disk();
    let mut ledger = create(&disk);
    ledger.append(&[note(0)], Time(0)).unwrap();
    assert!(!ledger.set_keys(vec![key("r1", "flipped")]));
    assert!(!ledger.set_keys(vec![key("r2", "other"), key("r1", "flipped")]));
    ledger.append(&[note(1)], Time(1)).unwrap();
    audited(&disk);
}
