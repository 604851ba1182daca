//! A tree of files to ship: made in memory, written out with modes that no umask changes.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::workspace::output_bytes;

/// A file to ship.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the root of the tree.
    pub(super) path: String,
    mode: u32,
    pub(super) bytes: Vec<u8>,
}

impl File {
    /// A file to read.
    pub(super) fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o644, bytes: bytes.into() }
    }

    /// A file to run.
    pub(super) fn program(path: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { mode: 0o755, ..Self::new(path, bytes) }
    }

    /// The same file, below a directory.
    pub(super) fn below(self, dir: &str) -> Self {
        Self { path: format!("{dir}/{}", self.path), ..self }
    }
}

/// Writes a tree to `root`, which holds nothing else then.
pub(super) fn lay_out(root: &Path, files: &[File]) -> Result<(), Error> {
    empty(root)?;
    for file in files {
        place(root, file)?;
    }
    for dir in walk(root)?.into_iter().filter(|path| path.is_dir()) {
        set_mode(&dir, 0o755)?;
    }
    set_mode(root, 0o755)
}

/// Writes one file of a tree.
pub(super) fn place(root: &Path, file: &File) -> Result<(), Error> {
    let path = root.join(&file.path);
    make_dir(path.parent().unwrap_or(root))?;
    write(&path, &file.bytes)?;
    set_mode(&path, file.mode)
}

/// Makes `dir` an empty directory.
pub(super) fn empty(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(Error::Write { path: dir.to_owned(), source });
        }
        _ => {}
    }
    make_dir(dir)
}

/// Makes a directory, and those above it.
pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
    made.map_err(|source| Error::Write { path: dir.to_owned(), source })
}

/// Writes a file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The names in a directory, sorted.
pub(super) fn list(dir: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Everything below a directory, sorted.
pub(super) fn walk(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for name in list(&dir)? {
            let path = dir.join(name);
            if path.is_dir() && !path.is_symlink() {
                pending.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A file, compressed without its name and time.
pub(super) fn gzip(path: &Path) -> Result<Vec<u8>, Error> {
    output_bytes(Command::new("gzip").args(["-9n", "--stdout"]).arg(path))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}
