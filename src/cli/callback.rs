//! Callbacks on the command line: what is told to whom, and what is left to tell.

use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::say;
use crate::{
    callback::{Outbox, Secret, Sender},
    config,
    disk::{Disk, Layout},
    radio::manifest::Meta,
};

/// How long `setup` stays to deliver what it has made; the rest is delivered by the station, or by the next setup.
const PATIENCE: Duration = Duration::from_secs(10);
/// Threads that look up hosts.
const BLOCKING_THREADS: usize = 2;

/// The callbacks of a station, if it is to make any.
pub(super) struct Callbacks(Option<(Sender, Outbox)>);

impl Callbacks {
    /// As configured.
    pub(super) fn load(layout: &Layout, config: &config::Setup) -> anyhow::Result<Self> {
        let Some(target) = config.callback.clone() else { return Ok(Self(None)) };
        let secret = Secret::load(layout).context("callbacks cannot be signed")?;
        tracing::debug!(key = secret.id(), "callbacks are signed");
        Ok(Self(Some((Sender::new(target, secret), Outbox::of(layout, Disk::default())))))
    }

    /// An item was made.
    pub(super) fn made(&self, meta: &Meta) {
        let Some((_, outbox)) = &self.0 else { return };
        if let Err(error) = outbox.put(meta) {
            tracing::warn!(id = meta.id, %error, "nobody is called back for this recording");
        }
    }

    /// Delivers what there is, for a moment.
    pub(super) fn deliver(&self, runtime: &tokio::runtime::Runtime) {
        let Some((sender, outbox)) = &self.0 else { return };
        if let Some(left) = runtime.block_on(sender.deliver(outbox, PATIENCE)) {
            say(&format!("{left}: the station delivers them, or the next setup"));
        }
    }

    /// Delivers from now on, on a thread of its own: what waits lies on the disk, and the air is not to wait for that.
    pub(super) fn run(self, stop: CancellationToken) {
        let Some((sender, outbox)) = self.0 else { return };
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(BLOCKING_THREADS).enable_all().build();
        let begun = runtime.and_then(|runtime| {
            let deliver = move || runtime.block_on(sender.run(outbox, stop));
            std::thread::Builder::new().name("callbacks".into()).spawn(deliver)
        });
        if let Err(error) = begun {
            tracing::error!(%error, "callbacks wait for the next start");
        }
    }
}
