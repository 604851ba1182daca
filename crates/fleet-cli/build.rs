//! Finds the commit that is built, for `fleet --version` and the manual pages.
//!
//! Without git, or from sources that are not this repository's checkout, there is none.

use std::process::Command;

/// Where this package is in the repository. A tarball that was unpacked inside another
/// repository is somewhere else in that one.
const PREFIX: &str = "crates/fleet-cli/";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let package = env!("CARGO_PKG_VERSION");
    let (version, date) = match commit() {
        Some((commit, date)) => (format!("{package} ({commit} {date})"), date),
        None => (package.to_owned(), String::new()),
    };
    println!("cargo:rustc-env=FLEET_VERSION={version}");
    println!("cargo:rustc-env=FLEET_DATE={date}");
}

/// The commit, and its day in UTC.
fn commit() -> Option<(String, String)> {
    if git(&["rev-parse", "--show-prefix"])? != PREFIX {
        return None;
    }
    // A commit moves the branch that HEAD names, or HEAD itself; either may be packed.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--path-format=absolute", "--git-path", name])?;
        // A path that does not exist would have cargo run this script every time.
        if std::path::Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let format = ["--abbrev=12", "--date=format-local:%Y-%m-%d", "--format=%h %cd"];
    let line = git(&[&["log", "-1"][..], &format].concat())?;
    let (commit, date) = line.split_once(' ')?;
    Some((commit.to_owned(), date.to_owned()))
}

/// One line from git, if it has an answer.
fn git(args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // A container often has the checkout under another user's name, which git refuses.
    git.args(["-c", "safe.directory=*"]).args(args).env("TZ", "UTC");
    let output = git.output().ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?;
    Some(line.trim().to_owned())
}
