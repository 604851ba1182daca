//! The fault matrix: at every system call of the real programs, every fault; and what comes
//! of it, judged by rules that are written down.
//!
//! | command | |
//! |---|---|
//! | `run` | records which calls each life makes, then lives it once for each call and fault |
//! | `work` | the command under the lock |
//! | `hold` | someone else who has the lock, or the mutex |

mod args;
mod error;
mod fault;
mod judge;
mod life;
mod matrix;
mod other;
mod outcome;
mod process;
mod report;
mod rescue;
mod rules;
mod scenario;
mod site;
mod stage;
mod subject;
mod templates;
mod trace;
mod what;
mod work;

use std::process::ExitCode;

use clap::Parser;
use lock_tests::exit;

use crate::args::Command;

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Run(args) => matrix::run(&args),
        Command::Work(args) => work::run(&args),
        Command::Hold(args) => other::hold(&args),
    };
    exit("faults", outcome)
}
