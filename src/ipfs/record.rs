//! IPNS records: signed statements of what a name points to (specs: ipns-record, signatures V1 and V2).

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Error, Key, Name};
use crate::radio::time::{Span, Time};

/// Extra data of a record: the media sequence of the first segment of the list it points to.
const MEDIA_SEQUENCE: &str = "_mseq";
/// Extra data of a record: the discontinuity sequence of that list.
const DISCONTINUITY_SEQUENCE: &str = "_dseq";

/// The numbers of the list that a record points to, so that a station that lost its ledger finds them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub media_sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
}

/// The last signed record of each of the station's names; none before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The record of the station name: the root directory.
    pub station: Option<Bytes>,
    /// The record of the stream name: the live list.
    pub stream: Option<Bytes>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What the name points to: `/ipfs/<cid>`.
    pub value: String,
    /// Of two records of one name the one with the higher sequence holds.
    pub sequence: u64,
    /// After this time nobody accepts the record.
    pub validity: Time,
    /// How long a resolver may answer from memory; nanoseconds on the wire.
    pub ttl: Span,
    /// The list it points to, where the record tells.
    pub numbers: Option<Numbers>,
}

/// A record whose signature holds for its name. It may have expired: see [`Record::holds_at`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    name: Name,
    view: View,
    bytes: Bytes,
}

impl Record {
    /// Signs `view` with both signatures. The same key and view give the same bytes.
    pub fn sign(key: &Key, view: &View) -> Result<Self, Error> {
        let mut extra = BTreeMap::new();
        if let Some(numbers) = view.numbers {
            extra.insert(MEDIA_SEQUENCE.into(), i128::from(numbers.media_sequence).into());
            extra.insert(DISCONTINUITY_SEQUENCE.into(), i128::from(numbers.discontinuity_sequence).into());
        }
        let validity = to_chrono(view.validity)?;
        let ttl = Duration::from_micros(view.ttl.0);
        let bytes = rust_ipns::Record::new_with_metadata(key.pair(), &view.value, validity, view.sequence, ttl, extra)
            .and_then(|record| record.encode())
            .map_err(refuse)?;
        Self::open(key.name(), bytes)
    }

    /// Reads the bytes of a record (at most 10 KiB) and checks that the key of `name` signed all that they say.
    pub fn open(name: Name, bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        let record = rust_ipns::Record::decode(&bytes).map_err(refuse)?;
        record.verify_signature(name.peer()).map_err(refuse)?;
        let data = record.data().map_err(refuse)?;
        let number = |key| data.metadata().get(key).cloned().and_then(|value| u64::try_from(value).ok());
        let view = View {
            value: String::from_utf8(record.value().to_vec()).map_err(refuse)?,
            sequence: record.sequence(),
            validity: of_chrono(record.validity().map_err(refuse)?.to_utc())?,
            ttl: Span(record.ttl() / 1_000),
            numbers: number(MEDIA_SEQUENCE)
                .zip(number(DISCONTINUITY_SEQUENCE))
                .map(|(media, discontinuity)| Numbers { media_sequence: media, discontinuity_sequence: discontinuity }),
        };
        Ok(Self { name, view, bytes })
    }

    /// The name that it speaks for.
    pub fn name(&self) -> Name {
        self.name
    }

    /// What it says.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Its bytes, as they travel (`application/vnd.ipfs.ipns-record`).
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it has not expired at `now`.
    pub fn holds_at(&self, now: Time) -> bool {
        now <= self.view.validity
    }

    /// Whether it replaces `other`, a record of the same name: by sequence, then by validity.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.view.sequence, self.view.validity) > (other.view.sequence, other.view.validity)
    }
}

fn refuse(error: impl std::fmt::Display) -> Error {
    Error::Record(error.to_string())
}

fn to_chrono(time: Time) -> Result<DateTime<Utc>, Error> {
    let micros = i64::try_from(time.0).ok();
    micros.and_then(DateTime::from_timestamp_micros).ok_or_else(|| refuse("the validity is beyond any calendar"))
}

fn of_chrono(time: DateTime<Utc>) -> Result<Time, Error> {
    u64::try_from(time.timestamp_micros()).map(Time).map_err(|_| refuse("the validity lies before 1970"))
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use libp2p::identity::PublicKey;

    use super::*;

    const VALUE: &str = "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

    fn view() -> View {
        View {
            value: VALUE.into(),
            sequence: 1_795_252_684_893,
            validity: Time::from_millis(1_795_259_884_893),
            ttl: Span::seconds(60),
            numbers: None,
        }
    }

    /// The fields of a protobuf message whose numbers fit into four bits: (number, varint or bytes).
    fn fields(mut bytes: &[u8]) -> Vec<(u8, u64, Vec<u8>)> {
        let varint = |bytes: &mut &[u8]| {
            let (mut value, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    return value;
                }
            }
        };
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes) as u8;
            let number = varint(&mut bytes);
            let taken = if tag & 7 == 2 { bytes[..number as usize].to_vec() } else { Vec::new() };
            bytes = &bytes[taken.len()..];
            fields.push((tag >> 3, number, taken));
        }
        fields
    }

    /// The CBOR that the specification asks for, written by hand: keys by length, then by bytes.
    fn cbor(extra: &[u8]) -> Vec<u8> {
        let mut wanted = vec![if extra.is_empty() { 0xa5 } else { 0xa7 }];
        wanted.extend(b"\x63TTL\x1b\x00\x00\x00\x0d\xf8\x47\x58\x00"); // 60 s in nanoseconds
        wanted.extend([b"\x65Value\x58\x41".as_slice(), VALUE.as_bytes(), extra].concat());
        wanted.extend(b"\x68Sequence\x1b");
        wanted.extend(1_795_252_684_893_u64.to_be_bytes());
        wanted.extend(b"\x68Validity\x58\x1e2026-11-21T11:18:04.893000000Z");
        wanted.extend(b"\x6cValidityType\x00");
        wanted
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let key = Key::of_seed(42);
        let record = Record::sign(&key, &view()).unwrap();
        let fields = fields(record.bytes());
        let bytes = |number: u8| fields.iter().find(|field| field.0 == number).unwrap().2.clone();
        let number = |number: u8| fields.iter().find(|field| field.0 == number).map(|field| field.1);

        assert_eq!(bytes(1), VALUE.as_bytes(), "value");
        assert_eq!(number(3).unwrap_or_default(), 0, "validityType EOL");
        assert_eq!(bytes(4), b"2026-11-21T11:18:04.893000000Z", "validity");
        assert_eq!(number(5), Some(1_795_252_684_893), "sequence");
        assert_eq!(number(6), Some(60_000_000_000), "ttl in nanoseconds");
        assert!(number(7).is_none_or(|length| length == 0), "an Ed25519 key is in the name");
        assert_eq!(HEXLOWER.encode(&bytes(9)), HEXLOWER.encode(&cbor(b"")), "data");

        let public: PublicKey = key.pair().public();
        let v1 = [VALUE.as_bytes(), b"2026-11-21T11:18:04.893000000Z", b"EOL"].concat();
        assert!(public.verify(&v1, &bytes(2)), "signatureV1");
        assert!(public.verify(&[b"ipns-signature:".as_slice(), &cbor(b"")].concat(), &bytes(8)), "signatureV2");
        assert_eq!(Record::sign(&key, &view()).unwrap().bytes(), record.bytes(), "the same bytes each time");
    }

    #[test]
    fn the_numbers_of_the_list_are_signed_with_it() {
        let numbers = Numbers { media_sequence: 1_795_252_684, discontinuity_sequence: 7 };
        let key = Key::of_seed(42);
        let record = Record::sign(&key, &View { numbers: Some(numbers), ..view() }).unwrap();
        let data = &fields(record.bytes()).into_iter().find(|field| field.0 == 9).unwrap().2;
        assert_eq!(HEXLOWER.encode(data), HEXLOWER.encode(&cbor(b"\x65_dseq\x07\x65_mseq\x1a\x6b\x01\x61\xcc")));
        let read = Record::open(key.name(), record.bytes().clone()).unwrap();
        assert_eq!(read.view().numbers, Some(numbers));
    }

    /// `tests/golden/ipns.mjs` makes the file, from the specification and with nothing of ours.
    #[test]
    fn the_bytes_are_those_that_another_program_makes() {
        let golden: Vec<BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(include_str!("../../tests/golden/ipns.json")).unwrap();
        assert!(golden.len() >= 5);
        for one in golden {
            let number = |name: &str| one.get(name).map(|value| value.as_str().unwrap().parse::<u64>().unwrap());
            let text = |name: &str| one[name].as_str().unwrap();
            let view = View {
                value: text("value").into(),
                sequence: number("sequence").unwrap(),
                validity: Time(number("validity_us").unwrap()),
                ttl: Span::seconds(number("ttl_seconds").unwrap()),
                numbers: number("media_sequence").zip(number("discontinuity_sequence")).map(
                    |(media, discontinuity)| Numbers { media_sequence: media, discontinuity_sequence: discontinuity },
                ),
            };
            let key = Key::of_seed(one["seed"].as_u64().unwrap().try_into().unwrap());
            assert_eq!(key.name().to_string(), text("name"));
            let record = Record::sign(&key, &view).unwrap();
            assert_eq!(HEXLOWER.encode(record.bytes()), text("record"), "{view:?}");
            assert_eq!(Record::open(key.name(), record.bytes().clone()).unwrap().view(), &view);
        }
    }

    #[test]
    fn says_what_was_signed_and_expires() {
        let key = Key::of_seed(1);
        let record = Record::sign(&key, &view()).unwrap();
        assert_eq!((record.view(), record.name()), (&view(), key.name()));
        assert!(record.holds_at(Time::from_millis(1_795_259_884_893)));
        assert!(!record.holds_at(Time::from_millis(1_795_259_884_894)));
        let later = Record::sign(&key, &View { sequence: view().sequence + 1, ..view() }).unwrap();
        assert!(later.is_newer_than(&record) && !record.is_newer_than(&later) && !record.is_newer_than(&record));
    }

    #[test]
    fn no_flipped_bit_and_no_other_name_gets_through() {
        let key = Key::of_seed(1);
        let record = Record::sign(&key, &view()).unwrap();
        assert!(Record::open(Key::of_seed(2).name(), record.bytes().clone()).is_err());
        for at in 0..record.bytes().len() {
            let mut bytes = record.bytes().to_vec();
            bytes[at] ^= 1;
            if let Ok(read) = Record::open(key.name(), bytes) {
                assert_eq!(read.view(), record.view(), "byte {at} is not covered (V1 signature, unknown field)");
            }
        }
        assert!(Record::open(key.name(), vec![0; 10_241]).is_err());
        assert!(Record::open(key.name(), Bytes::new()).is_err());
    }
}
