//! Calls that the system refuses, and clocks that are set.

use lock_core::effect::{Effect, Errno, Event};

use super::World;
use super::files::Pid;
use super::kernel::{Call, Caller};
use super::process::{Life, Process};
use crate::scope::{Universe, clocks};

/// How a call is refused.
///
/// One error number stands for all: that the machines go the same ways for EIO, ENOSPC,
/// EACCES and EMFILE is a test of theirs (`every_error_number_is_taken_alike`). The numbers
/// that mean something are answers of their own: a name that is taken or absent, a lock that
/// is held, a call that this file system does not have. EINTR reaches no machine: `lock-fs`
/// makes the call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nothing was done.
    Whole,
    /// The disk is full in the middle of a write.
    Half,
}

const EIO: Event = Event::Failed(Errno(5));

impl Refusal {
    /// How this call may be refused. Closing, unlocking and sleeping do not fail.
    #[must_use]
    pub const fn of(call: &Call) -> &'static [Self] {
        match call {
            Call::Core(
                Effect::Close(_) | Effect::Unlock(_) | Effect::Sleep { .. } | Effect::Signal { .. },
            ) => &[],
            Call::Core(Effect::Write(..)) => &[Self::Whole, Self::Half],
            _ => &[Self::Whole],
        }
    }
}

impl World {
    /// What a refused call does all the same, and what the caller is told.
    pub(super) fn refuse(
        &mut self,
        universe: &Universe,
        pid: Pid,
        refusal: Refusal,
    ) -> Option<Event> {
        let call = self.call(universe, pid)?;
        let possible = Refusal::of(&call).contains(&refusal) && self.files.unlinker() != Some(pid);
        if !possible {
            return None;
        }
        if let (Refusal::Half, Call::Core(Effect::Write(slot, text))) = (refusal, call) {
            let mut process = Process::clone(self.process(pid)?);
            let half = text.get(..text.len() / 2).unwrap_or_default().to_owned();
            let wall = self.wall();
            let abilities = universe.scope.abilities;
            let (files, process, notices) = (&mut self.files, &mut process, &mut Vec::new());
            Caller { files, process, pid, abilities, wall, notices }
                .perform(&Call::Core(Effect::Write(slot, half)));
        }
        Some(EIO)
    }

    /// What the file system's clock says.
    pub(super) fn wall(&self) -> u64 {
        clocks(self.clock, self.clock.wall, 0).wall.0
    }

    /// Sets a wall clock: someone's who runs, or the file system's.
    pub(super) fn set_wall(&mut self, whose: Option<Pid>, by: i8) -> Option<()> {
        let Some(pid) = whose else {
            self.clock.wall += by;
            return Some(());
        };
        let process = self.process(pid).filter(|process| process.life == Life::Running)?;
        let wall = process.wall + by;
        let process = Process { wall, ..Process::clone(process) };
        self.put(pid, process);
        Some(())
    }
}
