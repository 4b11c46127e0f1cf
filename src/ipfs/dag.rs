//! Folders and files as blocks: UnixFS v1 over dag-pb.
//!
//! Sources: IPLD dag-pb (<https://ipld.io/specs/codecs/dag-pb/spec/>) and UnixFS
//! (<https://specs.ipfs.tech/unixfs/>). What is written is canonical: links before data, sorted by the bytes of their
//! names, so the same folder always has the same CID. What is read is bounded: a block of at most [`MAX_BLOCK_BYTES`],
//! files of one level. Sharded folders and links are named as not supported, never guessed at.

pub mod car;
pub mod walk;
pub(super) mod wire;

use bytes::Bytes;
use cid::{Cid, Version};

use super::Blocks;
use crate::radio::{
    quote::quote,
    segment::{DAG_PB, RAW, cid_of},
};
use wire::{Fields, Value, put_bytes, put_number};

/// The largest block that is made, put or taken, in bytes: some peers read messages of bitswap of at most two MiB, which
/// hold the block and a little beside it.
pub const MAX_BLOCK_BYTES: usize = (2 << 20) - (4 << 10);
/// The longest name of a folder's entry, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// The deepest path that [`resolve`] walks.
pub const MAX_DEPTH: usize = 16;

const IDENTITY: u64 = 0x00;
const TYPE_RAW: u64 = 0;
const TYPE_DIRECTORY: u64 = 1;
const TYPE_FILE: u64 = 2;

/// Why a node cannot be made, read or walked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no dag-pb node, or no UnixFS in it.
    #[error("not a UnixFS node: {0}")]
    Malformed(&'static str),
    /// UnixFS that this program does not read.
    #[error("UnixFS feature not supported: {0}")]
    Unsupported(&'static str),
    /// The entry cannot stand in a folder.
    #[error(
        "\"{0}\" cannot be the name of an entry: it is empty, a dot name, too long, has a slash, or is there twice"
    )]
    Name(String),
    /// A limit was passed.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// A block on the way is not here.
    #[error("block {0} is not here")]
    Missing(Cid),
    /// The block store failed.
    #[error(transparent)]
    Blocks(#[from] super::Error),
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: not empty, no slash, no dot name, at most [`MAX_NAME_BYTES`].
    pub name: String,
    /// What it names.
    pub cid: Cid,
    /// The size in bytes of all blocks below and including `cid`.
    pub tsize: u64,
}

/// A folder that fits into one block. Its entries are sorted by the bytes of their names and each name is there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    entries: Vec<Entry>,
}

/// A part of a file: one raw block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The raw block.
    pub cid: Cid,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// All of it, from one block.
    Whole(Bytes),
    /// Raw blocks to be read one after another.
    Parts(Vec<Part>),
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A folder and its name.
    Directory(Cid, Directory),
    /// A file and its name.
    File(Cid, File),
}

/// A node as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// CIDv1, dag-pb, SHA-256.
    pub cid: Cid,
    /// The canonical bytes.
    pub bytes: Bytes,
    /// The size of the node and of all that it links: the `tsize` of an entry that names it.
    pub tsize: u64,
}

impl Directory {
    /// A folder of these entries, in whatever order they come.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, Error> {
        entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        if let Some(entry) = entries.iter().find(|entry| !is_name(&entry.name)) {
            return Err(Error::Name(quote(&entry.name)));
        }
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::Name(quote(&pair[0].name)));
        }
        Ok(Self { entries })
    }

    /// The entries, sorted by name.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        let place = self.entries.binary_search_by(|entry| entry.name.as_bytes().cmp(name.as_bytes()));
        place.ok().map(|index| &self.entries[index])
    }

    /// The folder as a block; refused when it is larger than a block may be (about 20 000 segments).
    pub fn encode(&self) -> Result<Node, Error> {
        let mut data = Vec::new();
        put_number(&mut data, 1, TYPE_DIRECTORY);
        node(self.entries.iter().map(|entry| (entry.name.as_str(), entry.cid, entry.tsize)), &data)
    }
}

impl File {
    /// The length of the file in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Parts(parts) => parts.iter().map(|part| part.bytes).sum(),
        }
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file as a block: its bytes inline if it is whole, else links to its parts.
    pub fn encode(&self) -> Result<Node, Error> {
        let mut data = Vec::new();
        put_number(&mut data, 1, TYPE_FILE);
        match self {
            Self::Whole(bytes) => {
                if !bytes.is_empty() {
                    put_bytes(&mut data, 2, bytes);
                }
                put_number(&mut data, 3, self.len());
                node(std::iter::empty(), &data)
            }
            Self::Parts(parts) => {
                put_number(&mut data, 3, self.len());
                parts.iter().for_each(|part| put_number(&mut data, 4, part.bytes));
                node(parts.iter().map(|part| ("", part.cid, part.bytes)), &data)
            }
        }
    }
}

/// Reads a block under its name: a raw block is a whole file, a dag-pb block a folder or a file.
pub fn decode(cid: Cid, block: Bytes) -> Result<Target, Error> {
    if block.len() > MAX_BLOCK_BYTES {
        return Err(Error::TooLarge("a block has at most 2 MiB"));
    }
    match cid.codec() {
        RAW => Ok(Target::File(cid, File::Whole(block))),
        DAG_PB => decode_node(cid, &block),
        _ => Err(Error::Unsupported("only raw and dag-pb blocks are read")),
    }
}

/// Walks `path` down from `root`. `None` when an entry or a block on the way is not here; the network is never asked.
pub async fn resolve(blocks: &impl Blocks, root: Cid, path: &[&str]) -> Result<Option<Target>, Error> {
    let Some(way) = locate(blocks, root, path).await? else { return Ok(None) };
    load(blocks, *way.last().unwrap_or(&root)).await
}

/// The names of the nodes along `path`, `root` first, without reading the last one. `None` as for [`resolve`].
pub async fn locate(blocks: &impl Blocks, root: Cid, path: &[&str]) -> Result<Option<Vec<Cid>>, Error> {
    if path.len() > MAX_DEPTH {
        return Err(Error::TooLarge("a path has at most 16 parts"));
    }
    let (mut cid, mut way) = (root, vec![root]);
    for name in path {
        // A raw block has no entries: it need not be read to know that the path ends nowhere.
        if cid.codec() == RAW {
            return Ok(None);
        }
        let Some(Target::Directory(_, directory)) = load(blocks, cid).await? else { return Ok(None) };
        let Some(entry) = directory.get(name) else { return Ok(None) };
        cid = entry.cid;
        way.push(cid);
    }
    Ok(Some(way))
}

/// Reads the node of that name; `None` if it is not here.
pub async fn load(blocks: &impl Blocks, cid: Cid) -> Result<Option<Target>, Error> {
    block(blocks, cid).await?.map(|bytes| decode(cid, bytes)).transpose()
}

/// A block of our own; an identity CID carries its own bytes. CIDv0 is read as the CIDv1 it stands for.
pub async fn block(blocks: &impl Blocks, cid: Cid) -> Result<Option<Bytes>, Error> {
    if cid.hash().code() == IDENTITY {
        return Ok(Some(Bytes::copy_from_slice(cid.hash().digest())));
    }
    Ok(blocks.get(as_v1(cid)).await?)
}

fn as_v1(cid: Cid) -> Cid {
    match cid.version() {
        Version::V0 => Cid::new_v1(DAG_PB, *cid.hash()),
        Version::V1 => cid,
    }
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME_BYTES && !name.contains(['/', '\0'])
}

fn node<'a>(links: impl Iterator<Item = (&'a str, Cid, u64)>, data: &[u8]) -> Result<Node, Error> {
    let (mut bytes, mut below) = (Vec::new(), 0u64);
    for (name, cid, tsize) in links {
        let mut link = Vec::new();
        put_bytes(&mut link, 1, &cid.to_bytes());
        put_bytes(&mut link, 2, name.as_bytes());
        put_number(&mut link, 3, tsize);
        put_bytes(&mut bytes, 2, &link);
        below = below.saturating_add(tsize);
    }
    put_bytes(&mut bytes, 1, data);
    if bytes.len() > MAX_BLOCK_BYTES {
        return Err(Error::TooLarge("a folder or file node must fit into one block of 2 MiB"));
    }
    let tsize = below.saturating_add(bytes.len() as u64);
    Ok(Node { cid: cid_of(DAG_PB, &bytes), bytes: bytes.into(), tsize })
}

/// The links and the data of a dag-pb node.
fn parse(block: &[u8]) -> Result<(Vec<Entry>, Option<&[u8]>), Error> {
    let (mut links, mut data) = (Vec::new(), None);
    for field in Fields::new(block) {
        match field? {
            (1, Value::Bytes(bytes)) if data.is_none() => data = Some(bytes),
            (2, Value::Bytes(bytes)) => links.push(decode_link(bytes)?),
            _ => return Err(Error::Malformed("a node has links and data once")),
        }
    }
    Ok((links, data))
}

fn decode_node(cid: Cid, block: &[u8]) -> Result<Target, Error> {
    let (links, data) = parse(block)?;
    let data = Data::read(data.ok_or(Error::Malformed("a node has data"))?)?;
    match data.kind {
        Some(TYPE_DIRECTORY) => Ok(Target::Directory(cid, Directory::new(links)?)),
        Some(TYPE_FILE | TYPE_RAW) => Ok(Target::File(cid, data.file(&links)?)),
        Some(_) => Err(Error::Unsupported("neither a plain folder nor a file")),
        None => Err(Error::Malformed("the type is missing")),
    }
}

fn decode_link(bytes: &[u8]) -> Result<Entry, Error> {
    let (mut cid, mut name, mut tsize) = (None, String::new(), 0);
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => {
                cid = Some(Cid::try_from(bytes).map_err(|_| Error::Malformed("a link's CID"))?);
            }
            (2, Value::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Error::Malformed("a link's name is not UTF-8"))?;
                name = text.to_owned();
            }
            (3, Value::Number(number)) => tsize = number,
            _ => return Err(Error::Malformed("a link has a hash, a name and a size")),
        }
    }
    let cid = cid.ok_or(Error::Malformed("a link without a CID"))?;
    Ok(Entry { name, cid, tsize })
}

/// The UnixFS message inside a node.
#[derive(Default)]
struct Data<'a> {
    kind: Option<u64>,
    inline: &'a [u8],
    size: Option<u64>,
    block_sizes: Vec<u64>,
}

impl<'a> Data<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut data = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, Value::Number(kind)) => data.kind = Some(kind),
                (2, Value::Bytes(bytes)) => data.inline = bytes,
                (3, Value::Number(size)) => data.size = Some(size),
                (4, Value::Number(size)) => data.block_sizes.push(size),
                (4, Value::Bytes(packed)) => data.block_sizes.append(&mut wire::numbers(packed)?),
                // Mode and time of change say nothing about the content.
                _ => {}
            }
        }
        Ok(data)
    }

    /// The length of the file, its own bytes and those of its blocks.
    fn length(&self) -> Result<u64, Error> {
        let total = self.block_sizes.iter().try_fold(self.inline.len() as u64, |sum, bytes| sum.checked_add(*bytes));
        let total = total.filter(|total| self.size.is_none_or(|size| size == *total));
        total.ok_or(Error::Malformed("the sizes of a file's blocks do not add up"))
    }

    fn file(self, links: &[Entry]) -> Result<File, Error> {
        if links.len() != self.block_sizes.len() {
            return Err(Error::Malformed("a file has a size for each of its blocks"));
        }
        if !links.is_empty() && !self.inline.is_empty() {
            return Err(Error::Unsupported("a file both inline and in blocks"));
        }
        if links.iter().any(|link| link.cid.codec() != RAW) {
            return Err(Error::Unsupported("a file of more than one level"));
        }
        self.length()?;
        Ok(if links.is_empty() {
            File::Whole(Bytes::copy_from_slice(self.inline))
        } else {
            let parts = links.iter().zip(&self.block_sizes);
            File::Parts(parts.map(|(link, bytes)| Part { cid: link.cid, bytes: *bytes }).collect())
        })
    }
}

#[cfg(test)]
mod tests;
