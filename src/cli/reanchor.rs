//! `reanchor`: what it would change, in words, and the wish that a station reads.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::Context;

use super::{OK, say};
use crate::{
    config,
    disk::{self, Layout, Lock},
    radio::{status::Skew, time::Span},
    streamer::reanchor::{Outlook, outlook},
};

/// A station answers at once; one that does not is not asked for longer.
const ANSWER: Duration = Duration::from_secs(5);
/// Who was measured with a jump back in the list, listening on and starting anew: README.
const LISTENERS: &str = "hls.js, Shaka, video.js, ffmpeg, mpv and VLC play on as without it (measured; Safari was not);\n           \
                         what shows or seeks by dates is at the earlier ones from there on";
/// No status is longer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Says what would change; with `yes` asks for it.
pub(super) fn run(dir: &Path, yes: bool) -> anyhow::Result<u8> {
    let layout = Layout::new(std::path::absolute(dir)?);
    let streaming = config::Streaming::load(&layout.streaming_toml())?;
    let setup = config::Setup::load(&layout.setup_toml())?;
    if !layout.ledger().exists() {
        say("nothing has been on air here: the first dates will be those of the clock of this machine");
        return Ok(OK);
    }
    let rules = streaming.rules(&setup);
    // A station that is off air stays so until it is asked for.
    let (lock, running) = match Lock::take(&layout.state_lock()) {
        Ok(lock) => (Some(lock), None),
        Err(disk::Error::Busy { .. }) => (None, Some(skew_of_running(streaming.http_listen)?)),
        Err(error) => return Err(error.into()),
    };
    let Some(outlook) = outlook(&layout, &rules, running)? else {
        say("nothing has been on air here: the first dates will be those of the clock of this machine");
        return Ok(OK);
    };
    say(&how_it_stands(&outlook));
    let off = |millis: i64| Span::millis(millis.unsigned_abs()) > outlook.allowed;
    if layout.reanchor().exists() {
        say("this was asked for already, and will be done where the next item begins");
    } else if !off(outlook.skew.next_pdt_skew_ms) {
        say("there is nothing to do");
    } else if outlook.skew.next_pdt_skew_ms < 0 {
        say("there is nothing to do: they follow it by themselves where the next item begins");
    } else if yes {
        let (when, at) = (outlook.wall.to_string(), layout.reanchor());
        disk::replace(&at, format!("{when}\n").as_bytes())?;
        say(&what_changes(&outlook));
        say(if lock.is_some() { "asked for: the next start does it" } else { "asked for: the station does it" });
    } else {
        say(&what_changes(&outlook));
        say("nothing was changed: `ipfs-radio reanchor --yes` asks for it");
    }
    Ok(OK)
}

/// How the dates of a station that is on air stand to the clock, as it says itself.
fn skew_of_running(listen: SocketAddr) -> anyhow::Result<Skew> {
    let here = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(here, listen.port());
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(
            format!("GET /status.json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().with_context(|| format!("a station is on air here, and does not answer at {address}"))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let status: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let clock = status.get("clock").cloned().unwrap_or_default();
    serde_json::from_value(clock)
        .with_context(|| format!("a station is on air here, and does not say at {address} what is on air"))
}

fn how_it_stands(outlook: &Outlook) -> String {
    let Outlook { wall, skew, allowed, .. } = outlook;
    let side = |millis: i64| if millis < 0 { "behind" } else { "ahead of" };
    let stands = |millis: i64| format!("{} {} it", seconds(Span::millis(millis.unsigned_abs())), side(millis));
    let mut text = format!(
        "clock      {wall}\n\
         on air     dated {}\n\
         allowed    {}, or less",
        stands(skew.pdt_skew_ms),
        seconds(*allowed),
    );
    if skew.pdt_skew_ms != skew.next_pdt_skew_ms {
        text += &format!("\nto come    at the end of the list, dated {}", stands(skew.next_pdt_skew_ms));
    }
    text
}

fn what_changes(outlook: &Outlook) -> String {
    let Outlook { skew, last, listed_in, airs_in, both, hold_back, .. } = outlook;
    let back = seconds(Span::millis(skew.next_pdt_skew_ms.unsigned_abs()));
    let (listed_in, airs_in, both) = (about(*listed_in), about(*airs_in), about(*both));
    format!(
        "where      at the end of \"{last}\", once: the list names what follows in about {listed_in}, it airs in about {airs_in}\n\
         changes    EXT-X-PROGRAM-DATE-TIME goes back there by {back}, at the EXT-X-DISCONTINUITY that is there anyway;\n           \
                    now.json, EXT-X-DATERANGE and /status.json tell the new dates from there on\n\
         stays      what is heard: nothing is cut, repeated or silent; media sequence and discontinuity sequence go on;\n           \
                    what is listed keeps its dates; the look-ahead and HOLD-BACK ({})\n\
         notices    {LISTENERS}\n\
         both       for about {both} from then on lists have both dates\n\
         receipt    clock_step, with the reason reanchor",
        seconds(*hold_back),
    )
}

fn seconds(span: Span) -> String {
    let tenths = (span.0 + 50_000) / 100_000;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// Hours, minutes and seconds, as far as there are any.
fn about(span: Span) -> String {
    let all = span.0 / 1_000_000;
    match (all / 3_600, all / 60 % 60, all % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
