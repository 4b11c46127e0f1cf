//! The Merkle tree over the lines of a ledger (RFC 6962 §2.1; the checks are those of RFC 9162 §2.1.3 and §2.1.4).
//!
//! Only the roots of the complete subtrees on the left, the *peaks*, are ever held: a leaf costs amortised one hash, a
//! root as many as there are peaks. A proof is a list of subtrees; their roots come from one pass over the leaves.

use std::ops::Range;

use sha2::{Digest, Sha256};

/// A node of the tree: SHA-256.
pub type Hash = [u8; 32];

/// No proof has more nodes: a tree has fewer than 2^63 leaves.
pub const PROOF_MAX: usize = 128;

/// The hash of a leaf: a line without its newline.
pub fn leaf(line: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A tree that grows: its size and the roots of its complete subtrees, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    size: u64,
    hashes: Vec<Hash>,
}

impl Peaks {
    /// A tree of `size` leaves with these peaks; `None` if it has another number of them.
    pub fn new(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        (hashes.len() == size.count_ones() as usize).then_some(Self { size, hashes })
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The peaks, the largest first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Adds a leaf.
    pub fn push(&mut self, mut leaf: Hash) {
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                leaf = node(&left, &leaf);
            }
        }
        self.hashes.push(leaf);
        self.size += 1;
    }

    /// The root; that of no leaves is the hash of nothing.
    pub fn root(&self) -> Hash {
        let joined = self.hashes.iter().rev().copied().reduce(|right, left| node(&left, &right));
        joined.unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// The peak over just these leaves, if it is one.
    pub fn peak(&self, range: &Range<u64>) -> Option<Hash> {
        let mut start = 0;
        for (bit, hash) in (0..64).rev().filter(|bit| self.size >> bit & 1 == 1).zip(&self.hashes) {
            if *range == (start..start + (1 << bit)) {
                return Some(*hash);
            }
            start += 1 << bit;
        }
        None
    }
}

/// The largest power of two below `size`, which is at least 2.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The subtrees whose roots prove that the leaf `index` is in a tree of `size` leaves, from the leaf upwards.
pub fn inclusion(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut tree, mut proof) = (0..size, Vec::new());
    while tree.end - tree.start > 1 && tree.contains(&index) {
        let middle = tree.start + split(tree.end - tree.start);
        let (within, beside) = if index < middle {
            (tree.start..middle, middle..tree.end)
        } else {
            (middle..tree.end, tree.start..middle)
        };
        proof.push(beside);
        tree = within;
    }
    proof.reverse();
    proof
}

/// The subtrees whose roots prove that a tree of `new` leaves begins with that of `old` leaves.
pub fn consistency(old: u64, new: u64) -> Vec<Range<u64>> {
    let (mut tree, mut proof) = (0..new, Vec::new());
    if old == 0 || old >= new {
        return proof;
    }
    while tree.end != old {
        let middle = tree.start + split(tree.end - tree.start);
        if old <= middle {
            proof.push(middle..tree.end);
            tree.end = middle;
        } else {
            proof.push(tree.start..middle);
            tree.start = middle;
        }
    }
    // The old root is known to who checks.
    if tree.start > 0 {
        proof.push(tree);
    }
    proof.reverse();
    proof
}

/// Whether the leaf `index` of a tree of `size` leaves with this root is `leaf`.
pub fn includes(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for beside in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(beside, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether a tree of `new` leaves begins with one of `old` leaves, both given by their roots.
pub fn extends(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size >= new_size {
        return proof.is_empty() && (old_size == 0 || old == new);
    }
    let complete = old_size.is_power_of_two().then_some(old_root);
    let mut nodes = complete.into_iter().chain(proof);
    let Some(first) = nodes.next() else { return false };
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    (at, last) = (at >> (old_size - 1).trailing_ones(), last >> (old_size - 1).trailing_ones());
    let (mut before, mut after) = (*first, *first);
    for beside in nodes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            before = node(beside, &before);
            after = node(beside, &after);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            after = node(&after, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && before == *old_root && after == *new_root
}

/// The roots of some subtrees, from one pass over all leaves.
#[derive(Clone, Debug)]
pub struct Subtrees {
    found: Vec<(Range<u64>, Peaks)>,
    next: u64,
}

impl Subtrees {
    /// Of the leaves in each of `ranges`.
    pub fn new(ranges: Vec<Range<u64>>) -> Self {
        Self { found: ranges.into_iter().map(|range| (range, Peaks::default())).collect(), next: 0 }
    }

    /// Takes the next leaf, from the first one of the tree on.
    pub fn push(&mut self, leaf: Hash) {
        for (range, peaks) in &mut self.found {
            if range.contains(&self.next) {
                peaks.push(leaf);
            }
        }
        self.next += 1;
    }

    /// The roots in the order of the ranges; `None` as long as leaves are missing.
    pub fn roots(&self) -> Option<Vec<Hash>> {
        let whole = self.found.iter().all(|(range, peaks)| peaks.size() == range.end - range.start);
        whole.then(|| self.found.iter().map(|(_, peaks)| peaks.root()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Hash {
        leaf(&number.to_be_bytes())
    }

    fn tree(size: u64) -> Peaks {
        let mut peaks = Peaks::default();
        (0..size).for_each(|number| peaks.push(line(number)));
        peaks
    }

    /// MTH as RFC 6962 §2.1 writes it down.
    fn by_the_book(range: Range<u64>) -> Hash {
        match range.end - range.start {
            0 => Sha256::digest([]).into(),
            1 => line(range.start),
            size => {
                let middle = range.start + split(size);
                node(&by_the_book(range.start..middle), &by_the_book(middle..range.end))
            }
        }
    }

    fn roots(ranges: Vec<Range<u64>>, size: u64) -> Vec<Hash> {
        let mut subtrees = Subtrees::new(ranges);
        (0..size).for_each(|number| subtrees.push(line(number)));
        subtrees.roots().unwrap()
    }

    #[test]
    fn a_root_is_that_of_the_book() {
        for size in 0..=130 {
            assert_eq!(tree(size).root(), by_the_book(0..size), "{size} leaves");
        }
    }

    #[test]
    fn every_leaf_is_proved_and_no_other() {
        for size in 1..=40 {
            let root = tree(size).root();
            for index in 0..size {
                let proof = roots(inclusion(index, size), size);
                assert!(includes(line(index), index, size, &proof, &root));
                assert!(!includes(line(index + 1), index, size, &proof, &root));
                assert!(!includes(line(index), index + 1, size, &proof, &root));
                assert!(!includes(line(index), index, size, &proof, &tree(size + 1).root()));
                for at in 0..proof.len() {
                    let mut other = proof.clone();
                    other[at][0] ^= 1;
                    assert!(!includes(line(index), index, size, &other, &root));
                    other.remove(at);
                    assert!(!includes(line(index), index, size, &other, &root));
                }
                let longer = [proof.as_slice(), &[root]].concat();
                assert!(!includes(line(index), index, size, &longer, &root));
            }
            assert!(!includes(line(size), size, size, &[], &root));
        }
    }

    #[test]
    fn every_tree_extends_each_before_it_and_no_other() {
        for new in 1..=40 {
            let root = tree(new).root();
            for old in 1..=new {
                let (before, proof) = (tree(old), roots(consistency(old, new), new));
                assert!(extends((old, &before.root()), (new, &root), &proof), "{old} in {new}");
                assert!(old == new || !extends((old, &tree(old - 1).root()), (new, &root), &proof));
                assert!(!extends((old, &before.root()), (new, &tree(new + 1).root()), &proof));
                for at in 0..proof.len() {
                    let mut other = proof.clone();
                    other[at][31] ^= 0x80;
                    assert!(!extends((old, &before.root()), (new, &root), &other));
                    other.remove(at);
                    assert!(!extends((old, &before.root()), (new, &root), &other));
                }
            }
        }
        assert!(extends((0, &tree(0).root()), (5, &tree(5).root()), &[]));
        assert!(!extends((6, &tree(6).root()), (5, &tree(5).root()), &[]));
    }

    #[test]
    fn what_a_proof_needs_of_the_old_tree_is_among_its_peaks() {
        for new in 2..=70 {
            for old in 1..new {
                for range in consistency(old, new) {
                    let known = tree(old).peak(&range);
                    assert_eq!(known.is_some(), range.end <= old, "{range:?} of {old} in {new}");
                    assert!(known.is_none_or(|hash| hash == by_the_book(range.clone())));
                    assert!(range.end <= old || range.start >= old);
                }
            }
        }
    }

    #[test]
    fn peaks_are_as_many_as_the_size_has_ones() {
        let peaks = tree(11);
        assert_eq!(Peaks::new(11, peaks.hashes().to_vec()), Some(peaks.clone()));
        assert_eq!(Peaks::new(12, peaks.hashes().to_vec()), None);
    }
}
