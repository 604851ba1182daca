//! `fleet`: restarts a fleet of long-lived agents, one restart at a time.

mod args;
mod completions;
mod documents;
mod duration;
mod entrance;
mod error;
mod exit;
mod explain;
mod fleet;
mod heartbeat;
mod home;
mod interrupt;
mod journal;
mod lock;
mod locking;
mod logbook;
mod look;
mod man;
mod moment;
mod nested;
mod outcome;
mod owner;
mod plan;
mod processes;
mod replace;
mod report;
mod restart;
mod roster;
mod run;
mod schema;
mod settle;
mod setup;
mod signals;
mod spawn;
mod standing;
mod supervisor;
mod tenure;
mod timeline;
mod unit;
mod usage;
mod version;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(run::run().code())
}
