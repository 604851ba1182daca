//! End to end: the built `fleet`, in homes of its own, with real processes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what the tests share may fail as a test may"
)]

mod cli;
mod command_lines;
mod completions;
mod conformance;
mod denied;
mod fleet;
mod handover;
mod kit;
mod lock_doctor;
mod lock_explain;
mod lock_history;
mod lock_job;
mod lock_run;
mod look;
mod owners;
mod restart;
mod rollout;
mod setup;
mod setup_faults;
mod storm;
mod systemd;
mod tmux;
mod units;
