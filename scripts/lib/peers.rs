//! A DHT server and a crowd of peers on loopback, for scripts/hostile.
//!
//! Prints the address of the server; reads one line, `ADDRESS STREAM STATION GOOD HOSTILE`: the station's address and
//! names, and how many peers of each sort; then prints what has happened every ten seconds, as one line of JSON, until
//! standard input ends.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use ipfs_radio::ipfs::lab::{
    DhtServer,
    crowd::{Crowd, Harm, Served, Target},
};
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at};

const REPORT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Arc::new(DhtServer::start().await?);
    writeln!(io::stdout(), "{}", server.address())?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [address, stream, station, good, hostile] = words[..] else {
        anyhow::bail!("want ADDRESS STREAM STATION GOOD HOSTILE, not {line:?}");
    };
    let target = Target {
        address: address.into(),
        stream: stream.parse().context("the stream name")?,
        station: station.parse().context("the station name")?,
    };
    let crowd = Crowd::start(&target, server, good.parse()?, hostile.parse()?);
    let mut end = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
    let mut report = interval_at(Instant::now() + REPORT, REPORT);
    loop {
        tokio::select! {
            ended = &mut end => return Ok(ended?.map(drop)?),
            _ = report.tick() => {
                let (served, harm) = crowd.take();
                writeln!(io::stdout(), "{}", json!({ "good": of_served(served), "hostile": of_harm(&harm) }))?;
            }
        }
    }
}

fn of_served(mut served: Served) -> Value {
    served.took_ms.sort_unstable();
    let at = |share: usize| {
        served.took_ms.get((served.took_ms.len() * share / 100).min(served.took_ms.len().saturating_sub(1)))
    };
    json!({
        "blocks": served.took_ms.len(), "p50_ms": at(50), "p99_ms": at(99), "max_ms": served.took_ms.last(),
        "late": served.late, "missing": served.missing, "calls": served.calls, "failures": served.failures,
    })
}

fn of_harm(harm: &Harm) -> Value {
    let one = |deeds: &ipfs_radio::ipfs::lab::crowd::Deeds| json!({ "calls": deeds.calls, "refused": deeds.refused, "messages": deeds.messages, "bytes": deeds.bytes });
    harm.iter().map(|(kind, deeds)| ((*kind).to_owned(), one(deeds))).collect::<serde_json::Map<_, _>>().into()
}
