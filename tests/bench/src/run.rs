//! The whole run: who is there, every part in its order, the page.

use std::process::Command;

use clap::ValueEnum;
use lock_bench_peer::now_ns;

use crate::args::{Part, RunArgs};
use crate::error::{Error, chain};
use crate::figures::Section;
use crate::page::{self, Page};
use crate::place::{Medium, Places};
use crate::section::{Bench, measure};
use crate::stats::in_units;
use crate::subject::{Kind, Programs, SUBJECTS, Subject};

mod etcd;

/// Measures, prints, and writes the page if that is wanted.
pub(crate) fn run(args: &RunArgs) -> Result<(), Error> {
    let begun = now_ns();
    let programs = Programs::locate(args.fleet.as_deref())?;
    let places = Places::make(&programs.target().join("bench"))?;
    let server = etcd::Server::start(&places);
    let mut missing = Vec::new();
    let mut subjects = Vec::new();
    for subject in SUBJECTS.iter().filter(|subject| is_chosen(subject, &args.subject)) {
        match try_out(&programs, &places, subject, server.as_ref().err()) {
            Ok(()) => subjects.push(*subject),
            Err(error) if subject.kind == Kind::Ours => return Err(error),
            Err(error) => missing.push((subject.name.to_owned(), chain(&error))),
        }
    }
    let bench = Bench { programs, places, subjects, quick: args.quick, notes: Vec::new().into() };
    for (name, reason) in &missing {
        bench.progress(&format!("missing: {name}: {reason}"));
    }
    let (mut sections, mut failure) = (Vec::new(), None);
    for part in Part::value_variants().iter().filter(|part| is_wanted(**part, &args.section)) {
        match measure(*part, &bench) {
            Ok(section) => {
                page::say(&page::section(&section))?;
                sections.push(section);
            }
            // An hour of the other parts is not thrown away for it.
            Err(error) => {
                let name = format!("The part {part:?}");
                bench.progress(&format!("{name} failed: {}", chain(&error)));
                missing.push((name, chain(&error)));
                failure = failure.or(Some(error));
            }
        }
    }
    finish(args, &bench, sections, missing, begun)?;
    failure.map_or(Ok(()), Err)
}

fn finish(
    args: &RunArgs,
    bench: &Bench,
    sections: Vec<Section>,
    missing: Vec<(String, String)>,
    begun: u64,
) -> Result<(), Error> {
    page::say(&page::goals(&sections))?;
    if let Some(directory) = &args.plots {
        page::draw(directory, &sections)?;
    }
    let Some(path) = &args.write else { return Ok(()) };
    let minutes = in_units(now_ns() - begun, 60e9);
    let versions = versions(bench);
    page::write(path, &Page { sections, missing, versions, minutes })
}

fn is_wanted(part: Part, wanted: &[Part]) -> bool {
    wanted.is_empty() || wanted.contains(&part)
}

fn is_chosen(subject: &Subject, chosen: &[String]) -> bool {
    let named = chosen.iter().any(|part| subject.name.contains(part.as_str()));
    chosen.is_empty() || subject.kind == Kind::Ours || named
}

/// One cycle shows whether a peer can be had here.
fn try_out(
    programs: &Programs,
    places: &Places,
    subject: &Subject,
    no_server: Option<&Error>,
) -> Result<(), Error> {
    if let (Some(error), "etcdctl") = (no_server, subject.name) {
        return Err(Error::Failure(chain(error)));
    }
    let lock = places.lock(Medium::Disk)?;
    programs.start(subject, &lock)?.cycles(1).map(drop)
}

/// What was measured, on what: each with the command that says so.
fn versions(bench: &Bench) -> Vec<(String, String)> {
    let target = bench.programs.target();
    let python = target.join("bench/python/bin/python");
    let list = "npm ls --depth 0 --parseable --long | tail -n +2 | sed 's/.*://' | paste -sd' '";
    let node = format!("cd {target}/bench/node && {list}");
    let pip = format!("{python} -m pip list --format freeze | grep -E '^(filelock|portalocker)='");
    let rust = "cargo tree --quiet --offline --depth 1 --prefix none | grep -v 'path' ";
    let rust = format!(
        "cd tests/bench/peers/rust && {rust} | awk 'NR>1 {{print $1, $2}}' | grep -v -e '(' -e libc | paste -sd,"
    );
    let commands = [
        (
            "machine",
            "nproc; free -h | awk '/Mem/ {print $2}'; grep -m1 'model name' /proc/cpuinfo | cut -d: -f2",
        ),
        ("kernel", "uname -sr"),
        ("compiler", "rustc --version"),
        ("Rust peers", &rust),
        ("node", "node --version"),
        ("Node peers", &node),
        ("python", &format!("{python} --version")),
        ("Python peers", &pip),
        ("flock(1)", "flock --version"),
        ("lockfile(1)", "lockfile -v 2>&1 | head -1"),
        ("dotlockfile", "dpkg-query -W -f '${Version}' liblockfile-bin"),
        ("etcdctl", "etcdctl version | head -1"),
        ("systemd", "systemctl --version | head -1"),
    ];
    let media = [("disk", Medium::Disk), ("memory", Medium::Memory)];
    let media = media.map(|(name, medium)| (name.to_owned(), bench.places.kind(medium)));
    let programs = commands.map(|(name, script)| (name.to_owned(), output(script)));
    programs.into_iter().chain(media).collect()
}

fn output(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "not there".to_owned() } else { lines.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_always_there() {
        let chosen = ["pidlock".to_owned()];
        let names = SUBJECTS.iter().filter(|subject| is_chosen(subject, &chosen));
        let names: Vec<_> = names.map(|subject| subject.name).collect();
        assert_eq!(names, ["ours", "fleet", "pidlock"]);
    }

    #[test]
    fn without_a_choice_all_parts_are_wanted() {
        assert!(Part::value_variants().iter().all(|part| is_wanted(*part, &[])));
        assert!(!is_wanted(Part::Idle, &[Part::Fair]));
    }
}
