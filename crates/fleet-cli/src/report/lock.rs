//! A lock: who has it, what a contender would make of it, and what to type next.

pub(crate) mod data;

use camino::Utf8Path;
use lock_fs::{KernelLock, OnTimeout, Policy, Record, Snapshot, Stale, Status, Verdict, Wall};

use self::data::{ExplainData, Next, StatusData};
use super::screen::{Paint, Screen};
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
        gone: bool,
    ) {
        if self.json() {
            return self.data(&StatusData::new(path, look, waiters));
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
            let alive = if gone { "gone, but work of it lives" } else { alive(&look.lock) };
            rows.owner(look, Some(alive), None);
        }
        rows.waiting(waiters.unwrap_or_default());
        self.result(&format!("{path}: {head}{}", rows.text()));
    }

    /// Why a lock was not to be had, below the error that says so.
    pub(super) fn explain(&mut self, explanation: &Explanation) {
        self.say(explain(explanation).trim_start_matches('\n'));
    }

    /// What a contender would make of a lock.
    pub(crate) fn explanation(&mut self, explanation: &Explanation) {
        if self.json() {
            return self.data(&ExplainData::new(explanation));
        }
        let (word, paint) = match explanation.verdict() {
            Verdict::Free => ("free", Paint::Good),
            Verdict::Stale(_) => ("stale", Paint::Bad),
            Verdict::TimedOut | Verdict::Wait { .. } => ("held", Paint::Odd),
        };
        let head = self.paint(paint, word);
        let text = explain(explanation);
        self.result(&format!("{}: {head}{text}", explanation.path));
    }
}

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
            Some(doing) if explanation.only_work_lives() => {
                rows.add("process", format!("{doing}, but work of it lives"))
            }
            Some(doing) => rows.add("process", doing.to_owned()),
            None => {}
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

/// The verdict, and what a contender does about it.
fn says(explanation: &Explanation) -> String {
    let policy = &explanation.policy;
    let patience = format(policy.max_wait);
    let owner = explanation.owner();
    let peer = owner.is_some_and(|record| record.detail.is_none());
    let action = match policy.on_timeout {
        OnTimeout::Break if peer || explanation.only_work_lives() => "takes it over",
        OnTimeout::Break => "takes it over, and the owner is told",
        OnTimeout::Stop => "ends its process, then takes it over",
        OnTimeout::Fail => "gives up",
    };
    let lives = match explanation.only_work_lives() {
        true => "its owner is gone, but work of it lives",
        false => "its owner lives",
    };
    match (explanation.verdict(), policy.on_timeout) {
        (Verdict::Free, _) => "nobody has it: a contender takes it at once".to_owned(),
        (Verdict::Stale(Stale::Silent), OnTimeout::Fail) => {
            format!("its owner is stopped or hung: a contender waits up to {patience} for it")
        }
        (Verdict::Stale(why @ Stale::Silent), _) => {
            format!("{}: a contender {action}", owner::stale(why))
        }
        (Verdict::Stale(why), _) => {
            format!("{}: a contender takes it over at once", owner::stale(why))
        }
        (Verdict::TimedOut, OnTimeout::Fail) => {
            format!("{lives}, after {patience} of waiting: a contender {action}")
        }
        (Verdict::TimedOut, _) => {
            format!("{lives}, and made no progress for {patience}: a contender {action}")
        }
        (Verdict::Wait { .. }, _) if policy.no_wait => {
            format!("{lives}: a contender that will not wait gives up at once")
        }
        (Verdict::Wait { until }, _) if peer => {
            let now = explanation.look.as_ref().map_or(until, |look| look.now.boot);
            let left = format(until.since(now));
            format!("its stamp is not old: a contender waits, and looks again in {left}")
        }
        (Verdict::Wait { .. }, on_timeout) => {
            let unless = if on_timeout == OnTimeout::Fail { "" } else { " without progress" };
            format!("{lives}: a contender waits; after {patience}{unless} it {action}")
        }
    }
}

/// What the kernel says about the owner's inode.
fn kernel(snapshot: &Snapshot) -> Option<&'static str> {
    let Snapshot::Present(seen) = snapshot else { return None };
    let peers = seen.content.as_ref().is_ok_and(|record| record.detail.is_none());
    Some(match seen.kernel {
        KernelLock::Held => "somebody holds the kernel's lock on the file: its owner, or its work",
        KernelLock::Free if peers => "its owner keeps no kernel lock: only its age tells",
        KernelLock::Free => "nobody holds the kernel's lock on the file",
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
            format!("held by {who}, {}: nobody gets past it", doing(process))
        }
        Seen::Gone => format!("left by {who}, which is gone: a contender clears it"),
        Seen::Elsewhere => format!("held by {who}, which cannot be seen from here"),
    }
}

/// What a person may do about it, gentlest first.
fn next(explanation: &Explanation) -> Vec<Next> {
    let mut next = Vec::new();
    if let Some(Stuck { process: Seen::Lives(process), .. }) = &explanation.stuck {
        next.extend(to_process(process, "end it: then the mutex is cleared"));
    }
    if !explanation.owner_lives() {
        return next;
    }
    if let Seen::Lives(process) = &explanation.process {
        let freed = "end the owner: the lock falls with it";
        next.extend(to_process(process, freed));
    }
    let path = shlex::try_quote(explanation.path.as_str());
    let path = path.unwrap_or_else(|_| explanation.path.as_str().into());
    let generation = explanation.owner().and_then(Record::generation);
    let which = generation.map(|g| format!(" --generation {g}")).unwrap_or_default();
    next.push(Next {
        command: format!("fleet lock break --lock {path}{which}"),
        does: match generation {
            Some(_) if explanation.only_work_lives() => "take it away from the work that lives",
            Some(_) => "take it away: the owner is told",
            None => "take it away",
        },
    });
    next
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
        let hung = policy.map(|policy| format(policy.stale_after));
        let hung = hung.map(|limit| format!("; {limit} without one count as hung"));
        let silent = format(owner::silent_for(record, now));
        self.add("last sign", format!("{silent} ago{}", hung.unwrap_or_default()));
        if let Some(detail) = &record.detail {
            if !detail.progress.phrase.is_empty() {
                self.add("progress", printable(&detail.progress.phrase));
            }
            self.add("generation", detail.generation.to_string());
        }
        self.add("token", record.token.to_string());
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
