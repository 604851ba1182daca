//! What crashes before the start have left on disk.

use std::fmt;

use lock_core::effect::Name;
use lock_core::record::{Generation, Record, Token};
use lock_core::time::{Boot, Mono, Now, Wall};

use crate::scope::{BOOT, MONO, TICK, WALL, here};
use crate::words::path;
use crate::world::{Files, Text};

/// A directory to start from: each file with its names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Leftover {
    /// The files.
    pub files: Vec<(Vec<Name>, Remains)>,
}

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// A ticket of ours whose maker is dead.
    Ours,
    /// A peer's three lines, long stale.
    Stale,
    /// Empty, and long stale.
    Empty,
    /// A generation file.
    Counter,
}

impl Leftover {
    /// Nothing but the generation file of an earlier life.
    #[must_use]
    pub fn clean() -> Self {
        Self::default().with(&[Name::Generation], Remains::Counter)
    }

    /// The same with one more file.
    #[must_use]
    pub fn with(mut self, names: &[Name], remains: Remains) -> Self {
        self.files.push((names.to_vec(), remains));
        self
    }

    /// Everything that crashes can leave under the lock's, the mutex's, the reclaim lock's
    /// and the takeover's name: files of their own, of either kind, and one file under
    /// several names. And a waiter's number, behind an owner that died as well, or alone.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let any = [None, Some(Remains::Ours), Some(Remains::Stale)];
        let mut all = Vec::new();
        // As a guard, an empty file is judged like a peer's; as a lock it is not one.
        for lock in any.into_iter().chain([Some(Remains::Empty)]) {
            for mutex in any {
                for reclaim in any {
                    for takeover in [None, Some(Remains::Ours)] {
                        let four = [
                            (Name::Lock, lock),
                            (Name::Mutex, mutex),
                            (Name::Reclaim, reclaim),
                            (Name::Takeover, takeover),
                        ];
                        all.push(four.into_iter().fold(Self::clean(), Self::and));
                    }
                }
            }
            if lock.is_none_or(|lock| lock == Remains::Ours) {
                all.push(Self::clean().and((Name::Lock, lock)).with(&[WAITER], Remains::Ours));
            }
            for twins in TWINS.iter().filter(|twins| lock.is_none() || !twins.contains(&Name::Lock))
            {
                all.push(Self::clean().and((Name::Lock, lock)).with(twins, Remains::Ours));
            }
        }
        all
    }

    /// Some that stand for the others, for scopes that are large already.
    #[must_use]
    pub fn some() -> Vec<Self> {
        let three = [Name::Lock, Name::Mutex, Name::Reclaim];
        let each = |remains| {
            let each = three.map(|name| (name, Some(remains)));
            each.into_iter().fold(Self::clean(), Self::and)
        };
        let dead_lock = Self::clean().with(&[Name::Lock], Remains::Ours);
        vec![
            each(Remains::Ours),
            each(Remains::Stale),
            dead_lock.clone().with(&[Name::Mutex, Name::Reclaim], Remains::Ours),
            dead_lock.clone().with(&[Name::Mutex, Name::Takeover], Remains::Ours),
            dead_lock.with(&[WAITER, Name::Mutex], Remains::Ours),
            Self::clean().with(&[WAITER], Remains::Ours),
        ]
    }

    fn and(self, (name, remains): (Name, Option<Remains>)) -> Self {
        match remains {
            Some(remains) => self.with(&[name], remains),
            None => self,
        }
    }

    /// The directory.
    #[must_use]
    pub fn files(&self) -> Files {
        let mut files = Files::default();
        let notices = &mut Vec::new();
        if self
            .files
            .iter()
            .flat_map(|(names, _)| names)
            .any(|name| matches!(name, Name::Queued(_)))
        {
            files.create_directory(Name::Queue, 0, notices);
        }
        for (names, remains) in &self.files {
            let ino = files.create(WALL - 10 * TICK, None);
            if let Some(inode) = files.inode_mut(ino) {
                inode.text = remains.text();
            }
            for name in names {
                files.link(ino, *name, 0, notices);
            }
        }
        files
    }
}

/// The first in the queue.
const WAITER: Name = Name::Queued(1);

/// The names that a crash can leave on one ticket.
const TWINS: [&[Name]; 8] = [
    &[Name::Mutex, Name::Reclaim],
    &[Name::Mutex, Name::Takeover],
    &[Name::Lock, Name::Mutex],
    &[Name::Lock, Name::Reclaim],
    &[Name::Lock, Name::Mutex, Name::Reclaim],
    &[Name::Mutex, Name::Reclaim, Name::Takeover],
    &[WAITER, Name::Mutex],
    &[WAITER, Name::Lock, Name::Mutex],
];

impl Remains {
    const fn word(self) -> &'static str {
        match self {
            Self::Ours => "of one of ours that died",
            Self::Stale => "a peer's, stale",
            Self::Empty => "empty, stale",
            Self::Counter => "in use",
        }
    }

    fn text(self) -> Text {
        let age = 10 * TICK;
        let then = Now { wall: Wall(WALL - age), boot: Boot(BOOT - age), mono: Mono(MONO - age) };
        let token = Token::new("dead");
        match (self, token) {
            (Self::Ours, Some(token)) => {
                let record = Record::new(99, token, here(), "", then).owning(Generation(5), then);
                Text::new(record.encode(0).as_bytes())
            }
            (Self::Stale, _) => Text::new(format!("98\n{}\nstale\n", then.wall).as_bytes()),
            (Self::Counter, _) => {
                let counter = format!("{:020} {:020} {}\n", 5, 4096, here().boot);
                Text::new(counter.as_bytes())
            }
            (Self::Empty | Self::Ours, _) => Text::default(),
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut files = self.files.iter().filter(|(_, remains)| *remains != Remains::Counter);
        let Some(first) = files.next() else {
            return f.write_str("nothing");
        };
        for (separator, (names, remains)) in
            std::iter::once(("", first)).chain(files.map(|file| ("; ", file)))
        {
            let names = names.iter().map(|name| path(*name)).collect::<Vec<_>>();
            write!(f, "{separator}{} ({})", names.join(" and "), remains.word())?;
        }
        Ok(())
    }
}
