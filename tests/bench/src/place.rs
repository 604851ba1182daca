//! Where locks lie while they are measured: a new directory for each, on a disk or in memory.

use std::cell::Cell;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::error::Error;

/// Where there is a file system in memory on every Linux.
const MEMORY: &str = "/dev/shm";

/// The directories of one run; gone when it ends.
pub(crate) struct Places {
    disk: TempDir,
    memory: TempDir,
    count: Cell<usize>,
}

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Disk,
    Memory,
}

impl Places {
    /// On the disk where `near` is, and in memory.
    pub(crate) fn make(near: &Utf8Path) -> Result<Self, Error> {
        fs::create_dir_all(near).map_err(Error::system("create", near))?;
        let make = |parent: &Utf8Path| {
            let named = tempfile::Builder::new().prefix("lock-bench-").tempdir_in(parent);
            named.map_err(Error::system("create a directory in", parent))
        };
        Ok(Self { disk: make(near)?, memory: make(MEMORY.into())?, count: Cell::new(0) })
    }

    /// A new directory with nothing in it, and nobody else's.
    pub(crate) fn directory(&self, medium: Medium) -> Result<Utf8PathBuf, Error> {
        let root = match medium {
            Medium::Disk => &self.disk,
            Medium::Memory => &self.memory,
        };
        let count = self.count.replace(self.count.get() + 1);
        let path = root.path().join(count.to_string());
        let path = Utf8PathBuf::from_path_buf(path)
            .map_err(|path| Error::Failure(format!("{} is not UTF-8", path.display())))?;
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(Error::system("create", &path))?;
        Ok(path)
    }

    /// A lock that nobody has used.
    pub(crate) fn lock(&self, medium: Medium) -> Result<Utf8PathBuf, Error> {
        Ok(self.directory(medium)?.join("bench.lock"))
    }

    /// The file system that a medium is here, as the kernel calls it.
    pub(crate) fn kind(&self, medium: Medium) -> String {
        let root = match medium {
            Medium::Disk => self.disk.path(),
            Medium::Memory => self.memory.path(),
        };
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (point, kind) = (fields.next()?, fields.next()?);
            root.starts_with(point).then_some((point.len(), kind))
        });
        below.max().map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
    }
}
