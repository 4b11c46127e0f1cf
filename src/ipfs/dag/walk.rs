//! Going through a graph depth first, one block at a time: what a CAR holds.
//!
//! Scopes are those of the trustless gateway (<https://specs.ipfs.tech/http-gateways/trustless-gateway/#dag-scope>).

use std::{collections::HashSet, ops::Range};

use bytes::Bytes;
use cid::Cid;

use super::{
    Blocks, DAG_PB, Data, Entry, Error, IDENTITY, MAX_BLOCK_BYTES, MAX_DEPTH, RAW, TYPE_DIRECTORY, TYPE_FILE, TYPE_RAW,
    block, parse,
};

/// The most blocks that a walk gives: more than any window has.
pub const MAX_BLOCKS: usize = 32_768;

/// What is wanted of the node at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Its block alone.
    Block,
    /// What it takes to read a file, or to list a folder.
    Entity,
    /// What it takes to read a file from one byte to another, both included. Below zero they count from its end; no
    /// last byte is the last one. A folder is listed.
    Bytes(i64, Option<i64>),
    /// Everything below it.
    All,
}

/// A walk that is under way.
#[derive(Debug)]
pub struct Walk<B> {
    blocks: B,
    /// What comes, the next one last.
    ahead: Vec<Step>,
    /// Blocks that were given, if none is to be given twice.
    given: Option<HashSet<Cid>>,
    left: usize,
}

#[derive(Debug)]
struct Step {
    cid: Cid,
    depth: usize,
    below: Below,
}

/// What is wanted of what a block links.
#[derive(Clone, Debug)]
enum Below {
    Nothing,
    Everything,
    Bytes(Range<u64>),
}

impl<B: Blocks> Walk<B> {
    /// Begins with the blocks of a path, then what `scope` says of its last. `repeats` tells whether a block comes
    /// each time it is met or once. `None` when the last block is not here; blocks that a file or folder lacks show
    /// on the way.
    pub async fn begin(blocks: B, way: &[Cid], scope: Scope, repeats: bool) -> Result<Option<Self>, Error> {
        let Some((end, path)) = way.split_last() else { return Ok(None) };
        let Some(bytes) = block(&blocks, *end).await? else { return Ok(None) };
        let step = |(cid, below)| Step { cid, depth: 0, below };
        let path = path.iter().map(|cid| (*cid, Below::Nothing));
        let mut ahead: Vec<Step> = path.chain([(*end, scope.of(*end, &bytes)?)]).map(step).collect();
        ahead.reverse();
        Ok(Some(Self { blocks, ahead, given: (!repeats).then(HashSet::new), left: MAX_BLOCKS }))
    }

    /// The next block. After an error there is none. Identity CIDs carry their bytes and are left out.
    pub async fn next(&mut self) -> Option<Result<(Cid, Bytes), Error>> {
        while let Some(step) = self.ahead.pop() {
            match self.step(&step).await {
                Ok(Some(bytes)) => return Some(Ok((step.cid, bytes))),
                Ok(None) => {}
                Err(error) => {
                    self.ahead.clear();
                    return Some(Err(error));
                }
            }
        }
        None
    }

    async fn step(&mut self, step: &Step) -> Result<Option<Bytes>, Error> {
        if self.given.as_mut().is_some_and(|given| !given.insert(step.cid)) {
            return Ok(None);
        }
        self.left = self.left.checked_sub(1).ok_or(Error::TooLarge("a walk gives at most 32 768 blocks"))?;
        if step.depth > MAX_DEPTH {
            return Err(Error::TooLarge("a graph is at most 16 levels deep"));
        }
        let bytes = block(&self.blocks, step.cid).await?.ok_or(Error::Missing(step.cid))?;
        let below = step.below.of(step.cid, &bytes)?;
        let depth = step.depth + 1;
        self.ahead.extend(below.into_iter().rev().map(|(cid, below)| Step { cid, depth, below }));
        Ok((step.cid.hash().code() != IDENTITY).then_some(bytes))
    }
}

impl Scope {
    fn of(self, cid: Cid, block: &[u8]) -> Result<Below, Error> {
        match (self, cid.codec()) {
            (Self::Block, _) => return Ok(Below::Nothing),
            (Self::All, RAW | DAG_PB) => return Ok(Below::Everything),
            (Self::All, _) => return Err(Error::Unsupported("only raw and dag-pb blocks are walked")),
            (_, DAG_PB) => {}
            _ => return Ok(Below::Nothing),
        }
        let (_, data) = node(block)?;
        match (data.kind, self) {
            (Some(TYPE_DIRECTORY), _) => Ok(Below::Nothing),
            (Some(TYPE_FILE | TYPE_RAW), Self::Bytes(from, to)) => {
                let range = within(from, to, data.length()?);
                Ok(if range.is_empty() { Below::Nothing } else { Below::Bytes(range) })
            }
            (Some(TYPE_FILE | TYPE_RAW), _) => Ok(Below::Everything),
            _ => Err(Error::Unsupported("neither a plain folder nor a file")),
        }
    }
}

impl Below {
    /// What comes below a block, in the order of its links.
    fn of(&self, cid: Cid, block: &[u8]) -> Result<Vec<(Cid, Self)>, Error> {
        match (self, cid.codec()) {
            (Self::Nothing, _) | (_, RAW) => Ok(Vec::new()),
            (_, DAG_PB) if block.len() > MAX_BLOCK_BYTES => Err(Error::TooLarge("a block has at most 2 MiB")),
            (Self::Everything, DAG_PB) => {
                Ok(parse(block)?.0.into_iter().map(|link| (link.cid, Self::Everything)).collect())
            }
            (Self::Bytes(range), DAG_PB) => of_file(block, range),
            _ => Err(Error::Unsupported("only raw and dag-pb blocks are walked")),
        }
    }
}

/// The blocks of a file's node that hold bytes of `range`.
fn of_file(block: &[u8], range: &Range<u64>) -> Result<Vec<(Cid, Below)>, Error> {
    let (links, data) = node(block)?;
    if links.len() != data.block_sizes.len() {
        return Err(Error::Malformed("a file has a size for each of its blocks"));
    }
    let mut from = data.inline.len() as u64;
    let mut wanted = Vec::new();
    for (link, size) in links.iter().zip(&data.block_sizes) {
        let to = from.saturating_add(*size);
        let (start, end) = (range.start.max(from), range.end.min(to));
        if start < end {
            wanted.push((link.cid, Below::Bytes(start - from..end - from)));
        }
        from = to;
    }
    Ok(wanted)
}

fn node(block: &[u8]) -> Result<(Vec<Entry>, Data<'_>), Error> {
    let (links, data) = parse(block)?;
    Ok((links, Data::read(data.ok_or(Error::Malformed("a node has data"))?)?))
}

/// The bytes that are meant of a file of so many; empty when they lie outside.
fn within(from: i64, to: Option<i64>, length: u64) -> Range<u64> {
    let place = |at: i64| if at < 0 { length.saturating_sub(at.unsigned_abs()) } else { at.unsigned_abs() };
    // The byte before the file's first one does not exist: such an end leaves nothing.
    let before = to.is_some_and(|to| to < 0 && to.unsigned_abs() > length);
    let end = to.map_or(length, |to| place(to).saturating_add(1)).min(length);
    if before { 0..0 } else { place(from)..end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_from_both_ends() {
        let table = [
            ((0, None), 0..10),
            ((0, Some(0)), 0..1),
            ((3, Some(5)), 3..6),
            ((3, Some(99)), 3..10),
            ((-4, None), 6..10),
            ((-99, None), 0..10),
            ((-99, Some(-3)), 0..8),
            ((2, Some(-3)), 2..8),
            ((i64::MIN, Some(i64::MAX)), 0..10),
        ];
        for ((from, to), expected) in table {
            assert_eq!(within(from, to, 10), expected, "{from}:{to:?}");
        }
        for (from, to) in
            [(10, None), (5, Some(4)), (99, Some(100)), (0, Some(-11)), (9, Some(-5)), (0, Some(i64::MIN))]
        {
            assert!(within(from, to, 10).is_empty(), "{from}:{to:?}");
        }
        assert!(within(0, None, 0).is_empty());
    }
}
