//! Many breakers that come upon one stale lock at the same instant.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use lock_bench_peer::{Turn, now_ns};

use super::{Bench, named};
use crate::crew::{PATIENCE, Peer};
use crate::error::Error;
use crate::figures::{Goal, Section, Table};
use crate::judge::{Owned, overlaps};
use crate::place::Medium;
use crate::stats::{MILLI, Summary, digits, in_units};
use crate::subject::{Death, Home, Kind, OURS, Subject, clear};

/// So long each has the lock: long enough for another's mistake to fall into it.
const HOLD_NS: u64 = 1_000_000;

/// Older than any threshold.
const OLD: Duration = Duration::from_secs(3600);

/// The original's record of an owner that is long dead.
const OLD_RECORD: &str = "4242\n1000000000000\nstale\n";

/// What became of the rounds.
#[derive(Debug, Default)]
struct Outcome {
    breakers: usize,
    rounds: usize,
    /// Rounds in which two were in at once.
    broken: usize,
    overlaps: usize,
    /// When the first was in, in milliseconds after all began.
    first: Vec<f64>,
}

/// Lets breakers loose on what the dead have left.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let mut outcomes = Vec::new();
    for subject in bench.subjects.iter().filter(|subject| breaks(subject)) {
        if let Some(outcome) = bench.tolerate(subject, rounds(bench, subject))? {
            bench.progress(&format!("{}: {} stampedes", subject.name, outcome.rounds));
            outcomes.push((*subject, outcome));
        }
    }
    let text = "A holder was killed. Ours also finds the mutex and the reclaim lock of two more \
                that were killed; the original finds its own two, and everybody's files are an \
                hour old. All breakers begin at one instant; each holds the lock for 1 ms and \
                releases. Two that had it at the same time by the clock that they share are an \
                overlap. `checked-flock` is the control that breaks nothing."
        .to_owned();
    let (tables, goals) = (vec![table(&outcomes)], goals(&outcomes));
    Ok(Section { title: "Stampede".to_owned(), text, tables, goals, plots: Vec::new() })
}

fn breaks(subject: &Subject) -> bool {
    let is_file = matches!(subject.kind, Kind::Ours | Kind::File);
    let noticed = matches!(subject.death, Death::Noticed(_));
    subject.home != Home::Called && noticed && is_file || subject.name == "checked-flock"
}

fn rounds(bench: &Bench, subject: &Subject) -> Result<Outcome, Error> {
    let (breakers, rounds) = match subject.home {
        Home::Node | Home::Python => (bench.scale(8, 16), bench.scale(3, 50)),
        _ => (bench.scale(16, 64), bench.scale(5, 100)),
    };
    let lock = bench.places.lock(Medium::Disk)?;
    let start = |_| bench.programs.start(subject, &lock);
    let mut crew = (0..breakers).map(start).collect::<Result<Vec<Peer>, Error>>()?;
    for peer in &mut crew {
        peer.cycles(1)?;
    }
    let mut outcome = Outcome { breakers, rounds, ..Outcome::default() };
    for _ in 0..rounds {
        clear(&lock);
        leave(bench, subject, &lock)?;
        let begin = now_ns() + 40_000_000;
        for peer in &mut crew {
            peer.tell(&format!("once {begin} {HOLD_NS}"))?;
        }
        let mut turns = Vec::new();
        for (peer, by) in crew.iter_mut().zip(0..) {
            let [wanted, got, left] = peer.numbers("turn", PATIENCE)?;
            turns.push(Owned { by, turn: Turn { wanted, got, left } });
        }
        turns.sort_by_key(|owned| owned.turn.got);
        outcome.add(begin, &turns);
    }
    if subject.kind == Kind::Ours && outcome.overlaps > 0 {
        return Err(Error::Broken(format!(
            "{} overlapped in a stampede: {outcome:?}",
            subject.name
        )));
    }
    Ok(outcome)
}

impl Outcome {
    fn add(&mut self, begin: u64, turns: &[Owned]) {
        let count = overlaps(turns);
        self.broken += usize::from(count > 0);
        self.overlaps += count;
        if let Some(first) = turns.first() {
            self.first.push(in_units(first.turn.got.saturating_sub(begin), MILLI));
        }
    }
}

/// What the dead leave.
fn leave(bench: &Bench, subject: &Subject, lock: &Utf8Path) -> Result<(), Error> {
    die(bench, subject, lock)?;
    if subject.name == OURS {
        // The same kind of file under another name is another role's.
        for role in [".mutex", ".mutex.reclaim"] {
            let elsewhere = bench.places.lock(Medium::Disk)?;
            die(bench, subject, &elsewhere)?;
            let moved = fs::rename(&elsewhere, beside(lock, role));
            moved.map_err(Error::system("rename", &elsewhere))?;
        }
    }
    if subject.name.starts_with("original") {
        for path in [lock.to_owned(), beside(lock, ".mutex"), beside(lock, ".mutex.reclaim")] {
            fs::write(&path, OLD_RECORD).map_err(Error::system("write", &path))?;
        }
    }
    age(lock)
}

fn beside(lock: &Utf8Path, suffix: &str) -> camino::Utf8PathBuf {
    format!("{lock}{suffix}").into()
}

/// A holder that dies.
fn die(bench: &Bench, subject: &Subject, lock: &Utf8Path) -> Result<(), Error> {
    let mut holder = bench.programs.start(subject, lock)?;
    holder.acquire()?;
    holder.kill();
    Ok(())
}

/// Makes all files of a lock old.
fn age(lock: &Utf8Path) -> Result<(), Error> {
    let directory = lock.parent().unwrap_or(lock);
    let entries = fs::read_dir(directory).map_err(Error::system("list", directory))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let what = path.display().to_string();
        let file = File::open(&path).map_err(Error::system("open", &what))?;
        let then = SystemTime::now() - OLD;
        file.set_modified(then).map_err(Error::system("age", &what))?;
    }
    Ok(())
}

fn table(outcomes: &[(Subject, Outcome)]) -> Table {
    let head = [
        "subject",
        "breakers",
        "rounds",
        "rounds broken",
        "overlaps",
        "first in: median ms",
        "worst ms",
    ];
    let mut table = Table::new("Breakers of one stale lock", &head);
    for (subject, outcome) in outcomes {
        let first = Summary::of(&outcome.first);
        let broken = match outcome.broken {
            0 => "0".to_owned(),
            count => format!("**{count}**"),
        };
        table.row([
            named(subject),
            outcome.breakers.to_string(),
            outcome.rounds.to_string(),
            broken,
            outcome.overlaps.to_string(),
            digits(first.median),
            digits(first.max),
        ]);
    }
    table
}

fn goals(outcomes: &[(Subject, Outcome)]) -> Vec<Goal> {
    let ours = outcomes.iter().find(|(subject, _)| subject.name == OURS);
    let Some((_, ours)) = ours else { return Vec::new() };
    let Outcome { breakers, rounds, overlaps, .. } = ours;
    let found = format!("{overlaps} overlaps of {breakers} breakers in {rounds} rounds");
    let first = Summary::of(&ours.first).max;
    vec![
        Goal::must("stampede: exclusion", "no overlap", found, *overlaps == 0),
        Goal::at_most("stampede: the first is in, worst round", first, 10.0, " ms"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_round_is_counted_once() {
        let owned = |by, got, left| Owned { by, turn: Turn { wanted: 0, got, left } };
        let mut outcome = Outcome::default();
        outcome.add(1_000_000, &[owned(0, 3_000_000, 9), owned(1, 3_000_001, 3_000_002)]);
        assert_eq!((outcome.broken, outcome.overlaps), (0, 0));
        outcome.add(0, &[owned(0, 1, 9), owned(1, 2, 8), owned(2, 3, 7)]);
        assert_eq!((outcome.broken, outcome.overlaps), (1, 2));
        assert!((outcome.first[0] - 2.0).abs() < 1e-9);
    }
}
