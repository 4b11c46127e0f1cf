//! What the core reads, as functions of bytes: see [`crate::fuzz`].

use std::fmt::Display;

pub(crate) mod index;
pub(crate) mod ledger;
pub(crate) mod lists;
mod paper;
pub(crate) mod receipts;
pub(crate) mod small;

/// No message for people is longer, in characters, whatever it quotes.
const LONGEST_MESSAGE: usize = 2_000;

/// A message for people: it says something and quotes no more than fits on a screen.
pub(crate) fn said(message: &impl Display) -> String {
    let said = message.to_string();
    assert!(!said.trim().is_empty(), "a message without words");
    assert!(!said.contains(|c: char| c != '\n' && c.is_control()), "control characters in {said:?}");
    let length = said.chars().count();
    assert!(length <= LONGEST_MESSAGE, "a message of {length} characters");
    said
}

/// How many lines there are; an empty text has one.
pub(crate) fn line_count(data: &[u8]) -> usize {
    1 + data.iter().filter(|byte| **byte == b'\n').count()
}

/// Bytes as choices: each call takes some, and 0 or nothing where none are left.
pub(crate) struct Feed<'d>(pub(crate) &'d [u8]);

impl Feed<'_> {
    /// A number up to 255.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `below`, which is not 0.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        let wide = usize::from(self.byte()) | if below > 256 { usize::from(self.byte()) << 8 } else { 0 };
        wide % below
    }

    /// Up to 255 bytes.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_vec()
    }

    /// A text.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}
