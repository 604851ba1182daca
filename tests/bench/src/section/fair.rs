//! Whether all get their turns.

use super::contended::{CROWDS, Round, round};
use super::{Bench, named};
use crate::error::Error;
use crate::figures::{Goal, Section, Table};
use crate::stats::{MILLI, digits, in_units, real};
use crate::subject::{BLOCKED_FLOCK, OURS, Subject};

/// Who is set beside ours.
const BESIDE: [&str; 4] = [BLOCKED_FLOCK, "robust", "gix-lock", "pidlock"];

/// What a round says of fairness.
#[derive(Clone, Copy, Debug)]
struct Fairness {
    /// Most turns by fewest; infinite if somebody had none.
    ratio: f64,
    longest_ms: f64,
    /// Seconds by changes of owner.
    mean_ms: f64,
    size: usize,
}

impl Fairness {
    fn of(round: &Round, size: usize) -> Self {
        let judged = &round.judged;
        let ratio = real(judged.most()) / real(judged.fewest());
        let longest_ms = in_units(judged.longest, MILLI);
        let mean_ms = round.seconds * 1e3 / real(judged.changes);
        Self { ratio, longest_ms, mean_ms, size }
    }

    /// The longest wait by what N hand-offs take.
    fn wait(&self) -> f64 {
        self.longest_ms / (real(self.size) * self.mean_ms)
    }
}

/// Counts the turns of 5 s.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let window = bench.scale(1000, 5000) * 1_000_000;
    let mut all = Vec::new();
    for size in bench.scale(&CROWDS[..3], &CROWDS[..]) {
        let chosen = |subject: &&Subject| subject.name == OURS || BESIDE.contains(&subject.name);
        for subject in bench.subjects.iter().filter(chosen) {
            let outcome = round(bench, subject, *size, window);
            if let Some(round) = bench.tolerate(subject, outcome)? {
                all.push((*subject, Fairness::of(&round, *size)));
            }
        }
        bench.progress(&format!("fair, {size}: done"));
    }
    let text = "As *Contended*, for 5 s. A fair lock gives all the same number of turns, and \
                nobody waits much longer than one turn of each of the others: the last column is \
                the longest wait by N times the mean time between two owners."
        .to_owned();
    let goals =
        all.iter().filter(|(subject, _)| subject.name == OURS).flat_map(|(_, of)| goals(of));
    let (goals, tables) = (goals.collect(), vec![table(&all)]);
    Ok(Section { title: "Fair".to_owned(), text, tables, goals, plots: Vec::new() })
}

fn goals(of: &Fairness) -> [Goal; 2] {
    let size = of.size;
    [
        Goal::at_most(format!("fair, {size}: most by fewest turns"), of.ratio, 1.05, " ×"),
        Goal::at_most(format!("fair, {size}: longest wait by N hand-offs"), of.wait(), 1.5, " ×"),
    ]
}

fn table(all: &[(Subject, Fairness)]) -> Table {
    let head = [
        "processes",
        "subject",
        "most / fewest",
        "longest wait ms",
        "mean hand-off ms",
        "wait / N hand-offs",
    ];
    let mut table = Table::new("Turns of 5 s", &head);
    for (subject, of) in all {
        let numbers = [of.ratio, of.longest_ms, of.mean_ms, of.wait()].map(digits);
        table.row([of.size.to_string(), named(subject)].into_iter().chain(numbers));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starving_one_is_not_fair() {
        let starved = Fairness { ratio: f64::INFINITY, longest_ms: 5.0, mean_ms: 1.0, size: 8 };
        let [ratio, wait] = goals(&starved);
        assert_eq!((ratio.holds, wait.holds), (Some(false), Some(true)));
    }

    #[test]
    fn a_wait_is_measured_by_the_crowd() {
        let one = Fairness { ratio: 1.0, longest_ms: 20.0, mean_ms: 1.0, size: 8 };
        assert!((one.wait() - 2.5).abs() < 1e-9);
        assert_eq!(goals(&one)[1].holds, Some(false));
    }
}
