//! Runs several cases at once, and tells of them in their order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use lock_core::policy::PolicyError;

use super::{Case, Row};

/// Runs the cases on so many threads and shows each row as soon as it is its turn.
///
/// # Errors
///
/// When a scope's settings do not fit together, or a row cannot be shown. Cases that have
/// begun are run to their end all the same.
pub fn run_all<E: From<PolicyError>>(
    cases: &[Case],
    threads: usize,
    mut show: impl FnMut(Row) -> Result<(), E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, cases.len().max(1)) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((at, case)) = take(cases, next) {
                    // Nobody listens any more once something could not be shown.
                    if sender.send((at, case.run())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut due = 0;
        for (at, row) in receiver {
            early.insert(at, row?);
            while let Some(row) = early.remove(&due) {
                show(row)?;
                due += 1;
            }
        }
        Ok(())
    })
}

fn take<'a>(cases: &'a [Case], next: &AtomicUsize) -> Option<(usize, &'a Case)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    cases.get(at).map(|case| (at, case))
}
