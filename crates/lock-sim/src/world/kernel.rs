//! Performs one effect for one process, as the kernel would.

use lock_core::effect::{Effect, Errno, Event, Name, Share, Slot, Wake};

use super::directory::is_queued;
use super::files::{Files, Ino, Notice, Outcome, Pid};
use super::process::{Fd, Process, Watch};

/// What the file system can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Abilities {
    /// `O_TMPFILE`.
    pub anonymous: bool,
    /// Hard links.
    pub links: bool,
    /// `flock`.
    pub locks: Flock,
    /// inotify.
    pub watches: bool,
}

/// What becomes of a kernel lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flock {
    /// It excludes.
    Works,
    /// There is none.
    Missing,
    /// Everyone is told that it has it.
    Lies,
}

/// A call: one of the machines' effects, or one that only a control subject makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// What the machines may ask for.
    Core(Effect),
    /// `open(name, O_CREAT | O_TRUNC | O_WRONLY)`: how a file is plainly overwritten.
    Truncate(Slot, Name),
    /// `open(name, O_CREAT | O_RDONLY)`: what is there, or an empty file.
    OpenOrCreate(Slot, Name),
}

const EBADF: Event = Event::Failed(Errno(9));
const ENOTEMPTY: Event = Event::Failed(Errno(39));

/// The caller and its surroundings.
pub(crate) struct Caller<'a> {
    pub(crate) files: &'a mut Files,
    pub(crate) process: &'a mut Process,
    pub(crate) pid: Pid,
    pub(crate) abilities: Abilities,
    /// The file system's clock.
    pub(crate) wall: u64,
    pub(crate) notices: &'a mut Vec<Notice>,
}

impl Call {
    /// The name it unlinks.
    #[must_use]
    pub const fn unlinks(&self) -> Option<Name> {
        match self {
            Self::Core(Effect::Unlink(name)) => Some(*name),
            _ => None,
        }
    }

    /// Whether it changes the directory of this name, which only one can do at a time.
    #[must_use]
    pub const fn changes_directory_of(&self, name: Name) -> bool {
        match self {
            Self::Core(Effect::Link(_, changed) | Effect::Unlink(changed)) => {
                is_queued(*changed) == is_queued(name)
            }
            Self::Truncate(..)
            | Self::OpenOrCreate(..)
            | Self::Core(Effect::Create(..) | Effect::Rename { .. }) => !is_queued(name),
            Self::Core(Effect::CreateDirectory(_) | Effect::RemoveDirectory(_)) => true,
            Self::Core(_) => false,
        }
    }

    /// The effect, if it is one that the machines may ask for.
    #[must_use]
    pub const fn core(&self) -> Option<&Effect> {
        match self {
            Self::Core(effect) => Some(effect),
            Self::Truncate(..) | Self::OpenOrCreate(..) => None,
        }
    }

    /// Whether it waits.
    #[must_use]
    pub const fn is_sleep(&self) -> bool {
        matches!(self, Self::Core(Effect::Sleep { .. }))
    }
}

impl Abilities {
    /// A local Linux file system.
    pub const ALL: Self = Self { anonymous: true, links: true, locks: Flock::Works, watches: true };
}

impl Caller<'_> {
    pub(crate) fn perform(&mut self, call: &Call) -> Event {
        match call {
            Call::Core(effect) => self.effect(effect),
            Call::Truncate(slot, name) => self.truncate(*slot, *name),
            Call::OpenOrCreate(slot, name) => self.open_or_create(*slot, *name),
        }
    }

    /// Sleeps, signals and questions about processes are the world's to answer; here they do nothing.
    fn effect(&mut self, effect: &Effect) -> Event {
        match effect {
            Effect::CreateAnonymous(slot) if self.abilities.anonymous => {
                let ino = self.create();
                self.keep(*slot, ino, true);
                Event::Done
            }
            Effect::CreateAnonymous(_) => Event::Unsupported,
            Effect::Create(slot, name) => self.create_named(*slot, *name),
            Effect::Open { slot, name, write } => match self.files.lookup(*name, self.pid) {
                Some(ino) => {
                    self.keep(*slot, ino, *write);
                    Event::Done
                }
                None => Event::Absent,
            },
            Effect::Close(slot) => {
                self.close(*slot);
                Event::Done
            }
            Effect::Look(name) => {
                let ino = self.files.lookup(*name, self.pid);
                ino.and_then(|ino| self.files.stat(ino)).map_or(Event::Absent, Event::Stat)
            }
            // The kernel looks whether the name is free before the file system refuses.
            Effect::Link(_, name) if !self.abilities.links => {
                match self.files.lookup(*name, self.pid) {
                    Some(_) => Event::Exists,
                    None => Event::Unsupported,
                }
            }
            Effect::Link(slot, name) => self.with(*slot, |caller, fd| {
                let pid = caller.pid;
                event(caller.files.link(fd.ino, *name, pid, caller.notices))
            }),
            Effect::Rename { from, to } => {
                event(self.files.rename(*from, *to, self.pid, self.notices))
            }
            Effect::Unlink(name) => event(self.files.unlink(*name, self.pid, self.notices)),
            Effect::CreateDirectory(name) => {
                event(self.files.create_directory(*name, self.wall, self.notices))
            }
            Effect::RemoveDirectory(name) => {
                event(self.files.remove_directory(*name, self.notices))
            }
            Effect::Stat(slot)
            | Effect::Lock(slot, _)
            | Effect::Unlock(slot)
            | Effect::Read(slot)
            | Effect::Write(slot, _)
            | Effect::Sync(slot)
            | Effect::Touch(slot)
            | Effect::List(slot)
            | Effect::Watch(slot) => self.with(*slot, |caller, fd| caller.on(effect, *slot, fd)),
            Effect::SyncDirectory => Event::Done,
            Effect::Sleep { .. } => Event::Woken(Wake::Due),
            Effect::AskProcess { .. }
            | Effect::AskCgroup(_)
            | Effect::ListHolders(_)
            | Effect::ListHoldersOf(_)
            | Effect::Signal { .. } => Event::Absent,
        }
    }

    /// Effects on an open file.
    fn on(&mut self, effect: &Effect, slot: Slot, fd: Fd) -> Event {
        let holder = (self.pid, slot);
        match effect {
            Effect::Stat(_) => self.files.stat(fd.ino).map_or(EBADF, Event::Stat),
            Effect::Lock(..) if self.abilities.locks == Flock::Missing => Event::Unsupported,
            Effect::Lock(..) if self.abilities.locks == Flock::Lies => Event::Done,
            Effect::Lock(_, share) => {
                let exclusive = *share == Share::Exclusive;
                match self.files.lock(fd.ino, holder, exclusive) {
                    true => Event::Done,
                    false => Event::Busy,
                }
            }
            Effect::Unlock(_) => {
                self.files.unlock(fd.ino, holder, self.notices);
                Event::Done
            }
            Effect::Read(_) => {
                let inode = self.files.inode(fd.ino);
                inode.map_or(EBADF, |inode| Event::Bytes(inode.text.bytes().to_vec()))
            }
            Effect::Write(_, text) if fd.write => self.write(fd.ino, text),
            Effect::Touch(_) => {
                if let Some(inode) = self.files.inode_mut(fd.ino) {
                    inode.mtime = self.wall;
                }
                self.notices.push(Notice::Changed(fd.ino));
                Event::Done
            }
            Effect::List(_) => match self.files.inode(fd.ino) {
                Some(directory) if directory.links > 0 => Event::Listed(self.files.numbers()),
                _ => Event::Absent,
            },
            Effect::Watch(_) if self.abilities.watches => {
                let (until_last, over) = (slot == Slot::Ahead, false);
                self.process.watch = Some(Watch { ino: fd.ino, until_last, over });
                Event::Done
            }
            Effect::Watch(_) => Event::Unsupported,
            Effect::Sync(_) => Event::Done,
            _ => EBADF,
        }
    }

    fn write(&mut self, ino: Ino, text: &str) -> Event {
        let maker = self.process.maker(self.pid);
        let wall = self.wall;
        let Some(inode) = self.files.inode_mut(ino) else {
            return EBADF;
        };
        inode.text = inode.text.overwritten(text);
        inode.mtime = wall;
        inode.maker = Some(maker);
        Event::Done
    }

    fn create(&mut self) -> Ino {
        let maker = self.process.maker(self.pid);
        self.files.create(self.wall, Some(maker))
    }

    fn create_named(&mut self, slot: Slot, name: Name) -> Event {
        if self.files.lookup(name, self.pid).is_some() {
            return Event::Exists;
        }
        let ino = self.create();
        self.keep(slot, ino, true);
        event(self.files.link(ino, name, self.pid, self.notices))
    }

    fn truncate(&mut self, slot: Slot, name: Name) -> Event {
        let Some(ino) = self.files.lookup(name, self.pid) else {
            return self.create_named(slot, name);
        };
        self.keep(slot, ino, true);
        let wall = self.wall;
        if let Some(inode) = self.files.inode_mut(ino) {
            inode.text = super::text::Text::default();
            inode.mtime = wall;
        }
        Event::Done
    }

    /// What it makes has no maker: it is not written, and stays when the process has ended.
    fn open_or_create(&mut self, slot: Slot, name: Name) -> Event {
        let ino = self.files.lookup(name, self.pid).unwrap_or_else(|| {
            let ino = self.files.create(self.wall, None);
            self.files.link(ino, name, self.pid, self.notices);
            ino
        });
        self.keep(slot, ino, false);
        Event::Done
    }

    fn keep(&mut self, slot: Slot, ino: Ino, write: bool) {
        self.close(slot);
        self.files.opened(ino);
        self.process.set_fd(slot, Some(Fd { ino, write }));
    }

    pub(crate) fn close(&mut self, slot: Slot) {
        if let Some(fd) = self.process.fd(slot) {
            self.process.set_fd(slot, None);
            let holder = (self.pid, slot);
            self.files.closed(fd.ino, holder, fd.write, self.notices);
        }
    }

    fn with(&mut self, slot: Slot, then: impl FnOnce(&mut Self, Fd) -> Event) -> Event {
        match self.process.fd(slot) {
            Some(fd) => then(self, fd),
            None => EBADF,
        }
    }
}

fn event(outcome: Outcome) -> Event {
    match outcome {
        Outcome::Done => Event::Done,
        Outcome::Exists => Event::Exists,
        Outcome::Absent => Event::Absent,
        Outcome::NotEmpty => ENOTEMPTY,
    }
}
