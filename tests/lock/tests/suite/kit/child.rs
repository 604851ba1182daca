//! A contender or a peer in a process of its own: commanded by lines, heard by lines.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lock_tests::Arena;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid,
};
use serde_json::Value;

use super::{AT_ONCE, PATIENCE};

/// A process that ends with the test, whatever it does.
pub(crate) struct Child {
    process: std::process::Child,
    unread: Vec<u8>,
    transcript: Vec<String>,
}

/// A line from a child.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The answer to a command.
    Reply(Value),
    /// Something that happened meanwhile.
    Event(Value),
    /// Nothing more will come: the process has ended.
    End,
}

impl Child {
    /// A contender for the arena's lock.
    pub(crate) fn contender(arena: &Arena, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contender"));
        command.arg(arena.root()).args(options);
        Self::start(command)
    }

    /// A contender that has the arena's lock.
    pub(crate) fn owner(arena: &Arena) -> Self {
        let mut owner = Self::contender(arena, &[]);
        owner.must("acquire");
        owner
    }

    /// A contender that has the arena's lock and agrees to be replaced.
    pub(crate) fn preemptible(arena: &Arena, options: &[&str]) -> Self {
        let options = [&["--preemptible"], options].concat();
        let mut owner = Self::contender(arena, &options);
        owner.must("acquire");
        owner
    }

    /// A contender that another program starts: `unshare`, say. Its pid is in what it answers.
    pub(crate) fn within(wrapper: &[&str], arena: &Arena, options: &[&str]) -> Self {
        let (program, args) = wrapper.split_first().expect("because it is a program");
        let mut command = Command::new(program);
        command.args(args).arg(env!("CARGO_BIN_EXE_contender")).arg(arena.root()).args(options);
        Self::start(command)
    }

    /// A peer that follows the original's rules.
    pub(crate) fn seed(arena: &Arena, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seed-peer"));
        command.arg(arena.root()).args(options);
        Self::start(command)
    }

    /// A contender whose system calls are tampered with. The tracer is its grandchild, so
    /// that the process we started is the contender itself.
    pub(crate) fn tampered(arena: &Arena, tampering: &[&str], options: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "-o", "/dev/null"]);
        command.args(tampering).arg(env!("CARGO_BIN_EXE_contender"));
        command.arg(arena.root()).args(options);
        // So that the path "." of `-P` is no place where anybody does anything.
        command.current_dir("/proc");
        Self::start(command)
    }

    pub(crate) fn start(mut command: Command) -> Self {
        let process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let transcript = vec![format!("{command:?}")];
        Self { process, unread: Vec::new(), transcript }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Gives a command.
    pub(crate) fn say(&mut self, command: &str) {
        self.transcript.push(format!("> {command}"));
        let stdin = self.process.stdin.as_mut().expect("because it is piped");
        if let Err(error) = stdin.write_all(format!("{command}\n").as_bytes()) {
            self.fail(&format!("does not listen: {error}"));
        }
    }

    /// Gives a command that must be answered.
    pub(crate) fn ask(&mut self, command: &str) -> Value {
        self.say(command);
        self.reply()
    }

    /// Gives a command that must succeed.
    pub(crate) fn must(&mut self, command: &str) -> Value {
        self.say(command);
        self.succeeded()
    }

    /// The answer to the last command, which must have succeeded.
    pub(crate) fn succeeded(&mut self) -> Value {
        let reply = self.reply();
        if reply["ok"] != true || overlaps(&reply) {
            self.fail("must succeed");
        }
        reply
    }

    /// Has it wait for the lock, which another has. It says so when it is about to sleep.
    pub(crate) fn begin_to_wait(&mut self) {
        self.say("acquire");
        self.event("waiting");
    }

    /// Gives a command that must fail in this way.
    pub(crate) fn must_fail(&mut self, command: &str, error: &str) -> Value {
        let reply = self.ask(command);
        if reply["error"] != error {
            self.fail(&format!("{command} must fail as {error}"));
        }
        reply
    }

    /// Releases; the lock must have been ours to the end.
    pub(crate) fn release(&mut self) {
        let reply = self.ask("release");
        if reply["released"] != true {
            self.fail("the release must find the lock unharmed");
        }
    }

    /// The answer to the last command.
    pub(crate) fn reply(&mut self) -> Value {
        loop {
            match self.hear() {
                Heard::Reply(reply) => return reply,
                Heard::Event(_) => {}
                Heard::End => self.fail("ended instead of answering"),
            }
        }
    }

    /// Waits until something has happened.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        match self.hear() {
            Heard::Event(event) if event["event"] == name => event,
            other => self.fail(&format!("{other:?} instead of the event {name}")),
        }
    }

    /// Waits until something has happened, whatever else happens before.
    pub(crate) fn until(&mut self, name: &str) -> Value {
        loop {
            match self.hear() {
                Heard::Event(event) if event["event"] == name => return event,
                Heard::Event(_) => {}
                other => self.fail(&format!("{other:?} instead of the event {name}")),
            }
        }
    }

    /// The next line, whatever it is.
    pub(crate) fn hear(&mut self) -> Heard {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.unread.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                let heard = serde_json::from_str::<Value>(&line);
                self.transcript.push(format!("< {line}"));
                return match heard {
                    Ok(value) if value.get("event").is_some() => Heard::Event(value),
                    Ok(value) => Heard::Reply(value),
                    Err(error) => self.fail(&format!("speaks no JSON: {error}")),
                };
            }
            if !self.fill(deadline) {
                return Heard::End;
            }
        }
    }

    /// Whether there was anything more to read.
    fn fill(&mut self, deadline: Instant) -> bool {
        let stdout = self.process.stdout.as_ref().expect("because it is piped");
        let mut fds = [PollFd::new(stdout, PollFlags::IN)];
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut fds, Some(&timespec(left))) {
            Ok(0) => self.fail("keeps silent"),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return true,
            Err(error) => self.fail(&format!("cannot be polled: {error}")),
        }
        let mut buffer = [0; 4096];
        let read = rustix::io::read(stdout, &mut buffer).expect("because a pipe can be read");
        self.unread.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("because the child has not been waited for");
    }

    /// Ends it as the kernel would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        let status = self.wait_end();
        assert_eq!(status.signal(), Some(9), "{status}");
    }

    /// Stops it, and waits until it has stopped.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::STOP);
        self.wait_stopped();
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until all its threads have stopped.
    pub(crate) fn wait_stopped(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let pid = Pid::from_child(&self.process);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        loop {
            let status = waitid(WaitId::Pid(pid), options).expect("because it is our child");
            if status.is_some_and(|status| status.stopped()) {
                return;
            }
            if Instant::now() > deadline {
                self.fail("does not stop");
            }
            // There is nothing to poll for a stop, and a blocking wait has no deadline.
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits until it has ended, which closes its stdin too.
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        drop(self.process.stdin.take());
        let pid = Pid::from_child(&self.process);
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("because it is our child");
        let mut fds = [PollFd::new(&process, PollFlags::IN)];
        let ended = poll(&mut fds, Some(&timespec(PATIENCE)));
        if ended != Ok(1) {
            self.fail("does not end");
        }
        self.process.wait().expect("because it is our child")
    }

    /// Fails the test with everything that was said.
    pub(crate) fn fail(&self, what: &str) -> ! {
        panic!("{} {what}\n{}", self.process.id(), self.transcript.join("\n"));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A kill reaches a stopped process too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What was answered did not take longer than it had to.
pub(crate) fn assert_at_once(reply: &Value) {
    let took = reply["took"].as_u64().map(Duration::from_nanos);
    assert!(took.is_some_and(|took| took < AT_ONCE), "{reply}");
}

/// Whether a reply tells of someone else at work.
pub(crate) fn overlaps(reply: &Value) -> bool {
    reply.get("overlap").is_some_and(|other| !other.is_null())
        || reply.get("lost").is_some_and(|lost| lost == true)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).expect("because it is short"),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
