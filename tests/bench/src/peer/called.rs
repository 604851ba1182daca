//! Programs as locks: each acquire is a process.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use lock_bench_peer::{Failure, Subject};

const NOTHING: &str = "nothing is held";

fn ended_well(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{command:?} ended with {status}").into()),
    }
}

/// A program that runs another under the lock. The other is `cat`: it says that it runs by
/// giving back what it is given, and ends when its input does.
pub(super) struct Wrapper {
    program: String,
    args: Vec<String>,
    held: Option<Child>,
}

impl Wrapper {
    pub(super) fn flock(lock: &Utf8Path) -> Self {
        Self::new("flock".to_owned(), &[lock.as_str(), "cat"])
    }

    pub(super) fn fleet(fleet: Option<&Utf8Path>, lock: &Utf8Path) -> Result<Self, Failure> {
        let fleet = fleet.ok_or("it is not said which fleet")?;
        let args = ["lock", "run", "--lock", lock.as_str(), "--max-wait", "1h", "--", "cat"];
        Ok(Self::new(fleet.to_string(), &args))
    }

    /// The server's address is where etcdctl looks by itself. It gives its input to nobody, so
    /// that comes by another descriptor.
    pub(super) fn etcdctl(lock: &Utf8Path) -> Self {
        let script = "exec etcdctl lock -- \"$0\" sh -c 'exec cat <&3' 3<&0";
        Self::new("sh".to_owned(), &["-c", script, lock.as_str()])
    }

    fn new(program: String, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { program, args, held: None }
    }
}

impl Subject for Wrapper {
    fn acquire(&mut self) -> Result<(), Failure> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.as_mut().ok_or(NOTHING)?.write_all(b"!")?;
        child.stdout.as_mut().ok_or(NOTHING)?.read_exact(&mut [0])?;
        self.held = Some(child);
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        let mut child = self.held.take().ok_or(NOTHING)?;
        drop(child.stdin.take());
        let status = child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{} ended with {status}", self.program).into()),
        }
    }
}

/// A program that makes the lock file and ends.
pub(super) struct Maker {
    lock: Utf8PathBuf,
    make: Vec<String>,
    remove: Option<Vec<String>>,
}

impl Maker {
    /// procmail's, looking once a second. Its manual removes the file with `rm -f`.
    pub(super) fn lockfile(lock: &Utf8Path) -> Self {
        Self { lock: lock.to_owned(), make: words(&["lockfile", "-1"], lock), remove: None }
    }

    /// liblockfile's, with the pid of whoever called it in the file, looking once a second.
    pub(super) fn dotlockfile(lock: &Utf8Path) -> Self {
        let make = words(&["dotlockfile", "-l", "-p", "-i", "1", "-r", "1000000"], lock);
        let remove = Some(words(&["dotlockfile", "-u"], lock));
        Self { lock: lock.to_owned(), make, remove }
    }
}

fn words(words: &[&str], lock: &Utf8Path) -> Vec<String> {
    words.iter().copied().chain([lock.as_str()]).map(str::to_owned).collect()
}

fn call(words: &[String]) -> Result<(), Failure> {
    let (program, args) = words.split_first().ok_or("no program")?;
    ended_well(Command::new(program).args(args).stdout(Stdio::null()))
}

impl Subject for Maker {
    fn acquire(&mut self) -> Result<(), Failure> {
        call(&self.make)
    }

    fn release(&mut self) -> Result<(), Failure> {
        match &self.remove {
            Some(words) => call(words),
            None => Ok(fs::remove_file(&self.lock)?),
        }
    }
}
