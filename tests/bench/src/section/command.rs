//! A program run under the lock: the whole process, from its start to its end.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::Bench;
use crate::error::Error;
use crate::figures::{Goal, Section, Table};
use crate::place::Medium;
use crate::stats::{Summary, digits};

/// Milliseconds, run by run.
type Runs = (&'static str, Vec<f64>);

const FLEET: &str = "fleet lock run -- true";
const FLOCK: &str = "flock FILE true";

/// Runs each in its turn.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let locks = [bench.places.lock(Medium::Disk)?, bench.places.lock(Medium::Disk)?];
    let [ours, theirs] = locks.map(camino::Utf8PathBuf::into_string);
    let fleet = bench.programs.own("fleet").into_string();
    let mut commands = vec![
        ("true", vec!["true".to_owned()]),
        (FLOCK, vec!["flock".to_owned(), theirs.clone(), "true".to_owned()]),
        (FLEET, ["lock", "run", "--lock", &ours, "--", "true"].map(str::to_owned).to_vec()),
        ("fleet --version", vec![fleet.clone(), "--version".to_owned()]),
    ];
    if let Some((_, words)) = commands.get_mut(2) {
        words.insert(0, fleet);
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
            let lock = bench.places.lock(Medium::Disk)?.into_string();
            commands.push((name, vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), lock]));
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
                costs; the file is on the disk."
        .to_owned();
    let goals = vec![Goal::at_most("command: against flock(1)", ratio(&runs), 1.3, " ×")];
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

/// The median of the ratios of a round.
fn ratio(runs: &[Runs]) -> f64 {
    let values = |wanted| runs.iter().find(|(name, _)| *name == wanted).map(|(_, values)| values);
    let (Some(ours), Some(theirs)) = (values(FLEET), values(FLOCK)) else {
        return f64::NAN;
    };
    let ratios: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    Summary::of(&ratios).median
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
        assert!((ratio(&runs) - 2.0).abs() < 1e-9);
    }
}
