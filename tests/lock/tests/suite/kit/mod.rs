//! Contenders to command, scenes to put them into, file systems to put those on.

mod child;
mod crew;
mod leftovers;
mod mount;
mod scene;
mod stranger;
mod traced;

use std::time::Duration;

pub(crate) use child::{Child, Heard, assert_at_once, overlaps};
pub(crate) use crew::{Crew, start};
pub(crate) use leftovers::{Leftovers, LockLeft, MutexLeft, ReclaimLeft};
pub(crate) use mount::{Mount, has_program, has_strace, is_root, needs, say_aloud};
pub(crate) use scene::{NOBODY, Scene, make_old, wall_ms};
pub(crate) use stranger::Stranger;
pub(crate) use traced::{Traced, settings};

/// Longer than anything takes on a loaded machine; only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What "at once" may take on a loaded machine, far below `stale_after` (30 s).
pub(crate) const AT_ONCE: Duration = Duration::from_secs(3);
