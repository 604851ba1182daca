//! `lock-sim`: what `cargo xtask simulate` runs.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use lock_core::policy::PolicyError;
use lock_sim::scope::Universe;
use lock_sim::storm::storm;
use lock_sim::suite::{Case, Table, cases};

/// Explore the lock's machines in a model world, and the control subjects that must fail
#[derive(Debug, Parser)]
#[command(name = "lock-sim")]
struct Args {
    /// Go further: larger scopes, call by call, a longer storm (many minutes)
    #[arg(long)]
    deep: bool,
    /// Begin the storm with this seed
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Only rows whose `subject: scope` has this in it, with every trace; no storm
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Serve stateright's explorer for the first such row, for example at localhost:3000
    #[arg(long, value_name = "ADDRESS")]
    explore: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a scope's settings do not fit together")]
    Policy(#[from] PolicyError),
    #[error("failed to write to standard output")]
    Output(#[from] io::Error),
    #[error("no row has {0:?} in its subject and scope")]
    NoSuchRow(String),
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
        let cases: Vec<_> = cases().into_iter().filter(|case| self.wants(case)).collect();
        let Some(first) = cases.first() else {
            return Err(Error::NoSuchRow(self.subject.clone().unwrap_or_default()));
        };
        if let Some(address) = &self.explore {
            let universe = Universe::new(first.scope.clone())?;
            writeln!(out, "{} at http://{address}", first.title())?;
            lock_sim::model::serve(universe, address);
            return Ok(());
        }
        let mut bad = self.table(out, &cases)?;
        if self.subject.is_none() || self.seed.is_some() {
            bad += self.storm(out)?;
        }
        if bad > 0 {
            return Err(Error::Bad(bad));
        }
        Ok(())
    }

    fn wants(&self, case: &Case) -> bool {
        match &self.subject {
            Some(text) => case.title().contains(text),
            None => self.deep || !case.deep,
        }
    }

    fn table(&self, out: &mut impl Write, cases: &[Case]) -> Result<usize, Error> {
        let begun = Instant::now();
        writeln!(out, "{}", Table::head())?;
        let mut bad = 0;
        for case in cases {
            let row = case.run()?;
            writeln!(out, "{row}")?;
            bad += usize::from(!row.good);
            if !row.good || self.subject.is_some() {
                row.traces.iter().try_for_each(|trace| writeln!(out, "\n{trace}"))?;
            }
        }
        writeln!(out, "{} scopes in {:.1?}", cases.len(), begun.elapsed())?;
        Ok(bad)
    }

    fn storm(&self, out: &mut impl Write) -> Result<usize, Error> {
        let begun = Instant::now();
        let seed = self.seed.unwrap_or(1);
        let steps = if self.deep { DEEP_STORM } else { STORM };
        let storm = storm(seed, steps)?;
        writeln!(
            out,
            "storm from seed {seed}: {} worlds of 2 to 64, {} steps, {} ownerships, {} killed, in {:.1?}",
            storm.worlds,
            storm.steps,
            storm.ownerships,
            storm.crashes,
            begun.elapsed()
        )?;
        let Some((seed, property, story)) = storm.broken else {
            return Ok(0);
        };
        writeln!(out, "BROKEN with --seed {seed}: {property}\n{story}")?;
        Ok(1)
    }
}

const STORM: u64 = 5_000_000;
const DEEP_STORM: u64 = 50_000_000;
