//! The simulated ledger: real receipts, a chain, files that begin with the station's constants, and a tail that a
//! crash may lose or tear.

use std::slice;

use super::{
    super::{
        audit::airing::Airing,
        receipt::{Body, GENESIS, Receipt, SigningKey, link},
        time::Time,
    },
    chance::Chance,
};

#[derive(Debug)]
struct Line {
    text: String,
    /// The media sequence that it is about, if it is about one.
    media_seq: Option<u64>,
    /// What it says and its link, once it was read back.
    read: Option<(Receipt, String)>,
    opens: bool,
}

#[derive(Debug)]
pub(super) struct Disk {
    key: SigningKey,
    lines: Vec<Line>,
    next_seq: u64,
    prev: String,
    constants: Option<Body>,
    in_file: usize,
    /// A line that a crash tore: no newline at its end.
    torn: Option<Vec<u8>>,
    /// What an audit goes by: no receipt may break a rule of the air, whatever happened before it.
    airing: Airing,
    pub(super) crashes: u64,
    pub(super) tears: u64,
}

const FILE_LINES: usize = 400;
/// More lines, and more segments, than any window and any item of these worlds holds. What lies further back goes.
const KEPT_LINES: usize = 20_000;
const KEPT_SEGMENTS: u64 = 6_000;

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            key: SigningKey::derive("r1", b"a secret for simulations"),
            lines: Vec::new(),
            next_seq: 0,
            prev: GENESIS.into(),
            constants: None,
            in_file: 0,
            torn: None,
            airing: Airing::default(),
            crashes: 0,
            tears: 0,
        }
    }

    /// Begins a file with these constants.
    pub(super) fn open(&mut self, constants: Body, now: Time) {
        if self.constants.replace(constants.clone()).is_some_and(|known| known != constants) {
            self.airing = Airing::default(); // A real station puts the old ledger aside.
        }
        self.audit(slice::from_ref(&constants));
        let lines = self.sign(slice::from_ref(&constants), now);
        self.keep(&[constants], lines, true);
        self.in_file = 1;
    }

    /// The lines of these receipts, each with its link.
    fn sign(&self, bodies: &[Body], now: Time) -> Vec<(String, String)> {
        let (mut seq, mut prev) = (self.next_seq, self.prev.clone());
        let sign = |body: &Body| {
            let receipt = Receipt {
                seq,
                prev: prev.clone(),
                key_id: self.key.id().into(),
                node_id: "12D3KooWsimulated".into(),
                stream: "main".into(),
                produced_at: now,
                body: body.clone(),
            };
            let line = receipt.sign(&self.key).expect("a receipt has a canonical form");
            seq += 1;
            prev = link(&line);
            (line, prev.clone())
        };
        bodies.iter().map(sign).collect()
    }

    fn keep(&mut self, bodies: &[Body], lines: Vec<(String, String)>, opens: bool) {
        for (body, (text, link)) in bodies.iter().zip(lines) {
            self.prev = link;
            self.next_seq += 1;
            self.in_file += 1;
            let media_seq = match body {
                Body::ItemStarted(body) => Some(body.media_seq),
                Body::Segment(body) => Some(body.media_seq),
                _ => None,
            };
            self.lines.push(Line { text, media_seq, read: None, opens });
        }
        if self.lines.len() > 2 * KEPT_LINES {
            let last = self.lines.iter().rev().find_map(|line| line.media_seq).unwrap_or(0);
            let kept = |line: &Line| line.media_seq.is_some_and(|of| of + KEPT_SEGMENTS > last);
            let gone = self.lines.iter().take(KEPT_LINES).position(kept).unwrap_or(KEPT_LINES);
            self.lines.drain(..gone);
        }
    }

    fn audit(&mut self, bodies: &[Body]) {
        for body in bodies {
            if let Err(why) = self.airing.take(body) {
                panic!("receipt {}: {why}: {body:?}", self.next_seq);
            }
        }
    }

    /// The number of the next receipt.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Appends and syncs.
    pub(super) fn append(&mut self, bodies: &[Body], now: Time) {
        if self.in_file >= FILE_LINES
            && let Some(constants) = self.constants.clone()
        {
            self.open(constants, now);
        }
        self.audit(bodies);
        let lines = self.sign(bodies, now);
        self.keep(bodies, lines, false);
    }

    /// A crash while these receipts are being appended: some are durable, the next one may be torn. Tells how many
    /// are durable.
    pub(super) fn crash_while_appending(&mut self, bodies: &[Body], now: Time, chance: &mut Chance) -> usize {
        self.crashes += 1;
        let mut lines = self.sign(bodies, now);
        let durable = chance.below(bodies.len() + 1);
        self.audit(&bodies[..durable]);
        let rest = lines.split_off(durable);
        self.keep(&bodies[..durable], lines, false);
        if let Some((text, _)) = rest.into_iter().next()
            && chance.one_in(2)
        {
            self.tears += 1;
            self.torn = Some(text.as_bytes()[..chance.below(text.len())].into());
        }
        durable
    }

    /// Reads the files from the one that holds segment `media_seq` and receipt `seq` on, oldest line first, and checks
    /// each line and the chain.
    pub(super) fn read(&mut self, media_seq: u64, seq: u64, visit: &mut dyn FnMut(&Receipt)) {
        // A last line without its newline was never acknowledged: it is cut off.
        self.torn = None;
        let before = |line: &Line| line.media_seq.is_some_and(|of| of < media_seq);
        let first = self.lines.iter().rposition(before).map_or(0, |at| at + 1);
        let wanted = first.min(self.lines.len().saturating_sub((self.next_seq - seq) as usize));
        let from = self.lines.iter().take(wanted + 1).rposition(|line| line.opens).unwrap_or(0);
        let key = &self.key;
        let mut last: Option<(u64, &String)> = None;
        for line in &mut self.lines[from..] {
            let text = &line.text;
            let read = || Receipt::read(text, |id| (id == key.id()).then_some(key)).expect("a durable line reads");
            let (receipt, link) = line.read.get_or_insert_with(|| (read(), link(text)));
            if let Some((seq, prev)) = last {
                assert_eq!((receipt.seq, &receipt.prev), (seq + 1, prev), "the chain is broken");
            }
            last = Some((receipt.seq, link));
            visit(receipt);
        }
        let (seq, prev) = last.map_or((0, GENESIS), |(seq, link)| (seq + 1, link));
        assert_eq!((self.next_seq, self.prev.as_str()), (seq, prev), "the tail is not where it was left");
    }
}
