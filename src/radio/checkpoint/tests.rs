use super::*;
use crate::radio::receipt::{Body, Constants, GENESIS, Receipt, SigningKey};

/// A notary whose signatures only look like some.
#[derive(Debug)]
pub(crate) struct Seal;

impl Seal {
    pub(crate) fn signature(message: &[u8]) -> Vec<u8> {
        Sha256::digest([b"seal", message].concat()).repeat(2)
    }

    /// Whether a note is signed by this one.
    pub(crate) fn signed(note: &Note) -> Result<(), String> {
        let checked = note.check(&Self.public(), |message, signature| signature == Self::signature(message));
        checked.map_err(|error| error.to_string())
    }
}

impl Notary for Seal {
    fn station(&self) -> String {
        "k51station".into()
    }

    fn public(&self) -> [u8; 32] {
        [7; 32]
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        Self::signature(message)
    }
}

/// Writes a ledger as the station does.
#[derive(Clone, Debug)]
pub(crate) struct Scribe {
    pub(crate) keys: Vec<SigningKey>,
    pub(crate) lines: Vec<String>,
    pub(crate) log: Log,
    /// Which key signs.
    pub(crate) key: usize,
    pub(crate) now: Time,
}

impl Scribe {
    pub(crate) fn new() -> Self {
        let keys = ["r1", "r2"].map(|id| SigningKey::derive(id, format!("the secret of {id}").as_bytes()));
        let now = Time::from_millis(1_795_252_684_893);
        Self { keys: keys.to_vec(), lines: Vec::new(), log: Log::default(), key: 0, now }
    }

    pub(crate) fn add(&mut self, body: Body) {
        let key = &self.keys[self.key];
        let receipt = Receipt {
            seq: self.lines.len() as u64,
            prev: self.lines.last().map_or_else(|| GENESIS.into(), |line| link(line)),
            key_id: key.id().into(),
            node_id: "12D3KooW".into(),
            stream: "main".into(),
            produced_at: self.now,
            body,
        };
        let line = receipt.sign(key).unwrap();
        self.log.push(&line);
        self.lines.push(line);
        self.now = self.now.plus(Span::seconds(6));
    }

    pub(crate) fn checkpoint(&mut self) -> CheckpointBody {
        let body = self.log.checkpoint(&Seal);
        self.log.mark(self.now);
        self.add(Body::Checkpoint(Box::new(body.clone())));
        body
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

fn constants() -> Body {
    let anchor = Time::from_millis(0).to_string();
    Body::LedgerOpen(Constants { epoch: 1, anchor, target_duration: 6, rate: 44_100 })
}

fn note(entries: u64) -> Body {
    Body::OrderAccepted { order: "o".into(), entries }
}

#[test]
fn a_note_is_read_back_and_holds_for_its_station_only() {
    let mut scribe = Scribe::new();
    scribe.add(constants());
    scribe.add(note(1));
    let body = scribe.checkpoint();
    let read = Note::parse(&body.note).unwrap();
    assert_eq!((read.size, read.root, body.size), (2, body.tree().unwrap().root(), 2));
    assert_eq!(read.station(), Ok("k51station"));
    assert_eq!(read.origin, format!("ipns/k51station/ledger/{}", &link(&scribe.lines[0])[..16]));
    assert_eq!(Seal::signed(&read), Ok(()));
    let other = read.check(&[8; 32], |_, _| true);
    assert_eq!(other, Err(Error::Unsigned(read.origin.clone())), "the name of the key has the key in it");
    assert!(read.check(&[7; 32], |_, _| false).is_err());
}

#[test]
fn no_changed_byte_of_a_note_gets_through() {
    let mut scribe = Scribe::new();
    scribe.add(constants());
    let note = scribe.checkpoint().note.into_bytes();
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut changed = note.clone();
            changed[at] ^= 1 << bit;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let holds = Note::parse(&changed).is_ok_and(|note| Seal::signed(&note).is_ok());
            assert!(!holds, "byte {at}, bit {bit}: {changed}");
        }
    }
    for text in ["", "\n\n", "a\n1\n\n\u{2014} a AAAA\n", &"x".repeat(3_000)] {
        assert!(Note::parse(text).is_err(), "{text}");
    }
}

#[test]
fn checkpoints_follow_each_other_with_proofs_that_need_nothing_older() {
    let mut scribe = Scribe::new();
    scribe.add(constants());
    let mut before: Option<CheckpointBody> = None;
    for round in 0..40 {
        (0..round % 7).for_each(|n| scribe.add(note(n)));
        let body = scribe.checkpoint();
        if let Some(before) = before {
            let (old, new) = (Note::parse(&before.note).unwrap(), Note::parse(&body.note).unwrap());
            let proof = body.proof().unwrap();
            assert!(merkle::extends((old.size, &old.root), (new.size, &new.root), &proof), "round {round}");
            assert_eq!(body.since, old.size);
        }
        // A start knows no more than this receipt.
        let mut resumed = Log::at(&body, scribe.now).unwrap();
        resumed.push(scribe.lines.last().unwrap());
        resumed.at = scribe.log.at;
        assert_eq!(format!("{resumed:?}"), format!("{:?}", scribe.log));
        before = Some(body);
    }
}

#[test]
fn a_checkpoint_is_due_behind_what_opens_a_ledger_then_by_number_and_by_time() {
    let mut scribe = Scribe::new();
    assert!(!scribe.log.due(scribe.now), "there is nothing to sign");
    scribe.add(constants());
    assert!(!scribe.log.due(scribe.now), "a repair comes first");
    scribe.add(note(0));
    assert!(scribe.log.due(scribe.now));
    let at = scribe.now;
    scribe.checkpoint();
    assert!(!scribe.log.due(at.plus(Span(EVERY.0 - 1))) && scribe.log.due(at.plus(EVERY)));
    (0..EVERY_RECEIPTS - 2).for_each(|n| scribe.add(note(n)));
    assert!(!scribe.log.due(at));
    scribe.add(note(0));
    assert!(scribe.log.due(at), "{} receipts", scribe.log.size());
}

#[test]
fn a_prover_says_why_there_is_no_proof() {
    let mut scribe = Scribe::new();
    scribe.add(constants());
    (0..20).for_each(|n| scribe.add(note(n)));
    let checkpoint = Note::parse(&scribe.checkpoint().note).unwrap();
    let run = |mut prover: Prover, lines: &[String]| {
        let _ = lines.iter().all(|line| prover.push(line.as_bytes()));
        prover.nodes()
    };
    for index in 0..checkpoint.size {
        let nodes = run(Prover::inclusion(index, checkpoint.clone()), &scribe.lines).unwrap();
        let leaf = merkle::leaf(scribe.lines[index as usize].as_bytes());
        assert!(merkle::includes(leaf, index, checkpoint.size, &hashes(&nodes).unwrap(), &checkpoint.root));
    }
    let cut = run(Prover::inclusion(1, checkpoint.clone()), &scribe.lines[..20]).unwrap_err();
    assert!(cut.contains("cut off"), "{cut}");
    let mut changed = scribe.lines.clone();
    changed[3].push('x');
    let other = run(Prover::inclusion(1, checkpoint), &changed).unwrap_err();
    assert!(other.contains("not those"), "{other}");
}

#[test]
fn a_note_has_bounds() {
    let text = |origin: &str, signatures: usize| {
        let root = BASE64.encode(&[0; 32]);
        format!("{origin}\n1\n{root}\n\n{}", format!("{SIGNATURE}o AAAA\n").repeat(signatures))
    };
    assert!(Note::parse(&text("o", SIGNATURES_MAX)).is_ok());
    assert!(Note::parse(&text("o", SIGNATURES_MAX + 1)).is_err());
    assert!(Note::parse(&text("", 1)).is_err());
    let longest = "o".repeat(NOTE_BYTES_MAX - text("", 1).len());
    assert!(Note::parse(&text(&longest, 1)).is_ok());
    assert!(Note::parse(&text(&format!("{longest}o"), 1)).is_err());
}
