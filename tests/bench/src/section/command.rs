//! A program run under the lock: the whole process, from its start to its end.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::Bench;
use crate::error::Error;
use crate::figures::{Goal, Section, Table};
use crate::place::Medium;
use crate::stats::{Summary, digits, ratio};

/// Milliseconds, run by run.
type Runs = (&'static str, Vec<f64>);

const FLEET: &str = "fleet lock run -- true";
const INSTALLED: &str = "the same, by cargo install";
const FLOCK: &str = "flock FILE true";

/// Runs each in its turn.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let locks = [bench.places.lock(Medium::Disk)?, bench.places.lock(Medium::Disk)?];
    let [ours, theirs] = locks.each_ref().map(|lock| lock.as_str());
    let fleet = bench.programs.fleet().as_str();
    let installed = bench.programs.own("fleet");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut commands = vec![
        ("true", words(&["true"])),
        (FLOCK, words(&["flock", theirs, "true"])),
        (FLEET, words(&[fleet, "lock", "run", "--lock", ours, "--", "true"])),
        ("fleet --version", words(&[fleet, "--version"])),
    ];
    if installed != fleet {
        let args = ["lock", "run", "--lock", ours, "--", "true"];
        commands.push((INSTALLED, words(&[&[installed.as_str()], &args[..]].concat())));
    }
    let others: [(&str, &str, &str); 2] = [
        ("lockfile -1 FILE && rm -f FILE", "lockfile", "lockfile -1 \"$0\" && rm -f \"$0\""),
        (
            "dotlockfile -l FILE && dotlockfile -u FILE",
            "dotlockfile",
            "dotlockfile -l -p \"$0\" && dotlockfile -u \"$0\"",
        ),
    ];
    for (name, subject, script) in others {
        if bench.subjects.iter().any(|there| there.name == subject) {
            let lock = bench.places.lock(Medium::Disk)?;
            commands.push((name, words(&["sh", "-c", script, lock.as_str()])));
        }
    }
    let mut runs: Vec<Runs> = commands.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for _ in 0..bench.scale(20, 400) {
        for ((_, words), (_, values)) in commands.iter().zip(&mut runs) {
            values.push(timed(words)?);
        }
    }
    bench.progress("commands: done");
    let text = "Wall time of one process from its start to its end, each in its turn. `true` \
                alone is what starting a process costs, `fleet --version` what starting ours \
                costs; the file is on the disk. `fleet` is the program of the tarball, which has \
                the C library inside; `cargo install` makes one that loads it."
        .to_owned();
    let goals = vec![Goal::at_most("command: against flock(1)", ours_is(&runs), 1.3, " ×")];
    let title = "Command".to_owned();
    Ok(Section { title, text, tables: vec![table(&runs)], goals, plots: Vec::new() })
}

fn timed(words: &[String]) -> Result<f64, Error> {
    let (program, args) = words.split_first().map_or(("", words), |(one, rest)| (one, rest));
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let status = command.status().map_err(Error::system("start", program))?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    match status.success() {
        true => Ok(took),
        false => Err(Error::Program { command: words.join(" "), complaint: status.to_string() }),
    }
}

/// Ours by theirs.
fn ours_is(runs: &[Runs]) -> f64 {
    let values = |wanted| runs.iter().find(|(name, _)| *name == wanted).map(|(_, values)| values);
    match (values(FLEET), values(FLOCK)) {
        (Some(ours), Some(theirs)) => ratio(ours, theirs),
        _ => f64::NAN,
    }
}

fn table(runs: &[Runs]) -> Table {
    let head = ["command", "median ms", "p10", "p90", "runs"];
    let mut table = Table::new("Milliseconds a run", &head);
    for (name, values) in runs {
        let summary = Summary::of(values);
        let numbers = [summary.median, summary.p10, summary.p90].map(digits);
        let count = summary.count.to_string();
        table.row([format!("`{name}`")].into_iter().chain(numbers).chain([count]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_the_same_rounds() {
        let runs = [(FLOCK, vec![1.0, 10.0]), (FLEET, vec![2.0, 20.0])];
        assert!((ours_is(&runs) - 2.0).abs() < 1e-9);
    }
}
