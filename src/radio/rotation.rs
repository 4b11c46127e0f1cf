//! From two sorted lists to one round of the programme.

use std::cmp::Ordering;

/// One round: jingle 1, `cycle` tracks, jingle 2, `cycle` tracks, …; the last group may be shorter.
///
/// Jingles take turns and begin again with the first; they never count as tracks. A round ends with the last track, so
/// that the loop starts again with jingle 1. Without tracks every jingle is on once; a cycle of 0 counts as 1.
pub fn rotate<T: Clone>(tracks: &[T], jingles: &[T], cycle: usize) -> Vec<T> {
    if tracks.is_empty() {
        return jingles.to_vec();
    }
    let mut turn = jingles.iter().cycle();
    let mut round = Vec::with_capacity(tracks.len() * 2);
    for group in tracks.chunks(cycle.max(1)) {
        round.extend(turn.next().cloned());
        round.extend_from_slice(group);
    }
    round
}

/// The order in which people number files: `2.mp3` before `10.mp3`, case only where nothing else differs.
pub fn natural(left: &str, right: &str) -> Ordering {
    let (mut a, mut b) = (left, right);
    loop {
        let step = match (digits(a), digits(b)) {
            (Some(x), Some(y)) => {
                (a, b) = (&a[x.len()..], &b[y.len()..]);
                by_value(x, y)
            }
            _ => match (a.chars().next(), b.chars().next()) {
                (Some(x), Some(y)) => {
                    (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
                    x.to_lowercase().cmp(y.to_lowercase())
                }
                (None, None) => return left.cmp(right),
                (x, y) => x.is_some().cmp(&y.is_some()),
            },
        };
        if step != Ordering::Equal {
            return step;
        }
    }
}

/// The digits at the beginning, if there are any.
fn digits(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| &text[..end])
}

/// Compares numbers of any length by value.
fn by_value(x: &str, y: &str) -> Ordering {
    let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
    x.len().cmp(&y.len()).then_with(|| x.cmp(y))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(letter: char, count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("{letter}{number}")).collect()
    }

    fn round(jingles: usize, tracks: usize, cycle: usize) -> String {
        rotate(&names('t', tracks), &names('j', jingles), cycle).join(" ")
    }

    #[test]
    fn the_rule_by_hand() {
        for (jingles, tracks, cycle, expected) in [
            (0, 0, 1, ""),
            (0, 3, 2, "t1 t2 t3"),
            (1, 0, 3, "j1"),
            (3, 0, 3, "j1 j2 j3"),
            (1, 3, 1, "j1 t1 j1 t2 j1 t3"),
            (2, 3, 1, "j1 t1 j2 t2 j1 t3"),
            (3, 7, 1, "j1 t1 j2 t2 j3 t3 j1 t4 j2 t5 j3 t6 j1 t7"),
            (1, 5, 2, "j1 t1 t2 j1 t3 t4 j1 t5"),
            (2, 6, 2, "j1 t1 t2 j2 t3 t4 j1 t5 t6"),
            (3, 6, 2, "j1 t1 t2 j2 t3 t4 j3 t5 t6"),
            (3, 4, 2, "j1 t1 t2 j2 t3 t4"),
            (2, 7, 3, "j1 t1 t2 t3 j2 t4 t5 t6 j1 t7"),
            (3, 6, 3, "j1 t1 t2 t3 j2 t4 t5 t6"),
            (2, 4, 5, "j1 t1 t2 t3 t4"),
            (3, 9, 10, "j1 t1 t2 t3 t4 t5 t6 t7 t8 t9"),
            (1, 11, 10, "j1 t1 t2 t3 t4 t5 t6 t7 t8 t9 t10 j1 t11"),
        ] {
            assert_eq!(round(jingles, tracks, cycle), expected, "{jingles} jingles, {tracks} tracks, cycle {cycle}");
        }
    }

    #[test]
    fn every_combination_that_is_asked_for() {
        for jingles in 0..=3 {
            for cycle in [1usize, 2, 3, 5, 10] {
                for tracks in [1, cycle.saturating_sub(1), cycle, cycle + 1, 3 * cycle + 1] {
                    obeys(jingles, tracks, cycle);
                }
            }
        }
    }

    /// Reads the round as a listener would, without knowing how it was made.
    fn obeys(jingles: usize, tracks: usize, cycle: usize) {
        let order = rotate(&names('t', tracks), &names('j', jingles), cycle);
        let played: Vec<_> = order.iter().filter(|name| name.starts_with('t')).cloned().collect();
        assert_eq!(played, names('t', tracks), "every track once, in order");
        if jingles == 0 || tracks == 0 {
            return;
        }
        let mut since_jingle = cycle;
        let mut next_jingle = 0;
        for name in &order {
            if name.starts_with('t') {
                since_jingle += 1;
                assert!(since_jingle <= cycle, "a jingle is due before {name} in {order:?}");
                continue;
            }
            assert_eq!(since_jingle, cycle, "{name} comes early in {order:?}");
            assert_eq!(*name, format!("j{}", next_jingle + 1), "jingles take turns in {order:?}");
            (since_jingle, next_jingle) = (0, (next_jingle + 1) % jingles);
        }
        assert!(since_jingle > 0, "a round ends with a track: {order:?}");
    }

    proptest! {
        #[test]
        fn any_numbers_obey_the_rule(jingles in 0usize..6, tracks in 0usize..60, cycle in 1usize..15) {
            obeys(jingles, tracks, cycle);
        }

        #[test]
        fn the_natural_order_is_an_order(mut texts in prop::collection::vec("[a-bA-B0-2é/ ]{0,6}", 3)) {
            let (a, b, c) = (&texts[0], &texts[1], &texts[2]);
            prop_assert_eq!(natural(a, b), natural(b, a).reverse());
            prop_assert_eq!(natural(a, b) == Ordering::Equal, a == b);
            if natural(a, b).is_le() && natural(b, c).is_le() {
                prop_assert!(natural(a, c).is_le());
            }
            texts.sort_by(|x, y| natural(x, y));
            prop_assert!(texts.windows(2).all(|pair| natural(&pair[0], &pair[1]).is_le()));
        }
    }

    #[test]
    fn numbers_sort_by_value() {
        let mut files = ["10 b.mp3", "2 a.mp3", "1.mp3", "B.mp3", "a.mp3", "b.mp3", "a/2.mp3", "a/010.mp3", "a/9.mp3"];
        files.sort_by(|x, y| natural(x, y));
        assert_eq!(
            files,
            ["1.mp3", "2 a.mp3", "10 b.mp3", "a.mp3", "a/2.mp3", "a/9.mp3", "a/010.mp3", "B.mp3", "b.mp3"]
        );
    }
}
