//! What the machines did to a disk, line by line.
//!
//! Every effect becomes a line of the story. A line with a `!` tells of something that was
//! possible, but that no machine should ever ask for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::chores::LeftOpen;
use crate::effect::{Effect, Event, Name, Share, Slot};
use crate::machine::Context;
use crate::record::Token;
use crate::testing::disk::{Disk, Lack, Open};

impl Disk {
    /// Performs an effect for the process of `context`, and tells of it.
    pub(crate) fn perform(&mut self, context: &Context, effect: &Effect) -> Event {
        let complaint = self.complaint(context.pid, effect);
        let length = match effect {
            Effect::Sleep { until } => format!("({:?})", until.since(self.now.mono)),
            _ => String::new(),
        };
        let event = self.call(context, effect);
        let result = match &event {
            Event::Done | Event::Stat(_) | Event::Bytes(_) => String::new(),
            event => format!(" → {event:?}"),
        };
        let complaint = complaint.map_or(String::new(), |why| format!(" ! {why}"));
        let line = format!("{effect}{length}{result}{complaint}");
        self.tell(&context.token, &line);
        event
    }

    pub(crate) fn tell(&mut self, who: &Token, what: &str) {
        self.story.push(format!("{who}  {what}"));
    }

    /// The story so far, and what is left on the disk; then a new one begins.
    pub(crate) fn story(&mut self) -> String {
        let mut lines = core::mem::take(&mut self.story);
        lines.push(format!("left: {}", self.names().join(", ")));
        lines.join("\n")
    }

    /// The lines of the story with something that no machine should do.
    pub(crate) fn complaints(&self) -> Vec<&str> {
        let lines = self.story.iter().map(String::as_str);
        lines.filter(|line| line.contains(" ! ")).collect()
    }

    /// The names that are taken; not the queue's directory, which may stay when it is empty.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.names.keys().map(String::as_str).filter(|name| *name != "Queue").collect()
    }

    pub(crate) fn open_slots(&self, pid: u32) -> Vec<Slot> {
        self.slots(pid).map(|(slot, _)| slot).collect()
    }

    /// What a machine has left open, as its driver tells it.
    pub(crate) fn left_open(&self, pid: u32) -> Vec<LeftOpen> {
        self.slots(pid).map(|(slot, open)| LeftOpen { slot, locked: open.lock.is_some() }).collect()
    }

    /// Whether the name leads to an inode that the process has locked.
    pub(crate) fn holds(&self, pid: u32, name: Name) -> bool {
        let inode = self.names.get(&format!("{name:?}"));
        let ours = |open: Open| Some(&open.inode) == inode && open.lock == Some(Share::Exclusive);
        self.slots(pid).any(|(_, open)| ours(open))
    }

    /// Whether the name leads to an inode that the process has locked in shared mode.
    fn shares(&self, pid: u32, name: Name) -> bool {
        let inode = self.names.get(&format!("{name:?}"));
        let shared = |open: Open| Some(&open.inode) == inode && open.lock == Some(Share::Shared);
        self.slots(pid).any(|(_, open)| shared(open))
    }

    fn complaint(&self, pid: u32, effect: &Effect) -> Option<&'static str> {
        let has_locks = !self.lacks.contains(&Lack::Locks);
        let open = |slot: &Slot| self.open.get(&(pid, *slot));
        match effect {
            Effect::CreateAnonymous(slot) | Effect::Create(slot, _) | Effect::Open { slot, .. } => {
                open(slot).map(|_| "the slot is in use")
            }
            Effect::Unlock(slot) => match open(slot) {
                None => Some("not open"),
                Some(Open { lock: None, .. }) => Some("not locked"),
                Some(_) => None,
            },
            Effect::Close(slot) => match open(slot) {
                None => Some("not open"),
                Some(Open { lock: Some(_), .. }) => Some("not unlocked first"),
                Some(_) => None,
            },
            Effect::Unlink(name @ (Name::Mutex | Name::Reclaim)) if has_locks => {
                let reaping = *name == Name::Mutex
                    && self.holds(pid, Name::Reclaim)
                    && self.shares(pid, Name::Mutex);
                (!self.holds(pid, *name) && !reaping).then_some("not ours to remove")
            }
            Effect::Unlink(Name::Lock) | Effect::Rename { to: Name::Lock, .. } if has_locks => {
                (!self.holds(pid, Name::Mutex)).then_some("outside the mutex")
            }
            _ => None,
        }
    }
}
