//! The shape of `lock status --json` and `lock explain --json`.

use camino::Utf8Path;
use lock_fs::{KernelLock, Mono, OnTimeout, Policy, Snapshot, Status, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

use super::{doing, next, owner_process, says};
use crate::explain::{Explanation, Seen, Stuck, Waiter};
use crate::owner::{self, Owner};
use crate::report::data;
use crate::tenure::millis;

/// Who has a lock, and who waits for it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusData<'a> {
    #[serde(flatten)]
    lock: data::Lock<'a>,
    /// The `fleet` commands that wait for it; absent where the journal cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiters: Option<Vec<WaiterData<'a>>>,
    /// The processes that have the lock kernel-locked, as far as this user can see them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    holders: &'a [u32],
}

/// A process that waits.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WaiterData<'a> {
    /// Its id.
    pid: u32,
    /// What it is, as a person would type it.
    command: &'a str,
    /// For how long it has waited.
    waited_ms: u64,
}

/// What a waiting process would do about a lock now, and on what evidence.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExplainData<'a> {
    /// The lock.
    #[schemars(with = "String")]
    path: &'a Utf8Path,
    /// `free`, `stale`, `timed_out` or `wait`.
    verdict: &'static str,
    /// Why it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The verdict, and what a waiting process does then, in words.
    says: String,
    /// When the verdict can change by itself at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes_in_ms: Option<u64>,
    /// `held`, `free` or `unknown`: whether the kernel says that the owner, or work that it
    /// started, lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_lock: Option<&'static str>,
    /// Who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
    /// How long ago the owner gave its last sign of life.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_ms: Option<u64>,
    /// What the owner's process does; absent where that cannot be seen from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'static str>,
    /// The processes that have the lock kernel-locked, as far as this user can see them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    holders: &'a [u32],
    /// Who is in the middle of a transition, and does not come out.
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<StuckData<'a>>,
    /// The `fleet` commands that wait for it.
    waiters: Vec<WaiterData<'a>>,
    /// The settings that the verdict goes by.
    policy: PolicyData,
    /// What to type next.
    next: Vec<Next>,
}

/// A process that holds the mutex.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StuckData<'a> {
    /// Its id.
    pid: u32,
    /// What it does; absent where that cannot be seen from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'static str>,
    /// What it is, as a person would type it.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
}

/// How long a process waits, what comes then, and when a preemptible owner counts as hung.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PolicyData {
    stale_after_ms: u64,
    hang_after_ms: u64,
    /// Absent where the wait has no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_wait_ms: Option<u64>,
    /// `stop` or `fail`.
    on_timeout: &'static str,
    no_wait: bool,
}

/// A command line, and what it is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Next {
    /// To be typed as it stands.
    pub(super) command: String,
    /// What comes of it.
    pub(super) does: &'static str,
}

impl<'a> StatusData<'a> {
    /// What a look showed, and who waits.
    pub(super) fn new(
        path: &'a Utf8Path,
        look: Option<&'a Status>,
        waiters: Option<&'a [Waiter]>,
        holders: &'a [u32],
    ) -> Self {
        let waiters = waiters.map(|waiters| waiters.iter().map(WaiterData::new).collect());
        Self { lock: data::Lock::new(path, look), waiters, holders }
    }
}

impl<'a> WaiterData<'a> {
    pub(super) fn new(waiter: &'a Waiter) -> Self {
        let (pid, command) = (waiter.pid, waiter.command.as_str());
        Self { pid, command, waited_ms: millis(waiter.waited) }
    }
}

impl<'a> ExplainData<'a> {
    pub(super) fn new(explanation: &'a Explanation) -> Self {
        let look = explanation.look.as_ref();
        let (verdict, reason, changes_in_ms) = match explanation.verdict() {
            Verdict::Free => ("free", None, None),
            Verdict::Stale(why) => ("stale", Some(owner::stale(why)), None),
            Verdict::TimedOut(_) => ("timed_out", None, None),
            Verdict::Wait { until } => {
                let ends = look.filter(|_| until != Mono(u64::MAX));
                ("wait", None, ends.map(|look| millis(until.since(look.now.mono))))
            }
        };
        let owner = look.and_then(|look| Some((look.owner()?, look.now)));
        Self {
            path: &explanation.path,
            verdict,
            reason,
            says: says(explanation),
            changes_in_ms,
            kernel_lock: look.and_then(|look| kernel_word(&look.lock)),
            owner: owner.map(|(record, now)| Owner::new(record, now)),
            silent_ms: owner.map(|(record, now)| millis(owner::silent_for(record, now))),
            process: owner_process(explanation),
            holders: &explanation.holders.pids,
            stuck: explanation.stuck.as_ref().map(StuckData::new),
            waiters: explanation.waiters.iter().map(WaiterData::new).collect(),
            policy: PolicyData::new(&explanation.policy),
            next: next(explanation),
        }
    }
}

impl<'a> StuckData<'a> {
    pub(super) fn new(stuck: &'a Stuck) -> Self {
        Self {
            pid: stuck.record.pid,
            process: match &stuck.process {
                Seen::Lives(process) => Some(doing(process)),
                Seen::Gone => Some("gone"),
                Seen::Elsewhere => None,
            },
            command: stuck.record.detail.as_ref().map(|detail| detail.command.as_str()),
        }
    }
}

impl PolicyData {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            stale_after_ms: millis(policy.stale_after),
            hang_after_ms: millis(policy.hang_after),
            max_wait_ms: policy.wait_limit.map(millis),
            on_timeout: match policy.on_timeout {
                OnTimeout::Stop => "stop",
                OnTimeout::Fail => "fail",
            },
            no_wait: policy.no_wait,
        }
    }
}

const fn kernel_word(snapshot: &Snapshot) -> Option<&'static str> {
    match snapshot {
        Snapshot::Absent => None,
        Snapshot::Present(seen) => Some(match seen.kernel {
            KernelLock::Held => "held",
            KernelLock::Free => "free",
            KernelLock::Unknown => "unknown",
        }),
    }
}
