//! One run of an agent: what is written down about it, and which processes belong to it.
//!
//! The record is written by the run itself, before its command begins (see `launch`), and
//! replaced whole, so a reader never sees half of it.

use std::ffi::CString;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::{Drift, State, SupervisorError};
use crate::processes::{self, Process};
use crate::replace::replace;
use crate::roster::Agent;
use crate::spawn::SelfRecord;

/// The variable that every process of a run inherits; names the run.
pub(super) const RUN_VARIABLE: &str = "FLEET_RUN";

/// What is known about the latest run of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instance {
    /// The leader of its session.
    pub(super) pid: u32,
    /// When that process started, in clock ticks since boot.
    pub(super) start_ticks: u64,
    /// Which boot.
    pub(super) boot_id: String,
    /// The value of its `FLEET_RUN`.
    pub(super) run: String,
    /// Whether it was asked to end.
    #[serde(default)]
    pub(super) stopping: bool,
    /// The command that it was started with, if that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) command: Vec<String>,
    /// The directory that it was started in, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) directory: Option<Utf8PathBuf>,
}

impl Instance {
    /// The record of a run that is about to begin, at `path`; its leader writes it.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or `/proc` is not mounted.
    pub(super) fn to_be_written(
        run: String,
        command: Vec<String>,
        directory: Option<Utf8PathBuf>,
        path: &Utf8Path,
    ) -> Result<SelfRecord, SupervisorError> {
        let boot_id = processes::boot_id().map_err(unreadable)?.to_owned();
        let (pid, start_ticks, stopping) = (0, 0, false);
        let record = Self { pid, start_ticks, boot_id, run, stopping, command, directory };
        let text = serde_json::to_string(&record).map_err(|e| failed("encode", path, e.into()))?;
        let [before, between] = [r#"{"pid":"#, r#","start_ticks":"#];
        let after = text.strip_prefix(&format!("{before}0{between}0")).unwrap_or_default();
        let text = [before, between, &format!("{after}\n")].map(|part| part.as_bytes().to_vec());
        let name = |path: &Utf8Path| {
            CString::new(path.as_str()).map_err(|e| failed("write", path, e.into()))
        };
        create_parent(path)?;
        Ok(SelfRecord { path: name(path)?, draft: name(&draft(path))?, text })
    }

    /// The run that the process `pid` leads, whoever started it; `None` if it has ended.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted.
    pub(super) fn of(pid: u32) -> Result<Option<Self>, SupervisorError> {
        let boot_id = processes::boot_id().map_err(unreadable)?;
        Ok(Process::find(pid).map(|process| Self {
            pid,
            start_ticks: process.start_ticks,
            boot_id: boot_id.to_owned(),
            run: String::new(),
            stopping: false,
            command: Vec::new(),
            directory: None,
        }))
    }

    /// Reads the record at `path`. One of an earlier boot that cannot be understood, as a power
    /// cut leaves it, is as good as none.
    ///
    /// # Errors
    ///
    /// When the file is there but cannot be read, or not be understood: then the agent may run,
    /// and a second one beside it is what must not be.
    pub(super) fn read(path: &Utf8Path) -> Result<Option<Self>, SupervisorError> {
        match std::fs::read(path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(instance) => Ok(Some(instance)),
                Err(_) if is_of_an_earlier_boot(path) => Ok(None),
                Err(source) => Err(SupervisorError::Damaged { path: path.to_owned(), source }),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", path, source)),
        }
    }

    /// Writes the record whole: a temporary file, then a rename over the old one.
    ///
    /// # Errors
    ///
    /// Names the file that could not be written.
    pub(super) fn write(&self, path: &Utf8Path) -> Result<(), SupervisorError> {
        let text = serde_json::to_string(self).map_err(|e| failed("encode", path, e.into()))?;
        let temporary = draft(path);
        create_parent(path)?;
        std::fs::write(&temporary, text + "\n").map_err(|e| failed("write", &temporary, e))?;
        replace(temporary.as_std_path(), path.as_std_path())
            .map_err(|e| failed("replace", path, e.into()))
    }

    /// The processes of this run that are alive.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub(super) fn members(&self) -> Result<Vec<Process>, SupervisorError> {
        if self.boot_id != processes::boot_id().map_err(unreadable)? {
            return Ok(Vec::new());
        }
        let session = processes::session(self.pid).map_err(unreadable)?;
        let leader = session.iter().find(|process| process.pid == self.pid);
        // A session keeps its number as long as a member lives. So if another process now
        // leads a session of this number, ours ended before. If nobody leads it, it may be
        // ours or a later one whose leader ended too: the run's own variable tells.
        let ours = |process: &Process| match leader {
            Some(leader) => leader.start_ticks == self.start_ticks,
            None => process.was_started_with(RUN_VARIABLE, &self.run),
        };
        let alive = session.iter().filter(|process| !process.is_zombie());
        Ok(alive.copied().filter(ours).collect())
    }

    /// The leader, if it is alive.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub(super) fn living_leader(&self) -> Result<Option<Process>, SupervisorError> {
        let is_this_boot = self.boot_id == processes::boot_id().map_err(unreadable)?;
        let process = Process::find(self.pid).filter(|process| {
            is_this_boot && process.start_ticks == self.start_ticks && !process.is_zombie()
        });
        Ok(process)
    }

    /// The leader among `members`.
    pub(super) fn leader(&self, members: &[Process]) -> Option<Process> {
        members.iter().copied().find(|process| process.pid == self.pid)
    }

    /// What this run says about its agent, if nothing else is known.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub(super) fn state(&self) -> Result<State, SupervisorError> {
        // Most run, and then there is no need to look for members in the whole table.
        if !self.stopping
            && let Some(leader) = self.living_leader()?
        {
            return Ok(State::Running { pid: self.pid, uptime: leader.uptime() });
        }
        let members = self.members()?;
        Ok(match (self.leader(&members), self.stopping) {
            (Some(_), true) => State::Stopping { pid: Some(self.pid) },
            (Some(leader), false) => State::Running { pid: self.pid, uptime: leader.uptime() },
            (None, true) if members.is_empty() => State::Stopped,
            (None, _) => State::Dead { pid: Some(self.pid), how: None, leftover: pids(&members) },
        })
    }

    /// In what it differs from how the roster would run `agent` now.
    pub(super) fn drift(&self, agent: &Agent) -> Vec<Drift> {
        let other_command = !self.command.is_empty() && self.command != agent.command;
        let directory = self.directory.as_ref();
        let other_directory =
            directory.is_some_and(|path| !is_same(path, &agent.working_directory));
        let drift =
            [other_command.then_some(Drift::Command), other_directory.then_some(Drift::Directory)];
        drift.into_iter().flatten().collect()
    }

    /// Signals the run's process group, which no fork can slip out of, and then each
    /// member that has left the group.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(super) fn signal(&self, members: &[Process], signal: Signal) -> io::Result<()> {
        // The number cannot belong to another group: a member of ours is still in it.
        if members.iter().any(|process| process.group == self.pid)
            && let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            match kill_process_group(group, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut outside = members.iter().filter(|process| process.group != self.pid);
        outside.try_for_each(|process| process.signal(signal))
    }
}

/// Whether a file was last written before this boot.
fn is_of_an_earlier_boot(path: &Utf8Path) -> bool {
    let up = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
    let written = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|ago| ago > up))
}

/// `/proc` cannot be read, which nothing can be done without.
fn unreadable(source: io::Error) -> SupervisorError {
    SupervisorError::Io { action: "read", path: "/proc".into(), source }
}

/// What a record is called until it is whole. One name is enough: records are written under
/// the lock's mutex only.
pub(super) fn draft(path: &Utf8Path) -> Utf8PathBuf {
    path.with_extension("json.new")
}

/// Makes the directory of `path`.
///
/// # Errors
///
/// When it cannot be made.
pub(super) fn create_parent(path: &Utf8Path) -> Result<(), SupervisorError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(parent).map_err(|e| failed("create the directory", parent, e))
}

/// Unlike any other of this boot; a record of another boot is not looked at.
pub(super) fn new_run() -> String {
    let now = clock_gettime(ClockId::Boottime);
    format!("{}.{:09}-{}", now.tv_sec, now.tv_nsec, std::process::id())
}

/// Whether two paths lead to one directory.
pub(super) fn is_same(one: &Utf8Path, other: &Utf8Path) -> bool {
    let real = |path: &Utf8Path| path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}

/// The names of those that have a record in `directory`.
pub(super) fn recorded(directory: &Utf8Path) -> Vec<String> {
    let entries = directory.read_dir_utf8().into_iter().flatten().flatten();
    let name =
        |entry: camino::Utf8DirEntry| Some(entry.file_name().strip_suffix(".json")?.to_owned());
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    names
}

/// Their ids.
pub(super) fn pids(members: &[Process]) -> Vec<u32> {
    members.iter().map(|process| process.pid).collect()
}

fn failed(action: &'static str, path: &Utf8Path, source: io::Error) -> SupervisorError {
    SupervisorError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::spawn_recorded;

    fn this() -> Instance {
        let this = Instance::of(std::process::id()).expect("there is a /proc").expect("we run");
        Instance { run: "run".into(), ..this }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("a.json");
        assert_eq!(Instance::read(&path).expect("readable"), None);
        this().write(&path).expect("written");
        assert_eq!(Instance::read(&path).expect("readable"), Some(this()));
    }

    /// A power cut can leave it so, and then nothing of that boot runs any more.
    #[test]
    fn a_damaged_record_is_none_only_if_it_is_of_an_earlier_boot() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("a.json");
        std::fs::write(&path, "{\"pid\": 1").expect("written");
        let read = Instance::read(&path);
        assert!(matches!(read, Err(SupervisorError::Damaged { .. })), "{read:?}");
        let file = std::fs::File::options().write(true).open(&path).expect("it is there");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("it is ours");
        assert_eq!(Instance::read(&path).expect("understood"), None);
    }

    #[test]
    fn a_process_writes_its_own_record() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("deeper/a.json");
        let words = vec!["sleep".to_owned(), "60".to_owned()];
        let record = Instance::to_be_written("run".into(), words.clone(), None, &path);
        let mut command = std::process::Command::new("sleep");
        let record = record.expect("prepared");
        let mut child = spawn_recorded(command.arg("60"), record).expect("started");
        let written = Instance::read(&path).expect("readable");
        let found = Instance::of(child.id()).expect("there is a /proc").expect("it runs");
        child.kill().and_then(|()| child.wait()).expect("ours to end");
        assert_eq!(written, Some(Instance { run: "run".into(), command: words, ..found }));
        assert!(!draft(&path).exists());
    }

    #[test]
    fn another_boot_has_no_members() {
        let instance = Instance { boot_id: "another".into(), ..this() };
        assert_eq!(instance.members().expect("readable"), []);
    }
}
