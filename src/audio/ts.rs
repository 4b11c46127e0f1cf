//! A transport stream reader of the checks' own, written from ISO/IEC 13818-1. It checks all that it reads.

use std::collections::HashMap;

/// Ticks of 90 kHz.
pub(crate) struct Pes {
    pub(crate) pts: u64,
    /// ADTS frames.
    pub(crate) data: Vec<u8>,
}

/// Reads the segments of one item in order.
#[derive(Default)]
pub(crate) struct Reader {
    counters: HashMap<u16, u8>,
}

const PAT: [u8; 16] = [0x00, 0xb0, 0x0d, 0x00, 0x01, 0xc1, 0x00, 0x00, 0x00, 0x01, 0xf0, 0x00, 0, 0, 0, 0];
const PMT: [u8; 21] =
    [0x02, 0xb0, 0x12, 0x00, 0x01, 0xc1, 0x00, 0x00, 0xe1, 0x00, 0xf0, 0x00, 0x0f, 0xe1, 0x00, 0xf0, 0x00, 0, 0, 0, 0];

impl Reader {
    /// The PES packets of one segment: tables first, then audio alone.
    pub(crate) fn segment(&mut self, bytes: &[u8]) -> Vec<Pes> {
        let (packets, rest) = bytes.as_chunks::<188>();
        assert!(rest.is_empty(), "a length that is no multiple of 188");
        assert_eq!(pids(&packets[..2]), [0, 0x1000], "the tables come first");
        assert!(pids(&packets[2..]).iter().all(|pid| *pid == 0x100), "one stream alone");
        let mut units: Vec<(bool, u64, Vec<u8>)> = Vec::new();
        for packet in packets {
            let (start, field, payload) = self.packet(packet);
            match (pids(&[*packet])[0], start) {
                (0, true) => table(payload, &PAT),
                (0x1000, true) => table(payload, &PMT),
                (_, true) => {
                    let (random_access, pcr) = pcr(field);
                    units.push((random_access, pcr, payload.to_vec()));
                }
                (_, false) => {
                    assert!(field.get(1).is_none_or(|flags| *flags == 0), "flags between PES starts");
                    units.last_mut().expect("a unit was begun").2.extend(payload);
                }
            }
        }
        let units = units.into_iter().enumerate();
        units.map(|(index, (random_access, pcr, unit))| pes(&unit, pcr, random_access == (index == 0))).collect()
    }

    /// Whether a unit starts here, the adaptation field with its length byte, and the payload.
    fn packet<'a>(&mut self, packet: &'a [u8; 188]) -> (bool, &'a [u8], &'a [u8]) {
        assert_eq!(packet[0], 0x47, "no sync byte");
        assert_eq!(packet[1] & 0xa0, 0, "error or priority bits");
        assert_eq!(packet[3] & 0xd0, 0x10, "scrambled, or without payload");
        let pid = pids(&[*packet])[0];
        let counter = packet[3] & 15;
        let expected = self.counters.insert(pid, counter).map_or(0, |last| (last + 1) & 15);
        assert_eq!(counter, expected, "the continuity counter of {pid:#x}");
        let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        assert!(field < 184, "an adaptation field that leaves no payload");
        (packet[1] & 0x40 != 0, &packet[4..4 + field], &packet[4 + field..])
    }
}

/// Splits ADTS frames.
pub(crate) fn adts(data: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        assert_eq!(rest[..2], [0xff, 0xf1], "no ADTS sync (MPEG-4, no CRC)");
        let len = usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5]) >> 5;
        assert_eq!(rest[6] & 3, 0, "one block a frame");
        frames.push(&rest[..len]);
        rest = &rest[len..];
    }
    frames
}

fn pids(packets: &[[u8; 188]]) -> Vec<u16> {
    packets.iter().map(|packet| u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2])).collect()
}

/// A table is its known bytes and a CRC that makes the remainder zero.
fn table(payload: &[u8], expected: &[u8]) {
    assert_eq!(payload[0], 0, "a pointer field");
    let section = &payload[1..1 + expected.len()];
    assert_eq!(section[..expected.len() - 4], expected[..expected.len() - 4]);
    assert!(payload[1 + expected.len()..].iter().all(|byte| *byte == 0xff), "stuffing");
    let crc = section.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    });
    assert_eq!(crc, 0, "the table's CRC");
}

/// The random access flag and the clock in ticks of 90 kHz.
fn pcr(field: &[u8]) -> (bool, u64) {
    assert!(field.len() >= 8, "an adaptation field without a clock");
    assert!(matches!(field[1], 0x10 | 0x50), "flags {:#x}", field[1]);
    let base = field[2..6].iter().fold(0, |base, byte| base << 8 | u64::from(*byte)) << 1 | u64::from(field[6] >> 7);
    assert_eq!((field[6] & 1, field[7]), (0, 0), "the clock's extension");
    assert_eq!(field[6] & 0x7e, 0x7e, "the clock's reserved bits");
    assert!(field[8..].iter().all(|byte| *byte == 0xff), "stuffing");
    (field[1] == 0x50, base)
}

fn pes(unit: &[u8], pcr: u64, starts_where_it_should: bool) -> Pes {
    assert!(starts_where_it_should, "random access at the first PES of a segment alone");
    assert_eq!(unit[..4], [0, 0, 1, 0xc0], "the start code");
    assert_eq!(usize::from(unit[4]) << 8 | usize::from(unit[5]), unit.len() - 6, "the PES length");
    assert_eq!(unit[6..9], [0x84, 0x80, 5], "aligned, a PTS alone");
    let [a, b, c, d, e] = [9, 10, 11, 12, 13].map(|at| u64::from(unit[at]));
    assert_eq!((a & 0xf1, c & 1, e & 1), (0x21, 1, 1), "marker bits");
    let pts = (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1;
    assert_eq!(pts - pcr, 90_000, "the clock leads by a second");
    Pes { pts, data: unit[14..].to_vec() }
}
