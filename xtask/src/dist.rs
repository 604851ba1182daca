//! `cargo xtask dist`: a tarball that runs on any Linux, and a Debian package.
//!
//! Both are a function of the commit: the time of every file in them is that of the commit,
//! and no path of this machine is in the programs.

mod binary;
mod check;
mod contents;
mod debian;
mod outfit;
mod tarball;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use clap::Args;

use self::binary::Linkage;
use crate::error::Error;
use crate::workspace::{Workspace, output, say};

/// What to do about what was built.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Then unpack, install, use and remove what was built, in a directory of its own
    #[arg(long)]
    check: bool,
    /// Build everything a second time from nothing, and compare
    #[arg(long)]
    rebuild: bool,
    /// Only install and remove a package of the program that the tests use, which is quick
    #[arg(long, conflicts_with_all = ["check", "rebuild"])]
    rehearse: bool,
}

/// What is released.
#[derive(Debug)]
struct Release {
    /// As in the manifests.
    version: &'static str,
    /// The machine's architecture, as Rust has it.
    arch: &'static str,
    /// The time of the commit, in seconds since 1970.
    epoch: String,
    /// How the package is compressed.
    compression: &'static str,
}

/// The files that were made.
#[derive(Debug)]
struct Artifacts {
    dir: PathBuf,
    tarball: PathBuf,
    package: PathBuf,
}

/// Builds both into `target/dist`.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    if options.rehearse {
        return rehearse(workspace);
    }
    if workspace.is_changed()? {
        say("this is no release: the checkout has changes that are in no commit")?;
    }
    let release = Release::of(workspace)?;
    let dir = workspace.root().join("target/dist");
    let artifacts = make(workspace, &release, &dir)?;
    if options.rebuild {
        let again = dir.join("again");
        outfit::empty(&again)?;
        make(workspace, &release, &again)?;
        check::same(&artifacts.dir, &again)?;
        say("built twice: the same bytes")?;
    }
    if options.check {
        check::tarball(&artifacts, &release, &dir.join("check/tarball"))?;

        check::policy(&artifacts.package)?;
        check::package(&artifacts.package, &release, &dir.join("check/package"))?;
    }
    say(&format!("in {}:", artifacts.dir.display()))?;
    say(fs::read_to_string(dir.join(SUMS)).unwrap_or_default().trim_end())
}

/// The program of the tarball.
pub(crate) fn shipped(workspace: &Workspace) -> Result<PathBuf, Error> {
    let dir = workspace.root().join("target/dist");
    outfit::make_dir(&dir)?;
    binary::build(workspace, Linkage::Static, &dir)
}

/// Makes the Debian package of the program that the tests use, installs and removes it.
pub(crate) fn rehearse(workspace: &Workspace) -> Result<(), Error> {
    let release = Release { compression: "none", ..Release::of(workspace)? };
    let dir = workspace.root().join("target/dist/rehearsal");
    outfit::make_dir(&dir)?;
    let package = debian::make(workspace, &release, &binary::rehearsal(workspace)?, &dir)?;
    check::package(&package, &release, &dir.join("check"))
}

/// The list of what was made, with its hashes.
const SUMS: &str = "SHA256SUMS";

fn make(workspace: &Workspace, release: &Release, dir: &Path) -> Result<Artifacts, Error> {
    outfit::make_dir(dir)?;
    let linked = binary::build(workspace, Linkage::Static, dir)?;
    let tarball = tarball::make(workspace, release, &linked, dir)?;
    let linked = binary::build(workspace, Linkage::Dynamic, dir)?;
    let package = debian::make(workspace, release, &linked, dir)?;
    let names = [&tarball, &package].map(|path| path.file_name().unwrap_or_default().to_owned());
    let sums = output(Command::new("sha256sum").current_dir(dir).args(names))?;
    outfit::write(&dir.join(SUMS), sums.as_bytes())?;
    Ok(Artifacts { dir: dir.to_owned(), tarball, package })
}

impl Release {
    fn of(workspace: &Workspace) -> Result<Self, Error> {
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => workspace.git(&["log", "-1", "--format=%ct"])?.trim().to_owned(),
        };
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            arch: env::consts::ARCH,
            epoch,
            compression: "xz",
        })
    }
}
