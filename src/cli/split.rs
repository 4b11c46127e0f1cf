//! `split`: recordings that are there on demand only.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::{
    FAILED, STOP,
    callback::Callbacks,
    say,
    setup::{aired, constants, retention, tools},
    stop_on_signal,
};
use crate::{
    config,
    disk::Layout,
    radio::manifest::Meta,
    setup::{self, Progress, Teller, Tools},
};

/// Splits files to their end or until a signal.
pub(super) fn run(dir: &Path, files: &[PathBuf]) -> anyhow::Result<u8> {
    let runtime = stop_on_signal()?;
    let layout = Layout::new(std::path::absolute(dir)?);
    let streaming = config::Streaming::load(&layout.streaming_toml())?;
    let config = config::Setup::load(&layout.setup_toml())?;
    let job = config.job();
    let options = setup::Options { station_constants: constants(&layout, &job.settings)?, ..setup::Options::default() };
    let teller = Mutex::new(Teller::new());
    let tell = |progress: &Progress<'_>| {
        if let Ok(mut teller) = teller.lock() {
            teller.tell(progress);
        }
    };
    let aired = || aired(&layout);
    let callbacks = Callbacks::load(&layout, &config)?;
    let made = |meta: &Meta| callbacks.made(meta);
    let tools = Tools { retention: retention(&streaming, &config), aired: &aired, made: &made, ..tools(&tell) };
    let split = setup::split(&layout, &job, &options, files, &tools, &STOP)?;
    drop(teller);
    for recorded in &split.recorded {
        recorded.lists.iter().for_each(|list| say(&format!("{}: {list}", recorded.path)));
    }
    split.skipped.iter().for_each(|skipped| say(&format!("skipped {}: {}", skipped.path, skipped.why)));
    split.unsettled.iter().for_each(|path| say(&format!("not settled yet: {path}")));
    callbacks.deliver(&runtime);
    Ok(if split.stopped { FAILED } else { split.exit_code() })
}
