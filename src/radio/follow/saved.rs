//! What a mirror keeps over a restart: the last verified records, and how far their lists reached.

use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::Extent;
use crate::radio::{
    quote::{quote, told},
    time::Time,
};

/// The longest state file that is read, in bytes: two records of 10 KiB and some names.
pub const LONGEST: u64 = 64 << 10;
const VERSION: u64 = 1;

/// The content of `state/follow.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The station name that is followed.
    pub station: String,
    /// The stream name, once a root has told it.
    pub stream: Option<String>,
    /// What was verified last under the station name.
    pub root: Option<SavedName>,
    /// What was verified last under the stream name.
    pub list: Option<SavedName>,
}

/// What was verified last under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedName {
    /// The signed record, as it travels.
    pub record: Arc<[u8]>,
    /// From where to where the list reaches.
    pub extent: Extent,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u64,
    station: String,
    stream: Option<String>,
    root: Option<FileName>,
    list: Option<FileName>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileName {
    record: String,
    first: u64,
    last: u64,
    ends: String,
}

impl Saved {
    /// A mirror that has seen nothing yet.
    pub fn new(station: &str) -> Self {
        Self { station: station.into(), stream: None, root: None, list: None }
    }

    /// The text of the file.
    pub fn write(&self) -> String {
        let name = |saved: &SavedName| FileName {
            record: BASE64.encode(&saved.record),
            first: saved.extent.first,
            last: saved.extent.last,
            ends: saved.extent.ends.to_string(),
        };
        let file = File {
            v: VERSION,
            station: self.station.clone(),
            stream: self.stream.clone(),
            root: self.root.as_ref().map(name),
            list: self.list.as_ref().map(name),
        };
        let text = serde_json::to_string_pretty(&file).expect("strings and numbers always have a JSON form");
        format!("{text}\n")
    }

    /// Reads what [`Saved::write`] wrote. The signatures are still to be verified. The error says why not, for people.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(text).map_err(|error| told(&error))?;
        if file.v != VERSION {
            return Err(format!("it is of version {}, this program knows {VERSION}", file.v));
        }
        let name = |file: FileName| -> Result<SavedName, String> {
            let record = BASE64.decode(file.record.as_bytes()).map_err(|error| format!("record: {error}"))?;
            let ends = Time::parse(&file.ends).ok_or_else(|| format!("{:?} is no date", quote(&file.ends)))?;
            Ok(SavedName { record: record.into(), extent: Extent { first: file.first, last: file.last, ends } })
        };
        let (root, list) = (file.root.map(name).transpose()?, file.list.map(name).transpose()?);
        if file.stream.is_none() && list.is_some() {
            return Err("it has a list without a stream name".into());
        }
        Ok(Self { station: file.station, stream: file.stream, root, list })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(byte: u8) -> SavedName {
        let extent = Extent { first: 7, last: 9, ends: Time::from_millis(1_795_252_684_893) };
        SavedName { record: vec![byte; 400].into(), extent }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut saved = Saved::new("k51a");
        assert_eq!(Saved::read(saved.write().as_bytes()).unwrap(), saved);
        saved.root = Some(name(1));
        saved.stream = Some("k51b".into());
        assert_eq!(Saved::read(saved.write().as_bytes()).unwrap(), saved);
        saved.list = Some(name(2));
        assert_eq!(Saved::read(saved.write().as_bytes()).unwrap(), saved);
        assert!((saved.write().len() as u64) < LONGEST);
    }

    #[test]
    fn what_is_damaged_is_refused_in_words() {
        let saved = Saved { stream: Some("k51b".into()), list: Some(name(2)), ..Saved::new("k51a") };
        let text = saved.write();
        for (from, to, words) in [
            ("{", "", "expected"),
            ("\"v\": 1", "\"v\": 2", "version 2"),
            ("AgIC", "A!IC", "record"),
            ("2026-11-21T", "yesterday ", "no date"),
            ("\"stream\": \"k51b\"", "\"stream\": null", "without a stream name"),
            ("\"station\"", "\"state\"", "unknown field"),
        ] {
            assert!(text.contains(from), "{from}");
            let refused = Saved::read(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(refused.contains(words), "{from}: {refused}");
        }
    }
}
