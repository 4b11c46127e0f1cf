//! Reading a ledger: file by file, so that memory does not grow with it.

use super::{
    super::{
        audit::airing::Airing,
        checkpoint::Log,
        lines::{Lines, Rest},
        receipt::{self, Body, Constants, Receipt},
        time::Time,
    },
    Chain, Error, FILE_BYTES_MAX, Signer, estranged,
    reach::Reach,
    volume::{Fault, Volume},
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
    /// The lines that were appended last, in one go.
    pub(super) batch: Vec<u8>,
    /// The file behind it that a crash left without a receipt.
    pub(super) unbegun: Option<String>,
}

/// What was found when a ledger was read.
#[derive(Debug, Default)]
pub struct Found {
    /// How many bytes of a torn last line were cut off.
    pub torn_bytes: u64,
    /// The number of receipts that were read.
    pub receipts: u64,
}

/// Shows every receipt, with its line, of the files that reach back to `since` and further if the last list does.
pub(super) fn walk(
    volume: &dyn Volume,
    signer: &Signer,
    since: Time,
    visit: &mut dyn FnMut(&Receipt, &str),
) -> Result<(Found, Option<Tail>), Error> {
    let Begun { files, torn_bytes, unbegun } = begun(volume)?;
    let mut found = Found { torn_bytes, receipts: 0 };
    let (mut chain, mut airing) = (None, Airing::default());
    let mut last = None;
    for (at, (number, name)) in files.iter().enumerate().skip(from(volume, &files, since)?) {
        let text = load(volume, name)?;
        let damaged = |line, reason| Error::Damaged { path: volume.path(name), line, reason };
        let until = until(volume, files.get(at + 1))?;
        let lines = Lines::of(&text);
        let mut given_up = false;
        for (index, line) in lines.whole.iter().enumerate() {
            let taken = take(line, signer, &mut chain).and_then(|taken| airing.take(&taken.0.body).map(|_| taken));
            let (receipt, line) = taken.map_err(|reason| match strange(&lines.whole, index, signer) {
                Some(id) => Error::Key {
                    path: volume.path(name),
                    line: index + 1,
                    reason: estranged::reason(&id, signer),
                    ledger: volume.path(""),
                },
                None => damaged(index + 1, reason),
            })?;
            visit(&receipt, line);
            found.receipts += 1;
            given_up = until.is_some() && until == chain.as_ref().map(|chain| chain.prev.clone());
            if given_up {
                break;
            }
        }
        let behind = lines.whole.len() + 1;
        found.torn_bytes += match lines.rest {
            _ if given_up => 0,
            Rest::Nothing => 0,
            Rest::Torn(bytes) if at + 1 == files.len() => bytes as u64,
            Rest::Torn(_) => return Err(damaged(behind, "the file ends within a line".into())),
            Rest::Damaged => return Err(damaged(behind, "there are zeros in it".into())),
        };
        last = Some((*number, name.clone(), lines.end as u64, text[batch(&lines)..lines.end].to_vec()));
    }
    let tail = last.zip(chain);
    let tail = tail.map(|((number, name, end, batch), chain)| Tail { number, name, end, chain, batch, unbegun });
    Ok((found, tail))
}

/// The key of a line that fails, if it fails by nothing else.
fn strange(lines: &[&[u8]], at: usize, signer: &Signer) -> Option<String> {
    let line = std::str::from_utf8(lines[at]).ok()?;
    let (receipt, _) = estranged::read(line, signer).filter(|(_, holds)| !holds)?;
    estranged::keys(lines, signer).into_iter().find(|id| *id == receipt.key_id)
}

/// Where the last batch begins: receipts of one batch have one date.
fn batch(lines: &Lines<'_>) -> usize {
    let date = |line: &[u8]| field(std::str::from_utf8(line).unwrap_or_default(), "produced_at").map(String::from);
    let last = lines.whole.last().and_then(|line| date(line));
    let batch = lines.whole.iter().rev().take_while(|line| date(line) == last);
    lines.end - batch.map(|line| line.len() + 1).sum::<usize>()
}

/// The files that hold a receipt, by number.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) files: Vec<(u32, String)>,
    /// How many bytes are in the one that a crash left without a receipt.
    torn_bytes: u64,
    /// The name of that one.
    unbegun: Option<String>,
}

pub(super) fn begun(volume: &dyn Volume) -> Result<Begun, Error> {
    let mut files = files(volume)?;
    let all = |files| Ok(Begun { files, torn_bytes: 0, unbegun: None });
    let Some((_, name)) = files.last() else { return all(files) };
    let text = load(volume, name)?;
    let lines = Lines::of(&text);
    let torn_bytes = match lines.rest {
        Rest::Damaged => return all(files),
        Rest::Nothing => 0,
        Rest::Torn(bytes) => bytes as u64,
    };
    if !lines.whole.is_empty() {
        return all(files);
    }
    let unbegun = files.pop().map(|(_, name)| name);
    Ok(Begun { files, torn_bytes, unbegun })
}

/// The file from which on all are read: it begins before `since`, and before all that a station goes on from.
fn from(volume: &dyn Volume, files: &[(u32, String)], since: Time) -> Result<usize, Error> {
    let (mut from, mut reach) = (files.len().saturating_sub(1), Reach::default());
    while from > 0 {
        let text = load(volume, &files[from].1)?;
        let lines = Lines::of(&text).whole;
        let until = until(volume, files.get(from + 1))?;
        // What is torn or was given up tells of segments that are none, or that are told of again.
        let is_last = |line: &&[u8]| until.as_deref() == Some(&*receipt::link(&String::from_utf8_lossy(line)));
        let count = if until.is_some() { lines.iter().rposition(is_last).map(|at| at + 1) } else { None };
        let reaches = reach.is_within(&lines[..count.unwrap_or(lines.len())]);
        if reaches && begins_before(volume, &files[from].1, since)? {
            break;
        }
        from -= 1;
    }
    Ok(from)
}

fn begins_before(volume: &dyn Volume, name: &str, since: Time) -> Result<bool, Error> {
    let head = head(volume, name)?;
    Ok(field(&head, "produced_at").and_then(Time::parse).is_some_and(|date| date < since))
}

/// Shows the receipts of a ledger that does not hold, newest file first: those whose own signature does, and those that
/// fail by nothing but their key, until `visit` has seen enough of a file that reaches back to `since`. What cannot be
/// read is passed over, with a warning.
pub(super) fn strays(volume: &dyn Volume, signer: &Signer, since: Time, visit: &mut dyn FnMut(&Receipt) -> bool) {
    let unread =
        |why: &Error| volume.warn(&format!("what cannot be read counts for nothing, and numbers may go back: {why}"));
    let files = files(volume).unwrap_or_else(|why| {
        unread(&why);
        Vec::new()
    });
    for (_, name) in files.iter().rev() {
        let text = load(volume, name).unwrap_or_else(|why| {
            unread(&why);
            Vec::new()
        });
        let (mut enough, strange) = (false, estranged::keys(&Lines::of(&text).whole, signer));
        for line in text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            if let Some((receipt, holds)) = estranged::read(line, signer)
                && (holds || strange.contains(&receipt.key_id))
            {
                enough |= visit(&receipt);
            }
        }
        if enough && begins_before(volume, name, since).unwrap_or(false) {
            return;
        }
    }
}

/// The tree over all lines of a ledger, none of which is checked, with the last checkpoint marked; `None` if its first
/// line is not there.
pub(crate) fn tree(volume: &dyn Volume) -> Result<Option<Log>, Error> {
    let files = files(volume)?;
    let mut log = Log::default();
    for (at, (_, name)) in files.iter().enumerate() {
        let text = load(volume, name)?;
        let until = until(volume, files.get(at + 1))?;
        for line in Lines::of(&text).whole {
            let Ok(line) = std::str::from_utf8(line) else { return Ok(None) };
            if log.size() == 0 && !line.contains(receipt::GENESIS) {
                return Ok(None);
            }
            if field(line, "kind") == Some("checkpoint")
                && let Some(date) = field(line, "produced_at").and_then(Time::parse)
            {
                log.mark(date);
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

/// The hash of the last line of a file that counts, where another one, `next`, follows it.
fn until(volume: &dyn Volume, next: Option<&(u32, String)>) -> Result<Option<String>, Error> {
    let head = next.map(|(_, next)| head(volume, next)).transpose()?;
    Ok(head.as_deref().and_then(continues))
}

/// The first lines of a file.
fn head(volume: &dyn Volume, name: &str) -> Result<String, Error> {
    read(volume, name, HEAD_BYTES).map(|head| String::from_utf8_lossy(&head).into_owned())
}

/// The beginning of a file. A process may be short of files for a moment, so there is a second try.
fn read(volume: &dyn Volume, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let what = format!("{} is read", volume.path(name).display());
    twice(volume, &what, || volume.read(name, limit)).map_err(unread(volume, name))
}

/// What a call gives, or the second one where that fails.
pub(super) fn twice<T>(volume: &dyn Volume, what: &str, call: impl Fn() -> Result<T, Fault>) -> Result<T, Fault> {
    call().or_else(|why| {
        volume.warn(&format!("{what} again: {why}"));
        call()
    })
}

/// The first text under this key, as it stands there.
pub fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("\"{key}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// The number under this key of a receipt: in a canonical line, keys stand nowhere else.
pub fn number_in(line: &str, key: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
    rest.split([',', '}']).next()?.parse().ok()
}

/// A whole file.
fn load(volume: &dyn Volume, name: &str) -> Result<Vec<u8>, Error> {
    let text = read(volume, name, READ_BYTES_MAX + 1)?;
    within(&text).map_err(|reason| Error::Damaged { path: volume.path(name), line: 1, reason })?;
    Ok(text)
}

fn unread(volume: &dyn Volume, name: &str) -> impl FnOnce(Fault) -> Error + use<> {
    let path = volume.path(name);
    move |source| Error::Unread { path, source }
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
    let names = twice(volume, "the folder is read", || volume.list()).map_err(unread(volume, ""))?;
    let mut files: Vec<_> = names.into_iter().filter_map(|name| Some((number(&name)?, name))).collect();
    files.sort();
    Ok(files)
}

/// The number of a file of the ledger by its name.
pub fn number(name: &str) -> Option<u32> {
    name.strip_suffix(".jsonl").and_then(|stem| stem.parse().ok())
}

#[cfg(test)]
mod tests;
