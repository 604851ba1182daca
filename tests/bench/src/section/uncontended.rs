//! Acquire and release with nobody in the way, in one process.

use lock_bench_peer::now_ns;

use super::calls::{listing, replay};
use super::{Bench, named, of, ranked};
use crate::crew::Peer;
use crate::error::Error;
use crate::figures::{Goal, Section, Table};
use crate::place::Medium;
use crate::stats::{MICRO, Summary, digits, in_units, ratio};
use crate::subject::{Home, Kind, OURS, Subject, subject};

/// The loop of the same calls.
const SAME_CALLS: Subject = subject("same calls", Kind::Floor, Home::Here);

/// Microseconds a cycle, batch by batch.
type Batches = Vec<(Subject, Vec<f64>)>;

/// Measures on both media.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let disk = batches(bench, Medium::Disk)?;
    let memory = batches(bench, Medium::Memory)?;
    let kinds = [Medium::Disk, Medium::Memory].map(|medium| bench.places.kind(medium));
    let goals = goals(&kinds[0], &disk).into_iter().chain(goals(&kinds[1], &memory)).collect();
    let text = "One process acquires and releases in a loop. Each subject does a batch of cycles \
                in its turn, round after round; a ratio is the median of the ratios of a round. \
                *same calls* is one cycle of ours as strace saw it in this run, called again \
                without the lock around it. What is called as a program is under *Command*."
        .to_owned();
    let tables = vec![table(&kinds[0], &disk), table(&kinds[1], &memory)];
    let title = "Uncontended cycle".to_owned();
    Ok(Section { title, text, tables, goals, plots: Vec::new() })
}

fn batches(bench: &Bench, medium: Medium) -> Result<Batches, Error> {
    let mut crew = crew(bench, medium)?;
    let mut batches: Batches = crew.iter().map(|(subject, ..)| (*subject, Vec::new())).collect();
    let begun = now_ns();
    for round in 0..bench.scale(3, 21) {
        for ((subject, peer, times), (_, values)) in crew.iter_mut().zip(&mut batches) {
            if let Some(took) = bench.tolerate(subject, peer.cycles(*times))? {
                values.push(in_units(took, MICRO) / in_units(*times, 1.0));
            }
        }
        if round == 0 {
            let took = digits(in_units(now_ns() - begun, 1e9));
            bench.progress(&format!(
                "uncontended on {}: {took} s a round",
                bench.places.kind(medium)
            ));
        }
    }
    Ok(batches)
}

/// Each with as many cycles as make a batch.
fn crew(bench: &Bench, medium: Medium) -> Result<Vec<(Subject, Peer, u64)>, Error> {
    let mut crew = Vec::new();
    let same = replay(bench, &listing(bench, medium)?, medium)?;
    let batch = bench.scale(10_000_000, 50_000_000);
    let others = bench.subjects.iter().filter(|subject| subject.home != Home::Called);
    let started = others.map(|subject| {
        let lock = bench.places.lock(medium)?;
        Ok((*subject, bench.programs.start(subject, &lock)))
    });
    let started = started.chain([Ok((SAME_CALLS, Ok(same)))]);
    for each in started.collect::<Result<Vec<_>, Error>>()? {
        let (subject, peer) = each;
        let ready = peer.and_then(|mut peer| {
            let times = fitting(&mut peer, batch)?;
            Ok((peer, times))
        });
        if let Some((peer, times)) = bench.tolerate(&subject, ready)? {
            crew.push((subject, peer, times));
        }
    }
    Ok(crew)
}

/// How many cycles take about so long.
fn fitting(peer: &mut Peer, batch: u64) -> Result<u64, Error> {
    peer.cycles(2)?;
    let mut times = 4;
    loop {
        let took = peer.cycles(times)?.max(1);
        if took * 4 >= batch {
            return Ok((times * batch / took).max(1));
        }
        times *= 4;
    }
}

fn table(kind: &str, batches: &Batches) -> Table {
    let head = ["subject", "median µs", "p10", "p90", "best batch", "ours is"];
    let mut table = Table::new(format!("On {kind}, microseconds a cycle"), &head);
    for (subject, summary) in ranked(batches) {
        let ratio = against(batches, OURS, subject.name);
        let numbers = [summary.median, summary.p10, summary.p90, summary.min].map(digits);
        let ratio = format!("{} ×", digits(ratio));
        table.row([named(subject)].into_iter().chain(numbers).chain([ratio]));
    }
    table
}

fn against(batches: &Batches, one: &str, other: &str) -> f64 {
    let values = |name: &str| {
        batches.iter().find(|(subject, _)| subject.name == name).map(|(_, values)| values)
    };
    match (values(one), values(other)) {
        (Some(ones), Some(others)) => ratio(ones, others),
        _ => f64::NAN,
    }
}

fn goals(kind: &str, batches: &Batches) -> Vec<Goal> {
    // What the calls would cost if nothing were done between them is as far as that can go.
    let calls_alone = |ratio: f64| format!("its calls alone: {} ×", digits(ratio));
    let most = |name: &str, limit: f64| {
        let ratio = against(batches, OURS, name);
        Goal::at_most(format!("uncontended, {kind}: against {name}"), ratio, limit, " ×")
    };
    let at_most = |name: &str, limit: f64| {
        most(name, limit).noting(&calls_alone(against(batches, SAME_CALLS.name, name)))
    };
    let at_least = |name: &str, limit: f64| {
        let ratio = against(batches, name, OURS);
        Goal::at_least(format!("uncontended, {kind}: faster than {name}"), ratio, limit, " ×")
            .noting(&calls_alone(against(batches, name, SAME_CALLS.name)))
    };
    let known = of(batches, OURS, |values| Summary::of(values).median).is_finite();
    match known {
        true => vec![
            most(SAME_CALLS.name, 1.3),
            at_most("gix-lock", 1.5),
            at_most("pidlock", 1.0),
            at_least("soft-filelock", 5.0),
            at_least("proper-lockfile-5ms", 10.0),
            at_least("original", 30.0),
        ],
        false => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::SUBJECTS;

    fn batches(figures: &[(&str, &[f64])]) -> Batches {
        let find = |name: &str| {
            let mut all = SUBJECTS.iter().chain([&SAME_CALLS]);
            *all.find(|subject| subject.name == name).expect("a test names one that there is")
        };
        figures.iter().map(|(name, values)| (find(name), values.to_vec())).collect()
    }

    #[test]
    fn rounds_are_compared_with_themselves() {
        // The second round hit a noisy moment, and both felt it.
        let batches = batches(&[(OURS, &[10.0, 50.0, 10.0]), ("gix-lock", &[10.0, 40.0, 10.0])]);
        assert!((against(&batches, OURS, "gix-lock") - 1.0).abs() < 1e-9);
    }

    #[test]
    fn goals_hold_or_not_by_the_ratio() {
        let batches = batches(&[(OURS, &[10.0]), ("same calls", &[8.0]), ("original", &[299.0])]);
        let goals = goals("ext4", &batches);
        let holds: Vec<_> = goals.iter().map(|goal| goal.holds).collect();
        assert_eq!(holds, [Some(true), None, None, None, None, Some(false)]);
    }
}
