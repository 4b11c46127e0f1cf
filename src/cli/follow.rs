//! `run --follow`: a mirror, its listener port, and what the operator is told.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context;
use tokio::{net::TcpListener, sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::{
    OK, Signals,
    files::Share,
    run::{STOP_MAX, gateways, own_url, tell, to_the_end},
    say,
};
use crate::{
    config,
    disk::{Layout, Lock},
    http,
    ipfs::{Name, Options, Router},
    mirror::{self, Mirror, Settings},
    radio::time::Span,
};

/// Segments of a station that is followed last so long at most, in seconds: what retention is reckoned with.
const SEGMENT_SECONDS: u32 = 30;

/// Mirrors a station until a signal.
pub(super) fn run(dir: &Path, station: Name) -> anyhow::Result<u8> {
    to_the_end(follow(dir, station))
}

async fn follow(dir: &Path, station: Name) -> anyhow::Result<u8> {
    let mut signals = Signals::catch()?;
    let layout = Layout::new(std::path::absolute(dir).context("the mirror's folder")?);
    mirror::check_folder(&layout, Some(station))?;
    let streaming = config::Streaming::load(&layout.streaming_toml())?;
    let share = Share::take();
    let peer = Options::check(&streaming.peer_listen, &streaming.announce, &streaming.bootstrap)?
        .with_connections(share.peers);
    let routers = Router::check(&streaming.delegated_routers)?;
    layout.create_state()?;
    layout.create_keys()?;
    let lock = Lock::take(&layout.state_lock())?;
    layout.sweep_state();
    let listener = TcpListener::bind(streaming.http_listen)
        .await
        .with_context(|| format!("streaming.toml: http.listen: {} cannot be had", streaming.http_listen))?;
    let here = listener.local_addr().unwrap_or(streaming.http_listen);
    let settings = Settings {
        station,
        peer,
        routers,
        keep_segments: Span::seconds(streaming.retention_seconds(SEGMENT_SECONDS)),
        keep_lists: Span::seconds(u64::from(streaming.lifetime_seconds) + 3_600),
        gateways: gateways(here, &station.to_string(), "{stream}"),
        layout,
    };
    announce(station, here);
    let stop = CancellationToken::new();
    let mirror = mirror::start(settings, lock, stop.clone()).await?;
    let later = http::Later { site: site(&mirror, station), meanwhile: mirror.health.clone() };
    let serving = tokio::spawn(http::serve_later(listener, later, share.listeners, stop.clone()));
    let telling = [tokio::spawn(tell(mirror.on_air.clone())), tokio::spawn(tell_health(mirror.health.clone()))];
    let named = tokio::spawn(tell_stream(mirror.told.clone(), here));
    let mut running = mirror.running;
    let ended_early = tokio::select! {
        () = signals.any() => None,
        ended = &mut running => Some(ended),
    };
    stop.cancel();
    telling.into_iter().chain([named]).for_each(|task| task.abort());
    if let Some(ended) = ended_early {
        return ended.context("the mirror ended")?.map(|()| OK);
    }
    if time::timeout(STOP_MAX, async { tokio::join!(running, serving) }).await.is_err() {
        tracing::warn!("not everything stopped in time");
    }
    Ok(OK)
}

/// What the port serves as soon as both names are verified.
fn site(mirror: &Mirror, station: Name) -> watch::Receiver<Option<http::Site<mirror::kept::Kept<crate::ipfs::Store>>>> {
    let (known, site) = watch::channel(None);
    let (mut told, peer, blocks) = (mirror.told.clone(), mirror.peer.clone(), mirror.blocks.clone());
    let (on_air, records) = (mirror.on_air.clone(), mirror.records.clone());
    tokio::spawn(async move {
        loop {
            let who = told.borrow_and_update().clone();
            let site = who.map(|who| http::Site {
                station: station.to_string(),
                stream: who.stream,
                peer: peer.clone(),
                title: who.title,
                blocks: blocks.clone(),
                on_air: on_air.clone(),
                records: records.clone(),
                recordings: Arc::default(),
                originals: None,
            });
            known.send_replace(site);
            if told.changed().await.is_err() {
                return;
            }
        }
    });
    site
}

fn announce(station: Name, here: SocketAddr) {
    say(&format!("mirroring {station}"));
    say(&format!("  page     {}/", own_url(here)));
    say(&format!("  status   {}/status.json", own_url(here)));
}

/// Tells the stream name when a root has told it.
async fn tell_stream(mut told: watch::Receiver<Option<mirror::Told>>, here: SocketAddr) {
    loop {
        let who = told.borrow_and_update().clone();
        if let Some(mirror::Told { title, stream }) = who {
            say(&format!("{title} is mirrored"));
            say(&format!("  stream   {stream}"));
            say(&format!("  listen   {}/ipns/{stream}", own_url(here)));
        }
        if told.changed().await.is_err() {
            return;
        }
    }
}

/// Tells what is wrong, and when all is well again.
async fn tell_health(mut health: watch::Receiver<String>) {
    loop {
        let words = health.borrow_and_update().clone();
        say(&format!("health: {words}"));
        if health.changed().await.is_err() {
            return;
        }
    }
}
