//! The program itself, linked in one of two ways.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::workspace::{Workspace, output, run, say};

/// How the program gets at the C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linkage {
    /// It has it inside, and runs on any Linux of its architecture.
    Static,
    /// It uses the system's, as Debian wants it.
    Dynamic,
}

/// Builds it, somewhere below `dir`.
pub(super) fn build(workspace: &Workspace, linkage: Linkage, dir: &Path) -> Result<PathBuf, Error> {
    let (target, flags) = plan(linkage, has_musl()?);
    let (name, place) = match linkage {
        Linkage::Static => ("static", dir.join("build/static")),
        Linkage::Dynamic => ("dynamic", dir.join("build/dynamic")),
    };
    say(&format!("== the program for {target}, {name}"))?;
    let mut command = workspace.cargo(["build", "--quiet", "--locked", "--package", "fleet-cli"]);
    command.args(["--profile", "dist", "--target", &target]).arg("--target-dir").arg(&place);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags_for(workspace, &flags).join("\u{1f}"));
    run(command)?;
    Ok(place.join(target).join("dist/fleet"))
}

/// The program as the tests have it, which takes no time: for a rehearsal of what is done
/// with it.
pub(super) fn rehearsal(workspace: &Workspace) -> Result<PathBuf, Error> {
    run(workspace.cargo(["build", "--quiet", "--locked", "--package", "fleet-cli"]))?;
    Ok(workspace.target().join("debug/fleet"))
}

/// The target to build for, and the flags that it takes. musl is made for static programs;
/// where it is not installed, glibc does as well, because nothing here asks it for names of
/// users or hosts, for which it would load libraries after all.
fn plan(linkage: Linkage, has_musl: bool) -> (String, Vec<&'static str>) {
    let library = if linkage == Linkage::Static && has_musl { "musl" } else { "gnu" };
    let flags = match (linkage, library) {
        (Linkage::Static, "gnu") => vec!["-Ctarget-feature=+crt-static"],
        _ => Vec::new(),
    };
    (format!("{}-unknown-linux-{library}", env::consts::ARCH), flags)
}

fn has_musl() -> Result<bool, Error> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let target = format!("lib/rustlib/{}-unknown-linux-musl/lib", env::consts::ARCH);
    Ok(Path::new(sysroot.trim()).join(target).is_dir())
}

/// `flags`, and those that keep this machine's paths out of the program.
fn flags_for(workspace: &Workspace, flags: &[&str]) -> Vec<String> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let remapped = [(cargo.as_path(), "/cargo"), (workspace.root(), "/fleet")];
    let remap = |(from, to): (&Path, &str)| format!("--remap-path-prefix={}={to}", from.display());
    flags.iter().map(|flag| (*flag).to_owned()).chain(remapped.map(remap)).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::musl_if_it_is_there(Linkage::Static, true, "musl", &[])]
    #[case::else_glibc(Linkage::Static, false, "gnu", &["-Ctarget-feature=+crt-static"])]
    #[case::debian(Linkage::Dynamic, true, "gnu", &[])]
    fn what_is_built(
        #[case] linkage: Linkage,
        #[case] has_musl: bool,
        #[case] library: &str,
        #[case] flags: &[&str],
    ) {
        let target = format!("{}-unknown-linux-{library}", env::consts::ARCH);
        assert_eq!(plan(linkage, has_musl), (target, flags.to_vec()));
    }
}
