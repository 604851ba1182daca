//! Somebody who follows no rule: files that appear or vanish between two calls.
//!
//! A file that appears is judged like any other: empty and unlocked, it is not a lock, and
//! as a guard it is nobody's once it is old. A lock that vanishes has been taken away from
//! its owner, as on a person's order. So every promise is kept.
//!
//! Not so if a guard vanishes, were it a dead one's: between a reaper's look at it and the
//! reaper's rename, another may then make its own. That is why a name is removed only by
//! whoever holds its inode's kernel lock, and why the docs tell people to leave guards alone.

use lock_core::effect::Name;

use super::World;
use super::files::{Outcome, Pid};
use crate::scope::Universe;

/// What a hand does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hand {
    /// Makes an empty file where there is none.
    Make(Name),
    /// Removes a file.
    Remove(Name),
}

/// Where hands are laid. Not on the generation file: what it says is nowhere else.
const NAMES: [Name; 5] =
    [Name::Lock, Name::Mutex, Name::Reclaim, Name::Takeover, Name::GenerationDraft];

const GUARDS: [Name; 2] = [Name::Mutex, Name::Reclaim];

impl World {
    /// What hands may do now: anything, as long as they leave guards where they are; and
    /// what robbers may do, who take those away.
    pub(crate) fn hands(&self) -> impl Iterator<Item = Hand> {
        NAMES.into_iter().filter_map(|name| match self.files.lookup(name, 0) {
            _ if self.files.unlinker().is_some() => None,
            None if self.budgets.hands > 0 => Some(Hand::Make(name)),
            Some(_) if GUARDS.contains(&name) => {
                (self.budgets.robberies > 0).then_some(Hand::Remove(name))
            }
            Some(_) if self.budgets.hands > 0 => Some(Hand::Remove(name)),
            _ => None,
        })
    }

    /// Makes or removes a file.
    pub(super) fn lay_hand_on(&mut self, universe: &Universe, hand: Hand) -> Option<()> {
        self.hands().find(|possible| *possible == hand)?;
        let mut notices = Vec::new();
        match hand {
            Hand::Make(name) => {
                self.budgets.hands -= 1;
                let ino = self.files.create(self.wall(), None);
                self.files.link(ino, name, 0, &mut notices);
            }
            Hand::Remove(name) => {
                match GUARDS.contains(&name) {
                    true => self.budgets.robberies -= 1,
                    false => self.budgets.hands -= 1,
                }
                if name == Name::Lock {
                    let owner = self.files.file(name, 0).and_then(|inode| inode.maker);
                    self.break_owner(owner);
                    self.overrule(owner);
                }
                let done = self.files.unlink(name, 0, &mut notices);
                debug_assert_eq!(done, Outcome::Done);
            }
        }
        self.notify(Pid::MAX, &notices);
        self.judge(universe);
        Some(())
    }
}
