//! A lock: who has it, what a waiting process would do about it, and what to type next.

pub(crate) mod data;

use std::time::Duration;

use camino::Utf8Path;
use lock_fs::{KernelLock, Limit, OnTimeout, Policy, Record, Snapshot, Status, Verdict, Wall};

use self::data::{ExplainData, Next, StatusData};
use super::screen::{Paint, Screen};
use super::waiting::pids;
use crate::duration::format;
use crate::explain::{Explanation, Seen, Stuck, Waiter};
use crate::moment;
use crate::owner::{self, Who, printable};
use crate::processes::Process;
use crate::tenure::millis;

impl Screen {
    /// What a look at a lock shows, and who waits for it.
    pub(crate) fn lock_status(
        &mut self,
        path: &Utf8Path,
        look: Option<&Status>,
        waiters: Option<&[Waiter]>,
        holders: &[u32],
        gone: bool,
    ) {
        if self.json() {
            return self.data(&StatusData::new(path, look, waiters, holders));
        }
        let head = match look.map(|look| look.verdict) {
            None | Some(Verdict::Free) => self.paint(Paint::Good, "free"),
            Some(Verdict::Stale(why)) => {
                self.paint(Paint::Bad, &format!("stale, {}", owner::stale(why)))
            }
            Some(_) => self.paint(Paint::Odd, "held"),
        };
        let mut rows = Rows::default();
        if let Some(look) = look {
            let alive = if gone { LEFT } else { alive(&look.lock) };
            rows.owner(look, Some(alive), None);
            rows.holders(holders, look.owner());
        }
        rows.waiting(waiters.unwrap_or_default());
        self.result(&format!("{path}: {head}{}", rows.text()));
    }

    /// Why a lock could not be acquired, below the error that says so.
    pub(super) fn explain(&mut self, explanation: &Explanation) {
        self.say(explain(explanation).trim_start_matches('\n'));
    }

    /// What a waiting process would do about a lock.
    pub(crate) fn explanation(&mut self, explanation: &Explanation) {
        if self.json() {
            return self.data(&ExplainData::new(explanation));
        }
        let (word, paint) = match explanation.verdict() {
            Verdict::Free => ("free", Paint::Good),
            Verdict::Stale(_) => ("stale", Paint::Bad),
            Verdict::TimedOut(_) | Verdict::Wait { .. } => ("held", Paint::Odd),
        };
        let head = self.paint(paint, word);
        let text = explain(explanation);
        self.result(&format!("{}: {head}{text}", explanation.path));
    }
}

/// An owner of which only children are left.
const LEFT: &str = "exited; its child processes are still running";

/// The explanation in rows, each on a line of its own, the first one too.
fn explain(explanation: &Explanation) -> String {
    let mut rows = Rows::default();
    rows.add("verdict", says(explanation));
    if let Some(look) = &explanation.look {
        if let Some(says) = kernel(&look.lock) {
            rows.add("kernel", says.to_owned());
        }
        rows.owner(look, None, Some(&explanation.policy));
        match owner_process(explanation) {
            Some(_) if explanation.only_work_lives() => rows.add("process", LEFT.to_owned()),
            Some(doing) => rows.add("process", doing.to_owned()),
            None => {}
        }
        rows.holders(&explanation.holders.pids, look.owner());
        if let Some(unseen) = unseen(explanation) {
            rows.add("held by", unseen);
        }
    }
    if let Some(stuck) = &explanation.stuck {
        rows.add("mutex", held_up(stuck));
    }
    rows.waiting(&explanation.waiters);
    let next = next(explanation);
    let width = next.iter().map(|next| next.command.chars().count()).max().unwrap_or(0);
    for (index, Next { command, does }) in next.iter().enumerate() {
        let name = if index == 0 { "next" } else { "or" };
        rows.add(name, format!("{command:width$}  # {does}"));
    }
    rows.text()
}

/// The verdict, and what a waiting process does about it.
fn says(explanation: &Explanation) -> String {
    let policy = &explanation.policy;
    let verdict = explanation.verdict();
    let until = match verdict {
        Verdict::Free => return "free: a waiting process takes it at once".to_owned(),
        Verdict::Stale(why) => {
            let why = owner::stale(why);
            return format!("{why}: a waiting process takes it over at once");
        }
        Verdict::TimedOut(Limit::Owner) => {
            return "its owner hangs: a waiting process takes it over".to_owned();
        }
        Verdict::TimedOut(Limit::Waiter) => {
            let now = explanation.look.as_ref().map_or(lock_fs::Mono(0), |look| look.now.mono);
            let limit = policy.wait_limit.map(format).unwrap_or_default();
            let (lives, _) = situation(explanation, now);
            return format!("{lives}: a process that has waited {limit} {}", after(policy));
        }
        Verdict::Wait { until } => until,
    };
    let (lives, then) = situation(explanation, until);
    if policy.no_wait {
        return format!("{lives}: a process that does not wait gives up at once");
    }
    let limit = match policy.wait_limit {
        None => "waits until it is released".to_owned(),
        Some(limit) => format!("waits up to {}, then {}", format(limit), after(policy)),
    };
    format!("{lives}: a waiting process {limit}{then}")
}

/// What a waiting process does when its limit is over.
fn after(policy: &Policy) -> &'static str {
    match policy.on_timeout {
        OnTimeout::Fail => "gives up",
        OnTimeout::Stop => "ends the processes that hold the lock",
    }
}

/// What holds a lock that has to be waited for, and what may end that besides a release.
fn situation(explanation: &Explanation, until: lock_fs::Mono) -> (&'static str, String) {
    let look = explanation.look.as_ref();
    let held = look.is_some_and(Status::is_held);
    let detail = explanation.owner().map(|record| record.detail.as_ref());
    match detail {
        _ if explanation.only_work_lives() => {
            ("its owner exited, and its child processes are still running", String::new())
        }
        None => ("held by a process that wrote no record, such as flock(1)", String::new()),
        Some(None) if held => {
            ("held by a process that wrote no record of ours, such as flock(1)", String::new())
        }
        Some(None) => {
            let now = look.map_or(until, |look| look.now.mono);
            let left = format(until.since(now));
            ("its stamp is not old", format!("; it counts as stale in {left}"))
        }
        Some(Some(detail)) if detail.terms.preemptible => {
            let (stale_after, hang_after) = limits(&explanation.policy, detail);
            let quiet = format(detail.terms.quiet.saturating_add(hang_after));
            let stale_after = format(stale_after);
            let then = format!(
                "; it takes over if the owner does not renew for {stale_after}, or takes no step \
                 for {quiet}"
            );
            ("its owner lives, and may be replaced if it hangs", then)
        }
        Some(Some(_)) => ("its owner lives, and has not agreed to be replaced", String::new()),
    }
}

/// After how long without a renewal, and without a step past its quiet, an owner counts as hung.
fn limits(policy: &Policy, detail: &lock_fs::Detail) -> (Duration, Duration) {
    let terms = &detail.terms;
    (policy.stale_after.max(terms.stale_after), policy.hang_after.max(terms.hang_after))
}

/// Where the kernel says that the lock is held and no holder can be seen.
fn unseen(explanation: &Explanation) -> Option<String> {
    let is_held = explanation.look.as_ref().is_some_and(Status::is_held);
    if !is_held || !explanation.holders.pids.is_empty() {
        return None;
    }
    let taken = explanation.holders.taken_by;
    let taken = taken.map(|pid| format!("; pid {pid} took it, and may have ended since"));
    Some(format!(
        "no process that can be seen from here: another user's, or one in another pid namespace{}",
        taken.unwrap_or_default()
    ))
}

/// What the kernel says about the owner's inode.
fn kernel(snapshot: &Snapshot) -> Option<&'static str> {
    let Snapshot::Present(seen) = snapshot else { return None };
    let peers = seen.content.as_ref().is_ok_and(|record| record.detail.is_none());
    Some(match seen.kernel {
        KernelLock::Held => "a process holds the kernel's lock on the file",
        KernelLock::Free if peers => "its owner keeps no kernel lock: only its age tells",
        KernelLock::Free => "no process holds the kernel's lock on the file",
        KernelLock::Unknown => "no kernel locks on this file system: only its age tells",
    })
}

/// What a process does, by the letter that `ps` shows.
const fn doing(process: &Process) -> &'static str {
    match process.state {
        'T' | 't' => "stopped",
        'D' => "waiting for a device",
        'R' => "running",
        _ => "sleeping",
    }
}

/// What the owner's process does; nothing where that cannot be seen from here.
fn owner_process(explanation: &Explanation) -> Option<&'static str> {
    match &explanation.process {
        Seen::Lives(process) => Some(doing(process)),
        Seen::Gone => Some("gone"),
        Seen::Elsewhere => None,
    }
}

fn held_up(stuck: &Stuck) -> String {
    let who = Who(Some(&stuck.record));
    match &stuck.process {
        Seen::Lives(process) => {
            format!("held by {who}, {}: no process gets past it", doing(process))
        }
        Seen::Gone => format!("left by {who}, which is gone: a waiting process clears it"),
        Seen::Elsewhere => format!("held by {who}, which cannot be seen from here"),
    }
}

/// What a person may do about it, gentlest first. Only processes that have the lock are named: a
/// record says what its writer likes.
fn next(explanation: &Explanation) -> Vec<Next> {
    let mut next = Vec::new();
    let stuck = explanation.stuck.iter().flat_map(|stuck| &stuck.holders);
    for process in stuck.copied().filter_map(Process::find) {
        next.extend(to_process(&process, "end it: then the mutex is cleared"));
    }
    if !explanation.owner_lives() {
        return next;
    }
    let holders = &explanation.holders.pids;
    let owner = explanation.owner().map(|owner| owner.pid).filter(|pid| holders.contains(pid));
    let (ends, freed) = match owner {
        // What it started ends with it.
        Some(owner) => (vec![owner], "end the owner: the lock falls with it"),
        None => (holders.clone(), "end what holds the lock"),
    };
    for process in ends.into_iter().filter_map(Process::find) {
        next.extend(to_process(&process, freed));
    }
    // Taking its file away would not end a lock that wrote no record.
    let is_held = explanation.look.as_ref().is_some_and(Status::is_held);
    let generation = explanation.owner().and_then(Record::generation);
    if is_held && generation.is_none() {
        return next;
    }
    let preemptible = explanation.owner().is_some_and(Record::is_preemptible);
    next.push(Next {
        command: typed("break", &explanation.path, generation.map(|number| number.0)),
        does: match generation {
            _ if explanation.only_work_lives() => "take it away: what runs goes on beside the next",
            Some(_) if preemptible => "take it away: the owner stops before its next step",
            Some(_) => "take it away: the owner is told, and its work goes on beside the next",
            None => "take it away",
        },
    });
    next
}

/// The command line of one of the lock's commands.
pub(super) fn typed(command: &str, path: &Utf8Path, generation: Option<u64>) -> String {
    let path = shlex::try_quote(path.as_str()).unwrap_or_else(|_| path.as_str().into());
    let which = generation.map(|number| format!(" --generation {number}")).unwrap_or_default();
    format!("fleet lock {command} --lock {path}{which}")
}

fn to_process(process: &Process, end: &'static str) -> Vec<Next> {
    let pid = process.pid;
    let to = |how: &str, does| Next { command: format!("kill {how}{pid}"), does };
    match process.state {
        // It would not hear anything gentler.
        'T' | 't' => vec![to("-CONT ", "let it go on"), to("-KILL ", end)],
        _ => vec![to("", end)],
    }
}

/// Names and values, one pair on a line.
#[derive(Default)]
struct Rows(Vec<(&'static str, String)>);

impl Rows {
    fn add(&mut self, name: &'static str, value: String) {
        self.0.push((name, value));
    }

    /// Who has it, and doing what; with a policy, how long it may be silent.
    fn owner(&mut self, look: &Status, alive: Option<&str>, policy: Option<&Policy>) {
        let now = look.now;
        let Some(record) = look.owner() else {
            if look.lock != Snapshot::Absent {
                self.add("owner", "unknown: the file cannot be read as a record".to_owned());
            }
            return;
        };
        let alive = alive.map(|alive| format!(", {alive}")).unwrap_or_default();
        self.add("owner", format!("{}{alive}", Who(Some(record))));
        if let Some(held) = owner::held_for(record, now) {
            let since = Wall(now.wall.0.saturating_sub(millis(held)));
            self.add("held for", format!("{}, since {}", format(held), moment::seconds(since)));
        }
        let detail = record.detail.as_ref().filter(|detail| detail.terms.preemptible);
        let hung = policy.zip(detail).map(|(policy, detail)| format(limits(policy, detail).0));
        let hung = hung.map(|limit| format!("; {limit} without one count as hung"));
        let silent = format(owner::silent_for(record, now));
        self.add("last sign", format!("{silent} ago{}", hung.unwrap_or_default()));
        if let Some(detail) = &record.detail {
            if !detail.progress.phrase.is_empty() {
                self.add("progress", printable(&detail.progress.phrase));
            }
            self.add("generation", detail.generation.to_string());
            if let Some(format) = record.newer_format() {
                self.add("format", format!("{format}, written by a newer fleet"));
            }
        }
        self.add("token", record.token.to_string());
    }

    /// Which processes have the lock, unless that is just the owner's.
    fn holders(&mut self, holders: &[u32], owner: Option<&Record>) {
        let is_owners = matches!(holders, [pid] if owner.is_some_and(|owner| owner.pid == *pid));
        if !holders.is_empty() && !is_owners {
            self.add("held by", pids(holders));
        }
    }

    /// Who waits, if anybody.
    fn waiting(&mut self, waiters: &[Waiter]) {
        if waiters.is_empty() {
            return;
        }
        let waiter = |waiter: &Waiter| {
            let (pid, waited) = (waiter.pid, format(waiter.waited));
            format!("pid {pid} for {waited} ({})", printable(&waiter.command))
        };
        let list: Vec<_> = waiters.iter().map(waiter).collect();
        self.add("waiting", format!("{}: {}", waiters.len(), list.join(", ")));
    }

    fn text(&self) -> String {
        let line = |(name, value): &(&str, String)| format!("\n  {name:<11} {value}");
        self.0.iter().map(line).collect()
    }
}

/// What the kernel says about the owner.
fn alive(snapshot: &Snapshot) -> &'static str {
    match snapshot {
        Snapshot::Present(seen) if seen.kernel == KernelLock::Held => "alive",
        Snapshot::Present(seen)
            if seen.kernel == KernelLock::Free
                && seen.content.as_ref().is_ok_and(|record| record.detail.is_some()) =>
        {
            "dead"
        }
        _ => "the kernel cannot tell whether it lives",
    }
}
