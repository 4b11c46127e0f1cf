//! Bitswap 1.2.0 byte by byte (<https://specs.ipfs.tech/bitswap-protocol/>): what one who wants blocks sends, and what
//! comes back.

use std::io;

use bytes::Bytes;
use cid::Cid;
use futures::{AsyncRead, AsyncReadExt};
use libp2p::StreamProtocol;

use super::queue;
use crate::{
    ipfs::dag::{
        Error,
        wire::{Fields, Value, put_bytes, put_number},
    },
    radio::segment::{DAG_PB, RAW, cid_of},
};

pub(in crate::ipfs) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/bitswap/1.2.0");
/// No message is longer (bitswap's limit for blocks is half of it).
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Entries of one message that are read; what is beyond is not heard. The shortest ones take seven bytes, and a message
/// of nothing else would become many times its size.
pub(super) const MAX_ENTRIES: usize = 16_384;
const SHA2_256: u8 = 0x12;
const HASH_BYTES: u8 = 32;

/// What one entry of a want-list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ipfs) enum Want {
    Have,
    Block,
    Cancel,
}

/// What came back in one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ipfs) struct Answer {
    /// Blocks under the names that they hash to.
    pub(in crate::ipfs) blocks: Vec<(Cid, Bytes)>,
    /// Whether the other has a block.
    pub(in crate::ipfs) presences: Vec<(Cid, bool)>,
}

/// The length that stands before a message, as its bytes come.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::ipfs) struct Length {
    value: usize,
    shift: u32,
}

impl Length {
    /// Takes the next byte; the length, once that was the last one. An error: a length without bound.
    pub(in crate::ipfs) fn take(&mut self, byte: u8) -> io::Result<Option<usize>> {
        let bad = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        if self.shift > 21 && byte > 0x7f {
            return bad("a length that does not end".into());
        }
        self.value |= usize::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        let length = std::mem::take(self).value;
        if length > MAX_MESSAGE_BYTES { bad(format!("a message of {length} bytes")) } else { Ok(Some(length)) }
    }

    /// Whether nothing of it has come.
    pub(in crate::ipfs) fn is_empty(self) -> bool {
        self.shift == 0
    }
}

/// A want-list, with its length before it. Every want asks to be told when the block is not there.
pub(in crate::ipfs) fn wants(entries: impl IntoIterator<Item = (Cid, Want)>) -> Vec<u8> {
    let mut list = Vec::new();
    for (cid, want) in entries {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, &cid.to_bytes());
        put_number(&mut entry, 2, 1);
        match want {
            Want::Cancel => put_number(&mut entry, 3, 1),
            Want::Have => put_number(&mut entry, 4, 1),
            Want::Block => {}
        }
        put_number(&mut entry, 5, 1);
        put_bytes(&mut list, 1, &entry);
    }
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &list);
    framed(&message)
}

/// A block, with the length of the message before it.
pub(in crate::ipfs) fn block(cid: &Cid, data: &[u8]) -> Vec<u8> {
    let name = cid.to_bytes();
    let mut block = Vec::with_capacity(data.len() + 32);
    put_bytes(&mut block, 1, &name[..name.len() - cid.hash().digest().len()]);
    put_bytes(&mut block, 2, data);
    let mut message = Vec::with_capacity(block.len() + 16);
    put_bytes(&mut message, 3, &block);
    framed(&message)
}

/// Whether a block is here, with the length of the message before it.
pub(in crate::ipfs) fn presence(cid: &Cid, here: bool) -> Vec<u8> {
    let mut presence = Vec::new();
    put_bytes(&mut presence, 1, &cid.to_bytes());
    put_number(&mut presence, 2, u64::from(!here));
    let mut message = Vec::new();
    put_bytes(&mut message, 4, &presence);
    framed(&message)
}

/// A message with its length before it.
pub(in crate::ipfs) fn framed(message: &[u8]) -> Vec<u8> {
    [prefix(message.len() as u64), message.to_vec()].concat()
}

/// The length that stands before a message.
pub(in crate::ipfs) fn prefix(mut length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes
}

/// The next message of a stream, without its length; `None` at its end.
pub(in crate::ipfs) async fn next(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = Length::default();
    let length = loop {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        if let Some(length) = length.take(byte[0])? {
            break length;
        }
    };
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Reads what came back, at most [`MAX_ENTRIES`]. A block of another kind than ours (CIDv1, SHA-256, raw or dag-pb) is
/// left out.
pub(in crate::ipfs) fn answer(message: &[u8]) -> Result<Answer, Error> {
    let (mut answer, mut left) = (Answer::default(), MAX_ENTRIES);
    for field in Fields::new(message) {
        let (number @ (3 | 4), Value::Bytes(entry)) = field? else { continue };
        let Some(fewer) = left.checked_sub(1) else { break };
        left = fewer;
        match number {
            3 => answer.blocks.extend(block_of(entry)?),
            _ => answer.presences.extend(presence_of(entry)?),
        }
    }
    Ok(answer)
}

/// Reads what another wants, at most `most` entries, and whether that is all that it wants. An entry that names nothing
/// is left out.
pub(in crate::ipfs) fn wanted(message: &[u8], most: usize) -> Result<(Vec<queue::Want>, bool), Error> {
    let (mut wants, mut all) = (Vec::new(), false);
    for field in Fields::new(message) {
        let (1, Value::Bytes(list)) = field? else { continue };
        for field in Fields::new(list) {
            match field? {
                (1, Value::Bytes(entry)) if wants.len() < most => wants.extend(entry_of(entry)?),
                (2, Value::Number(full)) => all = full != 0,
                _ => {}
            }
        }
    }
    Ok((wants, all))
}

fn entry_of(message: &[u8]) -> Result<Option<queue::Want>, Error> {
    let (mut cid, mut kind, mut cancel, mut or_not) = (None, 0, false, false);
    for field in Fields::new(message) {
        match field? {
            (1, Value::Bytes(bytes)) => cid = Cid::try_from(bytes).ok(),
            (3, Value::Number(given)) => cancel = given != 0,
            (4, Value::Number(given)) => kind = given,
            (5, Value::Number(given)) => or_not = given != 0,
            _ => {}
        }
    }
    Ok(cid.map(|cid| queue::Want { cid, block: kind == 0, or_not, cancel }))
}

fn block_of(message: &[u8]) -> Result<Option<(Cid, Bytes)>, Error> {
    let (mut prefix, mut data): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields::new(message) {
        match field? {
            (1, Value::Bytes(bytes)) => prefix = bytes,
            (2, Value::Bytes(bytes)) => data = bytes,
            _ => {}
        }
    }
    let codec = match *prefix {
        [1, codec, SHA2_256, HASH_BYTES] if [RAW, DAG_PB].contains(&u64::from(codec)) => u64::from(codec),
        _ => return Ok(None),
    };
    Ok(Some((cid_of(codec, data), Bytes::copy_from_slice(data))))
}

fn presence_of(message: &[u8]) -> Result<Option<(Cid, bool)>, Error> {
    let (mut cid, mut has) = (None, true);
    for field in Fields::new(message) {
        match field? {
            (1, Value::Bytes(bytes)) => cid = Cid::try_from(bytes).ok(),
            (2, Value::Number(kind)) => has = kind == 0,
            _ => {}
        }
    }
    Ok(cid.map(|cid| (cid, has)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the protocol buffers: field 1, then an entry whose fields can be read by eye.
    #[test]
    fn a_want_list_is_spelled_as_in_the_protocol() {
        let cid = cid_of(RAW, b"a");
        let mut entry = [&[0x0a, 36], cid.to_bytes().as_slice(), &[0x10, 1, 0x20, 1, 0x28, 1]].concat();
        let mut list = vec![0x0a, entry.len() as u8];
        list.append(&mut entry);
        let message = [&[0x0a, list.len() as u8], list.as_slice()].concat();
        assert_eq!(wants([(cid, Want::Have)]), [&[message.len() as u8], message.as_slice()].concat());
    }

    #[test]
    fn a_want_list_is_read_as_it_is_spelled() {
        let [have, block, cancel] = [b"a", b"b", b"c"].map(|bytes| cid_of(RAW, bytes));
        let spelled = wants([(have, Want::Have), (block, Want::Block), (cancel, Want::Cancel)]);
        let (read, all) = wanted(&spelled[2..], 9).unwrap();
        let want = |cid, block, cancel| queue::Want { cid, block, or_not: true, cancel };
        assert_eq!(read, [want(have, false, false), want(block, true, false), want(cancel, true, true)]);
        assert!(!all && wanted(&spelled[2..], 2).unwrap().0.len() == 2);
        let full = [0x0a, 8, 0x0a, 4, 0x0a, 2, 1, 2, 0x10, 1];
        assert_eq!(wanted(&full, 9).unwrap(), (vec![], true), "what names nothing is left out");
        assert!(wanted(&full[..7], 9).is_err());
    }

    #[tokio::test]
    async fn what_is_framed_is_read_back() {
        let data = vec![7; 300];
        let cid = cid_of(DAG_PB, &data);
        let sent =
            [block(&cid, &data), presence(&cid, true), presence(&cid, false), framed(&[0x22, 4, 0x0a, 0, 0x10, 1])];
        let mut stream = futures::io::Cursor::new(sent.concat());
        let mut read = Vec::new();
        while let Some(message) = next(&mut stream).await.unwrap() {
            read.push(answer(&message).unwrap());
        }
        let blocks = Answer { blocks: vec![(cid, Bytes::from(data))], ..Answer::default() };
        let told = |here| Answer { presences: vec![(cid, here)], ..Answer::default() };
        assert_eq!(read, [blocks, told(true), told(false), Answer::default()], "a presence of nothing is left out");
    }

    #[test]
    fn a_message_of_many_small_entries_is_read_up_to_a_bound() {
        let block = [0x1a, 6, 0x0a, 4, 1, RAW as u8, SHA2_256, HASH_BYTES].repeat(MAX_ENTRIES + 9);
        assert_eq!(answer(&block).unwrap().blocks.len(), MAX_ENTRIES);
        let mixed = [unframed_presence(), block].concat();
        let read = answer(&mixed).unwrap();
        assert_eq!((read.presences.len(), read.blocks.len()), (1, MAX_ENTRIES - 1));
    }

    fn unframed_presence() -> Vec<u8> {
        presence(&cid_of(RAW, b"a"), true)[1..].to_vec()
    }

    #[tokio::test]
    async fn a_length_without_bound_is_refused() {
        for bytes in [prefix(u64::MAX), prefix(MAX_MESSAGE_BYTES as u64 + 1), vec![0xff; 5]] {
            assert!(next(&mut futures::io::Cursor::new(bytes)).await.is_err());
        }
    }
}
