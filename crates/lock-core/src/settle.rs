//! After a takeover from a preemptible owner: waiting until what it left in flight has settled.
//!
//! A step's command can outlive its step, and its owner. The new owner owns at once, but begins
//! its work only when no tool of the old owner's steps is left. Such a tool has inherited the old
//! owner's ticket, and has it kernel-locked for as long as it runs.

use alloc::vec::Vec;

use crate::effect::{Effect, Event, Share, Signal, Slot, Wake};
use crate::machine::{Context, Failure, Flow, Machine, Takeover};
use crate::record::Inode;
use crate::time::{Mono, Now};

/// Waits for the tools of the owner that was taken over from, and ends them when what was left of
/// its announced quiet is over. Begins with the old owner's file open in [`Slot::Judged`], and
/// ends with that closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settle {
    owner: Owner,
    is_open: bool,
    deadline: Mono,
    sent: Option<Signal>,
    holders: Vec<u32>,
    signalled: Vec<u32>,
    at: At,
}

/// What became of the old owner's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    /// It lives, and has its inode locked itself. What it changes it changes in steps, which now
    /// refuse; so it is left alone. Where it cannot be seen its tools cannot either, and all that
    /// can be done is to wait for as long as it announced.
    Lives(u32),
    /// It lives in another pid namespace, so that it cannot be told from its tools: they have what was
    /// left of the quiet to end.
    Elsewhere,
    /// It is dead, so the kernel lock alone says whether a tool of it is left.
    Dead(u32),
    /// It was waiting for the tools of the owner before it, which have this inode locked; as has
    /// that owner itself, if it was replaced while it lived. The inode is not open here, and its
    /// number may be another file's by now, so what holds it is not ended.
    Waited(Inode),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Ask,
    Unlock,
    List,
    Sleep(Mono),
    Signal(Signal),
    Close(Result<Settled, Failure>),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Settled {
    /// No tool of the old owner is left.
    Quiet,
    /// These still run, though they were ended where that was possible.
    Running {
        /// Those that have the old inode locked, as far as they can be seen.
        holders: Vec<u32>,
        /// Those that were sent a signal.
        signalled: Vec<u32>,
    },
}

impl Settle {
    /// What has to be waited for after this takeover, if anything may have to be.
    #[must_use]
    pub fn after(context: &Context, takeover: &Takeover, now: Now) -> Option<Self> {
        let from = takeover.from.as_ref()?;
        let waited = from.detail.as_ref().and_then(|detail| detail.after);
        let is_visible =
            from.detail.as_ref().is_some_and(|detail| detail.process.pidns == context.birth.pidns);
        let owner = match waited {
            Some(inode) => Owner::Waited(inode),
            None if !takeover.is_held => return None,
            None if takeover.reason.owner_lives() => match is_visible {
                true => Owner::Lives(from.pid),
                false => Owner::Elsewhere,
            },
            None => Owner::Dead(from.pid),
        };
        // What the owner before announced is not known any more.
        let patience = match waited {
            Some(_) => takeover.in_flight.max(context.policy.grace * 2),
            None => takeover.in_flight,
        };
        let mut settle = Self {
            owner,
            is_open: takeover.is_held,
            deadline: now.mono.after(patience),
            sent: None,
            holders: Vec::new(),
            signalled: Vec::new(),
            at: At::Ask,
        };
        settle.at = settle.look();
        Some(settle)
    }

    /// The processes that were last seen to run, and when they will be ended.
    #[must_use]
    pub fn waiting(&self) -> (&[u32], Mono) {
        (&self.holders, self.deadline)
    }

    const fn look(&self) -> At {
        match self.owner {
            Owner::Lives(_) | Owner::Waited(_) => At::List,
            Owner::Dead(_) | Owner::Elsewhere => At::Ask,
        }
    }

    /// It is over: the old owner's file is closed, if it is open.
    fn close(mut self, outcome: Result<Settled, Failure>) -> Flow<Self, Result<Settled, Failure>> {
        if !self.is_open {
            return Flow::Done(outcome);
        }
        self.at = At::Close(outcome);
        Flow::Go(self)
    }

    /// Not past the deadline.
    fn sleep(mut self, context: &Context, now: Now) -> Flow<Self, Result<Settled, Failure>> {
        let left = self.deadline.since(now.mono);
        self.at = At::Sleep(now.mono.after(left.min(context.policy.poll)));
        Flow::Go(self)
    }

    /// Some tool of the old owner runs.
    fn runs(mut self, context: &Context, now: Now) -> Flow<Self, Result<Settled, Failure>> {
        if now.mono < self.deadline {
            return self.sleep(context, now);
        }
        self.at = match (self.owner, self.sent) {
            (Owner::Waited(_), _) | (_, Some(Signal::Kill)) => {
                let (holders, signalled) = (self.holders.clone(), self.signalled.clone());
                return self.close(Ok(Settled::Running { holders, signalled }));
            }
            (_, None) => At::Signal(Signal::Term),
            (_, Some(Signal::Term)) => At::Signal(Signal::Kill),
        };
        Flow::Go(self)
    }
}

impl Machine for Settle {
    type Output = Result<Settled, Failure>;

    fn effect(&self, _: &Context) -> Effect {
        let slot = Slot::Judged;
        match &self.at {
            At::Ask => Effect::Lock(slot, Share::Shared),
            At::Unlock => Effect::Unlock(slot),
            At::List => match self.owner {
                Owner::Waited(inode) => Effect::ListHoldersOf(inode),
                Owner::Lives(_) | Owner::Elsewhere | Owner::Dead(_) => Effect::ListHolders(slot),
            },
            At::Sleep(until) => Effect::Sleep { until: *until },
            At::Signal(signal) => {
                let (first, spared) = match self.owner {
                    Owner::Lives(pid) => (pid, true),
                    Owner::Dead(pid) => (pid, false),
                    Owner::Elsewhere | Owner::Waited(_) => (0, true),
                };
                Effect::Signal { slot, first, spared, signal: *signal }
            }
            At::Close(_) => Effect::Close(slot),
        }
    }

    fn step(mut self, context: &Context, now: Now, event: Event) -> Flow<Self, Self::Output> {
        let failed = Failure::of(&self.effect(context), &event);
        match (self.at.clone(), event) {
            (At::Ask, Event::Done) => self.at = At::Unlock,
            (At::Ask, Event::Busy) => match self.owner {
                Owner::Dead(_) | Owner::Waited(_) => self.at = At::List,
                Owner::Lives(_) | Owner::Elsewhere if now.mono < self.deadline => {
                    return self.sleep(context, now);
                }
                Owner::Lives(_) | Owner::Elsewhere => return self.close(Ok(Settled::Quiet)),
            },
            (At::Unlock, _) => return self.close(Ok(Settled::Quiet)),
            (At::List, Event::Holders(mut holders)) => {
                if let Owner::Lives(pid) = self.owner {
                    let is_seen = holders.contains(&pid);
                    holders.retain(|holder| *holder != pid);
                    if holders.is_empty() && !is_seen {
                        self.at = At::Ask;
                        return Flow::Go(self);
                    }
                }
                if let Owner::Waited(inode) = self.owner {
                    holders.retain(|holder| *holder != inode.spared);
                }
                if holders.is_empty() && !matches!(self.owner, Owner::Dead(_)) {
                    return self.close(Ok(Settled::Quiet));
                }
                self.holders = holders;
                return self.runs(context, now);
            }
            (At::Sleep(_), Event::Woken(Wake::Cancelled)) => {
                return self.close(Err(Failure::Cancelled));
            }
            (At::Sleep(_), Event::Woken(_)) => self.at = self.look(),
            (At::Signal(signal), Event::Holders(pids)) => {
                self.sent = Some(signal);
                self.signalled.extend(pids);
                self.deadline = now.mono.after(context.policy.grace);
                self.at = self.look();
            }
            (At::Close(outcome), _) => return Flow::Done(outcome),
            _ => return self.close(Err(failed)),
        }
        Flow::Go(self)
    }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
