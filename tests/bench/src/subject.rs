//! Who is measured: how each is started, and what may be asked of it.

use std::fs;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::crew::Peer;
use crate::error::Error;

/// What kind of lock it is; the page sorts by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Ours,
    /// The fewest calls with which one can have a lock at all.
    Floor,
    /// The kernel's lock on a file that stays.
    Kernel,
    /// A file that says it is locked by being there.
    File,
}

/// Where it comes from, which says how it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// This program.
    Here,
    /// This program, which calls others: each acquire is a process.
    Called,
    /// Other Rust packages.
    Rust,
    Node,
    Python,
}

/// What becomes of the lock when its holder is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// A waiter gets it; so many rounds show how soon.
    Noticed(usize),
    /// The lock stays taken.
    Stays,
}

/// One lock in one way of using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) home: Home,
    pub(crate) death: Death,
    /// Whether the lock says who owns it.
    pub(crate) records: bool,
    /// How long it sleeps between two looks, in milliseconds; 0 if it is woken.
    pub(crate) poll: u64,
}

/// Without what only some do.
pub(crate) const fn subject(name: &'static str, kind: Kind, home: Home) -> Subject {
    Subject { name, kind, home, death: Death::Stays, records: false, poll: 0 }
}

impl Subject {
    const fn dies(self, rounds: usize) -> Self {
        Self { death: Death::Noticed(rounds), ..self }
    }

    const fn records(self) -> Self {
        Self { records: true, ..self }
    }

    const fn polls(self, poll: u64) -> Self {
        Self { poll, ..self }
    }

    /// Whether it does one of the things that ours does beyond excluding.
    pub(crate) fn takes_over_or_records(&self) -> bool {
        self.kind == File && (self.records || matches!(self.death, Death::Noticed(_)))
    }
}

/// Our own, by its name.
pub(crate) const OURS: &str = "ours";
/// What a hand-off is compared with.
pub(crate) const BLOCKED_FLOCK: &str = "open-flock-close";

use Home::{Called, Here, Node, Python, Rust};
use Kind::{File, Floor, Kernel, Ours};

/// All of them. Peers that poll are taken as their documentation has it, and once more at
/// 5 ms where that can be set.
pub(crate) const SUBJECTS: &[Subject] = &[
    subject(OURS, Ours, Here).dies(200).records(),
    subject("fleet", Ours, Called).dies(50).records(),
    subject("kept-flock", Floor, Here).dies(50),
    subject(BLOCKED_FLOCK, Floor, Here).dies(200),
    subject("checked-flock", Floor, Here).dies(50),
    subject("exclusive", Floor, Here).polls(1),
    subject("robust", Floor, Rust).dies(50),
    subject("std", Kernel, Here).dies(50),
    subject("fd-lock", Kernel, Rust).dies(50),
    subject("fs4", Kernel, Rust).dies(50),
    subject("fslock", Kernel, Rust).dies(50),
    subject("fslock-pid", Kernel, Rust).dies(50).records(),
    subject("named-lock", Kernel, Rust).dies(50),
    subject("flock", Kernel, Called).dies(50),
    subject("portalocker-blocking", Kernel, Python).dies(50),
    subject("portalocker", Kernel, Python).dies(20).polls(250),
    subject("filelock", Kernel, Python).dies(20).polls(50),
    subject("gix-lock", File, Rust).polls(40),
    subject("pidlock", File, Rust).dies(50).records().polls(1),
    subject("soft-filelock", File, Python).dies(20).records().polls(50),
    subject("portalocker-pid", File, Python).dies(10).records().polls(250),
    subject("npm-lockfile-5ms", File, Node).polls(5),
    subject("npm-lockfile", File, Node).polls(100),
    subject("proper-lockfile-5ms", File, Node).dies(2).polls(5),
    subject("proper-lockfile", File, Node).dies(1).polls(1000),
    subject("proper-lockfile-fork-5ms", File, Node).dies(2).polls(5),
    subject("original-5ms", File, Node).dies(5).records().polls(5),
    subject("original", File, Node).dies(1).records().polls(250),
    subject("lockfile", File, Called).polls(1000),
    subject("dotlockfile", File, Called).dies(5).records().polls(1000),
    subject("etcdctl", File, Called).dies(2).records(),
];

/// The programs that a run needs, by where they were built.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    target: Utf8PathBuf,
    fleet: Utf8PathBuf,
}

impl Programs {
    /// Beside this program, which cargo built; but `fleet`, if another is given.
    pub(crate) fn locate(fleet: Option<&Utf8Path>) -> Result<Self, Error> {
        let this = std::env::current_exe().map_err(Error::system("find", "this program"))?;
        let this =
            Utf8PathBuf::try_from(this).map_err(|error| Error::Failure(error.to_string()))?;
        let target = this.parent().and_then(Utf8Path::parent).unwrap_or(&this);
        let fleet = fleet.map_or_else(|| this.with_file_name("fleet"), Utf8Path::to_owned);
        Ok(Self { target: target.to_owned(), fleet })
    }

    /// The target directory.
    pub(crate) fn target(&self) -> &Utf8Path {
        &self.target
    }

    /// The `fleet` that is measured.
    pub(crate) fn fleet(&self) -> &Utf8Path {
        &self.fleet
    }

    /// A program of the workspace.
    pub(crate) fn own(&self, name: &str) -> Utf8PathBuf {
        self.target.join("release").join(name)
    }

    /// A subject's command line, for a lock.
    pub(crate) fn command(&self, subject: &Subject, lock: &Utf8Path) -> Command {
        let peers = self.target.join("bench");
        let mut command = match subject.home {
            Here | Called => {
                let mut command = Command::new(self.own("lock-bench"));
                command.arg("peer");
                command
            }
            Rust => Command::new(peers.join("rust/release/lock-bench-rust-peers")),
            Node => {
                let mut command = Command::new("node");
                command.arg(peers.join("node/peer.js"));
                command
            }
            Python => {
                let mut command = Command::new(peers.join("python/bin/python"));
                command.arg(peers.join("python/peer.py"));
                command
            }
        };
        command.args([subject.name, lock.as_str()]);
        if subject.home == Called {
            command.args(["--fleet", self.fleet.as_str()]);
        }
        command
    }

    /// Starts a subject.
    pub(crate) fn start(&self, subject: &Subject, lock: &Utf8Path) -> Result<Peer, Error> {
        Peer::start(subject.name, &mut self.command(subject, lock))
    }
}

/// Removes what a dead holder may have left, whatever it is.
pub(crate) fn clear(lock: &Utf8Path) {
    let Some(directory) = lock.parent() else { return };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        // A lock can be a directory. What cannot be removed is found out by the next acquire.
        let _ = match path.is_dir() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_subjects() {
        let mut names: Vec<_> = SUBJECTS.iter().map(|subject| subject.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SUBJECTS.len());
    }

    #[test]
    fn those_that_only_exclude_are_told_apart() {
        let find = |name| SUBJECTS.iter().find(|subject| subject.name == name);
        let does = |name| find(name).is_some_and(Subject::takes_over_or_records);
        assert!(does("pidlock") && does("original") && does("soft-filelock"));
        assert!(!does("gix-lock") && !does("kept-flock") && !does("npm-lockfile"));
    }
}
