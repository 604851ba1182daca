//! Where one run happens: a home with a lock in it, and room for what everyone says.

use std::fs;
use std::path::{Path, PathBuf};

use camino::Utf8PathBuf;
use lock_tests::Arena;
use std::os::unix::fs::MetadataExt;

use crate::error::Error;
use crate::what::Place;

/// What stays for ever: the last generation, and what people may want to know.
const FOR_EVER: [&str; 2] = ["restart.lock.generation", "restart.lock.journal"];

/// The agent of the restarts: says that it was started, and is soon gone.
const ROSTER: &str = r#"{
  "version": 1, "transport": "tmux", "supervisor": "process",
  "defaults": {"working_directory": "."},
  "agents": [{"name": "a", "runtime": "sh",
              "command": ["/bin/sh", "-c", "echo > MARK; exec sleep 2"]}]
}"#;

/// The programs that take part.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) fleet: PathBuf,
    pub(crate) contender: PathBuf,
    /// This very program.
    pub(crate) me: PathBuf,
}

/// One run's directory; kept if the run is red.
pub(crate) struct Stage {
    root: PathBuf,
    pub(crate) arena: Arena,
}

/// A name and the inode it leads to.
pub(crate) type Entry = (String, u64);

impl Stage {
    /// A home in a new directory `root`; its run directory is a copy of `before`'s.
    pub(crate) fn new(root: PathBuf, before: Option<&Arena>) -> Result<Self, Error> {
        let made = || Error::system("set the stage in", &root);
        let home = Utf8PathBuf::try_from(root.join("home"))
            .map_err(|error| Error::Part { what: "the stage", how: error.to_string() })?;
        let arena = Arena::new(home.join("fleet"));
        fs::create_dir_all(arena.root()).map_err(made())?;
        let mark = arena.root().join("ran-subject");
        let roster = ROSTER.replace("MARK", mark.as_str());
        fs::write(arena.root().join("roster.yaml"), roster).map_err(made())?;
        if let Some(before) = before {
            arena.make_run().map_err(made())?;
            arena.copy_run(before).map_err(made())?;
        }
        Ok(Self { root, arena })
    }

    /// A file for what someone says.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// What a file holds; nothing if it is not there.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read(self.file(name))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The home of the fleet.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The home of a lock beside the one that matters.
    pub(crate) fn beside(&self) -> Result<Arena, Error> {
        let root = Utf8PathBuf::try_from(self.root.join("beside"))
            .map_err(|error| Error::Part { what: "the stage", how: error.to_string() })?;
        Ok(Arena::new(root))
    }

    /// The lock that is given to another, as it will look then.
    pub(crate) fn successor(&self) -> Result<Entry, Error> {
        let lock = self.beside()?.lock();
        let metadata = fs::metadata(&lock).map_err(Error::system("look at", &lock))?;
        Ok(("restart.lock".to_owned(), metadata.ino()))
    }

    /// Whether a mark was left.
    pub(crate) fn has(&self, mark: &str) -> bool {
        self.arena.root().join(mark).exists()
    }

    /// What is in the run directory of the lock's, but for what stays.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let names = self.arena.names().unwrap_or_default();
        let names = names
            .into_iter()
            .filter(|name| name.starts_with("restart.lock") && !FOR_EVER.contains(&name.as_str()));
        let inode = |name: &String| {
            let metadata = fs::symlink_metadata(self.arena.run().join(name));
            metadata.map_or(0, |metadata| metadata.ino())
        };
        names.map(|name| (name.clone(), inode(&name))).collect()
    }

    /// The lock's place, as traces show it.
    pub(crate) fn place(&self) -> (String, &'static str) {
        (self.arena.run().into_string(), "restart.lock")
    }

    /// What somebody leaves of the lock's names, by the names of the protocol.
    pub(crate) fn left(&self, before: &[Entry]) -> Vec<String> {
        let (run, lock) = self.place();
        let place = Place { run: &run, lock };
        let new = self.entries().into_iter().filter(|entry| !before.contains(entry));
        new.map(|(name, _)| place.name(&name)).collect()
    }
}

/// The programs beside this one.
pub(crate) fn programs(fleet: Option<&Path>) -> Result<Programs, Error> {
    let me = std::env::current_exe().map_err(Error::system("find", "this program"))?;
    let beside = |name: &str| me.with_file_name(name);
    let fleet = fleet.map_or_else(|| beside("fleet"), Path::to_owned);
    let contender = beside("contender");
    for program in [&fleet, &contender] {
        if !program.exists() {
            let what = format!("{}: build it first", program.display());
            return Err(Error::Needs { what });
        }
    }
    Ok(Programs { fleet, contender, me })
}
