//! As much of the protobuf wire format as dag-pb, UnixFS and bitswap use: varints and runs of bytes.

use super::Error;

const WIRE_NUMBER: u64 = 0;
const WIRE_BYTES: u64 = 2;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ipfs) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in the order in which they come. Ends after the first error.
#[derive(Debug)]
pub(in crate::ipfs) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(in crate::ipfs) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Error> {
        let key = number(&mut self.rest)?;
        let value = match key & 7 {
            WIRE_NUMBER => Value::Number(number(&mut self.rest)?),
            WIRE_BYTES => Value::Bytes(bytes(&mut self.rest)?),
            _ => return Err(Error::Malformed("a field of another type than number or bytes")),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// All varints of a packed field.
pub(in crate::ipfs) fn numbers(mut packed: &[u8]) -> Result<Vec<u64>, Error> {
    let mut all = Vec::new();
    while !packed.is_empty() {
        all.push(number(&mut packed)?);
    }
    Ok(all)
}

fn number(rest: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0u64;
    for (index, byte) in rest.iter().enumerate().take(10) {
        if index == 9 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    Err(Error::Malformed("a number that does not end or is too large"))
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let length = usize::try_from(number(rest)?).map_err(|_| Error::Malformed("a length beyond the end"))?;
    let (run, after) = rest.split_at_checked(length).ok_or(Error::Malformed("a length beyond the end"))?;
    *rest = after;
    Ok(run)
}

pub(in crate::ipfs) fn put_number(message: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(message, field << 3 | WIRE_NUMBER);
    put_varint(message, value);
}

pub(in crate::ipfs) fn put_bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(message, field << 3 | WIRE_BYTES);
    put_varint(message, value.len() as u64);
    message.extend_from_slice(value);
}

pub(super) fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
