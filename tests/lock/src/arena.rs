//! The directory of one experiment.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

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

    /// The names in the run directory, as [`names_in`] has them.
    ///
    /// # Errors
    ///
    /// When it cannot be listed.
    pub fn names(&self) -> io::Result<Vec<String>> {
        names_in(self.run().as_std_path())
    }

    /// Makes the run directory, for nobody but us.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn make_run(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).recursive(true).create(self.run())
    }

    /// Puts the same files into the run directory as `other` has: same content, same age, and
    /// one inode under several names where it was so; and a queue of the same age.
    ///
    /// # Errors
    ///
    /// When one cannot be copied.
    pub fn copy_run(&self, other: &Self) -> io::Result<()> {
        let mut seen: Vec<(u64, Utf8PathBuf)> = Vec::new();
        let queue = fs::metadata(other.beside(".queue")).ok().filter(fs::Metadata::is_dir);
        if queue.is_some() {
            DirBuilder::new().mode(0o700).create(self.beside(".queue"))?;
        }
        for name in other.names()? {
            let (from, to) = (other.run().join(&name), self.run().join(&name));
            let metadata = fs::metadata(&from)?;
            if let Some((_, twin)) = seen.iter().find(|(inode, _)| *inode == metadata.ino()) {
                fs::hard_link(twin, &to)?;
                continue;
            }
            fs::copy(&from, &to)?;
            let file = File::options().write(true).open(&to)?;
            file.set_modified(metadata.modified()?)?;
            seen.push((metadata.ino(), to));
        }
        if let Some(queue) = queue {
            File::open(self.beside(".queue"))?.set_modified(queue.modified()?)?;
        }
        Ok(())
    }
}

/// The names in a lock's directory, sorted. Of the queue only those in it: that it is there says
/// nothing, for it may stay behind, empty.
///
/// # Errors
///
/// When it cannot be listed.
pub fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !(name.ends_with(".queue") && entry.file_type()?.is_dir()) {
            names.push(name);
            continue;
        }
        for waiter in fs::read_dir(entry.path())? {
            names.push(format!("{name}/{}", waiter?.file_name().to_string_lossy()));
        }
    }
    names.sort();
    Ok(names)
}
