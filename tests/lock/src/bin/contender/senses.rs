//! How a contender hears its commands. One that is attentive has a thread for that, so that its
//! clock can be moved while it waits for the lock.

use std::io;
use std::sync::mpsc;
use std::thread;

use lock_fs::Clock;
use serde_json::json;

use crate::report;

/// The commands as they come. Those about the clock are obeyed at once, if there is one here.
pub(crate) fn commands(clock: Option<Clock>) -> Box<dyn Iterator<Item = io::Result<String>>> {
    let Some(clock) = clock else { return Box::new(io::stdin().lines()) };
    let (commands, heard) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lines() {
            let words = line.as_ref().map(|line| line.split_once(' '));
            if let Ok(Some((which @ ("wall" | "advance" | "suspend"), ms))) = words {
                move_clock(&clock, which, ms.trim().parse().unwrap_or(0));
                report::say(&json!({"event": "clock"}));
            } else if commands.send(line).is_err() {
                return;
            }
        }
    });
    Box::new(heard.into_iter())
}

/// Moves the clock in one of three ways.
pub(crate) fn move_clock(clock: &Clock, which: &str, ms: i64) {
    match which {
        "advance" => clock.advance(ms),
        "suspend" => clock.suspend(ms),
        _ => clock.step_wall(ms),
    }
}
