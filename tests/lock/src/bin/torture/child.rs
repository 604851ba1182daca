//! Some of a worker's work in a process of its own. Its standard input is the ticket, which
//! keeps the lock held for as long as it lives, whatever becomes of the worker.

use std::thread;
use std::time::Duration;

use lock_tests::history::{CHILD, Recorder, What};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use crate::args::ChildArgs;
use crate::error::Error;

/// Works for so long.
pub(crate) fn run(args: &ChildArgs) -> Result<(), Error> {
    let tied = args.tied_to.and_then(Pid::from_raw);
    if let Some(parent) = tied {
        let tie = set_parent_process_death_signal(Some(Signal::KILL));
        tie.map_err(Error::system("tie a child to", "its worker"))?;
        // If the worker died before that, nobody will tell us.
        if getppid() != Some(parent) {
            return Ok(());
        }
    }
    let name = format!("{CHILD}{}-{}", args.generation, getpid().as_raw_nonzero());
    let failed = || Error::system("write the history of", &name);
    let recorder = Recorder::create(&args.history, &name).map_err(failed())?;
    let begin = What::ChildBegin { tied: tied.is_some() };
    recorder.note(args.generation, begin).map_err(failed())?;
    // This is the work.
    thread::sleep(Duration::from_millis(args.lasts_ms));
    recorder.note(args.generation, What::ChildEnd).map_err(failed())
}
