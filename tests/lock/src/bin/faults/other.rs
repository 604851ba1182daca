//! Someone else who has the lock, or the mutex, for as long as an experiment needs it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lock_fs::{Cancel, Guard, Lock, Options, Policy, Released, Settings};
use lock_tests::Arena;
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::args::{HoldArgs, Role};
use crate::error::Error;
use crate::report::say;

/// An owner that is silent for so long may be replaced, by its own setting. Whoever waits for that
/// sleeps six short naps (63 ms), four of half a renewal each (200 ms), and the rest (37 ms): not so
/// little that it would be a matter of chance how often it looks.
const SILENCE: Duration = Duration::from_millis(300);

/// Has it until standard input ends, then says how the release went.
pub(crate) fn hold(args: &HoldArgs) -> Result<(), Error> {
    let arena = Arena::new(&args.arena);
    let preemptible = args.role == Role::Silent;
    let policy = match preemptible {
        true => Policy::new(Settings::with_stale_after(SILENCE))?,
        false => Policy::default(),
    };
    let options =
        Options { policy, preemptible, command: "other".to_owned(), ..Options::default() };
    let lock = Lock::open(arena.lock(), options)?;
    if args.role == Role::Waiter {
        return wait(&lock);
    }
    let guard = lock.acquire_quietly()?;
    if args.role == Role::Holder {
        // The owner's inode is locked, and so is whatever name it has.
        let (lock, mutex) = (arena.lock(), arena.beside(".mutex"));
        fs::hard_link(&lock, &mutex).map_err(Error::system("link", &mutex))?;
        fs::remove_file(&lock).map_err(Error::system("remove", &lock))?;
    }
    say("ready")?;
    // Or it would renew, or see its lock go, and make calls of its own while others are counted.
    kill_process(getpid(), Signal::STOP).map_err(Error::system("stop", "this program"))?;
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest).map_err(Error::system("read", "standard input"))?;
    release(guard)
}

/// Is ready once it waits.
fn wait(lock: &Lock) -> Result<(), Error> {
    let mut told = None;
    let guard = lock.acquire(&Cancel::never(), &mut |_| {
        told.get_or_insert_with(|| say("ready"));
    })?;
    told.unwrap_or(Ok(()))?;
    release(guard)
}

fn release(guard: Guard) -> Result<(), Error> {
    say(match guard.release()? {
        Released::Released => "released",
        Released::AlreadyLost { .. } => "lost",
    })
}

/// A process that holds.
pub(crate) struct Holder {
    process: Child,
    words: BufReader<std::process::ChildStdout>,
}

impl Holder {
    /// Starts one and waits until it has what it is to hold.
    pub(crate) fn start(program: &Path, arena: &Arena, role: &str) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.args(["hold", arena.root().as_str(), role]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(Error::system("start", program))?;
        let Some(stdout) = process.stdout.take() else {
            return Err(Error::Needs { what: "a pipe".to_owned() });
        };
        let mut holder = Self { process, words: BufReader::new(stdout) };
        match holder.word()?.as_str() {
            "ready" => Ok(holder),
            word => Err(Error::Part { what: "someone else", how: word.to_owned() }),
        }
    }

    /// Lets it release, and says what came of it: nothing if it was ended.
    pub(crate) fn end(mut self) -> Result<String, Error> {
        // It fails only for one that was ended.
        let _ = kill_process(Pid::from_child(&self.process), Signal::CONT);
        drop(self.process.stdin.take());
        self.word()
    }

    fn word(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        let read = self.words.read_line(&mut line);
        read.map_err(Error::system("hear", "someone else"))?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
