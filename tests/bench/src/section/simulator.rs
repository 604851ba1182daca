//! How much the simulator explores, how fast, in how much memory.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Bench;
use crate::error::Error;
use crate::figures::{Section, Table};
use crate::stats::{digits, in_units};

/// A scope of the simulator's table.
#[derive(Debug, PartialEq, Eq)]
struct Scope {
    subject: String,
    scope: String,
    states: u64,
}

/// What one run shows.
struct Run {
    scopes: Vec<Scope>,
    seconds: f64,
    /// The most memory that it had, in kB.
    peak: u64,
}

/// Runs the simulator as CI does.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let mut table = Table::new(
        "One run of `lock-sim` each",
        &["run", "states", "seconds", "states/s", "peak memory MB", "bytes a state"],
    );
    let filters = [
        ("the largest scope alone", &["--subject", "ours: 2, leftovers, 1 pause, 1 crash"][..]),
        ("2 contenders, every leftover, 1 crash", &["--subject", "ours: 2, every leftover"][..]),
        ("all scopes and the storm", &[][..]),
    ];
    let filters = bench.scale(&filters[1..2], &filters[..]);
    for (name, args) in filters {
        let run = run(bench, args)?;
        let states: u64 = run.scopes.iter().map(|scope| scope.states).sum();
        let largest = run.scopes.iter().map(|scope| scope.states).max().unwrap_or(0);
        let states_f = in_units(states, 1.0);
        let numbers = [
            states_f,
            run.seconds,
            states_f / run.seconds,
            in_units(run.peak, 1024.0),
            in_units(run.peak * 1024, 1.0) / in_units(largest.max(1), 1.0),
        ];
        table.row([(*name).to_owned()].into_iter().chain(numbers.map(digits)));
    }
    let text = "States per second over the whole process, from its start to its end; memory is \
                the largest resident set that was seen, and a state's share of it is by the \
                states of the largest scope of the run, since one scope at a time is kept."
        .to_owned();
    let title = "Simulator".to_owned();
    Ok(Section { title, text, tables: vec![table], goals: Vec::new(), plots: Vec::new() })
}

fn run(bench: &Bench, args: &[&str]) -> Result<Run, Error> {
    let program = bench.programs.own("lock-sim");
    let mut command = Command::new(&program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().map_err(Error::system("start", &program))?;
    let mut peak = 0;
    let status = loop {
        // `VmHWM` goes with the process, so it is looked at while that runs.
        peak = peak.max(high_water(child.id()));
        match child.try_wait().map_err(Error::system("wait for", &program))? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut text).map_err(Error::system("read from", &program))?;
    }
    let scopes: Vec<_> = text.lines().filter_map(scope).collect();
    if !status.success() || scopes.is_empty() {
        let command = format!("lock-sim {}", args.join(" "));
        return Err(Error::Program { command, complaint: format!("{status}: {text}") });
    }
    Ok(Run { scopes, seconds, peak })
}

/// In kB.
fn high_water(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// `SUBJECT  SCOPE  STATES  DEPTH  PROPERTIES  RESULT`, in columns.
fn scope(line: &str) -> Option<Scope> {
    let cells: Vec<_> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    let [subject, scope, states, depth, ..] = cells.as_slice() else {
        return None;
    };
    depth.parse::<u64>().ok()?;
    let states = states.parse().ok()?;
    Some(Scope { subject: (*subject).to_owned(), scope: (*scope).to_owned(), states })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_simulator_is_read() {
        let head = "subject                  scope          states  depth properties  result";
        let row = "ours                     2, first use ever, 2 crashes     35306     64         14  all hold";
        assert_eq!(scope(head), None);
        assert_eq!(scope("32 scopes in 114.4s"), None);
        let expected = Scope {
            subject: "ours".to_owned(),
            scope: "2, first use ever, 2 crashes".to_owned(),
            states: 35306,
        };
        assert_eq!(scope(row), Some(expected));
    }
}
