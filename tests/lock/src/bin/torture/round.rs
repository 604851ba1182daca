//! One round: workers on one lock, and what is done to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use camino::Utf8PathBuf;
use lock_tests::history::{CONDUCTOR, Recorder};
use lock_tests::{Dice, now_ns};
use rustix::process::Signal;

use crate::crew::{Worker, bury_orphans, contents};
use crate::error::Error;
use crate::place::{Ballast, Place};
use crate::report::Tally;
use crate::worker::STALE_AFTER;

const MS: u64 = 1_000_000;

/// How long everything may take once it is left alone.
const PATIENCE: Duration = Duration::from_secs(30);

/// One round.
pub(crate) struct Round<'a> {
    place: &'a Place,
    lock: Utf8PathBuf,
    histories: PathBuf,
    recorder: Recorder,
    dice: Dice,
    until: u64,
    started: u64,
    crew: Vec<Seat>,
    agenda: Vec<(u64, Deed)>,
    ballast: Option<Ballast>,
    tally: Tally,
}

/// A worker and, once it is killed, the next one in its place.
#[derive(Default)]
struct Seat {
    worker: Option<Worker>,
    stopped: bool,
}

/// What the conductor has in mind to do later.
enum Deed {
    GoOn { seat: usize, pid: u32 },
    Kill { seat: usize, pid: u32 },
    Restart { seat: usize },
    EmptyDisk,
}

impl<'a> Round<'a> {
    pub(crate) fn new(
        place: &'a Place,
        histories: &Path,
        dice: Dice,
        contenders: u32,
        lasts: Duration,
    ) -> Result<Self, Error> {
        let recorder = Recorder::create(histories, CONDUCTOR);
        let recorder = recorder.map_err(Error::system("write the history of", CONDUCTOR))?;
        let until = now_ns() + u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX / 2);
        let mut round = Self {
            place,
            lock: place.lock()?,
            histories: histories.to_owned(),
            recorder,
            dice,
            until,
            started: 0,
            crew: Vec::new(),
            agenda: Vec::new(),
            ballast: None,
            tally: Tally::default(),
        };
        round.crew.resize_with(usize::try_from(contenders.max(1)).unwrap_or(1), Seat::default);
        for seat in 0..round.crew.len() {
            round.start(seat)?;
        }
        Ok(round)
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Torments the workers until the time is up.
    pub(crate) fn torment(&mut self) -> Result<(), Error> {
        while now_ns() < self.until {
            self.notice_crashes()?;
            let pause = self.dice.between(5, 60) * MS;
            let next = now_ns() + pause;
            while let Some(deed) = self.due_before(next) {
                self.perform(deed)?;
            }
            thread::sleep(Duration::from_nanos(next.saturating_sub(now_ns())));
            self.think_of_something()?;
        }
        Ok(())
    }

    /// Lets everyone go on, and waits until all have ended by themselves.
    pub(crate) fn calm_down(&mut self) -> Result<(), Error> {
        self.ballast = None;
        self.agenda.clear();
        for seat in &mut self.crew {
            if let Some(worker) = &seat.worker {
                worker.signal(Signal::CONT);
            }
        }
        for seat in 0..self.crew.len() {
            let Some(mut worker) = self.crew.get_mut(seat).and_then(|seat| seat.worker.take())
            else {
                continue;
            };
            if !worker.ends_within(PATIENCE)? {
                return Err(self.hangs(&worker));
            }
            self.check_end(&mut worker)?;
        }
        bury_orphans()
    }

    /// One more worker, alone: it must get the lock at once, whatever the others have left.
    pub(crate) fn clean_cycle(&mut self) -> Result<Duration, Error> {
        let begun = now_ns();
        self.until = begun + 60_000 * MS;
        let mut worker = self.worker("clean", &["--sections", "1", "--quick"])?;
        if !worker.ends_within(Duration::from_secs(2))? {
            return Err(self.hangs(&worker));
        }
        self.check_end(&mut worker)?;
        Ok(Duration::from_nanos(now_ns() - begun))
    }

    fn start(&mut self, seat: usize) -> Result<(), Error> {
        self.started += 1;
        let worker = self.worker(&format!("worker-{}", self.started), &[])?;
        if let Some(seat) = self.crew.get_mut(seat) {
            *seat = Seat { worker: Some(worker), stopped: false };
        }
        Ok(())
    }

    fn worker(&mut self, name: &str, more: &[&str]) -> Result<Worker, Error> {
        let histories = self.histories.to_string_lossy();
        let (seed, until) = (self.dice.roll().to_string(), self.until.to_string());
        let mut args = vec!["worker", "--lock", self.lock.as_str(), "--history", &histories];
        args.extend(["--name", name, "--seed", &seed, "--until", &until]);
        args.extend(more);
        Worker::start(name.to_owned(), &args)
    }

    fn think_of_something(&mut self) -> Result<(), Error> {
        let Some(seat) = self.victim() else { return Ok(()) };
        let stale = u64::try_from(STALE_AFTER.as_millis()).unwrap_or(u64::MAX);
        let pid = self.pid(seat).unwrap_or(0);
        match self.dice.between(0, 100) {
            0..35 => self.kill(seat),
            35..50 => {
                self.stop(seat, false);
                let at = now_ns() + self.dice.between(0, 50) * MS;
                self.agenda.push((at, Deed::Kill { seat, pid }));
                Ok(())
            }
            50..75 => {
                self.stop(seat, false);
                let at = now_ns() + self.dice.between(1, 60) * MS;
                self.agenda.push((at, Deed::GoOn { seat, pid }));
                Ok(())
            }
            75..92 => {
                self.stop(seat, true);
                let at = now_ns() + self.dice.between(stale, 3 * stale) * MS;
                self.agenda.push((at, Deed::GoOn { seat, pid }));
                Ok(())
            }
            _ => self.fill(),
        }
    }

    /// Every other time whoever owns the lock, else anyone. One that is stopped is left so.
    fn victim(&mut self) -> Option<usize> {
        let anyone = self.dice.between(0, self.crew.len() as u64) as usize;
        let owner = self.dice.per_mille(500).then(|| fs::read_to_string(&self.lock).ok()).flatten();
        let owner = owner.and_then(|text| text.lines().next()?.parse::<u32>().ok());
        let owner =
            owner.and_then(|pid| (0..self.crew.len()).find(|at| self.pid(*at) == Some(pid)));
        let chosen = owner.unwrap_or(anyone);
        let seat = self.crew.get(chosen)?;
        (seat.worker.is_some() && !seat.stopped).then_some(chosen)
    }

    fn pid(&self, seat: usize) -> Option<u32> {
        self.crew.get(seat)?.worker.as_ref().map(Worker::pid)
    }

    fn stop(&mut self, seat: usize, long: bool) {
        if let Some(seat) = self.crew.get_mut(seat)
            && let Some(worker) = &seat.worker
        {
            worker.signal(Signal::STOP);
            seat.stopped = true;
            self.tally.stops += 1;
            self.tally.long_stops += u64::from(long);
        }
    }

    fn kill(&mut self, seat: usize) -> Result<(), Error> {
        let Some(place) = self.crew.get_mut(seat) else { return Ok(()) };
        let Some(mut worker) = place.worker.take() else { return Ok(()) };
        worker.kill(&self.recorder)?;
        self.tally.kills += 1;
        let at = now_ns() + self.dice.between(0, 80) * MS;
        self.agenda.push((at, Deed::Restart { seat }));
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Error> {
        if self.place.can_be_filled() && self.ballast.is_none() {
            self.ballast = Some(self.place.fill()?);
            self.tally.full_disks += 1;
            let at = now_ns() + self.dice.between(20, 400) * MS;
            self.agenda.push((at, Deed::EmptyDisk));
        }
        Ok(())
    }

    fn due_before(&mut self, instant: u64) -> Option<Deed> {
        let earliest = self.agenda.iter().enumerate().min_by_key(|(_, (at, _))| *at);
        let (index, at) = earliest.map(|(index, (at, _))| (index, *at))?;
        if at >= instant {
            return None;
        }
        thread::sleep(Duration::from_nanos(at.saturating_sub(now_ns())));
        Some(self.agenda.swap_remove(index).1)
    }

    fn perform(&mut self, deed: Deed) -> Result<(), Error> {
        match deed {
            Deed::GoOn { seat, pid } if self.pid(seat) == Some(pid) => {
                if let Some(seat) = self.crew.get_mut(seat)
                    && let Some(worker) = &seat.worker
                {
                    worker.signal(Signal::CONT);
                    seat.stopped = false;
                }
                Ok(())
            }
            Deed::Kill { seat, pid } if self.pid(seat) == Some(pid) => self.kill(seat),
            Deed::Restart { seat } => {
                self.tally.restarts += 1;
                self.start(seat)
            }
            Deed::EmptyDisk => {
                self.ballast = None;
                Ok(())
            }
            Deed::GoOn { .. } | Deed::Kill { .. } => Ok(()),
        }
    }

    /// A worker that ended although nobody killed it, before its time.
    fn notice_crashes(&mut self) -> Result<(), Error> {
        for seat in 0..self.crew.len() {
            let Some(worker) = self.crew.get_mut(seat).and_then(|seat| seat.worker.as_mut()) else {
                continue;
            };
            if let Some(status) = worker.ended()?
                && !status.success()
            {
                let name = worker.name.clone();
                return Err(Error::Crashed { name, status, kept: self.histories.clone() });
            }
        }
        Ok(())
    }

    fn check_end(&self, worker: &mut Worker) -> Result<(), Error> {
        match worker.ended()? {
            Some(status) if !status.success() => {
                let name = worker.name.clone();
                Err(Error::Crashed { name, status, kept: self.histories.clone() })
            }
            _ => Ok(()),
        }
    }

    fn hangs(&self, worker: &Worker) -> Error {
        let directory = self.lock.parent().map(contents_of).unwrap_or_default();
        let mut state = worker.state();
        for other in self.crew.iter().filter_map(|seat| seat.worker.as_ref()) {
            state.push('\n');
            state.push_str(&other.state());
        }
        state.push('\n');
        state.push_str(&directory);
        Error::Hangs { name: worker.name.clone(), kept: self.histories.clone(), state }
    }
}

fn contents_of(directory: &camino::Utf8Path) -> String {
    contents(directory.as_std_path())
}
