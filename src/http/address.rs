//! What a request asks for: raw target in, checked address out.

use axum::http::{HeaderMap, Uri, header};
use cid::{
    Cid,
    multibase::{self, Base},
    multihash::Multihash,
};
use serde::Deserialize;

use super::refusal::Refusal;

/// The multicodec of a libp2p key (`0x72`): an IPNS name.
const LIBP2P_KEY: u64 = 0x72;

/// The multicodec of the hash that is the content itself.
const IDENTITY: u64 = 0x00;

/// A path below `/ipfs/` or `/ipns/`, decoded and free of anything that could mean another place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The first part: a CID or a name.
    pub(super) root: String,
    /// The parts below it; none is empty, a dot name, or has a slash.
    pub(super) path: Vec<String>,
    /// Whether the path ends with a slash: it means a folder.
    pub(super) folder: bool,
}

impl Address {
    /// Reads what follows `namespace` (`/ipfs/` or `/ipns/`) in `uri`.
    pub(super) fn read(uri: &Uri, namespace: &str) -> Result<Self, Refusal> {
        let path = uri.path().strip_prefix(namespace).ok_or(Refusal::NotHere)?;
        let (path, folder) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let mut parts = path.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        let root = parts.remove(0);
        Ok(Self { root, path: parts, folder })
    }

    /// The parts below the root, as `dag` walks them.
    pub(super) fn below(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

fn part(raw: &str) -> Result<String, Refusal> {
    let bytes = percent_decoded(raw).ok_or_else(|| Refusal::Bad("a % is not followed by two hex digits".into()))?;
    let part = String::from_utf8(bytes).map_err(|_| Refusal::Bad("the path is not UTF-8".into()))?;
    if matches!(part.as_str(), "" | "." | "..") {
        return Err(Refusal::Bad("the path has an empty part or a dot name".into()));
    }
    if part.contains(['/', '\\']) || part.chars().any(char::is_control) {
        return Err(Refusal::Bad("a part of the path has a slash, a backslash or a control character".into()));
    }
    Ok(part)
}

fn percent_decoded(raw: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.extend(data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok()?);
        rest = after;
    }
    Some(bytes)
}

/// A CID in any of its spellings.
pub(super) fn cid(text: &str) -> Result<Cid, Refusal> {
    Cid::try_from(text).map_err(|error| Refusal::Bad(format!("not a CID: {error}")))
}

/// Whether this CID brings its content along, which is then anybody's and never ours. The empty one is how gateways are
/// probed (<https://specs.ipfs.tech/http-gateways/trustless-gateway/>).
pub(super) fn is_foreign(cid: &Cid) -> bool {
    cid.hash().code() == IDENTITY && cid.hash().size() > 0
}

/// Whether `text` is another spelling of the name `own` (`k51…`): a CID in another base, or the base58 of its hash.
pub(super) fn is_spelling_of(text: &str, own: &str) -> bool {
    let Some(own) = Cid::try_from(own).ok() else { return false };
    let as_cid = || Cid::try_from(text).ok().filter(|cid| cid.codec() == LIBP2P_KEY).map(|cid| *cid.hash());
    let as_hash = || {
        let (_, bytes) = multibase::decode(format!("{}{text}", Base::Base58Btc.code())).ok()?;
        Multihash::<64>::from_bytes(&bytes).ok()
    };
    as_cid().or_else(as_hash).is_some_and(|hash| hash == *own.hash())
}

/// In which form the answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As a web server would give it.
    Plain,
    /// The block itself.
    Block,
    /// The signed IPNS record.
    Record,
}

/// What stands behind the question mark, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Query {
    format: Option<String>,
    /// The name under which the client wants to know the file.
    pub(super) filename: Option<String>,
    download: Option<String>,
}

impl Query {
    pub(super) fn read(uri: &Uri) -> Result<Self, Refusal> {
        let query = axum::extract::Query::<Self>::try_from_uri(uri);
        query.map(|query| query.0).map_err(|_| Refusal::Bad("the query cannot be read".into()))
    }

    pub(super) fn is_download(&self) -> bool {
        self.download.as_deref() == Some("true")
    }

    /// The form that the query or else the `Accept` header names.
    pub(super) fn form(&self, headers: &HeaderMap) -> Result<Form, Refusal> {
        if let Some(format) = &self.format {
            return match format.as_str() {
                "raw" => Ok(Form::Block),
                "ipns-record" => Ok(Form::Record),
                "car" => Err(Refusal::NotImplemented("this node makes no CAR; ask for format=raw, block by block")),
                other => {
                    Err(Refusal::Format(format!("no format \"{}\": use raw or ipns-record", other.escape_debug())))
                }
            };
        }
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for wanted in accept.flat_map(|value| value.split(',')) {
            match wanted.split(';').next().unwrap_or_default().trim() {
                "application/vnd.ipld.raw" => return Ok(Form::Block),
                "application/vnd.ipfs.ipns-record" => return Ok(Form::Record),
                "application/vnd.ipld.car" => {
                    return Err(Refusal::NotImplemented("this node makes no CAR; accept application/vnd.ipld.raw"));
                }
                _ => {}
            }
        }
        Ok(Form::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(target: &str) -> Result<Address, Refusal> {
        Address::read(&target.parse().unwrap(), "/ipfs/")
    }

    #[test]
    fn paths_are_decoded_once() {
        let read = address("/ipfs/root/a%20b/%C3%BC/%252e%252e/").unwrap();
        let path = ["a b", "ü", "%2e%2e"].map(String::from).to_vec();
        assert_eq!(read, Address { root: "root".into(), path, folder: true });
        assert_eq!(address("/ipfs/root?x=1").unwrap(), Address { root: "root".into(), path: vec![], folder: false });
    }

    #[test]
    fn whatever_could_mean_another_place_is_refused() {
        for below in [
            "..",
            "../x",
            "a/../b",
            "a/./b",
            "%2e%2e",
            "%2E%2e/x",
            ".%2e",
            "%2e",
            "a%2fb",
            "a%2Fb",
            "..%2f..",
            "a//b",
            "//",
            "a%5cb",
            "..%5c..",
            "a%00b",
            "%0d%0a",
            "a%",
            "a%4",
            "a%zz",
            "%ff",
            "%c0%ae%c0%ae",
            "%e0%80%af",
        ] {
            assert!(matches!(address(&format!("/ipfs/root/{below}")), Err(Refusal::Bad(_))), "{below}");
        }
        assert!(matches!(address("/ipfs//"), Err(Refusal::Bad(_))));
        assert!(matches!(address("/ipfs/"), Err(Refusal::Bad(_))));
    }

    #[test]
    fn a_name_is_known_in_every_spelling() {
        let own = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
        let hash = *Cid::try_from(own).unwrap().hash();
        let base58 = multibase::encode(Base::Base58Btc, hash.to_bytes());
        let base32 = Cid::new_v1(LIBP2P_KEY, hash).to_string();
        assert!(base32.starts_with("bafz") && base58.starts_with("z12D3Koo"));
        for spelling in [own, &base58[1..], &base32] {
            assert!(is_spelling_of(spelling, own), "{spelling}");
        }
        let other = "k51qzi5uqu5dhvnprrkkdvhtdz7d6xmc9n6qf0mfkczqvgs1dnhyl0z59ac53g";
        for stranger in [other, "example.org", "", "bafkqaaa", "🙂"] {
            assert!(!is_spelling_of(stranger, own), "{stranger}");
        }
    }

    #[test]
    fn forms_come_from_the_query_then_from_accept() {
        let form = |target: &str, accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, axum::http::HeaderValue::from_static(accept));
            Query::read(&target.parse().unwrap()).unwrap().form(&headers)
        };
        assert_eq!(form("/x", "*/*").unwrap(), Form::Plain);
        assert_eq!(form("/x", "text/html, application/vnd.ipld.raw;q=0.5").unwrap(), Form::Block);
        assert_eq!(form("/x?format=raw", "*/*").unwrap(), Form::Block);
        assert_eq!(form("/x?format=ipns-record", "application/vnd.ipld.raw").unwrap(), Form::Record);
        assert!(matches!(form("/x?format=car", "*/*"), Err(Refusal::NotImplemented(_))));
        assert!(matches!(form("/x", "application/vnd.ipld.car; version=1"), Err(Refusal::NotImplemented(_))));
        assert!(matches!(form("/x?format=tar", "*/*"), Err(Refusal::Format(_))));
        assert!(matches!(Query::read(&"/x?format=raw&format=car".parse().unwrap()), Err(Refusal::Bad(_))));
    }
}
