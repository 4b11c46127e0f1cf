//! The root's `ledger/` folder: the newest checkpoints, and the proofs that each one goes on from the one before. Who
//! looks once in a while can follow them without asking the station for anything.

use bytes::Bytes;
use cid::Cid;

use crate::{
    ipfs::dag::{Directory, Entry, Error},
    radio::{
        checkpoint::{CheckpointBody, Proof},
        receipt::VERSION,
        segment::{RAW, cid_of},
    },
};

/// The name of the newest checkpoint.
const NEWEST: &str = "checkpoint";

/// A folder as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    /// Its place in the root.
    pub(super) entry: Entry,
    /// Itself and its files.
    pub(super) blocks: Vec<(Cid, Bytes)>,
}

impl Folder {
    pub(super) fn cids(&self) -> impl Iterator<Item = Cid> {
        self.blocks.iter().map(|(cid, _)| *cid)
    }
}

/// The folder of these checkpoints, oldest first; `None` if there are none. `checkpoint` is the newest one,
/// `<size>.note` each of them, and `<size>.consistency.json` the proof from the one before.
pub(super) fn folder(checkpoints: &[CheckpointBody]) -> Result<Option<Folder>, Error> {
    let Some(newest) = checkpoints.last() else { return Ok(None) };
    let (mut blocks, mut entries) = (Vec::new(), Vec::new());
    let mut file = |name: String, text: &str| {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let cid = cid_of(RAW, &bytes);
        entries.push(Entry { name, cid, tsize: bytes.len() as u64 });
        blocks.push((cid, bytes));
    };
    file(NEWEST.into(), &newest.note);
    checkpoints.iter().for_each(|one| file(format!("{}.note", one.size), &one.note));
    for pair in checkpoints.windows(2).filter(|pair| pair[0].size == pair[1].since) {
        let proof = Proof::Consistency {
            v: VERSION,
            older: pair[0].note.clone(),
            proof: pair[1].consistency.clone(),
            checkpoint: pair[1].note.clone(),
        };
        let text = serde_json::json!(proof).to_string() + "\n";
        file(format!("{}.consistency.json", pair[1].size), &text);
    }
    let node = Directory::new(entries)?.encode()?;
    let entry = Entry { name: "ledger".into(), cid: node.cid, tsize: node.tsize };
    blocks.push((node.cid, node.bytes));
    Ok(Some(Folder { entry, blocks }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ipfs::dag::{Target, decode},
        radio::checkpoint::{Log, tests::Seal},
    };

    #[test]
    fn the_folder_has_every_note_and_the_way_from_one_to_the_next() {
        assert!(folder(&[]).unwrap().is_none());
        let (mut log, mut checkpoints) = (Log::default(), Vec::new());
        for round in 1..=4_u64 {
            (0..round * 3).for_each(|n| log.push(&format!("{round} {n} 0000")));
            checkpoints.push(log.checkpoint(&Seal));
            log.mark(crate::radio::time::Time(round));
        }
        let made = folder(&checkpoints[1..]).unwrap().unwrap();
        let (cid, block) = made.blocks.last().unwrap().clone();
        assert_eq!((cid, &*made.entry.name), (made.entry.cid, "ledger"));
        let Target::Directory(_, directory) = decode(cid, block).unwrap() else { panic!("a file") };
        let names: Vec<&str> = directory.entries().iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["18.consistency.json", "18.note", "30.consistency.json", "30.note", "9.note", "checkpoint"]);
        let text = |name: &str| {
            let cid = directory.get(name).unwrap().cid;
            made.blocks
                .iter()
                .find(|(at, _)| *at == cid)
                .map(|(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap())
                .unwrap()
        };
        assert_eq!((text("checkpoint"), text("9.note")), (checkpoints[3].note.clone(), checkpoints[1].note.clone()));
        let Proof::Consistency { older, checkpoint, proof, .. } =
            serde_json::from_str(&text("30.consistency.json")).unwrap()
        else {
            panic!("another proof")
        };
        assert_eq!((older, checkpoint), (checkpoints[2].note.clone(), checkpoints[3].note.clone()));
        assert_eq!(proof, checkpoints[3].consistency);
    }
}
