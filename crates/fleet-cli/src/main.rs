//! `fleet`: restarts a fleet of long-lived agents, one restart at a time.

mod args;
mod duration;
mod error;
mod exit;
mod fleet;
mod home;
mod interrupt;
mod lock_commands;
mod lock_run;
mod locking;
mod logbook;
mod outcome;
mod owner;
mod plan;
mod report;
mod restart;
mod roster;
mod run;
mod signals;
mod spawn;
mod standing;
mod supervisor;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(run::run().code())
}
