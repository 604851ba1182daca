//! Peers as processes: started, told, heard, killed by their pids and no others.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::Error;

/// Longer than any answer takes that comes at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A peer, ended with all that it has started when dropped.
pub(crate) struct Peer {
    name: String,
    process: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    complaints: File,
    told: String,
}

impl Peer {
    /// Starts one in a process group of its own.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self, Error> {
        let complaints = tempfile::tempfile().map_err(Error::system("make a file for", name))?;
        let copy = complaints.try_clone().map_err(Error::system("copy a descriptor of", name))?;
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(copy);
        let mut process = command.spawn().map_err(Error::system("start", name))?;
        let (sender, output) = channel();
        if let Some(stdout) = process.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let input = process.stdin.take();
        let (name, told) = (name.to_owned(), String::new());
        Ok(Self { name, process, input, output, complaints, told })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Gives it a command, without waiting for the answer.
    pub(crate) fn tell(&mut self, command: &str) -> Result<(), Error> {
        command.clone_into(&mut self.told);
        let Some(input) = &mut self.input else {
            return Err(self.ended());
        };
        match writeln!(input, "{command}") {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended()),
        }
    }

    /// Waits for the answer to the last command: the words after `verb`.
    pub(crate) fn hear(&mut self, verb: &str, limit: Duration) -> Result<String, Error> {
        let line = match self.output.recv_timeout(limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                let (peer, told) = (self.name.clone(), self.told.clone());
                return Err(Error::Silent { peer, told, seconds: limit.as_secs() });
            }
            Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
        };
        match line.split_once(' ') {
            Some((said, rest)) if said == verb => Ok(rest.to_owned()),
            _ => Err(self.misunderstood(line)),
        }
    }

    /// The answer's numbers.
    pub(crate) fn numbers<const N: usize>(
        &mut self,
        verb: &str,
        limit: Duration,
    ) -> Result<[u64; N], Error> {
        let answer = self.hear(verb, limit)?;
        let numbers: Vec<u64> = answer.split(' ').filter_map(|word| word.parse().ok()).collect();
        numbers.try_into().map_err(|_| self.misunderstood(answer))
    }

    /// How long so many cycles took, in nanoseconds.
    pub(crate) fn cycles(&mut self, times: u64) -> Result<u64, Error> {
        self.tell(&format!("cycles {times}"))?;
        self.numbers("cycled", PATIENCE).map(|[took]| took)
    }

    /// Acquires; says when that was wanted and when it was had.
    pub(crate) fn acquire(&mut self) -> Result<[u64; 2], Error> {
        self.tell("acquire")?;
        self.numbers("acquired", PATIENCE)
    }

    /// Releases; says when that began and ended.
    pub(crate) fn release(&mut self) -> Result<[u64; 2], Error> {
        self.tell("release")?;
        self.numbers("released", PATIENCE)
    }

    /// Kills it and all that it has started.
    pub(crate) fn kill(&mut self) {
        // It fails only if nothing is left to be killed.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }

    /// Lets it come to its end.
    pub(crate) fn dismiss(mut self) {
        self.input = None;
        // Whoever does not end by itself is killed when dropped.
        for _ in 0..200 {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            // There is no way to wait for a child with a deadline.
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn misunderstood(&self, answer: String) -> Error {
        Error::Peer { peer: self.name.clone(), told: self.told.clone(), answer }
    }

    fn ended(&mut self) -> Error {
        let mut text = String::new();
        // What cannot be read is not told.
        let _ = self.complaints.rewind();
        let _ = self.complaints.read_to_string(&mut text);
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join(" / ");
        Error::Ended { peer: self.name.clone(), complaint: last }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}
