//! Several files, changed together or not at all.
//!
//! 1. *Stage*: each new text is written to a temporary file in the directory of its target,
//!    with the target's mode and owner, and flushed to the disk. A full disk, a read-only one
//!    or a missing permission is found here, when nothing has changed yet.
//! 2. *Commit*: one rename for each file, in order. A new file may not replace one that came
//!    into being meanwhile. A changed one trades places with its old text, which is then
//!    compared with what the change was made from: an edit that somebody saved in between is
//!    put back, not lost.
//! 3. If a commit fails, those before it are taken back in reverse order.
//!
//! A symlink stays one: the file that it leads to is changed. A crash leaves each file whole,
//! old or new, the first ones of the order new; a temporary `.fleet-…` file may stay.
//!
//! Where a file system cannot exchange two names, old text is compared before the rename
//! instead of after it, and cannot be put back by a later failure; the error then says so.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{CWD, RenameFlags, renameat, renameat_with};
use rustix::io::Errno;
use tempfile::{Builder, NamedTempFile};

use super::error::SetupError;
use crate::roster;

/// A file as it is and as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Where it is.
    pub(crate) path: Utf8PathBuf,
    /// Its text, if it is there.
    pub(crate) before: Option<String>,
    /// Its text, if it is to be there.
    pub(crate) after: Option<String>,
    /// Whether it is nobody else's business.
    pub(crate) secret: bool,
}

/// What a change does to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Kept,
    /// It comes into being.
    Created,
    /// It gets another text.
    Updated,
    /// It goes.
    Removed,
}

impl Change {
    /// The change that makes `after` the text of the file at `path`.
    ///
    /// # Errors
    ///
    /// When the file is there but cannot be read.
    pub(crate) fn to(path: Utf8PathBuf, after: Option<String>) -> Result<Self, SetupError> {
        let before = read(&path)?;
        Ok(Self { path, before, after, secret: false })
    }

    /// What it does.
    pub(crate) fn kind(&self) -> Kind {
        match (&self.before, &self.after) {
            (before, after) if before == after => Kind::Kept,
            (None, _) => Kind::Created,
            (Some(_), Some(_)) => Kind::Updated,
            (Some(_), None) => Kind::Removed,
        }
    }
}

/// The text at `path`, if there is a file.
///
/// # Errors
///
/// When there is one that cannot be read, or is no text.
pub(super) fn read(path: &Utf8Path) -> Result<Option<String>, SetupError> {
    let refused = |source| SetupError::Read { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(bytes) => roster::text(path, bytes).map(Some).map_err(SetupError::NotText),
        Err(error) if error.kind() == ErrorKind::NotFound => match path.symlink_metadata() {
            Ok(_) => Err(refused(io::Error::other("it is a symlink that leads nowhere"))),
            Err(_) => Ok(None),
        },
        Err(error) => Err(refused(error)),
    }
}

/// Makes all of `changes`, or none.
///
/// # Errors
///
/// Which file could not be changed, and what was left.
pub(super) fn apply(changes: &[Change]) -> Result<(), SetupError> {
    let mut made = Directories::default();
    let real = changes.iter().filter(|change| change.kind() != Kind::Kept);
    let staged = real.map(|change| Staged::new(change, &mut made)).collect::<Result<Vec<_>, _>>();
    let committed = staged.and_then(|staged| {
        commit(&staged)?;
        Ok(staged)
    });
    // Whatever lay beside is gone by now, so that new directories are empty again.
    let staged = committed.inspect_err(|_| made.remove())?;
    staged.iter().try_for_each(Staged::sync)
}

/// Makes the directory at `path`, and whatever is missing above it.
///
/// # Errors
///
/// When one of them cannot be made; then none is.
pub(super) fn make_directory(path: &Utf8Path, mode: u32) -> Result<(), SetupError> {
    let mut made = Directories::default();
    let result = made.make(path).and_then(|()| match made.0.last() {
        Some(last) if last == path => fs::set_permissions(path, Permissions::from_mode(mode)),
        _ => Ok(()),
    });
    result.map_err(|source| {
        made.remove();
        SetupError::Stage { action: "make the directory", path: path.to_owned(), source }
    })
}

fn commit(staged: &[Staged<'_>]) -> Result<(), SetupError> {
    let mut done = Vec::new();
    for file in staged {
        match file.commit() {
            Ok(way_back) => done.push((file, way_back)),
            Err(problem) => {
                let back = done.into_iter().rev();
                let stuck = back.filter(|(file, way_back)| !file.take_back(*way_back));
                let left = stuck.map(|(file, _)| file.target.clone()).collect();
                return Err(problem.named(&file.target, left));
            }
        }
    }
    Ok(())
}

/// A change whose new text lies beside its target.
struct Staged<'c> {
    change: &'c Change,
    /// The file itself, where the path leads.
    target: Utf8PathBuf,
    /// First the new text, after the commit the old one. Removed when dropped.
    beside: NamedTempFile,
}

/// How a commit can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WayBack {
    /// The old text lies beside.
    Exchange,
    /// There was none.
    MoveAside,
    /// The file itself lies beside.
    MoveBack,
    /// The old text is gone.
    None,
}

/// Why a commit failed.
enum Problem {
    Changed,
    System(io::Error),
}

impl<'c> Staged<'c> {
    fn new(change: &'c Change, made: &mut Directories) -> Result<Self, SetupError> {
        let target = match fs::canonicalize(&change.path) {
            Ok(path) => Utf8PathBuf::from_path_buf(path).unwrap_or_else(|_| change.path.clone()),
            Err(_) => change.path.clone(),
        };
        let directory = target.parent().unwrap_or(Utf8Path::new("/"));
        let failed = |action, path: &Utf8Path| {
            let path = path.to_owned();
            move |source| SetupError::Stage { action, path, source }
        };
        made.make(directory).map_err(failed("make the directory", directory))?;
        let builder = |mode| {
            let mut builder = Builder::new();
            builder.prefix(".fleet-").permissions(Permissions::from_mode(mode));
            builder.tempfile_in(directory)
        };
        let mode = if change.secret { 0o600 } else { 0o644 };
        let mut beside = builder(mode).map_err(failed("write in", directory))?;
        let text = change.after.as_deref().unwrap_or_default();
        beside.write_all(text.as_bytes()).map_err(failed("write", &target))?;
        match fs::metadata(&target) {
            Ok(old) => resemble(beside.as_file(), &old),
            Err(_) => fs::metadata(directory).and_then(|dir| give(beside.as_file(), &dir)),
        }
        .map_err(failed("keep mode and owner of", &target))?;
        beside.as_file().sync_all().map_err(failed("write", &target))?;
        Ok(Self { change, target, beside })
    }

    fn commit(&self) -> Result<WayBack, Problem> {
        let way_back = match self.change.kind() {
            Kind::Created => self.create()?,
            Kind::Updated | Kind::Kept => self.exchange()?,
            Kind::Removed => {
                renameat(CWD, self.target.as_std_path(), CWD, self.beside.path())?;
                WayBack::MoveBack
            }
        };
        // What lies beside now is what was there; was it what the change was made from?
        let seen = match way_back {
            WayBack::Exchange | WayBack::MoveBack => fs::read(self.beside.path()).ok(),
            WayBack::MoveAside | WayBack::None => return Ok(way_back),
        };
        if seen.as_deref() == self.change.before.as_deref().map(str::as_bytes) {
            return Ok(way_back);
        }
        self.take_back(way_back);
        Err(Problem::Changed)
    }

    fn create(&self) -> Result<WayBack, Problem> {
        match self.rename(RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => Err(Problem::Changed),
            Err(Errno::INVAL | Errno::NOSYS) => match self.target.symlink_metadata() {
                Ok(_) => Err(Problem::Changed),
                Err(_) => Ok(self.rename(RenameFlags::empty()).map(|()| WayBack::MoveAside)?),
            },
            other => Ok(other.map(|()| WayBack::MoveAside)?),
        }
    }

    fn exchange(&self) -> Result<WayBack, Problem> {
        match self.rename(RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS) => {
                let seen = fs::read_to_string(&self.target).ok();
                if seen != self.change.before {
                    return Err(Problem::Changed);
                }
                Ok(self.rename(RenameFlags::empty()).map(|()| WayBack::None)?)
            }
            other => Ok(other.map(|()| WayBack::Exchange)?),
        }
    }

    fn rename(&self, flags: RenameFlags) -> rustix::io::Result<()> {
        let (beside, target) = (self.beside.path(), self.target.as_std_path());
        match flags.is_empty() {
            true => renameat(CWD, beside, CWD, target),
            false => renameat_with(CWD, beside, CWD, target, flags),
        }
    }

    /// Whether the file is as it was before the commit.
    fn take_back(&self, way_back: WayBack) -> bool {
        let (beside, target) = (self.beside.path(), self.target.as_std_path());
        match way_back {
            WayBack::Exchange => self.rename(RenameFlags::EXCHANGE).is_ok(),
            WayBack::MoveAside => renameat(CWD, target, CWD, beside).is_ok(),
            WayBack::MoveBack => self.rename(RenameFlags::NOREPLACE).is_ok(),
            WayBack::None => false,
        }
    }

    fn sync(&self) -> Result<(), SetupError> {
        let directory = self.target.parent().unwrap_or(Utf8Path::new("/"));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| SetupError::Sync { path: self.target.clone(), source })
    }
}

impl Problem {
    fn named(self, path: &Utf8Path, left: Vec<Utf8PathBuf>) -> SetupError {
        let path = path.to_owned();
        match self {
            Self::Changed => SetupError::Changed { path, left },
            Self::System(source) => SetupError::Commit { path, left, source },
        }
    }
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// The directories that we made, from the outside in.
#[derive(Debug, Default)]
struct Directories(Vec<Utf8PathBuf>);

impl Directories {
    /// Makes `path` and whatever is missing above it.
    fn make(&mut self, path: &Utf8Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let above = path.parent().ok_or(ErrorKind::NotFound)?;
        self.make(above)?;
        fs::create_dir(path)?;
        self.0.push(path.to_owned());
        give(&File::open(path)?, &fs::metadata(above)?)
    }

    /// Removes them again, unless somebody uses them by now.
    fn remove(&self) {
        for path in self.0.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Gives a new file the mode and owner of the old one.
fn resemble(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        own_as(file, old)?;
    }
    // After the owner: a change of owner takes bits from the mode.
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
}

/// Gives a new file to the owner of its directory. Root, who may set up a fleet for somebody
/// else, must not leave files there that their owner cannot use; others own what they make.
fn give(file: &File, directory: &fs::Metadata) -> io::Result<()> {
    match rustix::process::geteuid().is_root() {
        true => own_as(file, directory),
        false => Ok(()),
    }
}

fn own_as(file: &File, like: &fs::Metadata) -> io::Result<()> {
    fchown(file, Some(like.uid()), Some(like.gid()))
}

#[cfg(test)]
mod tests;
