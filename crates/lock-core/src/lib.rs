//! The decisions of a cross-process lock file with takeover, as sans-IO state machines.
//!
//! Nothing here does I/O, reads a clock or starts a thread: outside its tests the crate is
//! `no_std`, so that would not compile. A [`machine`] asks for one [`Effect`] after another,
//! each a single system call, and is told what came of it and what the clocks say. `lock-fs`
//! performs the effects on a file system; a simulator performs them in a model of one, so
//! that the very code that ships is what gets explored.
//!
//! * [`verdict`] holds the rules: free, stale, timed out, or wait. Its table is the one
//!   place where times are compared.
//! * [`Acquire`] becomes owner; [`Settle`] waits for what an owner that was replaced has left;
//!   [`Hold`] renews, steps and releases; [`Glance`] tells an owner of its loss; [`Evict`] takes
//!   a lock away on a person's order; [`Inspect`], [`Peek`] and [`Waiters`] only look.
//! * [`record`] is what stands in a lock file, [`policy`] what a user may set.
//!
//! [`Effect`]: effect::Effect

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod acquire;
mod attempt;
mod chores;
mod claim;
mod count;
mod decide;
pub mod effect;
mod entry;
mod evict;
mod examine;
mod generation;
mod glance;
mod hold;
mod inside;
mod inspect;
mod line;
mod lines;
mod look;
pub mod machine;
mod mutex;
mod nap;
mod own;
mod past;
mod peek;
pub mod policy;
mod publish;
mod queue;
mod reap;
pub mod record;
mod settle;
pub mod snapshot;
mod stall;
mod sweep;
mod ticket;
pub mod time;
mod turn;
pub mod verdict;
mod vigil;
mod waiters;

#[cfg(test)]
mod testing;

pub use acquire::Acquire;
pub use chores::{Chores, LeftOpen};
pub use decide::Waiting;
pub use evict::{Evict, Evicted};
pub use generation::BLOCK as GENERATION_BLOCK;
pub use glance::{Glance, Glimpse};
pub use hold::{Held, Hold};
pub use inspect::Inspect;
pub use machine::Acquired;
pub use peek::Peek;
pub use settle::{Settle, Settled};
pub use waiters::Waiters;
