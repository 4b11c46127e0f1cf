//! What is wrong at the moment, in words: one line for each topic, logged when it changes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::radio::trouble;

/// The open troubles of a station. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    open: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Notes {
    /// There is a trouble with `topic`.
    pub(super) fn raise(&self, topic: &'static str, text: impl Into<String>) {
        let text = text.into();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(topic) != Some(&text) {
            tracing::warn!(topic, "{text}");
            open.insert(topic, text);
        }
    }

    /// What is known of a topic.
    pub(super) fn told(&self, (topic, text): trouble::Told) {
        match text {
            Some(text) => self.raise(topic, text),
            None => self.clear(topic),
        }
    }

    /// `topic` is well again.
    pub(super) fn clear(&self, topic: &'static str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.remove(topic).is_some() {
            tracing::warn!(topic, "well again");
        }
    }

    /// `ok`, or all that is wrong.
    pub(super) fn text(&self) -> String {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_empty() {
            return "ok".into();
        }
        let lines: Vec<String> = open.iter().map(|(topic, text)| format!("{topic}: {text}")).collect();
        lines.join("; ")
    }
}
