//! Stations that are good, broken and hostile, and a mirror of each.

mod gathered;
mod network;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use cid::Cid;

use super::*;
use crate::{
    ipfs::dag::{Directory, Entry, File, Part},
    radio::segment::{RAW, cid_of},
};

/// An entry of a directory: its name, what it names, and the blocks of that.
type Extra = (String, Cid, Vec<(Cid, Bytes)>);

/// What a station publishes at one time, to be bent before it is made.
#[derive(Clone, Debug)]
struct Publication {
    station: String,
    stream: String,
    /// The number of the first segment.
    first: u64,
    segments: Vec<(Cid, Bytes)>,
    /// The text of the list; made from the segments if there is none.
    list: Option<String>,
    station_json: Option<String>,
    /// Segments that are on the list and not in `ipfs/`.
    left_out: usize,
    /// Further entries of the root.
    further: Vec<Extra>,
    /// Further entries of `ipfs/`.
    inside: Vec<Extra>,
    without: Option<&'static str>,
}

/// It as blocks.
struct Made {
    root: Cid,
    list: Cid,
    text: String,
    blocks: Vec<(Cid, Bytes)>,
}

fn raw(bytes: impl Into<Bytes>) -> (Cid, Bytes) {
    let bytes = bytes.into();
    (cid_of(RAW, &bytes), bytes)
}

fn segment(number: u64) -> (Cid, Bytes) {
    raw([number.to_be_bytes().as_slice(), &[0x47; 2_000]].concat())
}

impl Publication {
    fn new(station: &str, stream: &str, first: u64) -> Self {
        Self {
            station: station.into(),
            stream: stream.into(),
            first,
            segments: (first..first + 8).map(segment).collect(),
            list: None,
            station_json: None,
            left_out: 0,
            further: Vec::new(),
            inside: Vec::new(),
            without: None,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:6\n#EXT-X-SERVER-CONTROL:HOLD-BACK=36.000\n\
             #EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
            self.first, self.first
        );
        for (place, (cid, _)) in self.segments.iter().enumerate() {
            let starts = Time::from_millis(1_795_252_684_000 + (self.first + place as u64) * 6_000);
            text += &format!("#EXT-X-PROGRAM-DATE-TIME:{starts}\n#EXTINF:6.000000,x\n/ipfs/{cid}?filename=s.mpegts\n");
        }
        text
    }

    fn make(&self) -> Made {
        let text = self.list.clone().unwrap_or_else(|| self.text());
        let list = raw(text.clone());
        let about = self.station_json.clone().unwrap_or_else(|| {
            serde_json::json!({
                "name": "Radio", "stream": self.stream, "station": self.station, "peer": "12D3KooW", "epoch": 1,
            })
            .to_string()
        });
        let about = raw(about);
        let page = raw("<!doctype html>");
        let mut blocks = vec![list.clone(), about.clone(), page.clone()];
        let entry = |name: &str, cid: Cid, bytes: usize| Entry { name: name.into(), cid, tsize: bytes as u64 };
        let mut inside: Vec<Entry> = Vec::new();
        for (cid, bytes) in self.segments.iter().skip(self.left_out) {
            inside.push(entry(&cid.to_string(), *cid, bytes.len()));
        }
        for (name, cid, more) in &self.inside {
            inside.push(entry(name, *cid, 1));
            blocks.extend(more.clone());
        }
        blocks.extend(self.segments.clone());
        let folder = Directory::new(inside).unwrap().encode().unwrap();
        let mut entries = vec![
            entry("live.m3u8", list.0, text.len()),
            entry("station.json", about.0, about.1.len()),
            entry("index.html", page.0, page.1.len()),
            Entry { name: "ipfs".into(), cid: folder.cid, tsize: folder.tsize },
        ];
        for (name, cid, more) in &self.further {
            entries.push(entry(name, *cid, 1));
            blocks.extend(more.clone());
        }
        entries.retain(|entry| self.without != Some(entry.name.as_str()));
        let root = Directory::new(entries).unwrap().encode().unwrap();
        blocks.push((folder.cid, folder.bytes));
        blocks.push((root.cid, root.bytes));
        Made { root: root.cid, list: list.0, text, blocks }
    }
}

/// A network in memory that counts what it is asked for.
#[derive(Clone, Debug, Default)]
struct Shop {
    inner: Arc<Mutex<Stock>>,
}

#[derive(Debug, Default)]
struct Stock {
    blocks: HashMap<Cid, Bytes>,
    asked: Vec<Cid>,
}

impl Shop {
    fn locked<T>(&self, work: impl FnOnce(&mut Stock) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stock(&self, blocks: &[(Cid, Bytes)]) {
        self.locked(|stock| stock.blocks.extend(blocks.iter().cloned()));
    }

    /// What it was asked for since the last look.
    fn asked(&self) -> Vec<Cid> {
        self.locked(|stock| std::mem::take(&mut stock.asked))
    }
}

impl gather::Network for Shop {
    async fn fetch(&self, cids: &[Cid], _: Duration) -> Result<Vec<(Cid, Bytes)>, crate::ipfs::Error> {
        Ok(self.locked(|stock| {
            stock.asked.extend(cids);
            cids.iter().filter_map(|cid| Some((*cid, stock.blocks.get(cid)?.clone()))).collect()
        }))
    }
}

/// A file of two blocks, as the coarse list has them, over segments that are there anyway.
fn group(segments: &[(Cid, Bytes)]) -> (Cid, Bytes) {
    let parts = segments.iter().map(|(cid, bytes)| Part { cid: *cid, bytes: bytes.len() as u64 }).collect();
    let node = File::Parts(parts).encode().unwrap();
    (node.cid, node.bytes)
}
