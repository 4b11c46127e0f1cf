//! Requests that their receiver can check: IR1-HMAC-SHA256.
//!
//! What is signed is a text of fixed lines, so that nothing about a request is open to interpretation. The key is derived
//! from the shared secret for this purpose alone.

use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Name and version of the scheme.
const SCHEME: &str = "IR1-HMAC-SHA256";
/// What the secret is used for.
const PURPOSE: &[u8] = b"api/v1";

/// A request to sign. It has no query.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// In capitals.
    pub method: &'a str,
    /// As it is sent.
    pub path: &'a str,
    /// As the header `Host` has it: in lower case, with the port if the URL names one.
    pub host: &'a str,
    /// The header `Content-Type`.
    pub content_type: &'a str,
    /// The header `Idempotency-Key`: the same for each attempt at one delivery.
    pub idempotency_key: &'a str,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// 128 random bits in base64url.
    pub nonce: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Call<'_> {
    /// The header `X-IR-Content-SHA256`.
    pub fn body_sha256(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.body))
    }

    /// The header `Authorization`, by the secret that is called `key_id`.
    pub fn authorization(&self, key_id: &str, secret: &[u8]) -> String {
        let key = mac(secret, PURPOSE);
        let signature = HEXLOWER.encode(&mac(&key, self.text(key_id).as_bytes()));
        format!("{SCHEME} kid={key_id}, sig={signature}")
    }

    fn text(&self, key_id: &str) -> String {
        let Self { method, path, host, content_type, idempotency_key, timestamp, nonce, .. } = self;
        let (query, timestamp, body) = ("", &timestamp.to_string(), &self.body_sha256());
        [SCHEME, method, path, query, host, content_type, idempotency_key, key_id, timestamp, nonce, body].join("\n")
    }
}

/// The name of a secret: the first 16 hex digits of its SHA-256.
pub fn key_id(secret: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(secret)[..8])
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call {
        method: "PATCH",
        path: "/hooks/radio",
        host: "example.org:8443",
        content_type: "application/json",
        idempotency_key: "0123456789abcdef0123456789abcdef",
        timestamp: 1_795_710_000,
        nonce: "AAECAwQFBgcICQoLDA0ODw",
        body: b"{\"v\":1}",
    };

    /// The signature was made with Python's hmac and hashlib.
    #[test]
    fn the_signature_is_the_one_that_others_make() {
        let secret: Vec<u8> = (0..32).collect();
        assert_eq!(key_id(&secret), "630dcd2966c43366");
        assert_eq!(
            CALL.authorization(&key_id(&secret), &secret),
            "IR1-HMAC-SHA256 kid=630dcd2966c43366, sig=53af2c36e5fb21bd6d9b5b51b3fe80b512b101f66008e0033edfcd54f7e53baf"
        );
    }

    #[test]
    fn whatever_changes_changes_the_signature() {
        let signed = |call: Call<'_>, key: &str, secret: &[u8]| call.authorization(key, secret);
        let other = [
            signed(Call { method: "POST", ..CALL }, "k", b"s"),
            signed(Call { path: "/hooks", ..CALL }, "k", b"s"),
            signed(Call { host: "example.org", ..CALL }, "k", b"s"),
            signed(Call { content_type: "text/plain", ..CALL }, "k", b"s"),
            signed(Call { idempotency_key: "x", ..CALL }, "k", b"s"),
            signed(Call { timestamp: 1, ..CALL }, "k", b"s"),
            signed(Call { nonce: "x", ..CALL }, "k", b"s"),
            signed(Call { body: b"", ..CALL }, "k", b"s"),
            signed(CALL, "l", b"s"),
            signed(CALL, "k", b"t"),
        ];
        let signature = |header: &str| header.rsplit('=').next().map(str::to_owned);
        let right = signature(&signed(CALL, "k", b"s"));
        assert!(other.iter().all(|header| signature(header) != right));
    }
}
