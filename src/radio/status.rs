//! What the station tells about itself while it is on air (contract §7): the snapshot that HTTP serves.

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::{metrics::Ledgered, segment::Kind};

/// An item on air or about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Airing {
    /// Its title.
    pub title: String,
    /// Its artist; empty where unknown.
    pub artist: String,
    /// Track, jingle or filler.
    pub kind: Kind,
    /// Its picture: `/ipfs/<cid>`, which a gateway or the root's folder has; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cover: Option<String>,
    /// RFC 3339, UTC, milliseconds.
    pub starts: String,
    /// RFC 3339, UTC, milliseconds.
    pub ends: String,
}

/// The last successful put of an IPNS record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastPublish {
    /// The sequence of the record.
    pub sequence: u64,
    /// When it was done, RFC 3339.
    pub at: String,
    /// How long the put took.
    pub seconds: f64,
    /// Who took it first: `dht`, or the URL of a router.
    pub by: String,
}

/// An address of the peer and what speaks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// A multiaddr that ends in the peer id.
    pub address: String,
    /// `announced`, `mapped`, `relayed`, `called` or `refused`.
    pub proof: String,
}

/// How far the world knows of the blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Blocks that the DHT has been told of.
    pub done: u64,
    /// Blocks that wait for it.
    pub waiting: u64,
    /// Segments of the list of which the DHT was told before they aired.
    pub in_time: u64,
    /// Segments of the list that aired before.
    pub late: u64,
}

/// A name as others see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NameSeen {
    /// The sequence of the last record that was put.
    pub published: Option<u64>,
    /// The sequence that was last read back from others.
    pub seen: Option<u64>,
    /// How much older the record seen was than the last one put at that time, in seconds.
    pub behind_seconds: Option<f64>,
    /// When it was read back, RFC 3339.
    pub at: Option<String>,
}

/// A router that is asked over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouterSeen {
    /// Its base URL.
    pub url: String,
    /// `not asked yet`, `ok`, or why it did not take the last record.
    pub state: String,
}

/// How the peer stands in the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Network {
    /// Whether others can find it: `yes`, `claimed`, `relayed`; or why not: `no_address`, `no_peer`, `refused`, `not_told`.
    pub state: String,
    /// The same in words, with what to do.
    pub advice: String,
    /// The addresses that others are told.
    pub reach: Vec<Reached>,
    /// Connected peers.
    pub peers: u64,
    /// Those of them that serve the DHT.
    pub dht_peers: u64,
    /// How far the world knows of the blocks.
    pub told: Told,
    /// The station name.
    pub station: NameSeen,
    /// The stream name.
    pub stream: NameSeen,
    /// The routers that take records.
    pub routers: Vec<RouterSeen>,
}

/// How the dates on air stand to the wall clock, in milliseconds, to the nearest tenth of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skew {
    /// How far the dates of what is on air are ahead; negative when behind.
    pub pdt_skew_ms: i64,
    /// How far those are ahead of what is listed next.
    pub next_pdt_skew_ms: i64,
}

/// A rung of the ladder beside the default one, as its list is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RungShown {
    /// In bits per second.
    pub bitrate: u32,
    /// Listed segments.
    pub segments: u64,
    /// Those of them for which the default rendition stands in, because they have none of this bit rate.
    pub stood_in: u64,
}

/// How far setup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetupProgress {
    /// `off`, `idle`, `running`, `done`, `partial` or `failed`.
    pub state: String,
    /// Items ready.
    pub done: u64,
    /// Items wanted.
    pub total: u64,
}

/// What a mirror has of the station that it follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mirroring {
    /// `live`; `quiet`: nothing new for a while; `expired`: a record is over and its last verified state is served;
    /// `run_out`: the list is over.
    pub state: String,
    /// The sequence of the station name's record.
    pub station_sequence: u64,
    /// When that record expires, RFC 3339.
    pub station_expires: String,
    /// The sequence of the stream name's record.
    pub stream_sequence: u64,
    /// When that record expires, RFC 3339.
    pub stream_expires: String,
    /// When the network last gave a record of the stream name, RFC 3339.
    pub answered: Option<String>,
    /// When the last segment that is here has aired, RFC 3339.
    pub list_ends: String,
    /// Blocks that are kept.
    pub blocks: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// The answer to `/status.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The station name `k51…`: the root directory.
    pub station: String,
    /// The stream name `k51…`: the live list.
    pub stream: String,
    /// The peer id.
    pub peer: String,
    /// Where the peer listens.
    pub addresses: Vec<String>,
    /// URLs at which the station can be heard.
    pub gateways: Vec<String>,
    /// Whether other peers can find this node.
    pub findable: bool,
    /// How it stands in the network.
    pub network: Network,
    /// The media sequence of the segment on air.
    pub media_sequence: u64,
    /// On air.
    pub now: Option<Airing>,
    /// On air after it.
    pub next: Option<Airing>,
    /// The rungs beside the default one; a station without a ladder and a mirror have no such key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<RungShown>,
    /// How old a list may be without being heard, in seconds.
    pub tolerated_staleness_seconds: f64,
    /// How old a list is expected to be on public gateways, in seconds.
    pub needed_staleness_seconds: f64,
    /// The last IPNS record that was put.
    pub last_publish: Option<LastPublish>,
    /// How its dates stand to the wall clock; a mirror has no such key, for they are not its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Skew>,
    /// How far setup is.
    pub setup: SetupProgress,
    /// What a mirror has of the station that it follows; a station has no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirroring>,
    /// `ok`, or the reason why not.
    pub health: String,
}

/// Everything the listener port needs to know about the air at one moment.
#[derive(Clone, Debug)]
pub struct OnAir {
    /// The text of `live.m3u8`, byte for byte.
    pub list: String,
    /// The raw block that holds it: what the stream name points to.
    pub list_cid: Cid,
    /// The UnixFS directory that the station name points to.
    pub root_cid: Cid,
    /// The text of `now.json`.
    pub now_json: String,
    /// The answer to `/status.json`.
    pub status: Status,
    /// What is known of the ledger; `None` where none is written.
    pub ledger: Option<Ledgered>,
}
