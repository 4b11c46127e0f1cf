//! What the network sends, as functions of bytes: see [`crate::fuzz`].

use bytes::Bytes;
use cid::Cid;
use futures::executor::block_on;

use super::{
    Blocks, Key, Name, Numbers, Record, View,
    dag::{
        self, Directory, Entry, File, Part, Target,
        walk::{Scope, Walk},
    },
    memory::Memory,
    node::exchange::fuzz,
};
use crate::radio::{
    fuzz::{Feed, said},
    segment::{DAG_PB, RAW, cid_of, is_of},
    time::{Span, Time},
};

const SEED: u8 = 42;
/// An IPNS record is no longer, in bytes (specs: ipns-record).
const RECORD_BYTES_MAX: usize = 10 << 10;

/// A record that was not signed here holds for no name, one that was says what was signed; a name is read as it is spelled.
pub(crate) fn ipns(data: &[u8]) {
    let (own, other) = (Key::of_seed(SEED), Key::of_seed(SEED + 1));
    match Record::open(own.name(), data.to_vec()) {
        Ok(record) => {
            assert!(views().contains(record.view()), "nobody signed this: {:?}", record.view());
            assert!(Record::open(other.name(), data.to_vec()).is_err());
        }
        Err(error) => drop(said(&error)),
    }
    if let Ok(text) = std::str::from_utf8(data) {
        match text.parse::<Name>() {
            Ok(name) => assert_eq!(name.to_string().parse::<Name>().ok(), Some(name)),
            Err(error) => drop(said(&error)),
        }
    }
    match Key::from_protobuf(data) {
        Ok(key) => assert_eq!(Key::from_protobuf(&key.to_protobuf()).map(|back| back.name()), Ok(key.name())),
        Err(why) => drop(said(&why)),
    }
    signed(&own, &mut Feed(data));
}

/// Whatever is signed is read back, and no other byte of it is.
fn signed(key: &Key, feed: &mut Feed<'_>) {
    let mut number = |bytes: usize| (0..bytes).fold(0_u64, |number, _| number << 8 | u64::from(feed.byte()));
    let numbers =
        (number(1) & 1 == 1).then(|| Numbers { media_sequence: number(8), discontinuity_sequence: number(2) });
    let (sequence, ttl, validity) = (number(8), Span(number(8)), Time(number(8)));
    let view = View { value: feed.text(), sequence, ttl, validity, numbers };
    let record = match Record::sign(key, &view) {
        Ok(record) => record,
        Err(error) => return drop(said(&error)),
    };
    let read = record.view();
    assert_eq!((&read.value, read.sequence, read.numbers), (&view.value, view.sequence, view.numbers));
    assert!(record.bytes().len() <= RECORD_BYTES_MAX && read.validity == view.validity);
    let mut bytes = record.bytes().to_vec();
    let at = feed.below(bytes.len());
    bytes[at] ^= 1 << feed.below(8);
    if let Ok(changed) = Record::open(key.name(), bytes) {
        assert_eq!(changed.view(), read, "byte {at} is not covered");
    }
}

fn views() -> Vec<View> {
    let value = "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".to_owned();
    let validity = Time::from_millis(1_795_259_884_893);
    let plain = View { value, sequence: 1_795_252_684_893, validity, ttl: Span::seconds(60), numbers: None };
    let numbers = Numbers { media_sequence: 1_795_252_684, discontinuity_sequence: 7 };
    vec![View { numbers: Some(numbers), ..plain.clone() }, plain]
}

pub(crate) fn ipns_seeds() -> Vec<Vec<u8>> {
    let key = Key::of_seed(SEED);
    let records = views().into_iter().filter_map(|view| Record::sign(&key, &view).ok());
    let mut seeds: Vec<Vec<u8>> = records.map(|record| record.bytes().to_vec()).collect();
    seeds.extend([key.to_protobuf(), key.name().to_string().into_bytes()]);
    let numbers = [&[1][..], &[7; 10], &[0, 0, 1, 160, 0, 0, 0, 0], &[0, 0, 0, 0, 3, 147, 135, 0]].concat();
    seeds.push([&numbers, &[0, 6, 96, 200, 12, 0, 0, 0][..], b"\x06/ipfs/\x09\x03"].concat());
    seeds
}

/// A message of bitswap, and a block of dag-pb.
pub(crate) fn blocks(data: &[u8]) {
    fuzz::message(data);
    node(data);
}

/// A node is read as it is written, and a walk from it ends.
fn node(data: &[u8]) {
    let cid = cid_of(DAG_PB, data);
    match dag::decode(cid, Bytes::copy_from_slice(data)) {
        Ok(Target::Directory(_, folder)) => {
            let names: Vec<&str> = folder.entries().iter().map(|entry| entry.name.as_str()).collect();
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]) && names.iter().all(|name| !name.contains('/')));
            assert!(names.iter().all(|name| folder.get(name).is_some()));
            let node = folder.encode().expect("it came from a block");
            let back = dag::decode(node.cid, node.bytes).ok();
            assert_eq!(back, Some(Target::Directory(node.cid, folder)));
        }
        Ok(Target::File(_, file)) => {
            let node = file.encode().expect("it came from a block");
            assert_eq!(dag::decode(node.cid, node.bytes).ok(), Some(Target::File(node.cid, file)));
        }
        Err(error) => drop(said(&error)),
    }
    let held = [(cid, Bytes::copy_from_slice(data)), raw(b"a"), raw(b"b")];
    block_on(walked(cid, &held));
}

async fn walked(root: Cid, held: &[(Cid, Bytes)]) {
    let blocks = Memory::default();
    blocks.put(held.to_vec()).await.expect("they hash to their names");
    for (scope, repeats) in [(Scope::All, false), (Scope::Entity, true), (Scope::Bytes(-3, Some(1)), false)] {
        let Ok(Some(mut walk)) = Walk::begin(blocks.clone(), &[root], scope, repeats).await else { continue };
        let (mut given, mut failed) = (0, false);
        while let Some(next) = walk.next().await {
            assert!(!failed, "after an error there is none");
            match next {
                Ok((cid, bytes)) => assert!(is_of(&cid, &bytes)),
                Err(error) => failed = !said(&error).is_empty(),
            }
            given += 1;
        }
        assert!(given <= dag::walk::MAX_BLOCKS + 1);
    }
}

fn raw(bytes: &'static [u8]) -> (Cid, Bytes) {
    (cid_of(RAW, bytes), Bytes::from_static(bytes))
}

pub(crate) fn blocks_seeds() -> Vec<Vec<u8>> {
    let ((a, _), (b, data)) = (raw(b"a"), raw(b"b"));
    let entry = |name: &str, cid| Entry { name: name.into(), cid, tsize: 1 };
    let folder = Directory::new(vec![entry("a", a), entry("live.m3u8", b)]).and_then(|folder| folder.encode());
    let parts = [a, b, a].map(|cid| Part { cid, bytes: 1 }).to_vec();
    let files = [File::Parts(parts), File::Whole(Bytes::from_static(b"text"))].map(|file| file.encode());
    let nodes = files.into_iter().chain([folder]).flatten().map(|node| node.bytes.to_vec());
    nodes.chain(fuzz::messages(a, (b, &data))).collect()
}
