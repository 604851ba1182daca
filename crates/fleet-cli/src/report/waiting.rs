//! What is said while a lock is waited for.

use camino::Utf8Path;
use lock_fs::{Life, Lock, Medium, Mono, Notice, Now, OnTimeout, Policy, Record};

use super::lock::typed;
use super::{Screen, held, progress};
use crate::duration::format;
use crate::journal::Signal;
use crate::owner::{self, Who};

/// Tells a person what a wait for a lock is about.
#[derive(Debug)]
pub(crate) struct Teller<'a> {
    screen: &'a mut Screen,
    lock: &'a Lock,
    path: &'a Utf8Path,
    policy: Policy,
    waiting: Option<Waiting>,
}

/// What is waited for, and until when.
#[derive(Debug)]
struct Waiting {
    owner: Option<Box<Record>>,
    /// The processes that hold the lock, where that is not simply its owner's.
    holders: Vec<u32>,
    /// How many others wait before this process.
    before: u32,
    until: Option<Mono>,
}

impl<'a> Teller<'a> {
    /// One for the lock at `path`.
    pub(crate) fn new(
        screen: &'a mut Screen,
        lock: &'a Lock,
        path: &'a Utf8Path,
        policy: Policy,
    ) -> Self {
        Self { screen, lock, path, policy, waiting: None }
    }

    /// Something happened.
    pub(crate) fn tell(&mut self, notice: Notice, now: Now) {
        let path = self.path;
        match notice {
            Notice::Waiting { owner, left, before, .. } => {
                let until = left.map(|left| now.mono.after(left));
                let holders = self.holders(owner.as_deref());
                self.waiting = Some(Waiting { owner, holders, before, until });
                self.refresh(now);
            }
            Notice::Settling { holders, left } => {
                let pids = match &*holders {
                    // It is on its way out, or cannot be seen.
                    [] => "something".to_owned(),
                    holders => pids(holders),
                };
                let left = format(left);
                let line = format!(
                    "settling: {path} is ours, and {pids} that its last owner started still runs; \
                     it is ended in {left}"
                );
                self.screen.waiting(&line, pids);
            }
            Notice::Signalled { pids: sent, owner, signal } => {
                let signal = Signal::from(signal).name();
                let whose = match owner.as_deref() {
                    None => String::new(),
                    owner => format!(", which hold{} {path} for {}", one(&sent), Who(owner)),
                };
                self.screen.remark(&format!("sent {signal} to {}{whose}", pids(&sent)));
            }
            Notice::TookOver(takeover) => {
                let (from, why) = (takeover.from.as_deref(), owner::why(takeover.reason));
                self.screen.remark(&format!("took {path} over from {} ({why})", Who(from)));
            }
            Notice::Fallback(medium) => {
                if let Some(lack) = lack(medium) {
                    self.screen.remark(&format!("{path} is on a file system {lack}"));
                }
            }
            // The list is open; what we do not know we cannot put into words.
            _ => {}
        }
    }

    /// Time has passed.
    pub(crate) fn refresh(&mut self, now: Now) {
        let Some(waiting) = &self.waiting else { return };
        let owner = waiting.owner.as_deref();
        let held = owner.map_or(", held".to_owned(), |record| held(record, now));
        let at = owner.map(progress).unwrap_or_default();
        let who = who(owner, &waiting.holders);
        let left = waiting.until.map(|until| format(until.since(now.mono)));
        let before = match waiting.before {
            0 => String::new(),
            1 => "; 1 other waits before this process".to_owned(),
            many => format!("; {many} others wait before this process"),
        };
        let line = if self.screen.is_live() {
            // What matters most comes first: a terminal may be too narrow for all of it.
            let lock = self.path.file_name().unwrap_or("the lock");
            let left = left.map(|left| format!(" up to {left}")).unwrap_or_default();
            format!("waiting{left} for {lock}{at}{held} by {who}{before}")
        } else {
            let then = match (left, self.policy.on_timeout) {
                (None, _) => "waits until it is released".to_owned(),
                (Some(left), OnTimeout::Fail) => format!("gives up in {left}"),
                (Some(left), OnTimeout::Stop) => format!("ends that process in {left}"),
            };
            let explain = typed("explain", self.path, None);
            let path = self.path;
            format!(
                "waiting for {path}{held} by {who}{at}{before}; {then}; what to do: `{explain}`"
            )
        };
        let subject = owner.map(|record| record.token.to_string());
        self.screen.waiting(&line, subject.unwrap_or_default());
    }

    /// The processes that hold the lock, if its owner's is not there to be named: it left no record,
    /// or has ended, and what it started keeps the lock.
    fn holders(&self, owner: Option<&Record>) -> Vec<u32> {
        let token = |record: &Record| record.token.clone();
        if let Some(last) = &self.waiting
            && last.owner.as_deref().map(token) == owner.map(token)
        {
            return last.holders.clone();
        }
        let is_plain = owner.is_some_and(|owner| {
            owner.detail.is_some() && self.lock.process_of(owner) != Life::Ended
        });
        if is_plain {
            return Vec::new();
        }
        self.lock.holders().map(|holders| holders.pids).unwrap_or_default()
    }
}

/// Who has the lock, as far as that can be told.
fn who(owner: Option<&Record>, holders: &[u32]) -> String {
    match (owner, holders) {
        (owner, []) => Who(owner).to_string(),
        (None, holders) => format!("{}, which wrote no record", pids(holders)),
        (Some(owner), holders) if owner.detail.is_none() => {
            format!("{}, whose file names {}", pids(holders), Who(Some(owner)))
        }
        (owner, holders) => format!("{}, which {} has left behind", pids(holders), Who(owner)),
    }
}

/// `pid 42` or `pids 42, 43`.
pub(super) fn pids(pids: &[u32]) -> String {
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    let many = if list.len() == 1 { "" } else { "s" };
    format!("pid{many} {}", list.join(", "))
}

const fn one(pids: &[u32]) -> &'static str {
    if pids.len() == 1 { "s" } else { "" }
}

/// What the file system of a lock does not have.
const fn lack(medium: Medium) -> Option<&'static str> {
    match medium {
        Medium::Anonymous | Medium::Linked => None,
        Medium::Separate => {
            Some("without hard links, so the lock is judged by age while it is made")
        }
        Medium::Unarbitrated => Some(
            "whose kernel locks cannot be trusted, so the lock is judged by age alone; \
             --require-kernel-lock refuses this",
        ),
    }
}
