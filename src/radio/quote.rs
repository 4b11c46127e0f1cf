//! Strange texts in messages for people: on one line, without control characters, and no longer than can be read.

use std::fmt::Display;

/// Characters of a piece that is quoted.
const PIECE: usize = 80;
/// Characters of what another reader says, which may quote without bound.
const TOLD: usize = 300;

/// A piece of a strange text.
pub fn quote(text: &str) -> String {
    cut(text, PIECE)
}

/// What another reader says is wrong.
pub fn told(error: &impl Display) -> String {
    cut(&error.to_string(), TOLD)
}

/// At most so many characters, with a sign where more would follow.
pub fn cut(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    let mut shown: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_short_and_on_one_line() {
        assert_eq!(quote("a\nb\u{1b}[1m"), "a b [1m");
        assert_eq!(quote(&"é".repeat(PIECE)), "é".repeat(PIECE));
        assert_eq!(quote(&"é".repeat(9 * PIECE)), format!("{}…", "é".repeat(PIECE)));
        assert_eq!(told(&"x".repeat(9 * TOLD)).chars().count(), TOLD + 1);
    }
}
