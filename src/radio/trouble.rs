//! What is wrong with the air at present, as health tells it: it follows from what the timeline asks for and what came of it.

use super::{
    status::Skew,
    time::Span,
    timeline::{Action, Event, Why},
};

/// A topic, and what is wrong with it; `None` when it is well.
pub type Told = (&'static str, Option<String>);

/// What an event tells.
pub fn of_event(event: &Event) -> Option<Told> {
    match event {
        Event::NotStored(why) => Some(("repo", Some(format!("segments cannot be stored: {why}")))),
        Event::Stored | Event::StoredWithout(_) => Some(("repo", None)),
        Event::NotRecorded(why) => Some(("ledger", Some(why.clone()))),
        Event::Recorded => Some(("ledger", None)),
        _ => None,
    }
}

/// What the timeline tells by what it asks for.
pub fn of_action(action: &Action) -> Option<Told> {
    let silent = "there is nothing to air: no entry of the order can, and no filler";
    match action {
        Action::Wait(_, Why::Nothing) => Some(("air", Some(silent.into()))),
        Action::Show(_) => Some(("air", None)),
        _ => None,
    }
}

/// How the dates stand to the wall clock, which they may be off by as much as is `allowed`. `asked`: whether an operator
/// wants them to follow it.
pub fn of_clock(skew: Skew, allowed: Span, asked: bool) -> Told {
    let off = |millis: i64| millis.unsigned_abs() > allowed.0 / 1_000;
    if !off(skew.pdt_skew_ms) {
        return ("clock", None);
    }
    let (seconds, side) =
        (skew.pdt_skew_ms.unsigned_abs() / 1_000, if skew.pdt_skew_ms < 0 { "behind" } else { "ahead of" });
    let what = match (off(skew.next_pdt_skew_ms), asked || skew.next_pdt_skew_ms < 0) {
        (false, _) => "those at the end of the list are right",
        (true, true) => "they follow it again from the next item on",
        (true, false) => "`ipfs-radio reanchor` says what setting them right would change",
    };
    (
        "clock",
        Some(format!(
            "the dates on air are {seconds} s {side} the wall clock, which nobody hears; see that NTP keeps it right; {what}"
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{aired::Axis, coarse::Groups, ladder::Ladder, time::Time, timeline::Snapshot};

    #[test]
    fn dates_that_are_off_are_told_with_what_becomes_of_them() {
        let told = |pdt_skew_ms, next_pdt_skew_ms, asked| {
            of_clock(Skew { pdt_skew_ms, next_pdt_skew_ms }, Span::seconds(12), asked).1.unwrap_or_default()
        };
        assert_eq!(told(12_000, -12_000, false), "");
        assert!(
            told(12_100, 12_100, false).ends_with(
                "see that NTP keeps it right; `ipfs-radio reanchor` says what setting them right would change"
            )
        );
        assert!(told(12_100, 12_100, false).starts_with("the dates on air are 12 s ahead of the wall clock"));
        assert!(told(-61_999, 0, false).starts_with("the dates on air are 61 s behind the wall clock"));
        assert!(told(12_100, 12_100, true).ends_with("they follow it again from the next item on"));
        assert!(told(3_600_000, 0, false).ends_with("those at the end of the list are right"));
        assert!(
            told(-60_000, -60_000, false)
                .ends_with("see that NTP keeps it right; they follow it again from the next item on")
        );
    }

    #[test]
    fn what_comes_of_an_action_is_told_and_taken_back() {
        let why = || "why".to_owned();
        assert_eq!(of_event(&Event::NotStored(why())), Some(("repo", Some("segments cannot be stored: why".into()))));
        assert_eq!(of_event(&Event::Stored), Some(("repo", None)));
        assert_eq!(of_event(&Event::NotRecorded(why())), Some(("ledger", Some(why()))));
        assert_eq!(of_event(&Event::Recorded), Some(("ledger", None)));
        assert_eq!(of_event(&Event::Reanchor), None);
        let (topic, silent) = of_action(&Action::Wait(Time(0), Why::Nothing)).unwrap();
        assert!(topic == "air" && silent.is_some_and(|words| words.contains("nothing to air")));
        assert_eq!(of_action(&Action::Wait(Time(0), Why::Air)), None);
        let axis = Axis { epoch: 1, anchor: Time(0), rate: 44_100, target_seconds: 6 };
        let snapshot = Snapshot {
            axis,
            hold_back_seconds: 36,
            segments: Vec::new(),
            groups: Groups::default(),
            ladder: Ladder::default(),
        };
        assert_eq!(of_action(&Action::Show(snapshot.into())), Some(("air", None)));
    }
}
