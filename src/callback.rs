//! Tells another program of each recording that was made: its `meta.json`, by PATCH, signed, at least once.
//!
//! What is to be told lies in a folder, so that neither a crash nor a receiver that is away loses it. A file there is one
//! delivery, and its name is the idempotency key: a receiver that gets one twice knows.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, UNIX_EPOCH},
};

use hyper::Uri;

use crate::{
    clock,
    disk::{self, Disk, Layout},
    radio::{
        ir1,
        manifest::{Meta, meta},
        segment::short_name,
    },
};

pub use send::Sender;

mod guard;
mod round;
mod send;

/// Deliveries that may wait; what comes beyond is not told.
const WAITING_MAX: usize = 50_000;
/// Bytes of the secret.
const SECRET_BYTES: usize = 32;
/// Longest file of the secret that is read, in bytes.
const SECRET_FILE_MAX: u64 = 1 << 10;

/// Where deliveries go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Uri,
    /// Whether plain HTTP and addresses of private networks are allowed.
    private: bool,
}

impl Target {
    /// `https://host[:port]/path`, without a query; `http://` as well where `private`. Nothing where it is not that.
    pub fn new(url: &str, private: bool) -> Option<Self> {
        let is_whole = !url.contains('#');
        let url: Uri = url.parse().ok()?;
        let path = url.path();
        let authority = url.authority()?;
        // What is behind the host is a port that there is, or it would be another one that is called.
        let behind = authority.as_str().strip_prefix(authority.host());
        let has_port = authority.port_u16().is_some_and(|port| port > 0);
        let plain = is_whole
            && (behind == Some("") || has_port)
            && url.query().is_none()
            && !url.authority()?.as_str().contains('@')
            && !path.contains("//")
            && !path.split('/').any(|part| part == "." || part == "..");
        let scheme = url.scheme_str()?;
        let fits = scheme == "https" || (private && scheme == "http");
        (plain && fits && (private || guard::may_be_public(url.host()?))).then_some(Self { url, private })
    }
}

/// What was not delivered yet.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    disk: Disk,
    /// How many more may wait; what was delivered since it was opened leaves it as it is.
    room: AtomicUsize,
}

impl Outbox {
    /// That of a station.
    pub fn of(layout: &Layout, disk: Disk) -> Self {
        let folder = layout.callbacks();
        let waiting = fs::read_dir(&folder).map_or(0, Iterator::count);
        Self { folder, disk, room: AtomicUsize::new(WAITING_MAX.saturating_sub(waiting)) }
    }

    /// Puts what is known of an item where it is delivered from. What lies there already is not put again.
    pub fn put(&self, meta: &Meta) -> disk::Result<()> {
        let bytes = meta.to_bytes();
        self.disk.create_folder(&self.folder)?;
        let path = self.path(&short_name(&bytes));
        if path.exists() {
            return Ok(());
        }
        let less = |room: usize| room.checked_sub(1);
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            tracing::warn!(id = meta.id, "{WAITING_MAX} callbacks wait for their receiver: this one is left out");
            return Ok(());
        }
        self.disk.replace(&path, &bytes)
    }

    /// The keys of what waits, the oldest first.
    pub fn waiting(&self) -> disk::Result<Vec<String>> {
        let mut keys = Vec::new();
        disk::list(&self.folder, |name, _| {
            keys.extend(name.strip_suffix(".json").filter(|key| key.len() == 32).map(str::to_owned));
        })?;
        keys.sort_by_cached_key(|key| {
            (fs::metadata(self.path(key)).and_then(|file| file.modified()).ok(), key.clone())
        });
        Ok(keys)
    }

    fn body(&self, key: &str) -> disk::Result<Option<Vec<u8>>> {
        disk::read_if_there(&self.path(key), meta::LONGEST)
    }

    fn done(&self, key: &str) -> disk::Result<()> {
        self.disk.remove(&self.path(key))
    }

    /// For how long a delivery waits, by the wall clock.
    fn age(&self, key: &str) -> Option<Duration> {
        let put = fs::metadata(self.path(key)).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Duration::from_micros(clock::wall().0).checked_sub(put)
    }

    /// The item that a delivery tells of, as far as it can be read.
    fn item(&self, key: &str) -> Option<String> {
        Meta::parse(&self.body(key).ok()??).ok().map(|meta| meta.id)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.json"))
    }
}

/// What signs deliveries. Its receiver knows it as well.
#[derive(Clone)]
pub struct Secret {
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The file does not hold one.
    #[error("{} is not 64 hex digits: restore it, or remove it to have another one made", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

impl Secret {
    /// Reads the secret of a station, and makes one where there is none.
    pub fn load(layout: &Layout) -> Result<Self, Error> {
        let path = layout.callback_key();
        if let Some(text) = disk::read_if_there(&path, SECRET_FILE_MAX)? {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim_ascii()).ok();
            let bytes = bytes.filter(|bytes| bytes.len() == SECRET_BYTES).ok_or(Error::Secret { path })?;
            return Ok(Self { bytes });
        }
        let mut bytes = vec![0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(Error::Random)?;
        layout.create_keys()?;
        let text = format!("{}\n", data_encoding::HEXLOWER.encode(&bytes));
        disk::create_private(&path, text.as_bytes())?;
        Ok(Self { bytes })
    }

    /// What the receiver calls it.
    pub fn id(&self) -> String {
        ir1::key_id(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_that_there_is() {
        for port in ["", ":1", ":8443", ":65535"] {
            assert!(Target::new(&format!("https://example.org{port}/made"), false).is_some(), "{port}");
        }
        for port in [":", ":0", ":65536", ":99999", ":abc", ":-1"] {
            assert!(Target::new(&format!("https://example.org{port}/made"), false).is_none(), "{port}");
        }
        assert!(Target::new("https://[2606:4700::1111]:8443/made", false).is_some());
        assert!(Target::new("https://example.org/made#there", false).is_none());
    }

    #[test]
    fn only_https_to_public_hosts_is_taken_unless_private_ones_are_allowed() {
        for url in ["https://example.org/hook", "https://example.org:8443/a/b", "https://203.0.114.7/"] {
            assert!(Target::new(url, false).is_some() && Target::new(url, true).is_some(), "{url}");
        }
        for url in [
            "http://example.org/",
            "http://127.0.0.1:9/x",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://10.1.2.3/",
            "https://localhost/",
            "https://[::ffff:192.168.0.1]/",
        ] {
            assert!(Target::new(url, false).is_none() && Target::new(url, true).is_some(), "{url}");
        }
        for url in [
            "",
            "example.org",
            "ftp://example.org/",
            "https://a@example.org/",
            "https://e.org/?a=b",
            "https://e.org//x",
            "https://e.org/../x",
        ] {
            assert!(Target::new(url, true).is_none(), "{url}");
        }
    }
}
