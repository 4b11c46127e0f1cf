//! Receipts, signatures, chain, tree and proofs as `scripts/receipt-vectors` makes them, from nothing of ours.

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::*;
use crate::radio::{
    checkpoint::hex,
    merkle::{Subtrees, consistency, extends, includes, inclusion, leaf},
};

const VECTORS: &str = include_str!("../../../tests/golden/receipts.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn keys(vectors: &Value) -> Vec<SigningKey> {
    let secret = |secret: &Value| HEXLOWER.decode(secret["secret"].as_str().unwrap().as_bytes()).unwrap();
    let keys = vectors["secrets"].as_array().unwrap().iter();
    keys.map(|key| SigningKey::derive(key["id"].as_str().unwrap(), &secret(key))).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn every_receipt_is_signed_and_linked_as_by_others() {
    let vectors = vectors();
    let (keys, lines) = (keys(&vectors), texts(&vectors["lines"]));
    assert!(lines.len() > 15);
    for (line, expected) in lines.iter().zip(texts(&vectors["links"])) {
        let find = |id: &str| keys.iter().find(|key| key.id() == id);
        let receipt = Receipt::read(line, find).unwrap();
        assert_eq!(receipt.sign(find(&receipt.key_id).unwrap()).unwrap(), *line);
        assert_eq!(link(line), expected);
    }
}

#[test]
fn the_ledger_of_others_holds() {
    let vectors = vectors();
    let (keys, lines) = (keys(&vectors), texts(&vectors["lines"]));
    let station = vectors["station"].as_str().unwrap();
    let signed = |note: &Note| match note.station() {
        Ok(name) if name == station => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let wanted = vec![Note::parse(vectors["note"].as_str().unwrap()).unwrap()];
    let mut audit = Audit::new(Means { keys: &keys, signed: &signed }, Begin::Genesis, wanted);
    for (index, line) in lines.iter().enumerate() {
        if let Err(finding) = audit.line(line.as_bytes(), index == 0) {
            panic!("line {}: {}", index + 1, finding.reason);
        }
    }
    assert_eq!(audit.end(), Ok(()));
    assert_eq!((audit.seen().segments, audit.seen().checkpoints, audit.seen().unproved), (5, 2, 0));
}

#[test]
fn the_tree_and_its_proofs_are_those_of_others() {
    let vectors = vectors();
    let (lines, roots) = (texts(&vectors["lines"]), texts(&vectors["roots"]));
    let leaves: Vec<Hash> = lines.iter().map(|line| leaf(line.as_bytes())).collect();
    let nodes = |ranges, size: usize| {
        let mut subtrees = Subtrees::new(ranges);
        leaves[..size].iter().for_each(|leaf| subtrees.push(*leaf));
        subtrees.roots().unwrap()
    };
    let mut trees = vec![merkle::Peaks::default()];
    for leaf in &leaves {
        let mut next = trees[trees.len() - 1].clone();
        next.push(*leaf);
        trees.push(next);
    }
    assert_eq!(trees.iter().map(|tree| HEXLOWER.encode(&tree.root())).collect::<Vec<_>>(), roots);
    for vector in vectors["inclusion"].as_array().unwrap() {
        let (index, size) = (number(&vector["index"]), number(&vector["size"]));
        let proof = nodes(inclusion(index, size), size as usize);
        assert_eq!(hex(&proof), texts(&vector["proof"]), "{index} in {size}");
        assert!(includes(leaves[index as usize], index, size, &proof, &trees[size as usize].root()));
    }
    for vector in vectors["consistency"].as_array().unwrap() {
        let (old, new) = (number(&vector["old"]), number(&vector["new"]));
        let proof = nodes(consistency(old, new), new as usize);
        assert_eq!(hex(&proof), texts(&vector["proof"]), "{old} in {new}");
        let (before, after) = (trees[old as usize].root(), trees[new as usize].root());
        assert!(extends((old, &before), (new, &after), &proof));
    }
}
