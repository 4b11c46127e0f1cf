//! Reading a ledger: file by file, so that memory does not grow with it.

use super::{
    super::{
        checkpoint::Log,
        lines::{Lines, Rest},
        receipt::{self, Body, Constants, Receipt},
        time::Time,
    },
    Chain, Error, FILE_BYTES_MAX, Signer, refused,
    volume::Volume,
};

/// How a receipt that opens a ledger is told from others without being parsed: within a text these quotes are escaped.
const LEDGER_OPEN: &str = r#""kind":"ledger_open""#;
/// More than a file may ever hold: a bound on what is read into memory.
pub const READ_BYTES_MAX: u64 = FILE_BYTES_MAX + (4 << 20);
/// The first line of a file is shorter, in bytes.
pub const HEAD_BYTES: u64 = 64 << 10;

/// Where a ledger ends.
#[derive(Debug)]
pub struct Tail {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) end: u64,
    pub(super) chain: Chain,
}

/// What was found when a ledger was read.
#[derive(Debug, Default)]
pub struct Found {
    /// How many bytes of a torn last line were cut off.
    pub torn_bytes: u64,
    /// The number of receipts that were read.
    pub receipts: u64,
}

/// Shows every receipt, with its line, of the files that reach back to `since`.
pub(super) fn walk(
    volume: &dyn Volume,
    signer: &Signer,
    since: Time,
    visit: &mut dyn FnMut(&Receipt, &str),
) -> Result<(Found, Option<Tail>), Error> {
    let files = files(volume)?;
    let mut found = Found::default();
    let mut chain: Option<Chain> = None;
    let mut last = None;
    let from = files.iter().rposition(|(_, name)| reaches_back(volume, name, since)).unwrap_or(0);
    for (at, (number, name)) in files.iter().enumerate().skip(from) {
        let text = load(volume, name)?;
        let damaged = |line, reason| Error::Damaged { path: volume.path(name), line, reason };
        let until = files.get(at + 1).and_then(|(_, next)| continues(&head(volume, next)));
        let lines = Lines::of(&text);
        let mut given_up = false;
        for (index, line) in lines.whole.iter().enumerate() {
            let (receipt, line) = take(line, signer, &mut chain).map_err(|reason| damaged(index + 1, reason))?;
            visit(&receipt, line);
            found.receipts += 1;
            given_up = until.is_some() && until == chain.as_ref().map(|chain| chain.prev.clone());
            if given_up {
                break;
            }
        }
        let behind = lines.whole.len() + 1;
        found.torn_bytes = match lines.rest {
            _ if given_up => 0,
            Rest::Nothing => 0,
            Rest::Torn(bytes) if at + 1 == files.len() => bytes as u64,
            Rest::Torn(_) => return Err(damaged(behind, "the file ends within a line".into())),
            Rest::Damaged => return Err(damaged(behind, "there are zeros in it".into())),
        };
        last = Some((*number, name.clone(), lines.end as u64));
    }
    let tail = last.zip(chain).map(|((number, name, end), chain)| Tail { number, name, end, chain });
    Ok((found, tail))
}

/// The tree over all lines of a ledger, none of which is checked; `None` if its first line is not there.
pub(crate) fn tree(volume: &dyn Volume) -> Result<Option<Log>, Error> {
    let files = files(volume)?;
    let mut log = Log::default();
    for (at, (_, name)) in files.iter().enumerate() {
        let text = load(volume, name)?;
        let until = files.get(at + 1).and_then(|(_, next)| continues(&head(volume, next)));
        for line in Lines::of(&text).whole {
            let Ok(line) = std::str::from_utf8(line) else { return Ok(None) };
            if log.size() == 0 && !line.contains(receipt::GENESIS) {
                return Ok(None);
            }
            log.push(line);
            if until.as_deref() == Some(receipt::link(line).as_str()) {
                break;
            }
        }
    }
    Ok(Some(log))
}

/// See [`super::Ledger::constants`].
pub(super) fn constants(volume: &dyn Volume, signer: &Signer) -> Result<Option<Constants>, Error> {
    for (_, name) in files(volume)?.iter().rev() {
        let text = match load(volume, name) {
            Err(Error::Damaged { .. }) => continue,
            text => text?,
        };
        let text = String::from_utf8_lossy(&text);
        let opened = text.rmatch_indices(LEDGER_OPEN).find_map(|(at, _)| {
            let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let end = at + text[at..].find('\n')?;
            match Receipt::read(&text[begin..end], |id| signer.key(id)).ok()?.body {
                Body::LedgerOpen(constants) => Some(constants),
                _ => None,
            }
        });
        if opened.is_some() {
            return Ok(opened);
        }
    }
    Ok(None)
}

fn take<'l>(line: &'l [u8], signer: &Signer, chain: &mut Option<Chain>) -> Result<(Receipt, &'l str), String> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_string())?;
    let receipt = Receipt::read(line, |id| signer.key(id)).map_err(|error| error.to_string())?;
    if let Some(chain) = chain
        && (receipt.prev != chain.prev || receipt.seq != chain.next_seq)
    {
        return Err("it does not follow the line before it".into());
    }
    let key_id = match &receipt.body {
        Body::KeyRotated { to } => to.clone(),
        _ => receipt.key_id.clone(),
    };
    *chain = Some(Chain { next_seq: receipt.seq + 1, prev: receipt::link(line), key_id });
    Ok((receipt, line))
}

/// The hash of the line that a file goes on behind, by its head: what its first line has as `prev`. Lines of the file
/// before that are behind that one were given up when they could not be made durable, and nobody was told that they were.
pub fn continues(head: &str) -> Option<String> {
    field(head, "prev").map(String::from)
}

/// Whether the file begins before `since`: older ones need not be read.
fn reaches_back(volume: &dyn Volume, name: &str, since: Time) -> bool {
    field(&head(volume, name), "produced_at").and_then(Time::parse).is_some_and(|date| date < since)
}

/// The first lines of a file, as far as they can be read.
fn head(volume: &dyn Volume, name: &str) -> String {
    String::from_utf8_lossy(&volume.read(name, HEAD_BYTES).unwrap_or_default()).into_owned()
}

/// The first text under this key, as it stands there.
pub fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("\"{key}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// A whole file.
fn load(volume: &dyn Volume, name: &str) -> Result<Vec<u8>, Error> {
    let text = volume.read(name, READ_BYTES_MAX + 1).map_err(refused(volume, name))?;
    within(&text).map_err(|reason| Error::Damaged { path: volume.path(name), line: 1, reason })?;
    Ok(text)
}

/// Says in words that a file is larger than one of a ledger can be.
pub fn within(text: &[u8]) -> Result<(), String> {
    if text.len() as u64 > READ_BYTES_MAX {
        return Err(format!("the file is larger than {READ_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// The ledger's files by number.
pub fn files(volume: &dyn Volume) -> Result<Vec<(u32, String)>, Error> {
    let names = volume.list().map_err(refused(volume, ""))?;
    let mut files: Vec<_> = names.into_iter().filter_map(|name| Some((number(&name)?, name))).collect();
    files.sort();
    Ok(files)
}

/// The number of a file of the ledger by its name.
pub fn number(name: &str) -> Option<u32> {
    name.strip_suffix(".jsonl").and_then(|stem| stem.parse().ok())
}
