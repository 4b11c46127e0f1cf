//! IPNS names: what listeners tune to.

use std::{fmt, str::FromStr};

use cid::{Cid, multibase::Base};
use libp2p::{
    PeerId,
    identity::{PublicKey, ed25519},
    multihash::Multihash,
};

use super::Error;

/// The multicodec of a name in its form as a CID (multicodec table: `libp2p-key`).
pub const CODEC: u64 = 0x72;
/// The multihash code of bytes that stand for themselves.
const IDENTITY: u64 = 0x00;

/// The name of an Ed25519 key: prints as `k51…`, the CIDv1 of the key in base 36 (specs: ipns-record, "IPNS Name").
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(PeerId);

impl Name {
    /// The key under which the DHT keeps the record of this name: `/ipns/` and the multihash, as bytes.
    pub fn routing_key(&self) -> Vec<u8> {
        [b"/ipns/".as_slice(), &self.0.to_bytes()].concat()
    }

    /// The Ed25519 public key that the name holds.
    pub fn public(&self) -> [u8; 32] {
        self.key().map_or([0; 32], |key| key.to_bytes())
    }

    /// Whether the key of this name signed `message` (RFC 8032, Ed25519).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key().is_some_and(|key| key.verify(message, signature))
    }

    /// The key; every name that was made has one.
    fn key(&self) -> Option<ed25519::PublicKey> {
        let hash = Multihash::<64>::from_bytes(&self.0.to_bytes()).ok()?;
        PublicKey::try_decode_protobuf(hash.digest()).ok()?.try_into_ed25519().ok()
    }

    pub(super) const fn of(peer: PeerId) -> Self {
        Self(peer)
    }

    pub(super) const fn peer(&self) -> PeerId {
        self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = Multihash::from_bytes(&self.0.to_bytes()).map_err(|_| fmt::Error)?;
        f.write_str(&Cid::new_v1(CODEC, hash).to_string_of_base(Base::Base36Lower).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Name { text: text.chars().take(100).collect(), reason: reason.into() };
        if !text.starts_with('k') {
            return Err(refuse("write it in base 36, as k51…"));
        }
        let cid = Cid::from_str(text).map_err(|error| refuse(&error.to_string()))?;
        if cid.codec() != CODEC {
            return Err(refuse("it names content, not a key"));
        }
        let only_ed25519 = "only names that hold their Ed25519 key are understood";
        if cid.hash().code() != IDENTITY {
            return Err(refuse(only_ed25519));
        }
        let key = PublicKey::try_decode_protobuf(cid.hash().digest()).map_err(|_| refuse(only_ed25519))?;
        key.try_into_ed25519().map_err(|_| refuse(only_ed25519))?;
        let peer = PeerId::from_multihash(*cid.hash()).map_err(|_| refuse("it holds no peer id"))?;
        Ok(Self(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ipfs::Key,
        radio::{checkpoint::Notary, segment},
    };

    #[test]
    fn prints_as_base36_and_reads_itself_back() {
        for seed in 0..50 {
            let name = Key::of_seed(seed).name();
            let text = name.to_string();
            assert!(text.starts_with("k51qzi5uqu5d") && text.len() == 62, "{text}");
            assert_eq!(text.parse::<Name>().unwrap(), name);
        }
    }

    #[test]
    fn holds_the_public_key_in_its_routing_key() {
        let key = Key::of_seed(1).name().routing_key();
        assert_eq!(key[..12], *b"/ipns/\x00\x24\x08\x01\x12\x20");
        assert_eq!(key.len(), 6 + 38);
    }

    #[test]
    fn checks_what_its_key_signed() {
        let key = Key::of_seed(7);
        // RFC 8032 §5.1.5; the public key of this seed comes from Python's cryptography.
        let public = data_encoding::HEXLOWER.encode(&key.name().public());
        assert_eq!(public, "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
        let signature = key.sign(b"message");
        assert!(key.name().verify(b"message", &signature));
        assert!(!key.name().verify(b"massage", &signature) && !key.name().verify(b"message", &signature[1..]));
        assert!(!Key::of_seed(8).name().verify(b"message", &signature));
    }

    #[test]
    fn refuses_in_words() {
        let content = segment::cid_of(segment::RAW, b"x").to_string_of_base(Base::Base36Lower).unwrap();
        let rsa_hash = segment::cid_of(CODEC, b"x").to_string_of_base(Base::Base36Lower).unwrap();
        let good = Key::of_seed(1).name().to_string();
        for (text, words) in [
            ("", "base 36"),
            (Key::of_seed(1).peer_id().as_str(), "base 36"),
            (content.as_str(), "content"),
            (rsa_hash.as_str(), "Ed25519"),
            (&good[..61], "k51"),
            (&format!("{good}0"), "k51"),
            ("k51!", "k51"),
        ] {
            let refused = text.parse::<Name>().unwrap_err().to_string();
            assert!(refused.contains(words) && refused.contains("no IPNS name"), "{text}: {refused}");
        }
    }
}
