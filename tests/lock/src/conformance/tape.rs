//! A trace, played back call by call.

use std::collections::{BTreeMap, BTreeSet};

use lock_core::record::Record;
use lock_core::time::{Boot, Mono, Now, Wall};

use super::place::Place;
use crate::strace::{self, Call};

/// The calls of a process and its children, by thread.
pub(crate) struct Tape<'a> {
    calls: &'a [Call],
    lanes: BTreeMap<u32, Lane>,
    /// Those that concern the lock.
    concerning: BTreeSet<usize>,
    /// Threads of processes that the program has started.
    children: BTreeSet<u32>,
    keepers: BTreeSet<u32>,
    ahead: Ahead,
}

/// How far the other clocks are ahead of the wall clock, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    pub(crate) boot: i64,
    pub(crate) mono: i64,
}

/// The calls of one thread, as indices, and how many have been played.
#[derive(Default)]
struct Lane {
    calls: Vec<usize>,
    played: usize,
}

/// Between two calls of a thread the clocks were read; in microseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// How far the clocks may drift apart between the trace and its reading, in milliseconds.
pub(crate) const DRIFT_MS: u64 = 20;

/// Calls that have to do with no file, so that they may stand between any two effects: memory,
/// locks between threads, who one is, chance, signals' masks, and words for a person. So may
/// whatever a signal's handler does.
const IN_BETWEEN: [&str; 18] = [
    "brk",
    "clock_gettime",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "ioctl",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "sigaltstack",
    "write",
];

/// The thread that renews gives itself this name.
const KEEPER: &str = "\"lock-keeper\"";

impl<'a> Tape<'a> {
    pub(crate) fn new(calls: &'a [Call], place: &Place, ahead: Ahead) -> Self {
        let mut lanes: BTreeMap<u32, Lane> = BTreeMap::new();
        let (mut children, mut keepers) = (BTreeSet::new(), BTreeSet::new());
        for (index, call) in calls.iter().enumerate() {
            lanes.entry(call.thread).or_default().calls.push(index);
            if call.name == "prctl" && call.arguments.ends_with(KEEPER) {
                keepers.insert(call.thread);
            }
            let forks = ["clone", "clone3", "fork", "vfork"].contains(&call.name.as_str());
            let is_thread = call.arguments.contains("CLONE_THREAD");
            let born = call.number().and_then(|pid| u32::try_from(pid).ok());
            if let (true, Some(born)) = (forks, born)
                && (!is_thread || children.contains(&call.thread))
            {
                children.insert(born);
            }
        }
        let concerning = calls.iter().enumerate();
        let concerning = concerning.filter(|(_, call)| !is_check(call) && place.concerns(call));
        let concerning = concerning.map(|(index, _)| index).collect();
        Self { calls, lanes, concerning, children, keepers, ahead }
    }

    /// The process itself.
    pub(crate) fn process(&self) -> u32 {
        self.calls.first().map_or(0, |call| call.thread)
    }

    pub(crate) fn is_child(&self, thread: u32) -> bool {
        self.children.contains(&thread)
    }

    pub(crate) fn is_keeper(&self, thread: u32) -> bool {
        self.keepers.contains(&thread)
    }

    /// The first call, by whomever, that has not been played and concerns the lock.
    pub(crate) fn next_concerning(&self) -> Option<&'a Call> {
        let first = |lane: &Lane| lane.left().find(|index| self.concerning.contains(index));
        self.calls.get(self.lanes.values().filter_map(first).min()?)
    }

    /// The next call of a thread that is more than what may stand between two effects.
    pub(crate) fn peek(&self, thread: u32) -> Option<&'a Call> {
        let mut left = self.lanes.get(&thread)?.left();
        let counts = |index: &usize| {
            let call = self.calls.get(*index);
            self.concerning.contains(index) || call.is_some_and(|call| !is_in_between(call))
        };
        self.calls.get(left.find(counts)?)
    }

    /// Whether a call concerns the lock.
    pub(crate) fn concerns(&self, call: &Call) -> bool {
        let index = self.calls.partition_point(|other| other.line < call.line);
        self.concerning.contains(&index)
    }

    /// Takes a call as played, and what came before it on its thread.
    pub(crate) fn play(&mut self, call: &Call) {
        self.wind(call, 1);
    }

    /// Takes what came before a call on its thread as played.
    pub(crate) fn wind_to(&mut self, call: &Call) {
        self.wind(call, 0);
    }

    fn wind(&mut self, call: &Call, past: usize) {
        if let Some(lane) = self.lanes.get_mut(&call.thread) {
            let calls = self.calls;
            let is_it = |index: &usize| calls.get(*index).is_some_and(|c| c.line == call.line);
            let skipped = lane.left().position(|index| is_it(&index));
            lane.played += skipped.map_or(0, |skipped| skipped + past);
        }
    }

    /// When the thread read the clocks: after what it has last been played, before whatever it
    /// does next.
    pub(crate) fn window(&self, thread: u32) -> Window {
        let Some(lane) = self.lanes.get(&thread) else {
            return Window { from: 0, to: 0 };
        };
        let call = |at: usize| lane.calls.get(at).and_then(|index| self.calls.get(*index));
        let last = lane.played.checked_sub(1).and_then(call);
        let next = call(lane.played);
        let from = last.map_or(0, |call| call.ended.unwrap_or(call.began));
        Window { from, to: next.map_or(from, |call| call.began) }
    }

    /// The records that a thread will write, each with its call.
    pub(crate) fn records(&self, thread: u32) -> impl Iterator<Item = Record> {
        let lane = self.lanes.get(&thread);
        let left = lane.into_iter().flat_map(Lane::left);
        left.filter_map(|index| self.calls.get(index)).filter_map(record)
    }

    /// What is left of a thread.
    pub(crate) fn rest(&self, thread: u32) -> impl Iterator<Item = &'a Call> {
        let lane = self.lanes.get(&thread);
        let left = lane.into_iter().flat_map(Lane::left);
        left.filter_map(|index| self.calls.get(index))
    }

    /// The clocks at an instant of the trace.
    pub(crate) fn now(&self, at: u64) -> Now {
        let ahead = |by: i64| at.saturating_add_signed(by) / 1000;
        let Ahead { boot, mono } = self.ahead;
        Now { wall: Wall(at / 1000), boot: Boot(ahead(boot)), mono: Mono(ahead(mono)) }
    }

    /// The clocks when two of them showed this.
    pub(crate) fn read(&self, wall: Wall, boot: Boot) -> Now {
        let Ahead { boot: boots, mono } = self.ahead;
        Now { wall, boot, mono: Mono(boot.0.saturating_add_signed((mono - boots) / 1000)) }
    }

    /// Whether the clocks can have shown this within the window.
    pub(crate) fn shows(&self, window: Window, now: Now) -> bool {
        let (from, to) = (self.now(window.from), self.now(window.to));
        let wall = (from.wall.0..=to.wall.0).contains(&now.wall.0);
        let boot = from.boot.0.saturating_sub(DRIFT_MS)..=to.boot.0 + DRIFT_MS;
        wall && boot.contains(&now.boot.0)
    }
}

impl Lane {
    fn left(&self) -> impl Iterator<Item = usize> {
        self.calls.iter().skip(self.played).copied()
    }
}

fn is_in_between(call: &Call) -> bool {
    call.in_handler || IN_BETWEEN.contains(&call.name.as_str()) || is_check(call)
}

/// What the standard library asks before each close, when it is built with its own checks on.
fn is_check(call: &Call) -> bool {
    call.name == "fcntl" && call.arg(1) == "F_GETFD"
}

/// The record of ours that a call writes.
pub(crate) fn record(call: &Call) -> Option<Record> {
    let bytes = strace::text(call.arg(1)).filter(|_| call.name == "pwrite64")?;
    Record::parse(&bytes).ok().filter(|record| record.detail.is_some())
}
