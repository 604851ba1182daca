//! Many contenders that are used again and again, because starting them takes longer than
//! what they do.

use std::time::Duration;

use lock_tests::{Arena, now_ns};

use super::Child;
use super::child::overlaps;

/// How long before its start a round is announced: enough for everyone to have been told.
const HEAD_START: Duration = Duration::from_millis(2);

/// Contenders that do the same at the same time.
pub(crate) struct Crew(pub(crate) Vec<Child>);

impl Crew {
    pub(crate) fn contenders(size: usize, arena: &Arena, options: &[&str]) -> Self {
        Self((0..size).map(|_| Child::contender(arena, options)).collect())
    }

    /// Sends everyone to another scene.
    pub(crate) fn open(&mut self, arena: &Arena) {
        self.all(&format!("open {}", arena.root()), "open");
    }

    /// Everyone acquires, works and releases, all from the same instant on.
    pub(crate) fn cycle(&mut self, us: u32, what: &str) {
        let at = start();
        self.all(&format!("cycle {us} {at}"), what);
    }

    /// The same with so many threads each.
    pub(crate) fn threads(&mut self, threads: u32, times: u32, us: u32, what: &str) {
        let at = start();
        self.all(&format!("threads {threads} {times} {us} {at}"), what);
    }

    /// Everyone is told, then everyone must have succeeded.
    pub(crate) fn all(&mut self, command: &str, what: &str) {
        for child in &mut self.0 {
            child.say(command);
        }
        for child in &mut self.0 {
            let reply = child.reply();
            if reply["ok"] != true || overlaps(&reply) {
                child.fail(&format!("must succeed: {what}"));
            }
        }
    }
}

/// The instant at which a round begins.
pub(crate) fn start() -> u64 {
    now_ns() + u64::try_from(HEAD_START.as_nanos()).expect("because it is short")
}
