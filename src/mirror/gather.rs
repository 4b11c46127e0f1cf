//! Fetches, verifies and pins what a record points to. Everything is bounded before it is asked for, and nothing
//! counts before all of it is here.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use cid::{Cid, Version};

use super::kept::locked;
use crate::{
    clock,
    ipfs::{
        Blocks, Error, Name, Node,
        dag::{self, Directory, File, Target},
        store::MAX_BLOCK_BYTES,
    },
    radio::{
        follow::{About, Block, Fault, Listing, Shelf},
        ladder::{KNOWN_MAX, rung_of},
        segment::{DAG_PB, RAW, SHA2_256, is_of},
    },
};

/// How long a batch of blocks may take.
const FETCH: Duration = Duration::from_secs(60);
/// Blocks in a batch: at most 32 MiB in memory.
const BATCH: usize = 16;
/// The most blocks of one root: more than the largest folder that a station can make.
const BLOCKS_MAX: usize = 24_576;
/// The most bytes of one root.
const BYTES_MAX: u64 = 4 << 30;
/// The deepest folder of a root, and a file in it.
const DEPTH_MAX: usize = 6;
/// The folder of a root that holds the segments.
const SEGMENTS: &str = "ipfs";
const IDENTITY: u64 = 0x00;

/// Where blocks come from that are not here.
pub(super) trait Network: Clone + Send + Sync + 'static {
    /// Those of `cids` that came within `limit`.
    fn fetch(&self, cids: &[Cid], limit: Duration) -> impl Future<Output = Result<Vec<(Cid, Bytes)>, Error>> + Send;
}

impl Network for Node {
    async fn fetch(&self, cids: &[Cid], limit: Duration) -> Result<Vec<(Cid, Bytes)>, Error> {
        Self::fetch(self, cids, limit).await
    }
}

/// A root that is here whole, and is of the station that is followed.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) cid: Cid,
    pub(super) about: About,
    /// Its `live.m3u8`.
    pub(super) listing: Listing,
    /// The lists of its other rungs.
    pub(super) rungs: Vec<Listing>,
    /// The entries of its `ipfs/` folder.
    pub(super) folder: BTreeSet<Cid>,
    /// Every block of it.
    pub(super) blocks: Vec<Block>,
}

/// A list that is here with all its segments.
#[derive(Debug)]
pub(super) struct List {
    pub(super) cid: Cid,
    pub(super) text: String,
    pub(super) listing: Listing,
    /// Its own block and its segments.
    pub(super) blocks: Vec<Block>,
}

/// Gathers one root or list.
#[derive(Debug)]
pub(super) struct Gatherer<B, N> {
    /// The station name, as it is written.
    pub(super) station: String,
    pub(super) blocks: B,
    pub(super) network: N,
    pub(super) shelf: Arc<Mutex<Shelf>>,
    pub(super) clock: clock::System,
}

/// The blocks of a root as far as they are here.
#[derive(Default)]
struct Found {
    blocks: HashMap<Cid, Block>,
    bytes: u64,
}

impl<B: Blocks, N: Network> Gatherer<B, N> {
    /// The root directory `cid` with everything in it. What makes it another station's, or none, is found before
    /// anything large is asked for.
    pub(super) async fn root(&self, cid: Cid) -> Result<Root, Fault> {
        let mut found = Found::default();
        let root = self.directory(cid, "the root", &mut found).await?;
        let about = self.file(&root, "station.json", &mut found).await?;
        let about = About::read(&about, &self.station).map_err(Fault::Wrong)?;
        about.stream.parse::<Name>().map_err(|error| Fault::Wrong(format!("station.json: {error}")))?;
        let text = self.file(&root, "live.m3u8", &mut found).await?;
        let listing = read_list(&text).map_err(|why| Fault::Wrong(format!("live.m3u8: {why}")))?;
        let segments = self.directory(entry(&root, SEGMENTS)?, "ipfs/", &mut found).await?;
        let folder = folder_of(&segments)?;
        if let Some(number) = listing.first_missing(&folder) {
            return Err(Fault::Wrong(format!("live.m3u8 names segment {number}, which is not in ipfs/")));
        }
        let told: u64 = segments.entries().iter().map(|entry| entry.tsize).fold(0, u64::saturating_add);
        if told > BYTES_MAX {
            return Err(Fault::Wrong(format!("ipfs/ has {told} bytes; {BYTES_MAX} at most are mirrored")));
        }
        let rungs = self.rungs(&root, &listing, &folder, &mut found).await?;
        let due: Vec<Cid> = listing.blocks().chain(rungs.iter().flat_map(Listing::blocks)).collect();
        self.have(&due, true, &mut found).await?;
        self.below(folder.iter().copied().collect(), true, &mut found).await?;
        let rest = root.entries().iter().filter(|entry| entry.name != SEGMENTS).map(|entry| entry.cid);
        self.below(rest.collect(), false, &mut found).await?;
        Ok(Root { cid, about, listing, rungs, folder, blocks: found.blocks.into_values().collect() })
    }

    /// The lists of the other rungs: each is as long as `live.m3u8`, and its segments are in the folder, too.
    async fn rungs(
        &self,
        root: &Directory,
        live: &Listing,
        folder: &BTreeSet<Cid>,
        found: &mut Found,
    ) -> Result<Vec<Listing>, Fault> {
        let mut rungs = Vec::new();
        let names = root.entries().iter().map(|entry| entry.name.as_str()).filter(|name| rung_of(name).is_some());
        for name in names {
            let text = self.file(root, name, found).await?;
            let rung = read_list(&text).map_err(|why| Fault::Wrong(format!("{name}: {why}")))?;
            if let Some(number) = rung.first_missing(folder) {
                return Err(Fault::Wrong(format!("{name} names segment {number}, which is not in ipfs/")));
            }
            if rung.extent() != live.extent() || rungs.len() == KNOWN_MAX {
                return Err(Fault::Wrong(format!("{name} is no list beside live.m3u8, or one too many")));
            }
            rungs.push(rung);
        }
        Ok(rungs)
    }

    /// The list `cid`, whose segments must be in `root`.
    pub(super) async fn list(&self, cid: Cid, root: &Root) -> Result<List, Fault> {
        let mut found = Found::default();
        if cid.codec() != RAW {
            return Err(Fault::Wrong("the list is not one raw block".into()));
        }
        let text = self.one(cid, "the list", &mut found).await?;
        let text = String::from_utf8(text.to_vec()).map_err(|_| Fault::Wrong("the list is not UTF-8".into()))?;
        let listing = Listing::read(&text).map_err(|why| Fault::Wrong(format!("the list: {why}")))?;
        if let Some(number) = listing.first_missing(&root.folder) {
            if listing.extent().last > root.listing.extent().last {
                return Err(Fault::Ahead);
            }
            return Err(Fault::Wrong(format!("the list names segment {number}, which is not in ipfs/")));
        }
        let named: HashSet<Cid> = listing.blocks().collect();
        let mut blocks: Vec<Block> = root.blocks.iter().filter(|block| named.contains(&block.cid)).copied().collect();
        blocks.extend(found.blocks.into_values());
        Ok(List { cid, text, listing, blocks })
    }

    async fn directory(&self, cid: Cid, what: &str, found: &mut Found) -> Result<Directory, Fault> {
        match self.target(cid, what, found).await? {
            Target::Directory(_, directory) => Ok(directory),
            Target::File(..) => Err(Fault::Wrong(format!("{what} is not a folder"))),
        }
    }

    /// A file of the root that fits into one block.
    async fn file(&self, root: &Directory, name: &str, found: &mut Found) -> Result<Bytes, Fault> {
        match self.target(entry(root, name)?, name, found).await? {
            Target::File(_, File::Whole(bytes)) => Ok(bytes),
            _ => Err(Fault::Wrong(format!("{name} is not a small file"))),
        }
    }

    async fn target(&self, cid: Cid, what: &str, found: &mut Found) -> Result<Target, Fault> {
        let bytes = self.one(cid, what, found).await?;
        dag::decode(cid, bytes).map_err(|error| Fault::Wrong(format!("{what}: {error}")))
    }

    async fn one(&self, cid: Cid, what: &str, found: &mut Found) -> Result<Bytes, Fault> {
        self.have(&[cid], false, found).await?;
        match dag::block(&self.blocks, cid).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(self.gone(cid, format!("{what} is gone from the store"))),
            Err(error) => Err(self.gone(cid, error.to_string())),
        }
    }

    /// A block that was counted upon is not here: the next attempt fetches it.
    fn gone(&self, cid: Cid, why: String) -> Fault {
        locked(&self.shelf, |shelf| shelf.lost(&cid));
        Fault::Missing(why)
    }

    /// Everything from `level` downwards.
    async fn below(&self, mut level: Vec<Cid>, segment: bool, found: &mut Found) -> Result<(), Fault> {
        for _ in 0..DEPTH_MAX {
            self.have(&level, segment, found).await?;
            let mut next = BTreeSet::new();
            for cid in level.into_iter().filter(|cid| cid.codec() == DAG_PB) {
                match self.target(cid, "a node of the root", found).await? {
                    Target::Directory(_, inner) => next.extend(inner.entries().iter().map(|entry| entry.cid)),
                    Target::File(_, File::Parts(parts)) => next.extend(parts.iter().map(|part| part.cid)),
                    Target::File(_, File::Whole(_)) => {}
                }
                if next.len() > BLOCKS_MAX {
                    return Err(too_many());
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            level = next.into_iter().collect();
        }
        Err(Fault::Wrong(format!("it is deeper than {DEPTH_MAX} folders")))
    }

    /// Sees to it that these blocks are stored, pinned and verified.
    async fn have(&self, cids: &[Cid], segment: bool, found: &mut Found) -> Result<(), Fault> {
        let (mut missing, mut seen) = (Vec::new(), HashSet::new());
        for cid in cids {
            if cid.hash().code() == IDENTITY || found.blocks.contains_key(cid) || !seen.insert(*cid) {
                continue;
            }
            if !is_ours(cid) {
                return Err(Fault::Wrong(format!("block {cid} is of a kind that is not mirrored")));
            }
            // What is served is here and was verified; it is not read again each time.
            match locked(&self.shelf, |shelf| shelf.served_bytes(cid)) {
                Some(bytes) => found.add(*cid, bytes, segment)?,
                None => missing.push(*cid),
            }
        }
        for batch in missing.chunks(BATCH) {
            self.take(batch, segment, found).await?;
        }
        Ok(())
    }

    async fn take(&self, batch: &[Cid], segment: bool, found: &mut Found) -> Result<(), Fault> {
        let failed = |error: Error| Fault::Missing(error.to_string());
        let (mut came, mut wanted) = (Vec::new(), Vec::new());
        for cid in batch {
            // One that broke on disk is deleted by the look at it, and comes anew.
            match self.blocks.get(*cid).await {
                Ok(Some(bytes)) => came.push((*cid, bytes)),
                _ => wanted.push(*cid),
            }
        }
        if !wanted.is_empty() {
            came.extend(self.network.fetch(&wanted, FETCH).await.map_err(failed)?);
        }
        came.retain(|(cid, bytes)| batch.contains(cid) && is_of(cid, bytes));
        if let Some((cid, bytes)) = came.iter().find(|(_, bytes)| bytes.len() > MAX_BLOCK_BYTES) {
            return Err(Fault::Wrong(format!("block {cid} has {} bytes; {MAX_BLOCK_BYTES} at most", bytes.len())));
        }
        let sizes: Vec<(Cid, u64)> = came.iter().map(|(cid, bytes)| (*cid, bytes.len() as u64)).collect();
        let now = self.clock.now().station;
        locked(&self.shelf, |shelf| sizes.iter().for_each(|(cid, bytes)| shelf.stored(*cid, *bytes, now)));
        self.blocks.put(came).await.map_err(failed)?;
        for (cid, bytes) in sizes {
            found.add(cid, bytes, segment)?;
        }
        let mut missing = batch.iter().filter(|cid| !found.blocks.contains_key(*cid));
        match missing.next() {
            None => Ok(()),
            Some(first) => {
                let count = 1 + missing.count();
                Err(Fault::Missing(format!("{count} of {} blocks did not come, {first} first", batch.len())))
            }
        }
    }
}

impl Found {
    fn add(&mut self, cid: Cid, bytes: u64, segment: bool) -> Result<(), Fault> {
        if self.blocks.insert(cid, Block { cid, bytes, segment }).is_none() {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        if self.blocks.len() > BLOCKS_MAX {
            return Err(too_many());
        }
        if self.bytes > BYTES_MAX {
            return Err(Fault::Wrong(format!("it has more than {BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

fn too_many() -> Fault {
    Fault::Wrong(format!("it has more than {BLOCKS_MAX} blocks"))
}

fn entry(root: &Directory, name: &str) -> Result<Cid, Fault> {
    root.get(name).map(|entry| entry.cid).ok_or_else(|| Fault::Wrong(format!("the root has no {name}")))
}

fn read_list(bytes: &[u8]) -> Result<Listing, String> {
    Listing::read(std::str::from_utf8(bytes).map_err(|error| error.to_string())?)
}

/// The entries of `ipfs/`: each is named by what it is (contract §4).
fn folder_of(segments: &Directory) -> Result<BTreeSet<Cid>, Fault> {
    if segments.entries().len() > BLOCKS_MAX {
        return Err(too_many());
    }
    let named = |entry: &dag::Entry| {
        let right = entry.name == entry.cid.to_string();
        right.then_some(entry.cid).ok_or_else(|| Fault::Wrong(format!("ipfs/{} is another block", entry.name)))
    };
    segments.entries().iter().map(named).collect()
}

fn is_ours(cid: &Cid) -> bool {
    cid.version() == Version::V1
        && matches!(cid.codec(), RAW | DAG_PB)
        && cid.hash().code() == SHA2_256
        && cid.hash().digest().len() == 32
}
