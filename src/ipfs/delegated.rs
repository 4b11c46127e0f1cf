//! Routers that are asked over HTTP: they take IPNS records and tell of records and providers (spec: http-routing-v1,
//! "Delegated Routing V1 HTTP API").

use std::{fmt, time::Duration};

use bytes::Bytes;
use cid::Cid;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::{Error, Name, Record};

const RECORD: &str = "application/vnd.ipfs.ipns-record";
const JSON: &str = "application/json";
/// The most bytes of a record (spec: ipns-record).
const MAX_RECORD_BYTES: usize = 10 << 10;
/// The most bytes of a list of providers.
const MAX_PROVIDERS_BYTES: usize = 256 << 10;
/// How long a question may take, from the look-up of the host to the last byte.
const LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// An unused connection is closed after it; names are put more often.
const IDLE: Duration = Duration::from_secs(60);

/// A router. Cheap to clone; one client serves all that were checked together.
#[derive(Clone)]
pub struct Router {
    base: String,
    limit: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Router {
    /// Checks the base URLs of `peer.delegated_routers` in streaming.toml: `https://` or `http://`, a host, perhaps a
    /// path. The error names the key and the value.
    pub fn check(urls: &[String]) -> Result<Vec<Self>, Error> {
        let secure = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        Self::check_with(urls, secure.wrap_connector(tcp()))
    }

    fn check_with(urls: &[String], connector: HttpsConnector<HttpConnector>) -> Result<Vec<Self>, Error> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .build(connector);
        let one = |url: &String| Ok(Self { base: base(url)?, limit: LIMIT, client: client.clone() });
        urls.iter().map(one).collect()
    }

    /// Gives each question `limit` instead of 20 s.
    #[cfg(test)]
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Gives it a record. Says how long that took. Tries once: what to do next is the caller's.
    pub async fn put(&self, record: &Record) -> Result<Duration, Error> {
        let begun = Instant::now();
        let put = self.request(Method::PUT, &format!("ipns/{}", record.name())).header(CONTENT_TYPE, RECORD);
        self.ask(put.body(Full::new(record.bytes().clone())), MAX_RECORD_BYTES).await?;
        Ok(begun.elapsed())
    }

    /// The record that it has of `name`, verified but perhaps expired; `None` if it has none. It may be an old one: routers
    /// answer from memory.
    pub async fn record(&self, name: Name) -> Result<Option<Record>, Error> {
        let get = self.request(Method::GET, &format!("ipns/{name}")).header(ACCEPT, RECORD);
        let found = self.ask(get.body(Full::default()), MAX_RECORD_BYTES).await?;
        found.map(|bytes| Record::open(name, bytes)).transpose()
    }

    /// The peers (`12D3KooW…`) that have `cid`, as it says.
    pub async fn providers(&self, cid: Cid) -> Result<Vec<String>, Error> {
        let get = self.request(Method::GET, &format!("providers/{cid}")).header(ACCEPT, JSON);
        let Some(bytes) = self.ask(get.body(Full::default()), MAX_PROVIDERS_BYTES).await? else {
            return Ok(Vec::new());
        };
        let found: Providers = serde_json::from_slice(&bytes).map_err(|error| self.failed(error))?;
        Ok(found.providers.into_iter().flatten().filter_map(|provider| provider.id).collect())
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let url = format!("{}/routing/v1/{path}", self.base);
        let agent = concat!("ipfs-radio/", env!("CARGO_PKG_VERSION"));
        Request::builder().method(method).uri(url).header(USER_AGENT, agent)
    }

    /// The body of a good answer of at most `most` bytes; `None` where nothing is known. Redirects are not followed.
    async fn ask(
        &self,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
        most: usize,
    ) -> Result<Option<Bytes>, Error> {
        let request = request.map_err(|error| self.failed(error))?;
        let answer = async {
            let answer = self.client.request(request).await.map_err(|error| self.failed(causes(&error)))?;
            match answer.status() {
                StatusCode::NOT_FOUND => Ok(None),
                status if status.is_success() => self.body(answer, most).await.map(Some),
                status if status.is_redirection() => Err(self.failed("it points elsewhere, which is not followed")),
                status => Err(self.failed(format!("it answers {status}"))),
            }
        };
        timeout(self.limit, answer).await.unwrap_or_else(|_| Err(self.failed(format!("no answer in {:?}", self.limit))))
    }

    async fn body(&self, answer: Response<Incoming>, most: usize) -> Result<Bytes, Error> {
        let body = Limited::new(answer.into_body(), most).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| self.failed(error))
    }

    fn failed(&self, reason: impl fmt::Display) -> Error {
        Error::Network(format!("{}: {reason}", self.base))
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("base", &self.base).field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Providers {
    #[serde(rename = "Providers")]
    providers: Option<Vec<Provider>>,
}

#[derive(Deserialize)]
struct Provider {
    #[serde(rename = "ID")]
    id: Option<String>,
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp
}

fn base(url: &str) -> Result<String, Error> {
    let refuse = |reason: &str| Error::Option {
        field: "peer.delegated_routers",
        value: url.to_owned(),
        reason: reason.to_owned(),
    };
    let parsed: Uri = url.parse().map_err(|_| refuse("is no URL: write https://<host>"))?;
    if !matches!(parsed.scheme_str(), Some("https" | "http")) || parsed.host().is_none_or(str::is_empty) {
        return Err(refuse("is no address of a router: write https://<host>"));
    }
    if parsed.query().is_some() || parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refuse("has a query or a user: write https://<host> and a path at most"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// An error with what is behind it: the client's own words are few.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
