//! What a request asks for: raw target in, checked address out.

use axum::http::{HeaderMap, Uri, header};
use cid::{
    Cid,
    multibase::{self, Base},
    multihash::Multihash,
};
use serde::Deserialize;

use super::{
    car::{self, Car},
    refusal::Refusal,
};
use crate::ipfs::name::CODEC;

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
    let as_cid = || Cid::try_from(text).ok().filter(|cid| cid.codec() == CODEC).map(|cid| *cid.hash());
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
    /// The blocks along the path and below its end.
    Car(Car),
}

impl Form {
    /// What a URL says to get this form; `None` for the plain one.
    pub(super) fn query(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Block => Some("format=raw".into()),
            Self::Record => Some("format=ipns-record".into()),
            Self::Car(car) => Some(car.query()),
        }
    }
}

/// What stands behind the question mark, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Query {
    format: Option<String>,
    /// What a CAR holds below the end of the path.
    pub(super) dag_scope: Option<String>,
    pub(super) entity_bytes: Option<String>,
    /// Of which kind a CAR is.
    pub(super) car_version: Option<String>,
    pub(super) car_order: Option<String>,
    pub(super) car_dups: Option<String>,
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

    /// Whether the query names a form.
    pub(super) fn names_form(&self) -> bool {
        self.format.is_some()
    }

    /// The form that the query or else the `Accept` header names.
    pub(super) fn form(&self, headers: &HeaderMap) -> Result<Form, Refusal> {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accept: Vec<(&str, &str)> = accept.flat_map(|value| value.split(',')).map(media_type).collect();
        let car = || {
            let cars: Vec<&str> = accept.iter().filter(|(kind, _)| *kind == car::MEDIA_TYPE).map(|(_, p)| *p).collect();
            Car::read(self, &cars).map(Form::Car)
        };
        match self.format.as_deref() {
            Some("raw") => return Ok(Form::Block),
            Some("ipns-record") => return Ok(Form::Record),
            Some("car") => return car(),
            Some(other) => {
                let other = other.escape_debug();
                return Err(Refusal::Format(format!("no format \"{other}\": use raw, car or ipns-record")));
            }
            None => {}
        }
        for (kind, _) in &accept {
            match *kind {
                "application/vnd.ipld.raw" => return Ok(Form::Block),
                "application/vnd.ipfs.ipns-record" => return Ok(Form::Record),
                car::MEDIA_TYPE => return car(),
                _ => {}
            }
        }
        Ok(Form::Plain)
    }
}

/// A media type and its parameters.
fn media_type(accepted: &str) -> (&str, &str) {
    let (kind, parameters) = accepted.split_once(';').unwrap_or((accepted, ""));
    (kind.trim(), parameters)
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
        let base32 = Cid::new_v1(CODEC, hash).to_string();
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
        assert_eq!(form("/x?format=raw", "application/vnd.ipld.car").unwrap(), Form::Block);
        assert!(matches!(form("/x?format=tar", "*/*"), Err(Refusal::Format(_))));
        assert!(matches!(Query::read(&"/x?format=raw&format=car".parse().unwrap()), Err(Refusal::Bad(_))));
    }

    #[test]
    fn cars_are_told_apart_by_query_and_accept() {
        let form = |query: &str, accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, axum::http::HeaderValue::from_static(accept));
            Query::read(&format!("/x?{query}").parse().unwrap()).unwrap().form(&headers)
        };
        let said = |query: &str, accept| form(query, accept).unwrap().query().unwrap();
        let (once, each) = (said("format=car", "*/*"), said("format=car&car-dups=y", "*/*"));
        assert!(once.ends_with("car-dups=n") && each.ends_with("car-dups=y"));
        for accept in [
            "application/vnd.ipld.car",
            "application/vnd.ipld.car; version=1; order=dfs; dups=n",
            "application/vnd.ipld.car;order=unk",
            "application/vnd.ipld.car;order=foo, application/vnd.ipld.car;order=dfs;q=0.5",
        ] {
            assert_eq!(said("", accept), once, "{accept}");
        }
        assert_eq!(said("", "application/vnd.ipld.car; dups=\"y\""), each);
        assert_eq!(said("format=car", "application/vnd.ipld.car; dups=y"), each);
        assert_eq!(said("format=car&car-dups=n", "application/vnd.ipld.car; dups=y"), once);
        for query in ["car-version=2", "car-order=bfs", "car-dups=maybe"] {
            assert!(matches!(form(&format!("format=car&{query}"), "*/*"), Err(Refusal::Format(_))), "{query}");
        }
        assert!(matches!(form("", "application/vnd.ipld.car; version=2"), Err(Refusal::Format(_))));
        for query in ["dag-scope=some", "entity-bytes=1", "entity-bytes=*:1", "entity-bytes=a:b", "entity-bytes=1:"] {
            assert!(matches!(form(&format!("format=car&{query}"), "*/*"), Err(Refusal::Bad(_))), "{query}");
        }
        let wanted = ["", "dag-scope=block", "dag-scope=entity", "entity-bytes=0:*", "entity-bytes=-5:*"];
        let forms: Vec<Form> = wanted.iter().map(|q| form(&format!("format=car&{q}"), "*/*").unwrap()).collect();
        assert!(forms.iter().enumerate().all(|(at, one)| forms[..at].iter().all(|other| one != other)), "{forms:?}");
        assert_eq!(forms[0], form("format=car&dag-scope=all", "*/*").unwrap());
        assert_eq!(forms[3], form("format=car&dag-scope=all&entity-bytes=0:*", "*/*").unwrap());
    }
}
