//! From a release to a blocked waiter's having the lock.

use std::thread;
use std::time::Duration;

use lock_tests::Dice;

use super::{Bench, named, of, ranked};
use crate::crew::Peer;
use crate::error::Error;
use crate::figures::{Goal, Plot, Section, Shape, Table};
use crate::place::Medium;
use crate::stats::{MICRO, Summary, digits, in_units};
use crate::subject::{BLOCKED_FLOCK, Home, Kind, OURS, Subject};

/// Microseconds, round by round.
type Latencies = Vec<(Subject, Vec<f64>)>;

/// Who is drawn; with all of them the plot would show nothing.
const DRAWN: [&str; 9] = [
    OURS,
    BLOCKED_FLOCK,
    "robust",
    "std",
    "fslock",
    "pidlock",
    "filelock",
    "original",
    "npm-lockfile-5ms",
];

/// Two peers of each subject hand its lock to each other.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let mut pairs = Vec::new();
    for subject in &bench.subjects {
        let pair = Pair::start(bench, subject);
        if let Some(pair) = bench.tolerate(subject, pair)? {
            pairs.push(Some((*subject, pair)));
        }
    }
    let mut dice = Dice::new(1);
    let most = bench.scale(40, 1000);
    for round in 0..most {
        for slot in &mut pairs {
            let Some((subject, pair)) = slot else { continue };
            if round >= rounds(subject, bench.quick) {
                continue;
            }
            let outcome = pair.round(subject, &mut dice);
            if bench.tolerate(subject, outcome)?.is_none() {
                // Its peers are in a state that nobody knows.
                *slot = None;
            }
        }
        if round % 100 == 0 {
            bench.progress(&format!("hand-off: {round} of {most} rounds"));
        }
    }
    let there = pairs.into_iter().flatten();
    let latencies: Latencies = there.map(|(subject, pair)| (subject, pair.latencies)).collect();
    let text = "Two processes hand a lock to each other: one holds it, the other waits for it, \
                the first releases. From just before the call that releases to just after the \
                call that has acquired, on the clock that both share. The waiter has been \
                waiting for 3 ms (15 ms where each acquire is a process) and a random part of \
                its own polling interval. The subjects \
                take turns, round after round. Whoever polls slowly has fewer rounds."
        .to_owned();
    let title = "Hand-off to a blocked waiter".to_owned();
    let (tables, goals) = (vec![table(&latencies)], goals(&latencies));
    Ok(Section { title, text, tables, goals, plots: vec![plot(latencies)] })
}

fn rounds(subject: &Subject, quick: bool) -> usize {
    match (subject.poll, quick) {
        (0..=1, false) if subject.home == Home::Called => 400,
        (0..=1, false) => 1000,
        (2..=50, false) => 200,
        (51..=250, false) => 60,
        (_, false) => 25,
        (0..=1, true) => 40,
        (2..=50, true) => 8,
        (_, true) => 2,
    }
}

struct Pair {
    holder: Peer,
    waiter: Peer,
    latencies: Vec<f64>,
}

impl Pair {
    fn start(bench: &Bench, subject: &Subject) -> Result<Self, Error> {
        let lock = bench.places.lock(Medium::Disk)?;
        let mut holder = bench.programs.start(subject, &lock)?;
        let mut waiter = bench.programs.start(subject, &lock)?;
        waiter.cycles(1)?;
        holder.cycles(1)?;
        Ok(Self { holder, waiter, latencies: Vec::new() })
    }

    fn round(&mut self, subject: &Subject, dice: &mut Dice) -> Result<(), Error> {
        self.holder.acquire()?;
        self.waiter.tell("acquire")?;
        thread::sleep(settled(subject, dice));
        let [began, _] = self.holder.release()?;
        let [_, got] = self.waiter.numbers("acquired", crate::crew::PATIENCE)?;
        if got < began {
            return Err(Error::Broken(format!("{} was had by two at once", subject.name)));
        }
        self.latencies.push(in_units(got - began, MICRO));
        self.waiter.release()?;
        std::mem::swap(&mut self.holder, &mut self.waiter);
        Ok(())
    }
}

/// How long a waiter waits until it has settled: a sleep, since nothing outside tells that
/// somebody else's program has gone to sleep.
pub(super) fn settled(subject: &Subject, dice: &mut Dice) -> Duration {
    let starts = if subject.home == Home::Called { 15_000 } else { 3_000 };
    Duration::from_micros(starts + dice.roll() % (subject.poll * 1000 + 1))
}

fn table(latencies: &Latencies) -> Table {
    let head = ["subject", "median µs", "p10", "p90", "p99", "max", "rounds"];
    let mut table = Table::new("Microseconds from release to acquired", &head);
    for (subject, summary) in ranked(latencies) {
        let Summary { count, median, p10, p90, p99, max, .. } = summary;
        let numbers = [median, p10, p90, p99, max].map(digits);
        table.row([named(subject)].into_iter().chain(numbers).chain([count.to_string()]));
    }
    table
}

fn goals(latencies: &Latencies) -> Vec<Goal> {
    let ratio = |value: fn(&Summary) -> f64| {
        let of = |name| of(latencies, name, |values| value(&Summary::of(values)));
        of(OURS) / of(BLOCKED_FLOCK)
    };
    vec![
        Goal::at_most(
            "hand-off: median against a blocked flock",
            ratio(|all| all.median),
            2.0,
            " ×",
        ),
        Goal::at_most("hand-off: p99 against a blocked flock", ratio(|all| all.p99), 3.0, " ×"),
    ]
}

fn plot(latencies: Latencies) -> Plot {
    let drawn = latencies.into_iter().filter(|(subject, values)| {
        !values.is_empty() && (subject.kind == Kind::Ours || DRAWN.contains(&subject.name))
    });
    let series = drawn.map(|(subject, values)| (subject.name.to_owned(), values)).collect();
    let shape = Shape::Distribution { unit: "µs from release to acquired", series };
    Plot { file: "hand-off", title: "Hand-off to a blocked waiter", shape }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::SUBJECTS;

    fn latencies(figures: &[(&str, &[f64])]) -> Latencies {
        let find = |name: &str| SUBJECTS.iter().find(|subject| subject.name == name);
        let find = |name: &str| *find(name).expect("a test names one that there is");
        figures.iter().map(|(name, values)| (find(name), values.to_vec())).collect()
    }

    #[test]
    fn the_worst_counts_beside_the_middle() {
        let good = latencies(&[(OURS, &[90.0, 110.0]), (BLOCKED_FLOCK, &[60.0, 60.0])]);
        let holds: Vec<_> = goals(&good).iter().map(|goal| goal.holds).collect();
        assert_eq!(holds, [Some(true), Some(true)]);
        let slow = latencies(&[(OURS, &[90.0, 110.0, 900.0]), (BLOCKED_FLOCK, &[60.0, 60.0])]);
        let holds: Vec<_> = goals(&slow).iter().map(|goal| goal.holds).collect();
        assert_eq!(holds, [Some(true), Some(false)]);
    }
}
