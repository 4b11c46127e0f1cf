//! Every way of saying no, in one place: status, words, headers.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Why a request is not answered with what it asks for.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request makes no sense; the text says why.
    Bad(String),
    /// Not a resource of this node.
    NotHere,
    /// Not here, and the client wants it only if it is.
    NotCached,
    Method,
    Body,
    LongUri,
    /// A representation that this node does not make.
    Format(String),
    /// The recordings of a station, asked of its mirror.
    NoRecordings,
    /// A recording as it is, of a station that does not publish them.
    NotPublished,
    /// It is not known yet what is served here; the text says why.
    Waiting(String),
    /// No list has been put on air yet.
    NotOnAir,
    /// No record of that name has been published yet.
    NoRecord,
    /// Others are served first.
    Busy,
    /// The station says that it is not well.
    Unhealthy(String),
    /// It is ours, but cannot be read.
    Failed(String),
}

impl Refusal {
    fn parts(self) -> (StatusCode, String) {
        match self {
            Self::Bad(why) => (StatusCode::BAD_REQUEST, why),
            Self::NotHere => (StatusCode::NOT_FOUND, "not on this node: it serves one station only".into()),
            Self::NotCached => (StatusCode::PRECONDITION_FAILED, "not on this node".into()),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, format!("use one of {}", super::METHODS)),
            Self::Body => (StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body".into()),
            Self::LongUri => (StatusCode::URI_TOO_LONG, "the request target has more than 2048 bytes".into()),
            Self::Format(why) => (StatusCode::NOT_ACCEPTABLE, why),
            Self::NoRecordings => {
                (StatusCode::NOT_FOUND, "this node is a mirror: the recordings are at the station itself".into())
            }
            Self::NotPublished => (
                StatusCode::NOT_FOUND,
                "the recordings are not published: that takes `publish_originals` under [http] in streaming.toml"
                    .into(),
            ),
            Self::Waiting(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not on air yet: {why}")),
            Self::NotOnAir => (StatusCode::SERVICE_UNAVAILABLE, "not on air yet".into()),
            Self::NoRecord => (StatusCode::SERVICE_UNAVAILABLE, "no record of this name is published yet".into()),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "others are served first: ask again".into()),
            Self::Unhealthy(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
            Self::Failed(why) => (StatusCode::INTERNAL_SERVER_ERROR, why),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let closes = matches!(self, Self::Body);
        let (status, why) = self.parts();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::warn!(why, "a request failed");
        }
        let mut response = (status, format!("{why}\n")).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static(super::METHODS));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        if closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
