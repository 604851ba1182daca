//! Where a lock is tormented: a directory of the machine's disk, or a small tmpfs.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use camino::Utf8PathBuf;
use lock_tests::names_in;

use crate::error::Error;
use crate::program;

/// A mounted file system, unmounted when this is dropped.
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts: these are the arguments before the mount point.
    pub(crate) fn new(args: &[&str], at: &Path) -> Result<Self, Error> {
        fs::create_dir_all(at).map_err(Error::system("create", at))?;
        let at_text = at.to_string_lossy();
        let mut args = args.to_vec();
        args.push(&at_text);
        program::run("mount", &args)?;
        Ok(Self { at: at.to_owned() })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process may still be on its way out.
        let _ = program::run("umount", &["-l", &self.at.to_string_lossy()]);
    }
}

/// A directory for a lock.
pub(crate) struct Place {
    /// As the report calls it.
    pub(crate) name: &'static str,
    run: PathBuf,
    mount: Option<Mount>,
}

impl Place {
    /// On the file system of `root`.
    pub(crate) fn on_disk(root: &Path) -> Result<Self, Error> {
        let run = root.join("disk");
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&run);
        made.map_err(Error::system("create", &run))?;
        Ok(Self { name: "disk", run, mount: None })
    }

    /// On a tmpfs so small that it can be filled.
    pub(crate) fn in_memory(root: &Path) -> Result<Self, Error> {
        let run = root.join("memory");
        let args = ["-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs"];
        let mount = Some(Mount::new(&args, &run)?);
        Ok(Self { name: "tmpfs", run, mount })
    }

    /// Whether it can be filled without harming anyone else.
    pub(crate) fn can_be_filled(&self) -> bool {
        self.mount.is_some()
    }

    pub(crate) fn lock(&self) -> Result<Utf8PathBuf, Error> {
        let lock = self.run.join("torture.lock");
        Utf8PathBuf::try_from(lock).map_err(|error| Error::History(error.to_string()))
    }

    /// What is in it.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        names_in(&self.run).map_err(Error::system("list", &self.run))
    }

    /// Fills it to the last byte, until the ballast is dropped.
    pub(crate) fn fill(&self) -> Result<Ballast, Error> {
        let ballast = Ballast { path: self.run.join("ballast") };
        let file = File::create(&ballast.path);
        // It may have no room for a name even.
        if let Ok(mut file) = file {
            let block = [0; 1024];
            while file.write_all(&block).is_ok() {}
        }
        Ok(ballast)
    }
}

/// What fills a place.
pub(crate) struct Ballast {
    path: PathBuf,
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
