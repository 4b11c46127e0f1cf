//! `preview`: what will air, one line an item.

use std::path::Path;

use super::{OK, say};
use crate::{
    config,
    disk::Layout,
    radio::time::Span,
    streamer::preview::{Coming, preview},
};

/// Prints what airs within `hours` from now.
pub(super) fn run(dir: &Path, hours: u32, json: bool) -> anyhow::Result<u8> {
    let layout = Layout::new(std::path::absolute(dir)?);
    let streaming = config::Streaming::load(&layout.streaming_toml())?;
    let setup = config::Setup::load(&layout.setup_toml())?;
    let rules = streaming.rules(&setup);
    for item in preview(&layout, &rules, Span::seconds(u64::from(hours) * 3_600))? {
        say(&if json { serde_json::to_string(&item)? } else { line(&item) });
    }
    Ok(OK)
}

fn line(item: &Coming) -> String {
    let Coming { starts, ends, kind, title, artist, entry } = item;
    let name = if artist.is_empty() { title.clone() } else { format!("{artist} - {title}") };
    format!("{starts}  {ends}  {:6}  {name}  ({entry})", kind.word())
}
