//! `streaming.toml`: how the station is on air.

use std::{net::SocketAddr, path::Path};

use serde::Deserialize;
use toml::Spanned;

use super::{Error, Text, key::Key, read};
use crate::ipfs::{self, Options, options::AMINO};

/// How the station is on air. Only [`Streaming::load`] and [`Streaming::parse`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streaming {
    /// The name shown to listeners, 1 to 100 characters.
    pub name: String,
    /// Nominal segments listed up to and including the one on air, 6 to 1 000.
    pub window_size: u32,
    /// Nominal segments listed after the one on air, 2 to 1 000.
    pub look_ahead: u32,
    /// Whether a settled change in the source folders starts setup.
    pub auto_setup: bool,
    /// How long resolvers may keep an IPNS record, in seconds.
    pub ttl_seconds: u32,
    /// How long an IPNS record is valid, in seconds.
    pub lifetime_seconds: u32,
    /// The shortest time between two publishes of one name, in seconds.
    pub publish_interval_seconds: u32,
    /// Where HTTP listens.
    pub http_listen: SocketAddr,
    /// Whether HTTP gives out the recordings as they are.
    pub publish_originals: bool,
    /// Multiaddrs at which the peer listens.
    pub peer_listen: Vec<String>,
    /// Multiaddrs that the peer announces beside those it finds out.
    pub announce: Vec<String>,
    /// Multiaddrs, each with `/p2p/…`, of the peers that let us into the DHT; empty for none.
    pub bootstrap: Vec<String>,
    /// Base URLs of the routers that take IPNS records by HTTP; empty for none. None is the default where `bootstrap` is
    /// empty.
    pub delegated_routers: Vec<String>,
    /// What happens when the ledger cannot be written.
    pub receipts: Receipts,
    pub(super) retention_hours: u32,
}

/// What happens when the ledger cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipts {
    /// The station plays on and says so.
    BestEffort,
    /// Nothing is put on air without a receipt.
    Required,
}

/// Every key of `streaming.toml`, in the order of the file.
pub const KEYS: &[Key] = &[
    NAME,
    WINDOW_SIZE,
    LOOK_AHEAD,
    RETENTION_HOURS,
    AUTO_SETUP,
    TTL_SECONDS,
    LIFETIME_SECONDS,
    PUBLISH_INTERVAL_SECONDS,
    HTTP_LISTEN,
    PUBLISH_ORIGINALS,
    PEER_LISTEN,
    ANNOUNCE,
    BOOTSTRAP,
    DELEGATED_ROUTERS,
    RECEIPTS,
];

const NAME: Key = Key::words("name", "a text of 1 to 100 characters on one line", "\"ipfs-radio\"");
const WINDOW_SIZE: Key = Key::whole("streaming.window_size", 6, 1_000, "segments", "50");
const LOOK_AHEAD: Key = Key::whole("streaming.look_ahead", 2, 1_000, "segments", "50");
const RETENTION_HOURS: Key = Key::whole("streaming.retention_hours", 1, 87_600, "hours", "24");
const AUTO_SETUP: Key = Key::switch("streaming.auto_setup", "true");
const TTL_SECONDS: Key = Key::whole("ipns.ttl_seconds", 0, 604_800, "seconds", "60");
const LIFETIME_SECONDS: Key = Key::whole("ipns.lifetime_seconds", 1, 31_536_000, "seconds", "7200");
const PUBLISH_INTERVAL_SECONDS: Key = Key::whole("ipns.publish_interval_seconds", 1, 86_400, "seconds", "12");
const HTTP_LISTEN: Key = Key::words("http.listen", "an address and a port", "\"127.0.0.1:8000\"");
const PUBLISH_ORIGINALS: Key = Key::switch("http.publish_originals", "false");
const PEER_LISTEN: Key = Key::words("peer.listen", "a list of at most 64 multiaddrs", DEFAULT_LISTEN);
const ANNOUNCE: Key = Key::words("peer.announce", "a list of at most 64 multiaddrs, [] for none", "[]");
const BOOTSTRAP: Key = Key::words(
    "peer.bootstrap",
    "a list of at most 64 multiaddrs, each with the peer's id at the end (`/p2p/…`), [] for none",
    "[]",
);
const DELEGATED_ROUTERS: Key = Key::words(
    "peer.delegated_routers",
    "a list of at most 64 URLs that begin with https:// or http://, [] for none",
    "[\"https://delegated-ipfs.dev\"]",
);
const RECEIPTS: Key = Key::words("ledger.receipts", "\"best_effort\" or \"required\"", "\"best_effort\"");

const DEFAULT_LISTEN: &str =
    r#"["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1", "/ip6/::/tcp/4001", "/ip6/::/udp/4001/quic-v1"]"#;
const LISTEN: [&str; 4] =
    ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1", "/ip6/::/tcp/4001", "/ip6/::/udp/4001/quic-v1"];

/// Longest list and longest text in the file.
const MOST_ADDRESSES: usize = 64;
const LONGEST_TEXT: usize = 1_024;

impl Default for Streaming {
    fn default() -> Self {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Self {
            name: "ipfs-radio".into(),
            window_size: 50,
            look_ahead: 50,
            auto_setup: true,
            ttl_seconds: 60,
            lifetime_seconds: 7_200,
            publish_interval_seconds: 12,
            http_listen: SocketAddr::from(([127, 0, 0, 1], 8_000)),
            publish_originals: false,
            peer_listen: owned(&LISTEN),
            announce: Vec::new(),
            bootstrap: owned(&AMINO),
            delegated_routers: vec!["https://delegated-ipfs.dev".into()],
            receipts: Receipts::BestEffort,
            retention_hours: 24,
        }
    }
}

impl Streaming {
    /// Reads the file; all defaults if there is none.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::parse(path, &read(path)?)
    }

    /// Reads `text`; `name` is the file that messages name.
    pub fn parse(name: &Path, text: &str) -> Result<Self, Error> {
        let text = Text { name, text };
        let raw: Raw = text.raw(KEYS)?;
        let default = Self::default();
        let (air, ipns, peer) = (raw.streaming, raw.ipns, raw.peer);
        let bootstrap = addresses(text, &BOOTSTRAP, peer.bootstrap, default.bootstrap, |bootstrap| {
            Options::check(&[], &[], bootstrap)
        })?;
        // Who calls no peer does not mean to ask a public router either, unless it is named.
        let routers = if bootstrap.is_empty() { Vec::new() } else { default.delegated_routers };
        Ok(Self {
            name: NAME.checked(text, raw.name, default.name, shown_name)?,
            window_size: WINDOW_SIZE.count(text, air.window_size, default.window_size)?,
            look_ahead: LOOK_AHEAD.count(text, air.look_ahead, default.look_ahead)?,
            retention_hours: RETENTION_HOURS.count(text, air.retention_hours, default.retention_hours)?,
            auto_setup: air.auto_setup.unwrap_or(default.auto_setup),
            ttl_seconds: TTL_SECONDS.count(text, ipns.ttl_seconds, default.ttl_seconds)?,
            lifetime_seconds: LIFETIME_SECONDS.count(text, ipns.lifetime_seconds, default.lifetime_seconds)?,
            publish_interval_seconds: PUBLISH_INTERVAL_SECONDS.count(
                text,
                ipns.publish_interval_seconds,
                default.publish_interval_seconds,
            )?,
            http_listen: HTTP_LISTEN.checked(text, raw.http.listen, default.http_listen, |at| at.parse().ok())?,
            publish_originals: raw.http.publish_originals.unwrap_or(default.publish_originals),
            peer_listen: addresses(text, &PEER_LISTEN, peer.listen, default.peer_listen, |listen| {
                Options::check(listen, &[], &[])
            })?,
            announce: addresses(text, &ANNOUNCE, peer.announce, default.announce, |announce| {
                Options::check(&[], announce, &[])
            })?,
            bootstrap,
            delegated_routers: DELEGATED_ROUTERS.checked(text, peer.delegated_routers, routers, urls)?,
            receipts: RECEIPTS.checked(text, raw.ledger.receipts, default.receipts, |word| receipts(&word))?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Raw {
    name: Option<Spanned<String>>,
    #[serde(default)]
    streaming: RawStreaming,
    #[serde(default)]
    ipns: RawIpns,
    #[serde(default)]
    http: RawHttp,
    #[serde(default)]
    peer: RawPeer,
    #[serde(default)]
    ledger: RawLedger,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawStreaming {
    window_size: Option<Spanned<i64>>,
    look_ahead: Option<Spanned<i64>>,
    retention_hours: Option<Spanned<i64>>,
    auto_setup: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawIpns {
    ttl_seconds: Option<Spanned<i64>>,
    lifetime_seconds: Option<Spanned<i64>>,
    publish_interval_seconds: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawHttp {
    listen: Option<Spanned<String>>,
    publish_originals: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawPeer {
    listen: Option<Spanned<Vec<Spanned<String>>>>,
    announce: Option<Spanned<Vec<Spanned<String>>>>,
    bootstrap: Option<Spanned<Vec<Spanned<String>>>>,
    delegated_routers: Option<Spanned<Vec<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawLedger {
    receipts: Option<Spanned<String>>,
}

fn shown_name(name: String) -> Option<String> {
    let fits = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    (fits && !name.trim().is_empty()).then_some(name)
}

fn receipts(word: &str) -> Option<Receipts> {
    match word {
        "best_effort" => Some(Receipts::BestEffort),
        "required" => Some(Receipts::Required),
        _ => None,
    }
}

/// The addresses, if the peer can use each of them.
fn addresses(
    text: Text<'_>,
    key: &Key,
    raw: Option<Spanned<Vec<Spanned<String>>>>,
    default: Vec<String>,
    check: impl Fn(&[String]) -> Result<Options, ipfs::Error>,
) -> Result<Vec<String>, Error> {
    let listed = key.checked(text, raw, None, |listed| (listed.len() <= MOST_ADDRESSES).then_some(Some(listed)))?;
    let Some(listed) = listed else { return Ok(default) };
    let checked = listed.into_iter().map(|address| {
        let span = address.span();
        let address = [address.into_inner()];
        match check(&address) {
            Ok(_) => Ok(address.concat()),
            Err(ipfs::Error::Option { value, reason, .. }) => {
                Err(text.refuse_because(key, span, &format!("{value:?} {reason}")))
            }
            Err(error) => Err(text.refuse_because(key, span, &error.to_string())),
        }
    });
    checked.collect()
}

/// The list if each text can be a URL.
fn list(texts: Vec<String>, fits: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let usable = |text: &String| text.len() <= LONGEST_TEXT && !text.contains(char::is_whitespace) && fits(text);
    (texts.len() <= MOST_ADDRESSES && texts.iter().all(usable)).then_some(texts)
}

fn urls(texts: Vec<String>) -> Option<Vec<String>> {
    let rest = |text: &str| text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).map(str::len);
    list(texts, |text| rest(text).is_some_and(|length| length > 0))
}
