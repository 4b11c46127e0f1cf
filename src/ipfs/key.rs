//! Ed25519 keys: who the peer is, and what signs its names.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use libp2p::identity::{KeyType, Keypair};

use super::{Error, Name};
use crate::radio::checkpoint::Notary;

/// A key file is 68 bytes long; what is longer is something else.
const MAX_FILE_BYTES: u64 = 1_024;

/// A private Ed25519 key in the encoding that libp2p and Kubo share (specs: peer-ids, "Keys"). `Debug` shows the name only.
#[derive(Clone)]
pub struct Key {
    pair: Keypair,
    name: Name,
}

impl Key {
    /// A new key from the randomness of the operating system.
    pub fn generate() -> Self {
        Self::of(Keypair::generate_ed25519())
    }

    /// Reads the protobuf encoding of a private key. Says in words why not.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, String> {
        let pair = Keypair::from_protobuf_encoding(bytes)
            .map_err(|error| format!("these {} bytes are no libp2p private key: {error}", bytes.len()))?;
        if pair.key_type() != KeyType::Ed25519 {
            return Err(format!("an Ed25519 key is wanted, this is {:?}", pair.key_type()));
        }
        Ok(Self::of(pair))
    }

    /// The protobuf encoding of the private key: as secret as the key.
    pub fn to_protobuf(&self) -> Vec<u8> {
        self.pair.to_protobuf_encoding().expect("an Ed25519 key always has an encoding")
    }

    /// The key as a peer id, `12D3KooW…`.
    pub fn peer_id(&self) -> String {
        self.pair.public().to_peer_id().to_string()
    }

    /// The IPNS name that this key signs for.
    pub fn name(&self) -> Name {
        self.name
    }

    /// Reads the key at `path`; when there is none and `may_create` says so, makes one. A new file is durable before
    /// this returns, is readable by its owner alone, and never replaces another. With `may_create` false a missing
    /// file is refused: a station that has state must not come back under another name.
    pub fn load_or_create(path: &Path, may_create: bool) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Key { path: path.to_owned(), reason };
        match read(path) {
            Ok(bytes) => return Self::from_protobuf(&bytes).map_err(refuse),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refuse(error.to_string())),
            Err(_) if !may_create => {
                return Err(refuse("is missing, but this station has been on air: put it back from a backup".into()));
            }
            Err(_) => {}
        }
        match write_new(path, &Self::generate().to_protobuf()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(refuse(format!("there is none yet, and none can be made: {error}")))
            }
            _ => Self::load_or_create(path, false),
        }
    }

    /// Writes the key to `path` as [`Key::load_or_create`] does; refuses when a file is there.
    #[cfg(test)]
    pub fn save_new(&self, path: &Path) -> Result<(), Error> {
        write_new(path, &self.to_protobuf()).map_err(|error| {
            let reason = match error.kind() {
                io::ErrorKind::AlreadyExists => "is there already and is never replaced: move it away first".into(),
                _ => error.to_string(),
            };
            Error::Key { path: path.to_owned(), reason }
        })
    }

    pub(super) fn pair(&self) -> &Keypair {
        &self.pair
    }

    fn of(pair: Keypair) -> Self {
        let name = Name::of(pair.public().to_peer_id());
        Self { pair, name }
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn of_seed(seed: u8) -> Self {
        Self::of(Keypair::ed25519_from_bytes([seed; 32]).expect("32 bytes are a seed"))
    }
}

/// The station's key signs checkpoints, and who knows the station's name can check them.
impl Notary for Key {
    fn station(&self) -> String {
        self.name.to_string()
    }

    fn public(&self) -> [u8; 32] {
        self.name.public()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).expect("Ed25519 signs whatever it is given")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let open_to_others = file.metadata()?.permissions().mode() & 0o077 != 0;
    if open_to_others {
        tracing::warn!(?path, "the key file was readable by others; it is closed to them now");
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes beside, then links into place: unlike a rename, a link never replaces what is there. What is beside has a name of
/// which a node that starts knows that it is half written, should the process be killed here.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".tmp-{}-0-{name}", std::process::id()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let linked = write_durably(&beside, bytes).and_then(|()| fs::hard_link(&beside, path));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => linked.and(Err(error))?,
        _ => linked?,
    }
    fs::File::open(folder)?.sync_all()
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{
        checkpoint::Note,
        merkle::{Peaks, leaf},
    };

    #[test]
    fn the_encoding_is_the_one_of_libp2p() {
        let key = Key::of_seed(7);
        let bytes = key.to_protobuf();
        assert_eq!(bytes[..4], [0x08, 0x01, 0x12, 0x40], "type Ed25519, 64 bytes of data");
        assert_eq!(bytes[4..36], [7; 32]);
        assert_eq!(bytes.len(), 68);
        assert_eq!(Key::from_protobuf(&bytes).unwrap().peer_id(), key.peer_id());
    }

    #[test]
    fn a_checkpoint_is_signed_as_by_openssl() {
        // Made by scripts/receipt-vectors.
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/receipts.json")).unwrap();
        let seed = data_encoding::HEXLOWER.decode(vectors["station_seed"].as_str().unwrap().as_bytes()).unwrap();
        let key = Key::of(Keypair::ed25519_from_bytes(seed).unwrap());
        assert_eq!(key.station(), vectors["station"].as_str().unwrap());
        let mut tree = Peaks::default();
        for line in vectors["lines"].as_array().unwrap() {
            tree.push(leaf(line.as_str().unwrap().as_bytes()));
        }
        let expected = vectors["note"].as_str().unwrap();
        let note = Note::parse(expected).unwrap();
        assert_eq!(Note::sign(&note.origin, &tree, &key), expected);
        assert_eq!(note.check(&key.public(), |message, signature| key.name().verify(message, signature)), Ok(()));
        assert!(note.check(&Key::of_seed(1).public(), |_, _| true).is_err());
    }

    #[test]
    fn another_kind_of_key_is_refused_in_words() {
        let other = Keypair::generate_secp256k1().to_protobuf_encoding().unwrap();
        assert!(Key::from_protobuf(&other).unwrap_err().contains("Secp256k1"));
        assert!(Key::from_protobuf(b"nonsense").unwrap_err().contains("8 bytes"));
        assert!(Key::from_protobuf(&[]).is_err());
    }

    #[test]
    fn debug_keeps_the_secret() {
        let key = Key::of_seed(7);
        assert_eq!(format!("{key:?}"), format!("Key({})", key.name()));
    }

    #[test]
    fn a_key_file_is_made_once_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/stream.key");
        let refused = Key::load_or_create(&path, false).unwrap_err().to_string();
        assert!(refused.contains("stream.key") && refused.contains("backup"), "{refused}");

        let made = Key::load_or_create(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for may_create in [true, false] {
            assert_eq!(Key::load_or_create(&path, may_create).unwrap().peer_id(), made.peer_id());
        }
        let refused = Key::generate().save_new(&path).unwrap_err().to_string();
        assert!(refused.contains("never replaced"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), made.to_protobuf());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");

        let taken = folder.path().join("keys/station.key");
        fs::create_dir(&taken).unwrap();
        assert!(Key::generate().save_new(&taken).is_err());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "nothing is left where none can be made");

        let moved = folder.path().join("moved/stream.key");
        made.save_new(&moved).unwrap();
        assert_eq!(Key::load_or_create(&moved, false).unwrap().name(), made.name());
    }

    #[test]
    fn a_damaged_key_file_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.key");
        fs::write(&path, b"").unwrap();
        let refused = Key::load_or_create(&path, true).unwrap_err().to_string();
        assert!(refused.contains("peer.key"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    /// The public key stands behind the secret one, so that neither can turn into another unnoticed.
    #[test]
    fn a_key_file_with_any_bit_turned_or_its_end_missing_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream.key");
        let whole = Key::of_seed(7).to_protobuf();
        let turned = (0..whole.len() * 8).map(|bit| {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            (format!("bit {bit} turned"), bytes)
        });
        let cut = (0..whole.len()).map(|length| (format!("the first {length} bytes"), whole[..length].to_vec()));
        for (what, bytes) in turned.chain(cut) {
            fs::write(&path, &bytes).unwrap();
            match Key::load_or_create(&path, true) {
                Err(refused) => assert!(refused.to_string().contains("stream.key"), "{what}: {refused}"),
                Ok(other) => panic!("{what}: taken for the key of {}", other.name()),
            }
            assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(Key::load_or_create(&path, true).unwrap().name(), Key::of_seed(7).name());
    }
}
