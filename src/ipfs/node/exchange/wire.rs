//! Bitswap 1.2.0 byte by byte (<https://specs.ipfs.tech/bitswap-protocol/>): what one who wants blocks sends, and what
//! comes back.

use std::io;

use bytes::Bytes;
use cid::Cid;
use futures::{AsyncRead, AsyncReadExt};
use libp2p::StreamProtocol;

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
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a length that does not end"));
        }
    }
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Reads what came back. A block of another kind than ours (CIDv1, SHA-256, raw or dag-pb) is left out.
pub(in crate::ipfs) fn answer(message: &[u8]) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    for field in Fields::new(message) {
        match field? {
            (3, Value::Bytes(block)) => answer.blocks.extend(block_of(block)?),
            (4, Value::Bytes(presence)) => answer.presences.extend(presence_of(presence)?),
            _ => {}
        }
    }
    Ok(answer)
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

    #[tokio::test]
    async fn a_length_without_bound_is_refused() {
        for bytes in [prefix(u64::MAX), prefix(MAX_MESSAGE_BYTES as u64 + 1)] {
            assert!(next(&mut futures::io::Cursor::new(bytes)).await.is_err());
        }
    }
}
