//! A process whose calls are seen, and tampered with.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::error::Error;
use crate::fault::Fault;
use crate::outcome::End;
use crate::site::Site;
use crate::stage::Stage;
use crate::trace::{Call, OPTIONS};

/// What a process is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// It has stopped since it was asked last.
    Stopped,
    Ended(End),
}

/// A process that ends with this.
pub(crate) struct Process {
    child: Child,
}

/// Something that happens at one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tampering<'a> {
    pub(crate) site: &'a Site,
    pub(crate) fault: Fault,
    /// The calls of a run in which it did not happen.
    pub(crate) usual: &'a [Call],
}

impl Process {
    /// Starts a program; what it says goes to files named after `name`.
    pub(crate) fn start(mut command: Command, stage: &Stage, name: &str) -> Result<Self, Error> {
        let file = |what: &str| {
            let path = stage.file(&format!("{name}.{what}"));
            File::create(&path).map_err(Error::system("create", &path))
        };
        command.stdout(file("out")?).stderr(file("err")?);
        let child = command.spawn();
        let child = child.map_err(Error::system("start", command.get_program()))?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has stopped or ended.
    pub(crate) fn state(&mut self) -> Result<State, Error> {
        let ended = self.child.try_wait().map_err(Error::system("wait for", "a process"))?;
        if let Some(status) = ended {
            let signal = status.signal().map(End::Signal);
            return Ok(State::Ended(
                signal.unwrap_or_else(|| End::Code(status.code().unwrap_or(-1))),
            ));
        }
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        match waitid(WaitId::Pid(Pid::from_child(&self.child)), options) {
            Ok(Some(status)) if status.stopped() => Ok(State::Stopped),
            // It may end in this very moment.
            Ok(_) | Err(rustix::io::Errno::CHILD) => Ok(State::Running),
            Err(error) => Err(Error::system("wait for", "a process")(error)),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It fails only for one that has ended, which its state tells.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// The thread with this name.
    pub(crate) fn thread(&self, name: &str) -> Option<i32> {
        thread_named(Pid::from_child(&self.child), name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A kill reaches a stopped process too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tampering<'_> {
    /// Whether it happened where it should: to such a call, after the same calls as usual.
    pub(crate) fn hit(&self, calls: &[Call]) -> bool {
        let way = |calls: &[Call]| {
            let (before, at) = calls.split_at(calls.iter().position(|call| self.is_at(call))?);
            let same = at.first().is_some_and(|call| call.what == Some(self.site.what));
            let what = before.iter().filter_map(|call| call.what).filter(|what| !what.is_beside());
            same.then(|| what.collect::<Vec<_>>())
        };
        way(calls).is_some_and(|way_here| Some(way_here) == way(self.usual))
    }

    /// Whether this is the call that it happens to.
    pub(crate) fn is_at(&self, call: &Call) -> bool {
        call.name == self.site.name && call.nth == self.site.nth
    }

    fn option(&self) -> String {
        let Site { name, nth, .. } = self.site;
        format!("inject={name}:{}:when={nth}", self.fault.injection())
    }
}

/// strace of a program's main thread; the tracer is the program's grandchild, so that the
/// process we start is the program itself.
pub(crate) fn traced(program: &Path, log: &Path, tampering: Option<&Tampering<'_>>) -> Command {
    let mut tracer = Command::new("strace");
    strace(&mut tracer, log, tampering);
    let mut command = apart("strace");
    command.args(tracer.get_args()).arg("-D").arg(program);
    command
}

/// A program in a session of its own: whoever comes to its rescue is its ancestor, and must not look
/// like one that waits for it.
pub(crate) fn apart(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program).stdin(Stdio::null());
    command
}

/// strace of one thread of a process that runs already.
pub(crate) fn attached(thread: i32, log: &Path, tampering: Option<&Tampering<'_>>) -> Command {
    let mut command = Command::new("strace");
    strace(&mut command, log, tampering);
    command.args(["-p", &thread.to_string()]);
    command
}

fn strace(command: &mut Command, log: &Path, tampering: Option<&Tampering<'_>>) {
    command.args(OPTIONS).arg("-o").arg(log).stdin(Stdio::null());
    if let Some(tampering) = tampering {
        command.args(["-e", &tampering.option()]);
    }
}

/// A process's thread with this name.
pub(crate) fn thread_named(process: Pid, name: &str) -> Option<i32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).ok()?;
    tasks.flatten().find_map(|task| {
        let comm = fs::read_to_string(task.path().join("comm")).ok()?;
        let number = task.file_name().to_str()?.parse().ok()?;
        (comm.trim_end() == name).then_some(number)
    })
}

/// Whether a thread has a tracer.
pub(crate) fn is_traced(thread: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Phase, Roles};
    use crate::what::{Object, Verb, What};

    fn calls(whats: &[(Verb, Object)]) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for (verb, object) in whats {
            let name = verb.to_string();
            let before = calls.iter().filter(|call| call.name == name).count();
            calls.push(Call {
                nth: u32::try_from(before + 1).expect("because they are few"),
                what: Some(What { verb: *verb, object: *object }),
                succeeded: true,
                forks: false,
                name,
            });
        }
        calls
    }

    const CREATE: (Verb, Object) = (Verb::Create, Object::Ticket);
    const LINK: (Verb, Object) = (Verb::Link, Object::Mutex);
    const READ: (Verb, Object) = (Verb::Read, Object::Process);
    const REMOVE: (Verb, Object) = (Verb::Remove, Object::Mutex);

    /// What happens at the second link.
    fn hits(there: &[(Verb, Object)]) -> bool {
        let site = Site {
            what: What { verb: Verb::Link, object: Object::Mutex },
            name: "link".to_owned(),
            nth: 2,
            phase: Phase::Releasing,
            before: Roles::default(),
            after: Roles::default(),
        };
        let usual = calls(&[CREATE, LINK, READ, REMOVE, LINK, REMOVE]);
        Tampering { site: &site, fault: Fault::Kill, usual: &usual }.hit(&calls(there))
    }

    #[test]
    fn it_must_happen_where_it_was_meant_to() {
        assert!(hits(&[CREATE, LINK, READ, REMOVE, LINK]));
        assert!(hits(&[CREATE, LINK, READ, READ, REMOVE, LINK]), "as many reads as it takes");
        assert!(!hits(&[CREATE, LINK, REMOVE]), "it did not come so far");
        assert!(!hits(&[CREATE, LINK, LINK]), "it came another way");
        assert!(!hits(&[CREATE, LINK, REMOVE, (Verb::Link, Object::Lock)]), "another call");
    }
}
