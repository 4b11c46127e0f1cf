//! A message of bitswap as a function of bytes: see [`crate::fuzz`].

use cid::Cid;

use super::{
    queue,
    wire::{self, Length, MAX_ENTRIES, Want},
};
use crate::{
    ipfs::dag::car,
    radio::{fuzz::said, segment::is_of},
};

/// Entries of a want-list that are read here.
const MOST: usize = 3;

/// What is read is bounded and true, and is read again as it is spelled.
pub(in crate::ipfs) fn message(data: &[u8]) {
    length(data);
    if let Ok(answer) = wire::answer(data) {
        assert!(answer.blocks.len() + answer.presences.len() <= MAX_ENTRIES);
        for (cid, block) in &answer.blocks {
            assert!(is_of(cid, block) && car::section(cid, block).ends_with(block));
        }
        for (cid, here) in answer.presences {
            assert!(car::header(&cid).ends_with(b"\x67version\x01"));
            let again = wire::answer(&unframed(&wire::presence(&cid, here)));
            assert_eq!(again.map(|answer| answer.presences).unwrap_or_default(), [(cid, here)]);
        }
    }
    let Ok((wants, _)) = wire::wanted(data, MOST) else { return };
    assert!(wants.len() <= MOST);
    let spelled = |want: &queue::Want| match (want.cancel, want.block) {
        (true, _) => (want.cid, Want::Cancel),
        (_, true) => (want.cid, Want::Block),
        (_, false) => (want.cid, Want::Have),
    };
    let again = unframed(&wire::wants(wants.iter().map(spelled)));
    let (again, all) = wire::wanted(&again, MOST).expect("what is spelled is read");
    let named = |wants: &[queue::Want]| wants.iter().map(|want| (want.cid, want.cancel)).collect::<Vec<_>>();
    assert!(!all && named(&again) == named(&wants));
}

fn length(data: &[u8]) {
    let mut length = Length::default();
    for byte in data {
        match length.take(*byte) {
            Ok(None) => continue,
            Ok(Some(length)) => assert!(length <= 4 << 20),
            Err(error) => drop(said(&error)),
        }
        break;
    }
}

/// A message without the length before it.
fn unframed(message: &[u8]) -> Vec<u8> {
    let end = message.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
    message[end..].to_vec()
}

/// Messages of every kind about a block that is not here and one that is.
pub(in crate::ipfs) fn messages(absent: Cid, (cid, block): (Cid, &[u8])) -> Vec<Vec<u8>> {
    let wants = wire::wants([(absent, Want::Have), (cid, Want::Block), (absent, Want::Cancel)]);
    let messages = [wants, wire::block(&cid, block), wire::presence(&cid, true), wire::presence(&absent, false)];
    messages.iter().map(|message| unframed(message)).chain([wire::prefix(300)]).collect()
}
