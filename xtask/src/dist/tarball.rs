//! The tarball: a tree to unpack below `/usr/local` or `~/.local`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Release;
use super::contents::{self, Places};
use super::outfit::{self, File};
use crate::error::Error;
use crate::workspace::{Workspace, run};

/// Makes it in `dir`. The units of systemd are not in it: they name the program's place, so
/// `fleet install` writes them.
pub(super) fn make(
    workspace: &Workspace,
    release: &Release,
    program: &Path,
    dir: &Path,
) -> Result<PathBuf, Error> {
    let name = format!("fleet-{}-{}-linux", release.version, release.arch);
    let stage = dir.join("stage/tarball");
    let places = Places { zsh: "share/zsh/site-functions" };
    let mut files = contents::common(workspace, program, &places, &dir.join("stage"))?;
    for path in ["CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        let text = outfit::read(&workspace.root().join(path))?;
        files.push(File::new(format!("share/doc/fleet/{path}"), text));
    }
    let files: Vec<_> = files.into_iter().map(|file| file.below(&name)).collect();
    outfit::lay_out(&stage, &files)?;
    let tarball = dir.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--format=gnu", "--numeric-owner"])
        .args(["--owner=0", "--group=0", "--use-compress-program=gzip -9n"])
        .arg(format!("--mtime=@{}", release.epoch))
        .arg("--file")
        .arg(&tarball)
        .arg("--directory")
        .args([stage.as_path(), Path::new(&name)]);
    run(tar)?;
    Ok(tarball)
}
