//! Where everything lies (contract §1).

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{Disk, Error, Result};

/// No wish for an epoch is longer, in bytes.
const EPOCH_BYTES_MAX: u64 = 64;

/// A station's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

/// A folder of encoded items: `processed/`, or the generator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

impl Layout {
    /// The station in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the recordings are and how they are encoded.
    pub fn setup_toml(&self) -> PathBuf {
        self.dir.join("setup.toml")
    }

    /// How the station is on air.
    pub fn streaming_toml(&self) -> PathBuf {
        self.dir.join("streaming.toml")
    }

    /// What setup makes and the streamer airs.
    pub fn processed(&self) -> Store {
        Store { root: self.dir.join("processed") }
    }

    /// The built-in generator's rendered pieces.
    pub fn generated(&self) -> Store {
        Store { root: self.state().join("generated") }
    }

    /// Everything that is this node's own.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Makes `state/`, for nobody else to read.
    pub fn create_state(&self) -> Result<PathBuf> {
        create_private_folder(&self.state())
    }

    /// Makes `state/keys/`, for nobody else to read.
    pub fn create_keys(&self) -> Result<PathBuf> {
        self.create_state()?;
        create_private_folder(&self.keys())
    }

    /// Says that `setup --new-epoch` has changed segment duration or rate: the next start begins another epoch.
    pub fn new_epoch(&self) -> PathBuf {
        self.state().join("new-epoch")
    }

    /// Asks the next start for an epoch with segments of so many seconds at so many samples per second.
    pub fn ask_for_epoch(&self, seconds: u32, rate: u32) -> Result<()> {
        super::replace(&self.new_epoch(), format!("{seconds} {rate}\n").as_bytes())
    }

    /// Seconds and samples per second of the epoch that was asked for last, if any was.
    pub fn asked_epoch(&self) -> Option<(u32, u32)> {
        let text = super::read_if_there(&self.new_epoch(), EPOCH_BYTES_MAX).ok()??;
        let (seconds, rate) = std::str::from_utf8(&text).ok()?.trim_end().split_once(' ')?;
        Some((seconds.parse().ok()?, rate.parse().ok()?))
    }

    /// Says that an operator wants the dates on air to be those of the wall clock; goes when they are.
    pub fn reanchor(&self) -> PathBuf {
        self.state().join("reanchor")
    }

    /// The lock of a node that runs.
    pub fn state_lock(&self) -> PathBuf {
        self.state().join(".lock")
    }

    /// The folder of the private keys.
    pub fn keys(&self) -> PathBuf {
        self.state().join("keys")
    }

    /// The key of the peer.
    pub fn peer_key(&self) -> PathBuf {
        self.keys().join("peer.key")
    }

    /// The key of the stream name.
    pub fn stream_key(&self) -> PathBuf {
        self.keys().join("stream.key")
    }

    /// The key of the station name.
    pub fn station_key(&self) -> PathBuf {
        self.keys().join("station.key")
    }

    /// The keys that sign receipts.
    pub fn receipt_keys(&self) -> PathBuf {
        self.keys().join("receipts.toml")
    }

    /// The secret that signs callbacks.
    pub fn callback_key(&self) -> PathBuf {
        self.keys().join("callback.key")
    }

    /// The folder of the callbacks that were not delivered yet.
    pub fn callbacks(&self) -> PathBuf {
        self.state().join("callbacks")
    }

    /// The folder of the receipts.
    pub fn ledger(&self) -> PathBuf {
        self.state().join("ledger")
    }

    /// The block store.
    pub fn repo(&self) -> PathBuf {
        self.state().join("ipfs")
    }

    /// Which blocks a start has found in the block store and keeps for a while.
    pub fn adopted(&self) -> PathBuf {
        self.state().join("adopted.json")
    }

    /// Room that is held for when the disk is full.
    pub fn ballast(&self) -> PathBuf {
        self.state().join("ballast")
    }

    /// What a mirror has verified last; only a mirror has it.
    pub fn follow(&self) -> PathBuf {
        self.state().join("follow.json")
    }

    /// The last running order that was accepted.
    pub fn accepted_order(&self) -> PathBuf {
        self.state().join("order.m3u")
    }

    /// What setup knows of the files it has read.
    pub fn stat_cache(&self) -> PathBuf {
        self.state().join("stat-cache.json")
    }

    /// Deletes what a node before has left half written in `state/` and among the keys; for who holds its lock. What cannot
    /// be deleted stays: nothing depends on it.
    pub fn sweep_state(&self) {
        let own = [self.accepted_order(), self.sequence_state(), self.health(), self.adopted(), self.follow()];
        let keys = [self.peer_key(), self.stream_key(), self.station_key(), self.callback_key()];
        let swept = own.iter().chain(&keys).map(|path| super::sweep_beside(path));
        swept.filter_map(Result::err).for_each(|error| tracing::warn!(%error, "half written files stay"));
    }

    /// A projection for operators.
    pub fn health(&self) -> PathBuf {
        self.state().join("health.json")
    }

    /// A projection for operators.
    pub fn sequence_state(&self) -> PathBuf {
        self.state().join("sequence_state.json")
    }
}

impl Store {
    /// Items in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The lock of who writes here.
    pub fn lock(&self) -> PathBuf {
        self.root.join(".lock")
    }

    /// The index.
    pub fn manifest(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    /// The running order that airs.
    pub fn playlist(&self) -> PathBuf {
        self.root.join("playlist.m3u")
    }

    /// The running order that setup would write.
    pub fn generated_order(&self) -> PathBuf {
        self.root.join("playlist.generated.m3u")
    }

    /// What is not needed any more, and since when.
    pub fn retired(&self) -> PathBuf {
        self.root.join("retired.json")
    }

    /// The folder of the segments.
    pub fn chunks(&self) -> PathBuf {
        self.root.join("chunks")
    }

    /// A segment by its short name.
    pub fn chunk(&self, name: &str) -> PathBuf {
        self.chunks().join(format!("{name}.ts"))
    }

    /// The folder of the items.
    pub fn items(&self) -> PathBuf {
        self.root.join("tracks").join("audio")
    }

    /// The folder of one item.
    pub fn item(&self, id: &str) -> PathBuf {
        self.items().join(id)
    }

    /// What is known of an item, with all its segments.
    pub fn meta(&self, id: &str) -> PathBuf {
        self.item(id).join("meta.json")
    }

    /// The picture of an item.
    pub fn cover(&self, id: &str) -> PathBuf {
        self.item(id).join("cover")
    }

    /// What an item sounds like.
    pub fn fingerprint(&self, id: &str) -> PathBuf {
        self.item(id).join("fingerprint")
    }

    /// The folder of an item's VOD lists.
    pub fn streams(&self, id: &str) -> PathBuf {
        self.item(id).join("stream")
    }

    /// One VOD list of an item.
    pub fn stream(&self, id: &str, name: &str) -> PathBuf {
        self.streams(id).join(format!("{name}.m3u8"))
    }
}

/// Makes a folder, for nobody else to read.
pub fn create_private_folder(folder: &Path) -> Result<PathBuf> {
    let missing = super::missing(folder);
    let create = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    };
    create().map_err(Error::io("create", folder))?;
    let disk = Disk::default();
    missing.into_iter().try_for_each(|made| disk.sync_folder(super::parent(made)))?;
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        fs::create_dir(layout.state()).unwrap();
        fs::set_permissions(layout.state(), fs::Permissions::from_mode(0o755)).unwrap();
        for made in [layout.create_state().unwrap(), layout.create_keys().unwrap()] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn an_epoch_is_asked_for_in_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        layout.create_state().unwrap();
        assert_eq!(layout.asked_epoch(), None);
        layout.ask_for_epoch(2, 48_000).unwrap();
        assert_eq!(layout.asked_epoch(), Some((2, 48_000)));
        fs::write(layout.new_epoch(), "soon").unwrap();
        assert_eq!(layout.asked_epoch(), None);
    }

    #[test]
    fn what_a_node_left_half_written_goes_and_what_others_write_stays() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let state = layout.create_state().unwrap();
        let own = ["order.m3u", "sequence_state.json", "health.json", "adopted.json", "follow.json"];
        for name in own.into_iter().chain(["stat-cache.json"]) {
            fs::write(state.join(format!(".tmp-1-0-{name}")), "half").unwrap();
            fs::write(state.join(name), "whole").unwrap();
        }
        let keys = layout.create_keys().unwrap();
        let halves = ["peer.key", "callback.key"].map(|name| keys.join(format!(".tmp-1-0-{name}")));
        halves.iter().for_each(|half| fs::write(half, "half").unwrap());
        layout.sweep_state();
        assert!(!halves.iter().any(|half| half.exists()), "secrets in halves");
        for name in own {
            assert!(!state.join(format!(".tmp-1-0-{name}")).exists() && state.join(name).exists(), "{name}");
        }
        assert!(state.join(".tmp-1-0-stat-cache.json").exists(), "setup writes it beside a node");
    }

    #[test]
    fn lies_where_the_contract_says() {
        let layout = Layout::new("/s");
        let store = layout.processed();
        for (path, expected) in [
            (store.lock(), "/s/processed/.lock"),
            (store.chunk("ab"), "/s/processed/chunks/ab.ts"),
            (store.meta("cd"), "/s/processed/tracks/audio/cd/meta.json"),
            (store.stream("cd", "ef"), "/s/processed/tracks/audio/cd/stream/ef.m3u8"),
            (layout.generated().manifest(), "/s/state/generated/manifest.json"),
            (layout.receipt_keys(), "/s/state/keys/receipts.toml"),
            (layout.accepted_order(), "/s/state/order.m3u"),
        ] {
            assert_eq!(path, Path::new(expected));
        }
    }
}
