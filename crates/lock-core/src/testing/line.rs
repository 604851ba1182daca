//! Contenders in line, and what becomes of them.

use crate::acquire::{Acquire, Acquired};
use crate::hold::{Held, Hold};
use crate::machine::{Context, Failure, Ownership};
use crate::testing::disk::Disk;
use crate::testing::process;
use crate::testing::worker::Worker;

pub(crate) fn contender(disk: &Disk, name: &str) -> Worker<Acquire> {
    Worker::contender(disk, process(name))
}

/// Contenders that wait, one behind the other.
pub(crate) fn line<const N: usize>(disk: &mut Disk, names: [&str; N]) -> [Worker<Acquire>; N] {
    let line = names.map(|name| contender(disk, name).until(disk, "Sleep"));
    disk.story();
    line
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
