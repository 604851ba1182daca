//! From a holder's violent death to a waiter's having the lock.

use std::thread;
use std::time::Duration;

use lock_bench_peer::now_ns;
use lock_tests::Dice;

use super::hand_off::settled;
use super::{Bench, named, of, ranked};
use crate::error::Error;
use crate::figures::{Bar, Goal, Plot, Section, Shape, Table};
use crate::place::Medium;
use crate::stats::{MILLI, Summary, digits, in_units};
use crate::subject::{Death, OURS, Subject, clear};

/// Longer than the longest threshold that anybody has.
const LIMIT: Duration = Duration::from_secs(180);

/// Milliseconds, death by death.
type Latencies = Vec<(Subject, Vec<f64>)>;

/// Kills holder after holder.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let mut latencies: Latencies = Vec::new();
    for subject in &bench.subjects {
        let Death::Noticed(rounds) = subject.death else { continue };
        let slow = rounds < 10;
        if bench.quick && slow {
            continue;
        }
        let rounds = bench.scale(rounds / 10, rounds);
        if let Some(values) = bench.tolerate(subject, deaths(bench, subject, rounds))? {
            bench.progress(&format!("{} died {rounds} times", subject.name));
            latencies.push((*subject, values));
        }
    }
    let text = "A waiter waits while the holder and all that it has started are killed with \
                SIGKILL: from just before the kill to the waiter's having acquired. Whoever \
                judges by age is measured with the thresholds in its name's row of *Subjects*."
        .to_owned();
    let title = "After `kill -9`".to_owned();
    let (tables, goals) = (vec![table(bench, &latencies)], goals(&latencies));
    Ok(Section { title, text, tables, goals, plots: vec![plot(&latencies)] })
}

fn deaths(bench: &Bench, subject: &Subject, rounds: usize) -> Result<Vec<f64>, Error> {
    let lock = bench.places.lock(Medium::Disk)?;
    let mut dice = Dice::new(2);
    let mut waiter = bench.programs.start(subject, &lock)?;
    waiter.cycles(1)?;
    let mut latencies = Vec::new();
    for _ in 0..rounds {
        let mut holder = bench.programs.start(subject, &lock)?;
        holder.acquire()?;
        waiter.tell("acquire")?;
        thread::sleep(settled(subject, &mut dice));
        let killed = now_ns();
        holder.kill();
        let [_, got] = waiter.numbers("acquired", LIMIT)?;
        if got < killed {
            return Err(Error::Broken(format!("{} was had by two at once", subject.name)));
        }
        latencies.push(in_units(got - killed, MILLI));
        waiter.release()?;
    }
    clear(&lock);
    Ok(latencies)
}

fn table(bench: &Bench, latencies: &Latencies) -> Table {
    let head = ["subject", "median ms", "p10", "p90", "worst", "rounds"];
    let mut table = Table::new("Milliseconds from a holder's death to acquired", &head);
    for (subject, summary) in ranked(latencies) {
        let Summary { count, median, p10, p90, max, .. } = summary;
        let numbers = [median, p10, p90, max].map(digits);
        table.row([named(subject)].into_iter().chain(numbers).chain([count.to_string()]));
    }
    for subject in bench.subjects.iter().filter(|subject| subject.death == Death::Stays) {
        table.row([subject.name, "never: it stays locked", "", "", "", ""]);
    }
    table
}

fn goals(latencies: &Latencies) -> Vec<Goal> {
    let ours = |value: fn(&Summary) -> f64| of(latencies, OURS, |all| value(&Summary::of(all)));
    vec![
        Goal::at_most("after `kill -9`: median", ours(|all| all.median), 1.0, " ms"),
        Goal::at_most("after `kill -9`: worst", ours(|all| all.max), 20.0, " ms"),
    ]
}

fn plot(latencies: &Latencies) -> Plot {
    let bar = |(subject, Summary { min, median, max, .. }): (&Subject, _)| Bar {
        name: subject.name.to_owned(),
        low: min,
        middle: median,
        high: max,
    };
    let bars = ranked(latencies).into_iter().map(bar).collect();
    let shape = Shape::Bars { unit: "ms from death to acquired", bars };
    Plot { file: "crash", title: "After kill -9 of the holder", shape }
}
