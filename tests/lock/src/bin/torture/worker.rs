//! A worker: acquires, works, releases, and writes all of it down.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use lock_fs::{
    Cancel, Clock, Effect, Error as LockError, Guard, Lock, Name, Notice, Options, Policy, Reason,
    Released, Settings, Slot, Takeover, Tracer,
};
use lock_tests::history::{Recorder, What};
use lock_tests::{Dice, now_ns};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, set_parent_process_death_signal};

use crate::args::WorkerArgs;
use crate::error::Error;

/// An owner that is silent for so long counts as hung.
pub(crate) const STALE_AFTER: Duration = Duration::from_millis(400);

/// A preemptible owner that takes no step for so long, past its quiet, counts as hung.
const HANG_AFTER: Duration = Duration::from_millis(700);

/// How far a wall clock may be off, in milliseconds: a week.
const WALL_MS: u64 = 7 * 86_400_000;

struct Worker<'a> {
    args: &'a WorkerArgs,
    dice: Dice,
    clock: Clock,
    recorder: Arc<Recorder>,
    program: PathBuf,
    preemptible: bool,
}

/// Works until it is time to end.
pub(crate) fn run(args: &WorkerArgs) -> Result<(), Error> {
    let tie = set_parent_process_death_signal(Some(Signal::KILL));
    tie.map_err(Error::system("tie a worker to", "the conductor"))?;
    let program = std::env::current_exe().map_err(Error::system("find", "this program"))?;
    let recorder = Recorder::create(&args.history, &args.name).map_err(failed(&args.name))?;
    let mut dice = Dice::new(args.seed);
    let preemptible = dice.per_mille(500);
    let mut worker = Worker {
        args,
        dice,
        preemptible,
        clock: Clock::movable(),
        recorder: Arc::new(recorder),
        program,
    };
    worker.shift_clock();
    let lock = worker.open()?;
    let mut sections = 0;
    while sections < args.sections && now_ns() < args.until {
        if worker.dice.per_mille(5) {
            worker.shift_clock();
        }
        sections += u64::from(worker.cycle(&lock)?);
        let pause = if args.quick { 50 } else { 400 };
        thread::sleep(Duration::from_micros(worker.dice.between(0, pause)));
    }
    Ok(())
}

impl Worker<'_> {
    fn open(&mut self) -> Result<Lock, Error> {
        let settings = Settings {
            wait_limit: self.dice.per_mille(500).then(|| limit(&mut self.dice)),
            hang_after: HANG_AFTER,
            poll: Duration::from_millis(50),
            ..Settings::with_stale_after(STALE_AFTER)
        };
        let options = Options {
            policy: Policy::new(settings)?,
            command: self.args.name.clone(),
            preemptible: self.preemptible,
            clock: self.clock.clone(),
            tracer: Some(announce_takeovers(Arc::clone(&self.recorder))),
        };
        Ok(Lock::open(&self.args.lock, options)?)
    }

    fn shift_clock(&mut self) {
        let to = self.dice.between(0, 2 * WALL_MS).cast_signed() - WALL_MS.cast_signed();
        self.clock.step_wall(to);
    }

    /// Whether it owned the lock.
    fn cycle(&mut self, lock: &Lock) -> Result<bool, Error> {
        let mut takeover = None;
        let mut signalled = Vec::new();
        let acquired = lock.acquire(&Cancel::never(), &mut |notice| match notice {
            Notice::TookOver(over) => takeover = Some(over),
            Notice::Signalled { pids, .. } => signalled.extend(pids),
            _ => {}
        });
        for pid in signalled {
            self.note(0, What::Signalled(pid))?;
        }
        let guard = match acquired {
            Ok(guard) => guard,
            Err(error) => {
                self.failure(0, error)?;
                // A full disk is not emptied any sooner by asking again.
                thread::sleep(Duration::from_millis(5));
                return Ok(false);
            }
        };
        let generation = guard.generation().0;
        let token = guard.token().as_str().to_owned();
        let takeover = takeover.as_ref().map(named);
        let preemptible = self.preemptible;
        self.note(generation, What::Begin { token, takeover, preemptible })?;
        self.work(&guard)?;
        self.note(generation, What::End)?;
        let outcome = match guard.release() {
            Ok(Released::Released) => "released",
            Ok(Released::AlreadyLost { .. }) => "lost",
            Err(error) => {
                self.failure(generation, error)?;
                "failed"
            }
        };
        self.note(generation, What::Outcome(outcome.to_owned()))?;
        Ok(true)
    }

    fn work(&mut self, guard: &Guard) -> Result<(), Error> {
        let kind = if self.args.quick { 1000 } else { self.dice.between(0, 1000) };
        match kind {
            0..20 => self.hold(guard),
            20..150 => self.have_a_child(guard),
            150..400 => self.steps(guard),
            _ => {
                let lasts = if self.args.quick { 20 } else { 300 };
                thread::sleep(Duration::from_micros(self.dice.between(0, lasts)));
                Ok(())
            }
        }
    }

    /// For longer than a silent owner would be left alone.
    fn hold(&mut self, guard: &Guard) -> Result<(), Error> {
        let stale = u64::try_from(STALE_AFTER.as_millis()).unwrap_or(u64::MAX);
        let lasts = Duration::from_millis(self.dice.between(stale, 3 * stale));
        if guard.loss().wait(Some(lasts)).is_some() {
            self.note(guard.generation().0, What::Told)?;
        }
        Ok(())
    }

    fn steps(&mut self, guard: &Guard) -> Result<(), Error> {
        let count = self.dice.between(1, 5);
        for step in 1..=count {
            let lasts = Duration::from_micros(self.dice.between(0, 500));
            let generation = guard.generation().0;
            let stepped = guard.step(&format!("{step}/{count} working"), || {
                self.note(generation, What::StepBegin)?;
                thread::sleep(lasts);
                self.note(generation, What::StepEnd)
            });
            match stepped {
                Ok(noted) => noted?,
                Err(LockError::Lost { .. }) => return self.note(generation, What::Told),
                Err(error) => self.failure(generation, error)?,
            }
            thread::sleep(Duration::from_micros(self.dice.between(0, 500)));
        }
        Ok(())
    }

    /// Every other child dies with its worker; the rest outlive it. A preemptible owner starts its
    /// child in a step and announces how long it will wait for it, which is sometimes not true.
    fn have_a_child(&mut self, guard: &Guard) -> Result<(), Error> {
        let generation = guard.generation().0;
        let ticket = match guard.ticket() {
            Ok(ticket) => ticket,
            Err(LockError::Lost { .. }) => return self.note(generation, What::Told),
            Err(error) => return self.failure(generation, error),
        };
        let mut command = Command::new(&self.program);
        command.arg("child").arg("--history").arg(&self.args.history);
        command.args(["--generation", &generation.to_string()]);
        let lasts = self.dice.between(1, 400);
        command.args(["--lasts-ms", &lasts.to_string()]);
        if self.dice.per_mille(500) {
            let me = getpid().as_raw_nonzero();
            command.args(["--tied-to", &me.to_string()]);
        }
        command.stdin(Stdio::from(ticket));
        let honest = self.dice.per_mille(700);
        let quiet = Duration::from_millis(if honest { lasts } else { lasts / 4 });
        let step = match self.preemptible {
            false => None,
            true => match guard.begin_step("waiting for a child", quiet) {
                Ok(step) => Some(step),
                Err(LockError::Lost { .. }) => return self.note(generation, What::Told),
                Err(error) => return self.failure(generation, error),
            },
        };
        let child = command.spawn();
        drop(step);
        let mut child = child.map_err(Error::system("start a child of", &self.args.name))?;
        // The child ends by itself, and soon.
        let status = child.wait().map_err(Error::system("wait for", &self.args.name))?;
        if status.success() {
            return Ok(());
        }
        // Whoever has taken over from us may have ended it.
        if self.preemptible && status.signal().is_some() {
            return Ok(());
        }
        Err(Error::Program { command: format!("{command:?}"), complaint: status.to_string() })
    }

    /// Writes down a failure that a fault of ours can explain; any other ends the worker.
    fn failure(&self, generation: u64, error: LockError) -> Result<(), Error> {
        let no_space = Some(Errno::NOSPC.raw_os_error());
        let reason = match &error {
            LockError::MutexHeld { .. } => "MutexHeld",
            LockError::Lost { .. } => "Lost",
            LockError::TimedOut { .. } => "TimedOut",
            LockError::System { source, .. } if source.raw_os_error() == no_space => "NoSpace",
            _ => "unexplained",
        };
        self.note(generation, What::Failure(reason.to_owned()))?;
        if reason == "unexplained" { Err(error.into()) } else { Ok(()) }
    }

    fn note(&self, generation: u64, what: What) -> Result<(), Error> {
        self.recorder.note(generation, what).map_err(failed(&self.args.name))
    }
}

fn limit(dice: &mut Dice) -> Duration {
    Duration::from_millis(dice.between(600, 3000))
}

fn failed(name: &str) -> impl FnOnce(std::io::Error) -> Error {
    Error::system("write the history of", name)
}

/// Writes down that a takeover is about to be made, since the worker may not live to say that
/// it was. The generation is in the last record written into the ticket.
fn announce_takeovers(recorder: Arc<Recorder>) -> Tracer {
    let drawn = Mutex::new(0);
    Tracer::new(move |effect| {
        let Ok(mut drawn) = drawn.lock() else { return };
        match effect {
            Effect::Write(Slot::Ticket, text) => {
                let line = text.lines().find_map(|line| line.strip_prefix("generation="));
                *drawn = line.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
            }
            Effect::Rename { from: Name::Takeover, .. } => {
                // A history that cannot be written ends the worker at the next line.
                let _ = recorder.note(*drawn, What::Intent);
            }
            _ => {}
        }
    })
}

fn named(takeover: &Takeover) -> (String, Option<String>) {
    let reason = match takeover.reason {
        Reason::TimedOut => "TimedOut".to_owned(),
        Reason::Stale(stale) => format!("{stale:?}"),
    };
    (reason, takeover.from.as_ref().map(|record| record.token.as_str().to_owned()))
}
