//! How much the simulator explores, how fast, in how much memory.

use std::process::Command;

use super::Bench;
use crate::error::Error;
use crate::figures::{Section, Table};
use crate::stats::digits;

/// Each run, and which rows of the simulator's table it is.
const RUNS: [(&str, &[&str]); 3] = [
    ("the largest scope alone", &["--subject", "ours: 2, wall clocks apart, one set, 1 pause"]),
    ("2 contenders, leftovers, 1 crash", &["--subject", "ours: 2, leftovers, no O_TMPFILE"]),
    ("all scopes", &[]),
];

/// Runs the simulator as CI does.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let head = ["run", "states", "seconds", "states/s", "peak memory MB", "bytes a state"];
    let mut table = Table::new("One run of `lock-sim` each", &head);
    for (name, args) in bench.scale(&RUNS[1..2], &RUNS[..]) {
        let [states, bytes, seconds, peak] = run(bench, args)?;
        let numbers = [states, seconds, states / seconds, peak, bytes].map(digits);
        table.row([(*name).to_owned()].into_iter().chain(numbers));
    }
    let text =
        "As `lock-sim` itself says: seconds by the clock, the largest resident set, and the \
                bytes that the search keeps of a state. Several scopes are explored at a time, \
                one on each processor."
            .to_owned();
    let title = "Simulator".to_owned();
    Ok(Section { title, text, tables: vec![table], goals: Vec::new(), plots: Vec::new() })
}

/// States, bytes of each, seconds, and megabytes in all.
fn run(bench: &Bench, args: &[&str]) -> Result<[f64; 4], Error> {
    let program = bench.programs.own("lock-sim");
    let output = Command::new(&program).args(args).output();
    let output = output.map_err(Error::system("start", &program))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find_map(summary) {
        Some(figures) if output.status.success() => Ok(figures),
        _ => {
            let command = format!("lock-sim {}", args.join(" "));
            Err(Error::Program { command, complaint: format!("{}: {text}", output.status) })
        }
    }
}

/// `2 scopes, 3903502 states of 48 bytes; 46.7 s, 27.6 s of CPU, 272 MB at most`.
fn summary(line: &str) -> Option<[f64; 4]> {
    let words: Vec<_> = line.split(' ').collect();
    let [_, "scopes,", states, _, _, bytes, _, seconds, _, _, _, _, _, peak, ..] = words.as_slice()
    else {
        return None;
    };
    let [states, bytes, seconds, peak] = [states, bytes, seconds, peak].map(|word| word.parse());
    Some([states.ok()?, bytes.ok()?, seconds.ok()?, peak.ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_simulator_says_is_read() {
        let row = "ours                     2, first use ever, 2 crashes     35306     64         14  all hold";
        assert_eq!(summary(row), None);
        let line = "2 scopes, 3903502 states of 48 bytes; 46.7 s, 27.6 s of CPU, 272 MB at most";
        assert_eq!(summary(line), Some([3_903_502.0, 48.0, 46.7, 272.0]));
    }
}
