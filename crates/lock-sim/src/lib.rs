//! The lock's machines in a model world.
//!
//! A [`world`] performs the machines' effects on model files with the kernel's rules, and
//! lets go wrong what can: processes are killed or stopped at any call, time passes, calls
//! fail. Two drivers walk through it: [`explore`] takes every way there is in a small scope.

pub mod explore;
mod graph;
pub mod leftover;
pub mod model;
pub mod property;
pub mod scope;
pub mod storm;
pub mod suite;
pub mod words;
pub mod world;
pub mod zoo;

use std::hash::{Hash, Hasher};

/// A state's number: the same on every run.
#[must_use]
pub fn fingerprint<T: Hash>(value: &T) -> u64 {
    ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(value)
}

/// For keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
