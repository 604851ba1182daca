//! The lock beside its peers, measured in one run: what it costs, how fast it is handed over,
//! how fairly, and what a waiter costs. `cargo xtask bench` builds what this needs.
//!
//! | command | |
//! |---|---|
//! | `run` | starts the peers, measures, says which goals hold, writes the page and the plots |
//! | `peer` | is a peer: our lock, a bare loop of system calls, or a program called as a lock |
//!
//! The peers in other languages and packages are in `peers/`; all speak the protocol of
//! `lock-bench-peer`. Everybody is measured by the same judge; where a goal is a ratio of times,
//! the subjects take turns (A B C A B C …), so that the machine's noise hits all alike.

mod args;
mod crew;
mod error;
mod figures;
mod judge;
mod page;
mod peer;
mod place;
mod plot;
mod run;
mod section;
mod stats;
mod subject;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::Command;

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Run(args) => run::run(&args),
        Command::Peer(args) => peer::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "bench: {}", error::chain(&error));
            ExitCode::FAILURE
        }
    }
}
