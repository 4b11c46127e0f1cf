//! The listener port: a gateway for the station's own blocks and names, the page, and what the station says of itself.
//!
//! Everything is answered from memory and the block store; the network is never asked on behalf of a listener.
//! Routes: contract §7. Headers: the path gateway specification (<https://specs.ipfs.tech/http-gateways/>).

mod address;
mod car;
mod entity;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod gateway;
mod guard;
mod kind;
mod original;
pub mod page;
mod range;
mod refusal;
mod vod;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::HttpBody,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Request, Version, header, request::Parts as Head},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::{
    disk::Store,
    ipfs::{Blocks, Records},
    radio::{
        metrics as counted,
        segment::{RAW, cid_of},
        status::OnAir,
    },
};
use entity::Entity;
pub use guard::MAX_CONNECTIONS;
use guard::{Admission, Guarded, Limits, Phase};
pub use original::Originals;
use refusal::Refusal;

/// The longest request target.
const MAX_URI_BYTES: usize = 2 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How long open connections may finish their answer after a stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long nobody is accepted after the socket has failed; twice as long each time that it fails again.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(3);
const METHODS: &str = "GET, HEAD, OPTIONS";
/// The specification wants the two that are never sent, too.
const EXPOSED: &str =
    "Content-Length, Content-Range, ETag, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output";

/// What the port serves.
#[derive(Clone, Debug)]
pub struct Site<B> {
    /// The station name, `k51…`.
    pub station: String,
    /// The stream name, `k51…`.
    pub stream: String,
    /// The peer id.
    pub peer: String,
    /// What the station is called.
    pub title: String,
    /// The blocks that may be served.
    pub blocks: B,
    /// The air; `None` before the first list.
    pub on_air: watch::Receiver<Option<Arc<OnAir>>>,
    /// The IPNS records.
    pub records: watch::Receiver<Records>,
    /// Where the recordings lie that can be had on demand; nowhere for a mirror: they are at the station.
    pub recordings: Arc<[Store]>,
    /// The recordings as they were, if they are published.
    pub originals: Option<Originals>,
}

/// What the port serves when it is known only later whose it is: a mirror's.
#[derive(Clone, Debug)]
pub struct Later<B> {
    /// What is served, once it is known.
    pub site: watch::Receiver<Option<Site<B>>>,
    /// What is said until then.
    pub meanwhile: watch::Receiver<String>,
}

impl<B> Site<B> {
    fn air(&self) -> Result<Arc<OnAir>, Refusal> {
        self.on_air.borrow().clone().ok_or(Refusal::NotOnAir)
    }
}

/// Serves at most `connections` at once until `stop`; then open connections may finish their answer, for two seconds at most. Nothing else ends it: an
/// error of the socket is told, and after a pause the next listener is waited for.
pub async fn serve<B: Blocks>(listener: Arc<TcpListener>, site: Site<B>, connections: usize, stop: CancellationToken) {
    let (_always, routes) = watch::channel(router(site));
    serve_within(Limits::of(connections), &*listener, routes, stop).await;
}

/// As [`serve`]; until it is known what, every request is refused with what is said meanwhile.
pub async fn serve_later<B: Blocks>(
    listener: TcpListener,
    later: Later<B>,
    connections: usize,
    stop: CancellationToken,
) {
    let Later { mut site, meanwhile } = later;
    let (turn, routes) = watch::channel(waiting(meanwhile));
    let turning = async move {
        loop {
            let known = site.borrow_and_update().clone();
            if let Some(known) = known {
                turn.send_modify(|routes| *routes = router(known));
            }
            if site.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        () = serve_within(Limits::of(connections), &listener, routes, stop) => {}
        () = turning => {}
    }
}

/// Where connections come from.
trait Door: Sync {
    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Door for TcpListener {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        Self::accept(self)
    }
}

async fn serve_within(limits: Limits, door: &impl Door, routes: watch::Receiver<Router>, stop: CancellationToken) {
    let admission = Admission::new(limits);
    let mut connections = JoinSet::new();
    let mut pause = PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                pause = PAUSE_MIN;
                let Some(ticket) = admission.admit(address.ip()) else {
                    debug!(%address, "connection refused: too many are open");
                    guard::turn_away(stream);
                    continue;
                };
                let (routes, stop) = (routes.clone(), stop.clone());
                connections.spawn(async move {
                    converse(limits, stream, address, routes, stop).await;
                    drop(ticket);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept a listener now");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => pause = PAUSE_MAX.min(pause * 2),
                }
            }
        }
    }
    let _ = tokio::time::timeout(LAST_ANSWERS, async { while connections.join_next().await.is_some() {} }).await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}

/// One connection, from its first byte to its last.
async fn converse(
    limits: Limits,
    stream: TcpStream,
    address: SocketAddr,
    routes: watch::Receiver<Router>,
    stop: CancellationToken,
) {
    let phase = Phase::default();
    let io = TokioIo::new(Guarded::new(stream, phase.clone(), limits));
    let service = service_fn(move |request: Request<Incoming>| {
        phase.head_is_complete();
        let router = routes.borrow().clone();
        async move { Ok::<_, std::convert::Infallible>(answer(router, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%address, %error, "connection ended early");
    }
}

/// One request: what holds for all routes, then the route.
async fn answer<B>(router: Router, request: Request<B>) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match admissible(&request) {
        Err(refusal) => refusal.into_response(),
        Ok(()) if method == Method::OPTIONS => axum::http::StatusCode::NO_CONTENT.into_response(),
        Ok(()) => router.oneshot(request).await.into_response(),
    };
    allow_all_origins(response.headers_mut());
    debug!(%method, path, status = response.status().as_u16(), "answered");
    response
}

fn admissible<B>(request: &Request<B>) -> Result<(), Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Err(Refusal::Method);
    }
    if request.uri().to_string().len() > MAX_URI_BYTES {
        return Err(Refusal::LongUri);
    }
    if request.version() == Version::HTTP_11 && request.headers().get_all(header::HOST).iter().count() != 1 {
        return Err(Refusal::Bad("one Host header is needed".into()));
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    if request.headers().contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0") {
        return Err(Refusal::Body);
    }
    Ok(())
}

/// The port gives only what is public, so any page may read it.
fn allow_all_origins(headers: &mut HeaderMap) {
    let mut set = |name: &'static str, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set("access-control-allow-origin", "*");
    set("access-control-allow-methods", METHODS);
    set("access-control-allow-headers", "Content-Type, If-None-Match, Range, User-Agent, X-Requested-With");
    set("access-control-expose-headers", EXPOSED);
    set("access-control-max-age", "86400");
    set("x-content-type-options", "nosniff");
}

fn router<B: Blocks>(site: Site<B>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/ipfs/{*path}", get(gateway::ipfs))
        .route("/ipns/{*path}", get(gateway::ipns))
        .route("/audio/{*path}", get(vod::recording))
        .route("/chunks/{*path}", get(vod::recording))
        .route("/now.json", get(now))
        .route("/status.json", get(status))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .fallback(async || Refusal::NotHere)
        .with_state(Arc::new(site))
}

fn waiting(meanwhile: watch::Receiver<String>) -> Router {
    Router::new().fallback(async move || Refusal::Waiting(meanwhile.borrow().clone()))
}

async fn home<B: Blocks>(State(site): State<Arc<Site<B>>>, head: Head) -> Response {
    let Site { title, station, stream, .. } = &*site;
    let text = page::page(&page::Station { title, station, stream, gateways: &[] });
    fresh(&head, "text/html; charset=utf-8", text.into())
}

async fn now<B: Blocks>(State(site): State<Arc<Site<B>>>, head: Head) -> Result<Response, Refusal> {
    let text = site.air()?.now_json.clone();
    Ok(fresh(&head, "application/json", text.into()))
}

async fn status<B: Blocks>(State(site): State<Arc<Site<B>>>, head: Head) -> Result<Response, Refusal> {
    let text = serde_json::to_vec(&site.air()?.status).map_err(|error| Refusal::Failed(error.to_string()))?;
    Ok(fresh(&head, "application/json", text.into()))
}

async fn health<B: Blocks>(State(site): State<Arc<Site<B>>>) -> Result<Response, Refusal> {
    let air = site.air()?;
    if air.status.health != "ok" {
        return Err(Refusal::Unhealthy(air.status.health.clone()));
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], "ok\n").into_response())
}

async fn metrics<B: Blocks>(State(site): State<Arc<Site<B>>>) -> Result<Response, Refusal> {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, counted::MEDIA_TYPE)];
    let air = site.air()?;
    Ok((headers, counted::text(&air)).into_response())
}

/// Something that may be different the next time: to be asked for again, and answered by 304 while it is the same.
fn fresh(head: &Head, content_type: &'static str, bytes: Bytes) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Entity::of_bytes(&cid_of(RAW, &bytes).to_string(), headers, bytes).answer(head)
}

#[cfg(test)]
mod tests;
