//! What the station counts, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write};

use super::{status::OnAir, time::Span};

/// The media type of [`text`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Upper bounds of the classes of [`Durations`], in microseconds: from what memory takes to what a listener hears.
const BOUNDS_MICROS: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// How long something took each time, counted in classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many were in each class and in none below it; the last class has no bound.
    classes: [u64; BOUNDS_MICROS.len() + 1],
    /// All of them together.
    sum: Span,
}

impl Durations {
    /// Counts one more.
    pub fn add(&mut self, took: Span) {
        self.classes[BOUNDS_MICROS.partition_point(|bound| *bound < took.0)] += 1;
        self.sum = Span(self.sum.0.saturating_add(took.0));
    }
}

/// What is known of the ledger that a station writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledgered {
    /// Receipts in the chain that is written; the next one has this number.
    pub receipts: u64,
    /// From when a batch was begun until it was durable, of each batch since the start.
    pub appended: Durations,
    /// Batches since the start that did not become durable.
    pub failed: u64,
}

/// The answer to `/metrics`.
pub fn text(air: &OnAir) -> String {
    let status = &air.status;
    let mut page = Page::default();
    page.one("media_sequence", "gauge", "Media sequence of the segment on air.", status.media_sequence);
    page.one("healthy", "gauge", "1 when /health says ok.", u8::from(status.health == "ok"));
    if let Some(ledger) = &air.ledger {
        page.one("receipts", "gauge", "Receipts in the ledger.", ledger.receipts);
        page.one(
            "ledger_failures_total",
            "counter",
            "Batches of receipts that could not be made durable.",
            ledger.failed,
        );
        page.durations("ledger_append_seconds", "From receipts at hand to receipts on the disk.", &ledger.appended);
    }
    if let Some(last) = &status.last_publish {
        page.one("name_sequence", "gauge", "Sequence of the last IPNS record that was put.", last.sequence);
        page.one("name_put_seconds", "gauge", "How long that put took.", last.seconds);
    }
    if !status.rungs.is_empty() {
        page.head("rung_segments", "gauge", "Listed segments of each rung, by the rendition that they play.");
        for rung in &status.rungs {
            let labels = |plays| format!("{{bitrate=\"{}\",plays=\"{plays}\"}}", rung.bitrate);
            page.line("rung_segments", &labels("rung"), rung.segments.saturating_sub(rung.stood_in));
            page.line("rung_segments", &labels("default"), rung.stood_in);
        }
    }
    page.one("peers", "gauge", "Connected peers.", status.network.peers);
    page.one("dht_peers", "gauge", "Connected peers that serve the DHT.", status.network.dht_peers);
    page.one("blocks_told", "gauge", "Blocks that the DHT has been told of.", status.network.told.done);
    page.one("blocks_untold", "gauge", "Blocks that wait for it.", status.network.told.waiting);
    if let Some(mirror) = &status.mirror {
        page.one("followed_sequence", "gauge", "Sequence of the IPNS record that is shown.", mirror.stream_sequence);
        page.one("mirror_blocks", "gauge", "Blocks that the mirror keeps.", mirror.blocks);
        page.one("mirror_bytes", "gauge", "Bytes in them.", mirror.bytes);
    }
    page.text
}

#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP ipfs_radio_{name} {help}\n# TYPE ipfs_radio_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.text, "ipfs_radio_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn durations(&mut self, name: &str, help: &str, durations: &Durations) {
        self.head(name, "histogram", help);
        let mut below = 0;
        let bounds = BOUNDS_MICROS.iter().map(|micros| (*micros as f64 / 1e6).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(durations.classes) {
            below += count;
            self.line(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), below);
        }
        self.line(&format!("{name}_sum"), "", durations.sum.0 as f64 / 1e6);
        self.line(&format!("{name}_count"), "", below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{
        segment::{RAW, cid_of},
        status::{LastPublish, Network, RungShown, SetupProgress, Status},
    };

    fn air() -> OnAir {
        let status = Status {
            station: "k51".into(),
            stream: "k51".into(),
            peer: "12D3".into(),
            addresses: vec![],
            gateways: vec![],
            findable: false,
            network: Network { peers: 3, ..Network::default() },
            media_sequence: 7,
            now: None,
            next: None,
            rungs: Vec::new(),
            tolerated_staleness_seconds: 270.0,
            needed_staleness_seconds: 198.0,
            last_publish: Some(LastPublish { sequence: 9, at: String::new(), seconds: 0.25, by: "dht".into() }),
            setup: SetupProgress { state: "done".into(), done: 1, total: 1 },
            clock: None,
            mirror: None,
            health: "ok".into(),
        };
        let (list_cid, root_cid) = (cid_of(RAW, b"list"), cid_of(RAW, b"root"));
        OnAir { list: String::new(), list_cid, root_cid, now_json: String::new(), status, ledger: None }
    }

    /// The value of a metric, by its name without the prefix and with its labels.
    fn value(text: &str, name: &str) -> Option<f64> {
        let line =
            text.lines().find_map(|line| line.strip_prefix("ipfs_radio_")?.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    #[test]
    fn durations_are_counted_up_to_each_bound() {
        let mut appended = Durations::default();
        for micros in [0, 1_000, 1_001, 4_000, 10_000_000, 10_000_001] {
            appended.add(Span(micros));
        }
        let text = text(&OnAir { ledger: Some(Ledgered { receipts: 12, appended, failed: 1 }), ..air() });
        for (bound, count) in [("0.001", 2), ("0.0025", 3), ("0.005", 4), ("5", 4), ("10", 5), ("+Inf", 6)] {
            let name = format!("ledger_append_seconds_bucket{{le=\"{bound}\"}}");
            assert_eq!(value(&text, &name), Some(f64::from(count)), "{bound}");
        }
        assert_eq!(value(&text, "ledger_append_seconds_count"), Some(6.0));
        assert_eq!(value(&text, "ledger_append_seconds_sum"), Some(20.006_002));
        assert_eq!((value(&text, "receipts"), value(&text, "ledger_failures_total")), (Some(12.0), Some(1.0)));
    }

    #[test]
    fn a_ladder_tells_what_its_rungs_play() {
        let mut air = air();
        assert!(!text(&air).contains("rung"), "a station of one rendition");
        air.status.rungs = vec![RungShown { bitrate: 64_000, segments: 100, stood_in: 3 }];
        let text = text(&air);
        let of = |plays| value(&text, &format!("rung_segments{{bitrate=\"64000\",plays=\"{plays}\"}}"));
        assert_eq!((of("rung"), of("default")), (Some(97.0), Some(3.0)));
    }

    #[test]
    fn each_metric_is_told_what_it_is_just_before_it_and_once() {
        let text = text(&OnAir { ledger: Some(Ledgered::default()), ..air() });
        let mut told: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["gauge", "counter", "histogram"].contains(&kind) && !told.contains(&name), "{line}");
                told.push(name);
            } else if !line.starts_with("# HELP ") {
                let name = told.last().unwrap();
                assert!(line.starts_with(*name), "{line} is not of {name}");
                line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
            }
        }
        assert!(text.ends_with('\n'));
        assert_eq!((value(&text, "media_sequence"), value(&text, "peers")), (Some(7.0), Some(3.0)));
        assert_eq!((value(&text, "name_sequence"), value(&text, "name_put_seconds")), (Some(9.0), Some(0.25)));
    }

    #[test]
    fn what_is_not_there_is_not_told() {
        let mut air = air();
        assert_eq!(value(&text(&air), "healthy"), Some(1.0));
        air.status.health = "order: it is empty".into();
        air.status.last_publish = None;
        let text = text(&air);
        assert_eq!(value(&text, "healthy"), Some(0.0));
        assert!(["receipts", "ledger", "name_", "mirror"].iter().all(|name| !text.contains(name)), "{text}");
    }
}
