//! Many tasks on a few threads.

use std::{
    ops::ControlFlow,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// Works on the tasks in their order, `jobs` at once, and hands each result over as it comes, on the calling thread.
///
/// After a `Break` no further task is begun; those that have begun are waited for and not handed over.
pub(super) fn each<T: Sync, R: Send>(
    tasks: &[T],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(&T, R) -> ControlFlow<()>,
) {
    let (next, halted) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, results) = mpsc::sync_channel(jobs.max(1));
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, tasks.len().max(1)) {
            let sender = sender.clone();
            let (next, halted, work) = (&next, &halted, &work);
            scope.spawn(move || {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if halted.load(Ordering::Relaxed) || sender.send((task, work(task))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (task, result) in results {
            if done(task, result).is_break() {
                halted.store(true, Ordering::Relaxed);
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once() {
        let tasks: Vec<u32> = (0..500).collect();
        let mut results = Vec::new();
        each(
            &tasks,
            7,
            |task| task * 2,
            |task, result| {
                results.push((*task, result));
                ControlFlow::Continue(())
            },
        );
        results.sort_unstable();
        assert_eq!(results, tasks.iter().map(|task| (*task, task * 2)).collect::<Vec<_>>());
        each(&[0u8; 0], 3, |_| (), |_, ()| panic!("there are no tasks"));
    }

    #[test]
    fn a_break_ends_it() {
        let begun = AtomicUsize::new(0);
        let tasks: Vec<u32> = (0..10_000).collect();
        let count = |_: &u32| begun.fetch_add(1, Ordering::Relaxed);
        each(&tasks, 4, count, |_, _| ControlFlow::Break(()));
        assert!(begun.into_inner() < 100);
    }
}
