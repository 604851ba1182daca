//! What each part in a matrix is told.

use std::path::PathBuf;

use camino::Utf8PathBuf;
use clap::{Args, Parser, ValueEnum};

use crate::fault::Fault;
use crate::scenario::Scenario;

/// Makes a call fail, or its caller, at every call there is.
#[derive(Parser)]
pub(crate) enum Command {
    /// Run the matrix
    Run(RunArgs),
    /// Work under a lock
    #[command(hide = true)]
    Work(WorkArgs),
    /// Have a lock, or a mutex, until standard input ends
    #[command(hide = true)]
    Hold(HoldArgs),
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// Only lives whose name has one of these in it
    #[arg(long, value_delimiter = ',')]
    pub(crate) scenario: Vec<String>,
    /// Only these columns: EIO, ENOSPC, EACCES, EINTR, EMFILE, SIGKILL, SIGSTOP, ended
    #[arg(long, value_delimiter = ',', value_parser = fault)]
    pub(crate) faults: Vec<Fault>,
    /// A document to write the matrix into
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
    /// The `fleet` to try, if not the one beside this program
    #[arg(long)]
    pub(crate) fleet: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct WorkArgs {
    /// The experiment's directory.
    pub(crate) arena: Utf8PathBuf,
    /// Under which name to leave a mark.
    pub(crate) name: String,
    /// Then give the lock to the owner of this one.
    #[arg(long)]
    pub(crate) lose_to: Option<Utf8PathBuf>,
    /// Then stop our parent, and wait until this file is there.
    #[arg(long)]
    pub(crate) gate: Option<Utf8PathBuf>,
}

#[derive(Args)]
pub(crate) struct HoldArgs {
    /// The experiment's directory.
    pub(crate) arena: Utf8PathBuf,
    /// What to be.
    pub(crate) role: Role,
}

/// What someone else may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// A living owner.
    Owner,
    /// A preemptible one, which does not renew.
    Silent,
    /// A living process in the mutex.
    Holder,
    /// One that waits, and releases the lock as soon as it has it.
    Waiter,
}

fn fault(name: &str) -> Result<Fault, String> {
    let mut all = Fault::ALL.into_iter();
    all.find(|fault| fault.to_string() == name).ok_or_else(|| format!("there is no fault {name}"))
}

impl RunArgs {
    /// Whether everything is run.
    pub(crate) fn is_whole(&self) -> bool {
        self.scenario.is_empty() && self.faults.is_empty()
    }

    /// The lives that are wanted.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = Scenario> {
        let wanted = |scenario: &Scenario| {
            let named = |part: &String| scenario.name.contains(part.as_str());
            self.scenario.is_empty() || self.scenario.iter().any(named)
        };
        Scenario::ALL.into_iter().filter(wanted)
    }

    /// The columns that are wanted.
    pub(crate) fn columns(&self) -> Vec<Fault> {
        let wanted = |fault: &Fault| self.faults.is_empty() || self.faults.contains(fault);
        Fault::ALL.into_iter().filter(wanted).collect()
    }
}
