//! What setup did.

use serde::Serialize;

/// A recording or a folder that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its path as the manifest would spell it.
    pub path: String,
    /// Why, in words.
    pub why: String,
}

/// What became of the running order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OrderFate {
    /// There is nothing to put into an order.
    #[default]
    None,
    /// It was right already.
    Unchanged,
    /// It was written.
    Written,
    /// `playlist.m3u` was edited and is left alone; only `playlist.generated.m3u` was written.
    Edited {
        /// Entries that are new and that the edited order does not name.
        new: Vec<String>,
        /// Lines of the edited order that name no entry, as `line 3: …`; at most a hundred.
        gone: Vec<String>,
    },
}

/// What setup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many entries the manifest lists.
    pub entries: usize,
    /// How many items it lists.
    pub items: usize,
    /// How many items were encoded; for a dry run, how many would be.
    pub encoded: usize,
    /// How many items were there already.
    pub ready: usize,
    /// Recordings and folders that could not be used.
    pub skipped: Vec<Skipped>,
    /// Recordings that are still being written; the next run takes them.
    pub unsettled: Vec<String>,
    /// Why entries stay that are no longer found, a sentence each.
    pub kept: Vec<String>,
    /// Recordings that have come and sound like others, a sentence each.
    pub copies: Vec<String>,
    /// What else the operator should know, a sentence each.
    pub notices: Vec<String>,
    /// What became of the running order.
    pub order: OrderFate,
    /// Whether it was stopped before it was done.
    pub stopped: bool,
}

impl Report {
    /// 0 when everything is there, 3 when something was skipped or left for later (contract §8).
    pub fn exit_code(&self) -> u8 {
        if self.skipped.is_empty() && self.unsettled.is_empty() { 0 } else { 3 }
    }
}
