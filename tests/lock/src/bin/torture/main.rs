//! The lock under torture: real processes on real file systems that are killed, stopped and
//! starved of space, and everything that they did judged afterwards.
//!
//! | command | |
//! |---|---|
//! | `run` | the conductor: starts workers, torments them, judges what they wrote down |
//! | `powerloss` | copies a file system while workers use it, and lets others go on with the copy |
//! | `worker` | loops acquire, work, release |
//! | `child` | some work of a worker's in a process of its own, which has the ticket |
//! | `recovery` | the first contenders after a power loss |
//!
//! The wall clocks are off by way of `Clock::movable`. libfaketime does not reach them: it
//! replaces functions of libc, and ours reads the clocks without it.

mod args;
mod child;
mod conductor;
mod crew;
mod document;
mod error;
mod place;
mod powerloss;
mod program;
mod recovery;
mod report;
mod round;
mod worker;

use std::process::ExitCode;

use clap::Parser;
use lock_tests::exit;

use crate::args::Command;

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Run(args) => conductor::run(&args),
        Command::Powerloss(args) => powerloss::run(&args),
        Command::Worker(args) => worker::run(&args),
        Command::Child(args) => child::run(&args),
        Command::Recovery(args) => recovery::run(&args),
    };
    exit("torture", outcome)
}
