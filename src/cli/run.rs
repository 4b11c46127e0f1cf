//! `run`: the station, its listener port, and what the operator is told.

use std::{future::Future, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{net::TcpListener, sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::{OK, Signals, callback::Callbacks, files::Share, say};
use crate::{
    config,
    disk::{Layout, Lock},
    http,
    ipfs::{Options, Router},
    mirror,
    radio::{naming::NamingRules, status::OnAir, time::Span},
    streamer::{self, Identity, Settings},
};

/// From the stop signal to the end, at most; a clean stop takes less.
pub(super) const STOP_MAX: Duration = Duration::from_secs(4);
/// Threads for what blocks: reading and writing files, looking up hosts. Many peers that ask at once want one each, and each
/// that there ever was keeps memory.
const BLOCKING_THREADS: usize = 32;
/// Between the end of the listener port, should it come, and its next beginning.
const SERVE_AGAIN: Duration = Duration::from_secs(1);
/// Gateways by whose software the stream was heard; `{}` is the name.
const PATH_GATEWAYS: [&str; 2] = ["https://ipfs.io/ipns/{}", "https://dweb.link/ipns/{}"];
const SUBDOMAIN_GATEWAYS: [&str; 2] = ["https://{}.ipns.dweb.link/", "https://{}.ipns.inbrowser.link/"];

/// Goes on air and stays there until a signal.
pub(super) fn run(dir: &Path, no_setup: bool) -> anyhow::Result<u8> {
    to_the_end(on_air(dir, no_setup))
}

/// Runs what a node does, and leaves nothing behind.
pub(super) fn to_the_end(work: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).max_blocking_threads(BLOCKING_THREADS).enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

async fn on_air(dir: &Path, no_setup: bool) -> anyhow::Result<u8> {
    let mut signals = Signals::catch()?;
    let layout = Layout::new(std::path::absolute(dir).context("the station's folder")?);
    mirror::check_folder(&layout, None)?;
    let streaming = config::Streaming::load(&layout.streaming_toml())?;
    let setup = config::Setup::load(&layout.setup_toml())?;
    let share = Share::take();
    let peer = peer(&streaming)?.with_connections(share.peers);
    layout.create_state()?;
    layout.create_keys()?;
    let lock = Lock::take(&layout.state_lock())?;
    layout.sweep_state();
    Identity::sweep(&layout.keys());
    for warning in streaming.warnings(setup.audio.segment_seconds) {
        tracing::warn!("{warning}");
    }
    let listener = TcpListener::bind(streaming.http_listen)
        .await
        .with_context(|| format!("streaming.toml: http.listen: {} cannot be had", streaming.http_listen))?;
    let here = listener.local_addr().unwrap_or(streaming.http_listen);
    let recordings = [layout.processed(), layout.generated()].into();
    let originals = streaming.publish_originals.then(|| http::Originals::of(layout.dir().to_owned()));
    let callbacks = Callbacks::load(&layout, &setup)?;
    let settings = settings(layout, &streaming, &setup, peer, here, no_setup)?;
    let names = [settings.identity.station.name().to_string(), settings.identity.stream.name().to_string()];
    let peer_id = settings.identity.peer.peer_id();
    announce(&settings, &names, here);
    let stop = CancellationToken::new();
    let station = tokio::select! {
        started = streamer::start(settings, lock, stop.clone()) => started?,
        () = signals.any() => return Ok(OK),
    };
    let site = http::Site {
        station: names[0].clone(),
        stream: names[1].clone(),
        peer: peer_id,
        title: streaming.name.clone(),
        blocks: station.store.clone(),
        on_air: station.on_air.clone(),
        records: station.records.clone(),
        recordings,
        originals,
    };
    let (listener, ending) = (Arc::new(listener), stop.clone());
    let serve = move || http::serve(listener.clone(), site.clone(), share.listeners, ending.clone());
    let serving = tokio::spawn(kept_up(serve, stop.clone()));
    let telling = tokio::spawn(tell(station.on_air.clone()));
    callbacks.run(stop.clone());
    let mut running = station.running;
    let ended_early = tokio::select! {
        () = signals.any() => None,
        ended = &mut running => Some(ended),
    };
    stop.cancel();
    telling.abort();
    if let Some(ended) = ended_early {
        return ended.context("the station ended")?.map(|()| OK);
    }
    let ended = time::timeout(STOP_MAX, async { tokio::join!(running, serving) }).await;
    if ended.is_err() {
        tracing::warn!("not everything stopped in time");
    }
    Ok(OK)
}

/// Serves until `stop`, and if serving ends before that, however it ends, serves again.
async fn kept_up<F: Future<Output = ()> + Send + 'static>(serve: impl Fn() -> F, stop: CancellationToken) {
    loop {
        let ended = tokio::spawn(serve()).await;
        if stop.is_cancelled() {
            return;
        }
        let why = ended.err().map_or_else(|| "without a reason".to_owned(), |error| error.to_string());
        tracing::error!(why, "the listener port ended and is opened again");
        time::sleep(SERVE_AGAIN).await;
    }
}

fn settings(
    layout: Layout,
    streaming: &config::Streaming,
    setup: &config::Setup,
    peer: Options,
    here: SocketAddr,
    no_setup: bool,
) -> anyhow::Result<Settings> {
    let known = layout.stream_key().exists();
    let identity = Identity::load(&layout.keys(), !layout.ledger().exists())?;
    let seconds = setup.audio.segment_seconds;
    let (station, stream) = (identity.station.name().to_string(), identity.stream.name().to_string());
    let page = http::page::page(&http::page::Station {
        title: &streaming.name,
        station: &station,
        stream: &stream,
        gateways: &[],
    });
    let keep_segments = Span::seconds(streaming.retention_seconds(seconds));
    let listed = u64::from((streaming.window_size + streaming.look_ahead) * seconds);
    let lifetime = u64::from(streaming.lifetime_seconds);
    Ok(Settings {
        rules: streaming.rules(setup),
        identity,
        known,
        name: streaming.name.clone(),
        page,
        gateways: gateways(here, &station, &stream),
        peer,
        calls: !streaming.bootstrap.is_empty(),
        routers: Router::check(&streaming.delegated_routers)?,
        naming: NamingRules {
            interval: Span::seconds(streaming.publish_interval_seconds.into()),
            lifetime: Span::seconds(lifetime),
        },
        ttl: Span::seconds(streaming.ttl_seconds.into()),
        keep_segments,
        keep_lists: Span::seconds(listed + lifetime + 3_600),
        staleness_seconds: (streaming.tolerated_staleness(seconds) as f64, streaming.needed_staleness(seconds) as f64),
        binary: std::env::current_exe().context("where this program is")?,
        sources: vec![layout.dir().join(&setup.source), layout.dir().join(&setup.jingles_folder)],
        setup: !no_setup,
        auto_setup: streaming.auto_setup,
        layout,
    })
}

fn peer(streaming: &config::Streaming) -> anyhow::Result<Options> {
    let peer = Options::check(&streaming.peer_listen, &streaming.announce, &streaming.bootstrap)?;
    for address in peer.useless() {
        tracing::warn!(
            "streaming.toml: peer.announce: {address} is private, and of no use to the peers of peer.bootstrap"
        );
    }
    Ok(peer)
}

pub(super) fn gateways(here: SocketAddr, station: &str, stream: &str) -> Vec<String> {
    let fill = |pattern: &&str, name: &str| pattern.replace("{}", name);
    let own = [format!("{}/", own_url(here)), format!("{}/ipns/{stream}", own_url(here))];
    own.into_iter()
        .chain(PATH_GATEWAYS.iter().map(|pattern| fill(pattern, stream)))
        .chain(SUBDOMAIN_GATEWAYS.iter().map(|pattern| fill(pattern, station)))
        .collect()
}

/// The own gateway as a browser on this machine reaches it.
pub(super) fn own_url(here: SocketAddr) -> String {
    match here {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{}", v6.port()),
        address => format!("http://{address}"),
    }
}

fn announce(settings: &Settings, names: &[String; 2], here: SocketAddr) {
    let [station, stream] = names;
    say(&format!("{} is going on air", settings.name));
    say(&format!("  station  {station}"));
    say(&format!("  stream   {stream}"));
    say(&format!("  page     {}/", own_url(here)));
    say(&format!("  listen   {}/ipns/{stream}", own_url(here)));
    for url in &settings.gateways[2..] {
        say(&format!("  public   {url}"));
    }
    let (tolerated, needed) = settings.staleness_seconds;
    say(&format!("  a list may be {tolerated} s old unheard; public gateways need {needed} s"));
}

/// Tells when the station is on air, and whether it can be found, each time that changes.
pub(super) async fn tell(mut on_air: watch::Receiver<Option<Arc<OnAir>>>) {
    let mut told = (false, String::new());
    loop {
        let now = on_air
            .borrow_and_update()
            .as_ref()
            .map(|air| (air.status.network.advice.clone(), air.status.now.as_ref().map(|now| now.title.clone())));
        if let Some((advice, title)) = now {
            // Behind an outage the first item that is listed airs a moment later.
            if let Some(title) = title.as_ref().filter(|_| !told.0) {
                say(&format!("on air: {title}"));
            }
            if told.1 != advice {
                say(&advice);
            }
            told = (told.0 || title.is_some(), advice);
        }
        if on_air.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_port_that_ends_is_served_again_until_the_stop() {
        let (stop, served) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let serve = {
            let (stop, served) = (stop.clone(), served.clone());
            move || {
                let stop = stop.clone();
                let round = served.fetch_add(1, Ordering::SeqCst);
                async move {
                    match round {
                        0 => panic!("the first one breaks"),
                        _ => stop.cancel(),
                    }
                    stop.cancelled().await;
                }
            }
        };
        kept_up(serve, stop).await;
        assert_eq!(served.load(Ordering::SeqCst), 2);
    }
}
