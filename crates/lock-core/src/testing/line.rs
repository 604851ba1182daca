//! Contenders in line, and what becomes of them.

use crate::acquire::Acquire;
use crate::effect::Effect;
use crate::hold::{Held, Hold};
use crate::machine::{Acquired, Context, Failure, Ownership};
use crate::testing::disk::Disk;
use crate::testing::process;
use crate::testing::worker::Worker;
use crate::time::Mono;

pub(crate) fn contender(disk: &Disk, name: &str) -> Worker<Acquire> {
    Worker::contender(disk, process(name))
}

/// Contenders that wait, one behind the other.
pub(crate) fn line<const N: usize>(disk: &mut Disk, names: [&str; N]) -> [Worker<Acquire>; N] {
    line_of(disk, names.map(process))
}

/// The same, with settings and terms of their own.
pub(crate) fn line_of<const N: usize>(
    disk: &mut Disk,
    contexts: [Context; N],
) -> [Worker<Acquire>; N] {
    let line = contexts.map(|context| Worker::contender(disk, context).until(disk, "Sleep"));
    disk.story();
    line
}

/// They all run, side by side, until that instant; or until each has ended.
pub(crate) fn together(disk: &mut Disk, workers: &mut [Worker<Acquire>], end: Mono) {
    loop {
        let wakes = |worker: &Worker<Acquire>| match worker.effect()? {
            Effect::Sleep { until } if !disk.wakes(worker.context.pid) => Some(until),
            _ => Some(disk.now.mono),
        };
        let next = workers.iter_mut().filter_map(|worker| Some((wakes(worker)?, worker)));
        match next.min_by_key(|(at, _)| *at) {
            Some((at, worker)) if at <= end => worker.step(disk),
            _ => break,
        };
    }
    disk.pass(end.0.saturating_sub(disk.now.mono.0));
}

pub(crate) fn release(disk: &mut Disk, context: &Context, ownership: Ownership) {
    let machine = Hold::release(context, disk.now, ownership);
    let held = Worker::new(context.clone(), machine).run(disk);
    assert_eq!(held, Ok(Held::Released));
    disk.let_go(context.pid);
}

pub(crate) fn acquired(outcome: Result<Acquired, Failure>) -> Ownership {
    outcome.expect("because it becomes owner").ownership
}
