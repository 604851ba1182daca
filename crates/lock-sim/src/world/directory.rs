//! The queue: a directory in the directory, with numbers for names.

use lock_core::effect::Name;

use super::files::{Files, Ino, Notice, Outcome};

impl Files {
    /// The number's place in the queue, and where it leads; else where it would be.
    pub(super) fn queued_at(&self, number: u64) -> Result<(usize, Ino), usize> {
        let at = self.queued.partition_point(|(other, _)| *other < number);
        match self.queued.get(at) {
            Some((other, ino)) if *other == number => Ok((at, *ino)),
            _ => Err(at),
        }
    }

    /// What a list of the queue says.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        self.queued.iter().map(|(number, _)| *number).collect()
    }

    /// `mkdir`, by the file system's clock. What comes and goes in it later would make it look
    /// younger still, and those who remove it when it is old more patient.
    pub fn create_directory(
        &mut self,
        name: Name,
        wall: u64,
        notices: &mut Vec<Notice>,
    ) -> Outcome {
        if self.lookup(name, 0).is_some() {
            return Outcome::Exists;
        }
        let ino = self.create(wall, None);
        if let Some(inode) = self.inode_mut(ino) {
            inode.directory = true;
        }
        self.link(ino, name, 0, notices)
    }

    /// `rmdir`.
    pub fn remove_directory(&mut self, name: Name, notices: &mut Vec<Notice>) -> Outcome {
        match self.queued.is_empty() {
            true => self.unlink(name, 0, notices),
            false => Outcome::NotEmpty,
        }
    }

    pub(super) fn lead_queued(&mut self, number: u64, to: Option<Ino>, notices: &mut Vec<Notice>) {
        match (self.queued_at(number), to) {
            (Ok((at, _)), _) => drop(self.queued.remove(at)),
            (Err(at), Some(ino)) => self.queued.insert(at, (number, ino)),
            (Err(_), None) => {}
        }
        notices.push(Notice::Renamed);
    }
}

/// Whether the name is one in the queue.
pub(super) const fn is_queued(name: Name) -> bool {
    matches!(name, Name::Queued(_))
}
