//! What was built, unpacked, installed, used and removed: all in a directory of its own, and
//! nothing of it on this system.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::outfit::{self, File};
use super::{Artifacts, Release, SUMS};
use crate::error::Error;
use crate::workspace::{output, run, say};

/// Where the package has them, so that `systemctl --user` knows them before `fleet install`.
const UNITS: [&str; 2] = ["mosaic-agent@.service", "mosaic-tmux-holder.service"];

/// Whether two builds made the same bytes.
pub(super) fn same(one: &Path, other: &Path) -> Result<(), Error> {
    let (one, two) = (outfit::read(&one.join(SUMS))?, outfit::read(&other.join(SUMS))?);
    demand(one == two, other, || {
        let [one, two] = [one, two].map(|sums| String::from_utf8_lossy(&sums).into_owned());
        format!("a second build made something else:\n{one}\n{two}")
    })
}

/// The tarball: its program needs nothing, and says its version.
pub(super) fn tarball(artifacts: &Artifacts, release: &Release, place: &Path) -> Result<(), Error> {
    say("== the tarball, unpacked")?;
    outfit::empty(place)?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(&artifacts.tarball).arg("--directory").arg(place);
    run(tar.arg("--strip-components=1").arg("--no-same-owner"))?;
    let program = place.join("bin/fleet");
    let headers = output(Command::new("readelf").args(["-lWd"]).arg(&program))?;
    let is_need = |line: &&str| line.contains("INTERP") || line.contains("(NEEDED)");
    let needs: Vec<_> = headers.lines().filter(is_need).collect();
    demand(needs.is_empty(), &program, || format!("it is not static: {needs:?}"))?;
    use_it(place, "share/zsh/site-functions", release)
}

/// The package: Debian's own tools install it, find nothing wrong, and remove it entirely.
pub(super) fn package(package: &Path, release: &Release, root: &Path) -> Result<(), Error> {
    say("== the package, installed")?;
    prepare(root, package)?;
    let before = inhabitants(root)?;
    run(dpkg(root).arg("--install").arg(package))?;
    let wrong = output(dpkg(root).args(["--verify", "fleet"]))?;
    demand(wrong.is_empty(), package, || format!("dpkg finds altered files:\n{wrong}"))?;
    use_it(&root.join("usr"), "share/zsh/vendor-completions", release)?;
    for unit in UNITS {
        let path = root.join("usr/lib/systemd/user").join(unit);
        demand(path.is_file(), package, || format!("it does not have the unit {unit}"))?;
    }
    owned_by_root(package)?;

    say("== the package, removed")?;
    run(dpkg(root).args(["--purge", "fleet"]))?;
    let left: Vec<_> =
        inhabitants(root)?.into_iter().filter(|path| !before.contains(path)).collect();
    demand(left.is_empty(), package, || format!("it leaves behind {left:?}"))
}

/// Uses what is installed below a prefix.
fn use_it(prefix: &Path, zsh: &str, release: &Release) -> Result<(), Error> {
    let program = prefix.join("bin/fleet");
    let version = output(Command::new(&program).arg("--version"))?;
    demand(version.starts_with(&format!("fleet {}", release.version)), &program, || {
        format!("it says it is {version}")
    })?;
    let pages = prefix.join("share/man");
    for name in ["fleet", "fleet-restart", "fleet-lock-run"] {
        let mut man = Command::new("man");
        man.arg("-M").arg(&pages).args(["-P", "cat", name]).env("LC_ALL", "C.UTF-8");
        let text = output(&mut man)?;
        demand(text.contains("EXIT STATUS"), &pages, || format!("man {name} shows {text:?}"))?;
    }
    let share = prefix.join("share");
    let bash = "source \"$0\" && complete -p fleet";
    let loads: [(&str, &[&str], PathBuf); 3] = [
        ("bash", &["-c", bash], share.join("bash-completion/completions/fleet")),
        ("fish", &["--no-config"], share.join("fish/vendor_completions.d/fleet.fish")),
        ("zsh", &["-f", "-n"], prefix.join(zsh).join("_fleet")),
    ];
    for (shell, args, script) in loads {
        output(Command::new(shell).args(args).arg(script))?;
    }
    say(version.trim())
}

/// A system with nothing in it but what the package depends on, and that only by name.
fn prepare(root: &Path, package: &Path) -> Result<(), Error> {
    let mut depends = Command::new("dpkg-deb");
    let depends = output(depends.arg("--field").args([package, Path::new("Depends")]))?;
    let names = || depends.split(',').filter_map(|one| one.split_whitespace().next());
    let query = |what: &[&str]| output(Command::new("dpkg-query").args(what).args(names()));
    let file = |path: &str, text: &str| File::new(format!("var/lib/dpkg/{path}"), text);
    let mut files = vec![file("status", &query(&["--status"])?), file("info/format", "1\n")];
    for name in query(&["--showformat=${binary:Package}\\n", "--show"])?.lines() {
        files.push(file(&format!("info/{name}.list"), ""));
    }
    outfit::lay_out(root, &files)?;
    outfit::make_dir(&root.join("var/lib/dpkg/updates"))
}

/// `dpkg` for that system; as anybody, and without a look at the real one.
fn dpkg(root: &Path) -> Command {
    let mut root_option = OsStr::new("--root=").to_owned();
    root_option.push(root);
    let path = env::var("PATH").unwrap_or_default();
    let mut dpkg = Command::new("dpkg");
    // It looks for programs that ordinary users do not have in their path.
    dpkg.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    dpkg.arg(root_option).args(["--force-not-root", "--force-script-chrootless", "--no-debsig"]);
    dpkg.arg("--log=/dev/null");
    dpkg
}

/// Everything in that system but dpkg's own notes.
fn inhabitants(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut all = outfit::walk(root)?;
    all.retain(|path| !path.starts_with(root.join("var/lib/dpkg")));
    Ok(all)
}

fn owned_by_root(package: &Path) -> Result<(), Error> {
    let list = output(Command::new("dpkg-deb").arg("--contents").arg(package))?;
    let strange = list.lines().find(|line| line.split_whitespace().nth(1) != Some("root/root"));
    demand(strange.is_none(), package, || format!("not root's: {}", strange.unwrap_or_default()))
}

/// Debian's own opinion of a package, where its checker is installed.
pub(super) fn policy(package: &Path) -> Result<(), Error> {
    if !Path::new("/usr/bin/lintian").is_file() {
        return say("lintian is not installed, so nobody has looked at Debian's policy");
    }
    say("== the package, as lintian sees it")?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error,warning", "--suppress-tags"]);
    // It was never meant for Debian's archive, where a new package closes its request.
    lintian.arg("initial-upload-closes-no-bugs").arg(package);
    if fs::metadata("/proc/self")
        .is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
    {
        lintian.arg("--allow-root");
    }
    run(lintian)
}

fn demand(holds: bool, what: &Path, problem: impl FnOnce() -> String) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    Err(Error::Unfit { what: what.to_owned(), problem: problem() })
}
