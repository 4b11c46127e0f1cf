//! What is taken and what is refused, with blocks in memory.

use super::*;
use crate::{
    ipfs::{Blocks, memory::Memory},
    radio::{follow::Listing, segment::DAG_PB},
};

const STATION: &str = "k51station";
const STREAM: &str = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
const RULES: ShelfRules =
    ShelfRules { keep_segments: Span::seconds(100), keep_lists: Span::seconds(10), bytes_max: 1 << 30 };

struct World {
    shop: Shop,
    blocks: Memory,
    shelf: Arc<Mutex<Shelf>>,
    clock: clock::System,
}

impl World {
    fn new() -> Self {
        Self {
            shop: Shop::default(),
            blocks: Memory::default(),
            shelf: Arc::new(Mutex::new(Shelf::new(RULES))),
            clock: clock::System::start(),
        }
    }

    fn gatherer(&self) -> Gatherer<Memory, Shop> {
        Gatherer {
            station: STATION.into(),
            blocks: self.blocks.clone(),
            network: self.shop.clone(),
            shelf: self.shelf.clone(),
            clock: self.clock,
        }
    }

    async fn root(&self, made: &Made) -> Result<Root, Fault> {
        self.shop.stock(&made.blocks);
        self.gatherer().root(made.root).await
    }

    fn serve(&self, root: &Root) {
        kept::locked(&self.shelf, |shelf| shelf.serve(&root.blocks, self.clock.now().station));
    }
}

fn publication(first: u64) -> Publication {
    Publication::new(STATION, STREAM, first)
}

fn wrong<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> String {
    match outcome {
        Err(Fault::Wrong(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_whole_root_is_taken_and_the_next_one_costs_only_what_is_new() {
    let world = World::new();
    let made = publication(1).make();
    let root = world.root(&made).await.unwrap();
    assert_eq!((root.about.title.as_str(), root.about.stream.as_str()), ("Radio", STREAM));
    let mut here: Vec<Cid> = root.blocks.iter().map(|block| block.cid).collect();
    let (mut held, mut all) = (world.blocks.held(), made.blocks.iter().map(|(cid, _)| *cid).collect::<Vec<_>>());
    [&mut here, &mut held, &mut all].into_iter().for_each(|cids| cids.sort());
    assert_eq!((&here, &held), (&all, &all));
    assert_eq!(root.blocks.iter().filter(|block| block.segment).count(), 8);
    let list = world.gatherer().list(made.list, &root).await.unwrap();
    assert_eq!((list.text.as_str(), list.blocks.len()), (made.text.as_str(), 9));
    assert_eq!(world.shop.asked().len(), all.len(), "each block is fetched once");

    world.serve(&root);
    let next = publication(3).make();
    world.root(&next).await.unwrap();
    let asked = world.shop.asked();
    assert_eq!(asked.len(), 5, "two segments, the list, the folder and the root: {asked:?}");
}

#[tokio::test]
async fn files_in_blocks_and_folders_of_the_root_come_with_it() {
    let world = World::new();
    let mut publication = publication(1);
    let (part, checkpoint) = (group(&publication.segments[..2]), raw("a checkpoint"));
    publication.inside.push((part.0.to_string(), part.0, vec![part.clone()]));
    let inner =
        Directory::new(vec![Entry { name: "1".into(), cid: checkpoint.0, tsize: 12 }]).unwrap().encode().unwrap();
    let ledger = vec![(inner.cid, inner.bytes), checkpoint.clone()];
    publication.further.push(("ledger".into(), inner.cid, ledger));
    let root = world.root(&publication.make()).await.unwrap();
    let has = |cid: &Cid| root.blocks.iter().any(|block| block.cid == *cid);
    assert!(has(&part.0) && has(&checkpoint.0) && root.folder.contains(&part.0));
}

/// A publication with a list of another rung, in which `bend` may change something.
fn with_rung(name: &str, bend: impl Fn(String) -> String) -> Publication {
    let mut publication = publication(1);
    let other = Publication { segments: (101..109).map(segment).collect(), ..publication.clone() };
    let inside = |(cid, bytes): &(Cid, Bytes)| (cid.to_string(), *cid, vec![(*cid, bytes.clone())]);
    publication.inside.extend(other.segments.iter().map(inside));
    let list = raw(bend(other.text()));
    publication.further.push((name.into(), list.0, vec![list]));
    publication
}

#[tokio::test]
async fn the_lists_of_all_rungs_come_with_their_segments() {
    let world = World::new();
    let root = world.root(&with_rung("live-64000.m3u8", |text| text).make()).await.unwrap();
    let has = |cid: Cid| root.blocks.iter().any(|block| block.cid == cid && block.segment);
    assert!((101..109).all(|number| has(segment(number).0)));
    let named: Vec<Cid> = root.rungs.iter().flat_map(Listing::blocks).collect();
    assert_eq!(named, (101..109).map(|number| segment(number).0).collect::<Vec<_>>());
    let coarse = World::new().root(&with_rung("live-60.m3u8", |_| "#EXTM3U\n".into()).make()).await.unwrap();
    assert!(coarse.rungs.is_empty(), "another list");
}

#[tokio::test]
async fn a_list_of_a_rung_that_is_none_makes_the_root_wrong() {
    let gone = segment(900).0.to_string();
    let first = segment(101).0.to_string();
    let without = |text: String| text.replace(&first, &gone);
    let later = |text: String| text.replace("MEDIA-SEQUENCE:1\n", "MEDIA-SEQUENCE:2\n");
    for (publication, words) in [
        (with_rung("live-64000.m3u8", without), "live-64000.m3u8 names segment 1, which is not in ipfs/"),
        (with_rung("live-64000.m3u8", later), "live-64000.m3u8 is no list beside live.m3u8"),
        (with_rung("live-64000.m3u8", |_| "<html>".into()), "live-64000.m3u8: it does not begin with #EXTM3U"),
    ] {
        let world = World::new();
        let why = wrong(world.root(&publication.make()).await);
        assert!(why.contains(words), "{words}: {why}");
        let asked = world.shop.asked();
        assert!((1..9).chain(101..109).all(|number| !asked.contains(&segment(number).0)), "{words}");
    }
}

#[tokio::test]
async fn what_is_no_root_of_this_station_is_refused_before_its_segments_are_asked_for() {
    let good = || publication(1);
    let about = |json: &str| Publication { station_json: Some(json.into()), ..good() };
    let list = |text: String| Publication { list: Some(text), ..good() };
    let other = about(r#"{"name":"x","stream":"k51stream","station":"k51other"}"#);
    let foreign = good().text().replacen("/ipfs/", "https://elsewhere/ipfs/", 1);
    let small = raw("small");
    let false_name = Publication { inside: vec![("bafkqaaa".into(), small.0, vec![small])], ..good() };
    for (publication, words) in [
        (Publication { without: Some("station.json"), ..good() }, "the root has no station.json"),
        (Publication { without: Some("live.m3u8"), ..good() }, "the root has no live.m3u8"),
        (Publication { without: Some("ipfs"), ..good() }, "the root has no ipfs"),
        (other, "another station, \"k51other\""),
        (about(r#"{"name":"x","stream":"k51b","station":"k51station"}"#), "\"k51b\" is no IPNS name"),
        (about("nonsense"), "station.json"),
        (about(&" ".repeat(100_000)), "at most"),
        (list("<html>".into()), "live.m3u8: it does not begin with #EXTM3U"),
        (list(foreign), "no block"),
        (Publication { left_out: 3, ..good() }, "names segment 1, which is not in ipfs/"),
        (false_name, "ipfs/bafkqaaa is another block"),
    ] {
        let world = World::new();
        let why = wrong(world.root(&publication.make()).await);
        assert!(why.contains(words), "{words}: {why}");
        let asked = world.shop.asked();
        assert!(publication.segments.iter().all(|(cid, _)| !asked.contains(cid)), "{words}");
        let given = Kept::new(world.blocks.clone(), world.shelf.clone());
        for (cid, _) in publication.make().blocks {
            assert_eq!(given.get(cid).await.unwrap(), None, "{words}: nothing of it is served");
        }
    }
}

#[tokio::test]
async fn what_has_no_end_is_cut_off() {
    let large = raw(vec![7; crate::ipfs::store::MAX_BLOCK_BYTES + 1]);
    let strange = cid_of(0x71, b"x");
    let mut deep = raw("deep");
    let mut way = vec![deep.clone()];
    for _ in 0..8 {
        let node = Directory::new(vec![Entry { name: "x".into(), cid: deep.0, tsize: 1 }]).unwrap().encode().unwrap();
        deep = (node.cid, node.bytes);
        way.push(deep.clone());
    }
    let further =
        |name: &str, cid: Cid, blocks| Publication { further: vec![(name.into(), cid, blocks)], ..publication(1) };
    let garbage = (cid_of(DAG_PB, b"\xff\xff"), Bytes::from_static(b"\xff\xff"));
    for (publication, words) in [
        (further("large", large.0, vec![large.clone()]), "at most"),
        (Publication { inside: vec![(large.0.to_string(), large.0, vec![large])], ..publication(1) }, "at most"),
        (further("strange", strange, vec![]), "of a kind that is not mirrored"),
        (further("deep", deep.0, way), "deeper than"),
        (further("garbage", garbage.0, vec![garbage.clone()]), "a node of the root"),
    ] {
        let why = wrong(World::new().root(&publication.make()).await);
        assert!(why.contains(words), "{words}: {why}");
    }
}

#[tokio::test]
async fn blocks_that_do_not_come_or_lie_are_missing_and_the_next_attempt_goes_on() {
    let world = World::new();
    let made = publication(1).make();
    let lies = segment(3).0;
    world.shop.stock(&made.blocks);
    world.shop.locked(|stock| stock.blocks.insert(lies, Bytes::from_static(b"something else")));
    let gone = segment(5).0;
    world.shop.locked(|stock| stock.blocks.remove(&gone));
    let Err(Fault::Missing(why)) = world.gatherer().root(made.root).await else { panic!("it is not whole") };
    assert!(why.contains("2 of 8 blocks did not come"), "{why}");
    assert_eq!(world.blocks.get(lies).await.unwrap(), None);
    world.shop.asked();
    world.shop.stock(&made.blocks);
    world.gatherer().root(made.root).await.unwrap();
    let asked = world.shop.asked();
    assert!(asked.contains(&lies) && asked.contains(&gone) && !asked.contains(&segment(1).0), "{asked:?}");
}

#[tokio::test]
async fn a_block_that_broke_is_fetched_with_the_next_root() {
    let world = World::new();
    let root = world.root(&publication(1).make()).await.unwrap();
    world.serve(&root);
    let given = Kept::new(world.blocks.clone(), world.shelf.clone());
    let (cid, bytes) = segment(7);
    assert_eq!(given.get(cid).await.unwrap(), Some(bytes.clone()));
    assert!(world.blocks.damage(&cid));
    assert!(given.get(cid).await.is_err());
    assert_eq!(given.get(cid).await.unwrap(), None);
    world.shop.asked();
    let next = world.root(&publication(2).make()).await.unwrap();
    assert!(world.shop.asked().contains(&cid));
    world.serve(&next);
    assert_eq!(given.get(cid).await.unwrap(), Some(bytes));
}

#[tokio::test]
async fn a_list_counts_only_with_the_segments_of_the_root() {
    let world = World::new();
    let root = world.root(&publication(5).make()).await.unwrap();
    let newer = publication(6).make();
    world.shop.stock(&newer.blocks);
    assert_eq!(world.gatherer().list(newer.list, &root).await.err(), Some(Fault::Ahead));
    let foreign = Publication { segments: (900..908).map(segment).collect(), ..publication(5) }.make();
    world.shop.stock(&foreign.blocks);
    let why = wrong(world.gatherer().list(foreign.list, &root).await);
    assert!(why.contains("names segment 5, which is not in ipfs/"), "{why}");
    let page = raw("<html>");
    world.shop.stock(std::slice::from_ref(&page));
    assert!(wrong(world.gatherer().list(page.0, &root).await).contains("#EXTM3U"));
    assert!(wrong(world.gatherer().list(root.cid, &root).await).contains("raw block"));
}

#[tokio::test]
async fn a_disk_that_refuses_is_no_reason_to_refuse_the_root() {
    let world = World::new();
    world.blocks.refuse_puts(true);
    let made = publication(1).make();
    let outcome = world.root(&made).await;
    assert!(matches!(&outcome, Err(Fault::Missing(why)) if why.contains("no space")), "{outcome:?}");
    world.blocks.refuse_puts(false);
    world.root(&made).await.unwrap();
}
