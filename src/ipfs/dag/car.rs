//! CARv1, the file that carries blocks (<https://ipld.io/specs/transport/car/carv1/>): a header that names a root, then
//! the blocks, each behind its length and its name.

use bytes::Bytes;
use cid::Cid;

use super::wire::put_varint;

/// What a file begins with: DAG-CBOR of `{"roots": [root], "version": 1}`, behind its length.
pub fn header(root: &Cid) -> Bytes {
    let mut link = vec![0]; // The marker of a CID in DAG-CBOR.
    link.extend(root.to_bytes());
    let mut cbor = b"\xa2\x65roots\x81\xd8\x2a".to_vec();
    match u8::try_from(link.len()) {
        Ok(short @ 0..24) => cbor.push(0x40 | short),
        Ok(long) => cbor.extend([0x58, long]),
        Err(_) => {
            cbor.push(0x59);
            cbor.extend((link.len() as u16).to_be_bytes()); // A CID holds a hash of 64 bytes at most.
        }
    }
    cbor.extend(link);
    cbor.extend(b"\x67version\x01");
    framed(&[&cbor])
}

/// A block as it stands in the file.
pub fn section(cid: &Cid, block: &[u8]) -> Bytes {
    framed(&[&cid.to_bytes(), block])
}

fn framed(parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(length + 10);
    put_varint(&mut bytes, length as u64);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.into()
}
