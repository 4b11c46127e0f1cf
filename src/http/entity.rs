//! A representation with an ETag: conditional requests (RFC 9110 §13) and ranges over it.

use std::{convert::Infallible, fmt, ops::Range};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts as Head},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;

use super::range::{Wanted, wanted};

/// Gives a range of the bytes.
type Read = Box<dyn FnOnce(Range<u64>) -> Body + Send>;

/// What can be sent.
pub(super) struct Entity {
    etag: HeaderValue,
    headers: HeaderMap,
    content: Content,
}

enum Content {
    /// So many bytes, whole or in part.
    Sized(u64, Read),
    /// A stream whose length shows at its end: never in part.
    Stream(Box<dyn FnOnce() -> Body + Send>),
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entity").field("etag", &self.etag).finish_non_exhaustive()
    }
}

impl Entity {
    /// `tag` names the bytes: the same tag means the same bytes. It has visible ASCII without quotes.
    pub(super) fn new(tag: &str, headers: HeaderMap, length: u64, read: Read) -> Self {
        Self { etag: etag(tag), headers, content: Content::Sized(length, read) }
    }

    /// A stream; `tag` as for [`Entity::new`].
    pub(super) fn streamed(tag: &str, headers: HeaderMap, read: Box<dyn FnOnce() -> Body + Send>) -> Self {
        Self { etag: etag(tag), headers, content: Content::Stream(read) }
    }

    /// Bytes at hand.
    pub(super) fn of_bytes(tag: &str, headers: HeaderMap, bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self::new(tag, headers, length, Box::new(move |range| Body::from(slice(&bytes, &range))))
    }

    /// What the request gets: 200, 206, 304 or 416. The body of an answer to HEAD is never read.
    pub(super) fn answer(self, head: &Head) -> Response {
        let Self { etag, mut headers, content } = self;
        let asked = &head.headers;
        headers.insert(header::ETAG, etag.clone());
        if is_known(asked, &etag) {
            headers.remove(header::CONTENT_TYPE);
            headers.remove(header::CONTENT_DISPOSITION);
            // Else HEAD would be told that there is nothing (RFC 9110 §8.6).
            if let (Content::Sized(length, _), true) = (&content, head.method == Method::HEAD) {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(*length));
            }
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let (length, read) = match content {
            Content::Sized(length, read) => (length, read),
            Content::Stream(read) => {
                headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
                // Of unknown length as well: HEAD must not say that there is nothing.
                let nothing = || Body::from_stream(stream::empty::<Result<Bytes, Infallible>>());
                return (headers, if head.method == Method::HEAD { nothing() } else { read() }).into_response();
            }
        };
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let range = (head.method == Method::GET && may_range(asked, &etag)).then(|| text(asked, header::RANGE));
        let (status, range) = match wanted(range.flatten(), length) {
            Wanted::Whole => (StatusCode::OK, 0..length),
            Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            Wanted::Outside => {
                let mut answer = (StatusCode::RANGE_NOT_SATISFIABLE, "the range is outside\n").into_response();
                answer.headers_mut().insert(header::CONTENT_RANGE, ascii(format!("bytes */{length}")));
                return answer;
            }
        };
        if status == StatusCode::PARTIAL_CONTENT {
            let content_range = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            headers.insert(header::CONTENT_RANGE, ascii(content_range));
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        let body = if head.method == Method::HEAD { Body::empty() } else { read(range) };
        (status, headers, body).into_response()
    }
}

fn etag(tag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{tag}\"")).expect("a CID is visible ASCII")
}

/// The bytes of `range`, as far as they are there.
pub(super) fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |place: u64| usize::try_from(place).map_or(bytes.len(), |place| place.min(bytes.len()));
    bytes.slice(at(range.start)..at(range.end))
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and signs are visible ASCII")
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// `If-None-Match` compares weakly: `W/` does not matter.
fn is_known(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let lists = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// `If-Range` compares strongly; a date cannot match, since nothing here has one.
fn may_range(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    asked.get(header::IF_RANGE).is_none_or(|tag| tag == etag)
}
