//! The tables of `docs/conformance.md`.

use std::fmt::Write;

use super::report::Report;
use super::setup::{ALLOWED, CHECK, Who};

/// Every call of some machines, what it was asked for as, and why.
#[must_use]
pub fn cycle(report: &Report) -> String {
    let mut table = String::from("| for | system call | effect |\n|---|---|---|\n");
    for pair in &report.pairs {
        let _ = writeln!(table, "| {} | `{}` | `{}` |", pair.what, pair.call, pair.effect);
    }
    table
}

/// What each effect is.
#[must_use]
pub fn effects() -> String {
    String::new()
}

/// The calls that need no effect.
#[must_use]
pub fn set_up() -> String {
    let mut table = String::from("| call | by | why |\n|---|---|---|\n");
    for allowed in ALLOWED.iter().chain([&CHECK]) {
        let who = match allowed.who {
            Who::Process => "the process",
            Who::Child => "a child",
        };
        let _ = writeln!(table, "| `{}` | {who} | {} |", allowed.call, allowed.reason);
    }
    table
}
