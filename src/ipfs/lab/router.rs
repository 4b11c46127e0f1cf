//! A router that is asked over HTTP, on loopback.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router as Routes,
    extract::{Path, State},
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use cid::Cid;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::ipfs::{Error, Name, Record};

/// How a router answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// As the specification says.
    #[default]
    Well,
    /// With this status.
    Status(u16),
    /// That it is to be had elsewhere.
    Elsewhere,
    /// With more than anybody should read.
    Endlessly,
}

/// A router. It ends when it is dropped.
#[derive(Debug)]
pub struct HttpRouter {
    local: SocketAddr,
    held: Arc<Mutex<Held>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Held {
    answers: Answers,
    records: HashMap<String, Record>,
    providers: HashMap<String, Vec<String>>,
    puts: usize,
}

type Shared = Arc<Mutex<Held>>;

impl HttpRouter {
    /// Starts a router on a free port.
    pub async fn start() -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Network(error.to_string());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let held = Shared::default();
        let routes = Routes::new()
            .route("/routing/v1/ipns/{name}", get(record).put(take))
            .route("/routing/v1/providers/{cid}", get(providers))
            .with_state(held.clone());
        let task = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { local, held, task })
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Its URL, as `peer.delegated_routers` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.local)
    }

    /// Answers like this from now on.
    pub fn answer(&self, answers: Answers) {
        locked(&self.held, |held| held.answers = answers);
    }

    /// Tells from now on that `peer` has `cid`.
    pub fn tell(&self, cid: &Cid, peer: &str) {
        locked(&self.held, |held| held.providers.entry(cid.to_string()).or_default().push(peer.to_owned()));
    }

    /// The newest record that it took for `name`.
    pub fn record(&self, name: Name) -> Option<Record> {
        locked(&self.held, |held| held.records.get(&name.to_string()).cloned())
    }

    /// How many records it was given, taken or not.
    pub fn puts(&self) -> usize {
        locked(&self.held, |held| held.puts)
    }
}

impl Drop for HttpRouter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(State(held): State<Shared>, Path(name): Path<String>) -> Response {
    locked(&held, |held| match held.records.get(&name) {
        _ if held.answers != Answers::Well => ill(held.answers),
        Some(record) => record.bytes().clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn take(State(held): State<Shared>, Path(name): Path<String>, body: Bytes) -> Response {
    locked(&held, |held| {
        held.puts += 1;
        let Ok(Ok(record)) = name.parse().map(|name: Name| Record::open(name, body)) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        if held.answers != Answers::Well {
            return ill(held.answers);
        }
        if held.records.get(&name).is_none_or(|known| record.is_newer_than(known)) {
            held.records.insert(name, record);
        }
        StatusCode::OK.into_response()
    })
}

async fn providers(State(held): State<Shared>, Path(cid): Path<String>) -> Response {
    locked(&held, |held| match held.providers.get(&cid) {
        _ if held.answers != Answers::Well => ill(held.answers),
        Some(peers) => {
            let peers: Vec<_> = peers.iter().map(|peer| serde_json::json!({ "Schema": "peer", "ID": peer })).collect();
            serde_json::json!({ "Providers": peers }).to_string().into_response()
        }
        None => r#"{"Providers":null}"#.into_response(),
    })
}

fn ill(answers: Answers) -> Response {
    match answers {
        Answers::Well => StatusCode::OK.into_response(),
        Answers::Status(status) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        Answers::Elsewhere => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "http://127.0.0.1:9/")]).into_response(),
        Answers::Endlessly => vec![b' '; 1 << 20].into_response(),
    }
}

fn locked<T>(held: &Shared, work: impl FnOnce(&mut Held) -> T) -> T {
    work(&mut held.lock().unwrap_or_else(PoisonError::into_inner))
}
