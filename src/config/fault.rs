//! A fault in a configuration file, shown where it is.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    string::FromUtf8Error,
};

use super::{Key, Text};
use crate::radio::quote::cut;

/// Longest piece of a line that is shown, in characters.
const LONGEST_LINE: usize = 160;
/// What of it stands before a fault further back than that.
const BEFORE: usize = 40;
/// Longest text of what is wrong, in characters: it may quote the file.
const LONGEST_WHAT: usize = 400;

/// Something that cannot stand in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub instead: String,
    shown: String,
    /// How many characters of what is shown stand before the carets.
    indent: usize,
    carets: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = self.line.to_string();
        let blank = " ".repeat(gutter.len());
        writeln!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.what)?;
        writeln!(f, "{blank} |")?;
        writeln!(f, "{gutter} | {}", self.shown)?;
        writeln!(f, "{blank} | {}{}", " ".repeat(self.indent), "^".repeat(self.carets))?;
        write!(f, "{blank} = {}", self.instead)
    }
}

impl Fault {
    /// A value that is not what its key takes.
    pub(super) fn of_key(text: Text<'_>, key: &Key, span: Range<usize>) -> Self {
        let what = format!("`{}` must be {}", key.path, key.takes);
        Self::at(text, span, what, instead_of(key))
    }

    /// A value that is what its key takes, and yet of no use.
    pub(super) fn of_value(text: Text<'_>, key: &Key, span: Range<usize>, reason: &str) -> Self {
        let what = format!("`{}` must be {}: {reason}", key.path, key.takes);
        Self::at(text, span, what, instead_of(key))
    }

    /// A file that is no text.
    pub(super) fn of_bytes(file: &Path, error: &FromUtf8Error) -> Self {
        let start = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let what = "this byte is not UTF-8".to_owned();
        Self::at(Text { name: file, text: &text }, start..start, what, "save the file as UTF-8".into())
    }

    /// What the TOML reader refuses: syntax, an unknown key, a wrong type.
    pub(super) fn of_toml(text: Text<'_>, error: &toml::de::Error, keys: &[Key]) -> Self {
        let span = error.span().unwrap_or(0..0);
        if let Some(unknown) = unknown_key(error.message()) {
            let table = table_at(text.text, span.start);
            let (what, instead) = explain_unknown(&table, unknown, keys);
            return Self::at(text, span, what, instead);
        }
        match keys.iter().find(|key| key.path == path_of(error)) {
            Some(key) => Self::of_key(text, key, span),
            None => {
                let what = error.message().lines().collect::<Vec<_>>().join("; ");
                Self::at(text, span, what, "write TOML: `key = value`, tables as `[name]`, texts in \"quotes\"".into())
            }
        }
    }

    fn at(text: Text<'_>, span: Range<usize>, what: String, instead: String) -> Self {
        let start = floor_boundary(text.text, span.start);
        let before = &text.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.text[line_start..].lines().next().unwrap_or_default();
        let column = text.text[line_start..start].chars().count();
        let skipped = if column < LONGEST_LINE { 0 } else { column - BEFORE };
        let shown: String = line.chars().skip(skipped).collect();
        let indent = column - skipped;
        let end = floor_boundary(text.text, span.end.clamp(start, line_start + line.len().max(start - line_start)));
        let width = text.text[start..end].chars().count();
        Self {
            file: text.name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: column + 1,
            what: cut(&what, LONGEST_WHAT),
            instead,
            shown: cut(&shown, LONGEST_LINE),
            indent,
            carets: width.clamp(1, LONGEST_LINE - indent),
        }
    }
}

fn instead_of(key: &Key) -> String {
    match key.default {
        "" => format!("write {}, or leave the key out", key.takes),
        default => format!("write `{} = {default}` for the default", key.name()),
    }
}

fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// Why a key is not known, and what to write.
fn explain_unknown(table: &str, unknown: &str, keys: &[Key]) -> (String, String) {
    let place = if table.is_empty() { String::new() } else { format!(" in `[{table}]`") };
    let what = format!("unknown key `{unknown}`{place}");
    let reason = match unknown {
        "update_interval" => {
            "the list moves on with every segment, so there is nothing to set; how often the name is \
                              published is `[ipns] publish_interval_seconds` in streaming.toml"
        }
        "max_segments" => "how many segments are listed follows from `window_size` and `look_ahead` in `[streaming]`",
        "jingle_cycle" => "write `cycle` in `[jingles]` of setup.toml",
        _ => return (what, known_keys(table, unknown, keys)),
    };
    (what, reason.to_owned())
}

fn known_keys(table: &str, unknown: &str, keys: &[Key]) -> String {
    if let Some(key) = keys.iter().find(|key| key.name() == unknown && !table.is_empty()) {
        return format!("this key is written as `{}`", key.path);
    }
    let inside = |key: &&Key| key.path.rsplit_once('.').map_or("", |(table, _)| table) == table;
    let mut names: Vec<String> = keys.iter().filter(inside).map(|key| format!("`{}`", key.name())).collect();
    if table.is_empty() {
        let mut tables: Vec<_> = keys.iter().filter_map(|key| key.path.split_once('.')).collect();
        tables.dedup_by_key(|(table, _)| *table);
        names.extend(tables.iter().map(|(table, _)| format!("`[{table}]`")));
    }
    if names.is_empty() { "leave it out".into() } else { format!("known here: {}", names.join(", ")) }
}

/// The table whose keys stand at `offset`: that of the last header above, empty at the top.
fn table_at(text: &str, offset: usize) -> String {
    let above = &text[..floor_boundary(text, offset)];
    let header = |line: &str| {
        let (name, _) = line.trim().strip_prefix('[')?.split_once(']')?;
        Some(name.trim().to_owned())
    };
    let complete = above.rfind('\n').map_or("", |newline| &above[..newline]);
    complete.lines().rev().find_map(header).unwrap_or_default()
}

/// The dotted path of the key that the reader was in: the reader tells it only where it knows no text.
fn path_of(error: &toml::de::Error) -> String {
    let mut error = error.clone();
    error.set_input(None);
    let told = error.to_string();
    let last = told.trim_end().lines().next_back().unwrap_or_default();
    last.strip_prefix("in `").and_then(|rest| rest.strip_suffix('`')).unwrap_or_default().to_owned()
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
