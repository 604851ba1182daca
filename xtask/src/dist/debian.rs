//! The Debian package.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Release;
use super::contents::{self, Places};
use super::outfit::{self, File};
use crate::error::Error;
use crate::workspace::{Workspace, output, run};

/// Who answers for the package.
const MAINTAINER: &str = "The fleet authors <fleet@packages.invalid>";

/// The units, from the root of the checkout.
const UNITS: &str = "crates/fleet-cli/units";

const DESCRIPTION: &str = "\
Description: restarts a fleet of long-lived agents, one restart at a time
 fleet starts, stops and restarts agents that run as processes, in tmux or
 under systemd, in order and under a lock: whoever else restarts the same
 fleet waits, takes over at once from a restart that died, and never
 interleaves with one that is only slow.
 .
 The same lock runs any other command: fleet lock run -- COMMAND.
";

/// Makes it in `dir`.
pub(super) fn make(
    workspace: &Workspace,
    release: &Release,
    program: &Path,
    dir: &Path,
) -> Result<PathBuf, Error> {
    let stage = dir.join("stage/debian");
    let mut files = payload(workspace, release, program, dir)?;
    let arch = output(Command::new("dpkg").arg("--print-architecture"))?;
    let control = control(release, arch.trim(), &depends(program, dir)?, &files);
    files.push(File::new("DEBIAN/control", control));
    outfit::lay_out(&stage, &files)?;
    let sums = sums(&stage, &files)?;
    outfit::place(&stage, &File::new("DEBIAN/md5sums", sums))?;

    let package = dir.join(format!("fleet_{}-1_{}.deb", release.version, arch.trim()));
    let mut build = Command::new("dpkg-deb");
    build
        .env("SOURCE_DATE_EPOCH", &release.epoch)
        .args(["--build", "--root-owner-group"])
        .arg(format!("-Z{}", release.compression))
        .args([&stage, &package]);
    run(build)?;
    Ok(package)
}

/// What is installed.
fn payload(
    workspace: &Workspace,
    release: &Release,
    program: &Path,
    dir: &Path,
) -> Result<Vec<File>, Error> {
    let places = Places { zsh: "share/zsh/vendor-completions" };
    let scratch = dir.join("stage");
    let mut files = contents::common(workspace, program, &places, &scratch)?;
    for path in workspace.files()?.iter().filter(|path| path.starts_with(UNITS)) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let text = outfit::read(&workspace.root().join(path))?;
        files.push(File::new(format!("lib/systemd/user/{name}"), text));
    }
    let doc = |name: &str, bytes| File::new(format!("share/doc/fleet/{name}"), bytes);
    files.push(doc("changelog.gz", outfit::gzip(&workspace.root().join("CHANGELOG.md"))?));
    let history = scratch.join("changelog.Debian");
    outfit::write(&history, changelog(release)?.as_bytes())?;
    files.push(doc("changelog.Debian.gz", outfit::gzip(&history)?));
    let mit = outfit::read(&workspace.root().join("LICENSE-MIT"))?;
    let year = date(release, "+%Y")?;
    files.push(doc(
        "copyright",
        copyright(year.trim(), &String::from_utf8_lossy(&mit)).into_bytes(),
    ));
    Ok(files.into_iter().map(|file| file.below("usr")).collect())
}

/// What the program needs, as Debian's own tool finds it.
fn depends(program: &Path, dir: &Path) -> Result<String, Error> {
    let place = dir.join("stage/shlibdeps");
    let source = "Source: fleet\n\nPackage: fleet\nArchitecture: any\n";
    // The tool wants to see the program where a package has it.
    let staged = "debian/fleet/usr/bin/fleet";
    let files = [
        File::new("debian/control", source),
        File::new("debian/fleet/DEBIAN/control", ""),
        File::program(staged, outfit::read(program)?),
    ];
    outfit::lay_out(&place, &files)?;
    let found = output(Command::new("dpkg-shlibdeps").current_dir(&place).args(["-O", staged]))?;
    let depends = found.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends.map(str::to_owned).ok_or_else(|| Error::Unfit {
        what: program.to_owned(),
        problem: format!("dpkg-shlibdeps finds no dependencies, but says {found:?}"),
    })
}

fn control(release: &Release, arch: &str, depends: &str, files: &[File]) -> String {
    let Release { version, .. } = release;
    let size: usize = files.iter().map(|file| file.bytes.len().div_ceil(1024)).sum();
    format!(
        "Package: fleet\nVersion: {version}-1\nArchitecture: {arch}\nMaintainer: {MAINTAINER}\n\
         Installed-Size: {size}\nDepends: {depends}\nSuggests: tmux, systemd\n\
         Section: admin\nPriority: optional\n{DESCRIPTION}"
    )
}

/// Debian's own history of the package, which has one entry: this one.
fn changelog(release: &Release) -> Result<String, Error> {
    let (version, date) = (release.version, date(release, "--rfc-email")?);
    Ok(format!(
        "fleet ({version}-1) unstable; urgency=medium\n\n  * The changes are in changelog.gz.\n\n \
         -- {MAINTAINER}  {date}"
    ))
}

/// The time of the commit.
fn date(release: &Release, format: &str) -> Result<String, Error> {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").arg("--utc").arg(format!("--date=@{}", release.epoch)).arg(format);
    output(&mut date)
}

/// In the form that Debian's tools read.
fn copyright(year: &str, mit: &str) -> String {
    let terms: String = mit
        .lines()
        .skip_while(|line| !line.starts_with("Permission"))
        .map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") })
        .collect();
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: fleet\n\nFiles: *\nCopyright: {year} the fleet authors\n\
         License: Expat or Apache-2.0\n\nLicense: Expat\n{terms}\n\
         License: Apache-2.0\n On Debian systems, the text of the Apache License, version 2.0,\n \
         is in /usr/share/common-licenses/Apache-2.0.\n"
    )
}

fn sums(stage: &Path, files: &[File]) -> Result<String, Error> {
    let mut paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    paths.retain(|path| !path.starts_with("DEBIAN/"));
    paths.sort_unstable();
    output(Command::new("md5sum").current_dir(stage).args(paths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_licence_is_in_the_form_that_tools_read() {
        let text = copyright(
            "2026",
            "MIT License\n\nCopyright (c) us\n\nPermission is granted\n\nAS IS\n",
        );
        assert!(text.contains("License: Expat\n Permission is granted\n .\n AS IS\n\n"), "{text}");
    }

    #[test]
    fn the_control_file_counts_what_is_installed() {
        let release =
            Release { version: "1.2.3", arch: "x86_64", epoch: "0".to_owned(), compression: "xz" };
        let files = [File::new("usr/a", vec![0; 1025]), File::new("usr/b", vec![0; 1])];
        let text = control(&release, "amd64", "libc6 (>= 2.34)", &files);
        for line in ["Version: 1.2.3-1", "Installed-Size: 3", "Depends: libc6 (>= 2.34)"] {
            assert!(text.lines().any(|have| have == line), "{line} in {text}");
        }
    }
}
