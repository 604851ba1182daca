//! What the last owner of the home's restart lock has left in flight is settled before anything
//! new is begun: waited for, then given up.
//!
//! A step only starts its command, and a job of systemd's goes on when its owner is dead, hung or
//! replaced. lock-fs waits for the processes that the last owner's steps have started. This module
//! asks the supervisor for the rest, as far as it concerns the holder and the agents in the last
//! owner's plan, or in the roster where there is no plan.
//!
//! | the last owner | its orders are waited for, and then cancelled |
//! |---|---|
//! | was preemptible, and was taken over from | for what is left of its announced quiet |
//! | left an unfinished plan: its lock was broken, or the owner that was to settle it ended | for as long as a step may take |
//! | came to the end of its plan, took no step, or ended before a reboot | not at all |

use std::time::{Duration, Instant};

use camino::Utf8Path;
use lock_fs::{Generation, Reason, Stale, Takeover};

use crate::error::Error;
use crate::home::Home;
use crate::interrupt::{Interrupt, Woken};
use crate::locking::{self, Acquired};
use crate::look::NO_PATIENCE;
use crate::report::Screen;
use crate::restart::quiet::MARGIN;
use crate::roster::{self, Roster};
use crate::supervisor::{self, InFlight, Keeper, Step, Target};
use crate::{error, logbook, processes};

/// How long what is given up may take to be gone.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);

/// How soon to look again, at first and at last.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_millis(500);

/// Says in the lock that this may take so long before the next step. An owner that is not
/// preemptible has nothing to say.
pub(crate) type Announce<'a> = dyn FnMut(&str, Duration) -> Result<(), lock_fs::Error> + 'a;

/// Settles what was in flight when the restart lock of `home` was acquired. To be called by every
/// command that has acquired it, before its first step.
///
/// # Errors
///
/// When something goes on all the same, when a signal ends the wait, or when the lock is lost
/// meanwhile.
pub(crate) fn settle(
    home: &Home,
    acquired: &Acquired,
    announce: &mut Announce<'_>,
    interrupt: &Interrupt,
    screen: &mut Screen,
) -> Result<(), Error> {
    let Some(left) = LeftBehind::by_the_last_owner(home, acquired) else { return Ok(()) };
    let roster = match roster::load(home) {
        Ok(roster) => roster,
        Err(problem) => {
            screen.cannot_settle(&error::chain(&problem));
            return Ok(());
        }
    };
    let supervisor = match supervisor::open(&roster, home, NO_PATIENCE) {
        Ok(supervisor) => supervisor,
        Err(problem) => {
            screen.cannot_settle(&error::chain(&problem));
            return Ok(());
        }
    };
    let limit = left.limit.unwrap_or_else(|| longest_step(&*supervisor, &roster));
    let settling = Settling {
        path: &home.restart_lock(),
        supervisor: &*supervisor,
        agents: left.agents.unwrap_or_else(|| names(&roster)),
        until: Instant::now() + limit,
        interrupt,
    };
    let quiet = limit.saturating_add(CANCEL_PATIENCE + MARGIN);
    announce("waiting for what the last restart has started", quiet)
        .map_err(|refusal| locking::refused(refusal, interrupt))?;
    let settled = settling.run(screen);
    screen.end_waiting();
    settled
}

/// What the last owner may have left.
struct LeftBehind {
    /// The agents that it was to change; every one if that is not known.
    agents: Option<Vec<String>>,
    /// How long to wait for it; as long as a step may take if that is not known.
    limit: Option<Duration>,
}

impl LeftBehind {
    fn by_the_last_owner(home: &Home, acquired: &Acquired) -> Option<Self> {
        let takeover = acquired.takeover.as_ref();
        if takeover.is_some_and(|takeover| takeover.reason == Reason::Stale(Stale::Rebooted)) {
            return None;
        }
        let boot = processes::boot_id().unwrap_or_default();
        let plan = logbook::read(&home.plan()).ok().flatten().filter(|plan| plan.boot == boot);
        let replaced = takeover.filter(|takeover| has_taken_steps(takeover));
        let limit = replaced.map(|takeover| takeover.in_flight);
        match plan {
            Some(plan) if plan.exit.is_none() => Some(Self { agents: Some(plan.names()), limit }),
            // It had come to its end, but for the release.
            Some(plan) if acquired.from == Some(Generation(plan.generation)) => None,
            // Its plan could not be written.
            _ => limit.map(|limit| Self { agents: None, limit: Some(limit) }),
        }
    }
}

/// Whether the owner that was taken over from was preemptible and has begun something.
fn has_taken_steps(takeover: &Takeover) -> bool {
    let detail = takeover.from.as_ref().and_then(|from| from.detail.as_ref());
    detail.is_some_and(|detail| detail.terms.preemptible && detail.progress.count > 0)
}

fn names(roster: &Roster) -> Vec<String> {
    roster.agents.iter().map(|agent| agent.name.clone()).collect()
}

fn longest_step(supervisor: &dyn Keeper, roster: &Roster) -> Duration {
    let agents = roster.agents.iter().map(Target::Agent);
    let targets: Vec<_> = agents.chain([Target::Holder]).collect();
    supervisor.limit(Step::Restart, &targets)
}

struct Settling<'a> {
    path: &'a Utf8Path,
    supervisor: &'a dyn Keeper,
    agents: Vec<String>,
    until: Instant,
    interrupt: &'a Interrupt,
}

impl Settling<'_> {
    fn run(&self, screen: &mut Screen) -> Result<(), Error> {
        let left = self.wait(self.until, screen)?;
        if left.is_empty() {
            return Ok(());
        }
        self.supervisor.cancel(&left).map_err(|source| self.unknown(source))?;
        screen.given_up(&left);
        let still = self.wait(Instant::now() + CANCEL_PATIENCE, screen)?;
        match still.first() {
            None => Ok(()),
            Some(first) => {
                Err(Error::Unsettled { path: self.path.to_owned(), what: first.to_string() })
            }
        }
    }

    /// Waits until nothing is in flight; returns what still is then.
    fn wait(&self, until: Instant, screen: &mut Screen) -> Result<Vec<InFlight>, Error> {
        let mut retry = FIRST_RETRY;
        loop {
            let in_flight = self.supervisor.in_flight(&self.agents);
            let in_flight = in_flight.map_err(|source| self.unknown(source))?;
            let left = until.saturating_duration_since(Instant::now());
            if in_flight.is_empty() || left.is_zero() {
                return Ok(in_flight);
            }
            screen.settling(self.path, &in_flight, left);
            let woken = self.interrupt.wait(&[], retry.min(left));
            if let (Ok(Woken::Interrupted), Some(signal)) = (woken, self.interrupt.signal()) {
                return Err(Error::WaitInterrupted { path: self.path.to_owned(), signal });
            }
            retry = LAST_RETRY.min(retry * 2);
        }
    }

    fn unknown(&self, source: supervisor::SupervisorError) -> Error {
        Error::InFlight { path: self.path.to_owned(), source }
    }
}
