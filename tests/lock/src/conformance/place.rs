//! Where a lock lies, and which of its files a process has open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use camino::Utf8Path;
use lock_core::LeftOpen;
use lock_core::effect::{Name, Slot};
use lock_core::record::Token;

use crate::strace::{self, Call};

/// A lock's directory, and its name there.
#[derive(Clone, Debug)]
pub struct Place {
    run: String,
    lock: String,
}

/// Calls whose strings are data, not paths. Their descriptors are looked at all the same.
const TAKE_NO_PATH: [&str; 12] = [
    "execve", "pread64", "prctl", "pwrite64", "read", "readv", "recvfrom", "recvmsg", "sendmsg",
    "sendto", "write", "writev",
];

impl Place {
    /// Of the lock at an absolute path.
    #[must_use]
    pub fn new(lock: &Utf8Path) -> Self {
        let run = lock.parent().map(Utf8Path::to_string).unwrap_or_default();
        Self { run, lock: lock.file_name().unwrap_or_default().to_owned() }
    }

    /// The directory.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// The file that stands for a name, as `docs/protocol.md` has them.
    pub(crate) fn file(&self, name: Name, token: &Token) -> String {
        let suffix = match name {
            Name::Lock => String::new(),
            Name::Mutex => ".mutex".to_owned(),
            Name::Reclaim => ".mutex.reclaim".to_owned(),
            Name::Takeover => ".takeover".to_owned(),
            Name::Ticket => format!("{}{token}", Self::TICKET),
            Name::Generation => ".generation".to_owned(),
            Name::GenerationDraft => ".generation.new".to_owned(),
            Name::Queue => ".queue".to_owned(),
            Name::Queued(number) => format!(".queue/{number}"),
        };
        self.lock.clone() + &suffix
    }

    const TICKET: &str = ".ticket.";

    /// The token in a ticket's own name.
    pub(crate) fn token(&self, file: &str) -> Option<Token> {
        let rest = file.strip_prefix(&self.lock)?.strip_prefix(Self::TICKET)?;
        Token::new(rest)
    }

    /// Whether a call names one of the lock's paths, or has one of its files in its hands.
    #[must_use]
    pub fn concerns(&self, call: &Call) -> bool {
        let (strings, rest) = strace::sift(&call.arguments);
        if rest.split('<').skip(1).any(|file| self.is_file(file)) {
            return true;
        }
        let names = !TAKE_NO_PATH.contains(&call.name.as_str());
        names && strings.into_iter().filter_map(strace::text).any(|path| self.is_path(&path))
    }

    /// What stands behind the `<` of a descriptor: the directory, a file of the lock, or one
    /// without a name in that directory.
    fn is_file(&self, file: &str) -> bool {
        let inside = file.strip_prefix(&self.run);
        inside.is_some_and(|rest| match rest.strip_prefix('/') {
            Some(name) => name.starts_with('#') || self.is_name(name),
            None => rest.starts_with('>'),
        })
    }

    /// The directory itself, a path of the lock by whatever way, or a file by its descriptor.
    fn is_path(&self, path: &[u8]) -> bool {
        let path = Utf8Path::new(std::str::from_utf8(path).unwrap_or_default());
        let by_number = path.as_str().strip_prefix(BY_NUMBER);
        path == self.run
            || path.file_name().is_some_and(|name| self.is_name(name))
            || path.parent().is_some_and(|queue| self.is_queue(queue))
            || by_number.is_some_and(|number| !number.is_empty())
    }

    /// Whatever name it has, what lies in the queue is the lock's.
    fn is_queue(&self, directory: &Utf8Path) -> bool {
        let name = directory.file_name().and_then(|name| name.strip_prefix(&self.lock));
        name == Some(".queue")
    }

    /// Every name that begins with the lock's is the lock's, except for what lies beside it.
    fn is_name(&self, name: &str) -> bool {
        let suffix = name.strip_prefix(&self.lock);
        suffix.is_some_and(|suffix| !BESIDE.iter().any(|beside| suffix.starts_with(beside)))
    }
}

/// What lies beside a lock and has no say in who owns it: the journal.
const BESIDE: [&str; 1] = [".journal"];

/// How an open file is named by its descriptor.
pub(crate) const BY_NUMBER: &str = "/proc/self/fd/";

/// What a process uses a descriptor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The lock's directory: paths are resolved from there.
    Directory,
    /// A directory that was removed, and another opened in its place.
    Gone,
    /// A machine's open file.
    Slot(Slot),
    /// A copy of the ticket, for the lock's work.
    Copy,
}

/// The open files of a process that concern the lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    roles: BTreeMap<i32, Role>,
    locked: BTreeSet<Slot>,
}

impl Files {
    /// What a descriptor is for, if it is for anything.
    pub(crate) fn role(&self, number: i32) -> Option<Role> {
        self.roles.get(&number).copied()
    }

    pub(crate) fn open(&mut self, number: i32, role: Role) {
        self.roles.insert(number, role);
    }

    /// Another directory; the one that was open is done with.
    pub(crate) fn open_directory(&mut self, number: i32) {
        for role in self.roles.values_mut().filter(|role| **role == Role::Directory) {
            *role = Role::Gone;
        }
        self.open(number, Role::Directory);
    }

    pub(crate) fn close(&mut self, role: Role) {
        self.roles.retain(|_, other| *other != role);
        if let Role::Slot(slot) = role {
            self.locked.remove(&slot);
        }
    }

    /// Closes a descriptor that is no machine's.
    pub(crate) fn close_number(&mut self, number: i32) {
        self.roles.remove(&number);
    }

    /// Whether a machine has this open.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.roles.values().any(|role| *role == Role::Slot(slot))
    }

    pub(crate) fn lock(&mut self, slot: Slot) {
        self.locked.insert(slot);
    }

    pub(crate) fn unlock(&mut self, slot: Slot) {
        self.locked.remove(&slot);
    }

    /// What is open, in the order of the slots, except in these.
    pub(crate) fn left_open(&self, kept: &[Slot]) -> Vec<LeftOpen> {
        let slots = self.roles.values().filter_map(|role| match role {
            Role::Slot(slot) if !kept.contains(slot) => Some(*slot),
            _ => None,
        });
        let slots: BTreeSet<_> = slots.collect();
        slots
            .into_iter()
            .map(|slot| LeftOpen { slot, locked: self.locked.contains(&slot) })
            .collect()
    }

    /// Everything that is open, in words. A directory does not count: the process may end while
    /// its keeper still has the lock's handle.
    pub(crate) fn names(&self) -> Vec<String> {
        let roles = self.roles.values();
        let files = roles.filter(|role| !matches!(role, Role::Directory | Role::Gone));
        files.map(ToString::to_string).collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "dir",
            Self::Gone => "gone",
            Self::Copy => "copy",
            Self::Slot(Slot::Ticket) => "ticket",
            Self::Slot(Slot::Mutex) => "mutex",
            Self::Slot(Slot::Reclaim) => "reclaim",
            Self::Slot(Slot::Judged) => "judged",
            Self::Slot(Slot::Guard) => "guard",
            Self::Slot(Slot::Rival) => "rival",
            Self::Slot(Slot::Generation) => "generation",
            Self::Slot(Slot::Queue) => "queue",
            Self::Slot(Slot::Ahead) => "ahead",
        })
    }
}
