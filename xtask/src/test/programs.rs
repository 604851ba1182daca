//! The programs that the tests and the benchmarks call, and the Debian packages that have them.
//!
//! A test never skips itself because a program is absent: the run installs it or fails here.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::workspace::run;

/// A program, where Debian has it, and what calls it.
#[derive(Debug, PartialEq)]
struct Program {
    name: &'static str,
    package: &'static str,
    needed_for: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "dpkg-shlibdeps",
        package: "dpkg-dev",
        needed_for: "the rehearsal of the package",
    },
    Program { name: "fish", package: "fish", needed_for: "tests of its completions" },
    Program { name: "flock", package: "util-linux", needed_for: "tests beside other lockers" },
    Program { name: "groff", package: "groff-base", needed_for: "tests of the manual pages" },
    Program { name: "man", package: "man-db", needed_for: "the rehearsal of the package" },
    Program { name: "mandoc", package: "mandoc", needed_for: "tests of the manual pages" },
    Program { name: "mkfs.ext4", package: "e2fsprogs", needed_for: "tests on other file systems" },
    Program {
        name: "mkfs.vfat",
        package: "dosfstools",
        needed_for: "tests of the fallbacks for poorer file systems",
    },
    Program { name: "setpriv", package: "util-linux", needed_for: "tests without permission" },
    Program { name: "shellcheck", package: "shellcheck", needed_for: "the check of scripts" },
    Program {
        name: "strace",
        package: "strace",
        needed_for: "tests that compare system calls with the model, or have one refused",
    },
    Program { name: "systemctl", package: "systemd", needed_for: "tests of fleets of user units" },
    Program { name: "tmux", package: "tmux", needed_for: "tests of fleets of tmux sessions" },
    Program { name: "zsh", package: "zsh", needed_for: "tests of its completions" },
];

/// What the benchmarks set beside our lock; the tests do without.
const PEERS: &[Program] = &[
    Program { name: "dotlockfile", package: "liblockfile-bin", needed_for: "a peer" },
    Program { name: "etcd", package: "etcd-server", needed_for: "a peer" },
    Program { name: "etcdctl", package: "etcd-client", needed_for: "a peer" },
    Program { name: "flock", package: "util-linux", needed_for: "a peer" },
    Program { name: "lockfile", package: "procmail", needed_for: "a peer" },
    Program { name: "strace", package: "strace", needed_for: "the count of system calls" },
];

/// Directories that Debian leaves out of an ordinary user's `PATH`.
const SYSTEM_DIRECTORIES: &[&str] = &["/usr/sbin", "/sbin"];

/// Makes sure that every program is there: installs what is missing if we may.
pub(super) fn provide() -> Result<(), Error> {
    provide_all(PROGRAMS)
}

/// The same for what the benchmarks measure.
pub(crate) fn provide_peers() -> Result<(), Error> {
    provide_all(PEERS)
}

fn provide_all(programs: &[Program]) -> Result<(), Error> {
    let directories = directories();
    let absent = missing(programs, &directories);
    if absent.is_empty() {
        return Ok(());
    }
    if may_install(&directories) {
        install(&absent)?;
    }
    complain(&missing(programs, &directories))
}

fn directories() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from)).collect()
}

fn missing<'a>(programs: &'a [Program], directories: &[PathBuf]) -> Vec<&'a Program> {
    programs.iter().filter(|program| !is_in(program.name, directories)).collect()
}

fn is_in(name: &str, directories: &[PathBuf]) -> bool {
    directories.iter().any(|directory| directory.join(name).is_file())
}

fn may_install(directories: &[PathBuf]) -> bool {
    // `/proc/self` belongs to the effective user of this process.
    let is_root = fs::metadata(Path::new("/proc/self")).is_ok_and(|process| process.uid() == 0);
    is_root && is_in("apt-get", directories)
}

fn install(absent: &[&Program]) -> Result<(), Error> {
    run(apt_get(&["update", "--quiet"]))?;
    let mut install = apt_get(&["install", "--yes", "--quiet", "--no-install-recommends"]);
    install.args(packages(absent));
    run(install)
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn complain(absent: &[&Program]) -> Result<(), Error> {
    if absent.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> =
        absent.iter().map(|program| format!("{} ({})", program.name, program.needed_for)).collect();
    Err(Error::MissingPrograms {
        programs: programs.join(", "),
        packages: packages(absent).join(" "),
    })
}

fn packages(programs: &[&Program]) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Program = Program { name: "sh", package: "dash", needed_for: "everything" };
    const ABSENT: Program =
        Program { name: "no-such-program", package: "no-such-package", needed_for: "this test" };

    #[test]
    fn only_what_is_absent_is_missing() {
        assert_eq!(missing(&[SHELL, ABSENT], &directories()), [&ABSENT]);
    }

    #[test]
    fn the_complaint_says_what_to_install() {
        let error = complain(&[&SHELL, &ABSENT]).expect_err("two are absent");
        assert_eq!(
            error.to_string(),
            "missing sh (everything), no-such-program (this test); \
             install with: apt-get install dash no-such-package"
        );
    }

    #[test]
    fn nothing_absent_is_no_complaint() {
        assert!(complain(&[]).is_ok());
    }

    #[test]
    fn a_package_is_installed_once() {
        assert_eq!(packages(&[&SHELL, &ABSENT, &SHELL]), ["dash", "no-such-package"]);
    }
}
