//! What the settings of the air add up to (contract §3).

use super::{Receipts, Setup, Streaming};
use crate::radio::rules::{Rules, SLOW_NETWORK_SECONDS};

/// DHT servers drop values that are older, in seconds.
const DHT_KEEPS_SECONDS: i64 = 48 * 3_600;
/// Clocks of listeners and gateways are wrong by minutes; a shorter record may seem expired, in seconds.
const SHORTEST_SAFE_LIFETIME: i64 = 15 * 60;

impl Streaming {
    /// What the timeline goes by, with what `setup` says of its segments.
    pub fn rules(&self, setup: &Setup) -> Rules {
        Rules {
            rate: setup.audio.rate,
            segment_seconds: setup.audio.segment_seconds,
            window_size: self.window_size,
            look_ahead: self.look_ahead,
            receipts_required: self.receipts == Receipts::Required,
        }
    }

    /// S: how old a list may be without being heard, in seconds: min(look-ahead + TD, window − 5·TD).
    ///
    /// Negative where the window is too short for any player. `segment_seconds` is D, and as it is whole, TD.
    pub fn tolerated_staleness(&self, segment_seconds: u32) -> i64 {
        let (ahead, behind) = self.reaches(segment_seconds);
        ahead.min(behind)
    }

    /// N: how old a list is expected to be on public gateways, in seconds: ttl + interval + D + a slow put and resolve.
    pub fn needed_staleness(&self, segment_seconds: u32) -> i64 {
        i64::from(self.ttl_seconds)
            + i64::from(self.publish_interval_seconds)
            + i64::from(segment_seconds)
            + i64::from(SLOW_NETWORK_SECONDS)
    }

    /// How long a segment is kept after it has aired, in seconds: `retention_hours`, but never less than window,
    /// look-ahead, IPNS lifetime and one hour together.
    pub fn retention_seconds(&self, segment_seconds: u32) -> u64 {
        u64::from(self.retention_hours).saturating_mul(3_600).max(self.retention_floor(segment_seconds))
    }

    /// What will work and yet be heard sooner or later, in words that name the keys to change. Empty by default.
    pub fn warnings(&self, segment_seconds: u32) -> Vec<String> {
        let mut warnings = self.staleness_warnings(segment_seconds);
        warnings.extend(self.ipns_warnings(segment_seconds));
        let floor = self.retention_floor(segment_seconds);
        if self.retention_seconds(segment_seconds) > u64::from(self.retention_hours) * 3_600 {
            warnings.push(format!(
                "`streaming.retention_hours` = {} is less than window, look-ahead, IPNS lifetime and one hour together; \
                 segments are kept for {floor} s",
                self.retention_hours
            ));
        }
        warnings
    }

    /// How stale a list may be by its look-ahead and by its window, in seconds.
    fn reaches(&self, segment_seconds: u32) -> (i64, i64) {
        let duration = i64::from(segment_seconds);
        let ahead = i64::from(self.look_ahead) * duration + duration;
        (ahead, i64::from(self.window_size) * duration - 5 * duration)
    }

    fn retention_floor(&self, segment_seconds: u32) -> u64 {
        let listed = u64::from(self.window_size + self.look_ahead) * u64::from(segment_seconds);
        listed + u64::from(self.lifetime_seconds) + 3_600
    }

    fn staleness_warnings(&self, segment_seconds: u32) -> Vec<String> {
        let needed = self.needed_staleness(segment_seconds);
        let (ahead, behind) = self.reaches(segment_seconds);
        let say = |key: &str, reach: i64| {
            format!(
                "`streaming.{key}` lets a list be {reach} s old, public gateways are expected to serve lists of up to \
                 {needed} s; raise `streaming.{key}`, or lower `ipns.ttl_seconds` or `ipns.publish_interval_seconds`"
            )
        };
        let too_short =
            [("look_ahead", ahead), ("window_size", behind)].into_iter().filter(|(_, reach)| *reach < needed);
        too_short.map(|(key, reach)| say(key, reach)).collect()
    }

    fn ipns_warnings(&self, segment_seconds: u32) -> Vec<String> {
        let (ttl, lifetime) = (i64::from(self.ttl_seconds), i64::from(self.lifetime_seconds));
        let interval = i64::from(self.publish_interval_seconds);
        let half_window = i64::from(self.window_size) * i64::from(segment_seconds) / 2;
        let checks = [
            (ttl == 0, "`ipns.ttl_seconds` = 0: every request asks the network anew; write 5 or more".to_owned()),
            (
                ttl >= half_window,
                format!(
                    "`ipns.ttl_seconds` = {ttl} is half of the window or more ({half_window} s): gateways may keep a \
                     list until it is over; lower it or raise `streaming.window_size`"
                ),
            ),
            (
                ttl > lifetime,
                format!("`ipns.ttl_seconds` = {ttl} is more than `ipns.lifetime_seconds` = {lifetime}; lower it"),
            ),
            (
                lifetime < SHORTEST_SAFE_LIFETIME,
                format!(
                    "`ipns.lifetime_seconds` = {lifetime}: clocks of gateways are minutes off and may take the record \
                     as expired; write {SHORTEST_SAFE_LIFETIME} or more"
                ),
            ),
            (
                lifetime < 5 * interval,
                format!(
                    "`ipns.lifetime_seconds` = {lifetime} is less than five times `ipns.publish_interval_seconds` = \
                     {interval}: a few slow puts and the name is gone; raise it"
                ),
            ),
            (
                lifetime > DHT_KEEPS_SECONDS,
                format!(
                    "`ipns.lifetime_seconds` = {lifetime}: the DHT drops records after {DHT_KEEPS_SECONDS} s, and \
                     gateways may serve an old list for that long; lower it"
                ),
            ),
        ];
        checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, words)| words).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parsed(text: &str) -> Streaming {
        Streaming::parse(Path::new("streaming.toml"), text).unwrap()
    }

    #[test]
    fn the_defaults_are_the_contracts_figures_and_no_cause_for_warnings() {
        let air = Streaming::default();
        assert_eq!((air.tolerated_staleness(6), air.needed_staleness(6)), (270, 198));
        assert_eq!(air.warnings(6), Vec::<String>::new());
        assert_eq!(air.retention_seconds(6), 24 * 3_600);
    }

    #[test]
    fn the_smaller_of_look_ahead_and_window_counts() {
        for (window, ahead, duration, tolerated) in
            [(50, 50, 6, 270), (50, 4, 6, 30), (6, 50, 6, 6), (100, 50, 3, 153), (50, 50, 10, 450), (6, 2, 30, 30)]
        {
            let air = parsed(&format!("[streaming]\nwindow_size = {window}\nlook_ahead = {ahead}\n"));
            assert_eq!(air.tolerated_staleness(duration), tolerated, "{window} {ahead} {duration}");
        }
    }

    #[test]
    fn each_sum_that_fails_names_the_keys_to_change() {
        for (text, key) in [
            ("[streaming]\nlook_ahead = 4", "streaming.look_ahead"),
            ("[streaming]\nwindow_size = 6", "streaming.window_size"),
            ("[ipns]\nttl_seconds = 0", "ipns.ttl_seconds"),
            ("[ipns]\nttl_seconds = 150", "ipns.ttl_seconds"),
            ("[ipns]\nttl_seconds = 60\nlifetime_seconds = 59", "ipns.ttl_seconds"),
            ("[ipns]\nlifetime_seconds = 899", "ipns.lifetime_seconds"),
            ("[ipns]\nlifetime_seconds = 1000\npublish_interval_seconds = 201", "publish_interval_seconds"),
            ("[ipns]\nlifetime_seconds = 172801", "ipns.lifetime_seconds"),
            ("[streaming]\nretention_hours = 2", "streaming.retention_hours"),
        ] {
            let warnings = parsed(text).warnings(6);
            assert!(warnings.iter().any(|warning| warning.contains(key)), "{text}: {warnings:?}");
        }
        for text in [
            "[streaming]\nretention_hours = 26\n[ipns]\nttl_seconds = 5\nlifetime_seconds = 86400",
            "[ipns]\nlifetime_seconds = 900",
        ] {
            assert_eq!(parsed(text).warnings(6), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn retention_never_falls_below_its_floor() {
        let air = parsed("[streaming]\nretention_hours = 1\n[ipns]\nlifetime_seconds = 7200");
        assert_eq!(air.retention_seconds(6), 600 + 7_200 + 3_600);
        assert_eq!(parsed("[streaming]\nretention_hours = 48").retention_seconds(6), 48 * 3_600);
    }
}
