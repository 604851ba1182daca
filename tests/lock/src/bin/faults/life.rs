//! One run: a subject lives, something happens at one of its calls, another comes.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use lock_fs::{OnTimeout, Released};
use lock_tests::{Arena, Begun, Work, intervals, is_dying};
use rustix::process::Signal;

use crate::error::Error;
use crate::fault::Fault;
use crate::other::Holder;
use crate::outcome::{End, Next, Outcome, Rescue};
use crate::process::{Process, State, Tampering, attached, is_traced};
use crate::rescue;
use crate::scenario::{Other, Scenario, Subject};
use crate::site::{Phase, Site};
use crate::stage::{Entry, Programs, Stage};
use crate::subject::{GATE, trace};
use crate::trace::{Call, END, parse};
use crate::what::{Object, Place, Verb};

/// Longer than anything takes on a loaded machine; only a red run waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A waiter's naps are short at first, each twice as long as the one before. After six the next
/// (64 ms) is long enough for us; and one such line is there from the start of every program.
const NAPS: usize = 6 + 1;
/// Behind another the first nap is as long as that, and the third four times as long.
const NAPS_BEHIND: usize = 2 + 1;
const NAP_ENDED: &str = " = 0 (Timeout)";

/// Longer than so many naps.
const LATE: Duration = Duration::from_millis(500);

/// How often to look what the others are at.
const GLANCE: Duration = Duration::from_micros(300);

/// So long does the one who came keep the lock while the subject could do wrong.
const TEMPTATION: Duration = Duration::from_millis(15);

/// One run.
pub(crate) struct Life<'a> {
    scenario: &'a Scenario,
    programs: &'a Programs,
    stage: Stage,
    tampering: Option<Tampering<'a>>,
    subject: Process,
    other: Option<Holder>,
    /// Who waits for the other, before the subject.
    first: Option<Holder>,
    /// The tracer, where it is not the subject's own descendant.
    tracer: Option<Process>,
    before: Vec<Entry>,
    loosened: bool,
    waits_since: Option<Instant>,
    rescue: Option<Rescue>,
    deadline: Instant,
}

impl<'a> Life<'a> {
    /// Begins in the directory `root`, with what is in `before`.
    pub(crate) fn begin(
        scenario: &'a Scenario,
        programs: &'a Programs,
        root: PathBuf,
        before: Option<&Arena>,
        tampering: Option<Tampering<'a>>,
    ) -> Result<Self, Error> {
        let stage = Stage::new(root, before)?;
        let start = |arena: &Arena, role| Holder::start(&programs.me, arena, role).map(Some);
        let other = match scenario.other {
            Other::Nobody => None,
            Other::Silent => start(&stage.arena, "silent")?,
            Other::Ended | Other::Owner | Other::OwnerAndWaiter => start(&stage.arena, "owner")?,
            Other::Holder => start(&stage.arena, "holder")?,
            Other::Successor => start(&stage.beside()?, "owner")?,
        };
        let first = match scenario.other {
            Other::OwnerAndWaiter => start(&stage.arena, "waiter")?,
            _ => None,
        };
        let mut before = stage.entries();
        if scenario.other == Other::Successor {
            before.push(stage.successor()?);
        }
        let subject = scenario.subject.start(&stage, programs, tampering.as_ref())?;
        Ok(Self {
            scenario,
            programs,
            stage,
            tampering,
            subject,
            other,
            first,
            tracer: None,
            before,
            loosened: false,
            waits_since: None,
            rescue: None,
            deadline: Instant::now() + PATIENCE,
        })
    }

    /// Lives to the end; what came of it.
    pub(crate) fn live(mut self) -> Result<(Outcome, Vec<Call>), Error> {
        let end = self.run()?;
        let calls = self.calls_to_the_end()?;
        let told = self.scenario.subject.told(&self.stage, end);
        let others = self.part_with_the_other(end)?;
        let left = self.stage.left(&self.before);
        let next = self.next()?;
        let log = fs::read_to_string(self.stage.arena.log()).unwrap_or_default();
        let hit = self.tampering.is_some_and(|tampering| tampering.hit(&calls));
        let outcome = Outcome {
            hit,
            end,
            said: told.said,
            ran: told.ran,
            told: told.lost,
            rescue: self.rescue.take(),
            others,
            left,
            next,
            overlap: intervals(&log).err(),
            more_descriptors: told.more_descriptors,
        };
        Ok((outcome, calls))
    }

    /// Lets the subject live, and does what the others have to do meanwhile.
    fn run(&mut self) -> Result<End, Error> {
        loop {
            match self.subject.state()? {
                State::Ended(end) => return Ok(end),
                State::Stopped
                    if self.scenario.subject == Subject::Renewal && self.tracer.is_none() =>
                {
                    self.attach()?;
                }
                State::Stopped => self.come_to_the_rescue()?,
                State::Running if Instant::now() > self.deadline => return Ok(End::Hangs),
                State::Running => {}
            }
            if !self.loosened && self.is_waiting() {
                self.loosen();
            }
            if self.scenario.subject == Subject::Renewal && self.has_renewed() {
                self.open_the_gate()?;
            }
            // Nothing tells of a stop, or of a line in a file.
            thread::sleep(GLANCE);
        }
    }

    /// Whether the subject waits for what the other has, and sleeps for so long that it will be
    /// woken by nothing else.
    fn is_waiting(&mut self) -> bool {
        let log = || fs::read_to_string(trace(&self.stage)).unwrap_or_default();
        match self.scenario.other {
            Other::Owner | Other::OwnerAndWaiter => {
                let said = self.stage.text("subject.err").contains("waiting for ");
                // Where it cannot watch, it takes no naps.
                said && (self.naps_for_long(&log()) || self.waits_for_long())
            }
            // The newcomer's link found it taken, so did the one that follows in its turn, and so
            // did the one after the watch was set. Without a number there are only the last two.
            Other::Holder => {
                let count = log().matches(" EEXIST ").count();
                count >= 3 || (count == 2 && self.waits_for_long())
            }
            Other::Nobody | Other::Silent | Other::Ended | Other::Successor => false,
        }
    }

    /// Whether that was asked for the first time so long ago. Once it waits it does not stop.
    fn waits_for_long(&mut self) -> bool {
        self.waits_since.get_or_insert_with(Instant::now).elapsed() > LATE
    }

    /// Whether the nap that comes next, or has begun, is long enough: it has taken so many,
    /// and has made the last call that stands between two.
    fn naps_for_long(&self, log: &str) -> bool {
        let (naps, call, file) = match self.scenario.other {
            Other::OwnerAndWaiter => (NAPS_BEHIND, "close(", ".queue>"),
            _ => (NAPS, "pread64(", "restart.lock>"),
        };
        let since = log.rsplit(NAP_ENDED).next().unwrap_or_default();
        let is_last = |line: &str| line.contains(call) && line.contains(file);
        log.matches(NAP_ENDED).count() >= naps && since.lines().any(is_last)
    }

    /// Takes away what the subject waits for: it is woken by that, and by nothing else.
    fn loosen(&mut self) {
        let arena = &self.stage.arena;
        // It may be gone: then the subject was not as patient as it should have been.
        let _ = match self.scenario.other {
            Other::Owner | Other::OwnerAndWaiter => fs::remove_file(arena.lock()),
            Other::Holder => fs::remove_file(arena.beside(".mutex")),
            Other::Nobody | Other::Silent | Other::Ended | Other::Successor => Ok(()),
        };
        self.loosened = true;
    }

    /// The command has stopped its wrapper: now the keeper can be seen from its first round.
    fn attach(&mut self) -> Result<(), Error> {
        let missing = || Error::Part { what: "the keeper", how: "it is not there".to_owned() };
        let thread = self.subject.thread("lock-keeper").ok_or_else(missing)?;
        let command = attached(thread, &trace(&self.stage), self.tampering.as_ref());
        self.tracer = Some(Process::start(command, &self.stage, "tracer")?);
        self.until(|_| is_traced(thread));
        self.subject.signal(Signal::CONT);
        Ok(())
    }

    /// Whether a renewal came to its end, and nothing more is to be seen of one.
    fn has_renewed(&self) -> bool {
        let Ok(calls) = self.calls() else { return true };
        let hit = self
            .tampering
            .map_or(Some(0), |tampering| calls.iter().position(|call| tampering.is_at(call)));
        let ended = |call: &Call| {
            call.succeeded && call.what.is_some_and(|what| what.is(Verb::Remove, Object::Mutex))
        };
        let after = hit.and_then(|hit| calls.get(hit + 1..));
        after.is_some_and(|calls| calls.iter().any(ended)) || self.has_heard()
    }

    fn has_heard(&self) -> bool {
        self.scenario.subject.has_heard(&self.stage)
    }

    fn open_the_gate(&self) -> Result<(), Error> {
        let gate = self.stage.file(GATE);
        fs::write(&gate, "").map_err(Error::system("write", &gate))
    }

    /// The subject is stopped: another comes.
    fn come_to_the_rescue(&mut self) -> Result<(), Error> {
        let Some(Tampering { site, fault, .. }) = self.tampering else { return Ok(()) };
        if !self.loosened {
            self.loosen();
        }
        self.let_the_command_end(site);
        let on_timeout = match fault {
            Fault::End => OnTimeout::Stop,
            _ => OnTimeout::Fail,
        };
        let arena = self.stage.arena.clone();
        let owns = site.after.lock && !site.after.mutex;
        let may_replace = owns && fault == Fault::Stop && self.scenario.subject.is_preemptible();
        let (rescue, guard) = rescue::come(&arena, self.subject.pid(), on_timeout, may_replace)?;
        self.rescue = Some(rescue.clone());
        let Some(guard) = guard else {
            self.subject.signal(Signal::CONT);
            return Ok(());
        };
        let generation = guard.generation().0;
        let work = Work { arena: &arena, generation, lasts: Duration::ZERO };
        let begun = work.begin().map_err(Error::system("work in", arena.root()))?;
        self.subject.signal(Signal::CONT);
        match rescue {
            // It has lost its lock, and must find out before it does anything else.
            Rescue::TookOver => self.until(|life| life.has_heard() || life.is_over()),
            Rescue::Ended => {}
            // It has no lock yet, and must wait. There is no event for "does no wrong".
            _ => thread::sleep(TEMPTATION),
        }
        // What this caught is in the log.
        let _: Option<Result<_, _>> = begun.ok().map(Begun::end);
        // The subject may have had a right to take it away.
        let _: Released = guard.release()?;
        Ok(())
    }

    /// What a step has started is not fenced: it goes on while its owner is stopped. So it
    /// must be over before another comes.
    fn let_the_command_end(&mut self, site: &Site) {
        let begun = matches!(site.phase, Phase::Working | Phase::Releasing | Phase::Renewing);
        let is_a_process = !matches!(self.scenario.subject, Subject::Library | Subject::Restart);
        if begun && is_a_process {
            self.until(|life| life.stage.has("done-subject"));
        }
    }

    fn is_over(&self) -> bool {
        is_dying(self.subject.pid())
    }

    /// Waits for something, but not beyond the deadline.
    fn until(&mut self, mut fine: impl FnMut(&mut Self) -> bool) {
        while !fine(self) && Instant::now() < self.deadline {
            // Nothing tells of a line in a file.
            thread::sleep(GLANCE);
        }
    }

    fn calls(&self) -> Result<Vec<Call>, Error> {
        let (run, lock) = self.stage.place();
        let text = fs::read(trace(&self.stage)).unwrap_or_default();
        // The last line may be in the middle of being written.
        let text = String::from_utf8_lossy(&text);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        parse(whole, &Place { run: &run, lock })
    }

    /// The whole trace: its writer is done when it says how the subject ended.
    fn calls_to_the_end(&mut self) -> Result<Vec<Call>, Error> {
        self.until(|life| {
            let text = fs::read_to_string(trace(&life.stage)).unwrap_or_default();
            text.contains(END)
        });
        self.calls()
    }

    /// Lets the other end; what is wrong with that, if anything.
    fn part_with_the_other(&mut self, end: End) -> Result<Option<String>, Error> {
        let Some(other) = self.other.take() else { return Ok(None) };
        // Its lock is not in the next one's way.
        if self.scenario.other == Other::Successor {
            drop(other);
            return Ok(None);
        }
        let word = other.end()?;
        let done = end == End::Code(self.scenario.subject.usual_code());
        let fine = match word.as_str() {
            // It was ended, by the subject or by the one who came.
            "" | "lost" => true,
            "released" => !done,
            _ => false,
        };
        if !fine {
            return Ok(Some(format!("the other owner {word} a lock that was not its own")));
        }
        let first = self.first.take().map(Holder::end).transpose()?;
        // It may have been ended by the one who came, too.
        let fine = first.as_deref().is_none_or(|word| ["", "released", "lost"].contains(&word));
        Ok((!fine).then(|| format!("the one before it said {first:?}")))
    }

    /// The next contender: the real program, with everything at its defaults.
    fn next(&self) -> Result<Next, Error> {
        let mut command = std::process::Command::new(&self.programs.fleet);
        command.args(["lock", "run", "--lock", self.stage.arena.lock().as_str(), "--"]);
        command.arg(&self.programs.me).args(["work", self.stage.arena.root().as_str(), "next"]);
        let begun = Instant::now();
        let mut process = Process::start(command, &self.stage, "next")?;
        let end = loop {
            match process.state()? {
                State::Ended(end) => break end,
                _ if begun.elapsed() > PATIENCE => break End::Hangs,
                // It is our child, but a wait for it has no deadline.
                _ => thread::sleep(GLANCE),
            }
        };
        Ok(Next {
            took: begun.elapsed(),
            end,
            said: self.stage.text("next.err").lines().map(str::to_owned).collect(),
            ran: self.stage.has("ran-next"),
            left: self.stage.left(&[]),
        })
    }
}
