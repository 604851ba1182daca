//! `restart`, `start`, `stop` and `status`: roster, lock, plan and supervisor put together.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use lock_fs::{Clock, Generation, Released, Token, Verdict};

use crate::args::{Change, Others, Rollout};
use crate::error::{self, Error};
use crate::exit::Exit;
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::locking::{self, Acquired, Held, Terms};
use crate::logbook::{self, Logbook};
use crate::look::{self, NO_PATIENCE};
use crate::outcome::{Ending, Outcome};
use crate::plan::{Plan, Verb};
use crate::report::Screen;
use crate::restart::quiet::MARGIN;
use crate::restart::{Fence, Pace, Work};
use crate::roster::{self, Roster, RosterError};
use crate::standing::{Earlier, Moment, Request, Resume, Standing};
use crate::supervisor::{self, Patience};
use crate::{processes, settle, signals, spawn};

/// What is wished for beside the verb.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// How to go through the fleet.
    pub(crate) rollout: Rollout,
    /// Whether another's work may count as ours.
    pub(crate) join: bool,
    /// Whether to go on where another stopped.
    pub(crate) resume: Resume,
}

impl Wish {
    /// Nothing.
    pub(crate) const PLAIN: Self = Self {
        rollout: Rollout { canary: None, stagger: None, stop_on_failure: false },
        join: false,
        resume: Resume::Never,
    };
}

impl From<Others> for Resume {
    fn from(others: Others) -> Self {
        match (others.resume, others.no_resume) {
            (true, _) => Self::Always,
            (false, true) => Self::Never,
            (false, false) => Self::AfterTakeover,
        }
    }
}

/// Restarts, starts or stops the fleet, or some of its agents, under the restart lock.
///
/// # Errors
///
/// When it does not come to that. What becomes of the agents is reported on `screen`.
pub(crate) fn change(
    verb: Verb,
    home: &Home,
    change: &Change,
    wish: Wish,
    patience: Patience,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    match carry_out(verb, home, change, wish, patience, screen, None)? {
        Carried::Joined(exit) => Ok(exit),
        Carried::Out(shift) => {
            screen.outcome(&shift.path, &shift.token, shift.generation, &shift.outcome);
            Ok(shift.exit)
        }
    }
}

/// What became of a verb.
#[derive(Debug)]
pub(crate) enum Carried {
    /// Another did the work meanwhile.
    Joined(Exit),
    /// We did it.
    Out(Shift),
}

/// The work of one ownership of the restart lock.
#[derive(Debug)]
pub(crate) struct Shift {
    /// The lock.
    pub(crate) path: Utf8PathBuf,
    /// Which ownership it was.
    pub(crate) token: Token,
    /// Its number.
    pub(crate) generation: Generation,
    /// What happened.
    pub(crate) outcome: Outcome<lock_fs::Error>,
    /// How the command ends.
    pub(crate) exit: Exit,
}

/// What is done after all else went well, before the lock is released.
pub(crate) struct Last<'l> {
    /// How long it may take until it takes a step.
    pub(crate) limit: Duration,
    /// Does it. What it changes, it changes in steps.
    pub(crate) work: &'l mut dyn FnMut(&mut Fenced<'_>) -> Result<(), Error>,
}

/// Takes a step: says in the lock what it is, and does it there.
pub(crate) type Fenced<'f> = dyn FnMut(&str, &mut dyn FnMut()) -> Result<(), Error> + 'f;

/// As [`change`], but reports no outcome; and if all went well, does `last`.
///
/// # Errors
///
/// When it does not come to that, or `last` fails.
pub(crate) fn carry_out(
    verb: Verb,
    home: &Home,
    change: &Change,
    wish: Wish,
    patience: Patience,
    screen: &mut Screen,
    last: Option<Last<'_>>,
) -> Result<Carried, Error> {
    // We may have been given the descriptor of another lock, and a tmux server that we start
    // would hold that lock for as long as it lives.
    spawn::close_inherited_on_exec().map_err(Error::Descriptors)?;
    let roster = load(verb, home, &change.agents)?;
    Plan::new(&roster, verb, &change.agents)?;
    supervisor::open(&roster, home, patience)?;
    let path = home.restart_lock();
    let command = shown(verb, &change.agents);
    let terms = Terms::of_change(&change.lock)?;
    let lock = locking::open(&path, terms, command.clone())?;

    let interrupt = listen().map_err(Error::Signals)?;
    let acquired = locking::acquire(&lock, &path, command, terms.policy, &interrupt, screen)?;
    let (token, generation) = (acquired.guard.token().clone(), acquired.guard.generation());

    // Read again: whoever had the lock before us may have removed an agent.
    let roster = load(verb, home, &change.agents)?;
    let plan = Plan::new(&roster, verb, &change.agents)?;
    let supervisor = supervisor::open(&roster, home, patience)?;
    let announce = &mut |label: &str, quiet| acquired.guard.step(label, quiet, || ()).map(drop);
    settle::settle(home, &acquired, announce, &interrupt, screen)?;
    let start = begin(home, &plan, wish, &acquired, screen);
    let (standing, earlier) = match start {
        Start::Joined(exit) => {
            let (released, problem) = acquired.guard.release(Some(exit));
            screen.journal(problem);
            return released.map(|_| Carried::Joined(exit)).map_err(Error::from);
        }
        Start::Work(standing, earlier) => (standing, earlier),
    };
    let logbook = Logbook::new(home.plan(), standing);
    let fence = Held::new(&acquired.guard)?;
    let label = format!("0/{} beginning", plan.agents.len());
    let begun = fence.step(&label, MARGIN, &mut || logbook.open());
    begun.map_err(|refusal| locking::refused(refusal, &interrupt))?;
    let pace = Pace::new(change.jobs, wish.rollout);
    let work = Work {
        plan: &plan,
        supervisor: &*supervisor,
        fence: &fence,
        interrupt: &interrupt,
        pace,
        marks: &logbook,
        earlier: earlier.as_ref(),
    };
    let mut outcome = work.run(&mut |event| screen.event(verb, event));
    if !matches!(outcome.ending, Ending::Refused(_)) {
        let exit = outcome.exit();
        let last = last.filter(|_| exit == Exit::Done);
        let quiet = last.as_ref().map_or(Duration::ZERO, |last| last.limit) + MARGIN;
        match (fence.step("ending", quiet, &mut || logbook.end(exit.code())), interrupt.signal()) {
            (Ok(()), _) => {
                if let Some(Last { work, .. }) = last {
                    work(&mut |label, work| {
                        let done = fence.step(label, MARGIN, work);
                        done.map_err(|refusal| locking::refused(refusal, &interrupt))
                    })?;
                }
            }
            (Err(lock_fs::Error::Cancelled { .. }), Some(signal)) => {
                outcome.ending = Ending::Interrupted(signal);
            }
            (Err(refused), _) => outcome.ending = Ending::Refused(refused),
        }
    }
    drop(fence);
    if let Some((plan, problem)) = logbook.failed() {
        screen.plan_not_kept(&plan, &problem);
    }
    let (released, problem) = acquired.guard.release(Some(outcome.exit()));
    screen.journal(problem);
    let exit = conclude(&mut outcome, &path, released);
    Ok(Carried::Out(Shift { path, token, generation, outcome, exit }))
}

/// The roster, with all that the verb needs of the agents named.
fn load(verb: Verb, home: &Home, agents: &[String]) -> Result<Roster, RosterError> {
    let mut roster = roster::load(home)?;
    match verb {
        Verb::Restart | Verb::Start => roster.read_env_files(home, agents)?,
        Verb::Stop => {}
    }
    Ok(roster)
}

/// Has the signals that ask us to end trip an interrupt.
fn listen() -> io::Result<Arc<Interrupt>> {
    let interrupt = Arc::new(Interrupt::new()?);
    let tripped = Arc::clone(&interrupt);
    signals::listen(&signals::ENDING, move |signal| tripped.trip(signal.number))?;
    Ok(interrupt)
}

/// How a command begins once it has the lock.
enum Start {
    /// Another did the work meanwhile.
    Joined(Exit),
    /// With this to keep, and with what another has done already.
    Work(Standing, Option<Earlier>),
}

/// Looks at what the last owner left, now that nobody else can change it.
fn begin(
    home: &Home,
    plan: &Plan<'_>,
    wish: Wish,
    acquired: &Acquired,
    screen: &mut Screen,
) -> Start {
    let request = Request::new(plan);
    // What cannot be read cannot be gone on with; that it cannot be written will be said.
    let last = logbook::read(&home.plan()).ok().flatten();
    let boot = processes::boot_id().unwrap_or_default();
    let moment = Moment { boot, now: Clock::default().now().boot };
    if wish.join
        && let Some(last) = &last
        && let Some(code) = last.joined(&request, acquired.since)
    {
        screen.joined(plan.verb, last);
        return Start::Joined(if code == 0 { Exit::Done } else { Exit::SomeFailed });
    }
    // Whoever would have joined it may as well do the rest of it.
    let joins = wish.join && last.as_ref().is_some_and(|last| last.was_waited_for(acquired.since));
    let resume = match wish.resume {
        Resume::AfterTakeover if joins => Resume::Always,
        resume => resume,
    };
    let earlier = last.and_then(|last| last.earlier(&request, acquired.from, resume, moment));
    if let Some(earlier) = &earlier {
        screen.going_on(earlier);
    }
    let generation = acquired.guard.generation();
    let standing = Standing::new(request, generation, moment, earlier.as_ref());
    Start::Work(standing, earlier)
}

/// Shows the agents, and who changes them now.
///
/// # Errors
///
/// When they cannot be looked at.
pub(crate) fn status(home: &Home, screen: &mut Screen) -> Result<Exit, Error> {
    let roster = roster::load(home)?;
    let supervisor = supervisor::open(&roster, home, NO_PATIENCE)?;
    let path = home.restart_lock();
    let lock = locking::look(&path)?;
    let states = supervisor.states(&roster.agents);
    let held = lock.as_ref().is_some_and(|lock| !matches!(lock.verdict, Verdict::Stale(_)));
    let boot = processes::boot_id().unwrap_or_default();
    let left = logbook::read(&home.plan()).ok().flatten();
    let left = left.filter(|left| left.is_unfinished(held, boot));
    screen.status(home, &path, lock.as_ref(), left.as_ref(), &roster, &states);
    Ok(look::blind(&states).unwrap_or(Exit::Done))
}

/// Adds what the release showed, and finds the exit code.
fn conclude(
    outcome: &mut Outcome<lock_fs::Error>,
    path: &Utf8Path,
    released: Result<Released, lock_fs::Error>,
) -> Exit {
    match (&outcome.ending, released) {
        (Ending::Refused(_), Ok(_)) | (_, Ok(Released::Released)) => {}
        // Nobody saw the loss before the last step was done, but lost is lost.
        (_, Ok(Released::AlreadyLost { to })) => {
            outcome.ending = Ending::Refused(lock_fs::Error::Lost { path: path.to_owned(), to });
        }
        (_, Err(source)) => {
            outcome.unreleased = Some(Error::Unreleased { path: path.to_owned(), source });
        }
    }
    match (&outcome.ending, &outcome.unreleased) {
        (Ending::Refused(refusal), _) => error::lock_exit(refusal),
        (_, Some(error)) => error.exit(),
        (_, None) => outcome.exit(),
    }
}

/// The command as others see it.
fn shown(verb: Verb, agents: &[String]) -> String {
    let mut words = vec!["fleet", verb.name()];
    words.extend(agents.iter().map(String::as_str));
    words.join(" ")
}
