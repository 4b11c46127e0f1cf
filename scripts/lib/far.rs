//! A client far away with a gateway in front, for scripts/netlab: `far HTTP STREAM ADDRESS FOLDER BOOTSTRAP…` serves
//! `/ipns/<stream>` and `/ipfs/<cid>` at HTTP (`127.0.0.1:8080`), each resolved and fetched anew from the station at
//! ADDRESS. Runs until standard input ends.

use std::{io::Read, path::Path as Folder, sync::Arc};

use anyhow::Context;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use ipfs_radio::ipfs::{Error, lab::far::Far};

type Answer = Result<Bytes, (StatusCode, String)>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [http, stream, address, folder, bootstrap @ ..] = arguments.as_slice() else {
        anyhow::bail!("want HTTP STREAM ADDRESS FOLDER BOOTSTRAP…");
    };
    let far = Far::start(bootstrap, stream.parse().context("the stream name")?, address, Folder::new(folder)).await?;
    let router =
        Router::new().route("/ipns/{name}", get(list)).route("/ipfs/{cid}", get(block)).with_state(Arc::new(far));
    let listener = tokio::net::TcpListener::bind(http.as_str()).await?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

async fn list(State(far): State<Arc<Far>>) -> Answer {
    far.list().await.map_err(refused)
}

async fn block(State(far): State<Arc<Far>>, Path(cid): Path<String>) -> Answer {
    let cid = cid.parse().map_err(|_| (StatusCode::BAD_REQUEST, format!("{cid} is no CID")))?;
    far.block(cid).await.map_err(refused)
}

fn refused(error: Error) -> (StatusCode, String) {
    (StatusCode::GATEWAY_TIMEOUT, error.to_string())
}
