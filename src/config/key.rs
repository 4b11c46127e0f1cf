//! What each key takes: the one place that knows ranges, units and defaults as they are written.

use std::{fmt, ops::Range};

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::{Error, Text};

/// One key of a configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Table and name: `audio.segment_duration`.
    pub path: &'static str,
    /// What may be written.
    pub takes: Takes,
    /// The default, as TOML; empty where it depends on the machine.
    pub default: &'static str,
}

/// What may be written as a value.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// A whole number within bounds.
    Whole {
        /// The smallest.
        low: i64,
        /// The largest.
        high: i64,
        /// What is counted.
        unit: &'static str,
    },
    /// A number within bounds.
    Decimal {
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
        /// What is measured, and what else may be written.
        unit: &'static str,
    },
    /// `true` or `false`.
    Switch,
    /// Anything else, in words.
    Words(&'static str),
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { low, high, unit } => write!(f, "a whole number of {unit} from {low} to {high}"),
            Self::Decimal { low, high, unit } => write!(f, "a number from {low} to {high} {unit}"),
            Self::Switch => write!(f, "true or false"),
            Self::Words(words) => write!(f, "{words}"),
        }
    }
}

impl Key {
    /// A key that takes a whole number.
    pub const fn whole(path: &'static str, low: i64, high: i64, unit: &'static str, default: &'static str) -> Self {
        Self { path, takes: Takes::Whole { low, high, unit }, default }
    }

    /// A key that takes a number.
    pub const fn decimal(path: &'static str, low: f64, high: f64, unit: &'static str, default: &'static str) -> Self {
        Self { path, takes: Takes::Decimal { low, high, unit }, default }
    }

    /// A key that takes `true` or `false`.
    pub const fn switch(path: &'static str, default: &'static str) -> Self {
        Self { path, takes: Takes::Switch, default }
    }

    /// A key that takes what `words` say.
    pub const fn words(path: &'static str, words: &'static str, default: &'static str) -> Self {
        Self { path, takes: Takes::Words(words), default }
    }

    /// The key without its table.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The value, if it is within the bounds of a [`Takes::Whole`] key; `default` where nothing is written.
    pub(super) fn count(&self, text: Text<'_>, raw: Option<Spanned<i64>>, default: u32) -> Result<u32, Error> {
        let Some(raw) = raw else { return Ok(default) };
        let within = matches!(self.takes, Takes::Whole { low, high, .. } if (low..=high).contains(raw.get_ref()));
        u32::try_from(*raw.get_ref()).ok().filter(|_| within).ok_or_else(|| text.refuse(self, raw.span()))
    }

    /// The value, if it is within the bounds of a [`Takes::Decimal`] key.
    pub(super) fn measure(&self, text: Text<'_>, value: f64, span: Range<usize>) -> Result<f64, Error> {
        match self.takes {
            Takes::Decimal { low, high, .. } if (low..=high).contains(&value) => Ok(value),
            _ => Err(text.refuse(self, span)),
        }
    }

    /// The value, if `usable` makes something of it; `default` where nothing is written.
    pub(super) fn checked<T, U>(
        &self,
        text: Text<'_>,
        raw: Option<Spanned<T>>,
        default: U,
        usable: impl FnOnce(T) -> Option<U>,
    ) -> Result<U, Error> {
        let Some(raw) = raw else { return Ok(default) };
        let span = raw.span();
        usable(raw.into_inner()).ok_or_else(|| text.refuse(self, span))
    }
}

/// A number, with or without a fraction, or a word in its place.
#[derive(Debug)]
pub(super) enum NumberOrWord {
    Number(f64),
    Word(String),
}

impl<'de> Deserialize<'de> for NumberOrWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrWordVisitor)
    }
}

struct NumberOrWordVisitor;

impl de::Visitor<'_> for NumberOrWordVisitor {
    type Value = NumberOrWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number or a word")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(NumberOrWord::Number(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(NumberOrWord::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(NumberOrWord::Word(value.to_owned()))
    }
}
