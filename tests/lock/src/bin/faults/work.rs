//! The command under the lock: leaves marks, and proof if anyone else was at work.

use std::fs;
use std::thread;
use std::time::Duration;

use lock_tests::{Arena, Work, now_ns};
use rustix::process::{Signal, getppid, kill_process};

use crate::args::WorkArgs;
use crate::error::Error;
use crate::process::thread_named;

/// Works.
pub(crate) fn run(args: &WorkArgs) -> Result<(), Error> {
    let arena = Arena::new(&args.arena);
    let generation = std::env::var("FLEET_LOCK_GENERATION").ok();
    let generation = generation.and_then(|text| text.parse().ok()).unwrap_or(0);
    mark(&arena, "ran", &args.name)?;
    let work = Work { arena: &arena, generation, lasts: Duration::ZERO };
    work.perform().map_err(Error::system("work in", arena.root()))?;
    if let Some(other) = &args.lose_to {
        let (lock, aside) = (arena.lock(), arena.root().join("successor"));
        fs::hard_link(other, &aside).map_err(Error::system("link", other))?;
        fs::rename(&aside, &lock).map_err(Error::system("replace", &lock))?;
    }
    mark(&arena, "done", &args.name)?;
    if let Some(gate) = &args.gate {
        let parent = getppid().ok_or(Error::Needs { what: "a parent".to_owned() })?;
        until(|| thread_named(parent, "lock-keeper").is_some());
        kill_process(parent, Signal::STOP).map_err(Error::system("stop", "our parent"))?;
        until(|| gate.exists());
    }
    Ok(())
}

/// Waits for something that tells nobody.
fn until(mut fine: impl FnMut() -> bool) {
    let deadline = now_ns() + 60_000_000_000;
    while !fine() && now_ns() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
}

fn mark(arena: &Arena, what: &str, name: &str) -> Result<(), Error> {
    let path = arena.root().join(format!("{what}-{name}"));
    fs::write(&path, "").map_err(Error::system("write", &path))
}
