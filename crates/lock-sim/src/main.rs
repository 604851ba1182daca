//! `lock-sim`: what `cargo xtask simulate` runs.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Parser;
use lock_core::policy::PolicyError;
use lock_sim::meter::{cpu_seconds, peak_megabytes};
use lock_sim::scope::{Scope, Universe};
use lock_sim::storm::storm;
use lock_sim::suite::{Case, Known, Row, Table, cases, run_all};
use lock_sim::world::Flock;
use lock_sim::{explore, model};

/// Explore the lock's machines in a model world, and the control subjects that must fail
#[derive(Debug, Parser)]
#[command(name = "lock-sim")]
struct Args {
    /// Go further: larger scopes, call by call, a longer storm (many minutes, gigabytes)
    #[arg(long)]
    deep: bool,
    /// Only the storm, beginning with this seed: what a broken storm printed
    #[arg(long, value_name = "NUMBER", conflicts_with = "subject")]
    seed: Option<u64>,
    /// Only rows whose `subject: scope` has this in it, with every trace
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Serve stateright's explorer for the first such row, for example at localhost:3000
    #[arg(long, value_name = "ADDRESS")]
    explore: Option<String>,
    /// Explore the first such row with stateright's checker too, and compare
    #[arg(long, requires = "subject")]
    compare: bool,
    /// Take the rows as they are now for what they should be
    #[arg(long)]
    update: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a scope's settings do not fit together")]
    Policy(#[from] PolicyError),
    #[error("failed to write: {0}")]
    Output(#[from] io::Error),
    #[error("no row has {wanted:?} in its subject and scope; there are:\n{rows}")]
    NoSuchRow { wanted: String, rows: String },
    #[error("the explorer cannot listen at {address:?}: {source}")]
    Address { address: String, source: io::Error },
    #[error("{0} of the results are not what they should be")]
    Bad(usize),
}

fn main() -> ExitCode {
    match Args::parse().run(&mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Args {
    fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        if let Some(seed) = self.seed {
            return bad(self.storm(out, seed)?);
        }
        let all = cases();
        let cases: Vec<_> = all.iter().filter(|case| self.wants(case)).cloned().collect();
        let Some(first) = cases.first() else {
            let rows = all.iter().map(|case| format!("  {}", case.title())).collect::<Vec<_>>();
            let wanted = self.subject.clone().unwrap_or_default();
            return Err(Error::NoSuchRow { wanted, rows: rows.join("\n") });
        };
        if let Some(address) = &self.explore {
            return serve(out, first, address);
        }
        if self.compare {
            return compare(out, first);
        }
        let mut wrong = self.table(out, &all, &cases)?;
        if self.subject.is_none() {
            wrong += self.storm(out, 1)?;
        }
        bad(wrong)
    }

    fn wants(&self, case: &Case) -> bool {
        match &self.subject {
            Some(text) => case.title().contains(text),
            None => self.deep || !case.deep,
        }
    }

    /// Writes the rows; says how many are not what they should be.
    fn table(&self, out: &mut impl Write, all: &[Case], cases: &[Case]) -> Result<usize, Error> {
        let begun = Begun::now();
        let known = Known::committed();
        let mut rows = Vec::new();
        let mut wrong = 0;
        writeln!(out, "{}", Table::head())?;
        run_all(cases, self.threads(cases), |row| {
            let expected = known.contradicts(&row).filter(|_| !self.update);
            wrong += usize::from(!row.good || expected.is_some());
            show(out, &row, expected, self.subject.is_some())?;
            rows.push(row);
            Ok::<_, Error>(())
        })?;
        let states = rows.iter().map(|row| row.states).sum::<usize>();
        let bytes = rows.iter().map(|row| row.bytes).sum::<usize>() / states.max(1);
        writeln!(out, "{} scopes, {states} states of {bytes} bytes; {begun}", rows.len())?;
        if self.update {
            std::fs::write(Known::path(), Known::on_disk()?.updated(all, &rows))?;
            writeln!(out, "now review the difference in {}", Known::path())?;
        }
        Ok(wrong)
    }

    /// The large rows have the memory to themselves.
    fn threads(&self, cases: &[Case]) -> usize {
        let deep = self.deep || cases.iter().any(|case| case.deep);
        if deep { 1 } else { thread::available_parallelism().map_or(1, usize::from) }
    }

    /// Storms; says how many promises it broke.
    fn storm(&self, out: &mut impl Write, seed: u64) -> Result<usize, Error> {
        let begun = Begun::now();
        let steps = if self.deep { DEEP_STORM } else { STORM };
        let storm = storm(seed, steps, Flock::Works)?;
        writeln!(
            out,
            "storm from seed {seed}: {} worlds of 2 to 64, {} steps, {} ownerships, {} killed; {begun}",
            storm.worlds, storm.steps, storm.ownerships, storm.crashes,
        )?;
        let Some(broken) = storm.broken else {
            return Ok(0);
        };
        writeln!(out, "\n{broken}")?;
        Ok(1)
    }
}

/// When a part of the run began, to say what it has cost.
struct Begun {
    at: Instant,
    cpu: f64,
}

impl Begun {
    fn now() -> Self {
        Self { at: Instant::now(), cpu: cpu_seconds() }
    }
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, cpu) = (self.at.elapsed().as_secs_f64(), cpu_seconds() - self.cpu);
        write!(f, "{seconds:.1} s, {cpu:.1} s of CPU, {} MB at most", peak_megabytes())
    }
}

const STORM: u64 = 5_000_000;
const DEEP_STORM: u64 = 50_000_000;

fn bad(wrong: usize) -> Result<(), Error> {
    if wrong == 0 { Ok(()) } else { Err(Error::Bad(wrong)) }
}

/// One row, what it should have been, and its traces where they are wanted.
fn show(out: &mut impl Write, row: &Row, expected: Option<&str>, all: bool) -> io::Result<()> {
    writeln!(out, "{row}")?;
    if let Some(expected) = expected {
        writeln!(out, "  but table.txt says: {expected}")?;
        writeln!(out, "  if that is meant: cargo xtask simulate --update, and review the change")?;
    }
    if !row.good || all {
        row.traces.iter().try_for_each(|trace| writeln!(out, "\n{trace}"))?;
    }
    Ok(())
}

/// The same world three times: mirror images once, all of them, and by stateright.
fn compare(out: &mut impl Write, case: &Case) -> Result<(), Error> {
    writeln!(out, "{}", case.title())?;
    for (who, symmetric) in [("ours", true), ("ours, mirror images too", false)] {
        let universe = Universe::new(Scope { symmetric, ..case.scope.clone() })?;
        timed(out, who, || explore::explore(&universe, case.limit).states)?;
    }
    let universe = Universe::new(case.scope.clone())?;
    timed(out, "stateright", || model::second_opinion(universe).states)
}

fn timed(out: &mut impl Write, who: &str, explore: impl FnOnce() -> usize) -> Result<(), Error> {
    let begun = cpu_seconds();
    let states = explore();
    let seconds = cpu_seconds() - begun;
    let rate = states as f64 / seconds / 1000.0;
    let peak = peak_megabytes();
    writeln!(
        out,
        "{who:<24} {states:>9} states, {seconds:>5.1} s of CPU, {rate:>4.0} thousand a second, {peak} MB at most"
    )?;
    Ok(())
}

/// Serves the explorer until it is interrupted.
fn serve(out: &mut impl Write, case: &Case, address: &str) -> Result<(), Error> {
    let failed = |source| Error::Address { address: address.to_owned(), source };
    model::can_listen(address).map_err(failed)?;
    let universe = Universe::new(case.scope.clone())?;
    writeln!(out, "{}: http://{address}, until you press Ctrl-C", case.title())?;
    model::serve(universe, address);
    Ok(())
}
