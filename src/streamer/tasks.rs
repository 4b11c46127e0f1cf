//! Tasks without which a station would only seem to be on the air. One that breaks, which is a bug, ends the station: it counts
//! on being started again, and what is listed ahead lasts until then. What strangers call for (a connection to the peer, a
//! request at the listener port) is no such task: it breaks alone, or whoever finds how to break it could keep a station down.

use std::{any::Any, future::Future, panic::AssertUnwindSafe};

use futures::FutureExt;
use tokio::{sync::watch, task};

/// The tasks of one station.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks(watch::Sender<Option<String>>);

impl Tasks {
    /// Begins a task; `what` it does is told if it breaks.
    pub(super) fn spawn(
        &self,
        what: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> task::JoinHandle<()> {
        let broken = self.0.clone();
        task::spawn(async move {
            if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
                broken.send_replace(Some(format!("{what}: {}", words(&*panic))));
            }
        })
    }

    /// Waits until one has broken, and gives what it did, and why.
    pub(super) async fn broken(&self) -> String {
        let mut told = self.0.subscribe();
        let told = told.wait_for(Option::is_some).await.map(|told| told.clone());
        told.ok().flatten().unwrap_or_default()
    }
}

/// Does what blocks, and breaks with it. `None` only when the runtime ends.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => None,
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_breaks_is_told_with_what_it_did_and_one_that_ends_is_not() {
        let tasks = Tasks::default();
        tasks.spawn("one that ends", async {}).await.unwrap();
        assert!(tasks.broken().now_or_never().is_none());
        tasks.spawn("the order", async { panic!("at line {}", 7) }).await.unwrap();
        assert_eq!(tasks.broken().await, "the order: at line 7");
    }

    #[tokio::test]
    async fn who_waits_for_what_blocks_breaks_with_it() {
        let tasks = Tasks::default();
        assert_eq!(blocking(|| 7).await, Some(7));
        let work = async {
            blocking(|| panic!("on a thread")).await;
        };
        tasks.spawn("the disk", work).await.unwrap();
        assert_eq!(tasks.broken().await, "the disk: on a thread");
    }
}
