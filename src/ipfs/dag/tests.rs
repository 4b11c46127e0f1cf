//! Golden CIDs were computed with `@ipld/dag-pb` 4 and `ipfs-unixfs` 11.

use futures::executor::block_on;

use super::*;
use crate::ipfs::memory::Memory;

fn leaf(bytes: &[u8]) -> (Cid, Bytes) {
    (cid_of(RAW, bytes), Bytes::copy_from_slice(bytes))
}

fn entry(name: &str, cid: Cid, tsize: u64) -> Entry {
    Entry { name: name.into(), cid, tsize }
}

fn inner() -> Node {
    let entries = vec![entry("live.m3u8", leaf(b"hello").0, 5), entry("index.html", leaf(b"world!").0, 6)];
    Directory::new(entries).unwrap().encode().unwrap()
}

fn outer() -> Node {
    let inner = inner();
    let entries = vec![
        entry("ipfs", inner.cid, inner.tsize),
        entry("Zürich", leaf(b"hello").0, 5),
        entry("a", leaf(b"hello").0, 300),
    ];
    Directory::new(entries).unwrap().encode().unwrap()
}

fn two_parts() -> File {
    File::Parts(vec![Part { cid: leaf(b"hello").0, bytes: 5 }, Part { cid: leaf(b"world!").0, bytes: 6 }])
}

#[test]
fn nodes_have_the_names_that_other_software_gives_them() {
    let empty = Directory::default().encode().unwrap();
    let whole = File::Whole("hello".into()).encode().unwrap();
    let nothing = File::Whole(Bytes::new()).encode().unwrap();
    let table = [
        (empty, "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354", 4),
        (inner(), "bafybeiaestjs5inoiv4ffovnt7tr5wgwxu6kpry57uhg54if33yhzkokae", 111),
        (outer(), "bafybeigubaav2k35zolgheez4lbb362kxwr352ujyw3itvggx5clh5xogu", 149),
        (two_parts().encode().unwrap(), "bafybeib7mowxrvdsiaj4lzsdkzphuuytovfibr5lizvk6lpfemymkdxmjm", 98),
        (whole, "bafybeid3weurg3gvyoi7nisadzolomlvoxoppe2sesktnpvdve3256n5tq", 13),
        (nothing, "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y", 6),
    ];
    for (node, cid, bytes) in table {
        assert_eq!(node.cid.to_string(), cid);
        assert_eq!(node.bytes.len(), bytes, "{cid}");
    }
    assert_eq!(inner().tsize, 111 + 11);
}

#[test]
fn what_is_written_is_read_back() {
    for node in [inner(), outer(), Directory::default().encode().unwrap()] {
        let Target::Directory(cid, directory) = decode(node.cid, node.bytes.clone()).unwrap() else {
            panic!("{node:?}")
        };
        assert_eq!((cid, directory.encode().unwrap()), (node.cid, node));
    }
    for file in [two_parts(), File::Whole("hello".into()), File::Whole(Bytes::new())] {
        let node = file.encode().unwrap();
        assert_eq!(decode(node.cid, node.bytes).unwrap(), Target::File(node.cid, file));
    }
}

#[test]
fn the_order_in_which_entries_come_does_not_matter() {
    let mut entries = outer_entries();
    let first = Directory::new(entries.clone()).unwrap();
    entries.reverse();
    assert_eq!(Directory::new(entries).unwrap(), first);
    assert!(first.entries().windows(2).all(|pair| pair[0].name.as_bytes() < pair[1].name.as_bytes()));
    assert_eq!(first.get("b").map(|entry| entry.tsize), Some(2));
    assert_eq!(first.get("bb"), None);
}

fn outer_entries() -> Vec<Entry> {
    [("b", 2), ("a", 1), ("Z", 3), ("ä", 4), ("a.b", 5)].map(|(name, size)| entry(name, leaf(b"x").0, size)).to_vec()
}

#[test]
fn names_that_cannot_stand_in_a_folder_are_refused() {
    let cid = leaf(b"x").0;
    for name in ["", ".", "..", "a/b", "/", "nul\0", &"n".repeat(MAX_NAME_BYTES + 1)] {
        assert!(matches!(Directory::new(vec![entry(name, cid, 1)]), Err(Error::Name(_))), "{name:?}");
    }
    let twice = vec![entry("a", cid, 1), entry("b", cid, 1), entry("a", cid, 2)];
    assert!(matches!(Directory::new(twice), Err(Error::Name(name)) if name == "a"));
}

#[test]
fn a_folder_larger_than_a_block_is_refused() {
    let cid = leaf(b"x").0;
    let many = |count: u32| Directory::new((0..count).map(|i| entry(&format!("{i:08}"), cid, 1)).collect()).unwrap();
    assert!(many(20_000).encode().is_ok());
    assert!(matches!(many(50_000).encode(), Err(Error::TooLarge(_))));
}

#[test]
fn damaged_and_foreign_nodes_are_errors() {
    let cid = cid_of(DAG_PB, b"");
    let link_without_cid = [0x12, 0x02, 0x12, 0x00, 0x0a, 0x02, 0x08, 0x01];
    let table: [(&str, &[u8]); 9] = [
        ("no data", &[]),
        ("cut", &[0x0a, 0x02, 0x08]),
        ("endless number", &[0xff; 11]),
        ("length beyond the end", &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("fixed width", &[0x0d, 0, 0, 0, 0]),
        ("data twice", &[0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08, 0x01]),
        ("no type", &[0x0a, 0x00]),
        ("shard", &[0x0a, 0x02, 0x08, 0x05]),
        ("link without CID", &link_without_cid),
    ];
    for (what, bytes) in table {
        assert!(decode(cid, Bytes::copy_from_slice(bytes)).is_err(), "{what}");
    }
    let large = Bytes::from(vec![0; MAX_BLOCK_BYTES + 1]);
    assert!(matches!(decode(leaf(b"").0, large), Err(Error::TooLarge(_))));
    let cbor = cid_of(0x71, b"x");
    assert!(matches!(decode(cbor, Bytes::from_static(b"x")), Err(Error::Unsupported(_))));
}

#[test]
fn no_cut_of_a_node_is_taken_for_another_folder() {
    let node = outer();
    let Target::Directory(_, whole) = decode(node.cid, node.bytes.clone()).unwrap() else { panic!("no folder") };
    for end in 0..node.bytes.len() {
        if let Ok(Target::Directory(_, cut)) = decode(node.cid, node.bytes.slice(..end)) {
            assert_ne!(cut, whole, "cut at {end}");
        }
    }
}

#[test]
fn paths_are_walked_in_memory() {
    let (inner, outer, file) = (inner(), outer(), two_parts().encode().unwrap());
    let blocks = Memory::default();
    let held = [&inner, &outer, &file].map(|node| (node.cid, node.bytes.clone()));
    block_on(blocks.put(held.into_iter().chain([leaf(b"hello")]).collect())).unwrap();
    let walk = |root, path: &[&str]| block_on(resolve(&blocks, root, path)).unwrap();

    assert!(matches!(walk(outer.cid, &[]), Some(Target::Directory(cid, _)) if cid == outer.cid));
    assert!(matches!(walk(outer.cid, &["ipfs"]), Some(Target::Directory(cid, _)) if cid == inner.cid));
    let hello = Some(Target::File(leaf(b"hello").0, File::Whole("hello".into())));
    assert_eq!(walk(outer.cid, &["ipfs", "live.m3u8"]), hello);
    assert_eq!(walk(file.cid, &[]), Some(Target::File(file.cid, two_parts())));
    assert_eq!(walk(outer.cid, &["ipfs", "index.html"]), None, "the block is not here");
    assert_eq!(walk(outer.cid, &["nobody"]), None);
    assert_eq!(walk(outer.cid, &["a", "below a file"]), None);
    assert_eq!(walk(file.cid, &["below a file"]), None);
    assert!(block_on(resolve(&blocks, outer.cid, &["ipfs"; MAX_DEPTH + 1])).is_err());
}

/// A file over other files' nodes, as large files are.
fn over(parts: &[(&Node, u64)]) -> Node {
    let mut data = Vec::new();
    put_number(&mut data, 1, TYPE_FILE);
    put_number(&mut data, 3, parts.iter().map(|(_, bytes)| bytes).sum());
    parts.iter().for_each(|(_, bytes)| put_number(&mut data, 4, *bytes));
    node(parts.iter().map(|(node, _)| ("", node.cid, node.tsize)), &data).unwrap()
}

#[test]
fn walks_go_down_to_the_bytes_that_are_wanted() {
    use walk::{Scope, Walk};
    let (low, whole) = (two_parts().encode().unwrap(), File::Whole("inline".into()).encode().unwrap());
    let top = over(&[(&low, 11), (&whole, 6), (&low, 11)]);
    let blocks = Memory::default();
    let nodes = [&low, &whole, &top].map(|node| (node.cid, node.bytes.clone()));
    let leaves = [leaf(b"hello"), leaf(b"world!")];
    block_on(blocks.put(nodes.into_iter().chain(leaves.clone()).collect())).unwrap();
    let walk = |way: &[Cid], scope, repeats| {
        let mut walk = block_on(Walk::begin(blocks.clone(), way, scope, repeats))?.expect("the last one is here");
        std::iter::from_fn(|| block_on(walk.next()))
            .map(|block| block.map(|(cid, _)| cid))
            .collect::<Result<Vec<Cid>, Error>>()
    };
    let [hello, world] = leaves.map(|(cid, _)| cid);
    let table: [(Scope, bool, &[Cid]); 9] = [
        (Scope::Block, false, &[top.cid]),
        (Scope::Entity, false, &[top.cid, low.cid, hello, world, whole.cid]),
        (Scope::All, false, &[top.cid, low.cid, hello, world, whole.cid]),
        (Scope::All, true, &[top.cid, low.cid, hello, world, whole.cid, low.cid, hello, world]),
        (Scope::Bytes(0, Some(4)), false, &[top.cid, low.cid, hello]),
        (Scope::Bytes(4, Some(5)), false, &[top.cid, low.cid, hello, world]),
        (Scope::Bytes(11, Some(16)), false, &[top.cid, whole.cid]),
        (Scope::Bytes(-6, None), false, &[top.cid, low.cid, world]),
        (Scope::Bytes(28, None), false, &[top.cid]),
    ];
    for (scope, repeats, expected) in table {
        assert_eq!(walk(&[top.cid], scope, repeats).unwrap(), expected, "{scope:?}");
    }
    assert_eq!(walk(&[whole.cid, top.cid], Scope::Block, false).unwrap(), [whole.cid, top.cid]);

    block_on(blocks.remove(vec![world])).unwrap();
    assert!(matches!(walk(&[top.cid], Scope::All, false), Err(Error::Missing(cid)) if cid == world));
    assert_eq!(walk(&[top.cid], Scope::Bytes(0, Some(4)), false).unwrap(), [top.cid, low.cid, hello]);
    assert!(block_on(Walk::begin(blocks.clone(), &[top.cid, world], Scope::All, false)).unwrap().is_none());
    let shard = node(std::iter::empty(), &[0x08, 0x05]).unwrap();
    block_on(blocks.put(vec![(shard.cid, shard.bytes)])).unwrap();
    assert!(matches!(walk(&[shard.cid], Scope::Entity, false), Err(Error::Unsupported(_))));
    assert_eq!(walk(&[shard.cid], Scope::All, false).unwrap(), [shard.cid]);
}

#[test]
fn a_car_is_framed_as_its_specification_says() {
    let root = leaf(b"hello").0;
    let header = car::header(&root);
    // {"roots": [42(h'00…')], "version": 1}, 58 bytes long.
    assert_eq!(header[..14], *b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00");
    assert_eq!((&header[14..50], &header[50..]), (&*root.to_bytes(), b"\x67version\x01".as_slice()));
    assert_eq!(car::header(&"bafkqaaa".parse().unwrap())[..12], *b"\x19\xa2\x65roots\x81\xd8\x2a\x45");
    let section = car::section(&root, &[7; 200]);
    assert_eq!((section[..2].to_vec(), section.len()), (vec![236, 1], 2 + 36 + 200));
}

#[test]
fn an_identity_cid_carries_its_own_bytes_and_cidv0_is_its_cidv1() {
    let blocks = Memory::default();
    let empty: Cid = "bafkqaaa".parse().unwrap();
    assert_eq!(block_on(block(&blocks, empty)).unwrap(), Some(Bytes::new()));

    let node = outer();
    block_on(blocks.put(vec![(node.cid, node.bytes.clone())])).unwrap();
    let old = Cid::new_v0(*node.cid.hash()).unwrap();
    assert_eq!(block_on(block(&blocks, old)).unwrap(), Some(node.bytes));
}
