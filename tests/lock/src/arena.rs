//! The directory of one experiment.

use camino::{Utf8Path, Utf8PathBuf};

/// Where the lock of one experiment lies, and beside its run directory what watches it.
#[derive(Clone, Debug)]
pub struct Arena {
    root: Utf8PathBuf,
}

impl Arena {
    /// The experiment in this directory.
    #[must_use]
    pub fn new(root: impl Into<Utf8PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The lock's directory. Nothing but the lock puts anything there.
    #[must_use]
    pub fn run(&self) -> Utf8PathBuf {
        self.root.join("run")
    }

    /// The lock.
    #[must_use]
    pub fn lock(&self) -> Utf8PathBuf {
        self.run().join("restart.lock")
    }

    /// The lock's path with a suffix: its mutex, and so on.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> Utf8PathBuf {
        self.run().join(format!("restart.lock{suffix}"))
    }

    /// Exists while someone works.
    #[must_use]
    pub fn witness(&self) -> Utf8PathBuf {
        self.root.join("witness")
    }

    /// A line for each piece of work that was done.
    #[must_use]
    pub fn log(&self) -> Utf8PathBuf {
        self.root.join("log")
    }
}
