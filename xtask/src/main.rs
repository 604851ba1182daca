//! `cargo xtask`: the commands that people and CI run, the same ones.

mod args;
mod bench;
mod dist;
mod error;
mod faults;
mod generate;
mod patience;
mod simulate;
mod test;
mod tidy;
mod torture;
mod tour;
mod workspace;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match args::Args::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {}", error::chain(&error));
            ExitCode::FAILURE
        }
    }
}
