//! The only place that writes text: data to stdout, everything else to stderr.
//!
//! `screen` knows the streams, this module what to say about which event, `data` the shape
//! of every `--json` output.

mod chart;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod lock;
pub(crate) mod ps;
mod screen;
mod settling;
pub(crate) mod setup;
mod table;
mod waiting;

use std::io::{self, Write};

use camino::Utf8Path;
use lock_fs::{Evicted, Generation, Now, Record, Status, Token, Verdict};

pub(crate) use self::history::picture;
use self::screen::Paint;
pub(crate) use self::screen::Screen;
pub(crate) use self::waiting::Teller;
use crate::duration::format;
use crate::error::{self, Error};
use crate::home::Home;
use crate::journal::Problem;
use crate::outcome::{Done, Ending, Event, Outcome, Place, Report, Stopped, Turn};
use crate::owner::{self, Which, Who};
use crate::plan::Verb;
use crate::roster::Roster;
use crate::signals;
use crate::standing::{Earlier, Standing};
use crate::supervisor::{State, Step};

/// A line on stderr from what runs without a [`Screen`]: a unit, whose stderr is the journal.
pub(crate) fn plain(line: &str) {
    // There is no other stream to complain on.
    let _ = writeln!(io::stderr(), "fleet: {line}");
}

impl Screen {
    /// A command that could not be carried out.
    pub(crate) fn error(&mut self, error: &Error) {
        self.complain(&error::chain(error));
        if let Error::NotAcquired { explanation, .. } = error {
            self.explain(explanation);
        }
    }

    /// What kept a line out of a journal, if something did.
    pub(crate) fn journal(&mut self, problem: Option<Problem>) {
        if let Some(problem) = problem {
            self.remark(&problem.to_string());
        }
    }

    /// The lock was lost while `lock run`'s command ran, or was found lost after its end.
    pub(crate) fn lost(&mut self, path: &Utf8Path, to: Option<&Record>, still_runs: bool) {
        let when = if still_runs { "while the command runs" } else { "before the command ended" };
        self.complain(&format!("lost {path} {when}: {}", taken(to)));
    }

    /// What happens while a plan is carried out.
    pub(crate) fn event(&mut self, verb: Verb, event: Event<'_>) {
        match event {
            Event::Began { place, agent } => {
                self.transient(&format!("{place} {} {agent}", verb.doing()));
            }
            Event::Ended { place, report } => self.report(verb, place, report),
        }
    }

    fn report(&mut self, verb: Verb, place: Place, report: &Report) {
        let agent = &report.agent;
        match &report.turn {
            Turn::Done(done) => {
                let line = format!("{place} {}", self.done(verb, agent, *done));
                self.result(&line);
            }
            Turn::Failed(error) => {
                let why = error::chain(error);
                self.complain(&format!("{place} cannot {} {agent}: {why}", verb.name()));
            }
            Turn::CutShort { asked } => {
                let left = match (asked, verb) {
                    (Some(Step::Stop), Verb::Stop) => "was asked to stop and may still be ending",
                    (Some(Step::Stop), _) => "was asked to stop and not started again",
                    (Some(Step::Start), _) => "was asked to start and may still be starting",
                    (Some(Step::Restart), _) => "was asked to restart and may still be at it",
                    (None, _) => "did not run and was not started",
                };
                self.complain(&format!("{place} {agent} {left}"));
            }
            Turn::Earlier | Turn::NotReached => {}
        }
    }

    /// Another restart that asked for the same has done our work.
    pub(crate) fn joined(&mut self, verb: Verb, last: &Standing) {
        if self.json() {
            return self.data(&data::Joined::new(verb, last));
        }
        let (done, of) = (last.done(), last.agents.len());
        let (generation, verb) = (last.generation, verb.done());
        self.result(&format!("joined generation {generation}, which {verb} {done} of {of} agents"));
        if last.exit != Some(0) {
            self.complain("not every agent came through; the restart that we joined said why");
        }
    }

    /// We go on where another stopped.
    pub(crate) fn going_on(&mut self, earlier: &Earlier) {
        let Earlier { generation, ago, done, of } = earlier;
        let (done, ago) = (done.len(), format(*ago));
        self.remark(&if done == *of {
            format!("generation {generation} did all {of} agents {ago} ago, so nothing is left")
        } else {
            format!(
                "going on where generation {generation} stopped {ago} ago, with {done} of {of} \
                 agents done (--no-resume restarts them all)"
            )
        });
    }

    /// Nobody will be able to go on where we stop.
    pub(crate) fn plan_not_kept(&mut self, path: &Utf8Path, problem: &io::Error) {
        self.remark(&format!(
            "cannot write {path} ({problem}), so nobody could have gone on where this restart \
             stopped"
        ));
    }

    fn done(&self, verb: Verb, agent: &str, done: Done) -> String {
        let agent = self.paint(Paint::Strong, agent);
        let killed = match done.stopped {
            Some(Stopped::Killed) => ", the old one had to be killed",
            None if verb == Verb::Restart => ", it did not run before",
            _ => "",
        };
        match (verb, done.started, done.stopped) {
            (Verb::Restart | Verb::Start, Some(pid), _) => {
                format!("{} {agent} (pid {pid}{killed})", verb.done())
            }
            (Verb::Restart | Verb::Start, None, _) => format!("{agent} runs already"),
            (Verb::Stop, _, Some(Stopped::Gently)) => format!("stopped {agent}"),
            (Verb::Stop, _, Some(Stopped::Killed)) => {
                format!("stopped {agent} (it had to be killed)")
            }
            (Verb::Stop, _, None) => format!("{agent} does not run"),
        }
    }

    /// How a plan ended.
    pub(crate) fn outcome(
        &mut self,
        path: &Utf8Path,
        token: &Token,
        generation: Generation,
        outcome: &Outcome<lock_fs::Error>,
    ) {
        if self.json() {
            self.data(&data::Change::new(path, token, generation, outcome));
        }
        self.ending(path, outcome);
    }

    /// What went wrong with a plan.
    fn ending(&mut self, path: &Utf8Path, outcome: &Outcome<lock_fs::Error>) {
        if let Some(Turn::Failed(error)) = &outcome.holder {
            let why = error::chain(error);
            self.complain(&format!("cannot {} the holder: {why}", outcome.verb.name()));
        }
        let names = |wanted: fn(&Turn) -> bool| {
            let agents = outcome.agents.iter().filter(|report| wanted(&report.turn));
            agents.map(|report| report.agent.as_str()).collect::<Vec<_>>()
        };
        let failed = names(|turn| matches!(turn, Turn::Failed(_)));
        if !failed.is_empty() {
            let (count, of) = (failed.len(), outcome.agents.len());
            self.complain(&format!("{count} of {of} agents failed: {}", failed.join(", ")));
        }
        let untouched = names(|turn| matches!(turn, Turn::NotReached));
        if !untouched.is_empty() {
            self.complain(&format!("not touched: {}", untouched.join(", ")));
        }
        match &outcome.ending {
            Ending::Complete => {}
            Ending::HeldBack if untouched.is_empty() => {}
            Ending::HeldBack => {
                let again = match outcome.verb {
                    Verb::Restart => "fleet restart --resume",
                    Verb::Start | Verb::Stop => "fleet start",
                };
                self.complain(&format!(
                    "held the fleet back because of that; `{again}` does the rest"
                ));
            }
            Ending::Interrupted(signal) => {
                let signal = signals::name(*signal);
                let rest = match outcome.verb {
                    Verb::Restart => "; `fleet restart --resume` does the rest",
                    Verb::Start | Verb::Stop => "",
                };
                let lock = if outcome.unreleased.is_none() { "; the lock is released" } else { "" };
                self.complain(&format!("ended by {signal}{lock}{rest}"));
            }
            Ending::Refused(lock_fs::Error::Lost { to, .. }) => {
                self.complain(&format!("lost {path} and stopped there: {}", taken(to.as_deref())));
            }
            Ending::Refused(error) => {
                let why = error::chain(error);
                self.complain(&format!("stopped there, because the lock failed: {why}"));
            }
        }
        if let Some(error) = &outcome.unreleased {
            self.error(error);
        }
    }

    /// The agents, and who changes them.
    pub(crate) fn status(
        &mut self,
        home: &Home,
        path: &Utf8Path,
        lock: Option<&Status>,
        left: Option<&Standing>,
        roster: &Roster,
        states: &[State],
    ) {
        for (agent, state) in roster.agents.iter().zip(states) {
            if let State::Unknown { error, .. } = state {
                self.complain(&format!("cannot look at {}: {error}", agent.name));
            }
        }
        if self.json() {
            return self.data(&data::Status::new(home, path, lock, left, roster, states));
        }
        let table = table::agents(self, &roster.agents, states);
        self.result(&table);
        let line = match lock {
            None => "nobody restarts the fleet now".to_owned(),
            Some(look) => {
                let owner = look.owner();
                let held = owner.map(|record| held(record, look.now)).unwrap_or_default();
                let at = owner.map(progress).unwrap_or_default();
                let state = match look.verdict {
                    Verdict::Stale(why) => format!("stale ({})", owner::stale(why)),
                    _ => "busy".to_owned(),
                };
                format!("the restart lock is {state}{held} by {}{at}", Who(owner))
            }
        };
        self.result(&format!("\n{line}"));
        if let Some(left) = left {
            let (generation, done, of) = (left.generation, left.done(), left.agents.len());
            let verb = left.verb().name();
            let rest = match left.verb() {
                Verb::Restart => "fleet restart --resume",
                Verb::Start => "fleet start",
                Verb::Stop => "fleet stop",
            };
            self.result(&format!(
                "the last {verb} (generation {generation}) stopped with {done} of {of} agents \
                 done; `{rest}` does the rest"
            ));
        }
    }

    /// The lock is shared with a program that breaks it by its own rules.
    pub(crate) fn mosaic_breaks(&mut self, path: &Utf8Path) {
        self.remark(&format!(
            "Mosaic uses {path} too, and breaks it after its own limit: a command that takes longer \
             than that may then not be alone"
        ));
    }

    /// Processes wait for a lock that is about to be released, by other rules than ours.
    pub(crate) fn left_waiting(&mut self, path: &Utf8Path, pids: &[u32]) {
        let pids = waiting::pids(pids);
        self.complain(&format!(
            "{pids} waited for {path} with flock, and now has a file that is not the lock any more; \
             use `fleet lock run` for all commands of one lock"
        ));
    }

    /// What became of a lock that was to be taken away.
    pub(crate) fn evicted(&mut self, path: &Utf8Path, evicted: &Evicted, holders: &[u32]) {
        if self.json() {
            self.data(&data::Broken::new(path, evicted, holders));
        }
        match evicted {
            Evicted::Done(owner) => {
                let which = owner.as_ref().map(|record| format!(", {}", Which(record)));
                let which = which.unwrap_or_default();
                self.result(&format!("took {path} away from {}{which}", Who(owner.as_ref())));
                if !holders.is_empty() {
                    let pids = waiting::pids(holders);
                    self.complain(&format!("what it started goes on: {pids}"));
                }
            }
            Evicted::WasFree => self.result(&format!("{path} was free")),
            Evicted::Other(owner) => {
                let which = owner.as_ref().map(|record| format!(", {}", Which(record)));
                let which = which.unwrap_or_default();
                let who = Who(owner.as_ref());
                self.complain(&format!("left {path} alone: it is held by {who}{which}"));
            }
            Evicted::Living(owner) => {
                let break_it = lock::typed("break", path, owner.generation().map(|g| g.0));
                let who = Who(Some(owner));
                let lives = match holders.contains(&owner.pid) || holders.is_empty() {
                    true => format!("{who} lives and has not agreed to be replaced"),
                    false => {
                        let pids = waiting::pids(holders);
                        format!("{who} exited, and its child processes are still running: {pids}")
                    }
                };
                self.complain(&format!(
                    "left {path} alone: {lives}; `{break_it}` takes it away all the same, and its \
                     work then goes on beside the next owner's"
                ));
            }
            Evicted::Unbreakable(_) => {
                let end = match holders {
                    [] => "no process that can be seen from here".to_owned(),
                    pids => {
                        let list: Vec<_> = pids.iter().map(u32::to_string).collect();
                        format!("{}; end it with `kill {}`", waiting::pids(pids), list.join(" "))
                    }
                };
                self.complain(&format!(
                    "left {path} alone: it is kernel-locked by a process that wrote no record, and \
                     taking the file away would not end that: {end}"
                ));
            }
        }
    }
}

/// `, held for 12.3s`; a peer's record only says when it was last written.
fn held(record: &Record, now: Now) -> String {
    match owner::held_for(record, now) {
        Some(held) => format!(", held for {}", format(held)),
        None => format!(", stamped {} ago", format(owner::silent_for(record, now))),
    }
}

/// `, at 3/60 restarting coder-3`.
fn progress(record: &Record) -> String {
    match record.detail.as_ref().map(|detail| detail.progress.phrase.as_str()) {
        None | Some("") => String::new(),
        Some(phrase) => format!(", at {}", owner::printable(phrase)),
    }
}

/// Who has the lock that we lost.
fn taken(to: Option<&Record>) -> String {
    match to {
        Some(record) => format!("it was taken over by {}, {}", Who(Some(record)), Which(record)),
        None => "it was taken away, and nobody has it now".to_owned(),
    }
}
