//! `/audio/<id>/stream/<h>.m3u8` and `/chunks/<h>.ts`: the recordings on demand; [`original`] has them as they were.
//!
//! Both are named by the hash of what they hold, and only what hashes to its name is served: whatever a request or a file
//! in the folder says, nothing else can come out, and what came out never changes.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header, request::Parts as Head},
    response::Response,
};
use bytes::Bytes;

use super::{Site, entity::Entity, original, refusal::Refusal};
use crate::{
    disk::{self, Store},
    ipfs::Blocks,
    radio::{
        segment::{RAW, chunk_name, cid_of, is_short_name},
        vod,
    },
};

/// A year.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// No chunk is longer: it is one block (contract §3).
const CHUNK_BYTES_MAX: u64 = 2 << 20;
/// No list is longer: a day of segments of one second.
const LIST_BYTES_MAX: u64 = 8 << 20;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Chunk(&'a str),
    List { id: &'a str, stream: &'a str },
}

impl<'a> Wanted<'a> {
    /// Only names of 32 hex digits are names here, so that nothing has to be decoded and no other place can be meant.
    fn read(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix(vod::CHUNKS) {
            return rest.strip_suffix(".ts").filter(|name| is_short_name(name)).map(Self::Chunk);
        }
        let (id, rest) = path.strip_prefix("/audio/")?.split_once('/')?;
        let stream = rest.strip_prefix("stream/")?.strip_suffix(".m3u8")?;
        (is_short_name(id) && is_short_name(stream)).then_some(Self::List { id, stream })
    }

    fn name(self) -> &'a str {
        match self {
            Self::Chunk(name) | Self::List { stream: name, .. } => name,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Chunk(_) => "video/mp2t",
            Self::List { .. } => "application/vnd.apple.mpegurl",
        }
    }

    /// The bytes as they are kept, if they are there. Blocking.
    fn kept(self, stores: &[Store]) -> Result<Option<Bytes>, Refusal> {
        for store in stores {
            let (path, limit) = match self {
                Self::Chunk(name) => (store.chunk(name), CHUNK_BYTES_MAX),
                Self::List { id, stream } => (store.stream(id, stream), LIST_BYTES_MAX),
            };
            let bytes = disk::read_if_there(&path, limit).map_err(|error| Refusal::Failed(error.to_string()))?;
            let Some(bytes) = bytes else { continue };
            if chunk_name(&cid_of(RAW, &bytes)) != self.name() {
                return Err(Refusal::Failed(format!("{} is damaged; run `ipfs-radio setup --repair`", self.name())));
            }
            return Ok(Some(bytes.into()));
        }
        Ok(None)
    }

    /// What is served of it.
    fn served(self, kept: Bytes) -> Result<Bytes, Refusal> {
        match self {
            Self::Chunk(_) => Ok(kept),
            Self::List { .. } => {
                let list = std::str::from_utf8(&kept).map_err(|_| Refusal::Failed("a list is not UTF-8".into()))?;
                Ok(vod::rewrite(list, vod::CHUNKS).into())
            }
        }
    }
}

/// Whatever a path names has a name of 32 hex digits.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn placed(path: &str) {
    let wanted = Wanted::read(path);
    assert!(wanted.is_none_or(|wanted| is_short_name(wanted.name())), "{path:?} names {wanted:?}");
}

/// Answers these routes.
pub(super) async fn recording<B: Blocks>(State(site): State<Arc<Site<B>>>, head: Head) -> Result<Response, Refusal> {
    if site.recordings.is_empty() {
        return Err(Refusal::NoRecordings);
    }
    let (stores, path) = (site.recordings.clone(), head.uri.path().to_owned());
    if let Some(id) = original::wanted(&path) {
        return original::recording(site.originals.clone(), stores, id, &head).await;
    }
    let read = move || -> Result<_, Refusal> {
        let Some(wanted) = Wanted::read(&path) else { return Ok(None) };
        let Some(kept) = wanted.kept(&stores)? else { return Ok(None) };
        Ok(Some((wanted.content_type(), wanted.served(kept)?)))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| Refusal::Failed(error.to_string()))?;
    let (content_type, bytes) = read?.ok_or(Refusal::NotHere)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    Ok(Entity::of_bytes(&cid_of(RAW, &bytes).to_string(), headers, bytes).answer(&head))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_names_of_32_hex_digits_are_names() {
        assert_eq!(Wanted::read(&format!("/chunks/{NAME}.ts")), Some(Wanted::Chunk(NAME)));
        let list = vod::address(NAME, NAME);
        assert_eq!(Wanted::read(&list), Some(Wanted::List { id: NAME, stream: NAME }));
        let upper = NAME.to_uppercase();
        for wrong in [
            format!("/chunks/{NAME}"),
            format!("/chunks/{NAME}.ts/"),
            format!("/chunks/{NAME}.ts.ts"),
            format!("/chunks/{upper}.ts"),
            format!("/chunks//{NAME}.ts"),
            format!("/chunks/../{NAME}.ts"),
            format!("/chunks/%2e%2e%2f{NAME}.ts"),
            format!("/chunks/{}.ts", &NAME[1..]),
            format!("/chunks/{}\0.ts", &NAME[1..]),
            format!("/audio/{NAME}/stream/../{NAME}.m3u8"),
            format!("/audio/../stream/{NAME}.m3u8"),
            format!("/audio/{NAME}/meta.json"),
            format!("/audio/{NAME}/stream/{NAME}.ts"),
            format!("/audio/{NAME}/{NAME}.m3u8"),
            "/audio/".into(),
        ] {
            assert_eq!(Wanted::read(&wrong), None, "{wrong}");
        }
    }
}
