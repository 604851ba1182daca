//! A disk with one process on it: names, open files, and what they say.

use lock_core::effect::{Effect, Event, Name, Slot, Wake};
use lock_core::snapshot::{FileId, Kind, Stat};
use lock_core::time::Wall;

/// Files are counted from 0 and never go away.
#[derive(Default)]
pub(crate) struct Disk {
    files: Vec<String>,
    names: Vec<(Name, usize)>,
    open: Vec<(Slot, usize)>,
}

impl Disk {
    /// What comes of an effect where nobody else is. Nothing is ever locked by another, so
    /// what is about kernel locks, times and durability is just done.
    pub(crate) fn perform(&mut self, effect: Effect) -> Event {
        match effect {
            Effect::CreateAnonymous(slot) => {
                self.create(slot);
                Event::Done
            }
            Effect::Create(slot, name) => match self.file(name) {
                Some(_) => Event::Exists,
                None => {
                    let file = self.create(slot);
                    self.names.push((name, file));
                    Event::Done
                }
            },
            Effect::Open { slot, name, .. } => match self.file(name) {
                Some(file) => {
                    self.open.push((slot, file));
                    Event::Done
                }
                None => Event::Absent,
            },
            Effect::Close(slot) => {
                self.open.retain(|(other, _)| *other != slot);
                Event::Done
            }
            Effect::Stat(slot) => Event::Stat(self.stat(self.opened(slot))),
            Effect::Look(name) => match self.file(name) {
                Some(file) => Event::Stat(self.stat(file)),
                None => Event::Absent,
            },
            Effect::Read(slot) => Event::Bytes(self.files[self.opened(slot)].clone().into_bytes()),
            Effect::Write(slot, text) => {
                let file = self.opened(slot);
                self.files[file] = text;
                Event::Done
            }
            Effect::Link(slot, name) => match self.file(name) {
                Some(_) => Event::Exists,
                None => {
                    self.names.push((name, self.opened(slot)));
                    Event::Done
                }
            },
            Effect::Rename { from, to } => {
                self.names.retain(|(name, _)| *name != to);
                self.names
                    .iter_mut()
                    .filter(|(name, _)| *name == from)
                    .for_each(|(name, _)| *name = to);
                Event::Done
            }
            Effect::Unlink(name) => {
                self.names.retain(|(other, _)| *other != name);
                Event::Done
            }
            Effect::Sleep { .. } => Event::Woken(Wake::Due),
            _ => Event::Done,
        }
    }

    fn create(&mut self, slot: Slot) -> usize {
        self.files.push(String::new());
        self.open.push((slot, self.files.len() - 1));
        self.files.len() - 1
    }

    fn file(&self, name: Name) -> Option<usize> {
        self.names.iter().find(|(other, _)| *other == name).map(|(_, file)| *file)
    }

    fn opened(&self, slot: Slot) -> usize {
        let found = self.open.iter().find(|(other, _)| *other == slot);
        found.expect("because machines use only what they have opened").1
    }

    fn stat(&self, file: usize) -> Stat {
        let links = self.names.iter().filter(|(_, other)| *other == file).count();
        Stat {
            id: FileId { device: 1, inode: file as u64 },
            kind: Kind::File,
            mtime: Wall(0),
            links: links as u64,
            foreign: false,
        }
    }
}
