//! Points in time and lengths of audio. Positions are integers; only what is printed is rounded.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

/// A length of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Span {
    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// Whole milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// How many samples of `rate` fit into the span, rounded down.
    pub fn to_samples(self, rate: u32) -> u64 {
        (u128::from(self.0) * u128::from(rate) / 1_000_000) as u64
    }

    /// The length of `samples` at `rate`, rounded to the nearest microsecond.
    pub fn of_samples(samples: u64, rate: u32) -> Self {
        let rate = u128::from(rate.max(1));
        Self(((u128::from(samples) * 1_000_000 + rate / 2) / rate) as u64)
    }
}

impl Time {
    /// The last one that can be written down: 9999-12-31T23:59:59.999Z.
    const LAST_MILLIS: u64 = 253_402_300_799_999;

    /// A time `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Milliseconds since the Unix epoch, rounded to the nearest.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000 + (self.0 % 1_000) / 500
    }

    /// The span since `earlier`, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The time `span` later.
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The time `span` earlier, not before the epoch.
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// Reads what [`Time`] prints: RFC 3339 in UTC with milliseconds and a `Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let shape = b"dddd-dd-ddTdd:dd:dd.dddZ";
        let fits = bytes.len() == shape.len()
            && bytes.iter().zip(shape).all(|(b, s)| if *s == b'd' { b.is_ascii_digit() } else { b == s });
        if !fits {
            return None;
        }
        let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second, millis) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(year, month, day)?;
        Some(Self::from_millis(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + millis))
    }
}

/// RFC 3339 in UTC with milliseconds, as `EXT-X-PROGRAM-DATE-TIME` wants it: `2026-11-21T09:18:04.893Z`. RFC 3339 has no
/// year 10 000: what is later is written as the end of the year before, so that what is written can be read.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.millis().min(Self::LAST_MILLIS);
        let (days, in_day) = (millis / 86_400_000, millis % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, ms) = (in_day / 1_000 % 60, in_day % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Days since 1970-01-01 to year, month, day of the Gregorian calendar (era arithmetic; years start in March).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`]; `None` where the month has no such day.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_utc_with_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_252_684_893, "2026-11-21T09:18:04.893Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Time::from_millis(millis).to_string(), text);
            assert_eq!(Time::parse(text), Some(Time::from_millis(millis)));
        }
    }

    #[test]
    fn whatever_is_printed_is_read() {
        let last = "9999-12-31T23:59:59.999Z";
        for micros in [253_402_300_799_999_000, 253_402_300_800_000_000, u64::MAX - 499, u64::MAX] {
            assert_eq!(Time(micros).to_string(), last);
        }
        assert_eq!(Time::parse(last).map(|time| time.to_string()).as_deref(), Some(last));
        assert_eq!([0, 499, 500, 1_499, 1_500].map(|micros| Time(micros).millis()), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn refuses_dates_that_do_not_exist() {
        for text in [
            "2026-02-29T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-01-01T00:00:00Z",
            "",
            "2026-01-00T00:00:00.000Z",
            "2026-00-10T00:00:00.000Z",
            "2026-01-32T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:60:00.000Z",
            "2026-01-01T00:00:60.000Z",
            "1969-12-31T23:59:59.999Z",
            "0000-01-01T00:00:00.000Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in 0..146_097 {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), Some(day));
        }
    }

    #[test]
    fn samples_and_spans_agree() {
        assert_eq!(Span::of_samples(44_100, 44_100), Span::seconds(1));
        assert_eq!(Span::seconds(6).to_samples(44_100), 264_600);
        assert_eq!(Span::of_samples(258 * 1_024, 44_100), Span(5_990_748));
    }
}
