//! Who the station is: three private keys and the secret that signs receipts. Created once, never overwritten.

use std::{fs, path::Path};

use anyhow::{Context, bail, ensure};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::{
    clock, disk,
    ipfs::Key,
    radio::{receipt::SigningKey, time::Time},
};

const KEYS: [&str; 3] = ["peer", "stream", "station"];
const SECRETS: &str = "receipts.toml";
const SECRETS_BYTES_MAX: u64 = 64 << 10;
/// Where an import puts the keys together before they become those of the station.
const IMPORTING: &str = ".tmp-keys";
/// Held while a key is made.
const ROTATING: &str = ".lock";
/// The first key of a station.
const FIRST: &str = "r1";

/// The keys of a station.
#[derive(Debug)]
pub struct Identity {
    /// The node's own.
    pub peer: Key,
    /// Signs the name of the live list.
    pub stream: Key,
    /// Signs the name of the root directory.
    pub station: Key,
    /// Sign and verify receipts; the first one signs.
    pub receipts: Vec<SigningKey>,
    /// When the first of these was made: the station was not on air before.
    pub since: Time,
}

/// One master secret of receipts, as `receipts.toml` keeps it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    id: String,
    secret: String,
    state: State,
    created: String,
    /// See [`SigningKey::check`]; files of earlier builds have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Signs all new receipts.
    Active,
    /// Was followed by another one.
    VerifyOnly,
    /// The same, because others may have it: it hands over to the active key, and signs nothing else.
    Revoked,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secrets {
    key: Vec<Secret>,
}

/// Everything that must not be lost, in one file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    peer: String,
    stream: String,
    station: String,
    receipts: Secrets,
}

impl Identity {
    /// The file of the keys that sign receipts.
    pub const RECEIPT_KEYS: &str = SECRETS;

    /// Loads the keys in `dir`. With `may_create` missing ones are made; a station that has a ledger must not lose
    /// its keys silently, so there it is an error that says what to do.
    pub fn load(dir: &Path, may_create: bool) -> anyhow::Result<Self> {
        let key = |name: &str| {
            Key::load_or_create(&dir.join(format!("{name}.key")), may_create).with_context(|| {
                format!(
                    "the {name} key cannot be used; if it was ever there, restore it with `ipfs-radio key import FILE`"
                )
            })
        };
        let [peer, stream, station] = KEYS.map(key);
        let receipts = receipts(dir, may_create)
            .context("the receipts cannot be signed; restore their keys with `ipfs-radio key import FILE`");
        let (receipts, since) = receipts?;
        Ok(Self { peer: peer?, stream: stream?, station: station?, receipts, since })
    }

    /// Deletes secrets that a killed process left half written; for who holds the lock of the state. Not while somebody writes
    /// some: only where there are whole ones can they be rotated.
    pub fn sweep(dir: &Path) {
        let whole = dir.join(SECRETS);
        let rotating = whole.exists().then(|| disk::Lock::take(&dir.join(ROTATING))).transpose();
        if let Err(error) = rotating.and_then(|_lock| disk::sweep_beside(&whole)) {
            tracing::warn!(%error, "half written secrets stay");
        }
    }

    /// The keys that sign and verify the receipts of a station; none where there is no file of them.
    pub fn receipt_keys(dir: &Path) -> anyhow::Result<Vec<SigningKey>> {
        let signing = |secrets| {
            signing(&secrets).with_context(|| {
                format!("{} cannot be used; restore it from `key export`", dir.join(SECRETS).display())
            })
        };
        secrets(dir)?.map_or_else(|| Ok(Vec::new()), signing)
    }

    /// Makes a new key that signs receipts from now on. The one before stays, for what it has signed. A station that is
    /// on air takes the new key with its next receipt. Gives the ids of the old key and of the new one.
    pub fn rotate(dir: &Path) -> anyhow::Result<(String, String)> {
        let none = "there are no receipt keys yet: start the station once";
        ensure!(dir.join(SECRETS).exists(), none);
        let _lock = disk::Lock::take(&dir.join(ROTATING))?;
        let mut all = checked(secrets(dir)?.context(none)?)?;
        let old = signing(&all)?.first().map(|key| key.id().to_owned()).unwrap_or_default();
        let number = |key: &Secret| key.id.strip_prefix('r').and_then(|number| number.parse::<u64>().ok());
        let id = format!("r{}", all.key.iter().filter_map(number).max().unwrap_or(0) + 1);
        all.key.iter_mut().filter(|key| key.state == State::Active).for_each(|key| key.state = State::VerifyOnly);
        all.key.push(fresh(&id)?);
        let (path, beside) = (dir.join(SECRETS), dir.join(format!(".tmp-{SECRETS}")));
        disk::Disk::default().remove(&beside)?;
        disk::create_private(&beside, toml::to_string(&all)?.as_bytes())?;
        fs::rename(&beside, &path).with_context(|| format!("{} cannot be replaced", path.display()))?;
        disk::Disk::default().sync_folder(dir)?;
        Ok((old, id))
    }

    /// The backup of the keys in `dir`: text that [`Identity::import`] takes.
    pub fn export(dir: &Path) -> anyhow::Result<String> {
        let read = |name: &str| -> anyhow::Result<String> {
            let path = dir.join(format!("{name}.key"));
            Ok(BASE64.encode(&fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?))
        };
        let receipts = secrets(dir)?.context("there are no receipt keys yet: start the station once")?;
        let backup = Backup { peer: read("peer")?, stream: read("stream")?, station: read("station")?, receipts };
        Ok(format!(
            "# The private keys of an ipfs-radio station. Whoever has them is the station: keep this file secret.\n{}",
            toml::to_string(&backup)?
        ))
    }

    /// Puts the keys of a backup into `dir`: all of them or none. What is there already is never overwritten.
    pub fn import(dir: &Path, text: &str) -> anyhow::Result<()> {
        // The error of the parser would quote a private key.
        let backup: Backup =
            toml::from_str(text).map_err(|_| anyhow::anyhow!("this is not a backup made by `key export`"))?;
        let keys = backup.keys()?;
        let receipts = checked(backup.receipts)?;
        for name in keys.iter().map(|(name, _)| name.as_str()).chain([SECRETS]) {
            let path = dir.join(name);
            if path.exists() {
                bail!("{} is there already and is not overwritten; move it away first", path.display());
            }
        }
        let beside = dir.with_file_name(IMPORTING);
        disk::Disk::default().remove_folder(&beside)?;
        let placed = place(&keys, &receipts, &beside, dir);
        disk::Disk::default().remove_folder(&beside)?;
        placed
    }
}

/// Writes the keys into a folder of their own, which then takes the place of the empty one.
fn place(keys: &[(String, Vec<u8>)], secrets: &Secrets, beside: &Path, dir: &Path) -> anyhow::Result<()> {
    disk::create_private_folder(beside)?;
    for (name, bytes) in keys {
        disk::create_private(&beside.join(name), bytes)?;
    }
    save(beside, secrets)?;
    disk::sweep(dir)?;
    fs::rename(beside, dir)
        .with_context(|| format!("the keys cannot become {}; move away what is in it", dir.display()))?;
    Ok(disk::Disk::default().sync_folder(dir.parent().unwrap_or(dir))?)
}

impl Backup {
    /// File names and checked bytes of the private keys.
    fn keys(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let keys = KEYS.into_iter().zip([&self.peer, &self.stream, &self.station]);
        let checked = keys.map(|(name, encoded)| {
            let bytes = BASE64.decode(encoded.as_bytes()).with_context(|| format!("the {name} key is damaged"))?;
            Key::from_protobuf(&bytes).map_err(|error| anyhow::anyhow!("the {name} key is damaged: {error}"))?;
            Ok((format!("{name}.key"), bytes))
        });
        checked.collect()
    }
}

fn receipts(dir: &Path, may_create: bool) -> anyhow::Result<(Vec<SigningKey>, Time)> {
    let secrets = match secrets(dir)? {
        Some(secrets) => secrets,
        None if may_create => {
            let made = Secrets { key: vec![fresh(FIRST)?] };
            save(dir, &made)?;
            made
        }
        None => bail!("{} is missing", dir.join(SECRETS).display()),
    };
    let keys = signing(&secrets).with_context(|| format!("{} cannot be used", dir.join(SECRETS).display()))?;
    let made = secrets.key.iter().filter_map(|key| Time::parse(&key.created)).min();
    Ok((keys, made.unwrap_or_default()))
}

/// The keys by which receipts may be signed or checked; the first one signs. A receipt of a revoked key was signed before
/// it was revoked, or the chain tells otherwise.
fn signing(secrets: &Secrets) -> anyhow::Result<Vec<SigningKey>> {
    let mut keys: Vec<_> = secrets.key.iter().collect();
    keys.sort_by_key(|key| key.state != State::Active);
    ensure!(keys.first().is_some_and(|key| key.state == State::Active), "{SECRETS} has no active key");
    keys.into_iter().map(Secret::derive).collect()
}

/// The same secrets with the check value of each.
fn checked(mut secrets: Secrets) -> anyhow::Result<Secrets> {
    signing(&secrets)?;
    for key in &mut secrets.key {
        key.check = Some(key.derive()?.check());
    }
    Ok(secrets)
}

impl Secret {
    fn derive(&self) -> anyhow::Result<SigningKey> {
        let Self { id, secret, check, .. } = self;
        let master = HEXLOWER.decode(secret.as_bytes()).with_context(|| format!("{SECRETS}: key {id:?}"))?;
        ensure!(master.len() >= 32, "{SECRETS}: the secret of key {id:?} is shorter than 32 bytes");
        let key = SigningKey::derive(id, &master);
        ensure!(
            check.as_ref().is_none_or(|check| *check == key.check()),
            "{SECRETS}: key {id:?} is damaged: its check value is not that of its secret"
        );
        Ok(key)
    }
}

fn secrets(dir: &Path) -> anyhow::Result<Option<Secrets>> {
    let path = dir.join(SECRETS);
    let Some(bytes) = disk::read_if_there(&path, SECRETS_BYTES_MAX)? else { return Ok(None) };
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
    // The error of the parser would quote the secret.
    let parsed = toml::from_str(&text).map_err(|_| anyhow::anyhow!("{} cannot be understood", path.display()))?;
    Ok(Some(parsed))
}

fn save(dir: &Path, secrets: &Secrets) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    disk::create_private(&dir.join(SECRETS), toml::to_string(secrets)?.as_bytes())?;
    Ok(())
}

fn fresh(id: &str) -> anyhow::Result<Secret> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let created = clock::wall().to_string();
    let check = Some(SigningKey::derive(id, &secret).check());
    Ok(Secret { id: id.into(), secret: HEXLOWER.encode(&secret), state: State::Active, created, check })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_brings_the_station_back() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        assert!(Identity::load(&old, false).is_err());
        let made = Identity::load(&old, true).unwrap();
        let again = Identity::load(&old, false).unwrap();
        assert_eq!(made.station.name(), again.station.name());
        let backup = Identity::export(&old).unwrap();
        Identity::import(&new, &backup).unwrap();
        let restored = Identity::load(&new, false).unwrap();
        assert_eq!(made.stream.name(), restored.stream.name());
        assert_eq!(made.peer.peer_id(), restored.peer.peer_id());
        assert_eq!(fs::read(old.join(SECRETS)).unwrap(), fs::read(new.join(SECRETS)).unwrap());
        let error = Identity::import(&new, &backup).unwrap_err().to_string();
        assert!(error.contains("not overwritten"), "{error}");
        use std::os::unix::fs::PermissionsExt;
        for name in ["peer.key", SECRETS] {
            assert_eq!(fs::metadata(new.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_new_key_signs_and_all_old_ones_verify() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        fs::create_dir(&keys).unwrap();
        assert!(Identity::rotate(&keys).unwrap_err().to_string().contains("no receipt keys yet"));
        assert!(Identity::receipt_keys(&keys).unwrap().is_empty());
        Identity::load(&keys, true).unwrap();
        for (old, new) in [("r1", "r2"), ("r2", "r3")] {
            assert_eq!(Identity::rotate(&keys).unwrap(), (old.into(), new.into()));
            assert_eq!(fs::metadata(keys.join(SECRETS)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let half = keys.join(format!(".tmp-1-0-{SECRETS}"));
        fs::write(&half, "secret = ").unwrap();
        Identity::sweep(&keys);
        assert!(!half.exists(), "a secret in halves");
        let all = Identity::receipt_keys(&keys).unwrap();
        assert_eq!(all.iter().map(SigningKey::id).collect::<Vec<_>>(), ["r3", "r1", "r2"]);
        let moved = dir.path().join("moved");
        Identity::import(&moved, &Identity::export(&keys).unwrap()).unwrap();
        assert_eq!(Identity::receipt_keys(&moved).unwrap().len(), 3);
    }

    #[test]
    fn a_backup_is_taken_as_a_whole_or_not_at_all_and_never_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        Identity::load(&old, true).unwrap();
        let good = Identity::export(&old).unwrap();
        let secret = |key: &str| {
            let line = good.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
            line.split('"').nth(1).unwrap().to_owned()
        };
        let halved = |key: &str| good.replace(&secret(key), &secret(key)[..20]);
        let unclosed = good.replace(&format!("{}\"", secret("station")), &secret("station"));
        let inactive = good.replace("\"active\"", "\"revoked\"");
        let short = good.replace(&secret("secret"), &secret("secret")[..8]);
        fs::create_dir(&new).unwrap();
        for bad in [&unclosed, &halved("station"), &halved("peer"), &inactive, &short, "peer = 1"] {
            let told = format!("{:?}", Identity::import(&new, bad).unwrap_err());
            for key in ["peer", "stream", "station", "secret"] {
                assert!(!told.contains(&secret(key)[..8]), "{told}");
            }
            assert_eq!(fs::read_dir(&new).unwrap().count(), 0, "{told}");
        }
        Identity::import(&new, &good).unwrap();
        assert_eq!(Identity::export(&new).unwrap(), good);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside");
    }

    /// The file of the keys with this line of it changed.
    fn with(keys: &Path, from: &str, to: &str) {
        let file = keys.join(SECRETS);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replace(from, to)).unwrap();
    }

    #[test]
    fn every_flipped_bit_of_the_receipt_keys_is_refused_or_changes_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let made = Identity::load(&keys, true).unwrap().receipts.remove(0);
        let file = keys.join(SECRETS);
        let whole = fs::read(&file).unwrap();
        let mut refused = 0;
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&file, &flipped).unwrap();
            match Identity::load(&keys, false) {
                Ok(loaded) => assert!(loaded.receipts[0].is(&made), "byte {at}, bit {bit}"),
                Err(why) => {
                    assert!(format!("{why:#}").contains(SECRETS), "{why:#}");
                    refused += usize::from(format!("{why:#}").contains("key \"r1\" is damaged"));
                }
            }
        }
        assert!(refused > 64, "{refused} digits of the secret");
    }

    #[test]
    fn keys_without_a_check_value_get_one_when_their_file_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let made = Identity::load(&keys, true).unwrap().receipts.remove(0);
        let line = format!("check = \"{}\"\n", made.check());
        with(&keys, &line, "");
        assert!(Identity::load(&keys, false).unwrap().receipts[0].is(&made));
        Identity::rotate(&keys).unwrap();
        assert!(fs::read_to_string(keys.join(SECRETS)).unwrap().contains(&line));
        with(&keys, &line, "");
        let moved = dir.path().join("moved");
        Identity::import(&moved, &Identity::export(&keys).unwrap()).unwrap();
        assert!(fs::read_to_string(moved.join(SECRETS)).unwrap().contains(&line));
    }

    #[test]
    fn a_revoked_key_verifies_and_never_signs() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        Identity::load(&keys, true).unwrap();
        Identity::rotate(&keys).unwrap();
        with(&keys, "verify_only", "revoked");
        let all = Identity::receipt_keys(&keys).unwrap();
        assert_eq!(all.iter().map(SigningKey::id).collect::<Vec<_>>(), ["r2", "r1"]);
        with(&keys, "active", "revoked");
        let why = format!("{:#}", Identity::receipt_keys(&keys).unwrap_err());
        assert!(why.contains("no active key") && why.contains("key export"), "{why}");
    }
}
